package rootkey

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/amaretti-go/amaretti/macaroon"
)

// keySet is all keys in one version. It is immutable once it has been read or
// written.
type keySet struct {
	version string
	keys    []*key // by time of creation, then by id
}

func (s *keySet) sort() {
	slices.SortFunc(s.keys, func(a, b *key) int {
		return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.id, b.id))
	})
}

// find gives a key's place, or -1.
func (s *keySet) find(id string) int {
	return slices.IndexFunc(s.keys, func(k *key) bool { return k.id == id })
}

// moment is what a set is at some instant.
type moment struct {
	states  []State   // of the keys, in their order
	minting *key      // nil if none is
	coming  *key      // which is pending, and will mint; nil if none is
	changes time.Time // the next instant at which a state may change; zero if there is none
}

// at tells what the set is at an instant. Where several keys could mint, which no
// keyring writes, the one does that began last, so that all who read it agree.
func (s *keySet) at(now time.Time) moment {
	m := moment{states: make([]State, len(s.keys))}
	for i, k := range s.keys {
		m.states[i] = k.state(now)
		switch {
		case m.states[i] == Minting:
			m.minting = latest(m.minting, k)
		case m.states[i] == Pending && (k.retires.IsZero() || k.mints.Before(k.retires)):
			m.coming = latest(m.coming, k)
		}
		for _, t := range [...]time.Time{k.mints, k.stops, k.retires} {
			if t.After(now) && (m.changes.IsZero() || t.Before(m.changes)) {
				m.changes = t
			}
		}
	}
	for i, k := range s.keys {
		if m.states[i] == Minting && k != m.minting {
			m.states[i] = Verifying
		}
	}
	return m
}

// mint gives the key to mint under. Where none mints, the coming one does before its time: a clock may
// have been set back, or the key before retired at once. There is no token for which to wait, and
// a verifier that has not read of it yet asks.
func (m moment) mint() *key { return cmp.Or(m.minting, m.coming) }

func latest(a, b *key) *key {
	if a == nil || cmp.Or(a.mints.Compare(b.mints), cmp.Compare(a.id, b.id)) < 0 {
		return b
	}
	return a
}

// draft is a set in the making.
type draft struct {
	keySet
	options *Options
	now     time.Time
	changed bool
}

func (s *keySet) draft(options *Options, now time.Time) *draft {
	return &draft{keySet{s.version, slices.Clone(s.keys)}, options, now.Round(0).UTC(), false}
}

// edit gives a key that may be changed, in the place of the one there.
func (d *draft) edit(id string) (*key, error) {
	i := d.find(id)
	if i < 0 {
		return nil, fmt.Errorf("key %s: %w", quote(id), macaroon.ErrUnknownKey)
	}
	k := *d.keys[i]
	d.keys[i], d.changed = &k, true
	return &k, nil
}

// addNow makes a key that mints at once. It does so since a while ago, for processes whose
// clocks are behind.
func (d *draft) addNow() *key { return d.add(d.now.Add(-d.options.Leeway)) }

func (d *draft) add(mints time.Time) *key {
	k := newKey(d.now, mints)
	d.keys, d.changed = append(d.keys, k), true
	d.sort()
	return k
}

// lacking tells whether no key mints, nor will.
func (d *draft) lacking() bool {
	m := d.at(d.now)
	return m.minting == nil && m.coming == nil
}

// begin makes a key if there is none, which somebody else may have done by now.
func (d *draft) begin() {
	if d.lacking() {
		d.rotate()
	}
}

// rotate gives the key that will mint next. It makes one if there is none, which
// takes over when it has been published for long enough; or at once, if nothing mints.
func (d *draft) rotate() *key {
	m := d.at(d.now)
	if m.coming != nil {
		return m.coming
	}
	d.prune()
	if m.minting == nil {
		return d.addNow()
	}
	mints := d.now.Add(d.options.PublishFor)
	for _, k := range slices.Clone(d.keys) {
		if k.state(d.now) == Minting { // one, in what keyrings write
			d.stop(k.id, mints)
		}
	}
	return d.add(mints)
}

// stop lets a key stop minting at some instant, and retire when the last token that it
// may have minted has expired, unless it retires earlier by an operator's wish. Its
// retirement is that if it comes before the one that follows from its present stop.
func (d *draft) stop(id string, at time.Time) {
	k, err := d.edit(id)
	if err != nil {
		return // the caller has just seen it
	}
	retires := at.Add(d.options.overlap())
	wished := !k.retires.IsZero() && (k.stops.IsZero() || k.retires.Before(k.stops.Add(d.options.overlap())))
	switch {
	case !wished && k.retires.Before(retires): // also if it is not set
		k.retires = retires
	case wished && k.retires.After(retires):
		k.retires = retires
	}
	k.stops = at
}

// delete removes a key. If it is the one that mints, or the one that will, a fresh key
// takes its place: it was not to be the end of minting.
func (d *draft) delete(id string) error {
	i := d.find(id)
	if i < 0 {
		return fmt.Errorf("key %s: %w", quote(id), macaroon.ErrUnknownKey)
	}
	m, gone := d.at(d.now), d.keys[i]
	d.keys, d.changed = slices.Delete(d.keys, i, i+1), true
	switch gone {
	case m.minting:
		fresh := d.addNow()
		if m.coming != nil {
			d.stop(fresh.id, m.coming.mints)
		}
	case m.coming:
		d.rotate() // with a delay of its own, up to which the one before goes on
	}
	return nil
}

// prune removes keys that were retired for as long as they verified after they had
// stopped.
func (d *draft) prune() {
	n := len(d.keys)
	d.keys = slices.DeleteFunc(d.keys, func(k *key) bool { return d.prunable(k) })
	d.changed = d.changed || len(d.keys) < n
}

func (d *draft) prunable(k *key) bool {
	return !k.retires.IsZero() && reached(k.retires.Add(d.options.overlap()), d.now)
}

// due tells whether there should be another key soon.
func (d *draft) due() bool {
	m := d.at(d.now)
	switch {
	case m.coming != nil:
		return false
	case m.minting == nil:
		return true
	}
	k, o := m.minting, d.options
	// Retiring, it can mint no token of full lifetime for the last MaxLifetime. A
	// successor that begins before that has to be published first.
	ahead := d.now.Add(o.PublishFor + o.RefreshEvery)
	return reached(k.mints.Add(o.RotateEvery), d.now) || reached(k.stops, ahead) ||
		reached(k.retires, ahead.Add(o.MaxLifetime))
}

// maintain does what Run is for, and gives the id of the key that it made, if any.
func (d *draft) maintain() (made string) {
	d.prune()
	if d.due() {
		made = d.rotate().id
	}
	return made
}
