//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package filestore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/filestore"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/storetest"
)

func TestContract(t *testing.T) {
	passphrase, err := seal.NewPassphrase([]byte("correct horse battery staple"))
	require.NoError(t, err)
	for name, sealer := range map[string]*seal.Sealer{
		"key":        sealer(t, 1),
		"passphrase": passphrase,
		"plaintext":  seal.InsecurePlaintext(),
	} {
		if name == "key" || long { // in all else they differ in nothing
			t.Run(name, func(t *testing.T) {
				storetest.Run(t, func(t *testing.T) func() rootkey.Store {
					path := newPath(t)
					return func() rootkey.Store { return open(t, path, sealer) }
				})
			})
		}
		t.Run(name+" read-only", func(t *testing.T) {
			storetest.RunReadOnly(t, func(t *testing.T) (_, _ rootkey.Store) {
				path := newPath(t)
				return openReadOnly(t, path, sealer), open(t, path, sealer)
			})
		})
	}
}

func TestNew(t *testing.T) {
	_, err := filestore.New("", nil, filestore.Options{})
	require.ErrorContains(t, err, "no path")
	require.ErrorContains(t, err, "no sealer")

	// A zero Sealer is found out by the first write, which writes nothing.
	path := newPath(t)
	_, _, err = open(t, path, new(seal.Sealer)).Swap(t.Context(), "", keys(1))
	require.Error(t, err)
	require.NoFileExists(t, path)
}

func TestRelativePath(t *testing.T) {
	path := newPath(t)
	t.Chdir(filepath.Dir(path))
	s := open(t, "keys", sealer(t, 1))
	t.Chdir(t.TempDir())
	put(t, s, keys(1))
	require.FileExists(t, path)
	require.Equal(t, "file store "+path, s.String())
}

// Nothing of the file is left to trust: a byte changed, lost or added anywhere is an
// error, for readers and for writers, who leave the file as it is.
func TestDamage(t *testing.T) {
	for name, sealer := range map[string]*seal.Sealer{"key": sealer(t, 1), "plaintext": seal.InsecurePlaintext()} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			s := open(t, path, sealer)
			version := put(t, s, keys(1))
			good, err := os.ReadFile(path)
			require.NoError(t, err)
			check := func(what string, damaged []byte) {
				t.Helper()
				require.NoError(t, os.WriteFile(path, damaged, 0o600))
				for _, known := range []string{"", version} {
					requireError(t, s, known, nil, what)
					_, _, err := s.Swap(t.Context(), known, keys(2))
					require.Error(t, err, what)
				}
				require.Error(t, s.Rewrap(t.Context(), sealer), what)
				now, err := os.ReadFile(path)
				require.NoError(t, err)
				require.Equal(t, damaged, now, what)
			}
			for i := range good {
				damaged := bytes.Clone(good)
				damaged[i] ^= 1 << (i % 8)
				check(fmt.Sprintf("byte %d changed", i), damaged)
				check(fmt.Sprintf("cut to %d bytes", i), good[:i])
			}
			check("a byte more", append(bytes.Clone(good), 0))
			check("twice", append(bytes.Clone(good), good...))

			require.NoError(t, os.WriteFile(path, good, 0o600))
			requireHolds(t, s, keys(1))
			put(t, s, keys(2))
		})
	}
}

// TestWrongSealer: who can't open the file can't destroy it either.
func TestWrongSealer(t *testing.T) {
	path := newPath(t)
	version := put(t, open(t, path, sealer(t, 1)), keys(1))
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	passphrase, err := seal.NewPassphrase([]byte("correct horse battery staple"))
	require.NoError(t, err)
	otherName, err := filestore.New(path, sealer(t, 1), filestore.Options{Name: "other"})
	require.NoError(t, err)
	for name, s := range map[string]*filestore.Store{
		"other key":  open(t, path, sealer(t, 2)),
		"passphrase": open(t, path, passphrase),
		"plaintext":  open(t, path, seal.InsecurePlaintext()),
		"other name": otherName,
	} {
		requireError(t, s, "", seal.ErrOpen, name)
		for _, known := range []string{"", version} {
			_, _, err := s.Swap(t.Context(), known, keys(2))
			require.ErrorIs(t, err, seal.ErrOpen, name)
		}
		require.ErrorIs(t, s.Rewrap(t.Context(), sealer(t, 1)), seal.ErrOpen, name)

		// What is known to be there is not opened, so it costs no derivation.
		_, _, found, err := s.Load(t.Context(), version)
		require.NoError(t, err, name)
		require.False(t, found, name)
	}
	now, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, good, now)
}

// What one sealer has sealed for another purpose is no set of keys, though it opens.
func TestSealedForAnotherPurpose(t *testing.T) {
	path := newPath(t)
	s := open(t, path, sealer(t, 1))
	for name, row := range map[string]struct{ keyID, text string }{
		"a record of another store": {"aaaaaaaaaaaaa", `{"write":"x","records":{}}`},
		"no JSON":                   {filestore.Header, "secret"},
		"no object":                 {filestore.Header, `"secret"`},
		"no records":                {filestore.Header, `{"write":"x"}`},
		"no nonce":                  {filestore.Header, `{"records":{}}`},
		"a field more":              {filestore.Header, `{"write":"x","records":{},"more":"secret"}`},
		"no bytes":                  {filestore.Header, `{"write":"x","records":{"secret":"secret!"}}`},
		"something behind":          {filestore.Header, `{"write":"x","records":{}} {}`},
		"nothing":                   {filestore.Header, ``},
	} {
		sealed, err := sealer(t, 1).Seal("default", row.keyID, []byte(row.text))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, append([]byte(filestore.Header), sealed...), 0o600))
		err = requireError(t, s, "", nil, name)
		require.NotContains(t, err.Error(), "secret", name)
	}
	sealed, err := sealer(t, 1).Seal("default", filestore.Header, []byte(`{"write":"x","records":{}}`))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append([]byte(filestore.Header), sealed...), 0o600))
	requireHolds(t, s, map[string][]byte{})
}

// TestVanishedFile: that the file is gone is not the same as that there never was one. A keyring
// that believed the latter would refuse every token, and make a new key.
func TestVanishedFile(t *testing.T) {
	path := newPath(t)
	wrote, read, fresh := open(t, path, sealer(t, 1)), open(t, path, sealer(t, 1)), open(t, path, sealer(t, 1))
	version := put(t, wrote, keys(1))
	requireHolds(t, read, keys(1))
	require.NoError(t, os.Rename(path, path+".away"))
	for _, s := range []*filestore.Store{wrote, read} {
		for _, known := range []string{"", version} {
			requireError(t, s, known, fs.ErrNotExist)
			_, _, err := s.Swap(t.Context(), known, keys(2))
			require.ErrorIs(t, err, fs.ErrNotExist)
		}
		require.ErrorIs(t, s.Rewrap(t.Context(), sealer(t, 2)), fs.ErrNotExist)
	}
	_, _, found, err := fresh.Load(t.Context(), "")
	require.NoError(t, err)
	require.False(t, found)

	require.NoError(t, os.Rename(path+".away", path))
	requireHolds(t, wrote, keys(1))
	put(t, read, keys(2))
}

func TestReadOnlyNeedsAFile(t *testing.T) {
	path := newPath(t)
	s := openReadOnly(t, path, sealer(t, 1))
	requireError(t, s, "", fs.ErrNotExist)
	put(t, open(t, path, sealer(t, 1)), keys(1))
	requireHolds(t, s, keys(1))
	require.ErrorIs(t, s.Rewrap(t.Context(), sealer(t, 2)), errors.ErrUnsupported)
	require.NoError(t, os.Remove(path))
	requireError(t, s, "", fs.ErrNotExist)
}

func TestRewrap(t *testing.T) {
	path := newPath(t)
	before, after := sealer(t, 1), sealer(t, 2)
	s := open(t, path, before)
	former := open(t, path, before)                   // a process that has not been told
	other := open(t, path, before.AlsoOpens(after))   // one that has
	require.NoError(t, s.Rewrap(t.Context(), before)) // Nothing is written yet.
	require.NoFileExists(t, path)

	version := put(t, s, keys(6))
	requireHolds(t, former, keys(6))
	require.NoError(t, s.Rewrap(t.Context(), after))
	for _, s := range []*filestore.Store{s, other, open(t, path, after)} {
		requireHolds(t, s, keys(6))
	}
	requireError(t, former, "", seal.ErrOpen)
	_, now, found, err := s.Load(t.Context(), version)
	require.NoError(t, err)
	require.True(t, found, "it is another version, so that nobody relies on a key that is given up")
	require.NotEqual(t, version, now)

	// What is written from now on is under the new key. The old one has done.
	put(t, s, keys(7))
	requireHolds(t, open(t, path, after), keys(7))
	put(t, open(t, newPath(t), before), keys(8))
	oldPath := newPath(t)
	put(t, open(t, oldPath, before), keys(8))
	require.NoError(t, os.Rename(oldPath, path))
	requireError(t, s, "", seal.ErrOpen, "a file under the old key")

	require.Error(t, s.Rewrap(t.Context(), nil))
	require.Error(t, s.Rewrap(t.Context(), new(seal.Sealer)))
	// Each process may call it, also after the first.
	require.NoError(t, other.Rewrap(t.Context(), after))
	require.NoError(t, other.Rewrap(t.Context(), after))
	requireHolds(t, other, keys(8))
}

// The four steps to another key: of processes that have and have not taken the next yet, each opens what
// the others wrote.
func TestRewrapWithoutAnOutage(t *testing.T) {
	path, before, after := newPath(t), sealer(t, 1), sealer(t, 2)
	steps := []*seal.Sealer{before, before.AlsoOpens(after), after.AlsoOpens(before), after}
	for i := range len(steps) - 1 {
		former, next := open(t, path, steps[i]), open(t, path, steps[i+1])
		if steps[i+1] == after {
			rewraps := open(t, path, steps[i])
			require.NoError(t, rewraps.Rewrap(t.Context(), after))
			requireHolds(t, former, keys(4))
			put(t, former, keys(5))
			requireHolds(t, rewraps, keys(5))
			requireHolds(t, next, keys(5))
		}
		for n, s := range []*filestore.Store{former, next, former, next, former} {
			put(t, s, keys(n))
			requireHolds(t, former, keys(n))
			requireHolds(t, next, keys(n))
		}
	}
	requireError(t, open(t, path, before), "", seal.ErrOpen)
}

func TestRewrapBesideReaders(t *testing.T) {
	path := newPath(t)
	a, b := sealer(t, 1), sealer(t, 2)
	s := open(t, path, a)
	put(t, s, keys(6))
	done := make(chan struct{})
	failed := make(chan error, 4)
	for range cap(failed) {
		go func() {
			for {
				select {
				case <-done:
					failed <- nil
					return
				default:
				}
				records, _, _, err := s.Load(context.Background(), "")
				if err == nil && len(records) != len(keys(6)) {
					err = errors.New("another set")
				}
				if err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	for i := range 50 {
		to := a
		if i%2 == 0 {
			to = b
		}
		require.NoError(t, s.Rewrap(t.Context(), to))
	}
	close(done)
	for range cap(failed) {
		require.NoError(t, <-failed)
	}
}

func TestTooLarge(t *testing.T) {
	path := newPath(t)
	s := open(t, path, sealer(t, 1))
	version := put(t, s, keys(1))
	_, _, err := s.Swap(t.Context(), version, map[string][]byte{"aaaaaaaaaaaaa": make([]byte, filestore.MaxFile)})
	require.ErrorContains(t, err, "too large")
	requireHolds(t, s, keys(1))
	large := map[string][]byte{"aaaaaaaaaaaaa": make([]byte, filestore.MaxFile/4*3-1000)}
	put(t, s, large)
	requireHolds(t, s, large)

	require.NoError(t, os.Truncate(path, filestore.MaxFile+1))
	require.ErrorContains(t, requireError(t, s, "", nil), "bytes are more")
}

func TestIDs(t *testing.T) {
	_, _, err := open(t, newPath(t), sealer(t, 1)).Swap(t.Context(), "", map[string][]byte{"\xff": nil})
	require.ErrorContains(t, err, "no valid text")
}

func TestNothingPrints(t *testing.T) {
	kek := []byte("not text: \x00 and then some secret")
	sealer, err := seal.NewKey(kek)
	require.NoError(t, err)
	s := open(t, newPath(t), sealer)
	put(t, s, keys(1))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{s, struct{ s *filestore.Store }{s}} {
			out := fmt.Sprintf(verb, v)
			require.NotContains(t, out, "secret")
			require.NotContains(t, out, fmt.Sprintf("%x", "secret"))
			require.NotContains(t, out, "115 101 99 114 101 116")
		}
	}
}

func FuzzFile(f *testing.F) {
	key := sealer(f, 1)
	f.Add([]byte(`{"write":"x","records":{"aaaaaaaaaaaaa":"AAEC"}}`), true)
	f.Add([]byte(`{"write":"x","records":{"aaaaaaaaaaaaa":null}}`), true)
	f.Add([]byte(`{"write":"x","records":{}}`), true)
	f.Add([]byte("amaretti root keys 1\n\x01"), false)
	f.Add([]byte(``), false)
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if sealed { // so that what is inside is reached too
			text, err := key.Seal("default", filestore.Header, data)
			require.NoError(t, err)
			data = append([]byte(filestore.Header), text...)
		}
		records, err := filestore.OpenSet(key, "default", data)
		if err != nil {
			require.Nil(t, records)
			return
		}
		again, err := filestore.SealSet(key, "default", records)
		require.NoError(t, err)
		back, err := filestore.OpenSet(key, "default", again)
		require.NoError(t, err)
		require.Equal(t, records, back)
	})
}
