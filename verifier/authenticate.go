package verifier

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/amaretti-go/amaretti/macaroon"
)

// proof is that a credential is authentic, and what that rests on. It is
// immutable.
type proof struct {
	credential macaroon.Credential
	identifier macaroon.Identifier // zero if foreign
	asked      asked
	root       root

	// What was known of the credential beforehand.
	entry   *entry  // nil: nothing
	renewed bool    // the source was asked again, and what it said is as before
	whole   bool    // nothing had to be computed
	primary *node   // the last node that is known of the primary macaroon
	each    []*node // the same of each macaroon, by index; nil if there are no discharges
	branch  *branch // that the credential is; nil if it is none
}

// known gives the last node of a macaroon that was known; it may be nil.
func (p *proof) known(i int) *node {
	if i == 0 {
		return p.primary
	}
	if p.each == nil {
		return nil
	}
	return p.each[i]
}

// findBranch finds the branch that the credential is, if it is one.
func (p *proof) findBranch() *branch {
	if p.entry == nil || !p.whole {
		return nil
	}
	if p.each == nil {
		return branchOf([]*node{p.primary})
	}
	return branchOf(p.each)
}

// text gives what is kept with a text of the credential, or nil. Locations may differ in
// it, of which nothing there speaks; the order of discharges may not.
func (p *proof) text() *presented {
	if p.branch == nil {
		return nil
	}
	t := p.branch.text.Load()
	if t == nil || !slices.Equal(t.proof.each, p.each) {
		return nil
	}
	return t
}

func (p *proof) minterCaveats() int {
	if p.identifier.KeyID == "" {
		return p.root.grant.MinterCaveats
	}
	return p.identifier.Caveats
}

// prove does all that is decided by cryptography: limits, then the root
// signature, then the whole chain of every macaroon. Nothing of the
// application's sees any of the token before all of that held. p is stamped, and unstamped
// tells why not.
func (v *Verifier) prove(ctx context.Context, c macaroon.Credential, now time.Time, p *proof, unstamped *Error) *Error {
	if err := ctx.Err(); err != nil {
		return refuse(ContextDone, err)
	}
	view := c.Inspect()
	if view.Len() == 0 {
		return refuse(Malformed, errEmpty)
	}
	if c.Limits() != v.limits { // parsing has not compared them all
		if refusal := withinLimits(view, &v.limits); refusal != nil {
			return refusal
		}
	}
	p.credential = c
	known, refusal := v.rootOf(ctx, view.At(0).Identifier(), p, unstamped)
	if refusal != nil {
		return refusal
	}
	if !known {
		// Walk all the same, so that an unknown key costs what a bad signature
		// costs and can't be told from it by a clock.
		p.root.sig = *v.decoy.Value()
	}

	w := walk{view: view, depth: v.limits.Depth, attested: len(p.identifier.Attests) > 0}
	refusal = w.run(p.root.sig, p.entry.start())
	if !known {
		if refusal == nil { // which takes a guess of the signature
			refusal = refuse(UnknownKey, nil)
		}
		// However the walk ended. In place, since another refusal takes the time of another name.
		refusal.Reason, refusal.Macaroon, refusal.Caveat, refusal.Cause = UnknownKey, 0, -1, nil
		return refusal
	}
	if refusal != nil {
		return refusal
	}
	p.primary, p.each, p.whole = w.primaryKnown, w.each, w.hasher.Links() == 0
	p.branch = p.findBranch()
	v.cache.Value().count(p)
	if refusal = p.untruncated(); refusal != nil {
		return refusal
	}
	if refusal = v.unrevoked(p); refusal != nil {
		return refusal
	}
	p.asked = whoAttests(p.identifier.Attests, w.met)
	if len(w.missing) > 0 {
		return v.undischarged(p, w.missing, now)
	}
	return nil
}

// undischarged refuses a credential of which everything presented is authentic, and
// something is missing. Who holds an expired token need not go and get discharges for it.
func (v *Verifier) undischarged(p *proof, missing []macaroon.MissingDischarge, now time.Time) *Error {
	if _, expired := p.terms(now, v.options.Leeway); expired != nil {
		return expired
	}
	refusal := refuse(MissingDischarge, nil)
	refusal.Missing = missing
	return refusal
}

// recall gives what was proved of a credential when its text was presented before. The
// text is the same, byte for byte, and so are the signatures in it; what they follow from
// must still be what the source says. If it is not, or if that can't be told, there is no
// proof: prove has to find one. unstamped tells why now is not known.
func (v *Verifier) recall(ctx context.Context, t *presented, now stamp, unstamped *Error) (*proof, *Error) {
	if t == nil || unstamped != nil || ctx.Err() != nil || !v.serves(t.proof.entry.root.Load(), now) {
		return nil, nil
	}
	v.cache.Value().count(&t.proof)
	return &t.proof, v.unrevoked(&t.proof)
}

// untruncated holds the primary macaroon to the number of caveats that its minter
// wrote.
func (p *proof) untruncated() *Error {
	if p.minterCaveats() > p.credential.Inspect().At(0).Caveats().Len() {
		return refuseAt(Malformed, 0, -1, errTooFew)
	}
	return nil
}

var (
	errEmpty    = errors.New("no macaroon")
	errTooFew   = errors.New("fewer caveats than the minter wrote")
	errLeftOver = errors.New("a discharge is left over")
)

// withinLimits holds a credential, which may have been parsed under other limits,
// to the verifier's own.
func withinLimits(view macaroon.Unverified, l *macaroon.Limits) *Error {
	n := view.Len()
	if n > l.Macaroons {
		return refuse(OverLimit, nil)
	}
	caveats := 0
	idLimit := l.Identifier
	for i := range n {
		m := view.At(i)
		list := m.Caveats()
		caveats += list.Len()
		if list.Len() > l.Caveats || caveats > l.AllCaveats ||
			len(m.Identifier()) > idLimit || len(m.Location()) > l.Location {
			return refuseAt(OverLimit, i, -1, nil)
		}
		idLimit = l.Condition
		for j := range list.Len() {
			if c := list.At(j); len(c.ID) > l.Condition || len(c.Location) > l.Location {
				return refuseAt(OverLimit, i, j, nil)
			}
		}
	}
	return nil
}
