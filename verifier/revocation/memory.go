package revocation

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"
)

// keptChanges is how many changes a log keeps for those who follow it. Who is further
// behind gets everything.
const keptChanges = 1 << 14

// Memory keeps revocations in this process, for services of one process, and behind
// [Handler] for others. What it knows is gone when the process ends. The zero Memory is
// empty and ready. It is safe for concurrent use.
type Memory struct {
	who func(context.Context) string

	mu      sync.Mutex
	entries map[What]Entry
	log     string   // empty until it is needed
	seq     uint64   // of the last change
	changes []Change // the last ones, at most 2 × keptChanges
	changed chan struct{}
}

// NewMemory makes an empty list of revocations. who tells who is revoking; nil means
// that it is not recorded.
func NewMemory(who func(context.Context) string) *Memory { return &Memory{who: who} }

// lock locks, and sees to it that all is there.
func (m *Memory) lock() {
	m.mu.Lock()
	if m.log == "" {
		m.entries, m.log, m.changed = map[What]Entry{}, rand.Text(), make(chan struct{})
	}
}

// Revoke revokes something until the last token that it is about has expired: the
// latest expiry that any of them has, plus the largest leeway of any verifier. Zero is for ever. One
// that has passed is [ErrPast]; one that is too early un-revokes, since past it the entry is
// dropped. Revoking again replaces the until and the reason.
func (m *Memory) Revoke(ctx context.Context, what What, until time.Time, reason string) error {
	e, err := newEntry(ctx, what, until, reason, m.who)
	if err != nil {
		return err
	}
	m.lock()
	defer m.mu.Unlock()
	m.entries[what] = e
	m.append(Change{What: what})
	return nil
}

// newEntry checks and completes what is about to be revoked.
func newEntry(ctx context.Context, what What, until time.Time, reason string, who func(context.Context) string) (Entry, error) {
	if err := ctx.Err(); err != nil {
		return Entry{}, err
	}
	if _, err := what.parse(); err != nil {
		return Entry{}, err
	}
	// To the second, and up: entries are kept in seconds.
	now := time.Now().UTC()
	if !until.IsZero() {
		if !until.After(now) {
			return Entry{}, ErrPast
		}
		until = until.UTC().Add(time.Second - 1).Truncate(time.Second)
		if until.Year() > 9999 {
			return Entry{}, errFar
		}
	}
	e := Entry{What: what, Until: until, Reason: reason, At: now.Truncate(time.Second)}
	if who != nil {
		e.By = who(ctx)
	}
	if !validNote(e.Reason) || !validNote(e.By) {
		return Entry{}, errNote
	}
	return e, nil
}

// Unrevoke takes a revocation back. found is false if there was none.
func (m *Memory) Unrevoke(ctx context.Context, what What) (found bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	m.lock()
	defer m.mu.Unlock()
	if _, found = m.entries[what]; found {
		m.remove(what)
	}
	return found, nil
}

// List gives all revocations, the oldest first.
func (m *Memory) List(ctx context.Context) ([]Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.lock()
	defer m.mu.Unlock()
	list := make([]Entry, 0, len(m.entries))
	for _, e := range m.entries {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entry) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.What.text, b.What.text))
	})
	return list, nil
}

// Prune drops the entries whose until has passed, and tells how many.
func (m *Memory) Prune(ctx context.Context) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	now := time.Now()
	m.lock()
	defer m.mu.Unlock()
	for what, e := range m.entries {
		if !e.Until.IsZero() && now.After(e.Until) {
			m.remove(what)
			n++
		}
	}
	return n, nil
}

func (m *Memory) remove(what What) {
	delete(m.entries, what)
	m.append(Change{What: what, Removed: true})
}

func (m *Memory) append(c Change) {
	if len(m.changes) == 2*keptChanges { // now and then, rather than at each change
		m.changes = slices.Clone(m.changes[keptChanges:])
	}
	m.changes = append(m.changes, c)
	m.seq++
	close(m.changed)
	m.changed = make(chan struct{})
}

// Changes is for those who follow; see [Feed].
func (m *Memory) Changes(ctx context.Context, after Cursor, wait time.Duration) (Batch, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for last := wait <= 0; ; {
		if err := ctx.Err(); err != nil {
			return Batch{}, err
		}
		b, changed := m.since(after)
		if b.Full || len(b.Changes) > 0 || last {
			return b, nil
		}
		select {
		case <-changed:
		case <-timer.C:
			last = true
		case <-ctx.Done():
		}
	}
}

// since gives what there is now, and what will be closed at the next change.
func (m *Memory) since(after Cursor) (Batch, <-chan struct{}) {
	m.lock()
	defer m.mu.Unlock()
	to := Cursor{Log: m.log, Seq: m.seq}
	oldest := m.seq - uint64(len(m.changes))
	if after.Log == m.log && oldest <= after.Seq && after.Seq <= m.seq {
		// A copy, since the array behind goes on being written to.
		return Batch{From: after, Changes: slices.Clone(m.changes[after.Seq-oldest:]), To: to}, m.changed
	}
	all := make([]Change, 0, len(m.entries))
	for what := range m.entries {
		all = append(all, Change{What: what})
	}
	return Batch{Full: true, Changes: all, To: to}, m.changed
}
