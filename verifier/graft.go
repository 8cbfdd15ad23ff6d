package verifier

import (
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/macaroon"
)

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

// newGraft prepares to keep a credential. It gives nil if that is too large.
func (c *cache) newGraft(p *proof) *graft {
	view := p.credential.Inspect()
	nodes := 0
	for i := range view.Len() {
		nodes += view.At(i).Caveats().Len()
	}
	if nodes*allocated(size[node]()) > c.limit { // before it is looked at any closer
		return nil
	}
	g := &graft{view: view, minters: p.minterCaveats(), discharges: discharges(view)}
	if g.measure(nil) > c.limit {
		return nil
	}
	return g
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
	if !ok || len(g.fresh) == 0 && branchOf(b.ends) != nil {
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
