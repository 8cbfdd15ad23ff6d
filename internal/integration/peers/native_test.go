package peers_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
)

// A token of a keyring, narrowed by whoever holds it, in the forms that take its identifier.
func TestNativeNarrowed(t *testing.T) {
	keys := rootkey.InMemory()
	v, err := verifier.New(keys, "orders", verifier.Options{})
	require.NoError(t, err)
	minted, err := keys.Mint(t.Context(), macaroon.Grant{Subject: "billing", Location: "https://orders.internal"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
	require.NoError(t, err)
	later := time.Now().Add(time.Minute).UTC().Format(time.RFC3339Nano)

	eachOf(t, forms[2:], []string{"attenuate", "attenuate again"}, func(t *testing.T, as form, by []library) {
		narrow := func(texts ...string) macaroon.Credential {
			token := export(t, minted, as)
			for i, text := range texts {
				token = by[i].attenuate(t, token, as, condition(text))
			}
			requireForm(t, as, token)
			credential, err := together([]string{token})
			require.NoError(t, err)
			return credential
		}
		for name, row := range map[string]struct {
			caveats []string
			want    error
		}{
			"allowed":           {[]string{"http-method GET", "http-path /orders/*"}, nil},
			"another method":    {[]string{"http-method PUT", "http-path /orders/*"}, verifier.ErrDenied},
			"another path":      {[]string{"http-method GET", "http-path /invoices/*"}, verifier.ErrDenied},
			"sooner":            {[]string{"time-before " + later, "http-method GET"}, nil},
			"expired":           {[]string{"http-method GET", "time-before 2020-01-02T03:04:05Z"}, verifier.ErrUnauthenticated},
			"more operations":   {[]string{"allow *", "allow orders.*"}, nil},
			"another operation": {[]string{"allow orders.list", "allow *"}, verifier.ErrDenied},
			"another audience":  {[]string{"http-method GET", "audience invoices"}, verifier.ErrDenied},
			"who he is not":     {[]string{"declared user admin", "http-method GET"}, nil},
			"unknown":           {[]string{"http-method GET", "account = 42"}, verifier.ErrDenied},
		} {
			who, err := v.Verify(context.Background(), narrow(row.caveats...), "orders.read",
				caveat.Facts{Method: "GET", Path: "/orders/7"})
			if row.want != nil {
				require.ErrorIs(t, err, row.want, name)
				continue
			}
			require.NoError(t, err, name)
			require.Equal(t, "billing", who.Subject(), name)
		}
		// What a holder appends grants nothing.
		_, err := v.Verify(context.Background(), narrow("allow *", "allow orders.delete"), "orders.delete", caveat.Facts{})
		require.ErrorIs(t, err, verifier.ErrDenied)
	})
}

// A token of a keyring with a third-party caveat of its holder.
func TestNativeDischarged(t *testing.T) {
	keys := rootkey.InMemory()
	v, err := verifier.New(keys, "orders", verifier.Options{})
	require.NoError(t, err)
	minted, err := keys.Mint(t.Context(), macaroon.Grant{Subject: "billing"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
	require.NoError(t, err)

	eachOf(t, forms[2:], []string{"attenuate", "discharge", "bind"}, func(t *testing.T, as form, by []library) {
		token := by[0].attenuate(t, export(t, minted, as), as,
			restriction{ID: []byte("member of acme"), RootKey: []byte(caveatKey), Location: "https://id.example"})
		for discharged, want := range map[string]error{"http-method GET": nil, "http-method PUT": verifier.ErrDenied} {
			discharge := by[1].mint(t, []byte(caveatKey), "member of acme", "", as)
			discharge = by[1].attenuate(t, discharge, as, condition(discharged))
			credential, err := together(append([]string{token}, by[2].bind(t, token, as, discharge)...))
			require.NoError(t, err)
			_, err = v.Verify(context.Background(), credential, "orders.read", caveat.Facts{Method: "GET"})
			require.ErrorIs(t, err, want)
		}
		credential, err := together([]string{token})
		require.NoError(t, err)
		_, err = v.Verify(context.Background(), credential, "orders.read", caveat.Facts{Method: "GET"})
		require.ErrorIs(t, err, verifier.ErrMissingDischarge)
	})
}
