package revocation

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
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

	// Log is told what fails in [List.Run], and when it no longer does. Nil means
	// slog.Default.
	Log *slog.Logger

	// InsecureServeStale goes by a list that is older than the bound, if there is one, rather
	// than leave decisions undecided: what was revoked since is then accepted.
	InsecureServeStale bool
}

const defaultSkew = 5 * time.Second

// ErrStale is why a [List] can't tell: it has not been filled yet, or what it knows is
// older than its bound.
var ErrStale = errors.New("revocation: the list can't be gone by")

var (
	errUnfilled = fmt.Errorf("%w: it has not been filled yet, by Run or Refresh", ErrStale)
	errOld      = fmt.Errorf("%w: the feed has not answered for as long as its bound, or was not asked: see Run", ErrStale)
)

// List is what a verifier looks at: all revocations, in memory, as a feed tells them. It is
// safe for concurrent use, and looking takes no lock. It is filled and kept fresh by
// [List.Run]. The zero List knows nothing, so that no decision is made.
//
//	list, err := revocation.NewList(feed, 10*time.Second, revocation.Options{})
//	err = list.Refresh(ctx) // or decisions are undecided until Run has filled it
//	go list.Run(ctx)
//	v, err := verifier.New(keys, "orders", verifier.Options{Revocations: list})
//
// The bound is how old what it knows may be, counted from when the feed was asked. A token
// that is revoked at some time is refused here from the bound later at the latest; when the
// feed does not answer for as long, no decision is made. Until the list has been filled,
// none is made either. (On most systems the clock that this is measured by stands still
// while the machine sleeps: after that the bound counts from waking.)
type List struct {
	feed    Feed
	bound   time.Duration
	options Options
	hash    *hasher
	current atomic.Pointer[state] // nil until it is filled
	news    news

	asking   chan struct{} // of one: who is in it asks; what follows is theirs
	after    Cursor        // what the next question asks for
	failed   bool          // the last one
	patience time.Duration // with the next one
	expiry   *time.Timer   // tells the news that the bound has passed
}

// state is what a list knows. It is immutable.
type state struct {
	*snapshot
	asked time.Time // it knows everything that was revoked before
}

// age is how old what is known may be, by the monotonic clock, which nobody sets.
func (s *state) age() time.Duration { return time.Since(s.asked) }

// NewList makes an empty list that follows a feed, within a bound that must be positive.
// All problems are joined.
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
	options.Skew = cmp.Or(options.Skew, defaultSkew)
	return &List{feed: feed, bound: bound, options: options, hash: newHasher(), asking: make(chan struct{}, 1)}, nil
}

// Revoked reports whether a token is revoked, as a [verifier.Revocations] does. The error is
// [ErrStale].
func (l *List) Revoked(t verifier.Revocable) (bool, error) {
	s := l.current.Load()
	switch {
	case s == nil:
		return false, errUnfilled
	case !l.tells(s):
		return false, errOld
	}
	return !s.revoked(t, l.options.Skew).IsZero(), nil
}

// RevokedAs gives the text of the [What] that a token is revoked as, for logs, also by a list
// that is older than its bound; it is empty if the token is not revoked. Of several it is the
// first of a branch, the token, its key and its subject. The entries of [Memory.List] and
// [SQL.List] say who revoked that, and why.
func (l *List) RevokedAs(t verifier.Revocable) string {
	s := l.current.Load()
	if s == nil {
		return ""
	}
	return s.revoked(t, l.options.Skew).String()
}

// tells reports whether what is known may be gone by.
func (l *List) tells(s *state) bool {
	return s != nil && (s.age() <= l.bound || l.options.InsecureServeStale)
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
