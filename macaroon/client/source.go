package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/amaretti-go/amaretti/internal/origin"
	"github.com/amaretti-go/amaretti/macaroon"
)

// A Source gives the wallet from which requests to a server are authorised. The
// target is an origin in one spelling, the port always included, such as
// "https://orders.internal:443".
//
// It must be safe for concurrent use and heed ctx. It is asked for every request, so
// one that is slow belongs behind [Refresh].
type Source interface {
	Wallet(ctx context.Context, target string) (macaroon.Wallet, error)
}

// Target gives an origin, as people write it, in the spelling that sources are asked
// with: "https://orders.internal:443" for "https://Orders.internal". It is for requests
// that are sent by other means; see [Prepare]. A URL with more than scheme, host and
// port is an error.
func Target(text string) (string, error) {
	o, err := origin.Parse(text)
	if err != nil {
		return "", fmt.Errorf("client: origin %.64q: %w", text, err)
	}
	return string(o), nil
}

// SourceFunc is a function that is a Source.
type SourceFunc func(ctx context.Context, target string) (macaroon.Wallet, error)

// Wallet calls f.
func (f SourceFunc) Wallet(ctx context.Context, target string) (macaroon.Wallet, error) {
	if f == nil {
		return macaroon.Wallet{}, errors.New("client: nil SourceFunc")
	}
	return f(ctx, target)
}

// Static is a source of one wallet for every target. [macaroon.NewWallet] makes one of
// a macaroon, and [macaroon.Wallet.UnmarshalText] of the text that a minter sent.
func Static(w macaroon.Wallet) Source { return static{w} }

type static struct{ wallet macaroon.Wallet }

func (s static) Wallet(context.Context, string) (macaroon.Wallet, error) {
	if s.wallet.IsZero() {
		return macaroon.Wallet{}, fmt.Errorf("client: static wallet: %w", macaroon.ErrInvalid)
	}
	return s.wallet, nil
}

// ErrNothingToForward is returned by [Forward] when no credential came in.
var ErrNothingToForward = errors.New("client: no credential in the context: the middleware puts it there only if its Forward option is set, and Refresh leaves it out")

// Forward gives the credential of the request that is being served, which
// [macaroon.FromContext] finds in ctx, narrowed by caveats for the next hop. Nothing
// else of the incoming request is passed on.
//
// A credential with discharges can't be narrowed any more, since they are bound to it as
// it came: the error is then [macaroon.ErrSealed]. Whoever sent it can prepare a sibling
// for the next hop before sealing, and send it along. Caveats that it came with stay:
// one for a path or an audience that the next hop is not makes it useless there.
func Forward(ctx context.Context, caveats ...macaroon.Caveat) (macaroon.Wallet, error) {
	credential, found := macaroon.FromContext(ctx)
	if !found || credential.IsZero() {
		return macaroon.Wallet{}, ErrNothingToForward
	}
	w, err := credential.Wallet()
	if err != nil {
		return macaroon.Wallet{}, fmt.Errorf("client: forward: %w: its sender has to make one for the next hop as well", err)
	}
	return w.Attenuate(caveats...)
}

// Forwarding is the source that a transport between two services wants: for every
// request [Forward] with these caveats, under the context of the request.
func Forwarding(caveats ...macaroon.Caveat) Source {
	caveats = slices.Clone(caveats)
	return SourceFunc(func(ctx context.Context, _ string) (macaroon.Wallet, error) {
		return Forward(ctx, caveats...)
	})
}
