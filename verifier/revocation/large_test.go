package revocation_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

// many is how many entries a large list has: a million in full.
func many() int {
	if os.Getenv("AMARETTI_LONG") != "" {
		return 1_000_000
	}
	return 100_000
}

func tokenID(i int) macaroon.TokenID {
	id := macaroon.TokenID{15: 1}
	binary.BigEndian.PutUint64(id[:], uint64(i)*0x9e3779b97f4a7c15) // spread
	return id
}

// manyRevoked is a store of that many, of all kinds.
func manyRevoked(t testing.TB) *revocation.Memory {
	memory := revocation.NewMemory(nil)
	at := time.Now().Add(-time.Hour)
	for i := range many() {
		what := revocation.Token(tokenID(i))
		switch i % 10 {
		case 1:
			what = revocation.SubjectUntil(fmt.Sprint("subject ", i%(many()/2)), at.Add(-time.Duration(i)*time.Second))
		case 2:
			what = revocation.Subject(fmt.Sprint("former subject ", i))
		case 3:
			what = revocation.KeyUntil(fmt.Sprint("key ", i), at)
		case 4:
			what = revocation.Branch([16]byte(tokenID(i)))
		case 5:
			what = revocation.Foreign(fmt.Sprint("session ", i))
		}
		require.NoError(t, memory.Revoke(t.Context(), what, time.Time{}, ""))
	}
	return memory
}

// TestManyAreLoadedWhileVerifying: full loads, over HTTP, while tokens are decided on and more
// of them are revoked.
func TestManyAreLoadedWhileVerifying(t *testing.T) {
	memory := manyRevoked(t)
	_, remote := serve(t, memory, allow)
	s := newServiceWithin(t, time.Hour, rootkey.InMemory(), now{remote}, revocation.Options{})
	s.refresh(t)
	good, bad := s.mint(t, "good"), s.mint(t, "bad")
	require.NoError(t, memory.Revoke(t.Context(), revocation.Token(identifier(t, bad).TokenID), time.Time{}, ""))
	s.refresh(t)

	var done atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for ; !done.Load(); time.Sleep(time.Millisecond) { // loading needs the processor too
				if got := s.decide(t, good); got != "" {
					t.Error(got)
					return
				}
				if got := s.decide(t, bad); got != "revoked" {
					t.Error(got)
					return
				}
			}
		})
	}
	for i := range 2 {
		fresh := newServiceWithin(t, time.Hour, s.keys, now{remote}, revocation.Options{})
		fresh.refresh(t)
		require.Equal(t, "revoked", fresh.decide(t, bad))
		require.NoError(t, memory.Revoke(t.Context(), revocation.Token(tokenID(-1-i)), time.Time{}, ""))
		s.refresh(t)
	}
	done.Store(true)
	wg.Wait()
}
