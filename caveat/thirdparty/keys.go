package thirdparty

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/amaretti-go/amaretti/internal/redact"
)

// Keys is a third party's set of private keys. All of them open caveat ids; one is advertised, to which new ones
// should be sealed. It is immutable, and prints as its public keys. The zero Keys is invalid.
//
// To replace a key without refusing anybody: open the new one beside the old, NewKeys(old, new), wherever the third
// party runs; then advertise it, NewKeys(new, old); and drop the old one, NewKeys(new), when no token lives
// any more whose caveat was sealed to it. Give tokens an expiry, and locators a short memory.
type Keys struct {
	_   [0]func() // not comparable: == would compare addresses
	box redact.Box[[]PrivateKey]
}

// maxKeys bounds what one caveat id costs.
const maxKeys = 16

// NewKeys makes a set of keys, of which the first is advertised. It fails if one is zero, if one is given twice, or
// if there are more than 16.
func NewKeys(advertised PrivateKey, others ...PrivateKey) (Keys, error) {
	list := append([]PrivateKey{advertised}, others...)
	if len(list) > maxKeys {
		return Keys{}, fmt.Errorf(prefix+"keys: more than %d", maxKeys)
	}
	seen := make(map[PublicKey]bool)
	for i, key := range list {
		switch {
		case key.IsZero():
			return Keys{}, fmt.Errorf(prefix+"keys: key %d is zero", i)
		case seen[key.Public()]:
			return Keys{}, fmt.Errorf(prefix+"keys: key %d was given before", i)
		}
		seen[key.Public()] = true
	}
	return Keys{box: redact.Hide(list)}, nil
}

var errZeroKeys = errors.New(prefix + "keys: zero Keys: use NewKeys")

func (k Keys) list() []PrivateKey {
	if list := k.box.Value(); list != nil {
		return *list
	}
	return nil
}

// IsZero reports whether k is the zero Keys, which is invalid.
func (k Keys) IsZero() bool { return k.box.Value() == nil }

// Advertised gives the public key that new caveats should be sealed to. It is zero if k is.
func (k Keys) Advertised() PublicKey {
	if k.IsZero() {
		return PublicKey{}
	}
	return k.list()[0].Public()
}

// Public gives the public keys of all that is open, the advertised one first.
func (k Keys) Public() []PublicKey {
	var public []PublicKey
	for _, key := range k.list() {
		public = append(public, key.Public())
	}
	return public
}

// String describes k without its secrets.
func (k Keys) String() string { return fmt.Sprintf("keys (public %v)", k.Public()) }

// Format writes what String gives, whatever the verb.
func (k Keys) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue gives what String gives.
func (k Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }
