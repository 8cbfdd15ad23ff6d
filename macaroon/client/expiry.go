package client

import (
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
)

// expiry is the earliest time-before in a wallet. Nobody has verified it; nothing but when to
// ask for another wallet hangs on it. One that can't be read will be refused by the
// verifier, so it counts as expired.
func expiry(w macaroon.Wallet) (end time.Time, expires bool) {
	view := w.Inspect()
	for i := range view.Len() {
		caveats := view.At(i).Caveats()
		for j := range caveats.Len() {
			condition, _ := caveats.Condition(j)
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
	}
	return end, expires
}
