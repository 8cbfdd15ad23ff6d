package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/amaretti-go/amaretti/macaroon"
)

// ErrMissingDischarge: a wallet lacks discharges, and there is no Discharger, or it
// did not obtain them.
var ErrMissingDischarge = errors.New("client: the wallet lacks a discharge")

// A Discharger obtains the discharges that a wallet lacks, from the third parties that
// its caveats name, and gives the wallet with them. The client of package dischargehttp
// is one. It must be safe for concurrent use and heed ctx.
//
// It is asked for every request whose wallet lacks a discharge, so it should keep what
// it was given. One that does can have a second method like this one, named Renew, which
// makes no use of what was kept: it is called in place of Discharge after a service did
// not take the discharges of a wallet.
type Discharger interface {
	Discharge(ctx context.Context, w macaroon.Wallet) (macaroon.Wallet, error)
}

// renewing asks a Discharger for discharges that it did not give before.
type renewing struct{ Discharger }

func (r renewing) Discharge(ctx context.Context, w macaroon.Wallet) (macaroon.Wallet, error) {
	if d, ok := r.Discharger.(interface {
		Renew(ctx context.Context, w macaroon.Wallet) (macaroon.Wallet, error)
	}); ok {
		return d.Renew(ctx, w)
	}
	return r.Discharger.Discharge(ctx, w)
}

// Prepare gives the wallet to encode for one request: the one that source has for
// target, narrowed by caveats, with the discharges that it lacks. A [Transport] does
// that for HTTP; this is for requests that are sent by other means. Without a Discharger
// (nil) a wallet that lacks a discharge is [ErrMissingDischarge].
//
// Third-party caveats are written before the others, and these after all that may take
// long, so that the time of [caveat.ExpiresIn] begins to run then.
func Prepare(ctx context.Context, source Source, target string, d Discharger, caveats ...macaroon.Caveat) (macaroon.Wallet, error) {
	if source == nil {
		return macaroon.Wallet{}, errNoSource
	}
	w, err := source.Wallet(ctx, target)
	if err != nil {
		return macaroon.Wallet{}, err
	}
	if slices.ContainsFunc(caveats, ofThirdParty) {
		var first, then []macaroon.Caveat
		for _, c := range caveats {
			if ofThirdParty(c) {
				first = append(first, c)
			} else {
				then = append(then, c)
			}
		}
		if w, err = w.Attenuate(first...); err != nil {
			return macaroon.Wallet{}, err
		}
		caveats = then
	}
	if w, err = complete(ctx, w, d); err != nil {
		return macaroon.Wallet{}, err
	}
	return w.Attenuate(caveats...)
}

func ofThirdParty(c macaroon.Caveat) bool {
	_, ok := c.(macaroon.ThirdPartyCaveat)
	return ok
}

// complete gives a wallet that lacks no discharge.
func complete(ctx context.Context, w macaroon.Wallet, d Discharger) (macaroon.Wallet, error) {
	missing := w.Missing()
	if len(missing) > 0 && d != nil {
		var err error
		if w, err = d.Discharge(ctx, w); err != nil {
			return macaroon.Wallet{}, err
		}
		missing = w.Missing()
	}
	if len(missing) > 0 {
		return macaroon.Wallet{}, fmt.Errorf("%w of a third party at %.64q, for caveat %s", ErrMissingDischarge,
			missing[0].Location, macaroon.CaveatReference(missing[0].CaveatID))
	}
	return w, nil
}

// bare gives the wallets of a source without their discharges.
func bare(source Source) Source {
	return SourceFunc(func(ctx context.Context, target string) (macaroon.Wallet, error) {
		w, err := source.Wallet(ctx, target)
		if err != nil {
			return macaroon.Wallet{}, err
		}
		return macaroon.NewWallet(w.Primary())
	})
}
