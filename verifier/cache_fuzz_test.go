package verifier_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// What a plan does: each step is one of these, and a byte that says what with.
const (
	presents = iota // a wallet
	extends         // a condition, and 16 times a wallet
	owns            // a condition for the discharge, and 16 times a wallet
	sets            // an instant, and 16 times how many seconds after two before it
	grants          // to how many
	opens           // a wallet
	checks          // what was opened
	steps
)

// planConditions are those that a plan appends. The first of them have its instants.
var planConditions = []string{"time-before 2030-01-01T00:00:00Z", "time-before 2030-01-01T00:00:00.000000001Z", "time-before 2030-01-01T01:00:00+01:00",
	"time-before 2030-01-01T00:00:01Z", "time-before 2031-01-01T00:00:00Z", "time-before 0001-01-01T00:00:00.1Z",
	"audience orders", "allow *", "http-method GET", "http-path /orders/*", "declared user ann", "declared user bob",
	"time-before x", "audience stock", "allow orders.read", "deny stock.*"}

// plans gives plans with one condition, or instant.
func plans(what byte) [][]byte {
	const allow, method = 7, 8 // of the conditions
	return [][]byte{
		{presents, 0, presents, 0, extends, what, presents, 2, presents, 2, sets, 2*16 + what, presents, 2, presents, 0, grants, what, presents, 0, presents, 2},
		{owns, what, presents, 2, presents, 2, owns, 2*16 + what, presents, 3, presents, 3, sets, 2*16 + what, presents, 3, presents, 2},
		{extends, what, presents, 2, presents, 2, opens, 2, grants, what, checks, 0, checks, 0, sets, 3*16 + what, checks, 0, presents, 2},
		{extends, 4, extends, 2*16 + what, presents, 3, presents, 3, extends, 3*16 + what, presents, 4, presents, 4, presents, 3, sets, 2*16 + what, presents, 4},
		{owns, 16 + allow, extends, 2*16 + allow, extends, 3*16 + what, presents, 4, presents, 4, extends, 2*16 + method, extends, 5*16 + method, presents, 6},
	}
}

// TestCachePlans follows each plan with each condition, in each sort of verifier.
func TestCachePlans(t *testing.T) {
	t.Parallel()
	for flags := range byte(32) {
		for what := range planConditions {
			for _, plan := range plans(byte(what)) {
				follow(t, flags, plan)
			}
		}
	}
}

// FuzzCache goes on from a few of those plans: each seed takes time from what is new.
func FuzzCache(f *testing.F) {
	for i, plan := range plans(3) {
		f.Add(byte(i), plan)
		f.Add(byte(31-i), plan)
	}
	f.Fuzz(func(t *testing.T, flags byte, plan []byte) { follow(t, flags, plan) })
}

// follow has a plan make tokens that all share one identifier, and so one tree, present
// them at times that go back and forth, and change meanwhile how many caveats are the
// minter's. A verifier with a cache and one without agree on each.
func follow(t *testing.T, flags byte, plan []byte) {
	defer tell(t, "flags %05b, plan %d", flags, plan)
	instant := func(i int) time.Time {
		_, text, _ := strings.Cut(planConditions[i%6], " ")
		return must(time.Parse(time.RFC3339, text))(t)
	}
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
	for left := plan[:min(len(plan), 60)]; len(left) > 1; left = left[2:] {
		what, more := int(left[1]%16), int(left[1]/16)
		operation := read
		if more == 15 {
			operation = verifier.AnyOperation
		}
		switch left[0] % steps {
		case presents:
			c := must(wallets[what%len(wallets)].Credential())(t)
			want, wantErr := plain.Verify(ctx, c, operation, get)
			who, err := cached.Verify(ctx, c, operation, get)
			requireSame(t, who, want, err, wantErr)
			who, err = cached.VerifyText(ctx, must(c.Encode())(t), operation, get)
			requireSame(t, who, want, err, wantErr)
		case extends:
			wallets = append(wallets, must(wallets[more%len(wallets)].Attenuate(macaroon.Condition(planConditions[what])))(t))
		case owns:
			if w := wallets[more%len(wallets)]; len(w.Discharges()) < 8 {
				name := fmt.Sprint("own", len(wallets))
				w = must(w.Attenuate(thirdParty(name)))(t)
				wallets = append(wallets, must(w.With(discharge(t, name, macaroon.Condition(planConditions[what]), caveat.Methods("GET"))))(t))
			}
		case sets:
			now = instant(what).Add(time.Duration(more%4-2) * time.Second)
		case grants:
			foreign.grant.MinterCaveats = what % 5
			source.epoch.Add(1)
		case opens:
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
		case checks:
			if len(streams) == 0 {
				continue
			}
			both := streams[what%len(streams)]
			want, wantErr := both[1].Check(ctx, operation, get)
			who, err := both[0].Check(ctx, operation, get)
			requireSame(t, who, want, err, wantErr)
		}
	}
}
