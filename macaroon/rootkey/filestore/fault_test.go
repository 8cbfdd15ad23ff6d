//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package filestore_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
)

// steps are those of a write, in the order in which they make it safe: the file's bytes are on disk
// before it has its name, and the name is on disk before anybody is told.
var steps = []string{"create", "share", "write", "sync", "close", "rename", "sync directory"}

func TestSteps(t *testing.T) {
	s := open(t, newPath(t), sealer(t, 1))
	var got []string
	s.SetBefore(func(step string) error {
		got = append(got, step)
		return nil
	})
	put(t, s, keys(1))
	require.Equal(t, steps, got)
}

// TestFaults: each step of a write fails in turn.
func TestFaults(t *testing.T) {
	boom := errors.New("boom")
	for _, fails := range steps {
		t.Run(fails, func(t *testing.T) {
			path := newPath(t)
			s, other := open(t, path, sealer(t, 1)), open(t, path, sealer(t, 1))
			version := put(t, s, keys(1))
			before := func(step string) error {
				if step == fails {
					return boom
				}
				return nil
			}
			left := 1
			if fails == "sync directory" {
				left = 2 // It is in its place already.
			}

			s.SetBefore(before)
			_, swapped, err := s.Swap(t.Context(), version, keys(2))
			require.ErrorIs(t, err, boom)
			require.False(t, swapped)
			requireHolds(t, s, keys(left))
			requireHolds(t, other, keys(left))
			require.ElementsMatch(t, []string{"keys", "keys.lock"}, names(t, path))
			s.SetBefore(nil)
			put(t, s, keys(3))

			// The sealer follows the file.
			next := sealer(t, 2)
			former, err := os.ReadFile(path)
			require.NoError(t, err)
			s.SetBefore(before)
			require.ErrorIs(t, s.Rewrap(t.Context(), next), boom)
			requireHolds(t, s, keys(3))
			by := []*seal.Sealer{sealer(t, 1), next}[left-1]
			requireHolds(t, open(t, path, by), keys(3))
			require.ElementsMatch(t, []string{"keys", "keys.lock"}, names(t, path))
			s.SetBefore(nil)
			// A file system that stops now may come back with the former file.
			require.NoError(t, os.WriteFile(path, former, 0o600))
			requireHolds(t, s, keys(3))
			require.NoError(t, s.Rewrap(t.Context(), next))
			requireHolds(t, s, keys(3))
			requireHolds(t, open(t, path, next), keys(3))
			put(t, s, keys(4))
			requireHolds(t, open(t, path, next), keys(4))
		})
	}
}

// TestCancelledSteps: the context ends at each step in turn. Once the file is in its place
// it is written, whatever the context says.
func TestCancelledSteps(t *testing.T) {
	for i, at := range steps {
		t.Run(at, func(t *testing.T) {
			path := newPath(t)
			s := open(t, path, sealer(t, 1))
			version := put(t, s, keys(1))
			ctx, cancel := context.WithCancel(t.Context())
			s.SetBefore(func(step string) error {
				if step == at {
					cancel()
				}
				return nil
			})
			_, swapped, err := s.Swap(ctx, version, keys(2))
			if i < 5 {
				require.ErrorIs(t, err, context.Canceled)
				requireHolds(t, s, keys(1))
			} else {
				require.NoError(t, err)
				require.True(t, swapped)
				requireHolds(t, s, keys(2))
			}
			require.ElementsMatch(t, []string{"keys", "keys.lock"}, names(t, path))
			put(t, s, keys(3))
		})
	}
}
