package macaroon

import (
	"fmt"
	"strings"
)

// Every type has the same set of methods. Binary is the v2 binary form, several
// macaroons one behind the other; text is its unpadded base64url; JSON, by way of
// the text methods, is the text in a string. Unmarshalling replaces the receiver,
// uses the default limits, and leaves the receiver alone when it fails.

// Encode gives the credential text of a macaroon that needs no discharges, to be
// sent as "Authorization: Bearer <text>". It fails if the text would exceed its
// limit.
func (m Macaroon) Encode() (string, error) { return m.box.Value().text() }

// AppendBinary appends the v2 binary form.
func (m Macaroon) AppendBinary(b []byte) ([]byte, error) { return m.box.Value().appendBinary(b) }

// MarshalBinary gives the v2 binary form.
func (m Macaroon) MarshalBinary() ([]byte, error) { return m.AppendBinary(nil) }

// AppendText appends the credential text; see [Macaroon.Encode].
func (m Macaroon) AppendText(b []byte) ([]byte, error) { return m.box.Value().appendText(b) }

// MarshalText gives the credential text; see [Macaroon.Encode].
func (m Macaroon) MarshalText() ([]byte, error) { return m.AppendText(nil) }

// UnmarshalBinary reads one macaroon in v2 binary form, under the default limits.
// It may be a discharge, so that its identifier may be as long as a caveat id.
func (m *Macaroon) UnmarshalBinary(data []byte) error {
	return m.become(parse(string(data), Limits{Identifier: defaults.Condition}))
}

// UnmarshalText reads one macaroon as text, under the limits of UnmarshalBinary.
func (m *Macaroon) UnmarshalText(text []byte) error {
	return m.become(ParseWith(string(text), Limits{Identifier: defaults.Condition}))
}

func (m *Macaroon) become(c Credential, err error) error {
	if err != nil {
		return err
	}
	if n := c.Inspect().Len(); n != 1 {
		return fmt.Errorf("%w: %d macaroons, want one", ErrMalformed, n)
	}
	*m = Macaroon{box: c.box}
	return nil
}

// Encode gives the text that c was parsed from, or the text of the binary.
func (c Credential) Encode() (string, error) { return c.box.Value().text() }

// AppendBinary appends the v2 binary forms, one behind the other.
func (c Credential) AppendBinary(b []byte) ([]byte, error) { return c.box.Value().appendBinary(b) }

// MarshalBinary gives the v2 binary forms, one behind the other.
func (c Credential) MarshalBinary() ([]byte, error) { return c.AppendBinary(nil) }

// AppendText appends the credential text.
func (c Credential) AppendText(b []byte) ([]byte, error) { return c.box.Value().appendText(b) }

// MarshalText gives the credential text.
func (c Credential) MarshalText() ([]byte, error) { return c.AppendText(nil) }

// UnmarshalBinary reads v2 binary forms that stand one behind the other, under
// the default limits.
func (c *Credential) UnmarshalBinary(data []byte) error {
	return c.become(parse(string(data), Limits{}))
}

// UnmarshalText reads what [Parse] reads.
func (c *Credential) UnmarshalText(text []byte) error {
	return c.become(Parse(string(text)))
}

func (c *Credential) become(parsed Credential, err error) error {
	if err == nil {
		*c = parsed
	}
	return err
}

// walletPrefix keeps a stored wallet from being taken for a credential: its
// discharges are not bound, and a verifier must not see them. It is followed by
// the binary, or by the text.
const walletPrefix = "wallet:"

// AppendBinary appends the stored form: the v2 binary form of a macaroon without
// discharges, else "wallet:" and all of them, unbound, one behind the other.
func (w Wallet) AppendBinary(b []byte) ([]byte, error) {
	t := w.box.Value()
	if t == nil {
		return nil, ErrInvalid
	}
	if len(t.list) > 1 {
		b = append(b, walletPrefix...)
	}
	return t.appendBinary(b)
}

// MarshalBinary gives the stored form; see [Wallet.AppendBinary].
func (w Wallet) MarshalBinary() ([]byte, error) { return w.AppendBinary(nil) }

// AppendText appends the stored form: the credential text of a macaroon without
// discharges, else "wallet:" and the text of all of them, unbound. It is not what
// a service wants to see; that is [Wallet.Encode].
func (w Wallet) AppendText(b []byte) ([]byte, error) {
	t := w.box.Value()
	if t == nil {
		return nil, ErrInvalid
	}
	if len(t.list) > 1 {
		b = append(b, walletPrefix...)
	}
	return t.appendText(b)
}

// MarshalText gives the stored form; see [Wallet.AppendText].
func (w Wallet) MarshalText() ([]byte, error) { return w.AppendText(nil) }

// UnmarshalBinary reads what AppendBinary wrote, under the default limits.
func (w *Wallet) UnmarshalBinary(data []byte) error {
	body, prefixed := strings.CutPrefix(string(data), walletPrefix)
	c, err := parse(body, Limits{})
	return w.become(c, prefixed, err)
}

// UnmarshalText reads what AppendText wrote, under the default limits. Credential
// text with discharges is refused: they are bound already.
func (w *Wallet) UnmarshalText(text []byte) error {
	body, prefixed := strings.CutPrefix(string(text), walletPrefix)
	c, err := Parse(body)
	return w.become(c, prefixed, err)
}

func (w *Wallet) become(c Credential, prefixed bool, err error) error {
	if err != nil {
		return err
	}
	t := c.box.Value()
	switch single := len(t.list) == 1; {
	case prefixed && single:
		return fmt.Errorf("%w: wallet without discharges", ErrMalformed)
	case !prefixed && !single:
		return ErrSealed
	}
	read, err := newWallet(t.list, t.limits)
	if err == nil {
		*w = read
	}
	return err
}
