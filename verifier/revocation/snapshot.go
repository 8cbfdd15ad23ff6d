package revocation

import (
	"crypto/sha256"
	"hash/maphash"
	"maps"
	"time"

	"github.com/amaretti-go/amaretti/verifier"
)

// snapshot is what is known of revocations at one time. It is immutable, so that whoever
// decides needs no lock: a change makes a new one, which shares the large table with the
// one before and has a small table of what changed since.
type snapshot struct {
	base, recent *table
	cursor       Cursor
	hash         hasher
}

// A table finds entries by the thing that is revoked.
type table struct {
	marks  [kinds]map[[16]byte]int64           // until, in Unix seconds; forever; or gone
	issued [kinds]map[[16]byte]map[int64]int64 // seconds of issue, and until of each
	size   int
	filter filter // of all marks, in a large table; in a small one it is nil
}

const (
	forever = 0
	gone    = -1 // in the recent table: the entry in the large one counts no more
)

type kind int

const (
	tokens kind = iota
	branches
	foreigns
	keys
	subjects
	kinds
)

// hasher maps names to 128 bits, which are told apart like the names themselves: nobody
// knows the seeds.
type hasher [2]maphash.Seed

func newHasher() hasher { return hasher{maphash.MakeSeed(), maphash.MakeSeed()} }

func (h hasher) name(name string) (id [16]byte) {
	for i, seed := range h {
		sum := maphash.String(seed, name)
		for j := range 8 {
			id[8*i+j] = byte(sum >> (8 * j))
		}
	}
	return id
}

// place tells where a thing is found.
func (h hasher) place(p parsed) (k kind, id [16]byte, issued bool) {
	switch p.kind {
	case whatToken:
		return tokens, p.id, false
	case whatBranch:
		return branches, p.id, false
	case whatForeign:
		return foreigns, p.id, false
	case whatKey, whatKeyUntil:
		return keys, h.name(p.name), p.kind == whatKeyUntil
	default:
		return subjects, h.name(p.name), p.kind == whatSubjectUntil
	}
}

// put enters changes. The table must not be shared yet.
func (t *table) put(h hasher, changes []Change) error {
	for _, c := range changes {
		p, err := c.What.parse()
		if err != nil {
			return err
		}
		until := int64(forever)
		switch {
		case c.Removed:
			until = gone
		case !c.Until.IsZero():
			until = max(1, c.Until.Unix())
		}
		k, id, issued := h.place(p)
		if issued {
			if t.issued[k] == nil {
				t.issued[k] = map[[16]byte]map[int64]int64{}
			}
			seconds := maps.Clone(t.issued[k][id])
			if seconds == nil {
				seconds = map[int64]int64{}
			}
			seconds[p.until] = until
			t.issued[k][id] = seconds
		} else {
			if t.marks[k] == nil {
				t.marks[k] = map[[16]byte]int64{}
			}
			t.marks[k][id] = until
		}
		t.size++
	}
	return nil
}

// clone copies the table, so that put can be called.
func (t *table) clone() *table {
	c := &table{size: t.size}
	for k := range kinds {
		c.marks[k] = maps.Clone(t.marks[k])
		c.issued[k] = maps.Clone(t.issued[k])
	}
	return c
}

// full makes a snapshot of all there is.
func full(changes []Change, cursor Cursor, h hasher) (*snapshot, error) {
	base := &table{}
	var counts [kinds]int
	for _, c := range changes {
		if p, err := c.What.parse(); err == nil {
			if k, _, issued := h.place(p); !issued {
				counts[k]++
			}
		}
	}
	for k, n := range counts {
		if n > 0 {
			base.marks[k] = make(map[[16]byte]int64, n)
		}
	}
	if err := base.put(h, changes); err != nil {
		return nil, err
	}
	base.filter = newFilter(&base.marks)
	return &snapshot{base, &table{}, cursor, h}, nil
}

// with makes a snapshot with further changes.
func (s *snapshot) with(changes []Change, cursor Cursor, now time.Time) (*snapshot, error) {
	recent := s.recent.clone()
	if err := recent.put(s.hash, changes); err != nil {
		return nil, err
	}
	next := &snapshot{s.base, recent, cursor, s.hash}
	if recent.size > compactAt {
		next.base, next.recent = s.base.merged(recent, now), &table{}
	}
	return next, nil
}

// compactAt is how many changes are kept beside the large table before it is made anew.
const compactAt = 1 << 12

// merged makes a table of both, without what is gone or over.
func (t *table) merged(recent *table, now time.Time) *table {
	counts := func(until int64) bool { return until == forever || until > now.Unix() }
	all := t.clone()
	for k := range kinds {
		for id, until := range recent.marks[k] {
			if all.marks[k] == nil {
				all.marks[k] = map[[16]byte]int64{}
			}
			all.marks[k][id] = until
		}
		maps.DeleteFunc(all.marks[k], func(_ [16]byte, until int64) bool { return !counts(until) })
		for id, seconds := range recent.issued[k] {
			if all.issued[k] == nil {
				all.issued[k] = map[[16]byte]map[int64]int64{}
			}
			both := maps.Clone(all.issued[k][id])
			if both == nil {
				both = map[int64]int64{}
			}
			maps.Copy(both, seconds)
			maps.DeleteFunc(both, func(_, until int64) bool { return !counts(until) })
			all.issued[k][id] = both
			if len(both) == 0 {
				delete(all.issued[k], id)
			}
		}
	}
	all.size = 0
	for k := range kinds {
		all.size += len(all.marks[k]) + len(all.issued[k])
	}
	all.filter = newFilter(&all.marks)
	return all
}

// marked reports whether a thing is revoked.
func (s *snapshot) marked(k kind, id [16]byte) bool {
	if until, found := s.recent.marks[k][id]; found {
		return until != gone
	}
	if !s.base.filter.mayHave(k, id) {
		return false
	}
	_, found := s.base.marks[k][id]
	return found
}

// issued reports whether a thing is revoked up to a second of issue or a later one.
func (s *snapshot) issued(k kind, id [16]byte, at int64) bool {
	recent := s.recent.issued[k][id]
	for second, until := range recent {
		if until != gone && at <= second {
			return true
		}
	}
	for second := range s.base.issued[k][id] {
		if _, changed := recent[second]; !changed && at <= second {
			return true
		}
	}
	return false
}

// any reports whether anything of a kind is revoked; most kinds are empty mostly.
func (s *snapshot) any(k kind) bool {
	return len(s.base.marks[k])|len(s.recent.marks[k])|len(s.base.issued[k])|len(s.recent.issued[k]) != 0
}

// revoked reports whether a token is revoked.
func (s *snapshot) revoked(t verifier.Revocable, skew time.Duration) bool {
	if s.any(branches) {
		for id := range t.Branches() {
			if s.marked(branches, id) {
				return true
			}
		}
	}
	if t.Foreign() {
		if !s.any(foreigns) {
			return false
		}
		sum := sha256.Sum256([]byte(t.Identifier()))
		return s.marked(foreigns, [16]byte(sum[:16]))
	}
	if s.any(tokens) && s.marked(tokens, t.TokenID) {
		return true
	}
	at := t.IssuedAt.Add(-skew).Unix()
	return s.any(keys) && s.named(keys, t.KeyID, at) || s.any(subjects) && t.Subject != "" && s.named(subjects, t.Subject, at)
}

func (s *snapshot) named(k kind, name string, at int64) bool {
	id := s.hash.name(name)
	return s.marked(k, id) || s.issued(k, id, at)
}
