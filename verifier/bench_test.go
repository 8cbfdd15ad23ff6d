package verifier_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
)

// typical is a verifier, a token of five caveats as a service sees it, and a
// request that it allows.
func typical(t testing.TB, options verifier.Options) (v *verifier.Verifier, text string, facts caveat.Facts) {
	keys := rootkey.InMemory()
	token, err := keys.Mint(t.Context(), macaroon.Grant{Subject: "billing", Location: "https://orders.internal"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read", "orders.list"))
	require.NoError(t, err)
	token, err = token.Attenuate(caveat.Methods(http.MethodGet), caveat.Path("/orders/*"))
	require.NoError(t, err)
	text, err = token.Encode()
	require.NoError(t, err)
	v, err = verifier.New(keys, "orders", options)
	require.NoError(t, err)
	return v, text, caveat.Facts{Method: http.MethodGet, Path: "/orders/7"}
}

func BenchmarkVerifyText(b *testing.B) {
	v, text, facts := typical(b, verifier.Options{})
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.VerifyText(ctx, text, "orders.read", facts); err != nil {
			b.Fatal(err)
		}
	}
}
