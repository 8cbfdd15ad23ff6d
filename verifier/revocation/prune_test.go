package revocation_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/verifier/revocation"
)

// TestPrune: an entry is dropped past its until and not before, here and in every list. One that is for ever stays.
func TestPrune(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := revocation.NewMemory(nil)
		s := filled(t, now{memory})
		token := s.mint(t, "billing")
		what := revocation.Token(identifier(t, token).TokenID)
		require.ErrorIs(t, memory.Revoke(t.Context(), what, time.Now(), ""), revocation.ErrPast)
		require.NoError(t, memory.Revoke(t.Context(), what, time.Now().Add(time.Minute), ""))
		require.NoError(t, memory.Revoke(t.Context(), revocation.Subject("ops"), time.Time{}, ""))
		time.Sleep(time.Minute)
		n, err := memory.Prune(t.Context())
		require.NoError(t, err)
		require.Zero(t, n)
		s.refresh(t)
		require.Equal(t, "revoked", s.decide(t, token))

		time.Sleep(time.Second)
		n, err = memory.Prune(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		s.refresh(t)
		require.Empty(t, s.decide(t, token), "too early an until un-revokes")
		require.Equal(t, "revoked", s.decide(t, s.mint(t, "ops")))
	})
}

// TestListInOrder: the oldest first, each with the time of the last revocation.
func TestListInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := revocation.NewMemory(nil)
		start := time.Now().UTC()
		for _, name := range []string{"b", "d", "a", "b", "c"} {
			require.NoError(t, memory.Revoke(t.Context(), revocation.Key(name), time.Time{}, "for "+name))
			time.Sleep(time.Minute)
		}
		list, err := memory.List(t.Context())
		require.NoError(t, err)
		var want []revocation.Entry
		for i, name := range []string{"d", "a", "b", "c"} {
			want = append(want, revocation.Entry{What: revocation.Key(name), Reason: "for " + name, At: start.Add(time.Duration(i+1) * time.Minute)})
		}
		require.Equal(t, want, list)
	})
}

func TestLongPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := revocation.NewMemory(nil)
		first, err := memory.Changes(t.Context(), revocation.Cursor{}, time.Hour)
		require.NoError(t, err)
		require.True(t, first.Full)
		start := time.Now()
		empty, err := memory.Changes(t.Context(), first.To, time.Minute)
		require.NoError(t, err)
		require.Equal(t, revocation.Batch{From: first.To, To: first.To}, empty)
		require.Equal(t, time.Minute, time.Since(start))

		go func() {
			time.Sleep(time.Second)
			if err := memory.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""); err != nil {
				t.Error(err)
			}
		}()
		start = time.Now()
		b, err := memory.Changes(t.Context(), first.To, time.Minute)
		require.NoError(t, err)
		require.Equal(t, []revocation.Change{{What: revocation.Key("k")}}, b.Changes)
		require.Equal(t, time.Second, time.Since(start))
		b.Changes[0] = revocation.Change{} // it is the caller's
		again, err := memory.Changes(t.Context(), first.To, time.Minute)
		require.NoError(t, err)
		require.Equal(t, revocation.Batch{From: first.To, Changes: []revocation.Change{{What: revocation.Key("k")}}, To: b.To}, again)
		ahead, err := memory.Changes(t.Context(), revocation.Cursor{Log: b.To.Log, Seq: b.To.Seq + 1}, time.Minute)
		require.NoError(t, err)
		require.True(t, ahead.Full, "a cursor from the future is not from this log")
	})
}
