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
	g := c.graft(p)
	if g == nil {
		return
	}
	e := &entry{signed: strings.Clone(g.view.At(0).Identifier())}
	e.hash = maphash.String(c.seed, e.signed)
	if p.identifier.KeyID != "" {
		e.identifier, _ = macaroon.ParseIdentifier(e.signed) // as before, but of our own copy
	}
	e.root.Store(p.root.clone())
	e.tree.sig = p.root.sig
	e.bytes = e.size() + g.measure(nil)
	e.room = e.bytes
	if e.bytes > c.limit {
		return
	}
	b, ok := g.add(&e.tree, expiry)
	if !ok {
		return
	}
	e.branches = []*branch{b}
	e.see(now)

	s := c.shard(e.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := c.slot(s, e)
	if slot == nil {
		return
	}
	for range 2 * len(s.entries) {
		if c.first.take(e.bytes) {
			slot.Store(e)
			c.relieve(s, now)
			return
		}
		c.evictNext(s)
	}
}

// extend adds a branch to an entry, if it is worth one. It may cost only branches of
// the same entry theirs: anybody who holds a token can make variants of it.
func (c *cache) extend(e *entry, p *proof, expiry, now time.Time) {
	again := e.again(c.fingerprint(p))
	if !again && e.settled.Load() {
		return
	}
	g := c.graft(p)
	if g == nil {
		return
	}
	s := c.shard(e.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	for expired := false; ; {
		if e.gone {
			return
		}
		bytes := g.measure(&e.tree)
		if len(e.branches) < maxBranches && e.bytes+bytes <= c.limit && c.resize(e, bytes) {
			if b, ok := g.add(&e.tree, expiry); ok {
				e.branches = append(e.branches, b)
			} else {
				c.resize(e, -bytes)
			}
			if len(e.branches) >= branchesAtSight {
				e.settled.Store(true)
			}
			return
		}
		switch {
		case !expired:
			expired = true
			c.expire(s, e, now)
		case !again || c.drop(e, 1, (*branch).unwanted) == 0:
			e.settled.Store(true)
			return
		}
	}
}

// keepText has a branch found by its text from now on: it has come again.
func (c *cache) keepText(e *entry, b *branch, p *proof, now time.Time) {
	text, err := p.credential.Encode()
	if err != nil {
		return
	}
	credential, err := macaroon.ParseWith(text, c.parsed) // of which we know what memory it keeps
	if err != nil {
		return
	}
	t := &presented{hash: c.hashText(text), text: text, proof: *p}
	t.proof.credential, t.proof.identifier, t.proof.root, t.proof.renewed = credential, e.identifier, *e.root.Load(), false
	known := t.proof.token()
	t.token = &known
	bytes := presentedBytes(len(text), &t.proof)
	s := c.shard(e.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.growth.fits(bytes) {
		c.expire(s, e, now)
	}
	if e.gone || b.gone || b.text.Load() != nil || e.bytes+bytes > c.limit || !c.resize(e, bytes) {
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
	c.resize(e, -bytes)
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
	e.marks[e.next.Add(1)%uint32(len(e.marks))].Store(fingerprint)
	return false
}
