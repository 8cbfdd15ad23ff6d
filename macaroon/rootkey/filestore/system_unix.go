//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"syscall"
	"time"
)

const supported = true

// openFile opens a file for reading. It does not wait for the other end of a pipe.
func openFile(path string, follow bool) (*os.File, error) {
	flags := os.O_RDONLY | syscall.O_NONBLOCK
	if !follow {
		flags |= syscall.O_NOFOLLOW
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil && !follow {
		if info, statErr := os.Lstat(path); statErr == nil && info.Mode()&fs.ModeSymlink != 0 {
			return nil, errors.New("a symbolic link: a store that is written needs the path of the file itself")
		}
	}
	return f, err
}

// groupOf gives the group of a file.
func groupOf(info fs.FileInfo) *int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	group := int(stat.Gid)
	return &group
}

// lockFile takes the lock of a file, which it makes if it isn't there. The system releases it
// when the process ends, however it ends. It is a lock of the open file, so it also excludes
// others in this process.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	for wait := time.Millisecond; ; wait = min(2*wait, 32*time.Millisecond) {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, fmt.Errorf("locking: %w", err)
		}
		// Asking again and again, since a call that waits could not be ended with ctx.
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another writer: %w", ctx.Err())
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
}

// syncDir writes a directory to disk.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems know no syncing of directories
		return err
	}
	return nil
}
