//go:build !race

package rootkey_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon"
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

// A key that is not known costs the same hash as one that is. What stands behind the key id in
// an identifier of more than 4 KiB shows it: hashing that takes room which nothing else does.
func TestUnknownKeyCostsAHash(t *testing.T) {
	k := open(t, rootkey.NewMemoryStore(), rootkey.Options{})
	retired := keyID(t, mint(t, k))
	require.NoError(t, k.Retire(t.Context(), retired, time.Now()))
	_, err := k.Rotate(t.Context())
	require.NoError(t, err)
	known := keyID(t, mint(t, k))
	cost := func(keyID, behind string) (allocations float64) {
		b, err := macaroon.Identifier{KeyID: keyID, IssuedAt: time.Unix(1, 0)}.MarshalBinary()
		require.NoError(t, err)
		id := string(b) + behind
		_, found, err := k.RootSignature(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, keyID == known, found)
		return testing.AllocsPerRun(100, func() {
			if _, _, err := k.RootSignature(t.Context(), id); err != nil {
				panic(err)
			}
		})
	}
	long := strings.Repeat("x", 5000)
	require.Equal(t, cost(known, "")+1, cost(known, long), "the hash shows")
	for name, keyID := range map[string]string{
		"nobody's": "aaaaaaaaaaaaa", "no keyring's": "2024-06", "retired": retired,
	} {
		require.Equal(t, cost(known, ""), cost(keyID, ""), name)
		require.Equal(t, cost(known, long), cost(keyID, long), name)
	}
}
