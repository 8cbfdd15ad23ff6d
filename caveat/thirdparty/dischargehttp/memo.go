package dischargehttp

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

// memo remembers answers until they expire, so many and no more, and asks each question once at a time. The zero
// value but for most is ready.
type memo[K comparable, V any] struct {
	most int

	mu      sync.Mutex
	known   map[K]remembered[V]
	flights map[K]*flight[V]
}

// anyAge takes what is remembered however old it is.
const anyAge = time.Duration(math.MaxInt64)

type remembered[V any] struct {
	value        V
	since, until time.Time
}

// flight is a question under way. Its results may be read once done is closed.
type flight[V any] struct {
	waiting int // callers who have not left; guarded by the memo's mutex
	cancel  context.CancelFunc
	done    chan struct{}
	value   V
	err     error
}

// get gives what is remembered for a key, if that is no older than the age given, or asks. An answer is remembered
// until the time that comes with it, and an error not at all.
//
// Callers who come while a question is under way share it. It has the values of the first one's context, but does not
// end with it: it ends when nobody waits any more.
func (m *memo[K, V]) get(ctx context.Context, key K, age time.Duration, ask func(context.Context) (V, time.Time, error)) (V, error) {
	i := m.inquire(ctx, key, age, ask)
	defer i.leave()
	return i.wait(ctx)
}

// inquiry is one caller's interest in an answer. Whoever makes one must leave it in the end.
type inquiry[K comparable, V any] struct {
	memo   *memo[K, V]
	key    K
	flight *flight[V] // nil if there is nothing to wait for
	value  V
	err    error
}

// inquire is the part of get that does not wait.
func (m *memo[K, V]) inquire(ctx context.Context, key K, age time.Duration, ask func(context.Context) (V, time.Time, error)) inquiry[K, V] {
	if ctx.Err() != nil {
		return inquiry[K, V]{err: ctx.Err()}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, found := m.known[key]; found && time.Now().Before(r.until) && time.Since(r.since) <= age {
		return inquiry[K, V]{value: r.value}
	}
	f := m.flights[key]
	if f == nil {
		f = m.start(ctx, key, ask)
	}
	f.waiting++
	return inquiry[K, V]{memo: m, key: key, flight: f}
}

// wait gives the answer once it is there.
func (i *inquiry[K, V]) wait(ctx context.Context) (V, error) {
	if i.flight == nil {
		return i.value, i.err
	}
	select {
	case <-i.flight.done:
		return i.flight.value, i.flight.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// leave ends the question if it is still under way and nobody else is interested.
func (i *inquiry[K, V]) leave() {
	if i.flight == nil {
		return
	}
	i.memo.mu.Lock()
	defer i.memo.mu.Unlock()
	if i.flight.waiting--; i.flight.waiting == 0 {
		i.flight.cancel()
		i.memo.land(i.key, i.flight) // so that nobody joins what was cancelled
	}
}

// start sets a question on its way. The mutex is held.
func (m *memo[K, V]) start(ctx context.Context, key K, ask func(context.Context) (V, time.Time, error)) *flight[V] {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight[V]{cancel: cancel, done: make(chan struct{})}
	if m.flights == nil {
		m.flights = make(map[K]*flight[V])
	}
	m.flights[key] = f
	go func() {
		defer cancel()
		value, until, err := guarded(ctx, ask)
		m.mu.Lock()
		defer m.mu.Unlock()
		f.value, f.err = value, err
		if err == nil && m.flights[key] == f {
			m.remember(key, remembered[V]{value, time.Now(), until})
		}
		m.land(key, f)
		close(f.done)
	}()
	return f
}

// guarded turns a panic of the application's code into an error: in this goroutine nobody could recover it.
func guarded[V any](ctx context.Context, ask func(context.Context) (V, time.Time, error)) (value V, until time.Time, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf(prefix+"panicked with a %T", panicked)
		}
	}()
	return ask(ctx)
}

func (m *memo[K, V]) land(key K, f *flight[V]) {
	if m.flights[key] == f {
		delete(m.flights, key)
	}
}

func (m *memo[K, V]) remember(key K, r remembered[V]) {
	now := time.Now()
	if m.most == 0 || !now.Before(r.until) {
		return
	}
	if m.known == nil {
		m.known = make(map[K]remembered[V])
	}
	if _, found := m.known[key]; !found && len(m.known) >= m.most {
		m.makeRoom(now)
	}
	m.known[key] = r
}

// makeRoom drops what has expired, as far as it looks, or else any one.
func (m *memo[K, V]) makeRoom(now time.Time) {
	const glance = 32 // so that a large memo is not read whole for each answer
	looked := 0
	for key, r := range m.known {
		if looked++; looked > glance {
			break
		}
		if !now.Before(r.until) {
			delete(m.known, key)
		}
	}
	for key := range m.known {
		if len(m.known) < m.most {
			break
		}
		delete(m.known, key)
	}
}

// forget drops what is remembered for the keys that match, and lets nobody join the questions under way.
func (m *memo[K, V]) forget(match func(K) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.known {
		if match(key) {
			delete(m.known, key)
		}
	}
	for key := range m.flights {
		if match(key) {
			delete(m.flights, key)
		}
	}
}
