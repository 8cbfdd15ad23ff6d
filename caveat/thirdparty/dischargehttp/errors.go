package dischargehttp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/amaretti-go/amaretti/macaroon"
)

const prefix = "dischargehttp: "

// What a client's [Error] wraps.
var (
	// ErrNotAllowed: the client may not go there. Anybody who holds a token can write any location into it.
	ErrNotAllowed = errors.New(prefix + "not an allowed location")

	// ErrTooMany: more discharges are needed, or deeper ones, than the client gets for one wallet. The location is
	// that of the third party whose discharge asked for one too many: if there is a loop it runs through there.
	ErrTooMany = errors.New(prefix + "more discharges are needed than this client gets")

	// ErrTwice: two caveats have one caveat id. No verifier accepts a discharge for both.
	ErrTwice = errors.New(prefix + "a second caveat has the caveat id of another one")

	// ErrInteraction: somebody has to act before there is a discharge, and in no way that the client can take
	// part in.
	ErrInteraction = errors.New(prefix + "an interaction is required that this client has no Interactor for")

	// ErrResponse: the answer is not what the protocol has: a redirect, too long, not JSON, a macaroon that was
	// not asked for.
	ErrResponse = errors.New(prefix + "not an answer of a third party")
)

// Error says at which location a client failed, and why: one of the errors above, a [*Refusal], or what the transport
// says. The text quotes the location, which whoever held the token may have written.
type Error struct {
	Location string

	// Reference is what [macaroon.CaveatReference] gives for the caveat that lacks a discharge. The log of the
	// third party, if that was asked, calls it the same: see [Record]. It is empty where nothing was to be
	// discharged.
	Reference string

	Err error
}

// Error is one line.
func (e *Error) Error() string {
	about := ""
	if e.Reference != "" {
		about = ", for caveat " + e.Reference
	}
	return prefix + "third party at " + quote(e.Location) + about + ": " + strings.TrimPrefix(e.Err.Error(), prefix)
}

// Unwrap gives the reason.
func (e *Error) Unwrap() error { return e.Err }

// Refusal is what a third party said instead of giving a discharge. Its text is the third party's and may be
// anything.
type Refusal struct {
	Status  int    // of HTTP
	Code    string // "permission denied", for example; may be empty
	Message string // for people; may be empty
}

// Error quotes what the third party said.
func (r *Refusal) Error() string {
	return fmt.Sprintf(prefix+"refused with status %d, code %s: %s", r.Status, quote(r.Code), quote(r.Message))
}

// failed says that there is no discharge for a caveat.
func failed(at string, m macaroon.MissingDischarge, err error) error {
	return &Error{Location: at, Reference: macaroon.CaveatReference(m.CaveatID), Err: err}
}

func badResponse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrResponse, fmt.Errorf(format, args...))
}

// quote is text for an error: on one line, and no longer than a reader or a log can bear.
func quote(text string) string {
	const most = 128
	if len(text) > most {
		return strconv.Quote(text[:most]) + "…"
	}
	return strconv.Quote(text)
}
