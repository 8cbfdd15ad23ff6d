package verifier

import (
	"encoding/binary"
	"hash/maphash"
	"strings"
	"sync/atomic"
	"time"

	"github.com/amaretti-go/amaretti/macaroon"
)

// keep is told of each credential that was allowed, with the earliest of its expiries.
// It notes what was of use, and keeps what is worth it.
func (c *cache) keep(p *proof, expiry, now time.Time) {
	if c == nil {
		return
	}
	e := p.entry
	if e == nil {
		c.enter(p, expiry, now)
		return
	}
	if p.renewed {
		e.root.Store(p.root.clone())
	}
	touch(&e.used)
	if e.see(now) {
		c.back(e, now)
	}
	for i := range p.credential.Inspect().Len() {
		if n := p.known(i); n != nil {
			touch(&n.used)
		}
	}
	b := p.branch
	switch {
	case b == nil:
		c.extend(e, p, expiry, now)
	case b.text.Load() == nil && b.worthText():
		c.keepText(e, b, p, now)
	}
}

// touch notes that something was used. It writes only where that is news: what every
// request writes to would travel from core to core.
func touch(used *atomic.Bool) {
	if !used.Load() {
		used.Store(true)
	}
}

// enter makes an entry for an identifier that has none. That may cost others theirs:
// identifiers are made by minters only.
func (c *cache) enter(p *proof, expiry, now time.Time) {
	e := c.newEntry(p, expiry)
	if e == nil {
		return
	}
	e.see(now)
	s := c.shard(e.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := c.slot(s, e)
	if slot == nil {
		return
	}
	for range 2 * len(s.entries) {
		if c.first.take(e.reserved) {
			slot.Store(e)
			c.relieve(s, now)
			return
		}
		c.evictNext(s)
	}
}

// newEntry makes an entry with a first branch. It gives nil if that is too large.
func (c *cache) newEntry(p *proof, expiry time.Time) *entry {
	g := c.newGraft(p)
	if g == nil {
		return nil
	}
	e := &entry{signed: strings.Clone(g.view.At(0).Identifier())}
	e.hash = maphash.String(c.seed, e.signed)
	if p.identifier.KeyID != "" {
		e.identifier, _ = macaroon.ParseIdentifier(e.signed) // as before, but of our own copy
	}
	e.root.Store(p.root.clone())
	e.tree.sig = p.root.sig
	e.bytes = e.size() + g.measure(nil)
	e.reserved = e.bytes
	if e.bytes > c.limit {
		return nil
	}
	b, ok := g.add(&e.tree, expiry)
	if !ok {
		return nil
	}
	e.branches = []*branch{b}
	return e
}

// extend adds a branch to an entry, if it is worth one. It may cost only branches of
// the same entry theirs: anybody who holds a token can make variants of it.
func (c *cache) extend(e *entry, p *proof, expiry, now time.Time) {
	again := e.again(c.fingerprint(p))
	if !again && e.settled.Load() {
		return
	}
	g := c.newGraft(p)
	if g == nil {
		return
	}
	s := c.shard(e.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.gone {
		return
	}
	bytes, ok := c.takeFor(e, g)
	if !ok {
		c.expire(s, e, now)
		bytes, ok = c.takeFor(e, g)
	}
	for !ok && again && c.drop(e, 1, (*branch).unwanted) == 1 {
		bytes, ok = c.takeFor(e, g)
	}
	if !ok {
		e.settled.Store(true)
		return
	}
	if b, added := g.add(&e.tree, expiry); added {
		e.branches = append(e.branches, b)
	} else {
		c.giveBack(e, bytes)
	}
	if len(e.branches) >= branchesAtSight {
		e.settled.Store(true)
	}
}

// takeFor takes the memory for one more branch of an entry.
func (c *cache) takeFor(e *entry, g *graft) (bytes int, ok bool) {
	bytes = g.measure(&e.tree) // anew each time: what it would have shared with one that went is its own
	return bytes, len(e.branches) < maxBranches && c.take(e, bytes)
}

// keepText has a branch found by its text from now on: it has come again.
func (c *cache) keepText(e *entry, b *branch, p *proof, now time.Time) {
	t := c.newPresented(e, p)
	if t == nil {
		return
	}
	bytes := t.size()
	s := c.shard(e.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.growth.fits(bytes) {
		c.expire(s, e, now)
	}
	if b.gone || b.text.Load() != nil || !c.take(e, bytes) {
		return
	}
	set := c.texts.set(t.hash)
	for i := range set {
		if set[i].CompareAndSwap(nil, t) {
			b.text.Store(t)
			b.bytes += bytes
			return
		}
	}
	c.giveBack(e, bytes)
}

// newPresented makes what is kept with a text, in memory of our own: what was presented may
// be part of something larger. It gives nil if there is no such text.
func (c *cache) newPresented(e *entry, p *proof) *presented {
	text, err := p.credential.Encode()
	if err != nil {
		return nil
	}
	credential, err := macaroon.ParseWith(text, c.parsed)
	if err != nil {
		return nil
	}
	t := &presented{hash: c.hashText(text), text: text, proof: *p}
	t.proof.credential, t.proof.identifier, t.proof.root, t.proof.renewed = credential, e.identifier, *e.root.Load(), false
	t.token = new(t.proof.token())
	return t
}

// fingerprint tells what is new in a credential: the place where it leaves the tree, and
// the first caveat from there. That is how something shows that comes again and again with
// something new behind it each time.
func (c *cache) fingerprint(p *proof) (sum uint64) {
	view := p.credential.Inspect()
	for i := range view.Len() {
		n := p.known(i)
		depth := 0
		if n != nil {
			depth = int(n.depth)
			sum = sum<<1 ^ binary.LittleEndian.Uint64(n.sig[:]) // which is like no other
		}
		if caveats := view.At(i).Caveats(); depth < caveats.Len() {
			next := caveats.At(depth)
			return sum ^ maphash.String(c.seed, next.ID) ^ maphash.String(c.seed, next.VerificationID)<<1
		}
	}
	return sum
}

// again reports whether a fingerprint has been seen lately, and marks it if not.
func (e *entry) again(fingerprint uint64) bool {
	for i := range e.marks {
		if e.marks[i].Load() == fingerprint {
			return true
		}
	}
	e.marks[e.nextMark.Add(1)%uint32(len(e.marks))].Store(fingerprint)
	return false
}
