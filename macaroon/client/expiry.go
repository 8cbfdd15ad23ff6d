package client

import (
	"time"

	"github.com/amaretti-go/amaretti/internal/expiry"
	"github.com/amaretti-go/amaretti/macaroon"
)

// earliest is when the first of the macaroons of a wallet from one on expires: the primary
// is 0. Nobody has verified it; nothing but when to ask for other ones hangs on it.
func earliest(w macaroon.Wallet, from int) (end time.Time, expires bool) {
	view := w.Inspect()
	for i := from; i < view.Len(); i++ {
		if t, found := expiry.Of(view.At(i)); found && (!expires || t.Before(end)) {
			end, expires = t, true
		}
	}
	return end, expires
}

// expired reports whether one of these has passed.
func expired(w macaroon.Wallet, from int, now time.Time) bool {
	end, expires := earliest(w, from)
	return expires && !now.Before(end)
}
