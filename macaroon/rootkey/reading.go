package rootkey

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/internal/redact"
)

// reading is the part of a keyring that keeps what was read and knows how old it is.
//
// Whoever needs keys takes the view and looks once at the clock. Before view.until that is
// all. From then on there is something to decide, under the mutex: that the state of a key
// has changed, that the store is to be read again, that one has to wait for that, or that
// the view is too old. Instants here are durations since base, by the monotonic clock.
type reading struct {
	view atomic.Pointer[view] // never nil after Open
	base time.Time
	wall func() time.Time // the wall clock

	begun atomic.Uint64 // how many flights there were

	mu      sync.Mutex
	epochs  uint64        // how many there were
	tried   time.Duration // when the last read that succeeded began, or the last that failed ended
	failure error         // of the last read; nil if it succeeded
	flight  *flight       // the read under way; nil if there is none
	ended   uint64        // how many of them have ended
	placed  uint64        // how many sets were put in place
	asked   time.Duration // when a flight last began because of a key id that nobody knows
}

// view is a set for as long as it needs no second thought. It is immutable.
type view struct {
	set *keySet
	moment
	verify  map[string]redact.Box[[chain.Size]byte] // by id, of the keys that are not retired
	read    time.Duration                           // when the read that gave the set began
	turns   time.Duration                           // when a state may change
	until   time.Duration
	epoch   uint64
	overdue bool // nobody is served before the store has been read
}

// flight is one read of the store, for all who wait for it. It belongs to none of them,
// and has a time limit of its own.
type flight struct {
	ctx    context.Context // done when the time is over, or the flight
	done   chan struct{}
	base   *keySet // what was known
	placed uint64
	began  time.Duration
}

// wait waits for a flight to end, or to take too long.
func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
	case <-f.ctx.Done(): // also if the store does not heed it
	case <-ctx.Done():
		return fmt.Errorf("waiting for the store: %w", ctx.Err())
	}
	return nil
}

// current gives the view for a decision. It waits if the store has to be read first.
func (r *ring) current(ctx context.Context) (*view, error) {
	if v := r.view.Load(); time.Since(r.base) < v.until {
		return v, nil
	}
	for {
		v, f, err := r.judge()
		if err != nil {
			return nil, err
		}
		if f == nil {
			return v, nil
		}
		if err := f.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// judge decides what is to be done at this instant: use the view; wait for the flight, if
// there is one; or fail.
func (r *ring) judge() (*view, *flight, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.advance()
	half := r.options.RefreshEvery / 2
	if r.flight == nil && now-r.tried >= half {
		r.launch(now)
	}
	v := *r.view.Load()
	switch {
	case now-r.tried >= r.options.RefreshEvery: // nothing was asked for in a while
		if !v.overdue {
			// What was got from this view no longer counts, without waiting for another.
			r.epochs++
			v.epoch, v.overdue = r.epochs, true
			r.view.Store(&v)
		}
		return &v, r.flight, nil
	case now-v.read >= r.options.StaleAfter:
		return nil, nil, fmt.Errorf("%w: %w", ErrStale, r.failure)
	}
	v.overdue = false
	v.until = min(v.turns, v.read+r.options.StaleAfter, r.tried+half)
	if r.flight != nil {
		v.until = min(v.turns, v.read+r.options.StaleAfter, r.tried+r.options.RefreshEvery)
	}
	r.view.Store(&v)
	return &v, nil, nil
}

// advance brings the view to the present instant, as far as that can be done without the
// store, and gives the instant. It needs the mutex.
func (r *ring) advance() time.Duration {
	now := time.Since(r.base)
	if r.flight != nil && r.flight.ctx.Err() != nil {
		// A store that does not come back failed, and still fails. There is no second
		// flight beside this one, so nothing piles up.
		r.tried, r.failure = now, errSlow
	}
	if v := r.view.Load(); now >= v.turns {
		r.look(v.set, v.read)
	}
	return now
}

// look makes a view of a set, by the wall clock. It needs the mutex.
func (r *ring) look(s *keySet, read time.Duration) {
	now, wall := time.Since(r.base), r.wall().Round(0)
	v := &view{set: s, moment: s.at(wall), read: read, turns: math.MaxInt64}
	if !v.changes.IsZero() {
		v.turns = later(now, v.changes.Sub(wall))
	}
	v.verify = make(map[string]redact.Box[[chain.Size]byte], len(s.keys))
	for i, k := range s.keys {
		if v.states[i] != Retired {
			v.verify[k.id] = k.derived
		}
	}
	if old := r.view.Load(); old == nil || old.set != s || !slices.Equal(old.states, v.states) {
		r.epochs++
	}
	v.epoch = r.epochs
	r.view.Store(v)
}

// later adds two durations that are not negative; there is an end to them.
func later(a, b time.Duration) time.Duration {
	if b > math.MaxInt64-a {
		return math.MaxInt64
	}
	return a + b
}

// place puts a set in place that was read, or written, since began. It needs the mutex.
func (r *ring) place(s *keySet, began time.Duration) {
	r.placed++
	r.tried, r.failure = began, nil
	r.look(s, began)
}

// launch begins a flight. It needs the mutex, and that there is none.
func (r *ring) launch(now time.Duration) {
	// One that began in time, after half of RefreshEvery, is also over in time if it fails, so
	// that nobody has to wait for the next.
	ctx, cancel := context.WithTimeout(context.Background(), 3*r.options.RefreshEvery/8)
	f := &flight{ctx, make(chan struct{}), r.view.Load().set, r.placed, now}
	r.flight = f
	r.begun.Add(1)
	go func() {
		defer cancel()
		s, err := r.load(ctx, f.base)
		r.land(f, s, err)
	}()
}

// land ends a flight.
func (r *ring) land(f *flight, s *keySet, err error) {
	r.mu.Lock()
	failed := r.failure
	r.flight = nil
	r.ended++
	switch {
	case err != nil:
		r.tried, r.failure = time.Since(r.base), err
	case f.placed != r.placed:
		r.failure = nil // what came meanwhile is newer, perhaps by our own hand
	default:
		r.place(s, f.began)
	}
	v := *r.view.Load()
	v.until = 0 // which may have counted on this flight
	r.view.Store(&v)
	age := time.Since(r.base) - v.read
	forgotten := err == nil && r.forgotten(&v)
	r.mu.Unlock()
	close(f.done)

	switch {
	case err != nil:
		r.options.log().Warn("rootkey: keys can't be read", "error", err, "age", age, "stale_after", r.options.StaleAfter)
	case failed != nil:
		r.options.log().Info("rootkey: keys can be read again", "age", age)
	}
	if forgotten {
		r.options.log().Warn("rootkey: nobody rotates: Keyring.Run is not called, here or elsewhere; if that is meant, set RotateEvery to -1",
			"key", v.minting.id)
	}
}

// load reads the store. It gives base itself if that is the latest.
func (r *ring) load(ctx context.Context, base *keySet) (*keySet, error) {
	records, version, found, err := r.store.Load(ctx, base.version)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if !found {
		return base, nil
	}
	if version == "" && base.version != "" {
		return nil, errLost // and not: all keys were deleted, which would refuse every token
	}
	s, err := decodeSet(version, records)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return s, nil
}

// read reads the store for somebody who needs the latest: the read begins now. The set is
// put in place, too, unless another has been since.
func (r *ring) read(ctx context.Context) (*keySet, error) {
	r.mu.Lock()
	base, placed := &keySet{}, r.placed
	if v := r.view.Load(); v != nil {
		base = v.set
	}
	r.mu.Unlock()
	began := time.Since(r.base)
	s, err := r.load(ctx, base)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if placed == r.placed {
		r.place(s, began)
	}
	return s, nil
}

// ask reads the store again because of a key id that is in no view, if that may be done,
// and gives the view to answer from. So many flights had begun when the question arrived.
func (r *ring) ask(ctx context.Context, keyID string, arrived uint64) (*view, error) {
	for waited := false; ; waited = true {
		v, f, err := r.seek(keyID, arrived, waited)
		if err != nil {
			return nil, err
		}
		if f == nil {
			return v, nil
		}
		if err := f.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// seek decides what is to be done about a key id: use the view, wait for the flight, or
// fail. One flight that began after the question arrived is enough. One that was on its
// way already may have missed the key, so that there may be another after it, unless that
// failed; and no third.
func (r *ring) seek(keyID string, arrived uint64, waited bool) (*view, *flight, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.advance()
	v := r.view.Load()
	if v.set.find(keyID) >= 0 {
		return v, nil, nil
	}
	answered := r.ended > arrived || waited && r.failure != nil
	if !answered && r.flight == nil && now-r.asked >= r.options.RefreshEvery {
		r.asked = now
		r.launch(now)
	}
	switch {
	case !answered && r.flight != nil && r.flight.ctx.Err() == nil:
		return nil, r.flight, nil
	case r.failure != nil:
		return nil, nil, fmt.Errorf("a key that is not known, while the store fails: %w", r.failure)
	}
	return v, nil, nil
}
