package verifier

import (
	"errors"
	"fmt"
	"iter"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
)

// Attribute gives the value of an attribute that a third party attested: one that
// the minter asked for, in the caveat that asks for it. No holder can add one, change
// it, or take it away; see the package documentation. found is false if the minter did
// not ask, or the third party had nothing to say. An attribute is never empty.
func (v *Verified) Attribute(key string) (value string, found bool) {
	value, found = v.attributes[key]
	return value, found
}

// Attributes ranges over all of them, keys and values, in the order in which the
// minter asked. Values may be personal data: nothing in this package logs them.
func (v *Verified) Attributes() iter.Seq2[string, string] {
	return func(yield func(key, value string) bool) {
		for _, attestation := range v.token().identifier.Attests {
			for _, key := range attestation.Keys {
				if value, found := v.attributes[key]; found && !yield(key, value) {
					return
				}
			}
		}
	}
}

// asked tells of each attribute that the minter asks for which macaroon attests it.
// nobody is the primary macaroon's index: what stands in there attests nothing.
type asked map[string]int

const nobody = 0

// met is a third-party caveat of the primary macaroon, and the discharge that was
// verified under the key which that very caveat sealed.
type met struct{ caveat, discharge int }

// whoAttests joins what the minter asks for, and of which caveats, with the discharges
// that met them. Both lists are in the order of the caveats. Identifiers of discharges
// play no part: a holder may append a caveat with the id of the minter's.
func whoAttests(attests []macaroon.Attestation, list []met) asked {
	if len(attests) == 0 {
		return nil
	}
	a := make(asked)
	for _, attestation := range attests {
		for len(list) > 0 && list[0].caveat < attestation.Caveat {
			list = list[1:]
		}
		discharge := nobody
		if len(list) > 0 && list[0].caveat == attestation.Caveat {
			discharge = list[0].discharge
		}
		for _, key := range attestation.Keys {
			a[key] = discharge
		}
	}
	return a
}

// declarations are those of a credential, as they are met one after the other.
type declarations struct {
	asked      asked
	everything bool              // whether to hold all keys to one value, also those that nobody asked for
	values     map[string]string // that each key has been declared to have
	attributes map[string]string
}

var errContradiction = errors.New("another value is declared for it")

// add takes the condition of macaroon i. late says that a time-before stands before
// it in there.
//
// Whatever a holder appends to a discharge stands behind what the third party wrote:
// behind the declaration, which it can only repeat or contradict, or behind the expiry.
// So a declaration that comes late proves nothing, even if it is the third party's own.
// Anywhere else a declaration can only contradict.
func (d *declarations) add(i int, late bool, condition string) error {
	key, value, err := caveat.ParseDeclared(condition[len(declaredPrefix):])
	if err != nil {
		return fmt.Errorf("verifier: declared: %w", err)
	}
	attests, isAsked := d.asked[key]
	if !isAsked && !d.everything {
		return nil
	}
	if before, again := d.values[key]; again && before != value {
		return fmt.Errorf("verifier: declared %.64q: %w: %w", key, caveat.ErrNotMet, errContradiction)
	}
	put(&d.values, key, value)
	if isAsked && i == attests && i != nobody && !late && value != "" {
		put(&d.attributes, key, value)
	}
	return nil
}

func put(m *map[string]string, key, value string) {
	if *m == nil {
		*m = make(map[string]string)
	}
	(*m)[key] = value
}
