package client

import (
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
)

// expiry is the earliest time-before in the macaroons of a wallet from one on: the
// primary is 0. Nobody has verified it; nothing but when to ask for other ones hangs on
// it. One that can't be read will be refused by the verifier, so it counts as expired.
func expiry(w macaroon.Wallet, from int) (end time.Time, expires bool) {
	view := w.Inspect()
	for i := from; i < view.Len(); i++ {
		caveats := view.At(i).Caveats()
		for j := range caveats.Len() {
			condition, ok := caveats.Condition(j)
			text, found := strings.CutPrefix(condition, "time-before ")
			if !ok || !found {
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

// expired reports whether one of these has passed.
func expired(w macaroon.Wallet, from int, now time.Time) bool {
	end, expires := expiry(w, from)
	return expires && !now.Before(end)
}
