package legacy

import (
	"errors"
	"fmt"

	v2 "gopkg.in/macaroon.v2"

	"github.com/amaretti-go/amaretti/internal/wire"
	"github.com/amaretti-go/amaretti/macaroon"
)

// FromV2 takes over a macaroon of gopkg.in/macaroon.v2, of either version. m is
// only read, and nothing of it is kept.
//
// That type can hold what is no macaroon here, because its readers and
// constructors let it: a zero value, a location on a first-party caveat, a
// verification id that is empty or of another size, parts over the default limits. They are
// errors. For a v2.Slice, or other limits, marshal it and use [ImportWith].
func FromV2(m *v2.Macaroon) (macaroon.Macaroon, error) {
	if m == nil || m.Version() != v2.V1 && m.Version() != v2.V2 {
		return macaroon.Macaroon{}, errors.New("legacy: from macaroon.v2: nil or zero macaroon")
	}
	w := wire.Macaroon{Location: m.Location(), Identifier: string(m.Id())}
	for _, c := range m.Caveats() {
		if c.VerificationId != nil && len(c.VerificationId) == 0 {
			return macaroon.Macaroon{}, malformed("verification id: present, but empty")
		}
		w.Caveats = append(w.Caveats, wire.Caveat{
			ID:             string(c.Id),
			VerificationID: string(c.VerificationId),
			Location:       c.Location,
		})
	}
	copy(w.Signature[:], m.Signature())

	var out macaroon.Macaroon
	if err := out.UnmarshalBinary(wire.Append(nil, &w)); err != nil {
		return macaroon.Macaroon{}, err
	}
	return out, nil
}

// ToV2 gives m as a macaroon of gopkg.in/macaroon.v2, of version 2. Nothing is
// shared with m, so that changing the one leaves the other.
func ToV2(m macaroon.Macaroon) (*v2.Macaroon, error) {
	binary, err := m.MarshalBinary()
	if err != nil {
		return nil, err
	}
	out := new(v2.Macaroon)
	if err := out.UnmarshalBinary(binary); err != nil {
		return nil, fmt.Errorf("legacy: to macaroon.v2: %w", err)
	}
	return out, nil
}
