//go:build !race

package chain_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/internal/chain"
)

func TestAllocations(t *testing.T) {
	var h chain.Hasher
	sig := [chain.Size]byte{1}
	vid := chain.Seal(&sig, &sig)
	other := sig
	long := strings.Repeat("x", 4<<10)
	for _, condition := range []string{"", "short", long[:191], long[:192], long[:193], long} {
		require.Zero(t, testing.AllocsPerRun(100, func() { h.FirstParty(&sig, condition) }), len(condition))
		require.Zero(t, testing.AllocsPerRun(100, func() { h.ThirdParty(&sig, vid, condition) }), len(condition))
		require.Zero(t, testing.AllocsPerRun(100, func() {
			var fresh chain.Hasher
			fresh.FirstParty(&sig, condition)
		}), "a hasher on the stack, %d", len(condition))
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { h.Bind(&other, &sig) }))
}
