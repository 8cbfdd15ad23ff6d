package rootkey

import (
	"context"
	"fmt"
)

// A Store keeps a set of root keys for the processes that share it: small sealed
// records, replaced together. It is made of standard-library types, so that an
// implementation imports nothing of this package. Package storetest holds
// implementations to the rules below.
//
// The set is one value. Every version of it that anybody wrote is there whole or not
// at all, also after a crash in the middle of writing, and who reads sees one version
// and no mixture of two.
//
// Records are secret and opaque: a store seals them before they leave the process
// (package seal), bound to its own name and to the key's id, and gives them back
// unchanged or with an error, never damaged or in part.
//
// A version is an opaque text of at most 64 bytes, new with each write and never
// used again, also after a return to former contents. The empty version is that of a
// store in which nothing has ever been written.
//
// Methods must be safe for concurrent use, by this process and by others. They must
// not hold on to the maps and slices that they are given, nor change them; what they
// return is the caller's. They must heed ctx: once it is done they return soon, with
// an error for which errors.Is finds ctx.Err(). An error means that nothing is known, or,
// from Swap, that the set may or may not have been written; it must not show key
// material. After an error the store works again as soon as what it stands on does.
type Store interface {
	// Load gives all records by key id, and the version of the set. If that is
	// known, it gives found false and the other results are zero: there is nothing new.
	// So found is false for the empty store and known "".
	Load(ctx context.Context, known string) (records map[string][]byte, version string, found bool, err error)

	// Swap puts records in the place of the whole set if its version is still known,
	// and gives the new version. Otherwise it writes nothing and gives swapped false.
	// Of any number of writers that know the same version, one at most swaps. A
	// store that can't be written returns an error for which errors.Is finds
	// errors.ErrUnsupported. An empty set may be written; it is not the same as
	// nothing ever written.
	Swap(ctx context.Context, known string, records map[string][]byte) (version string, swapped bool, err error)
}

// guarded is a store whose panics are errors. A store is other people's code, some of which runs in a
// goroutine where nobody recovers. What it panics with may be a key, so that is not shown.
type guarded struct{ Store }

func (g guarded) Load(ctx context.Context, known string) (records map[string][]byte, version string, found bool, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = panicked(value)
		}
	}()
	return g.Store.Load(ctx, known)
}

func (g guarded) Swap(ctx context.Context, known string, records map[string][]byte) (version string, swapped bool, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = panicked(value)
		}
	}()
	return g.Store.Swap(ctx, known, records)
}

func panicked(value any) error { return fmt.Errorf("the store panicked with a %T", value) }
