package verifier

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
)

// Authentic is a credential that proved authentic. What it allows has not been
// looked at. It is safe for concurrent use. Only [Verifier.Authenticate] makes one;
// the zero Authentic allows nothing.
type Authentic struct {
	verifier *Verifier
	proof    atomic.Pointer[proof] // replaced when the source has been asked again
	kept     atomic.Bool           // whether the cache has been told
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
	start := v.now()
	fresh, err := a.renew(ctx, p)
	var verified *Verified
	if err == nil {
		verified, err = v.decide(ctx, fresh, operation, &facts, start)
	}
	if err == nil && !a.kept.Swap(true) {
		v.cache.Value().keep(fresh, verified.expiry, start)
	}
	v.audit(ctx, p.credential, operation, verified, err, start)
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
	start := v.now()
	t, refusal := p.terms(start, v.options.Leeway)
	if refusal != nil {
		v.audit(ctx, p.credential, "", nil, refusal, start)
		return time.Time{}, refusal
	}
	deadline, _ = deadlineOf(t.expiry, v.options.Leeway)
	return deadline, nil
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

// decide looks at the conditions of an authentic credential.
func (v *Verifier) decide(ctx context.Context, p *proof, operation string, facts *caveat.Facts, now time.Time) (*Verified, *Error) {
	t, refusal := p.terms(now, v.options.Leeway)
	if refusal != nil {
		return nil, refusal
	}
	if operation != AnyOperation && !caveat.ValidOperation(operation) {
		return nil, refuse(BadOperation, nil)
	}
	if refusal := v.required(p, &t, operation); refusal != nil {
		return nil, refusal
	}

	req := caveat.Request{Facts: *facts, Now: now, Leeway: v.options.Leeway, Operation: operation, Audience: v.audience}
	var shown *caveat.Request // req on the heap, once a checker gets it: what that does with it is not known here
	// What foreign minters ask third parties for is not known. It could be anything.
	declared := declarations{asked: p.asked, everything: v.foreign != nil}
	view := p.credential.Inspect()
	var room [16]*node
	for i := range view.Len() {
		caveats := view.At(i).Caveats()
		known := p.known(i).path(room[:])
		ends := false
		for j := range caveats.Len() {
			condition, ok := caveats.Condition(j)
			if !ok {
				continue
			}
			var err error
			switch class := classAt(known, j, condition); {
			case class == expiring && !t.unreadable: // they have held already
				ends = true
			case class == declaring:
				err = declared.add(i, ends, condition)
			case ctx.Err() == nil && v.holds(&req, condition, known, j):
			default:
				ends = ends || class == expiring
				if shown == nil {
					shown = new(req)
				}
				err = v.check(ctx, shown, condition, known, j)
			}
			if err != nil {
				return nil, v.failed(ctx, i, j, err)
			}
		}
	}
	return v.verified(p, &t, declared.attributes), nil
}

// holds tells whether one condition is seen to hold, without anybody else's code. If not, check decides.
func (v *Verifier) holds(req *caveat.Request, condition string, known []*node, j int) bool {
	if j < len(known) {
		return known[j].holds(req)
	}
	return v.options.Registry.Holds(req, condition)
}

// check decides on one condition.
func (v *Verifier) check(ctx context.Context, req *caveat.Request, condition string, known []*node, j int) error {
	if j < len(known) {
		return known[j].check(ctx, req, &v.options.Registry)
	}
	return v.options.Registry.Check(ctx, req, condition)
}

func (v *Verifier) failed(ctx context.Context, macaroon, index int, err error) *Error {
	switch {
	case !caveat.IsUndecided(err) && !errors.Is(err, ErrUndecided):
		return refuseAt(CaveatFailed, macaroon, index, err)
	case ctx.Err() != nil:
		return refuseAt(ContextDone, macaroon, index, err)
	}
	return refuseAt(CheckUndecided, macaroon, index, err)
}

// terms is what the structure of a credential, or of its beginning, tells before any
// condition is checked.
type terms struct {
	expiry                  time.Time // the earliest; zero if there is none
	unreadable              bool      // whether one could not be read, and the others may hold or not
	expires, named, allowed bool      // the minter wrote a time-before, an audience, an allow
}

// hold tells whether all expiries were read and none has passed.
func (t *terms) hold(now time.Time, leeway time.Duration) bool {
	return !t.unreadable && (t.expiry.IsZero() || now.Before(t.expiry.Add(leeway)))
}

// add adds a condition, which the minter may have written. It gives the end of a time-before that
// can be read, which is never zero.
func (t *terms) add(condition string, minter bool) (end time.Time) {
	switch classOf(condition) {
	case expiring:
		end, err := caveat.Time.Parse(condition[len(expiryPrefix):])
		if err != nil {
			t.unreadable = true // its turn to fail comes with the other conditions
			break
		}
		t.expires = t.expires || minter
		t.until(end)
		return end
	case naming:
		t.named = t.named || minter
	case allowing:
		t.allowed = t.allowed || minter
	}
	return time.Time{}
}

func (t *terms) until(end time.Time) {
	if t.expiry.IsZero() || end.Before(t.expiry) {
		t.expiry = end
	}
}

// join adds the terms of what is known of one macaroon.
func (t *terms) join(known *terms) {
	if !known.expiry.IsZero() {
		t.until(known.expiry)
	}
	t.expires, t.named, t.allowed = t.expires || known.expires, t.named || known.named, t.allowed || known.allowed
}

// terms finds them, and fails if an expiry has passed: an expired token is
// refused as such, whatever else is wrong with it.
func (p *proof) terms(now time.Time, leeway time.Duration) (t terms, refusal *Error) {
	if now.IsZero() { // else nothing would ever expire
		return terms{}, refuse(CheckUndecided, errNoTime)
	}
	view := p.credential.Inspect()
	minters := p.minterCaveats()
	for i := range view.Len() {
		caveats := view.At(i).Caveats()
		first := 0
		if n := p.known(i); n != nil && n.terms.hold(now, leeway) {
			t.join(&n.terms)
			first = int(n.depth)
		}
		for j := first; j < caveats.Len(); j++ {
			condition, ok := caveats.Condition(j)
			if !ok {
				continue
			}
			if end := t.add(condition, j < minters); !end.IsZero() && !now.Before(end.Add(leeway)) {
				return terms{}, refuseAt(Expired, i, j, fmt.Errorf("%v ago, by this service's clock", now.Sub(end)))
			}
		}
		minters = 0 // only the primary macaroon has a minter whose word counts
	}
	return t, nil
}

var errNoTime = errors.New("verifier: the clock gives no time")

// class is what a condition is to the verifier, beside what it is to the registry.
type class uint8

const (
	other class = iota
	expiring
	naming // an audience
	allowing
	declaring
)

const (
	expiryPrefix   = "time-before "
	declaredPrefix = "declared "
)

func classOf(condition string) class {
	switch {
	case condition == "":
		return other
	case condition[0] == 't' && strings.HasPrefix(condition, expiryPrefix):
		return expiring
	case condition[0] == 'd' && strings.HasPrefix(condition, declaredPrefix):
		return declaring
	case condition[0] != 'a':
		return other
	case strings.HasPrefix(condition, "audience "):
		return naming
	case strings.HasPrefix(condition, "allow "):
		return allowing
	}
	return other
}

// classAt is the class of a condition, which may be known.
func classAt(known []*node, j int, condition string) class {
	if j < len(known) {
		return known[j].class
	}
	return classOf(condition)
}

// required holds the token to what its minter must have written. If a holder
// could supply it, appending a caveat would grant something.
func (v *Verifier) required(p *proof, t *terms, operation string) *Error {
	switch {
	case !t.expires && !v.options.InsecureNoExpiry:
		return refuse(NoExpiry, nil)
	case !t.named && !v.options.InsecureNoAudience:
		return refuse(NoAudience, nil)
	case v.source != nil && !t.allowed, v.source == nil && !p.root.grant.covers(operation):
		return refuse(NotGranted, nil)
	}
	return nil
}
