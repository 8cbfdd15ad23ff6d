//go:build !race

package verifier_test

import (
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
