package revocation_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

// stream is what a transport does with a credential as long as a stream is open: it ends with
// the error.
func (s *service) stream(ctx context.Context, t testing.TB, m macaroon.Macaroon) <-chan error {
	t.Helper()
	text, err := m.Encode()
	require.NoError(t, err)
	credential, err := macaroon.Parse(text)
	require.NoError(t, err)
	authentic, err := s.Authenticate(ctx, credential)
	require.NoError(t, err)
	_, err = authentic.Check(ctx, "orders.read", caveat.Facts{})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		for {
			changed := s.RevocationsChanged()
			if err := authentic.Reauthenticate(ctx); err != nil {
				ended <- err
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				ended <- ctx.Err()
				return
			}
		}
	}()
	return ended
}

// TestOpenStreams: each ends when its token is revoked, and only then.
func TestOpenStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		memory := revocation.NewMemory(nil)
		s := filled(t, memory)
		go s.list.Run(ctx)
		tokens := []macaroon.Macaroon{s.mint(t, "a"), s.mint(t, "b"), s.mint(t, "c")}
		var streams []<-chan error
		for _, m := range tokens {
			streams = append(streams, s.stream(ctx, t, attenuate(t, m, caveat.ExpiresIn(time.Minute))))
		}
		time.Sleep(time.Hour)
		for i, m := range tokens[:2] {
			require.NoError(t, memory.Revoke(ctx, revocation.Token(identifier(t, m).TokenID), time.Time{}, ""))
			synctest.Wait() // no time passes
			require.ErrorIs(t, <-streams[i], verifier.ErrRevoked)
			for _, other := range streams[i+1:] {
				require.Empty(t, other)
			}
		}
		stop()
		require.ErrorIs(t, <-streams[2], context.Canceled)
	})
}

// TestOpenStreamsBeyondTheBound: a stream is not left open on what is not known.
func TestOpenStreamsBeyondTheBound(t *testing.T) {
	for name, options := range map[string]revocation.Options{"refuse": {}, "serve": {InsecureServeStale: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				cut := &faulty{Feed: revocation.NewMemory(nil)}
				s := newService(t, rootkey.InMemory(), cut, options)
				s.refresh(t)
				go s.list.Run(ctx)
				stream := s.stream(ctx, t, s.mint(t, "billing"))
				time.Sleep(10 * bound)
				require.Empty(t, stream)
				fault := func(context.Context, revocation.Batch) (revocation.Batch, error) {
					return revocation.Batch{}, errors.New("cut")
				}
				cut.fault.Store(&fault)
				time.Sleep(bound + time.Second)
				if options.InsecureServeStale {
					require.Empty(t, stream)
					return
				}
				require.Len(t, stream, 1)
				err := <-stream
				require.ErrorIs(t, err, verifier.ErrUndecided)
				require.ErrorIs(t, err, revocation.ErrStale)
				_, err = s.list.Revoked(verifier.Revocable{})
				require.ErrorContains(t, err, "the feed has not answered")
			})
		})
	}
}

// TestWatch: all watchers hear everything in order, and a slow one delays nobody.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		memory := revocation.NewMemory(nil)
		s := newService(t, rootkey.InMemory(), now{memory}, revocation.Options{})
		const watchers = 3
		var heard [watchers][][]revocation.Change
		for i := range watchers {
			watch := s.list.Watch(ctx) // counts from here on
			go func() {
				for changes := range watch {
					heard[i] = append(heard[i], changes)
				}
			}()
		}
		stuck, left := make(chan struct{}), [][]revocation.Change{}
		watch := s.list.Watch(ctx)
		go func() {
			for changes := range watch {
				left = append(left, changes)
				<-stuck
			}
		}()
		once := 0
		watch2 := s.list.Watch(ctx)
		go func() {
			for range watch2 {
				once++
				break
			}
		}()

		s.refresh(t)
		want := [][]revocation.Change{nil} // a full load
		for i := range 5000 {
			what := revocation.Token(tokenID(i))
			require.NoError(t, memory.Revoke(ctx, what, time.Time{}, ""))
			s.refresh(t)
			s.refresh(t) // which is no news
			want = append(want, []revocation.Change{{What: what}})
			synctest.Wait()
		}
		for i := range watchers {
			require.Equal(t, want, heard[i])
		}
		require.Equal(t, 1, once)
		close(stuck)
		synctest.Wait()
		require.Equal(t, [][]revocation.Change{nil, nil}, left, "who was left behind hears that anything may have changed")
		last := revocation.Key("k")
		require.NoError(t, memory.Revoke(ctx, last, time.Time{}, ""))
		s.refresh(t)
		synctest.Wait()
		require.Equal(t, []revocation.Change{{What: last}}, left[len(left)-1])

		stop()
		synctest.Wait()
		for range s.list.Watch(ctx) {
			t.Fatal("ended")
		}
	})
}

// TestWatchOfMany: a change too large to be kept is told to those who wait for it.
func TestWatchOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := revocation.NewMemory(nil)
		s := filled(t, now{memory})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var heard [][]revocation.Change
		watch := s.list.Watch(ctx)
		go func() {
			for changes := range watch {
				heard = append(heard, changes)
			}
		}()
		for i := range 5000 {
			require.NoError(t, memory.Revoke(ctx, revocation.Token(tokenID(i)), time.Time{}, ""))
		}
		s.refresh(t)
		synctest.Wait()
		require.Len(t, heard, 2)
		require.Len(t, heard[0], 5000)
		require.Nil(t, heard[1])
		require.NoError(t, memory.Revoke(ctx, revocation.Key("k"), time.Time{}, ""))
		s.refresh(t)
		synctest.Wait()
		require.Equal(t, []revocation.Change{{What: revocation.Key("k")}}, heard[2])
	})
}
