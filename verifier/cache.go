package verifier

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amaretti-go/amaretti/internal/redact"
	"github.com/amaretti-go/amaretti/macaroon"
)

// Stats tells what the cache of a verifier has been good for since it was made. Only
// credentials that proved authentic are counted: no other leaves a trace.
type Stats struct {
	Hits        uint64 // seen before, all of it: nothing was computed
	PartialHits uint64 // seen before, in part: what comes behind that was computed
	Misses      uint64 // never seen, or forgotten: all was computed
	Evictions   uint64 // credentials forgotten to make room for others
	Bytes       int    // of memory that the cache holds now, its tables included
}

const (
	defaultCacheBytes = 4 << 20

	cacheShards = 16      // so many locks, for those who add something
	slotsInSet  = 8       // a cache line
	slotBytes   = 1 << 10 // one slot for so many bytes of memory, about what the smallest credential takes

	// What one identifier may take, so that whoever holds a token can't fill the cache
	// with variants of it.
	identifierShare = 64 // this part of the memory
	maxBranches     = 16

	// What is for all that identifiers have besides their first credential. It is apart
	// from the rest, so that variants never cost anybody else his place.
	growthShare = 4 // this part of the memory

	// So many credentials of one identifier are kept when they are seen for the first
	// time, further ones when they come again: a token that is narrowed afresh for each
	// request never does, and would drive out what does.
	branchesAtSight = 4

	// Who has not come for so long has had the use of what he has besides his first
	// credential. Sooner it is nobody else's: he might be one of many who take turns.
	idleAfter = 10 * time.Minute
)

// cache keeps what cryptography showed of credentials that were allowed, so that what
// they begin with need not be computed again. It holds no decisions: every condition is
// looked at each time.
//
// There are two tables. In entries, a credential is found by its identifier and then, in
// a tree, by the authenticated bytes of one caveat after the other. In texts, what was
// presented again just so is found by its text, which saves parsing it: parsing is
// the same for everybody, so that proves nothing, and the way goes on through entries.
//
// Who looks something up takes no lock and, if nothing is new, writes nothing that is
// shared. What proves not to be authentic is never written down anywhere.
type cache struct {
	seed   maphash.Seed // nobody outside can choose what collides
	parsed macaroon.Limits
	limit  int // bytes of one identifier
	fixed  int // bytes of the tables
	texts  table[presented]
	shards [cacheShards]shard

	counts   [8]counts
	counters sync.Pool // of them

	first, growth pool // memory for the first credential of each identifier, and for all others
	evictions     atomic.Uint64
}

// pool is memory that can be taken, up to a bound.
type pool struct {
	size  int64
	taken atomic.Int64
}

func (p *pool) take(bytes int) bool {
	if p.taken.Add(int64(bytes)) <= p.size {
		return true
	}
	p.taken.Add(-int64(bytes))
	return false
}

// counts are spread over several cache lines, so that counting on one core does not
// slow down another.
type counts struct {
	hits, partial, misses atomic.Uint64
	_                     [40]byte
}

// shard is a part of the entries, with a lock for those who change it.
type shard struct {
	entries table[entry]

	mu   sync.Mutex
	hand int // the slot where the search for what can go continues
}

// entry is what is known of the credentials that share an identifier.
type entry struct {
	hash       uint64
	signed     string               // the identifier as it was signed, our own copy
	identifier macaroon.Identifier  // what it says; zero if foreign
	root       atomic.Pointer[root] // the last answer of the source, always with tree's signature and the same grant
	tree       node
	used       atomic.Bool
	seen       atomic.Int64 // the minute in which it was used last, since 1970

	marks   [8]atomic.Uint64 // of what was seen lately and not kept
	next    atomic.Uint32    // of the marks
	settled atomic.Bool      // whether nothing more is kept at sight

	// Under the lock.
	branches []*branch // the oldest first
	room     int       // bytes that it has had from the start
	bytes    int       // that it takes
	gone     bool
}

// start is where a walk begins; there is nothing known if it is nil.
func (e *entry) start() *node {
	if e == nil {
		return nil
	}
	return &e.tree
}

// presented is a credential and the text that it is parsed from, with what was proved of
// it.
type presented struct {
	hash  uint64
	text  string
	proof proof
	token *token // apart, since a Verified refers to it
}

// table finds things by a hash, without a lock: each is in one of the few places of its
// set.
type table[T any] []atomic.Pointer[T]

func (t table[T]) set(hash uint64) []atomic.Pointer[T] {
	at := int(hash) & (len(t)/slotsInSet - 1) * slotsInSet
	return t[at : at+slotsInSet]
}

func newCache(bytes int, limits macaroon.Limits) redact.Box[cache] {
	if bytes == 0 {
		bytes = defaultCacheBytes
	}
	box := redact.New[cache]()
	c := box.Value()
	c.seed, c.parsed, c.limit = maphash.MakeSeed(), limits, bytes/identifierShare
	slots := max(cacheShards*slotsInSet, 1<<bits.Len(uint(bytes/slotBytes)))
	var made atomic.Uint32
	c.counters.New = func() any { return &c.counts[made.Add(1)%uint32(len(c.counts))] }
	c.texts = make(table[presented], slots)
	entries := make(table[entry], slots)
	c.fixed = size[cache]() + 2*slots*size[*entry]()
	for i := range c.shards {
		n := slots / cacheShards
		c.shards[i].entries = entries[i*n : (i+1)*n]
	}
	free := int64(max(0, bytes-c.fixed))
	c.growth.size = free / growthShare
	c.first.size = free - c.growth.size
	return box
}

func (p *pool) fits(bytes int) bool { return p.taken.Load()+int64(bytes) <= p.size }

func (c *cache) shard(hash uint64) *shard { return &c.shards[hash>>60%cacheShards] }

// find gives what is known of an identifier, or nil. Whether that still holds is for
// the caller to find out.
func (c *cache) find(identifier string) *entry {
	if c == nil {
		return nil
	}
	hash := maphash.String(c.seed, identifier)
	set := c.shard(hash).entries.set(hash)
	for i := range set {
		if e := set[i].Load(); e != nil && e.hash == hash && e.signed == identifier {
			return e
		}
	}
	return nil
}

// presented gives what is known of a text that was presented before, or nil.
func (c *cache) presented(text string) *presented {
	if c == nil {
		return nil
	}
	hash := c.hashText(text)
	set := c.texts.set(hash)
	for i := range set {
		if t := set[i].Load(); t != nil && t.hash == hash && t.text == text {
			return t
		}
	}
	return nil
}

// hashText hashes the end of a text, where the last signature is. That tells branches apart,
// of which each has one text at most. Others that end likewise are compared, and not kept.
func (c *cache) hashText(text string) uint64 {
	const end = 64 // characters; a signature takes 43
	return maphash.String(c.seed, text[max(0, len(text)-end):])
}

// count counts an authentic credential.
func (c *cache) count(p *proof) {
	if c == nil {
		return
	}
	n := c.counters.Get().(*counts) // mostly that of this core
	defer c.counters.Put(n)
	switch {
	case p.entry == nil:
		n.misses.Add(1)
	case p.whole && !p.renewed:
		n.hits.Add(1)
	default:
		n.partial.Add(1)
	}
}

func (c *cache) stats() (s Stats) {
	if c == nil {
		return s
	}
	for i := range c.counts {
		s.Hits += c.counts[i].hits.Load()
		s.PartialHits += c.counts[i].partial.Load()
		s.Misses += c.counts[i].misses.Load()
	}
	s.Evictions = c.evictions.Load()
	s.Bytes = c.fixed + int(c.first.taken.Load()+c.growth.taken.Load())
	return s
}

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

// slot gives a free place for an entry. There is none if somebody has been quicker, or
// if all that could give way were used of late.
func (c *cache) slot(s *shard, e *entry) (free *atomic.Pointer[entry]) {
	set := s.entries.set(e.hash)
	for i := range set {
		other := set[i].Load()
		switch {
		case other == nil:
			free = &set[i]
		case other.signed != e.signed:
		case other.root.Load().same(e.root.Load()):
			return nil
		default: // the key is another one now, or what it grants
			c.forget(&set[i])
			return &set[i]
		}
	}
	for i := 0; free == nil && i < len(set); i++ {
		if !set[i].Load().used.Swap(false) {
			c.forget(&set[i])
			free = &set[i]
		}
	}
	return free
}

// evictNext looks at the next slot. What was not used since somebody came by last goes: the
// entry, or the branches that it has besides its first.
func (c *cache) evictNext(s *shard) {
	slot := s.next()
	switch e := slot.Load(); {
	case e == nil:
	case !e.used.Swap(false):
		c.forget(slot)
	default:
		for len(e.branches) > 1 && c.drop(e, unwanted) {
		}
	}
}

func (s *shard) next() *atomic.Pointer[entry] {
	slot := &s.entries[s.hand]
	s.hand = (s.hand + 1) % len(s.entries)
	return slot
}

// forget takes out an entry.
func (c *cache) forget(slot *atomic.Pointer[entry]) {
	e := slot.Load()
	slot.Store(nil)
	e.gone = true
	for _, b := range e.branches {
		c.discard(b)
	}
	c.resize(e, -e.bytes)
	c.first.taken.Add(-int64(e.room))
}

// resize notes that an entry takes so many bytes more, or reports false if they can't be
// had.
func (c *cache) resize(e *entry, bytes int) bool {
	before, after := max(e.bytes, e.room), max(e.bytes+bytes, e.room)
	if after > before && !c.growth.take(after-before) {
		return false
	}
	if after < before {
		c.growth.taken.Add(int64(after - before))
	}
	e.bytes += bytes
	return true
}

// drop takes out the oldest branch of an entry that is as asked for. It reports whether
// there was one.
func (c *cache) drop(e *entry, which func(*branch) bool) bool {
	i := slices.IndexFunc(e.branches, which)
	if i < 0 {
		return false
	}
	b := e.branches[i]
	e.branches = slices.Delete(e.branches, i, i+1)
	c.discard(b)
	c.resize(e, -b.remove())
	return true
}

func unwanted(b *branch) bool { return !b.wanted() }

// discard ends a branch, and that its text is found.
func (c *cache) discard(b *branch) {
	b.gone = true
	c.evictions.Add(1)
	if t := b.text.Load(); t != nil {
		c.unlist(t)
	}
}

// unlist ends that a text is found.
func (c *cache) unlist(t *presented) {
	set := c.texts.set(t.hash)
	for i := range set {
		set[i].CompareAndSwap(t, nil)
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
		case !again || !c.drop(e, unwanted):
			e.settled.Store(true)
			return
		}
	}
}

// see notes when an entry was used, and writes only where that is news; see touch. It
// reports whether the entry was idle until now.
func (e *entry) see(now time.Time) (idle bool) {
	idle = e.idle(now)
	if minute := now.Unix() / 60; e.seen.Load() != minute {
		e.seen.Store(minute)
	}
	return idle
}

func (e *entry) idle(now time.Time) bool {
	return now.Unix()/60-e.seen.Load() >= int64(idleAfter/time.Minute)
}

// expire takes out what nobody misses, as it has expired: of one entry, and of the next
// few.
func (c *cache) expire(s *shard, e *entry, now time.Time) {
	over := func(b *branch) bool { return !b.expiry.IsZero() && now.Sub(b.expiry) > maxLeeway }
	for c.drop(e, over) {
	}
	for range min(64, len(s.entries)) {
		slot := s.next()
		e := slot.Load()
		for e != nil && c.drop(e, over) {
		}
		if e != nil && len(e.branches) == 0 {
			c.forget(slot)
		}
	}
}

// back makes room for who has not come for a while, and so may have lost what he had.
func (c *cache) back(e *entry, now time.Time) {
	s := c.shard(e.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	c.relieve(s, now)
}

// relieve sees to it that there is room for what one identifier may have besides its first
// credential. Those give way who have not come for a while, among the next few. It is
// called for who comes with an identifier that is new, or comes back, and not for who comes
// with a variant: anybody who holds a token can make those.
func (c *cache) relieve(s *shard, now time.Time) {
	for range min(64, len(s.entries)) {
		if c.growth.fits(c.limit) {
			return
		}
		slot := s.next()
		e := slot.Load()
		switch {
		case e == nil:
		case len(e.branches) == 0: // its last had expired, and there was no room for another
			c.forget(slot)
		case !e.idle(now):
		default:
			if c.shrink(e); e.bytes > e.room { // its first is gone, and another in its place
				c.forget(slot)
			}
		}
	}
}

// shrink leaves an entry, which has one, its first credential, without its text.
func (c *cache) shrink(e *entry) {
	b := e.branches[0]
	for c.drop(e, func(other *branch) bool { return other != b }) {
	}
	if t := b.text.Load(); t != nil {
		c.unlist(t)
		b.text.Store(nil)
		b.tried.Store(false)
		bytes := presentedBytes(len(t.text), &t.proof)
		b.bytes -= bytes
		c.resize(e, -bytes)
	}
	e.settled.Store(false)
}

// graft prepares to keep a credential, or gives nil if it is too large.
func (c *cache) graft(p *proof) *graft {
	view := p.credential.Inspect()
	nodes := 0
	for i := range view.Len() {
		nodes += view.At(i).Caveats().Len()
	}
	if nodes*allocated(size[node]()) > c.limit { // before it is looked at any closer
		return nil
	}
	g := newGraft(p)
	if g.measure(nil) > c.limit {
		return nil
	}
	return g
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
