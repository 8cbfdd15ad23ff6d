package revocation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

// feedFunc is a feed that is a function.
type feedFunc func(context.Context, revocation.Cursor, time.Duration) (revocation.Batch, error)

func (f feedFunc) Changes(ctx context.Context, after revocation.Cursor, wait time.Duration) (revocation.Batch, error) {
	return f(ctx, after, wait)
}

// TestFeedThatNeverSettles: one that has something else to say at once, each time, is not
// asked without end, and what it says is known.
func TestFeedThatNeverSettles(t *testing.T) {
	first, second := revocation.NewMemory(nil), revocation.NewMemory(nil)
	require.NoError(t, first.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""))
	require.NoError(t, second.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""))
	for name, answer := range map[string]func(ctx context.Context, i int, after revocation.Cursor, wait time.Duration) (revocation.Batch, error){
		"two logs behind one address": func(ctx context.Context, i int, after revocation.Cursor, wait time.Duration) (revocation.Batch, error) {
			return []*revocation.Memory{first, second}[i%2].Changes(ctx, after, wait)
		},
		"all there is each time": func(ctx context.Context, _ int, _ revocation.Cursor, wait time.Duration) (revocation.Batch, error) {
			return first.Changes(ctx, revocation.Cursor{}, wait)
		},
		"another mark each time": func(ctx context.Context, i int, after revocation.Cursor, _ time.Duration) (revocation.Batch, error) {
			if (after == revocation.Cursor{}) {
				return first.Changes(ctx, after, 0)
			}
			to := after
			to.Mark = uint64(i)
			return revocation.Batch{From: after, To: to}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				var questions atomic.Int64
				list, err := revocation.NewList(feedFunc(func(ctx context.Context, after revocation.Cursor, wait time.Duration) (revocation.Batch, error) {
					n := questions.Add(1)
					if n > 10_000 {
						stop()
					}
					return answer(ctx, int(n), after, wait)
				}), bound, revocation.Options{})
				require.NoError(t, err)
				go list.Run(ctx)
				for range 100 {
					time.Sleep(bound)
					revoked, err := list.Revoked(verifier.Revocable{KeyID: "k"})
					require.NoError(t, err)
					require.True(t, revoked)
				}
				require.Less(t, questions.Load(), int64(2000))
			})
		})
	}
}

// TestChangeThatIsGone: one that a feed will never tell is made up for by all there is.
func TestChangeThatIsGone(t *testing.T) {
	memory := revocation.NewMemory(nil)
	list, err := revocation.NewList(feedFunc(func(ctx context.Context, after revocation.Cursor, _ time.Duration) (revocation.Batch, error) {
		b, err := memory.Changes(ctx, after, 0)
		if !b.Full && len(b.Changes) > 0 {
			b.Changes = b.Changes[1:]
		}
		return b, err
	}), bound, revocation.Options{})
	require.NoError(t, err)
	require.NoError(t, list.Refresh(t.Context()))
	require.NoError(t, memory.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""))
	require.Error(t, list.Refresh(t.Context()))
	require.NoError(t, list.Refresh(t.Context()))
	require.True(t, must(list.Revoked(verifier.Revocable{KeyID: "k"})))
}

// TestBatchesThatDoNotFit: of an answer that is not to the question, or that can't all be
// understood, nothing is taken, and everything is asked for anew.
func TestBatchesThatDoNotFit(t *testing.T) {
	at := func(log string, seq, mark uint64) revocation.Cursor {
		return revocation.Cursor{Log: log, Seq: seq, Mark: mark}
	}
	one := []revocation.Change{{What: revocation.Key("k")}}
	none := []revocation.Change{{}}
	for name, b := range map[string]revocation.Batch{
		"from a later place":        {From: at("a", 6, 1), To: at("a", 7, 1), Changes: one},
		"from an earlier place":     {From: at("a", 4, 1), To: at("a", 5, 1), Changes: one},
		"from another mark":         {From: at("a", 5, 2), To: at("a", 6, 1), Changes: one},
		"from another log":          {From: at("b", 5, 1), To: at("b", 6, 1), Changes: one},
		"to another log":            {From: at("a", 5, 1), To: at("b", 6, 1), Changes: one},
		"to no log":                 {From: at("a", 5, 1), To: at("", 6, 1), Changes: one},
		"one left out":              {From: at("a", 5, 1), To: at("a", 7, 1), Changes: one},
		"one too many":              {From: at("a", 5, 1), To: at("a", 5, 1), Changes: one},
		"a change of nothing":       {From: at("a", 5, 1), To: at("a", 6, 1), Changes: none},
		"full, a change of nothing": {Full: true, To: at("a", 6, 1), Changes: none},
		"full, of no log":           {Full: true, To: at("", 6, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			answers := []revocation.Batch{{Full: true, To: at("a", 5, 1), Changes: []revocation.Change{{What: revocation.Key("first")}}}, b}
			var asked []revocation.Cursor
			list, err := revocation.NewList(feedFunc(func(_ context.Context, after revocation.Cursor, _ time.Duration) (revocation.Batch, error) {
				asked = append(asked, after)
				if len(asked) > len(answers) {
					return revocation.Batch{}, errors.New("no more")
				}
				return answers[len(asked)-1], nil
			}), bound, revocation.Options{})
			require.NoError(t, err)
			require.NoError(t, list.Refresh(t.Context()))
			require.Error(t, list.Refresh(t.Context()))
			require.Error(t, list.Refresh(t.Context()))
			require.Equal(t, []revocation.Cursor{{}, at("a", 5, 1), {}}, asked)
			require.True(t, must(list.Revoked(verifier.Revocable{KeyID: "first"})))
			require.False(t, must(list.Revoked(verifier.Revocable{KeyID: "k"})))
		})
	}
}

// TestFirstQuestionFails: however long the bound, a feed that is not there yet when a service
// starts is asked again soon, since until then nothing is decided.
func TestFirstQuestionFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		f := &faulty{Feed: revocation.NewMemory(nil)}
		fault := func(context.Context, revocation.Batch) (revocation.Batch, error) {
			return revocation.Batch{}, errors.New("starting")
		}
		f.fault.Store(&fault)
		s := newServiceWithin(t, 24*time.Hour, rootkey.InMemory(), f, revocation.Options{})
		token := s.mint(t, "billing")
		go s.list.Run(ctx)
		time.Sleep(time.Minute)
		require.Equal(t, "revocation-unknown", s.decide(t, token))
		f.fault.Store(nil)
		time.Sleep(10 * time.Second)
		require.Empty(t, s.decide(t, token))
	})
}

// TestLongAnswer: all there is may take longer than the bound, and is known in the end.
func TestLongAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		memory := revocation.NewMemory(nil)
		require.NoError(t, memory.Revoke(ctx, revocation.Key("k"), time.Time{}, ""))
		list, err := revocation.NewList(feedFunc(func(ctx context.Context, after revocation.Cursor, wait time.Duration) (revocation.Batch, error) {
			b, err := memory.Changes(ctx, after, wait)
			if b.Full {
				select {
				case <-time.After(5 * bound):
				case <-ctx.Done():
					return revocation.Batch{}, ctx.Err()
				}
			}
			return b, err
		}), bound, revocation.Options{})
		require.NoError(t, err)
		go list.Run(ctx)
		time.Sleep(20 * bound)
		require.True(t, must(list.Revoked(verifier.Revocable{KeyID: "k"})))
	})
}

// TestLog tells that a feed fails, and that it does no more.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var text bytes.Buffer
		f := &faulty{Feed: revocation.NewMemory(nil)}
		s := newService(t, rootkey.InMemory(), f, revocation.Options{Log: slog.New(slog.NewTextHandler(&text, nil))})
		go s.list.Run(ctx)
		time.Sleep(bound)
		synctest.Wait()
		require.Empty(t, text.String())
		fault := func(context.Context, revocation.Batch) (revocation.Batch, error) {
			return revocation.Batch{}, errors.New("cut off")
		}
		f.fault.Store(&fault)
		time.Sleep(bound)
		f.fault.Store(nil)
		time.Sleep(bound)
		synctest.Wait()
		require.Contains(t, text.String(), `level=WARN msg="revocation: the feed can't be followed" error="cut off" age=`)
		require.Contains(t, text.String(), fmt.Sprintf(" bound=%v\n", bound))
		require.Equal(t, 1, strings.Count(text.String(), `level=INFO msg="revocation: the feed is followed again"`))
	})
}

// TestRefreshHeedsItsContext: also while another question waits for its answer.
func TestRefreshHeedsItsContext(t *testing.T) {
	asked := make(chan struct{}, 1)
	list, err := revocation.NewList(feedFunc(func(ctx context.Context, _ revocation.Cursor, _ time.Duration) (revocation.Batch, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return revocation.Batch{}, ctx.Err()
	}), time.Hour, revocation.Options{})
	require.NoError(t, err)
	go list.Run(t.Context())
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	refreshed := make(chan error, 1)
	go func() { refreshed <- list.Refresh(ctx) }()
	select {
	case err := <-refreshed:
		require.ErrorIs(t, err, context.Canceled)
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for the other one")
	}
}

// TestChangedWhenTheFeedIsBack: a list that could not tell, and then can, answers differently,
// though nothing was revoked.
func TestChangedWhenTheFeedIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := filled(t, now{revocation.NewMemory(nil)})
		token := s.mint(t, "billing")
		time.Sleep(bound + time.Second)
		changed := s.list.Changed()
		require.Equal(t, "revocation-unknown", s.decide(t, token))
		s.refresh(t)
		require.Empty(t, s.decide(t, token))
		select {
		case <-changed:
		default:
			t.Fatal("nobody was told")
		}
		changed = s.list.Changed()
		s.refresh(t) // which is no news
		select {
		case <-changed:
			t.Fatal("told for nothing")
		default:
		}
	})
}
