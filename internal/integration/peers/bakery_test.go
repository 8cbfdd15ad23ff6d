package peers_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/macaroon"
)

// What the tests of the bakery have in common, whatever language that is in.
const (
	identity   = "https://id.example"
	isMember   = "member-of acme"
	readOrders = "orders.read"
)

// newDischarger is a third party of this library.
func newDischarger(t testing.TB, key thirdparty.PrivateKey) *thirdparty.Discharger {
	keys, err := thirdparty.NewKeys(key)
	require.NoError(t, err)
	d, err := thirdparty.NewDischarger(keys, thirdparty.Options{})
	require.NoError(t, err)
	return d
}

// members knows one condition, as the third parties of the other side do, and declares these attributes of whoever
// asks.
func members(declared map[string]string) thirdparty.Conditions {
	return thirdparty.Conditions{"member-of": func(_ context.Context, q thirdparty.Question) (thirdparty.Answer, error) {
		if q.Argument != "acme" {
			return thirdparty.Answer{}, errors.New("not a member")
		}
		return thirdparty.Answer{Declared: declared}, nil
	}}
}

func encode(t testing.TB, primary macaroon.Macaroon, discharges ...macaroon.Macaroon) string {
	wallet, err := macaroon.NewWallet(primary, discharges...)
	require.NoError(t, err)
	text, err := wallet.Encode()
	require.NoError(t, err)
	return text
}
