package revocation

import (
	"context"
	"iter"
	"sync"
)

// Changed gives a channel that is closed when the list may answer differently from now:
// something was revoked, or is no longer, or the list is older than its bound, or is so no
// more. Any number may wait; none keeps the list waiting. It is what
// [verifier.Verifier.RevocationsChanged] gives; see there how to end what is open.
func (l *List) Changed() <-chan struct{} { return l.news.latest().told }

// Watch gives what changed since this call, in order, each change after it has taken
// effect: for those who would find what is open by what was revoked, rather than look at
// everything. It ends with ctx.
//
// Nil means that anything may have changed: everything was loaded anew, or the list is older
// than its bound or is so no more, or the loop took so long that it was left behind. Any number may watch; none
// keeps the list waiting. They share the changes, which are to be read only.
//
//	for changes := range list.Watch(ctx) {
//		if changes == nil {
//			endAll()
//		}
//		for _, c := range changes {
//			end(c.What)
//		}
//	}
func (l *List) Watch(ctx context.Context) iter.Seq[[]Change] {
	from := l.news.latest()
	return func(yield func([]Change) bool) {
		for at, left := from, false; ctx.Err() == nil; {
			select {
			case <-at.told:
			case <-ctx.Done():
				return
			}
			if !yield(at.changes) {
				return
			}
			if at, left = l.news.after(at); left && !yield(nil) {
				return
			}
		}
	}
}

// news is a chain of what changed, for any number of readers. Each has its own place in
// it, and waits at the last link.
type news struct {
	mu    sync.Mutex
	first *link // how far back it is kept
	last  *link // what is told next
	kept  int   // links and changes from first to last
}

type link struct {
	told    chan struct{} // closed once changes can be read
	changes []Change
	next    *link // under mu; nil in the last link, and in those that are not kept
}

// maxKept bounds what is kept for readers that are behind.
const maxKept = 1 << 12

// latest gives the link that is told next.
func (n *news) latest() *link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.end()
}

func (n *news) end() *link {
	if n.last == nil {
		n.last = &link{told: make(chan struct{})}
		n.first = n.last
	}
	return n.last
}

// after gives the link after one that was told. If what was told since is no longer kept,
// its reader was left behind, and it is the last one.
func (n *news) after(at *link) (next *link, left bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at.next == nil {
		return n.last, true
	}
	return at.next, false
}

// publish tells the last link, and begins the next. Whoever reads is left to do it later.
func (n *news) publish(changes []Change) {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := n.end()
	at.changes, at.next = changes, &link{told: make(chan struct{})}
	close(at.told)
	n.last = at.next
	n.kept += 1 + len(changes)
	for n.kept > maxKept {
		old := n.first
		n.kept -= 1 + len(old.changes)
		n.first, old.next = old.next, nil // so that a reader at old does not keep all that follows
	}
}
