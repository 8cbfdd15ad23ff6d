package verifier

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/amaretti-go/amaretti/macaroon"
)

// Sentinels for errors.Is. Every error of this package's decisions is in exactly
// one of the first three, the classes.
var (
	// ErrUnauthenticated: what was presented proves nothing. Over HTTP: 401.
	ErrUnauthenticated = errors.New("verifier: unauthenticated")

	// ErrDenied: the token is authentic, and does not allow this. Over HTTP: 403.
	ErrDenied = errors.New("verifier: denied")

	// ErrUndecided: it could not be found out; asking again may help. Over HTTP:
	// 503.
	ErrUndecided = errors.New("verifier: undecided")

	// ErrNotMacaroon: the text is none of ours, so the caller may try another
	// scheme. In class unauthenticated.
	ErrNotMacaroon = macaroon.ErrNotMacaroon

	// ErrExpired: authentic, and over. In class unauthenticated.
	ErrExpired = errors.New("verifier: expired")

	// ErrRevoked: authentic, and revoked. In class unauthenticated.
	ErrRevoked = errors.New("verifier: revoked")

	// ErrMissingDischarge: all that was presented is authentic, but a third party
	// still has to discharge a caveat; [Error.Missing] lists them. In class
	// unauthenticated.
	ErrMissingDischarge = errors.New("verifier: missing discharge")
)

// Class is what a refusal means to the caller.
type Class uint8

// The classes. The zero value is unset and never allows anything.
const (
	ClassUnset      Class = iota
	Unauthenticated       // what was presented proves nothing
	Denied                // authentic, and does not allow this
	Undecided             // it could not be found out
)

// String gives the name of the class.
func (c Class) String() string {
	switch c {
	case Unauthenticated:
		return "unauthenticated"
	case Denied:
		return "denied"
	case Undecided:
		return "undecided"
	}
	return "unset"
}

// Reason tells, for logs and metrics, why there is no decision to allow. Peers
// must not be told: from outside, all reasons of a class look the same.
type Reason uint8

// The reasons, by class. The zero value is unset.
const (
	ReasonUnset Reason = iota

	// Unauthenticated.
	NothingPresented  // no credential (reported by transports)
	InvalidRequest    // several credentials, or broken syntax around one (reported by transports)
	NotMacaroon       // not a macaroon of this library's form
	Malformed         // begins as one, and is none
	OverLimit         // exceeds one of the limits
	UnknownKey        // the source knows no such root key
	SignatureMismatch // the chain does not end in the signature presented
	CannotDecrypt     // a verification id does not open under its place in the chain
	MissingDischarge  // no discharge for a third-party caveat
	DischargeReused   // two caveats ask for one discharge
	UnusedDischarge   // a discharge that no caveat asks for, or the second of one identifier
	Revoked           // the token, its key, its subject or its branch has been revoked
	Expired           // a time-before has passed

	// Denied.
	BadOperation // the operation asked for is empty, or none
	NotGranted   // the minter granted no such operation
	NoExpiry     // the minter wrote no time-before
	NoAudience   // the minter wrote no audience
	CaveatFailed // a condition does not hold, or can't be understood

	// Undecided.
	SourceFailed      // the source of root signatures failed
	RevocationUnknown // the revocations are not known, or too old to go by
	ContextDone       // the context ended
	CheckUndecided    // a checker could not find out
	reasonsEnd        // not a reason
)

var reasons = [reasonsEnd]struct {
	name    string
	class   Class
	meaning string // for whoever reads the log, where nothing else says what to look at
}{
	ReasonUnset:       {"unset", ClassUnset, ""},
	NothingPresented:  {"nothing-presented", Unauthenticated, ""},
	InvalidRequest:    {"invalid-request", Unauthenticated, ""},
	NotMacaroon:       {"not-a-macaroon", Unauthenticated, ""},
	Malformed:         {"malformed", Unauthenticated, ""},
	OverLimit:         {"over-limit", Unauthenticated, ""},
	UnknownKey:        {"unknown-key", Unauthenticated, "this service has no such root key: another service's, retired or deleted"},
	SignatureMismatch: {"signature-mismatch", Unauthenticated, "damaged, forged, or minted under another root key of the same id"},
	CannotDecrypt:     {"cannot-decrypt", Unauthenticated, "the verification id does not open at its place in the chain"},
	MissingDischarge:  {"missing-discharge", Unauthenticated, ""},
	DischargeReused:   {"discharge-reused", Unauthenticated, "two caveats ask for one discharge"},
	UnusedDischarge:   {"unused-discharge", Unauthenticated, ""},
	Revoked:           {"revoked", Unauthenticated, ""},
	Expired:           {"expired", Unauthenticated, ""},
	BadOperation:      {"bad-operation", Denied, "what was asked for is no operation such as orders.read: a handler, method or message without one"},
	NotGranted:        {"not-granted", Denied, "no allow among the minter's caveats, and no grant of a foreign source, covers it"},
	NoExpiry:          {"no-expiry", Denied, "no time-before among the minter's caveats; a holder's doesn't count"},
	NoAudience:        {"no-audience", Denied, "no audience among the minter's caveats; a holder's doesn't count"},
	CaveatFailed:      {"caveat-failed", Denied, ""},
	SourceFailed:      {"source-failed", Undecided, ""},
	RevocationUnknown: {"revocation-unknown", Undecided, ""},
	ContextDone:       {"context-done", Undecided, ""},
	CheckUndecided:    {"check-undecided", Undecided, ""},
}

// String gives the name of the reason in lower case with hyphens; it is stable,
// for use in metrics.
func (r Reason) String() string {
	if r < reasonsEnd {
		return reasons[r].name
	}
	return "unset"
}

// Class gives the class that the reason belongs to.
func (r Reason) Class() Class {
	if r < reasonsEnd {
		return reasons[r].class
	}
	return ClassUnset
}

// Error is every refusal. Its text is the same for all of a class, so that it may
// reach a peer; [Error.Detail], LogValue and the audit hook tell the rest.
type Error struct {
	Reason Reason

	// Macaroon and Caveat say where, counted from 0; -1 where that means
	// nothing.
	Macaroon, Caveat int

	// Cause is the error behind it, if any. It is for logs: it may quote the
	// condition. It never holds a signature or key. Of a revoked token its text is what
	// was revoked, if [Options.Revocations] tells: package revocation's Parse reads it.
	Cause error

	// Missing lists the caveats to discharge, if that is the reason and all that
	// was presented proved authentic, unexpired and of use.
	Missing []macaroon.MissingDischarge

	// Instance is a random name for this one refusal, to find it in the log by
	// what the peer was told.
	Instance string

	// logged is the log that AuditLog wrote this to. The hook may do that in a goroutine
	// of its own. Nil if there is no hook.
	logged *atomic.Pointer[slog.Logger]
}

func refuse(reason Reason, cause error) *Error { return refuseAt(reason, -1, -1, cause) }

func refuseAt(reason Reason, macaroon, caveat int, cause error) *Error {
	return &Error{Reason: reason, Macaroon: macaroon, Caveat: caveat, Cause: cause, Instance: rand.Text()}
}

// Class gives the class of the refusal.
func (e *Error) Class() Class { return e.Reason.Class() }

// proved tells whether the refusal is of a token that proved authentic: what is looked at
// behind the chain.
func (e *Error) proved() bool {
	switch e.Reason {
	case Revoked, RevocationUnknown, Expired:
		return true
	case MissingDischarge:
		return len(e.Missing) > 0
	case ContextDone, CheckUndecided:
		return e.Caveat >= 0 // a checker was asked
	}
	return e.Class() == Denied
}

// left tells whether there is no decision because whoever asked has left: nothing is wrong
// here. A deadline that has passed may say that something was slow.
func (e *Error) left(ctx context.Context) bool {
	return e.Reason == ContextDone && errors.Is(ctx.Err(), context.Canceled)
}

// Error gives one text for each class, and nothing more.
func (e *Error) Error() string { return "verifier: " + e.Class().String() }

// Detail describes the refusal for logs: the reason, where, and the cause or, if
// there is none, what the reason means.
func (e *Error) Detail() string {
	text := e.Reason.String()
	if e.Macaroon >= 0 {
		text += fmt.Sprintf(": macaroon %d", e.Macaroon)
	}
	if e.Caveat >= 0 {
		text += fmt.Sprintf(": caveat %d", e.Caveat)
	}
	switch {
	case e.Cause != nil:
		text += ": " + e.Cause.Error()
	case len(e.Missing) > 0:
		first := e.Missing[0]
		text += fmt.Sprintf(": %d in all, the first of caveat %s, to be asked of a third party that may be at %q",
			len(e.Missing), macaroon.CaveatReference(first.CaveatID), first.Location[:min(len(first.Location), maxName)])
	case e.Reason < reasonsEnd && reasons[e.Reason].meaning != "":
		text += ": " + reasons[e.Reason].meaning
	}
	return text
}

// LogValue describes the refusal for logs.
func (e *Error) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("class", e.Class().String()),
		slog.String("reason", e.Reason.String()),
		slog.String("detail", e.Detail()),
		slog.String("instance", e.Instance),
	)
}

// Is matches the sentinels of this package.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrUnauthenticated:
		return e.Class() == Unauthenticated
	case ErrDenied:
		return e.Class() == Denied
	case ErrUndecided:
		return e.Class() == Undecided
	case ErrNotMacaroon:
		return e.Reason == NotMacaroon
	case ErrExpired:
		return e.Reason == Expired
	case ErrRevoked:
		return e.Reason == Revoked
	case ErrMissingDischarge:
		return e.Reason == MissingDischarge && len(e.Missing) > 0
	}
	return false
}

// Unwrap gives the cause, unless that is a refusal of its own, of a checker that
// verifies another token, say: an error is in one class only. Nor does it give a cause
// that panics when it is asked, as a typed nil pointer may: the error is the
// application's, and whoever asks stands in the way of every request.
func (e *Error) Unwrap() (cause error) {
	defer func() {
		if recover() != nil {
			cause = nil
		}
	}()
	for _, sentinel := range []error{
		ErrUnauthenticated, ErrDenied, ErrUndecided, ErrNotMacaroon, ErrExpired, ErrRevoked, ErrMissingDischarge,
	} {
		if errors.Is(e.Cause, sentinel) {
			return nil
		}
	}
	return e.Cause
}
