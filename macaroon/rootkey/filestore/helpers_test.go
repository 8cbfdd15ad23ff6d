//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package filestore_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/filestore"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
)

var long = os.Getenv("AMARETTI_LONG") != ""

// sealer gives one under the key of a number.
func sealer(t testing.TB, number byte) *seal.Sealer {
	t.Helper()
	s, err := seal.NewKey(append(bytes.Repeat([]byte{number}, 31), ^number))
	require.NoError(t, err)
	return s
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "keys") }

func open(t testing.TB, path string, sealer *seal.Sealer) *filestore.Store {
	t.Helper()
	s, err := filestore.New(path, sealer, filestore.Options{})
	require.NoError(t, err)
	return s
}

func openReadOnly(t testing.TB, path string, sealer *seal.Sealer) *filestore.Store {
	t.Helper()
	s, err := filestore.New(path, sealer, filestore.Options{ReadOnly: true})
	require.NoError(t, err)
	return s
}

// keys gives the set of a number: one to seven records that tell it.
func keys(number int) map[string][]byte {
	records := make(map[string][]byte)
	for i := range 1 + number%7 {
		records[fmt.Sprintf("%013d", i)] = fmt.Appendf(nil, "%d of set %d", i, number)
	}
	return records
}

// number undoes keys. It is -1 for anything else.
func number(records map[string][]byte) int {
	n := -1
	fmt.Sscanf(string(records["0000000000000"]), "0 of set %d", &n)
	want := keys(max(n, 0))
	for id, record := range records {
		if !bytes.Equal(want[id], record) {
			return -1
		}
	}
	if len(records) != len(want) {
		return -1
	}
	return n
}

// put replaces whatever there is.
func put(t testing.TB, s *filestore.Store, records map[string][]byte) (version string) {
	t.Helper()
	_, version, _, err := s.Load(t.Context(), "")
	require.NoError(t, err)
	version, swapped, err := s.Swap(t.Context(), version, records)
	require.NoError(t, err)
	require.True(t, swapped)
	return version
}

func requireHolds(t testing.TB, s *filestore.Store, records map[string][]byte) {
	t.Helper()
	got, _, found, err := s.Load(t.Context(), "")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, records, got)
}

// requireError requires that Load fails and gives nothing. A nil want is any error.
func requireError(t testing.TB, s *filestore.Store, known string, want error, what ...any) error {
	t.Helper()
	records, version, found, err := s.Load(t.Context(), known)
	require.Error(t, err, what...)
	if want != nil {
		require.ErrorIs(t, err, want, what...)
	}
	require.ErrorContains(t, err, "filestore: ", what...)
	require.Nil(t, records, what...)
	require.Empty(t, version, what...)
	require.False(t, found, what...)
	return err
}

// names lists what there is in the directory of a path.
func names(t testing.TB, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}
