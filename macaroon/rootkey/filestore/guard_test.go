//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package filestore_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/filestore"
)

func TestModes(t *testing.T) {
	path := newPath(t)
	s, reader := open(t, path, sealer(t, 1)), openReadOnly(t, path, sealer(t, 1))
	put(t, s, keys(1))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())
	for mode := range fs.FileMode(0o1000) {
		if mode&0o400 == 0 {
			continue // We could not read it, which is another matter.
		}
		require.NoError(t, os.Chmod(path, mode))
		if mode&0o007 == 0 && mode&0o020 == 0 {
			requireHolds(t, s, keys(1))
			requireHolds(t, reader, keys(1))
			continue
		}
		for _, s := range []*filestore.Store{s, reader} {
			err := requireError(t, s, "", nil, "%o", mode)
			require.ErrorContains(t, err, "chmod 0600")
		}
		_, _, err := s.Swap(t.Context(), "", keys(2))
		require.ErrorContains(t, err, "chmod 0600")
	}
	require.NoError(t, os.Chmod(path, 0o600))
	put(t, s, keys(2))
}

// TestGroup: who has been allowed to read still may after a write.
func TestGroup(t *testing.T) {
	path := newPath(t)
	s := open(t, path, sealer(t, 1))
	put(t, s, keys(1))
	group := os.Getgid()
	if os.Getuid() == 0 {
		group = 54321 // Whoever is not root can give files to his own groups only.
		require.NoError(t, os.Chown(path, -1, group))
	}
	for _, mode := range []fs.FileMode{0o640, 0o600} {
		require.NoError(t, os.Chmod(path, mode))
		put(t, s, keys(2))
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode())
		if mode == 0o640 {
			require.EqualValues(t, group, info.Sys().(*syscall.Stat_t).Gid)
		}
	}
	require.NoError(t, os.Chmod(path, 0o640))
	require.NoError(t, s.Rewrap(t.Context(), sealer(t, 2)))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o640), info.Mode())
}

func TestDirectories(t *testing.T) {
	path := newPath(t)
	dir := filepath.Dir(path)
	s, reader := open(t, path, sealer(t, 1)), openReadOnly(t, path, sealer(t, 1))
	put(t, s, keys(1))
	for _, row := range []struct {
		mode        fs.FileMode
		write, read bool
	}{
		{0o700, true, true},
		{0o755, true, true},
		{0o775, true, true},
		{0o777, false, false},
		{0o702, false, false},
		{0o777 | fs.ModeSticky, false, true},
	} {
		require.NoError(t, os.Chmod(dir, row.mode))
		if row.write {
			put(t, s, keys(1))
		} else {
			requireError(t, s, "", nil, row.mode)
			_, _, err := s.Swap(t.Context(), "", keys(2))
			require.ErrorContains(t, err, "anybody can write", row.mode)
		}
		if row.read {
			requireHolds(t, reader, keys(1))
		} else {
			requireError(t, reader, "", nil, row.mode)
		}
	}
	require.NoError(t, os.Chmod(dir, 0o755))

	missing := filepath.Join(dir, "missing", "keys")
	s = open(t, missing, sealer(t, 1))
	requireError(t, s, "", fs.ErrNotExist, "no directory is not an empty store")
	_, _, err := s.Swap(t.Context(), "", keys(1))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, os.Mkdir(filepath.Dir(missing), 0o700))
	put(t, s, keys(1))
	require.NoError(t, os.Rename(filepath.Dir(missing), filepath.Dir(missing)+".away"))
	requireError(t, s, "", fs.ErrNotExist)
}

func TestNoFiles(t *testing.T) {
	const notRegular, link, foreign = "not a regular file", "symbolic link", "not a file of root keys"
	for name, row := range map[string]struct {
		make                func(path string) error
		whenWritten, whenRO string
	}{
		"a directory":   {func(path string) error { return os.Mkdir(path, 0o700) }, notRegular, notRegular},
		"a pipe":        {func(path string) error { return syscall.Mkfifo(path, 0o600) }, notRegular, notRegular},
		"an empty file": {func(path string) error { return os.WriteFile(path, nil, 0o600) }, foreign, foreign},
		"another file":  {func(path string) error { return os.WriteFile(path, []byte("amaretti root keys 2\nabc"), 0o600) }, foreign, foreign},
		"a device":      {func(path string) error { return os.Symlink("/dev/null", path) }, link, notRegular},
		"a link loop":   {func(path string) error { return os.Symlink(path, path) }, link, syscall.ELOOP.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			require.NoError(t, row.make(path))
			before := names(t, path)
			s := open(t, path, sealer(t, 1))
			require.ErrorContains(t, requireError(t, s, "", nil), row.whenWritten)
			_, _, err := s.Swap(t.Context(), "", keys(1))
			require.ErrorContains(t, err, row.whenWritten)
			require.ErrorContains(t, requireError(t, openReadOnly(t, path, sealer(t, 1)), "", nil), row.whenRO)
			require.ElementsMatch(t, append(before, "keys.lock"), names(t, path))
		})
	}
}

// TestLinks: a store that is written has one path, since its lock is beside it. One that only
// reads may have many.
func TestLinks(t *testing.T) {
	path := newPath(t)
	put(t, open(t, path, sealer(t, 1)), keys(1))
	link := newPath(t)
	require.NoError(t, os.Symlink(path, link))
	err := requireError(t, open(t, link, sealer(t, 1)), "", nil)
	require.ErrorContains(t, err, "symbolic link")
	_, _, err = open(t, link, sealer(t, 1)).Swap(t.Context(), "", keys(2))
	require.ErrorContains(t, err, "symbolic link")
	requireHolds(t, openReadOnly(t, link, sealer(t, 1)), keys(1))

	// A link to nothing is no empty store.
	require.NoError(t, os.Remove(path))
	requireError(t, open(t, link, sealer(t, 1)), "", nil)
	requireError(t, openReadOnly(t, link, sealer(t, 1)), "", fs.ErrNotExist)

	// A directory that is reached by a link is still the same one, with the same lock.
	put(t, open(t, path, sealer(t, 1)), keys(1))
	dir := filepath.Join(t.TempDir(), "dir")
	require.NoError(t, os.Symlink(filepath.Dir(path), dir))
	put(t, open(t, filepath.Join(dir, "keys"), sealer(t, 1)), keys(2))
	require.ElementsMatch(t, []string{"keys", "keys.lock"}, names(t, path))

	// A lock that is a link is somebody's trap.
	require.NoError(t, os.Remove(path+".lock"))
	trap := newPath(t)
	require.NoError(t, os.Symlink(trap, path+".lock"))
	_, _, err = open(t, path, sealer(t, 1)).Swap(t.Context(), "", keys(2))
	require.Error(t, err)
	require.NoFileExists(t, trap)
}

// TestLeftovers: what killed writers left is removed, and nothing else.
func TestLeftovers(t *testing.T) {
	path := newPath(t)
	s := open(t, path, sealer(t, 1))
	put(t, s, keys(1))
	stay := []string{
		"keys", "keys.lock", "keys.new", "keys.0123456789abcdef", "keys.0123456789abcde.new", "keys.0123456789abcdefff.new",
		"keys.0123456789abcdeg.new", "other.0123456789abcdef.new", "0123456789abcdef.new", "xkeys.0123456789abcdef.new",
	}
	for _, name := range append([]string{"keys.0123456789abcdef.new", "keys.ffffffffffffffff.new"}, stay[2:]...) {
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), name), nil, 0o600))
	}
	requireHolds(t, s, keys(1))
	put(t, s, keys(2))
	require.ElementsMatch(t, stay, names(t, path))
}

func TestNamesWithMeta(t *testing.T) {
	for i, name := range []string{"*", "[a-z]", " ", "%s", "-f", ".keys", "ключи"} {
		path := filepath.Join(t.TempDir(), name)
		s := open(t, path, sealer(t, 1))
		for n := range 3 {
			put(t, s, keys(n))
		}
		requireHolds(t, s, keys(2))
		require.Len(t, names(t, path), 2, strconv.Itoa(i))
	}
}
