package verifier

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
)

// Authentic is a credential that proved authentic. What it allows has not been
// looked at. It is safe for concurrent use. Only [Verifier.Authenticate] makes one;
// the zero Authentic allows nothing.
type Authentic struct {
	verifier *Verifier
	proof    atomic.Pointer[proof] // replaced when the source has been asked again
	kept     atomic.Bool           // whether the cache has been told

	asked Asked // for records of what is not about anything else
}

// Authenticate decides whether c is authentic: within limits, signed under a root
// key that the source knows, every discharge in its place. No condition has been
// looked at, so an authentic credential may be expired or for another service;
// [Authentic.Check] decides what it allows. For a request whose operation and
// facts are known, use Verify.
func (v *Verifier) Authenticate(ctx context.Context, c macaroon.Credential) (*Authentic, error) {
	return v.AuthenticateFor(ctx, c, nil)
}

// AuthenticateFor is Authenticate where something is known already of what is asked for: it
// stands in the audit record of a failure, also in one of [Authentic.Reauthenticate] and
// [Authentic.Unexpired]. It is for transports.
func (v *Verifier) AuthenticateFor(ctx context.Context, c macaroon.Credential, asked *Asked) (*Authentic, error) {
	start := v.Now()
	now, unstamped := v.stamp(ctx)
	p := &proof{root: root{at: now}}
	if refusal := v.prove(ctx, c, start, p, unstamped); refusal != nil {
		v.audit(ctx, c, asked, nil, refusal, start)
		return nil, refusal
	}
	a := &Authentic{verifier: v}
	if asked != nil {
		a.asked = *asked
	}
	a.proof.Store(p)
	return a, nil
}

// Check decides whether the credential allows operation on a request with these
// facts, now. It may be called again and again: for each message of a stream, or
// when a resource is known only after routing. Each call looks at the key, the
// expiries and every condition afresh; only the chain is not walked again.
//
// The error is an [*Error] in one of three classes; see [ErrUnauthenticated],
// [ErrDenied], [ErrUndecided].
func (a *Authentic) Check(ctx context.Context, operation string, facts caveat.Facts) (*Verified, error) {
	v, p := a.verifier, a.proof.Load()
	if p == nil {
		return nil, refuse(Malformed, errEmpty)
	}
	start := v.Now()
	fresh, err := a.renew(ctx, p)
	var verified *Verified
	if err == nil {
		verified, err = v.decide(ctx, fresh, operation, &facts, start)
	}
	if err == nil && !a.kept.Swap(true) {
		v.cache.Value().keep(fresh, verified.expiry, start)
	}
	v.audit(ctx, p.credential, &Asked{operation, facts}, verified, err, start)
	if err != nil {
		return nil, err
	}
	return verified, nil
}

// Unexpired tells until when the credential has not expired, which is the zero time if it
// never does: its error is that of Check for one that has. It looks at no other condition,
// so it allows nothing. It is for those who learn only later what is asked for, and would
// begin something for that, which must end by then; see [Verified.Deadline].
func (a *Authentic) Unexpired(ctx context.Context) (deadline time.Time, err error) {
	v, p := a.verifier, a.proof.Load()
	if p == nil {
		return time.Time{}, refuse(Malformed, errEmpty)
	}
	start := v.Now()
	t, refusal := p.terms(start, v.options.Leeway)
	if refusal != nil {
		v.audit(ctx, p.credential, &a.asked, nil, refusal, start)
		return time.Time{}, refusal
	}
	deadline, _ = deadlineOf(t.expiry, v.options.Leeway)
	return deadline, nil
}

// Reauthenticate tells whether the credential would still be authenticated: its root key
// is good and it has not been revoked. It is much cheaper than [Verifier.Authenticate], and
// like that one it looks at no condition and no expiry and is audited only if it fails.
func (a *Authentic) Reauthenticate(ctx context.Context) error {
	v, p := a.verifier, a.proof.Load()
	if p == nil {
		return refuse(Malformed, errEmpty)
	}
	start := v.Now()
	if _, refusal := a.renew(ctx, p); refusal != nil {
		v.audit(ctx, p.credential, &a.asked, nil, refusal, start)
		return refusal
	}
	return nil
}

// renew looks at what may have changed since p was proved: the root key, the revocations.
func (a *Authentic) renew(ctx context.Context, p *proof) (*proof, *Error) {
	fresh, refusal := a.verifier.reprove(ctx, p)
	if refusal != nil {
		return nil, refusal
	}
	if fresh != p {
		a.proof.Store(fresh)
	}
	if refusal := a.verifier.unrevoked(fresh); refusal != nil {
		return nil, refusal
	}
	return fresh, nil
}

// Reference is a name of the token for logs; see [Verified.Reference].
func (a *Authentic) Reference() string {
	p := a.proof.Load()
	if p == nil {
		return ""
	}
	primary := p.credential.Inspect().At(0)
	return reference(primary.Identifier(), primary.Caveats())
}

// String gives the reference: the credential itself does not print.
func (a *Authentic) String() string { return "authentic credential " + a.Reference() }
