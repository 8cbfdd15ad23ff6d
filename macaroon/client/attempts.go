package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/amaretti-go/amaretti/macaroon"
)

// Attempts makes the tokens for one request, which can be sent a second time if its first
// token was refused. A [Transport] has it for each HTTP request, and package grpcauth for
// each call; this is for requests that are sent by other means:
//
//	attempts := client.Attempts{Source: source, Target: target, Lifetime: 30 * time.Second}
//	wallet, err := attempts.Wallet(ctx, caveat.Operations("orders.read"))
//	// The request is sent with wallet.Encode, and refused. Then, once:
//	if attempts.Again(client.RefusedToken) != "" {
//		wallet, err = attempts.Wallet(ctx, caveat.Operations("orders.read"))
//		// …
//	}
//
// It is for one goroutine, and of no use if not by its address.
type Attempts struct {
	_ [0]func() // fields are to be named

	Source     Source        // where the token comes from
	Target     string        // where the request goes, as Source is to be asked: see [Target]
	Discharger Discharger    // obtains missing discharges; nil means that a wallet which lacks some is an error
	Clock      *Clock        // of the service, shared by all requests to it; nil means this machine's
	Lifetime   time.Duration // how long the token is good for; what is not positive is an error

	anew   bool            // with other discharges
	wallet macaroon.Wallet // the last one
	end    time.Time       // when that expires, by Clock
}

var (
	errNoSource   = errors.New("client: no source")
	errNoLifetime = errors.New("client: attempts: the lifetime is not positive")
)

// Wallet gives the wallet to encode for the request: what [Prepare] gives with these
// caveats and, last of all, one by which it expires. If a discharge that the Discharger gave
// has expired by the service's Clock, it is asked for another.
func (a *Attempts) Wallet(ctx context.Context, caveats ...macaroon.Caveat) (macaroon.Wallet, error) {
	switch {
	case a.Source == nil:
		return macaroon.Wallet{}, errNoSource
	case a.Lifetime <= 0:
		return macaroon.Wallet{}, errNoLifetime
	}
	source, discharger := a.Source, a.Discharger
	if a.anew {
		source, discharger = bare(source), renewing{discharger}
	}
	expiry := &term{clock: a.Clock, life: a.Lifetime}
	w, err := Prepare(ctx, source, a.Target, discharger, append(slices.Clip(caveats), expiry)...)
	if err != nil {
		return macaroon.Wallet{}, err
	}
	if !a.anew && a.Discharger != nil && expired(w, 1, a.Clock.now()) {
		a.anew = true
		return a.Wallet(ctx, caveats...)
	}
	a.wallet, a.end = w, expiry.end
	return w, nil
}

// Refusal is why a service refused a token, as far as it tells.
type Refusal uint8

// The refusals after which another token may be of use.
const (
	RefusedToken     Refusal = iota + 1 // it is not valid
	RefusedDischarge                    // it needs a discharge
)

// Again tells why it is worth another attempt that the service refused the last token so,
// or "". It is if the token or one of its discharges has expired by the service's Clock, or
// if the service asks for discharges that somebody was asked for before; then the next
// token has discharges that were not used before.
func (a *Attempts) Again(r Refusal) (why string) {
	discharged := a.Discharger != nil && a.wallet.Inspect().Len() > 1
	now := a.Clock.now().Add(time.Second) // what tells it has no fractions
	switch {
	case r == RefusedDischarge && discharged:
		a.anew = true
		return "the service asks for a discharge"
	case r == RefusedToken && discharged && expired(a.wallet, 1, now):
		a.anew = true
		return "a discharge had expired by the service's clock"
	case r == RefusedToken && !a.wallet.IsZero() && !now.Before(a.end):
		return "the token had expired by the service's clock"
	}
	return ""
}
