package verifier

import (
	"hash/maphash"
	"math/bits"
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

	// So many slots are looked at, at most, for what has expired or is idle.
	slotsAtOnce = 64
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
// A request comes by three times: its text is looked up (presented) and, if that is not
// known, its identifier (find); and keep is told once it was allowed. Who looks something
// up takes no lock. Nor does keep, unless there is something to keep or somebody comes back
// after a while; and where nothing is news, it writes nothing that is shared. What proves
// not to be authentic is never written down anywhere.
//
// A nil cache knows nothing and keeps nothing.
type cache struct {
	// Immutable.
	seed   maphash.Seed    // nobody outside can choose what collides
	parsed macaroon.Limits // that texts were parsed under
	limit  int             // bytes of one identifier
	fixed  int             // bytes of the tables

	texts  table[presented] // all shards share it, so slots are swapped
	shards [cacheShards]shard

	first  pool // memory for the first credential of each identifier; see entry
	growth pool // for all others, and for texts

	counts    [8]counts
	counters  sync.Pool // of them
	evictions atomic.Uint64
}

// shard is a part of the entries. Its lock is for who changes them, or anything below them:
// slots, trees, branches, texts. Nobody holds two such locks.
type shard struct {
	entries table[entry]

	mu   sync.Mutex
	hand int // the slot where the search for what can go continues
}

// entry is what is known of the credentials that share an identifier.
//
// It takes bytes of memory, as cache_memory.go counts them, and never more than the limit.
// Until it is gone it has reserved bytes from the pool first, which is what it took to begin
// with; only what it takes beyond them is from growth.
type entry struct {
	// Immutable.
	hash       uint64
	signed     string              // the identifier as it was signed, our own copy
	identifier macaroon.Identifier // what it says; zero if foreign

	tree node                 // the root of it; its signature never changes
	root atomic.Pointer[root] // the last answer of the source, always with that signature and the same grant

	// Hints what to keep. Whatever stands there, no decision is another.
	used     atomic.Bool      // since the search for what can go came by
	seen     atomic.Int64     // the minute in which it was used last, since 1970
	marks    [8]atomic.Uint64 // fingerprints of what was seen lately and not kept
	nextMark atomic.Uint32
	settled  atomic.Bool // whether nothing more is kept at sight

	// Under the lock of the shard.
	branches []*branch // all that stand in the tree, the oldest first
	reserved int
	bytes    int
	gone     bool // no longer in its slot, so nothing is added
}

// start is where a walk begins; there is nothing known if it is nil.
func (e *entry) start() *node {
	if e == nil {
		return nil
	}
	return &e.tree
}

// presented is a credential and the text that it is parsed from, with what was proved of
// it. It is immutable.
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

// counts are spread over several cache lines, so that counting on one core does not
// slow down another.
type counts struct {
	hits, partial, misses atomic.Uint64
	_                     [40]byte
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
