package macaroon

import (
	"crypto/subtle"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/internal/wire"
)

// Unverified is a read-only view of all macaroons of a credential or wallet, the
// primary one first. Nothing in it has been verified: whoever presented it may
// have made it up. It is for tools that show a token, and for code that routes
// by a hint; decisions belong to package verifier. Nothing is copied, and it may
// be used by several goroutines at once.
//
// It does not give the signature, which is the secret.
type Unverified struct{ box box }

// Len is the number of macaroons.
func (u Unverified) Len() int {
	if t := u.box.Value(); t != nil {
		return len(t.list)
	}
	return 0
}

// At gives one of the macaroons. Like an index, i must be within 0 and Len()-1.
func (u Unverified) At(i int) UnverifiedMacaroon {
	_ = u.box.Value().list[i]
	return UnverifiedMacaroon{u.box, i}
}

// String describes the macaroons for people, a line for each part, without the
// signatures. Whatever came with the token is quoted, so it can't imitate a line.
func (u Unverified) String() string {
	var b strings.Builder
	for i := range u.Len() {
		u.At(i).describe(&b)
	}
	return b.String()
}

// UnverifiedMacaroon is a read-only view of one macaroon; see [Unverified].
type UnverifiedMacaroon struct {
	box   box
	index int
}

var nothing wire.Macaroon

func (u UnverifiedMacaroon) macaroon() *wire.Macaroon {
	if t := u.box.Value(); t != nil {
		return &t.list[u.index]
	}
	return &nothing
}

// Location gives the location, a hint that anybody can rewrite.
func (u UnverifiedMacaroon) Location() string { return u.macaroon().Location }

// Identifier gives the identifier; [ParseIdentifier] reads those of this library.
func (u UnverifiedMacaroon) Identifier() string { return u.macaroon().Identifier }

// Caveats gives the caveats.
func (u UnverifiedMacaroon) Caveats() UnverifiedCaveats {
	return UnverifiedCaveats{u.macaroon().Caveats}
}

// SignedBy reports, in constant time, whether sig is the signature.
func (u UnverifiedMacaroon) SignedBy(sig [32]byte) bool {
	return u.box.Value() != nil && subtle.ConstantTimeCompare(u.macaroon().Signature[:], sig[:]) == 1
}

// String describes the macaroon for people, without the signature.
func (u UnverifiedMacaroon) String() string {
	var b strings.Builder
	u.describe(&b)
	return b.String()
}

func (u UnverifiedMacaroon) describe(b *strings.Builder) {
	if u.box.Value() == nil {
		return
	}
	fmt.Fprintf(b, "location %q\n", u.Location())
	id, err := ParseIdentifier(u.Identifier()) // else the zero one, which counts no caveat
	if err != nil {
		fmt.Fprintf(b, "identifier %q\n", u.Identifier())
	} else {
		fmt.Fprintf(b, "identifier: key %s, token %s, issued %s, subject %q\n",
			id.KeyID, id.TokenID, id.IssuedAt.Format(time.RFC3339), id.Subject)
	}
	for i, c := range u.Caveats().All() {
		by := ""
		if i < id.Caveats {
			by = " (minter)"
		}
		if !c.ThirdParty() {
			fmt.Fprintf(b, "caveat %d%s: %q\n", i, by, c.ID)
			continue
		}
		fmt.Fprintf(b, "caveat %d%s: third party at %q, caveat id %q", i, by, c.Location, c.ID)
		for _, a := range id.Attests {
			if a.Caveat == i {
				fmt.Fprintf(b, ", to attest %q", a.Keys)
			}
		}
		b.WriteString("\n")
	}
}

// UnverifiedCaveats is a read-only view of the caveats of one macaroon, in order;
// see [Unverified].
type UnverifiedCaveats struct{ list []wire.Caveat }

// Len is the number of caveats.
func (u UnverifiedCaveats) Len() int { return len(u.list) }

// At gives one of the caveats. Like an index, i must be within 0 and Len()-1.
func (u UnverifiedCaveats) At(i int) UnverifiedCaveat { return UnverifiedCaveat(u.list[i]) }

// Condition gives the condition of a first-party caveat; ok is false for a
// third-party one, which has none: its id, which may be any text, is not given. Like an
// index, i must be within 0 and Len()-1.
func (u UnverifiedCaveats) Condition(i int) (condition string, ok bool) {
	c := &u.list[i]
	if c.VerificationID != "" {
		return "", false
	}
	return c.ID, true
}

// All ranges over the caveats and their indices.
func (u UnverifiedCaveats) All() iter.Seq2[int, UnverifiedCaveat] {
	return func(yield func(int, UnverifiedCaveat) bool) {
		for i, c := range u.list {
			if !yield(i, UnverifiedCaveat(c)) {
				return
			}
		}
	}
}

// UnverifiedCaveat is one caveat; see [Unverified].
type UnverifiedCaveat struct {
	ID             string // the condition, or the caveat id of a third-party caveat
	VerificationID string // the sealed caveat root key; empty in a first-party caveat
	Location       string // where the third party is: a hint that anybody can rewrite
}

// ThirdParty reports whether a third party has to discharge the caveat.
func (c UnverifiedCaveat) ThirdParty() bool { return c.VerificationID != "" }

// Inspect shows what m holds, unverified.
func (m Macaroon) Inspect() UnverifiedMacaroon { return UnverifiedMacaroon{box: m.box} }

// Inspect shows what w holds, unverified.
func (w Wallet) Inspect() Unverified { return Unverified{w.box} }

// Inspect shows what c holds, unverified.
func (c Credential) Inspect() Unverified { return Unverified{c.box} }
