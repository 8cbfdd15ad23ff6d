package filestore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// state is what was found in the file.
type state struct {
	records map[string][]byte // nil if the version was known, or there is no file
	version string            // "" if there is no file
	group   *int              // the group that may read the file, or nil
}

// load reads the file, and opens it unless its version is known.
func (s *Store) load(known string) (state, error) {
	// From reading to opening, so that Rewrap changes the sealer before or after.
	s.mu.RLock()
	defer s.mu.RUnlock()
	file, group, err := s.read()
	if err != nil || file == nil {
		return state{}, err
	}
	version := versionOf(file)
	if version == known {
		return state{version: version, group: group}, nil
	}
	records, err := openSet(s.sealer, s.name, file)
	if err != nil {
		return state{}, err
	}
	return state{records, version, group}, nil
}

// read gives the bytes of the file, nil if the store is empty, and the group that may read it.
func (s *Store) read() (file []byte, group *int, err error) {
	if err := s.checkDir(); err != nil {
		return nil, nil, err
	}
	f, err := s.open()
	if errors.Is(err, fs.ErrNotExist) && !s.readOnly && !s.seen.Load() {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	s.seen.Store(true)

	// Of what was opened, not of the path, which may lead elsewhere by now.
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, nil, errors.New("not a regular file")
	case mode.Perm()&0o027 != 0:
		return nil, nil, fmt.Errorf("the mode is %04o: others can read it, or others than its owner can write it; chmod 0600", mode.Perm())
	case info.Size() > maxFile:
		return nil, nil, fmt.Errorf("%d bytes are more than a file of root keys can have", info.Size())
	case mode.Perm()&0o040 != 0:
		group = groupOf(info)
	}
	// No more, should it grow meanwhile.
	file, err = io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, nil, err
	}
	return file, group, nil
}

func (s *Store) open() (*os.File, error) {
	if !s.readOnly {
		// Two paths to one file would have two locks, and a rename would replace the link.
		return openFile(s.path, false)
	}
	// Who follows a link while it is changed may find that what it led to is gone. He finds
	// what it leads to now.
	for try := 1; ; try++ {
		f, err := openFile(s.path, true)
		if !errors.Is(err, fs.ErrNotExist) || try == 16 {
			return f, err
		}
	}
}

// checkDir refuses a directory in which anybody can replace the file.
func (s *Store) checkDir() error {
	info, err := os.Stat(s.dir)
	if err != nil {
		return err
	}
	mode := info.Mode()
	if mode.Perm()&0o002 != 0 && (mode&fs.ModeSticky == 0 || !s.readOnly) {
		return fmt.Errorf("anybody can write in %s: use a directory of mode 0755 or less", s.dir)
	}
	return nil
}

// lock waits until nobody else writes.
func (s *Store) lock(ctx context.Context) (release func(), err error) {
	if s.readOnly {
		return nil, fmt.Errorf("it is read-only: %w", errors.ErrUnsupported)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.checkDir(); err != nil {
		return nil, err
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another writer: %w", ctx.Err())
	}
	unlock, err := lockFile(ctx, s.path+".lock")
	if err != nil {
		<-s.turn
		return nil, err
	}
	return func() {
		unlock()
		<-s.turn
	}, nil
}

// replace puts a new file in the place of the one that is there, which is not written to. The
// lock must be held. With an error, replaced says whether that has happened nevertheless.
func (s *Store) replace(ctx context.Context, group *int, file []byte) (replaced bool, err error) {
	s.tidy()
	var random [8]byte
	rand.Read(random[:])
	name := s.path + "." + hex.EncodeToString(random[:]) + newSuffix
	var f *os.File
	defer func() {
		if f != nil && !replaced {
			f.Close()
			os.Remove(name)
		}
	}()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"create", func() (err error) {
			f, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			return err
		}},
		{"share", func() error {
			if group == nil {
				return nil
			}
			if err := f.Chown(-1, *group); err != nil {
				return err
			}
			return f.Chmod(0o640)
		}},
		{"write", func() error { _, err := f.Write(file); return err }},
		{"sync", func() error { return f.Sync() }},
		{"close", func() error { return f.Close() }},
		{"rename", func() (err error) {
			err = os.Rename(name, s.path)
			replaced = err == nil
			return err
		}},
		// Until the directory is on disk too, a machine that stops may come up with the former
		// file.
		{"sync directory", func() error { return syncDir(s.dir) }},
	} {
		if err := ctx.Err(); err != nil && !replaced {
			return replaced, err
		}
		if s.before != nil {
			if err := s.before(step.name); err != nil {
				return replaced, err
			}
		}
		if err := step.do(); err != nil {
			return replaced, err
		}
	}
	s.seen.Store(true)
	return true, nil
}

const newSuffix = ".new"

// tidy removes what killed writers left. Nobody else writes now. What can't be removed
// does no harm.
func (s *Store) tidy() {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		random, ok := strings.CutPrefix(entry.Name(), filepath.Base(s.path)+".")
		if !ok {
			continue
		}
		random, ok = strings.CutSuffix(random, newSuffix)
		if raw, err := hex.DecodeString(random); ok && err == nil && len(raw) == 8 {
			os.Remove(filepath.Join(s.dir, entry.Name()))
		}
	}
}
