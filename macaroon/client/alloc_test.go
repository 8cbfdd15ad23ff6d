//go:build !race

package client_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon/client"
)

// TestAllocationsOfNarrowing: what is done to a token for each request, besides what
// net/http does, from asking the source to the text.
func TestAllocationsOfNarrowing(t *testing.T) {
	source := narrowable(t)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { narrow(t, source) }), 12.0)
}

func BenchmarkNarrow(b *testing.B) {
	source := narrowable(b)
	b.ReportAllocs()
	for b.Loop() {
		narrow(b, source)
	}
}

func narrowable(t testing.TB) client.Source {
	w, err := wallet(t, "a typical identifier has fifty-five bytes, as this one.", time.Hour).Attenuate(
		caveat.Audience("orders"), caveat.Operations("orders.read", "orders.list"))
	require.NoError(t, err)
	return client.Static(w)
}

var expiry = time.Date(2026, 12, 24, 18, 0, 0, 123456789, time.UTC)

func narrow(t testing.TB, source client.Source) {
	w, err := client.Prepare(context.Background(), source, "https://orders.internal:443", nil,
		caveat.ExpiresAt(expiry), caveat.Methods("GET"), caveat.ExactPath("/orders/7"), caveat.Hosts("orders.internal"))
	if err == nil {
		_, err = w.Encode()
	}
	if err != nil {
		t.Fatal(err)
	}
}
