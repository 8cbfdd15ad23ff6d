package revocation

import (
	"crypto/sha256"
	"hash/maphash"
	"time"

	"github.com/amaretti-go/amaretti/verifier"
)

// snapshot is what is known of revocations at one time. It is immutable, so that whoever
// decides needs no lock: a change makes a new one, which shares the large table with the
// one before and has a small table of what changed since.
type snapshot struct {
	base, recent table
	some         [kinds]bool // of which kinds there may be entries
	hash         *hasher
}

// kind is a kind of thing that can be revoked.
type kind int

const (
	tokens kind = iota
	branches
	foreigns
	keys
	subjects
	kinds
)

// hasher makes ids. They are told apart like the things themselves, and are spread evenly
// whatever is revoked, since nobody knows the seeds. The first half serves the filters; the
// second is seldom needed.
type hasher [kinds][2]maphash.Seed

func newHasher() *hasher {
	h := new(hasher)
	for k := range h {
		h[k] = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	}
	return h
}

func (h *hasher) half(i int, k kind, key string) uint64 { return maphash.String(h[k][i], key) }

// entries reads changes, and notes of which kinds they are.
func (s *snapshot) entries(changes []Change) ([]entry, error) {
	entries := make([]entry, len(changes))
	for i, c := range changes {
		p, err := c.What.parse()
		if err != nil {
			return nil, err
		}
		entries[i] = entry{id{s.hash.half(0, p.kind, p.key), s.hash.half(1, p.kind, p.key)}, p.upTo, c.Removed}
		s.some[p.kind] = true
	}
	return entries, nil
}

// full makes a snapshot of all there is.
func full(changes []Change, h *hasher) (*snapshot, error) {
	s := &snapshot{hash: h}
	entries, err := s.entries(changes)
	if err != nil {
		return nil, err
	}
	s.base = newTable(entries).settled()
	return s, nil
}

// with makes a snapshot with further changes.
func (s *snapshot) with(changes []Change) (*snapshot, error) {
	next := &snapshot{s.base, s.recent, s.some, s.hash}
	entries, err := next.entries(changes)
	if err != nil {
		return nil, err
	}
	next.recent = s.recent.with(newTable(entries))
	if len(next.recent.entries) > compactAt {
		next.base, next.recent = s.base.with(next.recent).settled(), table{}
	}
	return next, nil
}

// compactAt is how many changes are kept beside the large table before it is made anew.
const compactAt = 1 << 12

// revoked tells what of a token is revoked, and the zero What if nothing is. Where several
// things are it is the first of a branch, the token, its key and its subject.
func (s *snapshot) revoked(t verifier.Revocable, skew time.Duration) What {
	if s.some[branches] {
		for branch := range t.Branches() {
			if _, found := s.find(branches, string(branch[:]), always); found {
				return Branch(branch)
			}
		}
	}
	if t.Foreign() {
		if !s.some[foreigns] {
			return What{}
		}
		sum := sha256.Sum256([]byte(t.Identifier()))
		if _, found := s.find(foreigns, string(sum[:]), always); found {
			return Foreign(t.Identifier())
		}
		return What{}
	}
	// In whole seconds, as identifiers tell them: what is between makes no difference.
	issued := t.IssuedAt.Unix() - int64(skew/time.Second)
	if _, found := s.find(tokens, string(t.TokenID[:]), issued); found {
		return Token(t.TokenID)
	}
	if upTo, found := s.find(keys, t.KeyID, issued); found {
		if upTo == always {
			return Key(t.KeyID)
		}
		return KeyUntil(t.KeyID, time.Unix(upTo, 0))
	}
	if upTo, found := s.find(subjects, t.Subject, issued); found {
		if upTo == always {
			return Subject(t.Subject)
		}
		return SubjectUntil(t.Subject, time.Unix(upTo, 0))
	}
	return What{}
}

// find reports whether a thing is revoked for tokens of a second of issue, and up to which
// second it is.
func (s *snapshot) find(k kind, key string, issued int64) (upTo int64, found bool) {
	if !s.some[k] {
		return 0, false
	}
	first := s.hash.half(0, k, key)
	inRecent, inBase := s.recent.filter.mayHave(first), s.base.filter.mayHave(first)
	if !inRecent && !inBase {
		return 0, false // as nearly always
	}
	id := id{first, s.hash.half(1, k, key)}
	for _, e := range s.recent.from(id, issued) {
		if e.id != id {
			break
		}
		if !e.removed {
			return e.upTo, true
		}
	}
	for _, e := range s.base.from(id, issued) {
		if e.id != id {
			break
		}
		if !s.recent.has(e) { // else it is removed there
			return e.upTo, true
		}
	}
	return 0, false
}
