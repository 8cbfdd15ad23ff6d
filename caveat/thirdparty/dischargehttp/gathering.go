package dischargehttp

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/amaretti-go/amaretti/macaroon"
)

// gathering is a wallet that is being completed.
type gathering struct {
	client   *Client
	wallet   macaroon.Wallet
	age      time.Duration // what was kept may have
	obtained int
	payloads map[string]string // what caveat ids stand for, where they do not say it themselves

	// Who asks for the discharge of a caveat id: a third party, or nobody, which is "", if it is the token itself. It is
	// nil before the first third party asks for one.
	asker map[string]string
}

// check refuses to go on where no verifier would accept the outcome, or where there may be no end.
func (g *gathering) check(missing []macaroon.MissingDischarge, round int) error {
	for i, m := range missing {
		at := cmp.Or(g.asker[m.CaveatID], m.Location)
		same := func(other macaroon.MissingDischarge) bool { return other.CaveatID == m.CaveatID }
		switch {
		case g.has(m.CaveatID), slices.ContainsFunc(missing[:i], same):
			return failed(at, m, ErrTwice)
		case round == g.client.options.Rounds, g.obtained+i == g.client.options.Discharges:
			return failed(at, m, ErrTooMany)
		}
	}
	return nil
}

// has reports whether there is a discharge for a caveat id already.
func (g *gathering) has(caveatID string) bool {
	view := g.wallet.Inspect()
	for i := 1; i < view.Len(); i++ {
		if view.At(i).Identifier() == caveatID {
			return true
		}
	}
	return false
}

// add gets the discharges of these caveats, several at a time. They are waited for in the order of the caveats, so that
// the outcome does not depend on who answers first.
func (g *gathering) add(ctx context.Context, missing []macaroon.MissingDischarge) error {
	var few [4]inquiry[question, BakeryMacaroon]
	asked := few[:0]
	defer func() { // also if code that is not ours panics
		for i := range asked {
			asked[i].leave()
		}
	}()
	for i, m := range missing {
		for len(asked) < min(i+g.client.atOnce, len(missing)) {
			next := missing[len(asked)]
			asked = append(asked, g.client.inquire(ctx, next, g.payloads[next.CaveatID], g.age))
			if asked[len(asked)-1].err != nil {
				missing = missing[:len(asked)] // nobody need be asked for the others
			}
		}
		discharge, err := asked[i].wait(ctx)
		if err == nil {
			err = g.put(discharge, m.Location)
		}
		if err != nil {
			return failed(m.Location, m, err)
		}
	}
	return nil
}

// put puts one discharge into the wallet.
func (g *gathering) put(discharge BakeryMacaroon, location string) error {
	with, err := g.wallet.With(discharge.Macaroon)
	if err != nil {
		return err
	}
	g.note(discharge, location)
	g.wallet = with
	g.obtained++
	return nil
}

// note notes who asks for further discharges, and what their caveat ids stand for. Of the caveats of other macaroons a
// third party must change nothing, though it can write one of the same id.
func (g *gathering) note(d BakeryMacaroon, asker string) {
	for _, c := range d.Macaroon.Inspect().Caveats().All() {
		if !c.ThirdParty() {
			continue
		}
		if g.asker == nil {
			g.payloads = maps.Clone(g.payloads) // the caller's
			if g.payloads == nil {
				g.payloads = make(map[string]string)
			}
			g.noteFirst()
		}
		if _, known := g.asker[c.ID]; known {
			continue
		}
		g.asker[c.ID] = asker
		if payload := d.Payloads[c.ID]; payload != "" {
			g.payloads[c.ID] = payload
		}
	}
}

// noteFirst notes the caveats of the wallet that are there before any third party asks for more.
func (g *gathering) noteFirst() {
	g.asker = make(map[string]string)
	view := g.wallet.Inspect()
	for i := range view.Len() {
		for _, c := range view.At(i).Caveats().All() {
			if c.ThirdParty() {
				g.asker[c.ID] = ""
			}
		}
	}
}
