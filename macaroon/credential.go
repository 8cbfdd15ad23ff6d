package macaroon

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/amaretti-go/amaretti/internal/wire"
)

// Credential is what a holder presented: a macaroon and its discharges, bound to
// it. It is parsed and not verified. It is kept as it came and encodes to the
// same bytes. It is immutable; the zero value is invalid.
//
// A Credential is a secret. It prints as a short description.
type Credential struct {
	_   [0]func() // not comparable: == would compare addresses
	box box       // with what was parsed
}

// Parse reads credential text under the default [Limits]. Discharges are taken in
// any order, since other libraries write them so; [Wallet.Encode] writes them depth
// first. So a credential is not to be known by its text, but by what is in it.
//
// The error is ErrNotMacaroon, ErrMalformed or ErrLimit under errors.Is.
func Parse(text string) (Credential, error) { return ParseWith(text, Limits{}) }

// ParseWith reads credential text under limits; see [Parse].
func ParseWith(text string, limits Limits) (Credential, error) {
	if limit := cmp.Or(limits.Text, defaults.Text); len(text) > limit {
		return Credential{}, wire.OverLimit("bytes of text", limit)
	}
	binary, err := wire.DecodeText(text)
	if err != nil {
		if strings.HasPrefix(text, walletPrefix) {
			return Credential{}, fmt.Errorf("%w: a wallet as it is stored, want what Wallet.Encode gives", ErrNotMacaroon)
		}
		return Credential{}, err
	}
	return parse(binary, limits)
}

func parse(binary string, limits Limits) (Credential, error) {
	b, t := newBundle(limits.raised())
	if limit := t.inForce().bytes(); len(binary) > limit {
		return Credential{}, wire.OverLimit("bytes", limit)
	}
	list, err := wire.Decode(t.one[:0], t.few[:0], binary, (*wire.Limits)(t.inForce()))
	if err != nil {
		return Credential{}, err
	}
	t.binary, t.list = binary, list
	return Credential{box: b}, nil
}

// IsZero reports whether c is the zero value, which is invalid.
func (c Credential) IsZero() bool { return c.box.Value() == nil }

// Limits gives the limits that c was parsed under, and so keeps within. Those of the
// zero Credential allow nothing.
func (c Credential) Limits() Limits {
	t := c.box.Value()
	if t == nil {
		return Limits{}
	}
	return *t.inForce()
}

// Wallet gives the macaroon for narrowing it, if the credential has no
// discharges. With discharges it is ErrSealed: they are bound to the primary
// macaroon's signature, which narrowing would change.
func (c Credential) Wallet() (Wallet, error) {
	t := c.box.Value()
	if t == nil {
		return Wallet{}, ErrInvalid
	}
	if len(t.list) > 1 {
		return Wallet{}, ErrSealed
	}
	return Wallet{box: c.box}, nil
}

type contextKey struct{}

// NewContext returns a context that carries c to where a request is forwarded.
func NewContext(ctx context.Context, c Credential) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// FromContext gives the credential that [NewContext] put into ctx.
func FromContext(ctx context.Context) (c Credential, found bool) {
	c, found = ctx.Value(contextKey{}).(Credential)
	return c, found
}
