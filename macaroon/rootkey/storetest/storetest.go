// Package storetest holds implementations of [rootkey.Store] to its rules.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) func() rootkey.Store {
//			path := filepath.Join(t.TempDir(), "keys")
//			return func() rootkey.Store { return open(t, path) }
//		})
//	}
//
// [Run] is for stores that are written, [RunReadOnly] for those that only read what
// another one wrote. A store that passes under the race detector too can be given to a
// keyring. What no suite can ask of every store remains for its own tests: that
// records are sealed, that what somebody changed behind its back is an error, that it
// outlives its process being killed, and what it does when the thing it stands on fails.
package storetest

import (
	"context"
	"testing"

	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

// Run tries a store. Each case, a subtest of t, calls fresh once or twice for
// a store of its own, in which nothing has been written. The open that fresh
// returns gives a handle on that store each time, as another process would have it; a store that
// can't be shared by processes gives the same each time. It is called from the goroutine of
// the test and at most ten times; what has to be closed is closed in t.Cleanup.
func Run(t *testing.T, fresh func(t *testing.T) (open func() rootkey.Store)) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(t *testing.T, open func() rootkey.Store)
	}{
		{"empty", empty},
		{"known", known},
		{"versions", versions},
		{"stale", stale},
		{"contents", contents},
		{"replace", replace},
		{"aliasing", aliasing},
		{"handles", handles},
		{"race", race},
		{"counter", counter},
		{"done", done},
		{"interrupted", interrupted},
		{"abandoned", abandoned},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, fresh(t)) })
	}
	t.Run("apart", func(t *testing.T) { apart(t, fresh(t)(), fresh(t)()) })
}

// RunReadOnly tries a store that can't be written. For each case fresh gives two
// handles on a new store: one that can't be written, and one that can, in which
// nothing has been written.
func RunReadOnly(t *testing.T, fresh func(t *testing.T) (readOnly, writable rootkey.Store)) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(t *testing.T, readOnly, writable rootkey.Store)
	}{
		{"follows", follows},
		{"unsupported", unsupported},
		{"done", func(t *testing.T, readOnly, writable rootkey.Store) {
			put(t, writable, numbered(1))
			loadDone(t, readOnly)
		}},
		{"aliasing", func(t *testing.T, readOnly, writable rootkey.Store) {
			put(t, writable, numbered(1))
			given(t, readOnly, numbered(1))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			readOnly, writable := fresh(t)
			c.run(t, readOnly, writable)
		})
	}
}

// load is Load, with those rules checked that hold for every call.
func load(ctx context.Context, s rootkey.Store, known string) (set, error) {
	records, version, found, err := s.Load(ctx, known)
	switch {
	case err != nil && (records != nil || version != "" || found):
		return set{}, broken("Load gives results beside the error %v", err)
	case err != nil:
		return set{}, silent(err)
	case !found && (records != nil || version != ""):
		return set{}, broken("Load(%q) gives found false, %d records and version %q: all are zero when nothing is found", known, len(records), version)
	case found && version == known:
		return set{}, broken("Load(%q) gives found true and the version that was known", known)
	case found && version == "" && len(records) > 0:
		return set{}, broken("Load(%q) gives records, and the version of the empty store", known)
	}
	return set{records, version, found}, form(version)
}

// swap is Swap, with those rules checked that hold for every call.
func swap(ctx context.Context, s rootkey.Store, known string, records map[string][]byte) (version string, swapped bool, err error) {
	before := clone(records)
	version, swapped, err = s.Swap(ctx, known, records)
	switch {
	case !equal(records, before):
		return "", false, broken("Swap changes the records it is given")
	case err != nil && (version != "" || swapped):
		return "", false, broken("Swap gives results beside the error %v", err)
	case err != nil:
		return "", false, silent(err)
	case !swapped && version != "":
		return "", false, broken("Swap gives swapped false and the version %q: there is no new one", version)
	case swapped && version == "":
		return "", false, broken("Swap gives the version of the empty store")
	case swapped && version == known:
		return "", false, broken("Swap gives the version that was known, %q", version)
	}
	return version, swapped, form(version)
}

// mustLoad ends the test if there is an error.
func mustLoad(t *testing.T, s rootkey.Store, known string) set {
	t.Helper()
	got, err := load(t.Context(), s, known)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return got
}

// mustSwap ends the test if there is an error.
func mustSwap(t *testing.T, s rootkey.Store, known string, records map[string][]byte) (version string, swapped bool) {
	t.Helper()
	version, swapped, err := swap(t.Context(), s, known, records)
	if err != nil {
		t.Fatalf("Swap: %v", err)
	}
	return version, swapped
}

// put replaces whatever there is by records, and gives the version.
func put(t *testing.T, s rootkey.Store, records map[string][]byte) string {
	t.Helper()
	version, swapped := mustSwap(t, s, mustLoad(t, s, "").version, records)
	if !swapped {
		t.Fatal("Swap with the version just loaded, and no other writer: not swapped")
	}
	return version
}

// holds checks that s holds records, in that version.
func holds(t *testing.T, s rootkey.Store, version string, records map[string][]byte) {
	t.Helper()
	got := mustLoad(t, s, "")
	if !got.found {
		t.Fatal("Load of a store that was written, with nothing known: not found")
	}
	if got.version != version {
		t.Errorf("the version is %q, not %q", got.version, version)
	}
	if !equal(got.records, records) {
		t.Errorf("the %d records are not the %d that were written", len(got.records), len(records))
	}
}
