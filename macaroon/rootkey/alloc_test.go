//go:build !race

package rootkey_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

// What a verifier asks for in each decision costs no memory.
func TestReadingAllocatesNothing(t *testing.T) {
	k := open(t, rootkey.NewMemoryStore(), rootkey.Options{})
	known, unknown := mint(t, k), identifier(t, "aaaaaaaaaaaaa")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, found, err := k.RootSignature(t.Context(), known); !found || err != nil {
			panic("not found")
		}
		if _, err := k.Epoch(); err != nil {
			panic(err)
		}
	}))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, found, err := k.RootSignature(t.Context(), unknown); found || err != nil {
			panic("found")
		}
	}))
}
