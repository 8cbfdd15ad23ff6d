package verifier

import (
	"encoding/base64"
	"math/bits"
	"reflect"
	"sync/atomic"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/macaroon"
)

// pool is memory that can be taken, up to a bound.
type pool struct {
	size  int64
	taken atomic.Int64
}

func (p *pool) take(bytes int) bool {
	if p.taken.Add(int64(bytes)) <= p.size {
		return true
	}
	p.giveBack(bytes)
	return false
}

func (p *pool) giveBack(bytes int) { p.taken.Add(-int64(bytes)) }

func (p *pool) fits(bytes int) bool { return p.taken.Load()+int64(bytes) <= p.size }

// take has an entry take so many bytes more. It reports false if they can't be had.
func (c *cache) take(e *entry, bytes int) bool {
	if e.gone || e.bytes+bytes > c.limit {
		return false
	}
	more := e.beyond(e.bytes+bytes) - e.beyond(e.bytes)
	if more > 0 && !c.growth.take(more) {
		return false
	}
	e.bytes += bytes
	return true
}

// giveBack has an entry take so many bytes less.
func (c *cache) giveBack(e *entry, bytes int) {
	c.growth.giveBack(e.beyond(e.bytes) - e.beyond(e.bytes-bytes))
	e.bytes -= bytes
}

// beyond tells how much of so many bytes an entry has from growth.
func (e *entry) beyond(bytes int) int { return max(0, bytes-e.reserved) }

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

// size is what a text takes, the credential that is parsed from it, and what is known of
// that.
func (t *presented) size() int {
	const bundle, perMacaroon, perCaveat = 576, 96, 48 // with one macaroon and a few caveats
	const perAsked = 64                                // as in a map with room for twice as many
	p, text := &t.proof, len(t.text)
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
