package macaroon

import (
	"errors"

	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/internal/wire"
)

// Macaroon is one macaroon in the hands of somebody who may narrow it. It is
// immutable; the zero value is invalid and every method refuses it.
//
// A Macaroon is a secret. It prints as a short description; see [Macaroon.Encode]
// for the real thing.
type Macaroon struct {
	_   [0]func() // not comparable: == would compare addresses
	box box       // of one macaroon
}

// New makes a macaroon with any identifier under any root key, without caveats.
// The location is an unauthenticated hint and may be empty.
//
// It is the low door, for discharges (from caveat root key and caveat id) and for
// formats that are not ours. [Mint] makes the tokens that package verifier takes
// for its own. The root key must be random and have at least 32 bytes to be of
// use; New itself only refuses an empty one. The root key is used, not kept.
func New(rootKey []byte, identifier, location string) (Macaroon, error) {
	if len(rootKey) == 0 {
		return Macaroon{}, errors.New("macaroon: no root key")
	}
	derived := chain.DeriveKey(rootKey)
	var h chain.Hasher
	b, t := single(wire.Macaroon{
		Location:   location,
		Identifier: identifier,
		Signature:  h.Root(&derived, identifier),
	}, nil, 0)
	if err := t.check(); err != nil {
		return Macaroon{}, err
	}
	return Macaroon{box: b}, nil
}

// Attenuate returns a macaroon that is m with further caveats, in their order.
// m stays as it is. If one caveat can't be written, or a limit is exceeded, there
// is an error and no macaroon.
//
// It is done offline: neither the minter nor the verifier takes part. A
// third-party caveat is sealed at its place in the chain; one that asks for
// attributes is refused, since only the minter can rely on them.
func (m Macaroon) Attenuate(caveats ...Caveat) (Macaroon, error) {
	b, err := m.box.Value().attenuate(caveats)
	return Macaroon{box: b}, err
}

// IsZero reports whether m is the zero value, which is invalid.
func (m Macaroon) IsZero() bool { return m.box.Value() == nil }

// Location gives the location that the minter wrote, or anyone after: it is a
// hint and not authenticated.
func (m Macaroon) Location() string { return m.Inspect().Location() }

// Identifier gives the identifier, not verified: [ParseIdentifier] reads one
// that [Mint] wrote.
func (m Macaroon) Identifier() string { return m.Inspect().Identifier() }
