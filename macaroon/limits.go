package macaroon

import (
	"cmp"
	"encoding/base64"

	"github.com/amaretti-go/amaretti/internal/wire"
)

// Limits bound what is parsed and minted, so that a token from anywhere costs
// little. Each is compared before the work that it bounds. In every field zero
// means the default, and a negative value allows nothing.
type Limits struct {
	Text       int // bytes of credential text; 16 KiB
	Macaroons  int // in one credential, with the primary one; 16
	Caveats    int // in one macaroon; 64
	AllCaveats int // in one credential; 256
	Depth      int // of discharges of discharges; 4. Only a verifier looks at it.
	Identifier int // bytes of the primary macaroon's identifier; 1 KiB
	Condition  int // bytes of a condition or caveat id, and so of a discharge's identifier; 4 KiB
	Location   int // bytes; 512
}

var defaults = Limits{
	Text:       16 << 10,
	Macaroons:  16,
	Caveats:    64,
	AllCaveats: 256,
	Depth:      4,
	Identifier: 1 << 10,
	Condition:  4 << 10,
	Location:   512,
}

// WithDefaults returns the limits in force: l with the default in place of each
// zero.
func (l Limits) WithDefaults() Limits {
	return Limits{
		Text:       cmp.Or(l.Text, defaults.Text),
		Macaroons:  cmp.Or(l.Macaroons, defaults.Macaroons),
		Caveats:    cmp.Or(l.Caveats, defaults.Caveats),
		AllCaveats: cmp.Or(l.AllCaveats, defaults.AllCaveats),
		Depth:      cmp.Or(l.Depth, defaults.Depth),
		Identifier: cmp.Or(l.Identifier, defaults.Identifier),
		Condition:  cmp.Or(l.Condition, defaults.Condition),
		Location:   cmp.Or(l.Location, defaults.Location),
	}
}

// raised gives the limits in force, or nil if they are the defaults.
func (l Limits) raised() *Limits {
	if l == (Limits{}) {
		return nil
	}
	if l = l.WithDefaults(); l == defaults {
		return nil
	}
	return new(l)
}

// bytes bounds the binary form as Text bounds the text.
func (l *Limits) bytes() int { return base64.RawURLEncoding.DecodedLen(max(l.Text, 0)) }

func (l *Limits) check(m *wire.Macaroon) error {
	switch {
	case len(m.Identifier) > max(l.Identifier, l.Condition):
		// Whether this is a primary macaroon or a discharge is not known yet.
		return wire.OverLimit("bytes of identifier", max(l.Identifier, l.Condition))
	case len(m.Location) > l.Location:
		return wire.OverLimit("bytes of location", l.Location)
	case len(m.Caveats) > l.Caveats:
		return wire.OverLimit("caveats of one macaroon", l.Caveats)
	}
	return nil
}

func (l *Limits) checkCaveat(c *wire.Caveat) error {
	switch {
	case len(c.ID) > l.Condition:
		return wire.OverLimit("bytes of condition or caveat id", l.Condition)
	case len(c.Location) > l.Location:
		return wire.OverLimit("bytes of caveat location", l.Location)
	}
	return nil
}
