package verifier

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
)

// terms is what the structure of a credential, or of its beginning, tells before any
// condition is checked.
type terms struct {
	expiry                  time.Time // the earliest; zero if there is none
	unreadable              bool      // whether one could not be read, and the others may hold or not
	expires, named, allowed bool      // the minter wrote a time-before, an audience, an allow
}

// hold tells whether all expiries were read and none has passed.
func (t *terms) hold(now time.Time, leeway time.Duration) bool {
	return !t.unreadable && (t.expiry.IsZero() || now.Before(t.expiry.Add(leeway)))
}

// add adds a condition, which the minter may have written. It gives the end of a time-before that
// can be read, which is never zero.
func (t *terms) add(condition string, minter bool) (end time.Time) {
	switch classOf(condition) {
	case expiring:
		end, err := caveat.Time.Parse(condition[len(expiryPrefix):])
		if err != nil {
			t.unreadable = true // its turn to fail comes with the other conditions
			break
		}
		t.expires = t.expires || minter
		t.until(end)
		return end
	case naming:
		t.named = t.named || minter
	case allowing:
		t.allowed = t.allowed || minter
	}
	return time.Time{}
}

func (t *terms) until(end time.Time) {
	if t.expiry.IsZero() || end.Before(t.expiry) {
		t.expiry = end
	}
}

// join adds the terms of what is known of one macaroon.
func (t *terms) join(known *terms) {
	if !known.expiry.IsZero() {
		t.until(known.expiry)
	}
	t.expires, t.named, t.allowed = t.expires || known.expires, t.named || known.named, t.allowed || known.allowed
}

// terms finds them, and fails if an expiry has passed: an expired token is
// refused as such, whatever else is wrong with it.
func (p *proof) terms(now time.Time, leeway time.Duration) (t terms, refusal *Error) {
	if now.IsZero() { // else nothing would ever expire
		return terms{}, refuse(CheckUndecided, errNoTime)
	}
	view := p.credential.Inspect()
	minters := p.minterCaveats()
	for i := range view.Len() {
		caveats := view.At(i).Caveats()
		first := 0
		if n := p.known(i); n != nil && n.terms.hold(now, leeway) {
			t.join(&n.terms)
			first = int(n.depth)
		}
		for j := first; j < caveats.Len(); j++ {
			condition, ok := caveats.Condition(j)
			if !ok {
				continue
			}
			if end := t.add(condition, j < minters); !end.IsZero() && !now.Before(end.Add(leeway)) {
				return terms{}, refuseAt(Expired, i, j, fmt.Errorf("%v ago, by this service's clock", now.Sub(end)))
			}
		}
		minters = 0 // only the primary macaroon has a minter whose word counts
	}
	return t, nil
}

var errNoTime = errors.New("verifier: the clock gives no time")

// class is what a condition is to the verifier, beside what it is to the registry.
type class uint8

const (
	other class = iota
	expiring
	naming // an audience
	allowing
	declaring
)

const (
	expiryPrefix   = "time-before "
	declaredPrefix = "declared "
)

func classOf(condition string) class {
	switch {
	case condition == "":
		return other
	case condition[0] == 't' && strings.HasPrefix(condition, expiryPrefix):
		return expiring
	case condition[0] == 'd' && strings.HasPrefix(condition, declaredPrefix):
		return declaring
	case condition[0] != 'a':
		return other
	case strings.HasPrefix(condition, "audience "):
		return naming
	case strings.HasPrefix(condition, "allow "):
		return allowing
	}
	return other
}

// classAt is the class of a condition, which may be known.
func classAt(known []*node, j int, condition string) class {
	if j < len(known) {
		return known[j].class
	}
	return classOf(condition)
}
