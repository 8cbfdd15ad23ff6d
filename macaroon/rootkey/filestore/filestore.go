package filestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
)

// Options are how a store differs from others. The zero value is good for most.
type Options struct {
	_ [0]func() // fields are to be named

	// Name is what the file is sealed for: a file sealed under the same key for
	// another name doesn't open. Empty means "default".
	Name string

	// ReadOnly is for a file that somebody else writes or replaces. It may be
	// reached through symbolic links, which may change. If it isn't there, that is an
	// error, where otherwise it is an empty store.
	ReadOnly bool
}

// Store is a set of root keys in a file. It satisfies [rootkey.Store], and is safe for
// concurrent use, by any number of processes.
//
// [rootkey.Store]: https://pkg.go.dev/github.com/amaretti-go/amaretti/macaroon/rootkey#Store
type Store struct {
	path, dir string
	name      string
	readOnly  bool

	mu     sync.RWMutex // held for writing while the file and its sealer change together
	sealer *seal.Sealer

	turn chan struct{} // holds a value while one of the store's callers writes
	seen atomic.Bool   // whether the file has been there

	before func(step string) error // for tests: called before each step of a write
}

// New makes a store of the file at path, which need not exist yet; its directory
// must. It does not look at either: what is wrong with them is an error of each
// call, until it is put right. A relative path is that of now, also if the process goes elsewhere.
func New(path string, sealer *seal.Sealer, options Options) (*Store, error) {
	if !supported {
		return nil, fmt.Errorf("filestore: on this system: %w", errors.ErrUnsupported)
	}
	var problems []error
	if path == "" {
		problems = append(problems, errors.New("filestore: no path"))
	}
	if sealer == nil {
		problems = append(problems, errors.New("filestore: no sealer"))
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		problems = append(problems, fmt.Errorf("filestore: %w", err))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	options.Name = cmp.Or(options.Name, "default")
	return &Store{
		path:     absolute,
		dir:      filepath.Dir(absolute),
		name:     options.Name,
		readOnly: options.ReadOnly,
		sealer:   sealer,
		turn:     make(chan struct{}, 1),
	}, nil
}

// Load gives all records; see [rootkey.Store]. The file is read each time, and
// opened only if its version is not the one that is known.
//
// A file that does not open is an error for which errors.Is finds [seal.ErrOpen]. A file
// that has been there and is no more is not an empty store, but an error that is
// fs.ErrNotExist.
//
// [rootkey.Store]: https://pkg.go.dev/github.com/amaretti-go/amaretti/macaroon/rootkey#Store
func (s *Store) Load(ctx context.Context, known string) (records map[string][]byte, version string, found bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", false, s.failed("loading", err)
	}
	now, err := s.load(known)
	if err != nil {
		return nil, "", false, s.failed("loading", err)
	}
	if now.version == known {
		return nil, "", false, nil
	}
	return now.records, now.version, true, nil
}

// Swap puts records in the place of the whole set; see [rootkey.Store]. A set whose
// file would be larger than 4 MiB is an error. One that is refused because the file does not
// open leaves it as it is.
//
// [rootkey.Store]: https://pkg.go.dev/github.com/amaretti-go/amaretti/macaroon/rootkey#Store
func (s *Store) Swap(ctx context.Context, known string, records map[string][]byte) (version string, swapped bool, err error) {
	release, err := s.lock(ctx)
	if err != nil {
		return "", false, s.failed("writing", err)
	}
	defer release()
	now, err := s.load("")
	if err != nil {
		return "", false, s.failed("writing", err)
	}
	if now.version != known {
		return "", false, nil
	}
	next, err := sealSet(s.sealer, s.name, records)
	if err != nil {
		return "", false, s.failed("writing", err)
	}
	if _, err := s.replace(ctx, now.group, next); err != nil {
		return "", false, s.failed("writing", err)
	}
	return versionOf(next), true, nil
}

// Rewrap seals the file anew, as to does, and from then on the store uses to. All
// keys go over in one step. The version changes, the records don't.
//
// It is the third of the four steps in the documentation of package seal: by then every other
// process has to seal as to does, and to open what was sealed before.
//
// It may be called again, by each of them. After an error the file may be sealed either
// way; the store opens it.
func (s *Store) Rewrap(ctx context.Context, to *seal.Sealer) error {
	if to == nil {
		return s.failed("rewrapping", errors.New("no sealer"))
	}
	release, err := s.lock(ctx)
	if err != nil {
		return s.failed("rewrapping", err)
	}
	defer release()
	now, err := s.load("")
	if err != nil {
		return s.failed("rewrapping", err)
	}
	next, err := sealSet(to, s.name, now.records)
	if err != nil {
		return s.failed("rewrapping", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.version != "" { // else there is nothing to seal
		replaced, err := s.replace(ctx, now.group, next)
		if err != nil {
			if replaced { // Whether that stays so, if the machine stops now, is not known.
				s.sealer = to.AlsoOpens(s.sealer)
			}
			return s.failed("rewrapping", err)
		}
	}
	s.sealer = to
	return nil
}

// String tells the path.
func (s *Store) String() string { return "file store " + s.path }

func (s *Store) failed(doing string, err error) error {
	return fmt.Errorf("filestore: %s %s: %w", doing, s.path, err)
}
