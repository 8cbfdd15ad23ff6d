package revocation

import (
	"encoding/binary"
	"math/bits"
)

// filter is a Bloom filter: it says of most ids that are not in a table that they are not, out
// of two bytes for each that is. A million entries fit into a cache, whereas each look
// into the table itself waits for memory.
type filter []uint64

func newFilter(marks *[kinds]map[[16]byte]int64) filter {
	n := 0
	for _, m := range marks {
		n += len(m)
	}
	if n == 0 {
		return nil
	}
	f := make(filter, 1<<bits.Len(uint(n-1)/4)) // 16 to 32 bits for each
	for k, m := range marks {
		for id := range m {
			word, mask := f.place(kind(k), id)
			f[word] |= mask
		}
	}
	return f
}

// place tells the word that an id is in, and its four bits there.
func (f filter) place(k kind, id [16]byte) (word, mask uint64) {
	const odd = 0x9e3779b97f4a7c15
	h := (binary.LittleEndian.Uint64(id[:8]) ^ uint64(k)) * odd
	h = (h ^ h>>32 ^ binary.LittleEndian.Uint64(id[8:])) * odd
	h ^= h >> 29
	return h >> 24 & uint64(len(f)-1), 1<<(h&63) | 1<<(h>>6&63) | 1<<(h>>12&63) | 1<<(h>>18&63)
}

// mayHave is false only for an id that is in no mark.
func (f filter) mayHave(k kind, id [16]byte) bool {
	if len(f) == 0 {
		return false
	}
	word, mask := f.place(k, id)
	return f[word]&mask == mask
}
