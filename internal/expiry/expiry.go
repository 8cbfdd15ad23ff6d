// Package expiry tells those who hold macaroons when these expire. Nobody has verified that: nothing but when to ask
// for other ones may hang on it.
package expiry

import (
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
)

// Of gives the earliest time-before of a macaroon; expires is false if it has none. One that can't be read will be
// refused by every verifier, so it counts as long past: end is zero.
func Of(m macaroon.UnverifiedMacaroon) (end time.Time, expires bool) {
	caveats := m.Caveats()
	for i := range caveats.Len() {
		condition, _ := caveats.Condition(i)
		text, found := strings.CutPrefix(condition, "time-before ")
		if !found {
			continue
		}
		t, err := caveat.Time.Parse(text)
		if err != nil {
			return time.Time{}, true
		}
		if !expires || t.Before(end) {
			end, expires = t, true
		}
	}
	return end, expires
}
