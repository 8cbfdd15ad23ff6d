package verifier

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/amaretti-go/amaretti/internal/chain"
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
	entry      *entry  // nil: nothing
	renewed    bool    // the source was asked again, and what it said is as before
	whole      bool    // nothing had to be computed
	primary    *node   // the last node that the primary macaroon shares with others
	discharges []*node // the same of each macaroon, by index; nil if there are none
	branch     *branch // that the credential is; nil if it is none
}

// known gives the last node of a macaroon that was known; it may be nil.
func (p *proof) known(i int) *node {
	if i == 0 {
		return p.primary
	}
	if p.discharges == nil {
		return nil
	}
	return p.discharges[i]
}

// place finds the branch that the credential is, if it is one.
func (p *proof) place() *branch {
	if p.entry == nil || !p.whole {
		return nil
	}
	if p.discharges == nil {
		return stands([]*node{p.primary})
	}
	return stands(p.discharges)
}

// text gives what is kept with a text of the credential, or nil. Locations may differ in
// it, of which nothing there speaks; the order of discharges may not.
func (p *proof) text() *presented {
	if p.branch == nil {
		return nil
	}
	t := p.branch.text.Load()
	if t == nil || !slices.Equal(t.proof.discharges, p.discharges) {
		return nil
	}
	return t
}

// root is the answer of a source.
type root struct {
	sig   [chain.Size]byte
	grant ForeignGrant // zero if native
	epoch uint64       // read before the signature was asked for
	asked time.Time    // when that was; zero if the source has an epoch
}

// same tells, in constant time as to the signature, whether two answers are the same.
func (r *root) same(other *root) bool {
	return subtle.ConstantTimeCompare(r.sig[:], other.sig[:]) == 1 &&
		r.grant.MinterCaveats == other.grant.MinterCaveats && slices.Equal(r.grant.Operations, other.grant.Operations)
}

func (r root) clone() *root {
	r.grant.Operations = slices.Clone(r.grant.Operations)
	return &r
}

// prove does all that is decided by cryptography: limits, then the root
// signature, then the whole chain of every macaroon. Nothing of the
// application's sees any of the token before all of that held. p is stamped, and late tells
// why not.
func (v *Verifier) prove(ctx context.Context, c macaroon.Credential, now time.Time, p *proof, late *Error) *Error {
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
	known, refusal := v.rootOf(ctx, view.At(0).Identifier(), p, late)
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
	p.primary, p.discharges, p.whole = w.primaryKnown, w.known, w.hasher.Links() == 0
	p.branch = p.place()
	v.cache.Value().count(p)
	if refusal = p.complete(); refusal != nil {
		return refusal
	}
	if refusal = v.unrevoked(p); refusal != nil {
		return refusal
	}
	p.asked = whoAttests(p.identifier.Attests, w.met)
	if len(w.missing) > 0 {
		// Everything presented is authentic; but who holds an expired token need
		// not go and get discharges for it.
		if _, expired := p.terms(now, v.options.Leeway); expired != nil {
			return expired
		}
		refusal = refuse(MissingDischarge, nil)
		refusal.Missing = w.missing
		return refusal
	}
	return nil
}

// recall gives what was proved of a credential when its text was presented before. The
// text is the same, byte for byte, and so are the signatures in it; what they follow from
// must still be what the source says. If it is not, or if that can't be told, there is no
// proof: prove has to find one. now is stamped, and late tells why not.
func (v *Verifier) recall(ctx context.Context, t *presented, now *root, late *Error) (*proof, *Error) {
	if t == nil || late != nil || ctx.Err() != nil || !v.serves(t.proof.entry.root.Load(), now) {
		return nil, nil
	}
	v.cache.Value().count(&t.proof)
	return &t.proof, v.unrevoked(&t.proof)
}

func (p *proof) minterCaveats() int {
	if p.identifier.KeyID == "" {
		return p.root.grant.MinterCaveats
	}
	return p.identifier.Caveats
}

// complete holds the primary macaroon to the number of caveats that its minter
// wrote.
func (p *proof) complete() *Error {
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

// rootOf finds out the root signature of an identifier, and what it says: from the cache
// if that still holds, else from the source. p is stamped, and late tells why not.
func (v *Verifier) rootOf(ctx context.Context, identifier string, p *proof, late *Error) (known bool, refusal *Error) {
	p.entry = v.cache.Value().find(identifier)
	if p.entry != nil {
		p.identifier = p.entry.identifier
	} else if v.foreign == nil {
		var err error
		if p.identifier, err = macaroon.ParseIdentifier(identifier); err != nil {
			return false, refuseAt(Malformed, 0, -1, err)
		}
	}
	if late != nil {
		return false, late
	}
	var kept *root
	if p.entry != nil {
		if kept = p.entry.root.Load(); v.serves(kept, &p.root) {
			p.root = *kept
			return true, nil
		}
	}
	if known, refusal = v.ask(ctx, identifier, &p.root); refusal != nil {
		return false, refusal
	}
	// The chain follows from the root signature and the bytes presented. If that is
	// still the same, so is what follows from it.
	if p.renewed = known && kept != nil && kept.same(&p.root); !p.renewed {
		p.entry = nil
	}
	return known, nil
}

// serves tells whether an answer of the source may still be relied on now.
func (v *Verifier) serves(kept, now *root) bool {
	if v.epoch != nil {
		return kept.epoch == now.epoch
	}
	return now.asked.Sub(kept.asked) < v.options.CacheFor
}

// stamp notes what an answer of the source is good for, before it is asked.
func (v *Verifier) stamp(ctx context.Context, r *root) (refusal *Error) {
	if v.epoch == nil {
		r.asked = time.Now()
		return nil
	}
	r.epoch, refusal = v.readEpoch(ctx)
	return refusal
}

// ask asks the source for the signature of an identifier.
func (v *Verifier) ask(ctx context.Context, identifier string, r *root) (found bool, refusal *Error) {
	defer recovered(&refusal)
	var err error
	if v.foreign == nil {
		r.sig, found, err = v.source.RootSignature(ctx, identifier)
	} else if r.sig, r.grant, found, err = v.foreign.ForeignRootSignature(ctx, identifier); err == nil {
		err = r.grant.check()
	}
	if err != nil {
		return false, v.sourceFailed(ctx, err)
	}
	return found, nil
}

func (v *Verifier) readEpoch(ctx context.Context) (epoch uint64, refusal *Error) {
	defer recovered(&refusal)
	epoch, err := v.epoch.Epoch()
	if err != nil {
		return 0, v.sourceFailed(ctx, err)
	}
	return epoch, nil
}

// recovered turns a panic of a source, which is other people's code, into a
// refusal. It must be deferred itself. The value is not shown: it may hold a key.
func recovered(refusal **Error) {
	if value := recover(); value != nil {
		*refusal = refuse(SourceFailed, fmt.Errorf("verifier: source panicked with a %T", value))
	}
}

func (v *Verifier) sourceFailed(ctx context.Context, err error) *Error {
	if ctx.Err() != nil {
		return refuse(ContextDone, err)
	}
	return refuse(SourceFailed, err)
}

// reprove asks the source again if what it said may no longer hold. It gives p
// itself if nothing had to be asked.
func (v *Verifier) reprove(ctx context.Context, p *proof) (*proof, *Error) {
	if err := ctx.Err(); err != nil {
		return nil, refuse(ContextDone, err)
	}
	var r root
	if refusal := v.stamp(ctx, &r); refusal != nil {
		return nil, refusal
	}
	if v.epoch != nil && r.epoch == p.root.epoch || v.epoch == nil && r.asked.Sub(p.root.asked) <= v.options.RecheckAfter {
		return p, nil
	}
	found, refusal := v.ask(ctx, p.credential.Inspect().At(0).Identifier(), &r)
	if refusal != nil {
		return nil, refusal
	}
	if !found || subtle.ConstantTimeCompare(r.sig[:], p.root.sig[:]) != 1 {
		return nil, refuseAt(UnknownKey, 0, -1, nil)
	}
	fresh := *p
	fresh.root = r
	if fresh.renewed = r.same(&p.root); !fresh.renewed { // it grants something else now, and that is another entry
		fresh.entry, fresh.primary, fresh.discharges, fresh.branch = nil, nil, nil, nil
	}
	if refusal := fresh.complete(); refusal != nil {
		return nil, refusal
	}
	return &fresh, nil
}

// walk goes through the chains of all macaroons of a credential, each once, so
// that its work is linear in what was presented.
type walk struct {
	view    macaroon.Unverified
	depth   int // how deep discharges may nest
	hasher  chain.Hasher
	primary [chain.Size]byte // final signature, which discharges are bound to

	byIdentifier map[string]int // discharges; 0, the primary's index, once used
	used         int
	pending      []discharge // discharges found for a caveat, not walked yet
	missing      []macaroon.MissingDischarge
	attested     bool  // whether to remember
	met          []met // the primary macaroon's caveats, in order

	primaryKnown *node   // the last node that is known of the primary macaroon
	primaryWhole bool    // and whether that is all of it
	known        []*node // the last nodes of all macaroons, by index, if there are several
}

// discharge is a macaroon that is to be verified under the key that its caveat
// sealed. Finding it by its identifier says nothing: holders choose the
// identifiers of caveats that they add.
type discharge struct {
	macaroon int
	sig      [chain.Size]byte // of its identifier
	depth    int
	known    *node // the root of what is known of it, or nil
}

func (w *walk) run(rootSig [chain.Size]byte, known *node) *Error {
	w.byIdentifier = discharges(w.view)
	if err := w.chain(discharge{sig: rootSig, known: known}); err != nil {
		return err
	}
	for len(w.pending) > 0 {
		last := len(w.pending) - 1
		next := w.pending[last]
		w.pending = w.pending[:last]
		if err := w.chain(next); err != nil {
			return err
		}
	}
	if w.used == w.view.Len()-1 {
		return nil
	}
	if len(w.missing) > 0 {
		// Which are missing is told only to those who have presented nothing but
		// what is authentic, and what is left over is not.
		return refuse(MissingDischarge, errLeftOver)
	}
	return refuse(UnusedDischarge, errLeftOver)
}

// discharges finds out which discharges there are. Of two with one identifier the
// second is never found, and so is left over, which is refused: which of them was
// meant can't be told.
func discharges(view macaroon.Unverified) (byIdentifier map[string]int) {
	n := view.Len()
	if n == 1 {
		return nil
	}
	byIdentifier = make(map[string]int, n-1)
	for i := 1; i < n; i++ {
		id := view.At(i).Identifier()
		if _, twice := byIdentifier[id]; !twice {
			byIdentifier[id] = i
		}
	}
	return byIdentifier
}

// chain walks one macaroon and compares its signature. What is wrong with one of
// the primary macaroon's third-party caveats is reported only if its signature is
// right: until then the caveats may be anybody's. Whichever reason is given, the
// whole of the macaroon has been walked. One refusal is made at most, at the end: each
// takes the time of a random name, which would tell how many caveats were found wrong.
func (w *walk) chain(d discharge) *Error {
	reason, at := ReasonUnset, 0
	m := w.view.At(d.macaroon)
	sig := d.sig
	caveats := m.Caveats()
	first := 0
	if d.known != nil {
		first, reason, at = w.resume(&d, caveats)
		sig = d.known.sig
	}
	for i := first; i < caveats.Len(); i++ {
		if condition, ok := caveats.Condition(i); ok {
			w.hasher.FirstParty(&sig, condition)
			continue
		}
		c := caveats.At(i)
		if wrong := w.thirdParty(&d, i, c, &sig); reason == ReasonUnset {
			reason, at = wrong, i
		}
		w.hasher.ThirdParty(&sig, c.VerificationID, c.ID)
	}
	if d.macaroon == 0 {
		w.primary = sig
	} else {
		w.bind(&d, first == caveats.Len(), &sig)
	}
	if !m.SignedBy(sig) && (reason == ReasonUnset || d.macaroon == 0) {
		reason, at = SignatureMismatch, -1
	}
	if reason != ReasonUnset {
		return refuseAt(reason, d.macaroon, at, nil)
	}
	return nil
}

// resume follows a macaroon as far as it is known, and gives the index of the first
// caveat that is not. d.known is then the last node that is.
func (w *walk) resume(d *discharge, caveats macaroon.UnverifiedCaveats) (i int, reason Reason, at int) {
	for ; i < caveats.Len(); i++ {
		c := caveats.At(i)
		next := d.known.find(&c)
		if next == nil {
			break
		}
		if next.opened != nil {
			found, wrong := w.claim(d, i, c)
			if found != 0 {
				w.pending = append(w.pending, discharge{found, next.opened.sig, d.depth + 1, next.opened})
			}
			if reason == ReasonUnset {
				reason, at = wrong, i
			}
		}
		d.known = next
	}
	if d.macaroon == 0 {
		w.primaryKnown, w.primaryWhole = d.known, i == caveats.Len()
	}
	if n := w.view.Len(); n > 1 {
		if w.known == nil {
			w.known = make([]*node, n)
		}
		w.known[d.macaroon] = d.known
	}
	return i, reason, at
}

// bind turns the signature of a discharge into the one that it is presented with.
func (w *walk) bind(d *discharge, known bool, sig *[chain.Size]byte) {
	if known && w.primaryWhole {
		if bound := w.primaryKnown.together(d.known); bound != nil {
			*sig = *bound
			return
		}
	}
	w.hasher.Bind(&w.primary, sig)
}

// thirdParty finds the discharge of a caveat, and the key to verify it under: the
// one that this very caveat sealed under the signature before it.
func (w *walk) thirdParty(in *discharge, index int, c macaroon.UnverifiedCaveat, sig *[chain.Size]byte) Reason {
	derived, ok := chain.Open(sig, c.VerificationID)
	if !ok {
		return CannotDecrypt
	}
	found, reason := w.claim(in, index, c)
	if found == 0 {
		return reason
	}
	w.pending = append(w.pending, discharge{macaroon: found, sig: w.hasher.Root(&derived, c.ID), depth: in.depth + 1})
	return ReasonUnset
}

// claim takes the discharge of a caveat, which no other may take after it. It gives its
// index, or 0 if there is none to verify.
func (w *walk) claim(in *discharge, index int, c macaroon.UnverifiedCaveat) (found int, reason Reason) {
	found, presented := w.byIdentifier[c.ID]
	if !presented {
		w.missing = append(w.missing, macaroon.MissingDischarge{Location: c.Location, CaveatID: c.ID})
		return 0, ReasonUnset
	}
	if found == 0 {
		return 0, DischargeReused
	}
	if in.depth >= w.depth {
		return 0, OverLimit
	}
	w.byIdentifier[c.ID] = 0
	w.used++
	if w.attested && in.macaroon == 0 {
		w.met = append(w.met, met{index, found})
	}
	return found, ReasonUnset
}
