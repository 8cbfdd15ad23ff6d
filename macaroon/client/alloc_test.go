//go:build !race

package client_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
)

// TestAllocationsOfNarrowing: what is done to a token for each request, besides what
// net/http does.
func TestAllocationsOfNarrowing(t *testing.T) {
	w := narrowable(t)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { narrow(t, w) }), 12.0)
}

func BenchmarkNarrow(b *testing.B) {
	w := narrowable(b)
	b.ReportAllocs()
	for b.Loop() {
		narrow(b, w)
	}
}

func narrowable(t testing.TB) macaroon.Wallet {
	w, err := wallet(t, "a typical identifier has fifty-five bytes, as this one.", time.Hour).Attenuate(
		caveat.Audience("orders"), caveat.Operations("orders.read", "orders.list"))
	require.NoError(t, err)
	return w
}

var expiry = time.Date(2026, 12, 24, 18, 0, 0, 123456789, time.UTC)

func narrow(t testing.TB, w macaroon.Wallet) {
	narrowed, err := w.Attenuate(caveat.ExpiresAt(expiry), caveat.Methods("GET"), caveat.ExactPath("/orders/7"), caveat.Hosts("orders.internal"))
	if err == nil {
		_, err = narrowed.Encode()
	}
	if err != nil {
		t.Fatal(err)
	}
}
