package seal_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
)

func opens(s *seal.Sealer, sealed []byte) bool {
	_, err := s.Open("store", "id", sealed)
	return err == nil
}

func TestHolder(t *testing.T) {
	former, next, third := key(t, 1), key(t, 2), key(t, 3)
	sealedBy := func(s *seal.Sealer) []byte {
		sealed, err := s.Seal("store", "id", []byte("record"))
		require.NoError(t, err)
		return sealed
	}
	byFormer, byNext, byThird := sealedBy(former), sealedBy(next), sealedBy(third)
	h := seal.NewHolder(former)
	require.Same(t, former, h.Sealer())
	require.Same(t, former, h.Since(former))

	// A change that fails: both open, and nothing is sealed under the new one.
	boom := errors.New("boom")
	for range 2 {
		before := h.Sealer()
		require.Equal(t, boom, h.Change(next, func(both *seal.Sealer) error {
			require.Same(t, both, h.Sealer(), "from now on nothing is sealed as before")
			require.True(t, opens(next, sealedBy(both)))
			require.True(t, opens(both, byFormer))
			require.ErrorContains(t, h.Change(third, nil), "under way")
			return boom
		}))
		require.True(t, opens(former, sealedBy(h.Sealer())))
		require.True(t, opens(h.Sealer(), byNext), "it may have happened")
		require.False(t, opens(h.Sealer(), byThird))
		require.True(t, opens(h.Since(before), byFormer))
	}
	for _, none := range []*seal.Sealer{nil, new(seal.Sealer)} {
		require.Error(t, h.Change(none, func(*seal.Sealer) error { panic("called") }))
		require.True(t, opens(former, sealedBy(h.Sealer())))
	}

	// One to another: what was tried before may be there, and is not opened any more when that is over.
	before := h.Sealer()
	require.NoError(t, h.Change(third, func(both *seal.Sealer) error {
		require.True(t, opens(both, byNext))
		return nil
	}))
	require.Same(t, third, h.Sealer())
	require.False(t, opens(h.Sealer(), byFormer))
	require.True(t, opens(h.Since(before), byFormer), "read before, opened after")
	require.True(t, opens(h.Since(before), byThird))
	require.Equal(t, boom, h.Change(next, func(*seal.Sealer) error { return boom }))
	require.True(t, opens(third, sealedBy(h.Sealer())))
	require.False(t, opens(h.Sealer(), byFormer))
}
