//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package filestore_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWaiting: who waits for the lock goes when his context ends, and has written
// nothing.
func TestWaiting(t *testing.T) {
	path := newPath(t)
	s, other := open(t, path, sealer(t, 1)), open(t, path, sealer(t, 1))
	version := put(t, s, keys(1))

	writing, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.SetBefore(func(string) error {
		once.Do(func() {
			close(writing)
			<-goOn
		})
		return nil
	})
	written := make(chan error, 1)
	go func() {
		_, swapped, err := s.Swap(context.Background(), version, keys(2))
		if err == nil && !swapped {
			err = errors.New("not swapped")
		}
		written <- err
	}()
	<-writing

	// Another caller of the same store, and another process.
	for name, wait := range map[string]func(context.Context) error{
		"Swap, same store":    func(ctx context.Context) error { _, _, err := s.Swap(ctx, version, keys(3)); return err },
		"Swap, other store":   func(ctx context.Context) error { _, _, err := other.Swap(ctx, version, keys(3)); return err },
		"Rewrap, same store":  func(ctx context.Context) error { return s.Rewrap(ctx, sealer(t, 2)) },
		"Rewrap, other store": func(ctx context.Context) error { return other.Rewrap(ctx, sealer(t, 2)) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		require.ErrorIs(t, wait(ctx), context.DeadlineExceeded, name)
		cancel()
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		require.ErrorIs(t, wait(ctx), context.Canceled, name)
	}
	// Readers don't wait.
	requireHolds(t, s, keys(1))
	requireHolds(t, other, keys(1))

	close(goOn)
	require.NoError(t, <-written)
	requireHolds(t, other, keys(2))
	put(t, other, keys(3))
}

// TestLockFile: another process holds the lock, and then somebody removes it.
func TestLockFile(t *testing.T) {
	path := newPath(t)
	s := open(t, path, sealer(t, 1))
	put(t, s, keys(1))
	info, err := os.Stat(path + ".lock")
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode())

	f, err := os.OpenFile(path+".lock", os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, _, err = s.Swap(ctx, "", keys(2))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	requireHolds(t, s, keys(1))
	require.NoError(t, os.Remove(path+".lock"))
	put(t, s, keys(2))
	require.FileExists(t, path+".lock")
}
