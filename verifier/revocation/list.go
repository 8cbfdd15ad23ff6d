package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amaretti-go/amaretti/verifier"
)

// Options tune a [List]. The zero value is the safe default.
type Options struct {
	_ [0]func() // fields are to be named

	// Skew is by how much minters' clocks may differ from the one that a revocation up
	// to an instant was made by: tokens of as much later count too. Zero means 5
	// seconds; negative is an error.
	Skew time.Duration

	// Log is told what fails. Nil means nobody is.
	Log *slog.Logger

	// InsecureServeStale goes by a list that is older than the bound, if there is one, rather
	// than leave decisions undecided: what was revoked since is then accepted.
	InsecureServeStale bool
}

const defaultSkew = 5 * time.Second

// ErrStale is why a [List] can't tell: it has not been filled yet, or what it knows is
// older than its bound.
var ErrStale = errors.New("revocation: the list is older than its bound")

// List is what a verifier looks at: all revocations, in memory, as a feed tells them. It
// is safe for concurrent use, and looking takes no lock. It is filled and kept fresh by [List.Run].
//
//	list, err := revocation.NewList(feed, 10*time.Second, revocation.Options{})
//	go list.Run(ctx)
//	v, err := verifier.New(keys, "orders", verifier.Options{Revocations: list})
//
// The bound is how old what it knows may be. A token that is revoked at some time is
// refused here from the bound later at the latest; when the feed does not answer for as long, no
// decision is made. Until the list has been filled, none is made either.
type List struct {
	feed    Feed
	bound   time.Duration
	options Options
	hash    hasher
	current atomic.Pointer[state] // nil until it is filled
	news    news
	stale   *time.Timer // publishes that the bound has passed

	asking   sync.Mutex    // one question at a time
	patience time.Duration // with the next one, when it is for everything
}

// state is what a list knows. It is immutable.
type state struct {
	*snapshot
	asOf time.Time // it knows everything that was revoked before
}

// age is how old what is known may be, by the clock that says more: the monotonic one
// stands still while a machine is asleep, and the other one can be set.
func (s *state) age() time.Duration {
	now := time.Now()
	return max(now.Sub(s.asOf), now.Round(0).Sub(s.asOf.Round(0)))
}

// NewList makes an empty list that follows a feed, within a bound that must be positive.
func NewList(feed Feed, bound time.Duration, options Options) (*List, error) {
	var problems []error
	if feed == nil {
		problems = append(problems, errors.New("no feed"))
	}
	if bound <= 0 {
		problems = append(problems, errors.New("the bound is not positive"))
	}
	if options.Skew < 0 {
		problems = append(problems, errors.New("negative Skew"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("revocation: %w", err)
	}
	if options.Skew == 0 {
		options.Skew = defaultSkew
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	return &List{feed: feed, bound: bound, options: options, hash: newHasher()}, nil
}

// Revoked reports whether a token is revoked, as a [verifier.Revocations] does.
func (l *List) Revoked(t verifier.Revocable) (bool, error) {
	s := l.current.Load()
	if s == nil || s.age() > l.bound && !l.options.InsecureServeStale {
		return false, ErrStale
	}
	return s.revoked(t, l.options.Skew), nil
}

// Age tells how old what the list knows may be, for metrics. filled is false until it
// knows anything.
func (l *List) Age() (age time.Duration, filled bool) {
	s := l.current.Load()
	if s == nil {
		return 0, false
	}
	return s.age(), true
}

// Run fills the list and keeps it fresh until ctx ends, and then returns ctx.Err(). What the
// feed fails in is logged and tried again. Several may run; they take turns.
func (l *List) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := l.Refresh(ctx); err != nil && ctx.Err() == nil {
			l.options.Log.LogAttrs(ctx, slog.LevelWarn, "revocations can't be followed", slog.Any("error", err))
			pause := time.NewTimer(l.bound/16 + rand.N(l.bound/16+1))
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
			pause.Stop()
		}
	}
	return ctx.Err()
}

// Refresh asks the feed once, for as long as a quarter of the bound if nothing is new. The first
// one fills the list: who calls it before serving has no requests undecided.
func (l *List) Refresh(ctx context.Context) error {
	l.asking.Lock()
	defer l.asking.Unlock()
	s := l.current.Load()
	var known *snapshot
	var after Cursor
	if s != nil {
		known, after = s.snapshot, s.cursor
	}
	// An answer that takes longer than the bound is of no use; but all there is may take
	// as long as it takes, so that patience grows.
	limit, wait := l.bound, l.bound/4
	if after == (Cursor{}) {
		l.patience = min(max(2*l.patience, l.bound), max(maxPatience, l.bound))
		limit, wait = l.patience, 0
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	asked := time.Now()
	b, err := l.feed.Changes(limited, after, wait)
	if err != nil {
		return err
	}
	next, err := l.apply(known, b)
	if err != nil {
		if s != nil { // what is known does not fit what the feed has: begin anew
			l.current.Store(&state{&snapshot{s.base, s.recent, Cursor{}, s.hash}, s.asOf})
		}
		return err
	}
	l.current.Store(&state{next, asked})
	l.patience = 0
	l.expire(asked)
	switch {
	case b.Full:
		l.news.publish(nil)
	case len(b.Changes) > 0:
		l.news.publish(b.Changes)
	}
	return nil
}

// expire sees to it that whoever watches looks again when nothing has been heard for as long as the
// bound: what was asked for at that time is too old then.
func (l *List) expire(asked time.Time) {
	if l.options.InsecureServeStale {
		return
	}
	after := l.bound - time.Since(asked) + time.Millisecond
	if l.stale == nil {
		l.stale = time.AfterFunc(after, func() { l.news.publish(nil) })
	} else {
		l.stale.Reset(after)
	}
}

// maxPatience is how long all there is may take.
const maxPatience = 10 * time.Minute

var errGap = errors.New("revocation: the feed left out a change")

// apply gives the snapshot that a batch makes of s, which is nil if there is none yet.
func (l *List) apply(s *snapshot, b Batch) (*snapshot, error) {
	switch {
	case b.To.Log == "":
		return nil, errGap
	case b.Full:
		return full(b.Changes, b.To, l.hash)
	case s == nil || b.From != s.cursor || b.To.Log != b.From.Log || b.To.Seq != b.From.Seq+uint64(len(b.Changes)):
		return nil, errGap
	case len(b.Changes) == 0:
		return s, nil
	}
	return s.with(b.Changes, b.To, time.Now())
}
