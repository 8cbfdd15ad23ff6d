package macaroon

import (
	"fmt"
	"slices"

	"github.com/amaretti-go/amaretti/internal/chain"
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
	few [8]wire.Caveat
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

// attenuate makes a bundle of the same macaroons, the primary one with further
// caveats. A nil bundle, as in zero values, is ErrInvalid.
func (t *bundle) attenuate(caveats []Caveat) (box, error) {
	if t == nil {
		return box{}, ErrInvalid
	}
	b, next := single(t.list[0], t.limits, len(caveats))
	var h chain.Hasher
	for i, c := range caveats {
		w, err := write(c, next.inForce())
		if err == nil && len(w.attests) > 0 {
			err = errAttests
		}
		if err != nil {
			return box{}, fmt.Errorf("macaroon: caveat %d: %w", i, err)
		}
		w.appendTo(&next.list[0], &h)
	}
	if len(t.list) > 1 {
		next.list = append(next.list, t.list[1:]...)
	}
	if err := next.check(); err != nil {
		return box{}, err
	}
	return b, nil
}

// appendBinary appends the binary form, if that is within its limit. A nil bundle is
// ErrInvalid here, too.
func (t *bundle) appendBinary(b []byte) ([]byte, error) {
	if t == nil {
		return nil, ErrInvalid
	}
	if t.binary != "" {
		return append(b, t.binary...), nil
	}
	size := 0
	for i := range t.list {
		size += wire.MaxSize(&t.list[i])
	}
	start := len(b)
	b = slices.Grow(b, size)
	for i := range t.list {
		b = wire.Append(b, &t.list[i])
	}
	if limit := t.inForce().bytes(); len(b)-start > limit {
		return nil, wire.OverLimit("bytes", limit)
	}
	return b, nil
}

// textRoom is room for the binary form of most bundles.
type textRoom [1 << 10]byte

// appendText appends the text of the binary form.
func (t *bundle) appendText(b []byte) ([]byte, error) {
	var room textRoom
	binary, err := t.appendBinary(room[:0])
	if err != nil {
		return nil, err
	}
	return wire.AppendText(b, binary), nil
}

// text gives the text of the binary form.
func (t *bundle) text() (string, error) {
	var room textRoom
	binary, err := t.appendBinary(room[:0])
	if err != nil {
		return "", err
	}
	return wire.EncodeText(binary), nil
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
