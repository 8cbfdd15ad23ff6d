package verifier

import (
	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/macaroon"
)

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
	each         []*node // the last node that is known of each macaroon, by index, if there are several
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
		if w.each == nil {
			w.each = make([]*node, n)
		}
		w.each[d.macaroon] = d.known
	}
	return i, reason, at
}

// bind turns the signature of a discharge into the one that it is presented with.
func (w *walk) bind(d *discharge, known bool, sig *[chain.Size]byte) {
	if known && w.primaryWhole {
		if bound := w.primaryKnown.bound(d.known); bound != nil {
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
