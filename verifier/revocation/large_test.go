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
	"github.com/amaretti-go/amaretti/verifier"
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

// TestManyAreLoadedWhileVerifying: a full load, over HTTP, into the list by which tokens are being
// decided on, and a change after it.
func TestManyAreLoadedWhileVerifying(t *testing.T) {
	few, many := revocation.NewMemory(nil), manyRevoked(t)
	_, remote := serve(t, many, allow)
	feed := &faulty{Feed: now{few}}
	s := newServiceWithin(t, time.Hour, rootkey.InMemory(), feed, revocation.Options{})
	good, bad, next := s.mint(t, "good"), s.mint(t, "bad"), s.mint(t, "next")
	for _, memory := range []*revocation.Memory{few, many} {
		require.NoError(t, memory.Revoke(t.Context(), revocation.Token(identifier(t, bad).TokenID), time.Time{}, ""))
	}
	s.refresh(t)

	var decided atomic.Int64
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			pause := time.NewTicker(10 * time.Millisecond) // loading needs the processor too
			defer pause.Stop()
			for {
				select {
				case <-done:
					return
				case <-pause.C:
				}
				if got := s.decide(t, good); got != "" {
					t.Error(got)
					return
				}
				if got := s.decide(t, bad); got != "revoked" {
					t.Error(got)
					return
				}
				decided.Add(1)
			}
		})
	}
	before := decided.Load()
	feed.Feed = now{remote}
	s.refresh(t)
	require.Greater(t, decided.Load(), before)
	require.NoError(t, many.Revoke(t.Context(), revocation.Token(identifier(t, next).TokenID), time.Time{}, ""))
	require.Empty(t, s.decide(t, next))
	s.refresh(t)
	require.Equal(t, "revoked", s.decide(t, next))
	close(done)
	wg.Wait()
	revoked, err := s.list.Revoked(verifier.Revocable{KeyID: "k", TokenID: tokenID(0)})
	require.NoError(t, err)
	require.True(t, revoked, "all were loaded")
}
