package verifier

import (
	"context"
	"errors"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
)

// decide looks at the conditions of an authentic credential.
func (v *Verifier) decide(ctx context.Context, p *proof, operation string, facts *caveat.Facts, now time.Time) (*Verified, *Error) {
	t, refusal := p.terms(now, v.options.Leeway)
	if refusal != nil {
		return nil, refusal
	}
	if operation != AnyOperation && !caveat.ValidOperation(operation) {
		return nil, refuse(BadOperation, ambiguity(facts))
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
				return nil, v.checkFailed(ctx, i, j, err)
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

// ambiguity tells whoever reads the log why it is not known what was asked for, if that is
// so: else a handler or method has been forgotten.
func ambiguity(facts *caveat.Facts) error {
	if _, ok := caveat.CanonicalPath(facts.Path); ok || facts.Path == "" {
		return nil
	}
	return errAmbiguous
}

var errAmbiguous = errors.New("the path can be read in several ways, or has more than 8 KiB")

// check decides on one condition.
func (v *Verifier) check(ctx context.Context, req *caveat.Request, condition string, known []*node, j int) error {
	if j < len(known) {
		return known[j].check(ctx, req, &v.options.Registry)
	}
	return v.options.Registry.Check(ctx, req, condition)
}

func (v *Verifier) checkFailed(ctx context.Context, macaroon, index int, err error) *Error {
	switch {
	case !caveat.IsUndecided(err) && !errors.Is(err, ErrUndecided):
		return refuseAt(CaveatFailed, macaroon, index, err)
	case ctx.Err() != nil:
		return refuseAt(ContextDone, macaroon, index, err)
	}
	return refuseAt(CheckUndecided, macaroon, index, err)
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
