//go:build !race

package httpauth_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// TestAllocations: what is added to a decision is the context, the request that
// carries it, the two headers and the fact that waits for the body to be asked for.
func TestAllocations(t *testing.T) {
	keys := rootkey.InMemory()
	v, err := verifier.New(keys, audience, verifier.Options{})
	require.NoError(t, err)
	auth, err := httpauth.New(v, httpauth.Options{})
	require.NoError(t, err)
	m, err := keys.Mint(t.Context(), macaroon.Grant{}, caveat.ExpiresIn(time.Hour), caveat.Audience(audience), caveat.Operations(operation))
	require.NoError(t, err)
	text, err := m.Encode()
	require.NoError(t, err)
	h := auth.Require(operation, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r, w := get("/orders/7", "Bearer "+text), discard{make(http.Header)}
	facts := caveat.Facts{Method: "GET", Path: "/orders/7"}
	alone := testing.AllocsPerRun(100, func() {
		if _, err := v.VerifyText(r.Context(), text, operation, facts); err != nil {
			t.Fatal(err)
		}
	})
	behind := testing.AllocsPerRun(100, func() {
		clear(w.header)
		h.ServeHTTP(w, r)
		if w.header.Get("Cache-Control") != "private" {
			t.Fatal("refused")
		}
	})
	require.LessOrEqual(t, behind-alone, 5.0)
}
