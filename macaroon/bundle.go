package macaroon

import (
	"fmt"

	"github.com/amaretti-go/amaretti/internal/redact"
	"github.com/amaretti-go/amaretti/internal/wire"
)

// bundle is what Macaroon, Wallet and Credential have in common: macaroons, the
// primary one first. It is filled where it is made and does not change after.
type bundle struct {
	list   []wire.Macaroon
	limits *Limits // nil: the defaults
	binary string  // what was parsed; empty if it was made otherwise

	// Room for what most bundles are, so that they take one allocation.
	one [1]wire.Macaroon
	few [6]wire.Caveat
}

// box keeps a bundle from printing. The zero box is in the zero values.
type box = redact.Box[bundle]

func newBundle(limits *Limits) (box, *bundle) {
	b := redact.New[bundle]()
	b.Value().limits = limits
	return b, b.Value()
}

// single makes a bundle of m alone, with room for more caveats.
func single(m wire.Macaroon, limits *Limits, more int) (box, *bundle) {
	b, t := newBundle(limits)
	room := t.few[:0]
	if n := len(m.Caveats) + more; n > cap(room) {
		room = make([]wire.Caveat, 0, n)
	}
	m.Caveats = append(room, m.Caveats...)
	t.one[0] = m
	t.list = t.one[:]
	return b, t
}

func (t *bundle) inForce() *Limits {
	if t.limits == nil {
		return &defaults
	}
	return t.limits
}

// size gives the number of caveats in all macaroons.
func (t *bundle) size() (caveats int) {
	for i := range t.list {
		caveats += len(t.list[i].Caveats)
	}
	return caveats
}

// check holds the counts to the limits.
func (t *bundle) check() error {
	l := t.inForce()
	if len(t.list) > l.Macaroons {
		return wire.OverLimit("macaroons", l.Macaroons)
	}
	if t.size() > l.AllCaveats {
		return wire.OverLimit("caveats", l.AllCaveats)
	}
	for i := range t.list {
		if err := l.check(&t.list[i]); err != nil {
			return err
		}
	}
	return nil
}

// encode gives the binary form, if that is within its limit.
func (t *bundle) encode() ([]byte, error) {
	if t.binary != "" {
		return []byte(t.binary), nil
	}
	size := 0
	for i := range t.list {
		size += wire.MaxSize(&t.list[i])
	}
	b := make([]byte, 0, size)
	for i := range t.list {
		b = wire.Append(b, &t.list[i])
	}
	if limit := t.inForce().bytes(); len(b) > limit {
		return nil, wire.OverLimit("bytes", limit)
	}
	return b, nil
}

// appendBinary appends the binary form.
func (t *bundle) appendBinary(b []byte) ([]byte, error) {
	binary, err := t.encode()
	if err != nil {
		return nil, err
	}
	return append(b, binary...), nil
}

// appendText appends the text of the binary form.
func (t *bundle) appendText(b []byte) ([]byte, error) {
	binary, err := t.encode()
	if err != nil {
		return nil, err
	}
	return wire.AppendText(b, binary), nil
}

// describe is what prints in place of the secrets.
func describe(kind string, t *bundle) string {
	if t == nil {
		return kind + " (invalid)"
	}
	if len(t.list) == 1 {
		return fmt.Sprintf("%s (%d caveats, redacted)", kind, t.size())
	}
	return fmt.Sprintf("%s (%d caveats, %d discharges, redacted)", kind, t.size(), len(t.list)-1)
}
