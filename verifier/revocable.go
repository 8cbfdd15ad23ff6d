package verifier

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
)

// Revocations knows what has been revoked. Package revocation has one that follows a
// feed.
//
// Revoked is asked once for each decision, and for each [Authentic.Check], about a
// credential that proved authentic, before anything that it says is believed. An error
// means that it can't be told: the decision is undecided. It stands in the way of every
// request, so it must answer from memory; it must be safe for concurrent use.
//
// One that also has the method
//
//	Changed() <-chan struct{}
//
// tells when its answers may have changed; see [Verifier.RevocationsChanged]. The channel
// is closed at the next change after the call. It must return at once.
//
// And one that has the method
//
//	RevokedAs(t Revocable) string
//
// names, for the log, what was revoked that a token falls under: "subject billing", for example. It
// is asked only after Revoked said that the token is revoked, and decides nothing. Its text
// becomes the cause of the refusal, which no peer sees. It is empty if that can't be told: what was
// revoked a moment ago may be so no more. Whatever wraps another has to pass both methods on.
type Revocations interface {
	Revoked(t Revocable) (bool, error)
}

// RevocationsChanged gives a channel that is closed as soon as anything may have been
// revoked since this call. It is for those who keep something open for longer than one
// decision, such as a stream: get the channel first, then look, then wait.
//
//	for {
//		changed := v.RevocationsChanged()
//		if err := authentic.Reauthenticate(ctx); err != nil {
//			return err
//		}
//		select {
//		case <-changed:
//		case <-ctx.Done():
//			return ctx.Err()
//		}
//	}
//
// Any number may wait, and nobody has to sign off. The channel is nil, which means that
// waiting has no end, if [Options.Revocations] is nil or doesn't tell.
func (v *Verifier) RevocationsChanged() <-chan struct{} {
	if r, ok := v.options.Revocations.(interface{ Changed() <-chan struct{} }); ok {
		return r.Changed()
	}
	return nil
}

// Revocable is what a token can be revoked by: what the minter wrote into its
// identifier, which every token attenuated from it shares, and the branches that
// holders marked, which nobody after them can take off. A location, an encoding, or an
// appended caveat makes no difference.
type Revocable struct {
	KeyID    string           // the root key; empty if the token is foreign
	TokenID  macaroon.TokenID // all zero if foreign
	Subject  string           // empty if foreign, or if it has none
	IssuedAt time.Time        // to the second; zero if foreign

	view macaroon.Unverified
}

// Foreign reports whether another system minted the token, so that its identifier is
// all there is to know it by.
func (r Revocable) Foreign() bool { return r.KeyID == "" }

// Identifier gives the identifier of the primary macaroon.
func (r Revocable) Identifier() string {
	if r.view.Len() == 0 {
		return ""
	}
	return r.view.At(0).Identifier()
}

// Branches ranges over the branches that the token and its discharges belong to.
func (r Revocable) Branches() iter.Seq[[16]byte] {
	return func(yield func([16]byte) bool) {
		for i := range r.view.Len() {
			caveats := r.view.At(i).Caveats()
			for j := range caveats.Len() {
				condition, ok := caveats.Condition(j)
				if !ok || !strings.HasPrefix(condition, "branch ") {
					continue
				}
				// One that can't be read denies when its turn comes.
				if id, err := caveat.ParseBranch(condition[len("branch "):]); err == nil && !yield(id) {
					return
				}
			}
		}
	}
}

// unrevoked asks whether an authentic credential has been revoked.
func (v *Verifier) unrevoked(p *proof) (refusal *Error) {
	if v.options.Revocations == nil {
		return nil
	}
	defer func() {
		if value := recover(); value != nil { // it is other people's code
			refusal = refuse(RevocationUnknown, fmt.Errorf("verifier: revocations panicked with a %T", value))
		}
	}()
	t := Revocable{
		KeyID:    p.identifier.KeyID,
		TokenID:  p.identifier.TokenID,
		Subject:  p.identifier.Subject,
		IssuedAt: p.identifier.IssuedAt,
		view:     p.credential.Inspect(),
	}
	revoked, err := v.options.Revocations.Revoked(t)
	switch {
	case err != nil:
		return refuse(RevocationUnknown, err)
	case revoked:
		return refuse(Revoked, v.revokedAs(t))
	}
	return nil
}

// revokedAs asks, for the log, what a revoked token falls under. The decision is made: a panic
// here does not undo it.
func (v *Verifier) revokedAs(t Revocable) (cause error) {
	r, tells := v.options.Revocations.(interface{ RevokedAs(t Revocable) string })
	if !tells {
		return nil
	}
	defer func() {
		if value := recover(); value != nil {
			cause = fmt.Errorf("verifier: revocations panicked with a %T", value)
		}
	}()
	if what := r.RevokedAs(t); what != "" {
		return errors.New(what)
	}
	return nil
}
