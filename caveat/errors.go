package caveat

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The classes of refusal. Every one of them denies; test with errors.Is.
var (
	// ErrUnknown: the registry has no kind of this name.
	ErrUnknown = errors.New(prefix + "unknown to the registry")
	// ErrMalformed: the condition, or the argument of its kind, does not parse.
	ErrMalformed = errors.New(prefix + "malformed")
	// ErrAbsent: the request lacks the fact that the condition is about, or states it in a form that cannot
	// be compared.
	ErrAbsent = errors.New(prefix + "fact absent")
	// ErrNotMet: the fact is there and does not satisfy the condition.
	ErrNotMet = errors.New(prefix + "not met")
	// ErrPanicked: a checker or a codec panicked. The text names the type of what it panicked with, never
	// the value, which may hold secrets.
	ErrPanicked = errors.New(prefix + "checker panicked")
)

const prefix = "caveat: "

// Undecided says that a condition could be neither met nor refused, because what decides it was out of reach: a
// database that did not answer, a context that ended. A checker returns it so that its caller may answer "try
// again" instead of "no". It denies all the same. Undecided(nil) is an error too.
func Undecided(err error) error {
	if err == nil {
		err = errors.New("no cause given")
	}
	return &undecided{err}
}

// IsUndecided reports whether err, or anything that it wraps, came from [Undecided] or from a context that was
// cancelled or has expired.
func IsUndecided(err error) bool {
	var u *undecided
	return errors.As(err, &u) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

type undecided struct{ cause error }

func (u *undecided) Error() string { return prefix + "undecided: " + unprefixed(u.cause) }
func (u *undecided) Unwrap() error { return u.cause }

// conditionError says which condition failed. It keeps the quotation and not the condition, which would keep
// the whole token alive in whatever log the error ends up in.
type conditionError struct {
	quoted string
	cause  error
}

func (e *conditionError) Error() string { return prefix + e.quoted + ": " + unprefixed(e.cause) }
func (e *conditionError) Unwrap() error { return e.cause }

// about names the condition, or whatever else it is, that err is about.
func about(text string, err error) error {
	if err == nil {
		return nil
	}
	return &conditionError{quote(text), err}
}

// unprefixed is the text of err without this package's name, so that a chain says it once.
func unprefixed(err error) string { return strings.TrimPrefix(err.Error(), prefix) }

func malformed(format string, args ...any) error { return classified(ErrMalformed, format, args) }
func absent(format string, args ...any) error    { return classified(ErrAbsent, format, args) }
func notMet(format string, args ...any) error    { return classified(ErrNotMet, format, args) }

func classified(class error, format string, args []any) error {
	return fmt.Errorf("%w: %w", class, fmt.Errorf(format, args...))
}

// recovered turns a panic of a checker or codec, which are other people's code, into a refusal. It must be
// deferred itself.
func recovered(err *error) {
	if value := recover(); value != nil {
		*err = fmt.Errorf("%w with a %T", ErrPanicked, value)
	}
}

// quote is text for an error: on one line, and no longer than a reader or a log can bear.
func quote(text string) string {
	const most = 64
	if len(text) > most {
		return strconv.Quote(text[:most]) + "…"
	}
	return strconv.Quote(text)
}
