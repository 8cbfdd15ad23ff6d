package revocation

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// An entry is one revocation in the memory of a list: 32 bytes, and 2 in the filter.
type entry struct {
	id      id    // what is revoked
	upTo    int64 // up to which second of issue; always if all of it is
	removed bool  // it is revoked no more; only among recent changes
}

// always is later than all seconds of issue.
const always = math.MaxInt64

// id is a keyed hash of what can be revoked, see hasher.
type id [2]uint64

func (e entry) compare(other entry) int {
	return cmp.Or(cmp.Compare(e.id[0], other.id[0]), cmp.Compare(e.id[1], other.id[1]), cmp.Compare(e.upTo, other.upTo))
}

// table is a set of entries. It is immutable.
type table struct {
	entries []entry // in order, each once
	filter  filter
}

// newTable makes a table. Of equal entries the last counts. It takes the slice over.
func newTable(entries []entry) table {
	slices.SortStableFunc(entries, entry.compare)
	n := 0
	for i, e := range entries {
		if i+1 == len(entries) || e.compare(entries[i+1]) != 0 {
			entries[n] = e
			n++
		}
	}
	entries = entries[:n]
	return table{entries, newFilter(entries)}
}

// with makes a table of t's entries and later ones, which count where both have one.
func (t table) with(later table) table {
	all := make([]entry, 0, len(t.entries)+len(later.entries))
	next := later.entries
	for _, e := range t.entries {
		for len(next) > 0 && next[0].compare(e) < 0 {
			all, next = append(all, next[0]), next[1:]
		}
		if len(next) > 0 && next[0].compare(e) == 0 {
			e, next = next[0], next[1:]
		}
		all = append(all, e)
	}
	all = append(all, next...)
	return table{all, newFilter(all)}
}

// settled makes a table without what is revoked no more.
func (t table) settled() table {
	kept := slices.DeleteFunc(t.entries, func(e entry) bool { return e.removed })
	return table{kept, newFilter(kept)}
}

// from gives the entries of id that count for a second of issue, and maybe others after them.
func (t table) from(id id, issued int64) []entry {
	i, _ := slices.BinarySearchFunc(t.entries, entry{id: id, upTo: issued}, entry.compare)
	return t.entries[i:]
}

// has reports whether the table has an entry, removed or not.
func (t table) has(e entry) bool {
	_, found := slices.BinarySearchFunc(t.entries, e, entry.compare)
	return found
}

// filter is a Bloom filter: it says of most ids that no table has them, out of two bytes for
// each that it has. A million fit into a cache, whereas looking for one in the table
// itself waits for memory twenty times.
type filter []uint64

func newFilter(entries []entry) filter {
	f := make(filter, len(entries)/4+1)
	for _, e := range entries {
		word, mask := f.place(e.id[0])
		f[word] |= mask
	}
	return f
}

// place tells the word that an id is in, and its four bits there, by the first half.
func (f filter) place(first uint64) (word, mask uint64) {
	word, _ = bits.Mul64(first, uint64(len(f))) // below the length, by the high bits
	return word, 1<<(first&63) | 1<<(first>>6&63) | 1<<(first>>12&63) | 1<<(first>>18&63)
}

// mayHave is false only for an id that no entry has.
func (f filter) mayHave(first uint64) bool {
	if len(f) == 0 {
		return false
	}
	word, mask := f.place(first)
	return f[word]&mask == mask
}
