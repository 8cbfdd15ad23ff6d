package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/amaretti-go/amaretti/macaroon"
)

const (
	maxTargets    = 256              // for which wallets are kept
	flightTimeout = 30 * time.Second // for one question to the source behind
	pause         = time.Second      // after one that failed
)

// Refresh is a source that asks another one and keeps what it gives, for each target,
// until shortly before it expires, and for atMost at the longest. In the last third of
// that time, at a moment that differs by chance from process to process, the next
// request sets off one question for a new wallet, and the old one serves until the answer
// is there. When it has expired, requests wait for the answer.
//
// However many requests there are, one question at a time is asked for a target, and
// none within a second after one that failed. The question runs under a context of its
// own, with the values of the request that set it off: so a source whose answer depends
// on the request must not be behind Refresh, which gives that answer to other requests.
// [Forwarding] finds nothing to forward there.
func Refresh(source Source, atMost time.Duration) (Source, error) {
	switch {
	case source == nil:
		return nil, errors.New("client: refresh: no source")
	case atMost <= 0:
		return nil, errors.New("client: refresh: the time is not positive")
	}
	return &refreshed{source: source, atMost: atMost, kept: map[string]*kept{}}, nil
}

type refreshed struct {
	source Source
	atMost time.Duration

	mu   sync.Mutex
	kept map[string]*kept
}

// kept is what is known for one target. The refreshed's mutex guards it.
type kept struct {
	wallet macaroon.Wallet
	renew  time.Time // from when a new one is asked for
	until  time.Time // from when this one is not given any more
	failed error     // why the last question failed, if it did
	retry  time.Time // not to ask before
	flight *flight   // the question under way, or nil
}

// flight is a question under way. Its results may be read once done is closed.
type flight struct {
	done   chan struct{}
	wallet macaroon.Wallet
	err    error
}

func (r *refreshed) Wallet(ctx context.Context, target string) (macaroon.Wallet, error) {
	now := wallClock()
	r.mu.Lock()
	k := r.entry(target)
	current := !k.wallet.IsZero() && now.Before(k.until)
	if current && now.Before(k.renew) {
		defer r.mu.Unlock()
		return k.wallet, nil
	}
	if k.flight == nil && !now.Before(k.retry) {
		k.flight = &flight{done: make(chan struct{})}
		// What came in with one request must not be forwarded with another.
		question := macaroon.NewContext(context.WithoutCancel(ctx), macaroon.Credential{})
		go r.ask(question, target, k, k.flight)
	}
	f, wallet, failed := k.flight, k.wallet, k.failed
	r.mu.Unlock()

	if current {
		return wallet, nil
	}
	if f == nil { // it has just failed
		return macaroon.Wallet{}, failed
	}
	select {
	case <-f.done:
		return f.wallet, f.err
	case <-ctx.Done():
		return macaroon.Wallet{}, ctx.Err()
	}
}

// entry finds what is kept for a target, or makes room for it.
func (r *refreshed) entry(target string) *kept {
	k := r.kept[target]
	if k != nil {
		return k
	}
	if len(r.kept) >= maxTargets {
		for other, k := range r.kept {
			if k.flight == nil {
				delete(r.kept, other) // any: a transport has few targets, so this is an accident
				break
			}
		}
	}
	k = &kept{}
	r.kept[target] = k
	return k
}

// ask is the body of a flight.
func (r *refreshed) ask(ctx context.Context, target string, k *kept, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, flightTimeout)
	defer cancel()
	asked := wallClock()
	f.err = errNoAnswer
	defer func() { r.land(k, f, asked) }() // also if the source ends the goroutine
	f.wallet, f.err = r.question(ctx, target)
}

// land keeps what a flight has found.
func (r *refreshed) land(k *kept, f *flight, asked time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(f.done)
	k.flight = nil
	if f.err != nil {
		k.failed, k.retry = f.err, wallClock().Add(pause)
		return
	}
	life := r.atMost
	if end, expires := earliest(f.wallet, 0); expires {
		life = max(0, min(life, end.Sub(asked))) // the clock may have been set meanwhile
	}
	k.wallet, k.failed = f.wallet, nil
	k.until = asked.Add(life)
	k.renew = asked.Add(life*2/3 + rand.N(life/6+1))
}

// question asks the source behind, whose panics are its callers' problem: here they would
// end the process, since nobody above could recover them.
func (r *refreshed) question(ctx context.Context, target string) (w macaroon.Wallet, err error) {
	defer func() {
		if value := recover(); value != nil {
			w, err = macaroon.Wallet{}, fmt.Errorf("client: refresh: the source panicked with a %T", value)
		}
	}()
	w, err = r.source.Wallet(ctx, target)
	switch {
	case err != nil:
		return macaroon.Wallet{}, err
	case w.IsZero():
		return macaroon.Wallet{}, fmt.Errorf("client: refresh: the source's wallet: %w", macaroon.ErrInvalid)
	case expired(w, 0, time.Now()):
		return macaroon.Wallet{}, errExpired
	}
	return w, nil
}

// wallClock is the time without what a machine forgets to count while it sleeps: wallets
// expire meanwhile.
func wallClock() time.Time { return time.Now().Round(0) }

var (
	errExpired  = errors.New("client: refresh: the source gave a wallet that has expired")
	errNoAnswer = errors.New("client: refresh: the source did not return")
)
