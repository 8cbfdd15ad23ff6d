package verifier

import (
	"context"
	"encoding/base64"
	"iter"
	"math/bits"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
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
// Readers take no lock: what they follow is immutable or atomic, and a node that was
// taken out meanwhile still tells the truth. Who changes a tree holds the lock of its
// shard.
type node struct {
	id, vid string           // what is authenticated of the caveat, our own copies; vid is empty in a first-party one
	sig     [chain.Size]byte // behind the caveat
	opened  *node            // of a third-party caveat: the root of what discharges it, under the key in vid
	parent  *node            // nil for a root

	child, sibling atomic.Pointer[node]
	branches       atomic.Pointer[branch]           // whose primary macaroon ends here
	compiled       atomic.Pointer[caveat.Predicate] // the condition, once it has been looked at again; zero where its size can't be bounded

	terms terms // of all conditions from the first to this one
	class class
	used  atomic.Bool // since somebody last looked for what can go
	depth int32       // how many caveats lead here, with this one
	refs  int32       // how many macaroons of branches lead through here; under the lock
}

// branch is one credential that verified, as it stands in a tree.
type branch struct {
	next   atomic.Pointer[branch] // another whose primary macaroon ends in the same node
	ends   []*node                // the last node of each macaroon, the primary one first
	bound  [][chain.Size]byte     // the signatures of discharges as bound to the primary macaroon; nothing for that itself
	expiry time.Time              // from when on nobody misses it; zero: never

	text  atomic.Pointer[presented] // what it was presented as, if that is kept
	tried atomic.Bool               // whether that was tried
	bytes int                       // without the nodes; under the lock
	gone  bool                      // under the lock
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

// together gives the signature of a discharge that ends in a node as bound to the
// primary macaroon that ends in n, if they have been seen together.
func (n *node) together(discharge *node) (bound *[chain.Size]byte) {
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

// touch notes that something was used. It writes only where that is news: what every
// request writes to would travel from core to core.
func touch(used *atomic.Bool) {
	if !used.Load() {
		used.Store(true)
	}
}

// graft is a credential that verified, on its way into a tree.
type graft struct {
	view       macaroon.Unverified
	minters    int            // how many of the primary macaroon's caveats the minter wrote
	discharges map[string]int // by identifier
	hasher     chain.Hasher
	order      []int   // macaroons, in the order in which their caveats come
	ends       []*node // the last node of each
	fresh      []*node // new nodes whose parents stand in the tree already
	failed     bool
}

func newGraft(p *proof) *graft {
	view := p.credential.Inspect()
	return &graft{view: view, minters: p.minterCaveats(), discharges: discharges(view)}
}

// measure tells how many bytes the credential adds below root, which may be nil.
func (g *graft) measure(root *node) int {
	return branchBytes(g.view.Len()) + g.measureMacaroon(0, root)
}

func (g *graft) measureMacaroon(i int, at *node) (bytes int) {
	for _, c := range g.view.At(i).Caveats().All() {
		var discharged *node
		if at != nil {
			at = at.find(&c)
		}
		if at == nil {
			bytes += nodeBytes(c.ID, c.VerificationID)
		} else {
			discharged = at.opened
		}
		if c.ThirdParty() {
			bytes += g.measureMacaroon(g.discharges[c.ID], discharged)
		}
	}
	return bytes
}

// add puts the credential below root. The signatures that are not known are computed
// once more, so that not every decision has to carry them along for those few that add
// something. And they are compared once more before anybody can see them: what does
// not end in the signatures that were presented stays out, and ok is false.
func (g *graft) add(root *node, expiry time.Time) (b *branch, ok bool) {
	g.addMacaroon(0, root)
	b = &branch{ends: g.ends, expiry: expiry, bytes: branchBytes(len(g.ends))}
	if len(g.ends) > 1 {
		b.bound = make([][chain.Size]byte, len(g.ends))
	}
	primary := &g.ends[0].sig
	ok = !g.failed && g.view.At(0).SignedBy(*primary)
	for j := 1; j < len(g.ends); j++ {
		b.bound[j] = g.ends[j].sig
		g.hasher.Bind(primary, &b.bound[j])
		ok = ok && g.view.At(g.order[j]).SignedBy(b.bound[j])
	}
	if !ok || len(g.fresh) == 0 && stands(b.ends) != nil {
		return nil, false
	}
	for _, n := range g.fresh {
		n.sibling.Store(n.parent.child.Load())
		n.parent.child.Store(n)
	}
	for n := range b.nodes() {
		n.refs++
	}
	b.next.Store(b.ends[0].branches.Load())
	b.ends[0].branches.Store(b)
	return b, true
}

func (g *graft) addMacaroon(i int, at *node) {
	slot := len(g.ends)
	g.order, g.ends = append(g.order, i), append(g.ends, nil)
	known := true
	for _, c := range g.view.At(i).Caveats().All() {
		next := at.find(&c)
		if next == nil {
			next = g.grow(at, &c, i == 0 && int(at.depth) < g.minters)
			if known {
				g.fresh = append(g.fresh, next)
			} else {
				at.child.Store(next)
			}
			known = false
		}
		at = next
		if at.opened != nil {
			g.addMacaroon(g.discharges[c.ID], at.opened)
		}
	}
	g.ends[slot] = at
}

func (g *graft) grow(at *node, c *macaroon.UnverifiedCaveat, minter bool) *node {
	n := &node{id: strings.Clone(c.ID), vid: strings.Clone(c.VerificationID), sig: at.sig, parent: at, terms: at.terms, depth: at.depth + 1}
	if !c.ThirdParty() {
		n.class = classOf(n.id)
		n.terms.add(n.id, minter)
		g.hasher.FirstParty(&n.sig, c.ID)
		return n
	}
	derived, ok := chain.Open(&at.sig, c.VerificationID)
	g.failed = g.failed || !ok
	n.opened = &node{sig: g.hasher.Root(&derived, c.ID)}
	g.hasher.ThirdParty(&n.sig, c.VerificationID, c.ID)
	return n
}

// stands gives the branch that ends in these nodes, or nil.
func stands(ends []*node) *branch {
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

// wanted tells whether anything was used that would go with the branch, and forgets it:
// the next time, it has to have been used again.
func (b *branch) wanted() bool {
	wanted := b.ends[0].used.Swap(false)
	for n := range b.nodes() {
		if n.refs == 1 && n.used.Swap(false) {
			wanted = true
		}
	}
	return wanted
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

// What all of this takes. For what comes later, such as compiled conditions, there is
// room from the start, so that nothing that is kept grows uncounted.

func nodeBytes(id, vid string) int {
	bytes := allocated(size[node]()) + allocated(len(id))
	switch {
	case vid != "":
		bytes += allocated(len(vid)) + allocated(size[node]()) // the root of its discharge
	case compiles(classOf(id)):
		bytes += allocated(size[caveat.Predicate]()) + predicateBytes(len(id))
	}
	return bytes
}

// predicateBytes is what the predicate of a condition may take: its own copy of it, and
// little more, as with all that the library defines.
func predicateBytes(id int) int { return 2*allocated(id) + 48 }

func branchBytes(macaroons int) int {
	pointer := size[*node]()
	bytes := allocated(size[branch]()) + 2*pointer // in the list of its entry
	if macaroons == 1 {
		return bytes + allocated(pointer)
	}
	return bytes + 2*allocated(macaroons*pointer) + allocated(macaroons*chain.Size)
}

// presentedBytes is what a text takes, the credential that is parsed from it, and what is
// known of that.
func presentedBytes(text int, p *proof) int {
	const bundle, perMacaroon, perCaveat = 576, 96, 48 // with one macaroon and a few caveats
	const perAsked = 64                                // as in a map with room for twice as many
	view, caveats, asked := p.credential.Inspect(), 0, 0
	if len(p.asked) > 0 {
		asked = perAsked * (8 + len(p.asked))
	}
	for i := range view.Len() {
		caveats += view.At(i).Caveats().Len()
	}
	return allocated(size[presented]()) + allocated(size[token]()) + asked + p.root.operationBytes() +
		2*view.Len()*(size[*node]()+size[macaroon.UnverifiedCaveats]()) + allocated(text) + allocated(base64.RawURLEncoding.DecodedLen(text)) +
		bundle + 2*perMacaroon*(view.Len()-1) + 2*perCaveat*caveats
}

func (e *entry) size() int {
	bytes := allocated(size[entry]()) + allocated(len(e.signed)) + allocated(size[root]())
	if e.identifier.Attests != nil {
		bytes += 24 * len(e.signed) // a slice and a string for each key, of which each takes two bytes at least
	}
	return bytes + e.root.Load().operationBytes()
}

func (r *root) operationBytes() (bytes int) {
	for _, operation := range r.grant.Operations {
		bytes += size[string]() + allocated(len(operation))
	}
	return bytes
}

func size[T any]() int { return int(reflect.TypeFor[T]().Size()) }

// allocated is what the allocator hands out for so many bytes, or a little more.
func allocated(bytes int) int {
	step := 16
	if bytes > 256 {
		bytes += 8                            // where there are pointers
		step = 1 << bits.Len(uint(bytes)) / 8 // a quarter of the power of two below
	}
	return (bytes + step - 1) / step * step
}
