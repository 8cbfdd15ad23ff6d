package rootkey

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Options tune a Keyring. The zero value is the safe default. All processes over one
// store should have the same durations, but for RotateEvery, which is negative in those
// that only verify.
type Options struct {
	_ [0]func() // fields are to be named

	// RefreshEvery is how old the keys may be that a decision rests on, as long as the
	// store can be read: what was deleted elsewhere is refused here after that. Zero
	// means 10 seconds; at least a millisecond.
	RefreshEvery time.Duration

	// StaleAfter is how old they may be if the store can't be read. Zero means 5
	// minutes; not less than RefreshEvery.
	StaleAfter time.Duration

	// PublishFor is how long a fresh key is in the store before it mints: at least
	// the RefreshEvery of every verifier. What is more than that is slack for clocks
	// that differ and for slow writing. Zero means a minute.
	PublishFor time.Duration

	// MaxLifetime is how long a token lives at most: what is to live longer is minted with
	// another expiry, and without an error; see [Keyring.Mint]. Zero means 24 hours. How long
	// a key verifies is decided when it is rotated away: so raise this everywhere before longer
	// tokens are minted, and lower it only after the last longer one has expired.
	MaxLifetime time.Duration

	// Leeway is how much longer than that a key verifies, since clocks differ and
	// verifiers have a leeway of their own. Zero means a minute.
	Leeway time.Duration

	// RotateEvery is how long a key mints before [Keyring.Run] makes the next. Zero
	// means 30 days. Negative means that this process makes no key of its own accord,
	// neither the first one of an empty store nor any later: for those who only
	// verify, and where somebody else rotates.
	RotateEvery time.Duration

	// Recorder is told of every token. Nil means nobody is.
	Recorder Recorder

	// Log gets a line for each read that failed, for the first that succeeds after that,
	// for each key that Run makes, and one if nobody calls Run where it should rotate. It
	// never gets a key. Nil means slog.Default.
	Log *slog.Logger
}

// maxSpan keeps sums of the options, and of them and a time, within range.
const maxSpan = 50 * 365 * 24 * time.Hour

// complete fills in the defaults and reports all problems together.
func (o *Options) complete() error {
	problems := completeSpans([]span{
		{"RefreshEvery", &o.RefreshEvery, 10 * time.Second, false},
		{"StaleAfter", &o.StaleAfter, 5 * time.Minute, false},
		{"PublishFor", &o.PublishFor, time.Minute, false},
		{"MaxLifetime", &o.MaxLifetime, 24 * time.Hour, false},
		{"Leeway", &o.Leeway, time.Minute, false},
		{"RotateEvery", &o.RotateEvery, 30 * 24 * time.Hour, true},
	})
	if len(problems) == 0 { // else there is no telling which of two is wrong
		if o.RefreshEvery < time.Millisecond {
			problems = append(problems, errors.New("RefreshEvery: less than a millisecond"))
		}
		if o.StaleAfter < o.RefreshEvery {
			problems = append(problems, fmt.Errorf("StaleAfter: less than RefreshEvery, %v", o.RefreshEvery))
		}
		if o.PublishFor < o.RefreshEvery {
			problems = append(problems, fmt.Errorf("PublishFor: less than RefreshEvery, %v", o.RefreshEvery))
		}
	}
	return errors.Join(problems...)
}

func (o *Options) log() *slog.Logger { return cmp.Or(o.Log, slog.Default()) }

// span is an option that is a length of time.
type span struct {
	name        string
	value       *time.Duration
	unset       time.Duration // what zero means
	mayNegative bool
}

// completeSpans fills in what zero means and gives all problems.
func completeSpans(spans []span) (problems []error) {
	for _, s := range spans {
		switch {
		case *s.value == 0:
			*s.value = s.unset
		case *s.value < 0 && !s.mayNegative:
			problems = append(problems, fmt.Errorf("%s: negative", s.name))
		case *s.value > maxSpan:
			problems = append(problems, fmt.Errorf("%s: more than 50 years", s.name))
		}
	}
	return problems
}

// overlap is how long a key verifies after it has stopped minting.
func (o *Options) overlap() time.Duration { return o.StaleAfter + o.MaxLifetime + o.Leeway }
