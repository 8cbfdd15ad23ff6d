//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package filestore_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
)

// volume is a directory as Kubernetes mounts a secret: the file is a link to ..data/keys, and
// ..data is a link to a directory with a time in its name. To update it, a new such directory is filled,
// a new link to it is renamed to ..data, and the former directory is removed.
type volume struct {
	dir     string
	updates int
}

func newVolume(t *testing.T) *volume {
	v := &volume{dir: filepath.Join(t.TempDir(), "volume")}
	require.NoError(t, os.Mkdir(v.dir, 0o755))
	require.NoError(t, os.Chmod(v.dir, 0o777|fs.ModeSticky))
	require.NoError(t, os.Symlink(filepath.Join("..data", "keys"), v.path()))
	return v
}

func (v *volume) path() string { return filepath.Join(v.dir, "keys") }

func (v *volume) update(t *testing.T, mode fs.FileMode, secret []byte) {
	t.Helper()
	v.updates++
	name := fmt.Sprintf("..2026_01_02_15_04_05.%09d", v.updates)
	require.NoError(t, os.Mkdir(filepath.Join(v.dir, name), 0o755))
	file := filepath.Join(v.dir, name, "keys")
	require.NoError(t, os.WriteFile(file, secret, mode))
	require.NoError(t, os.Chmod(file, mode))
	data := filepath.Join(v.dir, "..data")
	former, _ := os.Readlink(data)
	require.NoError(t, os.Symlink(name, data+"_tmp"))
	require.NoError(t, os.Rename(data+"_tmp", data))
	if former != "" {
		require.NoError(t, os.RemoveAll(filepath.Join(v.dir, former)))
	}
}

// sealed gives the file of a set.
func sealed(t *testing.T, by *seal.Sealer, number int) []byte {
	t.Helper()
	path := newPath(t)
	put(t, open(t, path, by), keys(number))
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	return file
}

func TestKubernetes(t *testing.T) {
	v := newVolume(t)
	s := openReadOnly(t, v.path(), sealer(t, 1))
	requireError(t, s, "", fs.ErrNotExist)
	v.update(t, 0o644, sealed(t, sealer(t, 1), 1))
	require.ErrorContains(t, requireError(t, s, "", nil), "0644")

	v.update(t, 0o440, sealed(t, sealer(t, 1), 1))
	requireHolds(t, s, keys(1))
	v.update(t, 0o400, sealed(t, sealer(t, 1), 2))
	requireHolds(t, s, keys(2))

	// A bad update is an error until there is a good one.
	v.update(t, 0o400, sealed(t, sealer(t, 2), 3))
	requireError(t, s, "", seal.ErrOpen)
	v.update(t, 0o400, sealed(t, sealer(t, 1), 4))
	requireHolds(t, s, keys(4))

	// Nothing has been left beside it.
	require.Len(t, names(t, v.path()), 3)
}

// TestKubernetesSwapUnderLoad: readers beside updates see whole sets and
// no error.
func TestKubernetesSwapUnderLoad(t *testing.T) {
	updates := 100
	if long {
		updates = 5000
	}
	v := newVolume(t)
	files := make([][]byte, 10)
	for i := range files {
		files[i] = sealed(t, sealer(t, 1), i)
	}
	v.update(t, 0o400, files[0])

	var stop atomic.Bool
	ended := make(chan error, 3)
	for range cap(ended) {
		s := openReadOnly(t, v.path(), sealer(t, 1))
		go func() {
			var known string
			ended <- func() error {
				for !stop.Load() {
					records, version, found, err := s.Load(context.Background(), known)
					if err != nil {
						return err
					}
					if !found {
						continue
					}
					if number(records) < 0 {
						return errors.New("no set that was written")
					}
					known = version
				}
				return nil
			}()
		}()
	}
	for i := range updates {
		v.update(t, 0o400, files[i%len(files)])
	}
	stop.Store(true)
	for range cap(ended) {
		require.NoError(t, <-ended)
	}
}
