package seal

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// A Holder holds the Sealer of a store, which can change while it is in use. It is for
// those who write stores, is safe for concurrent use, and does not print what it holds.
type Holder struct {
	now atomic.Pointer[Sealer]

	changing sync.Mutex // held by Change; guards what follows
	own      *Sealer    // what NewHolder was given, or the last Change that succeeded
	tried    []*Sealer  // by Changes since then, without success
}

// NewHolder makes a Holder of a Sealer.
func NewHolder(s *Sealer) *Holder {
	h := &Holder{own: s}
	h.now.Store(s)
	return h
}

// Sealer gives what seals and opens now.
func (h *Holder) Sealer() *Sealer { return h.now.Load() }

// Since gives a Sealer that opens what is in the store now, and what was there when the
// Holder gave before: what was read since then may be of either time.
func (h *Holder) Since(before *Sealer) *Sealer {
	now := h.now.Load()
	if now == before {
		return now
	}
	return now.AlsoOpens(before)
}

// Change has rewrap seal everything in a store anew, and goes on with to. both
// seals as to does and opens whatever may be there. From when rewrap is called on, nothing
// is sealed as before: so a write that was begun earlier must not succeed after rewrap
// has read, as in a store whose version rewrap replaces.
//
// After an error it may or may not have happened: the Holder then seals as before, opens
// both, and Change may be called again. Of two calls at once the second fails. A Sealer that can't
// seal is an error, before anything is done; the key of a passphrase is derived then.
func (h *Holder) Change(to *Sealer, rewrap func(both *Sealer) error) error {
	if !h.changing.TryLock() {
		return errors.New(prefix + "another change is under way")
	}
	defer h.changing.Unlock()
	if _, err := to.Seal("", "", nil); err != nil {
		return err
	}
	if !slices.Contains(h.tried, to) {
		h.tried = append(h.tried, to)
	}
	both := to.AlsoOpens(append([]*Sealer{h.own}, h.tried...)...)
	h.now.Store(both)
	if err := rewrap(both); err != nil {
		h.now.Store(h.own.AlsoOpens(h.tried...))
		return err
	}
	h.own, h.tried = to, nil
	h.now.Store(to)
	return nil
}
