package macaroon

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/internal/wire"
)

// Wallet is what a holder keeps: a macaroon, called the primary one, and the
// discharges that third parties gave for its caveats, not yet bound to it. It is
// immutable; the zero value is invalid.
//
// While discharges are unbound the primary macaroon can still be narrowed.
// [Wallet.Encode] binds them and gives the text to send. A Wallet is a secret and
// prints as a short description.
type Wallet struct {
	_   [0]func() // not comparable: == would compare addresses
	box box       // its discharges are not bound
}

// NewWallet puts a macaroon and its discharges together. It fails if one of them
// is the zero value, if two discharges have one identifier (a verifier could use
// but one of them), or if a limit is exceeded.
func NewWallet(primary Macaroon, discharges ...Macaroon) (Wallet, error) {
	return Wallet{box: primary.box}.With(discharges...)
}

// With returns w with further discharges, under the conditions of [NewWallet].
func (w Wallet) With(discharges ...Macaroon) (Wallet, error) {
	t := w.box.Value()
	if t == nil {
		return Wallet{}, ErrInvalid
	}
	list := slices.Clone(t.list)
	for _, d := range discharges {
		if d.IsZero() {
			return Wallet{}, ErrInvalid
		}
		list = append(list, d.box.Value().list[0])
	}
	return newWallet(list, t.limits)
}

func newWallet(list []wire.Macaroon, limits *Limits) (Wallet, error) {
	b, t := newBundle(limits)
	t.list = list
	if err := t.check(); err != nil {
		return Wallet{}, err
	}
	if limit := t.inForce().Identifier; len(list[0].Identifier) > limit {
		return Wallet{}, wire.OverLimit("bytes of the primary macaroon's identifier", limit)
	}
	seen := make(map[string]bool, len(list))
	for i, d := range list[1:] {
		if seen[d.Identifier] {
			return Wallet{}, fmt.Errorf("%w: discharge %d: another one has the same identifier", ErrMalformed, i)
		}
		seen[d.Identifier] = true
	}
	return Wallet{box: b}, nil
}

// IsZero reports whether w is the zero value, which is invalid.
func (w Wallet) IsZero() bool { return w.box.Value() == nil }

// Primary gives the macaroon without its discharges.
func (w Wallet) Primary() Macaroon {
	t := w.box.Value()
	if t == nil {
		return Macaroon{}
	}
	b, _ := single(t.list[0], t.limits, 0)
	return Macaroon{box: b}
}

// Discharges gives the discharges, unbound, in the order in which they came.
func (w Wallet) Discharges() []Macaroon {
	t := w.box.Value()
	if t == nil {
		return nil
	}
	var list []Macaroon
	for _, d := range t.list[1:] {
		b, _ := single(d, t.limits, 0)
		list = append(list, Macaroon{box: b})
	}
	return list
}

// Attenuate narrows the primary macaroon; see [Macaroon.Attenuate].
func (w Wallet) Attenuate(caveats ...Caveat) (Wallet, error) {
	b, err := w.box.Value().attenuate(caveats)
	return Wallet{box: b}, err
}

// MissingDischarge is a third-party caveat that no discharge in the wallet is
// for.
type MissingDischarge struct {
	Location string // where the third party is: a hint, not authenticated
	CaveatID string // what to ask it to discharge
}

// CaveatReference names a third-party caveat in logs, by 16 hexadecimal digits of the SHA-256 of
// its caveat id. Who verifies a token, who asks for the discharge that it lacks and who gives that
// or refuses it write the same one, so that one request can be followed from each to the next. It
// is for finding, and decides nothing: who makes up caveat ids can make two with one reference, and
// where a bakery keeps beside the token what they stand for, its caveat ids are short and come again.
func CaveatReference(caveatID string) string {
	sum := sha256.Sum256([]byte(caveatID))
	return hex.EncodeToString(sum[:8])
}

// Missing lists the caveats that still lack a discharge, those of discharges
// included, depth first in the order of the caveats. Each discharge counts once:
// of two caveats with one caveat id the second stays without.
func (w Wallet) Missing() []MissingDischarge {
	t := w.box.Value()
	if t == nil {
		return nil
	}
	var few [8]int
	_, missing := t.order(few[:0])
	return missing
}

// order appends the indices of the macaroons, the primary one first and then the
// discharges depth first in the order of the caveats that they are for. Each is
// visited once, so that caveats in a circle end.
func (t *bundle) order(to []int) (order []int, missing []MissingDischarge) {
	unused := make(map[string]int, len(t.list))
	for i := 1; i < len(t.list); i++ {
		unused[t.list[i].Identifier] = i
	}
	type cursor struct{ macaroon, caveat int }
	stack := []cursor{{0, 0}}
	order = append(to, 0)
	for len(stack) > 0 {
		at := &stack[len(stack)-1]
		caveats := t.list[at.macaroon].Caveats
		if at.caveat == len(caveats) {
			stack = stack[:len(stack)-1]
			continue
		}
		c := &caveats[at.caveat]
		at.caveat++
		if c.VerificationID == "" {
			continue
		}
		i, found := unused[c.ID]
		if !found {
			missing = append(missing, MissingDischarge{Location: c.Location, CaveatID: c.ID})
			continue
		}
		delete(unused, c.ID)
		order = append(order, i)
		stack = append(stack, cursor{i, 0})
	}
	return order, missing
}

// Credential binds the discharges to the primary macaroon and gives what is to be
// sent. It fails if a discharge is for no caveat, since verifiers refuse what is
// left over. It does not fail if discharges are missing: the service will say so.
func (w Wallet) Credential() (Credential, error) {
	bound, err := w.bind()
	if err != nil {
		return Credential{}, err
	}
	binary, err := bound.appendBinary(nil)
	if err != nil {
		return Credential{}, err
	}
	return parse(string(binary), *bound.inForce())
}

// Encode gives the credential text: what [Wallet.Credential] gives, as text.
func (w Wallet) Encode() (string, error) {
	bound, err := w.bind()
	if err != nil {
		return "", err
	}
	return bound.text()
}

// bind gives the macaroons as they are presented.
func (w Wallet) bind() (*bundle, error) {
	t := w.box.Value()
	if t == nil {
		return nil, ErrInvalid
	}
	if len(t.list) == 1 {
		return t, nil
	}
	var few [8]int
	order, _ := t.order(few[:0])
	if n := len(t.list) - len(order); n > 0 {
		return nil, fmt.Errorf("macaroon: wallet: no caveat asks for %d of the discharges", n)
	}
	var h chain.Hasher
	bound := &bundle{limits: t.limits}
	for i, from := range order {
		m := t.list[from]
		if i > 0 {
			h.Bind(&t.list[0].Signature, &m.Signature)
		}
		bound.list = append(bound.list, m)
	}
	return bound, nil
}
