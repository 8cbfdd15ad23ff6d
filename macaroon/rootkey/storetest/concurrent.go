package storetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

// race: of writers that know the same version, exactly one swaps.
func race(t *testing.T, open func() rootkey.Store) {
	all := []rootkey.Store{open(), open(), open(), open()}
	const writers, rounds = 8, 6
	version := ""
	for round := range rounds {
		var (
			wg     sync.WaitGroup
			start  = make(chan struct{})
			won    atomic.Int32
			winner string
			number int
		)
		for i := range writers {
			wg.Go(func() {
				mine := 1 + round*writers + i
				<-start
				got, swapped, err := swap(t.Context(), all[i%len(all)], version, numbered(mine))
				if err != nil {
					t.Errorf("Swap beside others: %v", err)
				}
				if swapped && won.Add(1) == 1 {
					winner, number = got, mine
				}
			})
		}
		close(start)
		wg.Wait()
		if n := won.Load(); n != 1 {
			t.Fatalf("%d of %d writers that know one version swap, not 1", n, writers)
		}
		version = winner
		holds(t, all[round%len(all)], version, numbered(number))
	}
}

// history is what happened to a store, as far as those who use it can tell.
type history struct {
	mu      sync.Mutex
	numbers map[string]int // by version
}

// is notes that version names the set of that number, and an error if it named
// another one.
func (h *history) is(version string, number int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.numbers == nil {
		h.numbers = make(map[string]int)
	}
	if other, found := h.numbers[version]; found && other != number {
		return broken("version %q is that of set %d, and of set %d", version, other, number)
	}
	h.numbers[version] = number
	return nil
}

// reader follows a store by what it knows, as a keyring does.
type reader struct {
	store   rootkey.Store
	history *history
	known   string
	number  int
}

// read loads what is new, which must be whole and not older than what is known. A set's number
// grows with each write.
func (r *reader) read(ctx context.Context) error {
	got, err := load(ctx, r.store, r.known)
	if err != nil || !got.found {
		return err
	}
	number, err := got.number()
	if err != nil {
		return err
	}
	if number <= r.number && r.known != "" {
		return broken("set %d is read after set %d", number, r.number)
	}
	r.known, r.number = got.version, number
	return r.history.is(got.version, number)
}

// writer is a reader that writes sets, each with the number after that of the one
// before.
type writer struct {
	reader
	attempted, acknowledged atomic.Int64
}

// increment writes one set, after as many attempts as that takes.
func (w *writer) increment(ctx context.Context) error {
	for {
		if err := w.read(ctx); err != nil {
			return err
		}
		next := w.number + 1
		w.attempted.Store(int64(next))
		version, swapped, err := swap(ctx, w.store, w.known, numbered(next))
		if err != nil {
			return err
		}
		if swapped {
			w.known, w.number = version, next
			w.acknowledged.Store(int64(next))
			return w.history.is(version, next)
		}
	}
}

// counter: no update is lost, and readers beside the writers see whole sets in order.
func counter(t *testing.T, open func() rootkey.Store) {
	all := []rootkey.Store{open(), open(), open(), open()}
	const writers, increments = 5, 6
	var h history
	put(t, all[0], numbered(0))

	var writing, reading sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			w := writer{reader: reader{store: all[i%len(all)], history: &h}}
			for range increments {
				if err := w.increment(t.Context()); err != nil {
					t.Errorf("a writer beside others: %v", err)
					return
				}
			}
		})
	}
	written := make(chan struct{})
	for _, s := range all {
		reading.Go(func() {
			r := reader{store: s, history: &h}
			for last := false; !last; {
				select {
				case <-written:
					last = true
				default:
				}
				if err := r.read(t.Context()); err != nil {
					t.Errorf("Load beside writers: %v", err)
					return
				}
			}
			if want := writers * increments; r.number != want {
				t.Errorf("%d increments leave %d", want, r.number)
			}
		})
	}
	writing.Wait()
	close(written)
	reading.Wait()
}

// patience is how long a call may go on after its context is done. It is so long that
// only a call which would never return exceeds it.
var patience = 30 * time.Second

// returns runs call, and reports whether it returned.
func returns(call func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	select {
	case <-done:
		return true
	case <-time.After(patience):
		return false
	}
}

// done: a context that is done already is heeded.
func done(t *testing.T, open func() rootkey.Store) {
	s := open()
	version := put(t, s, numbered(1))
	loadDone(t, s)
	for name, ctx := range doneContexts(t) {
		var err error
		if !returns(func() { _, _, err = swap(ctx, s, version, numbered(2)) }) {
			t.Fatalf("Swap with a context that is %s does not return", name)
		}
		if !errors.Is(err, ctx.Err()) {
			t.Errorf("Swap with a context that is %s: %v, which is not %v", name, err, ctx.Err())
		}
		// That it was written nevertheless is allowed, since no caller can rely on the opposite.
		got := mustLoad(t, s, "")
		number, err := got.number()
		if err != nil {
			t.Fatal(err)
		}
		if (got.version == version) != (number == 1) {
			t.Errorf("after Swap with a context that is %s set %d has version %q; set 1 had %q", name, number, got.version, version)
		}
		version = put(t, s, numbered(1))
	}
	put(t, s, numbered(3))
}

// loadDone does that for Load. The store has set 1.
func loadDone(t *testing.T, s rootkey.Store) {
	t.Helper()
	version := mustLoad(t, s, "").version
	for name, ctx := range doneContexts(t) {
		for _, known := range []string{"", version} {
			var err error
			if !returns(func() { _, err = load(ctx, s, known) }) {
				t.Fatalf("Load with a context that is %s does not return", name)
			}
			if !errors.Is(err, ctx.Err()) {
				t.Errorf("Load with a context that is %s: %v, which is not %v", name, err, ctx.Err())
			}
		}
		holds(t, s, version, numbered(1))
	}
}

func doneContexts(t *testing.T) map[string]context.Context {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	caused, cancelCause := context.WithCancelCause(t.Context())
	cancelCause(errors.New("another reason")) // Err remains context.Canceled.
	expired, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	t.Cleanup(cancel)
	return map[string]context.Context{"cancelled": cancelled, "cancelled for a reason": caused, "expired": expired}
}

// interrupted: contexts end in the middle of calls. Each call ends, the set stays
// whole, and what was acknowledged is there.
func interrupted(t *testing.T, open func() rootkey.Store) {
	s, r := open(), reader{store: open(), history: new(history)}
	began := time.Now()
	const samples = 4
	for i := range samples {
		put(t, s, numbered(i))
	}
	typical := time.Since(began) / samples

	doubt := false // whether a Swap may still be under way
	for i := range 30 {
		if err := r.read(t.Context()); err != nil {
			t.Fatalf("Load: %v", err)
		}
		n := samples + i
		ctx, cancel := ending(t.Context(), rand.N(typical+1), i%2 == 0)
		var swapped bool
		var version string
		var err, loading error
		if !returns(func() {
			version, swapped, err = swap(ctx, s, r.known, numbered(n))
			_, loading = load(ctx, s, "")
		}) {
			t.Fatal("a call does not return although its context is done")
		}
		for _, err := range []error{err, loading} {
			if err != nil && (ctx.Err() == nil || !errors.Is(err, ctx.Err())) {
				t.Fatalf("a call whose context ends in the middle: %v, which is not %v", err, ctx.Err())
			}
		}
		cancel()
		switch {
		case swapped:
			if err := r.history.is(version, n); err != nil {
				t.Fatal(err)
			}
			if err := r.read(t.Context()); err != nil {
				t.Fatalf("Load: %v", err)
			}
			if r.number != n {
				t.Fatalf("set %d was acknowledged, and set %d is there", n, r.number)
			}
		case err == nil && !doubt:
			t.Fatal("Swap with the version just loaded, and no other writer: not swapped")
		}
		doubt = err != nil
	}
	put(t, s, numbered(1000))
}

// ending gives a context that ends soon, by its deadline or by being cancelled.
func ending(parent context.Context, in time.Duration, byDeadline bool) (context.Context, context.CancelFunc) {
	if byDeadline {
		ctx, cancel := context.WithTimeout(parent, in)
		go spin(in)
		return ctx, cancel
	}
	ctx, cancel := context.WithCancel(parent)
	go func() {
		spin(in)
		cancel()
	}()
	return ctx, cancel
}

// spin takes that long. While nothing runs, timers wait for the next millisecond, by
// which a call of a fast store is over; while something does, they are on time.
func spin(d time.Duration) {
	for began := time.Now(); time.Since(began) < d; {
		runtime.Gosched()
	}
}

// abandoned: a writer goes away in the middle of a sequence of writes, and
// others go on at once with what it left: a set that it wrote, whole, and at least the last one
// that was acknowledged to it.
func abandoned(t *testing.T, open func() rootkey.Store) {
	const rounds = 6
	var h history
	began := time.Now()
	first := open()
	put(t, first, numbered(0))
	typical := time.Since(began)

	for s, round := first, 0; round < rounds; round++ {
		ctx, cancel := context.WithCancel(t.Context())
		w := writer{reader: reader{store: s, history: &h}}
		gone := make(chan error, 1)
		go func() {
			var err error
			for err == nil && ctx.Err() == nil {
				if err = w.increment(ctx); err == nil && w.acknowledged.Load()%3 == 0 {
					go func() { // at any point of what comes next
						spin(rand.N(typical + 1))
						cancel()
					}()
				}
			}
			if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				err = nil
			}
			cancel()
			gone <- err
		}()
		<-ctx.Done()

		// Perhaps it still writes. What others see now is between what it knows to be written and what
		// it has begun to write.
		least := int(w.acknowledged.Load())
		next := reader{store: open(), history: &h}
		if err := next.read(t.Context()); err != nil {
			t.Fatalf("Load after a writer went away: %v", err)
		}
		if most := int(w.attempted.Load()); next.number < least || next.number > most {
			t.Fatalf("sets up to %d were acknowledged, up to %d begun, and set %d is there", least, most, next.number)
		}
		var err error
		if !returns(func() { err = <-gone }) {
			t.Fatal("a call does not return although its context is done")
		}
		if err != nil {
			t.Fatalf("a writer that goes away: %v", err)
		}
		if err := next.read(t.Context()); err != nil {
			t.Fatalf("Load after a writer went away: %v", err)
		}
		if least = int(w.acknowledged.Load()); next.number < least {
			t.Fatalf("set %d was acknowledged, and set %d is there", least, next.number)
		}
		s = next.store
	}
}
