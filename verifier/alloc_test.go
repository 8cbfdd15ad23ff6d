//go:build !race

package verifier_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// One decision about a token of five caveats, from text to identity: the text's
// bytes, the credential, the result.
func TestAllocations(t *testing.T) {
	v, text, facts := typical(t, verifier.Options{CacheBytes: -1})
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() {
		if _, err := v.VerifyText(ctx, text, read, facts); err != nil {
			t.Fatal(err)
		}
	}), 3.0)
	// With a cache that knows the text: the result alone.
	warm, text, facts := typical(t, verifier.Options{})
	for range 3 {
		must(warm.VerifyText(ctx, text, read, facts))(t)
	}
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() {
		if _, err := warm.VerifyText(ctx, text, read, facts); err != nil {
			t.Fatal(err)
		}
	}), 1.0)
	// What is no token is refused at a small and constant cost.
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() {
		if _, err := v.VerifyText(ctx, "not a token", read, facts); err == nil {
			t.Fatal("allowed")
		}
	}), 3.0)
}

// anyKey knows every root key, if only as somebody else's, or none.
type anyKey bool

func (known anyKey) RootSignature(context.Context, string) (sig [32]byte, found bool, err error) {
	return [32]byte{1}, bool(known), nil
}

// An unknown key costs what a wrong signature costs: the same walk, to the end of the chain,
// where a condition of more than 4 KiB takes room that nothing else does.
func TestUnknownKeyCheap(t *testing.T) {
	token := mintFrom(t, newFakeSource(), macaroon.Condition("x"))
	limits := macaroon.Limits{Condition: 5000}
	cost := func(known anyKey, token macaroon.Macaroon) (allocations float64) {
		v := must(verifier.New(known, "orders", verifier.Options{CacheBytes: -1, Limits: limits}))(t)
		c, want := must(macaroon.ParseWith(must(token.Encode())(t), limits))(t), verifier.UnknownKey
		if known {
			want = verifier.SignatureMismatch
		}
		return testing.AllocsPerRun(100, func() {
			_, err := v.Authenticate(ctx, c)
			if refusal, _ := verifier.RefusalOf(err); refusal.Reason != want {
				t.Fatal(err)
			}
		})
	}
	raised := must(must(macaroon.ParseWith(must(token.Encode())(t), limits))(t).Wallet())(t).Primary()
	long := narrow(t, raised, macaroon.Condition(strings.Repeat("x", 5000)))
	require.Greater(t, cost(true, long), cost(true, token), "the walk shows")
	third := narrow(t, token, thirdParty("a"), thirdParty("b"))
	for _, m := range []macaroon.Macaroon{token, long, third} {
		require.Equal(t, cost(true, m), cost(false, m))
	}
}

// However often an attribute is declared, it takes no more memory: two maps, when
// attributes are asked for, and nothing more than for any condition when they are not.
func TestAllocationsOfDeclarations(t *testing.T) {
	s := newService(t, verifier.Options{})
	check := func(asked macaroon.Caveat, conditions ...macaroon.Caveat) float64 {
		a := must(s.Authenticate(ctx, present(t, s.mint(t, asked), discharge(t, "idp", conditions...))))(t)
		return testing.AllocsPerRun(100, func() {
			if _, err := a.Check(ctx, read, noFacts); err != nil {
				t.Fatal(err)
			}
		})
	}
	repeat := func(text string, n int) (list []macaroon.Caveat) {
		for range n {
			list = append(list, macaroon.Condition(text))
		}
		return list
	}
	plain := check(thirdParty("idp"))
	require.Equal(t, plain, check(thirdParty("idp"), repeat("declared user ann", 60)...))
	require.Equal(t, plain, check(asking("idp", "user")), "nothing declared")
	one := check(asking("idp", "user"), repeat("declared user ann", 1)...)
	require.LessOrEqual(t, one, plain+4)
	require.Equal(t, one, check(asking("idp", "user"), repeat("declared user ann", 60)...))
}
