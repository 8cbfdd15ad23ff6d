package verifier

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/internal/redact"
	"github.com/amaretti-go/amaretti/macaroon"
)

// AnyOperation asks for every operation at once: only a token that allows "*" and
// denies nothing has it. It is for administrators' tools; "who am I" is an
// operation of its own. Transports take it as a literal argument only, never
// from a function or table.
const AnyOperation = caveat.AnyOperation

// Options tune a Verifier. The zero value is the safe default.
type Options struct {
	// Registry knows the conditions. The zero value is caveat.Standard.
	Registry caveat.Registry

	// Limits bound what is looked at; see [macaroon.Limits] for the defaults.
	Limits macaroon.Limits

	// Leeway is for clocks that differ: it extends time-before and time-after by
	// as much. Zero means none; at most a minute.
	Leeway time.Duration

	// Revocations knows what has been revoked; see package revocation. Nil means that
	// nothing ever is: a token then works until it expires or its key goes.
	Revocations Revocations

	// RecheckAfter is how long a root signature is relied on in repeated calls
	// of [Authentic.Check] when the source has no epoch. Zero means one second.
	RecheckAfter time.Duration

	// CacheBytes bounds the memory of the cache, which spares the cryptography of what
	// a credential has in common with those that were allowed before; see the package
	// documentation. Zero means 4 MiB, a negative value no cache. One identifier gets a
	// 64th of it at most, so below 256 KiB few tokens find room.
	CacheBytes int

	// CacheFor is how long the cache relies on a root signature if the source has no
	// epoch: a key that is taken away works for so long. Zero means that nothing is
	// cached then. It is of no meaning for a source that has an epoch.
	CacheFor time.Duration

	// Audit is told of every decision, in the goroutine that decides; see
	// [Record]. Nil means nobody is. [AuditLog] writes to a log. It must be safe
	// for concurrent use.
	Audit func(ctx context.Context, r Record)

	// Now is the clock that decisions are made by. Nil means time.Now. It is read
	// once for each decision, and once more to tell the audit how long that took. While it
	// gives the zero time nothing is decided.
	Now func() time.Time

	// InsecureNoExpiry accepts tokens whose minter wrote no time-before: such a
	// token works until its key is retired.
	InsecureNoExpiry bool

	// InsecureNoAudience accepts tokens whose minter wrote no audience: such a
	// token works at every service that has the root key.
	InsecureNoAudience bool
}

const maxLeeway = time.Minute

// Verifier decides on credentials. It is immutable and safe for concurrent use. The
// zero Verifier allows nothing.
type Verifier struct {
	source   Source        // or
	foreign  ForeignSource // one of them is nil
	epoch    epoch         // nil if the source has none
	audience string
	options  Options
	limits   macaroon.Limits              // in force
	decoy    redact.Box[[chain.Size]byte] // a root signature for unknown keys, nobody's
	cache    redact.Box[cache]            // empty if there is none
}

// New makes a verifier for the tokens of this library. source knows the root keys;
// audience is the name of this service, which a token must have been minted for.
//
// New fails if either is missing, if an option is out of range, or if source can
// also be a [ForeignSource]: what a token's identifier means must not depend on
// its bytes. All problems are reported together.
func New(source Source, audience string, options Options) (*Verifier, error) {
	return (&Verifier{source: source}).configure(source, audience, options)
}

// NewForeign makes a verifier for tokens that other systems minted, such as a
// bakery: their identifiers are opaque and what they grant comes from source.
// They have no subject. The conditions of [New] hold likewise.
func NewForeign(source ForeignSource, audience string, options Options) (*Verifier, error) {
	return (&Verifier{foreign: source}).configure(source, audience, options)
}

func (v *Verifier) configure(source any, audience string, options Options) (*Verifier, error) {
	var problems []error
	if absent(source) {
		problems = append(problems, errors.New("no source"))
	}
	_, native := source.(Source)
	if _, foreign := source.(ForeignSource); native && foreign {
		problems = append(problems, errors.New("source is both native and foreign"))
	}
	if audience == "" {
		problems = append(problems, errors.New("no audience: want the name of this service"))
	} else if _, err := caveat.Audience(audience).Condition(); err != nil {
		problems = append(problems, fmt.Errorf("audience: %w", err))
	}
	if options.Revocations != nil && absent(options.Revocations) {
		problems = append(problems, errors.New("revocations: a nil pointer"))
	}
	if options.Leeway < 0 || options.Leeway > maxLeeway {
		problems = append(problems, fmt.Errorf("leeway: want 0 to %v", maxLeeway))
	}
	if options.RecheckAfter < 0 {
		problems = append(problems, errors.New("recheck after: negative"))
	}
	if options.CacheFor < 0 {
		problems = append(problems, errors.New("cache for: negative"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("verifier: %w", err)
	}
	options.RecheckAfter = cmp.Or(options.RecheckAfter, time.Second)
	v.epoch, _ = source.(epoch)
	v.limits = options.Limits.WithDefaults()
	v.audience, v.options, v.decoy = audience, options, redact.New[[chain.Size]byte]()
	rand.Read(v.decoy.Value()[:]) // never fails: crypto/rand ends the program instead
	if options.CacheBytes >= 0 && (v.epoch != nil || options.CacheFor > 0) {
		v.cache = newCache(options.CacheBytes, options.Limits)
	}
	return v, nil
}

// absent tells whether there is nothing in an interface, or nothing but a nil pointer or
// function, which is what is left of a constructor's result when its error was not looked at.
func absent(value any) bool {
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func:
		return v.IsNil()
	}
	return false
}

// Now reads the clock that decisions are made by. It is for transports that tell it.
func (v *Verifier) Now() time.Time {
	if v.options.Now == nil {
		return time.Now()
	}
	return v.options.Now()
}

// Verify decides whether c allows operation on a request with these facts. It is
// Authenticate and Check in one, and the way to go unless what is asked for is
// known only later.
//
// The error is an [*Error] in one of three classes; see [ErrUnauthenticated],
// [ErrDenied], [ErrUndecided].
func (v *Verifier) Verify(ctx context.Context, c macaroon.Credential, operation string, facts caveat.Facts) (*Verified, error) {
	return v.verify(ctx, c, nil, &Asked{operation, facts})
}

// verify decides on a credential, which is what was presented if that is not nil.
func (v *Verifier) verify(ctx context.Context, c macaroon.Credential, t *presented, asked *Asked) (*Verified, error) {
	start := v.Now()
	now, unstamped := v.stamp(ctx) // once, before any answer of the source is looked up or asked for
	p, refusal := v.recall(ctx, t, now, unstamped)
	if p == nil {
		p = &proof{root: root{at: now}} // on the stack: it goes no further than this
		refusal = v.prove(ctx, c, start, p, unstamped)
	}
	var verified *Verified
	if refusal == nil {
		if verified, refusal = v.decide(ctx, p, asked.Operation, &asked.Facts, start); refusal == nil {
			v.cache.Value().keep(p, verified.expiry, start)
		}
	}
	v.audit(ctx, c, asked, verified, refusal, start)
	if refusal != nil {
		return nil, refusal
	}
	return verified, nil
}

// VerifyText is Verify for credential text, such as stands behind "Bearer" in a
// header.
func (v *Verifier) VerifyText(ctx context.Context, text, operation string, facts caveat.Facts) (*Verified, error) {
	asked := Asked{operation, facts}
	if t := v.cache.Value().presented(text); t != nil {
		return v.verify(ctx, t.proof.credential, t, &asked)
	}
	c, err := v.parse(ctx, text, &asked)
	if err != nil {
		return nil, err
	}
	return v.verify(ctx, c, nil, &asked)
}

// Parse reads credential text under the verifier's limits. Like every refusal, a
// failure goes to the audit hook, which is told what was asked for.
func (v *Verifier) Parse(ctx context.Context, text string, asked *Asked) (macaroon.Credential, error) {
	if t := v.cache.Value().presented(text); t != nil {
		return t.proof.credential, nil
	}
	return v.parse(ctx, text, asked)
}

func (v *Verifier) parse(ctx context.Context, text string, asked *Asked) (macaroon.Credential, error) {
	c, err := macaroon.ParseWith(text, v.options.Limits)
	if err != nil {
		return macaroon.Credential{}, v.RefuseUnread(ctx, asked, err)
	}
	return c, nil
}

// Stats tells what the cache has been good for; all zero if there is none.
func (v *Verifier) Stats() Stats { return v.cache.Value().stats() }

// Limits gives the limits in force.
func (v *Verifier) Limits() macaroon.Limits { return v.limits }

// Refuse makes the refusal of a request that never became a credential, and tells
// the audit hook. It is for transports.
func (v *Verifier) Refuse(ctx context.Context, asked *Asked, reason Reason, cause error) *Error {
	err := refuse(reason, cause)
	v.audit(ctx, macaroon.Credential{}, asked, nil, err, v.Now())
	return err
}

// RefuseUnread is Refuse for what package macaroon, or legacy, could not read: the
// reason follows from their error. It is for transports.
func (v *Verifier) RefuseUnread(ctx context.Context, asked *Asked, err error) *Error {
	reason := Malformed
	switch {
	case errors.Is(err, macaroon.ErrNotMacaroon):
		reason = NotMacaroon
	case errors.Is(err, macaroon.ErrLimit):
		reason = OverLimit
	}
	return v.Refuse(ctx, asked, reason, err)
}
