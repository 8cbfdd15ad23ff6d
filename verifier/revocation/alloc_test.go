//go:build !race

package revocation_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

// clean is a token that nothing revokes, as a verifier asks about it.
func clean() verifier.Revocable {
	return verifier.Revocable{KeyID: "abcdefghijklm", TokenID: macaroon.TokenID{1}, Subject: "billing", IssuedAt: time.Now()}
}

func TestAllocationsOfLooking(t *testing.T) {
	memory := revocation.NewMemory(nil)
	list, err := revocation.NewList(memory, time.Hour, revocation.Options{})
	require.NoError(t, err)
	for _, what := range []revocation.What{revocation.Key("k"), revocation.Subject("s"), revocation.SubjectUntil("s", time.Now()), revocation.Token(macaroon.TokenID{2}), revocation.Branch([16]byte{3})} {
		require.NoError(t, memory.Revoke(t.Context(), what, time.Time{}, ""))
	}
	require.NoError(t, list.Refresh(t.Context()))
	token := clean()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if revoked, err := list.Revoked(token); revoked || err != nil {
			t.Fatal(revoked, err)
		}
	}))
}

// TestAllocatedBytesOfEntries: at most 64 bytes for each, of whatever kind, also after
// changes.
func TestAllocatedBytesOfEntries(t *testing.T) {
	memory := manyRevoked(t)
	list, err := revocation.NewList(now{memory}, time.Hour, revocation.Options{})
	require.NoError(t, err)
	used := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := used()
	require.NoError(t, list.Refresh(t.Context()))
	require.LessOrEqual(t, int64(used())-int64(before), int64(64*many()))
	for i := range 10_000 {
		require.NoError(t, memory.Revoke(t.Context(), revocation.Token(tokenID(-1-i)), time.Time{}, ""))
	}
	before = used()
	require.NoError(t, list.Refresh(t.Context()))
	require.LessOrEqual(t, int64(used())-int64(before), int64(64*10_000))
	runtime.KeepAlive(list)
	runtime.KeepAlive(memory)
}
