//go:build !race

package verifier_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// One decision about a token of five caveats, from text to identity: the text's
// bytes, the credential, the request, the result.
func TestAllocations(t *testing.T) {
	v, text, facts := typical(t)
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() {
		if _, err := v.VerifyText(ctx, text, read, facts); err != nil {
			t.Fatal(err)
		}
	}), 4.0)
	// What is no token is refused at a small and constant cost.
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() {
		if _, err := v.VerifyText(ctx, "not a token", read, facts); err == nil {
			t.Fatal("allowed")
		}
	}), 3.0)
}
