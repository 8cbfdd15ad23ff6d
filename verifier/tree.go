package verifier

import (
	"context"
	"iter"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/macaroon"
)

// node is a place in the tree of what is known of the credentials of one identifier.
// The root stands for the identifier, each node below for one caveat behind others, so
// that the way from the root to a node is one beginning of a macaroon. Whatever begins
// with the same caveats has the same signature there.
//
// Nobody sees a node before a credential that leads through it has verified. Readers take
// no lock: what they follow is immutable or atomic, and a node that was taken out meanwhile
// still tells the truth. Who changes a tree holds the lock of its shard.
type node struct {
	// Immutable.
	id, vid string           // what is authenticated of the caveat, our own copies; vid is empty in a first-party one
	sig     [chain.Size]byte // behind the caveat
	opened  *node            // of a third-party caveat: the root of what discharges it, under the key in vid
	parent  *node            // nil for a root
	terms   terms            // of all conditions from the first to this one
	class   class
	depth   int32 // how many caveats lead here, with this one

	// Written under the lock, read without.
	child, sibling atomic.Pointer[node]
	branches       atomic.Pointer[branch] // whose primary macaroon ends here

	compiled atomic.Pointer[caveat.Predicate] // the condition, once it has been looked at again; zero where its size can't be bounded
	used     atomic.Bool                      // since somebody last looked for what can go

	refs int32 // how many macaroons of branches lead through here; under the lock
}

// branch is one credential that verified, as it stands in a tree.
type branch struct {
	// Immutable.
	ends   []*node            // the last node of each macaroon, the primary one first
	bound  [][chain.Size]byte // the signatures of discharges as bound to the primary macaroon; nothing for that itself
	expiry time.Time          // from when on nobody misses it; zero: never

	// Written under the lock of the shard, read without.
	next atomic.Pointer[branch]    // another whose primary macaroon ends in the same node
	text atomic.Pointer[presented] // what it was presented as, if that is kept

	tried atomic.Bool // whether that was tried

	// Under the lock.
	bytes int  // without the nodes
	gone  bool // no longer in the tree, so it gets no text
}

// find gives the node behind n for one more caveat, by all of its authenticated bytes:
// a location makes no difference. It is nil if there is none.
func (n *node) find(c *macaroon.UnverifiedCaveat) *node {
	for next := n.child.Load(); next != nil; next = next.sibling.Load() {
		if next.id == c.ID && next.vid == c.VerificationID {
			return next
		}
	}
	return nil
}

// path gives the nodes from the first caveat to n, in room if that suffices. There are
// none if n is nil or a root.
func (n *node) path(room []*node) []*node {
	if n == nil {
		return nil
	}
	if int(n.depth) > len(room) {
		room = make([]*node, n.depth)
	}
	room = room[:n.depth]
	for ; n.depth > 0; n = n.parent {
		room[n.depth-1] = n
	}
	return room
}

// bound gives the signature of a discharge that ends in a node as bound to the
// primary macaroon that ends in n, if they have been seen together.
func (n *node) bound(discharge *node) *[chain.Size]byte {
	for b := n.branches.Load(); b != nil; b = b.next.Load() {
		for i, end := range b.ends {
			if end == discharge && i > 0 {
				return &b.bound[i]
			}
		}
	}
	return nil
}

// holds tells whether the condition is seen to hold, once it has been compiled.
func (n *node) holds(req *caveat.Request) bool {
	c := n.compiled.Load()
	return c != nil && c.Holds(req)
}

// check decides on the condition. It is compiled here, and not where n is made: that may
// be other people's code, and most of what narrowed tokens say never comes again.
func (n *node) check(ctx context.Context, req *caveat.Request, registry *caveat.Registry) error {
	if !compiles(n.class) {
		return registry.Check(ctx, req, n.id)
	}
	c := n.compiled.Load()
	if c == nil {
		predicate, err := registry.Compile(n.id)
		if err != nil {
			return registry.Check(ctx, req, n.id) // which says what is wrong
		}
		if bytes, known := predicate.Size(); !known || bytes > predicateBytes(len(n.id)) {
			predicate = caveat.Predicate{}
		}
		c = &predicate
		n.compiled.Store(c)
	}
	if c.IsZero() {
		return registry.Check(ctx, req, n.id)
	}
	return c.Check(ctx, req)
}

// compiles tells whether conditions of a class are ever compiled: the verifier reads expiries and
// declarations by itself.
func compiles(c class) bool { return c != expiring && c != declaring }

// branchOf gives the branch that ends in these nodes, or nil.
func branchOf(ends []*node) *branch {
	for b := ends[0].branches.Load(); b != nil; b = b.next.Load() {
		if len(b.ends) == len(ends) && !slices.ContainsFunc(ends, func(n *node) bool { return !slices.Contains(b.ends, n) }) {
			return b
		}
	}
	return nil
}

// nodes ranges over all places that a branch leads through, each macaroon from its end.
// A node may be taken out of the tree while it is looked at.
func (b *branch) nodes() iter.Seq[*node] {
	return func(yield func(*node) bool) {
		for _, n := range b.ends {
			for parent := n.parent; parent != nil; n, parent = parent, parent.parent {
				if !yield(n) {
					return
				}
			}
		}
	}
}

// unwanted tells whether nothing was used that would go with the branch, and forgets what
// was: the next time, it has to have been used again.
func (b *branch) unwanted() bool {
	used := b.ends[0].used.Swap(false)
	for n := range b.nodes() {
		if n.refs == 1 && n.used.Swap(false) {
			used = true
		}
	}
	return !used
}

// worthText tells whether to try and keep the text of a branch that has come again and has
// none. If there was no room, that may be different some time later.
func (b *branch) worthText() bool {
	return !b.tried.Load() && !b.tried.Swap(true) || rand.Uint32()%256 == 0
}

// remove takes the branch out of its tree, and with it what no other leads through. It
// tells how many bytes that were.
func (b *branch) remove() (bytes int) {
	for at := &b.ends[0].branches; at.Load() != nil; at = &at.Load().next {
		if at.Load() == b {
			at.Store(b.next.Load())
			break
		}
	}
	bytes = b.bytes
	for n := range b.nodes() {
		if n.refs--; n.refs > 0 {
			continue
		}
		for at := &n.parent.child; at.Load() != nil; at = &at.Load().sibling {
			if at.Load() == n {
				at.Store(n.sibling.Load())
				break
			}
		}
		bytes += nodeBytes(n.id, n.vid)
	}
	return bytes
}
