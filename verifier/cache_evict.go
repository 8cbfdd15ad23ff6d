package verifier

import (
	"slices"
	"sync/atomic"
	"time"
)

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
		c.drop(e, len(e.branches)-1, (*branch).unwanted)
	}
}

func (s *shard) next() *atomic.Pointer[entry] {
	slot := &s.entries[s.hand]
	s.hand = (s.hand + 1) % len(s.entries)
	return slot
}

// expire takes out what nobody misses, as it has expired: of one entry, and of the next
// few.
func (c *cache) expire(s *shard, e *entry, now time.Time) {
	over := func(b *branch) bool { return !b.expiry.IsZero() && now.Sub(b.expiry) > maxLeeway }
	c.drop(e, len(e.branches), over)
	for range min(slotsAtOnce, len(s.entries)) {
		slot := s.next()
		other := slot.Load()
		if other == nil {
			continue
		}
		if c.drop(other, len(other.branches), over); len(other.branches) == 0 {
			c.forget(slot)
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
	for range min(slotsAtOnce, len(s.entries)) {
		if c.growth.fits(c.limit) {
			return
		}
		slot := s.next()
		e := slot.Load()
		switch {
		case e == nil:
		case len(e.branches) == 0: // its last had expired, and there was no room for another
			c.forget(slot)
		case e.idle(now):
			if c.shrink(e); e.bytes > e.reserved { // its first is gone, and another in its place
				c.forget(slot)
			}
		}
	}
}

// shrink leaves an entry, which has one, its first credential, without its text.
func (c *cache) shrink(e *entry) {
	b := e.branches[0]
	c.drop(e, len(e.branches), func(other *branch) bool { return other != b })
	if t := b.text.Load(); t != nil {
		c.unlist(t)
		b.text.Store(nil)
		b.tried.Store(false)
		b.bytes -= t.size()
		c.giveBack(e, t.size())
	}
	e.settled.Store(false)
}

// forget takes out an entry.
func (c *cache) forget(slot *atomic.Pointer[entry]) {
	e := slot.Load()
	slot.Store(nil)
	e.gone = true
	for _, b := range e.branches {
		c.discard(b)
	}
	c.giveBack(e, e.bytes)
	c.first.giveBack(e.reserved)
}

// drop takes out so many branches of an entry at most, of those that are as asked for, the
// oldest first. It asks once about each, and tells how many it took out.
func (c *cache) drop(e *entry, most int, which func(*branch) bool) (dropped int) {
	e.branches = slices.DeleteFunc(e.branches, func(b *branch) bool {
		if dropped == most || !which(b) {
			return false
		}
		dropped++
		c.discard(b)
		c.giveBack(e, b.remove())
		return true
	})
	return dropped
}

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
