package verifier_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// FuzzCache has a plan make tokens that all share one identifier, and so one tree, present
// them at times that go back and forth, and change meanwhile how many caveats are the
// minter's. A verifier with a cache and one without agree on each.
func FuzzCache(f *testing.F) {
	const (
		present = iota // and what: a wallet
		extend         // and a condition, and 16 times a wallet
		own            // and a condition for the discharge, and 16 times a wallet
		clock          // and an instant, and 16 times how many seconds after two before it
		grant          // and to how many
		open           // and a wallet
		check          // and what was opened
		steps
	)
	instants := []string{"2030-01-01T00:00:00Z", "2030-01-01T00:00:00.000000001Z", "2030-01-01T01:00:00+01:00", "2030-01-01T00:00:01Z",
		"2031-01-01T00:00:00Z", "0001-01-01T00:00:00.1Z"}
	var conditions []string
	for _, instant := range instants {
		conditions = append(conditions, "time-before "+instant)
	}
	conditions = append(conditions, "audience orders", "allow *", "http-method GET", "http-path /orders/*", "declared user ann", "declared user bob",
		"time-before x", "audience stock", "allow orders.read", "deny stock.*")
	const allow, method = 7, 8 // of the conditions
	for flags := range byte(32) {
		for what := range byte(len(conditions)) {
			for _, plan := range [][]byte{
				{present, 0, present, 0, extend, what, present, 2, present, 2, clock, 2*16 + what, present, 2, present, 0, grant, what, present, 0, present, 2},
				{own, what, present, 2, present, 2, own, 2*16 + what, present, 3, present, 3, clock, 2*16 + what, present, 3, present, 2},
				{extend, what, present, 2, present, 2, open, 2, grant, what, check, 0, check, 0, clock, 3*16 + what, check, 0, present, 2},
				{extend, 4, extend, 2*16 + what, present, 3, present, 3, extend, 3*16 + what, present, 4, present, 4, present, 3, clock, 2*16 + what, present, 4},
				{own, 16 + allow, extend, 2*16 + allow, extend, 3*16 + what, present, 4, present, 4, extend, 2*16 + method, extend, 5*16 + method, present, 6},
			} {
				f.Add(flags, plan)
			}
		}
	}
	f.Fuzz(func(t *testing.T, flags byte, plan []byte) {
		instant := func(i int) time.Time { return must(time.Parse(time.RFC3339, instants[i%len(instants)]))(t) }
		now := instant(0).Add(-2 * time.Second)
		options := verifier.Options{Now: func() time.Time { return now }, InsecureNoExpiry: flags&1 != 0, InsecureNoAudience: flags&2 != 0, CacheBytes: 1 << 18}
		if flags&4 != 0 {
			options.Leeway = time.Second
		}
		uncached := options
		uncached.CacheBytes = -1

		const minters = 3
		source := newFakeSource()
		foreign := &foreignSource{source, verifier.ForeignGrant{MinterCaveats: minters, Operations: []string{"*"}}}
		id := "identifier"
		var cached, plain *verifier.Verifier
		if flags&8 != 0 {
			cached, plain = must(verifier.NewForeign(foreign, "orders", options))(t), must(verifier.NewForeign(foreign, "orders", uncached))(t)
		} else {
			id = string(must(macaroon.Identifier{KeyID: "k", IssuedAt: time.Unix(1, 0), Caveats: minters}.MarshalBinary())(t))
			cached, plain = must(verifier.New(withEpoch{source}, "orders", options))(t), must(verifier.New(withEpoch{source}, "orders", uncached))(t)
		}
		bare := must(macaroon.New(source.key(), id, ""))(t)
		whole := narrow(t, bare, caveat.Operations("*"), caveat.Audience("orders"), caveat.ExpiresAt(now.Add(24*time.Hour)))
		if flags&16 != 0 { // what follows is far down in the tree
			for range 20 {
				whole = narrow(t, whole, caveat.Methods("GET"))
			}
		}
		wallets := []macaroon.Wallet{must(macaroon.NewWallet(whole))(t), must(macaroon.NewWallet(bare))(t)}
		var streams [][2]*verifier.Authentic
		for plan = plan[:min(len(plan), 60)]; len(plan) > 1; plan = plan[2:] {
			what, more := int(plan[1]%16), int(plan[1]/16)
			operation := read
			if more == 15 {
				operation = verifier.AnyOperation
			}
			switch plan[0] % steps {
			case present:
				c := must(wallets[what%len(wallets)].Credential())(t)
				want, wantErr := plain.Verify(ctx, c, operation, get)
				who, err := cached.Verify(ctx, c, operation, get)
				requireSame(t, who, want, err, wantErr)
				who, err = cached.VerifyText(ctx, must(c.Encode())(t), operation, get)
				requireSame(t, who, want, err, wantErr)
			case extend:
				wallets = append(wallets, must(wallets[more%len(wallets)].Attenuate(macaroon.Condition(conditions[what])))(t))
			case own:
				if w := wallets[more%len(wallets)]; len(w.Discharges()) < 8 {
					name := fmt.Sprint("own", len(wallets))
					w = must(w.Attenuate(thirdParty(name)))(t)
					wallets = append(wallets, must(w.With(discharge(t, name, macaroon.Condition(conditions[what]), caveat.Methods("GET"))))(t))
				}
			case clock:
				now = instant(what).Add(time.Duration(more%4-2) * time.Second)
			case grant:
				foreign.grant.MinterCaveats = what % 5
				source.epoch.Add(1)
			case open:
				c := must(wallets[what%len(wallets)].Credential())(t)
				both := [2]*verifier.Authentic{}
				var err, wantErr error
				both[0], err = cached.Authenticate(ctx, c)
				both[1], wantErr = plain.Authenticate(ctx, c)
				if wantErr != nil {
					requireSameError(t, err, wantErr)
					continue
				}
				require.NoError(t, err)
				streams = append(streams, both)
			case check:
				if len(streams) == 0 {
					continue
				}
				both := streams[what%len(streams)]
				want, wantErr := both[1].Check(ctx, operation, get)
				who, err := both[0].Check(ctx, operation, get)
				requireSame(t, who, want, err, wantErr)
			}
		}
	})
}
