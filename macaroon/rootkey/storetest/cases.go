package storetest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

// neverGiven is the version of nothing.
const neverGiven = "never given"

// empty: nothing ever written, and an empty set, are two things.
func empty(t *testing.T, open func() rootkey.Store) {
	s := open()
	if got := mustLoad(t, s, ""); got.found {
		t.Error("Load of an empty store, whose version is known: found")
	}
	// A process that knows a version of a store that has been lost must be told that its keys are gone.
	if got := mustLoad(t, s, neverGiven); !got.found || got.version != "" || len(got.records) > 0 {
		t.Errorf("Load of an empty store with another version known: found %t, version %q, %d records; not true, none, none",
			got.found, got.version, len(got.records))
	}
	if _, swapped := mustSwap(t, s, neverGiven, numbered(1)); swapped {
		t.Error("Swap of a version never given, in an empty store: swapped")
	}
	if got := mustLoad(t, s, ""); got.found {
		t.Error("a Swap that did not swap has written to an empty store")
	}

	for _, nothing := range []map[string][]byte{{}, nil} {
		version := put(t, s, nothing)
		holds(t, s, version, nil)
		holds(t, open(), version, nil)
		if got := mustLoad(t, s, version); got.found {
			t.Error("Load of an empty set whose version is known: found")
		}
		if _, swapped := mustSwap(t, s, "", numbered(1)); swapped {
			t.Error("an empty set was written, and still a Swap of the empty version swaps")
		}
	}
}

// known: what is known is not loaded again, and anything else is.
func known(t *testing.T, open func() rootkey.Store) {
	s := open()
	first := put(t, s, numbered(1))
	for range 3 {
		holds(t, s, first, numbered(1)) // Nothing changes by being read.
		if got := mustLoad(t, s, first); got.found {
			t.Error("Load of a set whose version is known: found")
		}
	}
	second := put(t, s, numbered(2))
	for name, version := range map[string]string{"none": "", "the former": first, "one never given": neverGiven} {
		got := mustLoad(t, s, version)
		if !got.found || got.version != second || !equal(got.records, numbered(2)) {
			t.Errorf("Load with %s known does not give the set", name)
		}
	}
	if got := mustLoad(t, s, second); got.found {
		t.Error("Load of a set whose version is known: found")
	}
}

// versions: none is used twice, whatever the contents.
func versions(t *testing.T, open func() rootkey.Store) {
	a, b := open(), open()
	seen := map[string]bool{"": true}
	for i := range 12 {
		records := numbered(i % 2)
		if i%5 == 4 {
			records = nil
		}
		s := a
		if i%3 == 2 {
			s = b
		}
		version := put(t, s, records)
		if seen[version] {
			t.Fatalf("version %q was used before: somebody who still knows it takes these contents for others", version)
		}
		seen[version] = true
	}
	// The same contents over the same contents are a write as well.
	if x, y := put(t, a, numbered(1)), put(t, a, numbered(1)); x == y {
		t.Error("a write of the same contents has the same version")
	}
}

// stale: a Swap that knows another version writes nothing.
func stale(t *testing.T, open func() rootkey.Store) {
	s := open()
	first := put(t, s, numbered(1))
	second := put(t, s, numbered(2))
	third := put(t, s, numbered(1)) // the contents of the first again
	for name, version := range map[string]string{"none": "", "the first": first, "the second": second, "one never given": neverGiven} {
		if _, swapped := mustSwap(t, s, version, numbered(3)); swapped {
			t.Fatalf("Swap with %s known: swapped", name)
		}
		holds(t, s, third, numbered(1))
	}
	fourth, swapped := mustSwap(t, s, third, numbered(4))
	if !swapped {
		t.Fatal("Swap with the right version known, after others: not swapped")
	}
	holds(t, s, fourth, numbered(4))
}

// contents: records come back byte for byte.
func contents(t *testing.T, open func() rootkey.Store) {
	s := open()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	large := make([]byte, 8<<10)
	rand.Read(large)
	records := make(map[string][]byte)
	for i, record := range [][]byte{
		{}, {0}, {0xff}, all, large, make([]byte, 1000), bytes.Repeat([]byte{0xff}, 1000),
		[]byte(" \t\r\n"), []byte("text\n"), []byte("NULL"), []byte(`\x00\\'"`), []byte("\xff\xfe\x00"), []byte("\r\n\x1a"),
	} {
		records[keyID(i)] = record
	}
	for i := len(records); i < 100; i++ {
		record := make([]byte, 32+i)
		rand.Read(record)
		records[keyID(i)] = record
	}
	version := put(t, s, records)
	for _, s := range []rootkey.Store{s, open()} {
		got := mustLoad(t, s, "")
		if got.version != version || len(got.records) != len(records) {
			t.Fatalf("%d records come back of %d", len(got.records), len(records))
		}
		for id, record := range records {
			if back, ok := got.records[id]; !ok || !bytes.Equal(back, record) {
				t.Errorf("a record of %d bytes comes back as %d others", len(record), len(back))
			}
		}
	}
}

// replace: the set is replaced, not added to.
func replace(t *testing.T, open func() rootkey.Store) {
	s := open()
	one := map[string][]byte{keyID(0): []byte("a")}
	for _, records := range []map[string][]byte{
		{keyID(0): []byte("a"), keyID(1): []byte("b"), keyID(2): []byte("c")},
		one,
		{keyID(1): []byte("b")},
		{keyID(1): []byte("changed")},
		nil,
		one,
	} {
		version := put(t, s, records)
		holds(t, s, version, records)
		holds(t, open(), version, records)
	}
}

// aliasing: the caller's maps and slices are the caller's, before and after.
func aliasing(t *testing.T, open func() rootkey.Store) {
	s := open()
	records := numbered(6)
	put(t, s, records)
	spoil(records)
	given(t, s, numbered(6))
}

// given checks that what Load gives, which should be records, is the caller's.
func given(t *testing.T, s rootkey.Store, records map[string][]byte) {
	t.Helper()
	first, second := mustLoad(t, s, ""), mustLoad(t, s, "")
	if !equal(first.records, records) {
		t.Fatal("the store changed with what it had been given")
	}
	// What is appended to a record must not reach into the next.
	for id, record := range first.records {
		first.records[id] = append(record, 0xee)[:len(record)]
	}
	if !equal(first.records, records) {
		t.Error("the records that Load gives share memory")
	}
	spoil(first.records)
	if !equal(second.records, records) {
		t.Error("two calls of Load give the same memory")
	}
	if third := mustLoad(t, s, ""); !equal(third.records, records) {
		t.Error("the store changed with what it had given")
	}
}

// spoil changes everything about records.
func spoil(records map[string][]byte) {
	i := 0
	for id, record := range records {
		for i := range record {
			record[i] ^= 0xff
		}
		if i++; i%2 == 0 {
			delete(records, id)
		}
	}
	records[keyID(999)] = []byte("spoilt")
}

// handles: what one has written, all others see at once.
func handles(t *testing.T, open func() rootkey.Store) {
	all := []rootkey.Store{open(), open(), open()}
	for _, s := range all {
		mustLoad(t, s, "") // Now each may remember that there was nothing.
	}
	for i := range 9 {
		version := put(t, all[i%3], numbered(i))
		for _, s := range all {
			holds(t, s, version, numbered(i))
			if got := mustLoad(t, s, version); got.found {
				t.Error("Load of a set whose version another handle gave: found")
			}
		}
	}
	// Their versions are the same, so one can swap what another has read.
	if _, swapped := mustSwap(t, all[0], mustLoad(t, all[1], "").version, numbered(10)); !swapped {
		t.Error("Swap of the version that another handle gives: not swapped")
	}
	last := mustLoad(t, all[0], "").version
	holds(t, open(), last, numbered(10))
}

// apart: two stores are two.
func apart(t *testing.T, a, b rootkey.Store) {
	inA := put(t, a, numbered(1))
	if got := mustLoad(t, b, ""); got.found {
		t.Fatal("what is written to one store is found in another")
	}
	inB := put(t, b, numbered(2))
	holds(t, a, inA, numbered(1))
	holds(t, b, inB, numbered(2))
}

// follows: a store that only reads sees each write of another.
func follows(t *testing.T, readOnly, writable rootkey.Store) {
	former := ""
	for _, records := range []map[string][]byte{numbered(1), numbered(2), numbered(1), nil, numbered(6)} {
		version := put(t, writable, records)
		holds(t, readOnly, version, records)
		if got := mustLoad(t, readOnly, version); got.found {
			t.Error("Load of a set whose version is known: found")
		}
		if got := mustLoad(t, readOnly, former); !got.found || got.version != version || !equal(got.records, records) {
			t.Error("Load with the former version known does not give the set")
		}
		former = version
	}
}

// unsupported: a store that only reads says so.
func unsupported(t *testing.T, readOnly, writable rootkey.Store) {
	version := put(t, writable, numbered(1))
	for _, known := range []string{version, "", neverGiven} {
		if _, _, err := swap(t.Context(), readOnly, known, numbered(2)); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Swap in a store that can't be written: %v, which is not errors.ErrUnsupported", err)
		}
		holds(t, readOnly, version, numbered(1))
		holds(t, writable, version, numbered(1))
	}
}
