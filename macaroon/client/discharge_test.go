package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
)

// TestDischarges: they are obtained before the request is sent, and once more if the
// service says that one is missing.
func TestDischarges(t *testing.T) {
	o := newOrders(t, 0)
	key := bytes.Repeat([]byte{7}, 32)
	m, err := o.keys.Mint(t.Context(), macaroon.Grant{Subject: "billing"}, caveat.ExpiresIn(time.Hour),
		caveat.Audience("orders"), caveat.Operations("orders.read"), macaroon.ThirdParty(key, "cid", "https://idp.internal"))
	require.NoError(t, err)
	w, err := macaroon.NewWallet(m)
	require.NoError(t, err)
	asked := 0
	discharger := dischargerFunc(func(_ context.Context, w macaroon.Wallet) (macaroon.Wallet, error) {
		asked++
		require.Equal(t, []macaroon.MissingDischarge{{Location: "https://idp.internal", CaveatID: "cid"}}, w.Missing())
		d, err := macaroon.New(key, "cid", "")
		if err != nil {
			return macaroon.Wallet{}, err
		}
		return w.With(d)
	})
	c := o.client(t, client.Static(w), client.Options{Discharger: discharger})
	response, err := c.Get(o.URL)
	require.Equal(t, http.StatusOK, status(t, response, err))
	require.Equal(t, 1, asked)

	// A service that is not content.
	attempts := 0
	base := baseFunc(func(r *http.Request) (*http.Response, error) {
		attempts++
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.Equal(t, "body", string(body))
		return &http.Response{StatusCode: 401, Body: io.NopCloser(strings.NewReader("…")), Header: http.Header{
			"Www-Authenticate": {`Bearer realm="x", error="insufficient_user_authentication"`}}}, nil
	})
	asked = 0
	c = o.client(t, client.Static(w), client.Options{Discharger: discharger, Base: base})
	response, err = c.Post(o.URL, "", strings.NewReader("body"))
	require.Equal(t, 401, status(t, response, err))
	require.Equal(t, 2, asked)
	require.Equal(t, 2, attempts)

	_, err = c.Post(o.URL, "", &closing{Reader: strings.NewReader("body")})
	require.ErrorIs(t, err, client.ErrBody)
	require.Equal(t, 3, attempts, "nothing was sent twice")
}

// TestDischargesOfFurtherCaveats: a third-party caveat that is added to one request is
// discharged as well.
func TestDischargesOfFurtherCaveats(t *testing.T) {
	o := newOrders(t, 0)
	party := newParty(t)
	c := o.client(t, client.Static(o.mint(t)), client.Options{Discharger: party,
		Caveats: func(*http.Request) ([]macaroon.Caveat, error) {
			return []macaroon.Caveat{party.caveat("approved")}, nil
		}})
	for n := range 2 {
		response, err := c.Get(o.URL)
		require.Equal(t, http.StatusOK, status(t, response, err))
		require.Len(t, o.sent(), n+1)
		require.Equal(t, n+1, party.asked)
	}

	c = o.client(t, client.Static(o.mint(t)), client.Options{
		Caveats: func(*http.Request) ([]macaroon.Caveat, error) {
			return []macaroon.Caveat{party.caveat("approved")}, nil
		}})
	_, err := c.Get(o.URL)
	require.ErrorIs(t, err, client.ErrMissingDischarge)
	require.ErrorContains(t, err, `"https://idp.internal", for caveat `)
	require.Len(t, o.sent(), 2)
}

// TestDischargesExpireByTheServicesClock: one that was kept is forgotten, and another
// asked for.
func TestDischargesExpireByTheServicesClock(t *testing.T) {
	o := newOrders(t, 0)
	party := newParty(t)
	party.keep, party.life = true, time.Minute
	w, err := o.mint(t).Attenuate(party.caveat("user"))
	require.NoError(t, err)
	c := o.client(t, client.Static(w), client.Options{Discharger: party})
	get := func() int {
		response, err := c.Post(o.URL, "", strings.NewReader("body"))
		return status(t, response, err)
	}
	for range 3 {
		require.Equal(t, http.StatusOK, get())
	}
	require.Equal(t, 1, party.asked, "it keeps what it gave")

	o.skew.Store(int64(45 * time.Second)) // the token has expired when it arrives; the discharge has not
	require.Equal(t, http.StatusOK, get())
	require.Equal(t, 1, party.asked)
	require.Len(t, o.sent(), 5)

	o.skew.Store(int64(time.Minute)) // for the service a minute passes, and so for the party
	party.life = 2 * time.Minute
	require.Equal(t, http.StatusOK, get())
	require.Equal(t, 2, party.asked)
	require.Len(t, o.sent(), 7)
	require.Equal(t, http.StatusOK, get())
	require.Len(t, o.sent(), 8)

	// If what is got is no better, the answer is what it is: nothing goes round.
	o.skew.Store(int64(110 * time.Second))
	party.life = time.Minute
	clear(party.kept)
	require.Equal(t, http.StatusUnauthorized, get())
	require.Len(t, o.sent(), 10)
}

// TestChallengesThatNothingHelps: what can't be answered with other discharges is not sent
// again.
func TestChallengesThatNothingHelps(t *testing.T) {
	party := newParty(t)
	plain := wallet(t, "plain", time.Hour)
	with, err := plain.Attenuate(party.caveat("user"))
	require.NoError(t, err)
	complete, err := party.Discharge(t.Context(), with)
	require.NoError(t, err)
	for name, row := range map[string]struct {
		wallet     macaroon.Wallet
		discharger client.Discharger
		status     int
		challenge  string
		sent       int
	}{
		"no third party in the token": {plain, party, 401, `Bearer error="insufficient_user_authentication"`, 1},
		"nobody to ask":               {complete, nil, 401, `Bearer error="insufficient_user_authentication"`, 1},
		"one in the wallet already":   {complete, party, 401, `Bearer error="insufficient_user_authentication"`, 2},
		"another scheme first":        {complete, party, 401, `Basic realm="x", Bearer realm="y", error="insufficient_user_authentication"`, 2},
		"invalid":                     {complete, party, 401, `Bearer error="invalid_token"`, 1},
		"nothing presented":           {complete, party, 401, `Bearer realm="x"`, 1},
		"in the name of the realm":    {complete, party, 401, `Bearer realm="error=\"insufficient_user_authentication\""`, 1},
		"not a 401":                   {complete, party, 403, `Bearer error="insufficient_user_authentication"`, 1},
	} {
		var sent []string
		var answers []*closing
		base := baseFunc(func(r *http.Request) (*http.Response, error) {
			sent = append(sent, r.Header.Get("Authorization"))
			answers = append(answers, &closing{Reader: strings.NewReader("…")})
			return &http.Response{StatusCode: row.status, Body: answers[len(answers)-1], Header: http.Header{"Www-Authenticate": {row.challenge}}}, nil
		})
		transport, err := client.New([]string{"https://orders.internal"}, client.Static(row.wallet), client.Options{Discharger: row.discharger, Base: base})
		require.NoError(t, err, name)
		response, err := (&http.Client{Transport: transport}).Get("https://orders.internal")
		require.Equal(t, row.status, status(t, response, err), name)
		require.Len(t, sent, row.sent, name)
		for _, answer := range answers {
			require.EqualValues(t, 1, answer.closed.Load(), name)
		}
		if row.sent == 2 {
			require.NotEqual(t, discharges(t, sent[0]), discharges(t, sent[1]), name)
		}
	}
}

// TestPrepare: what a transport does for a request, for others to do.
func TestPrepare(t *testing.T) {
	party := newParty(t)
	w, err := wallet(t, "x", 0).Attenuate(party.caveat("user"))
	require.NoError(t, err)
	source := client.SourceFunc(func(_ context.Context, target string) (macaroon.Wallet, error) {
		require.Equal(t, "https://orders.internal:443", target)
		return w, nil
	})
	got, err := client.Prepare(t.Context(), source, "https://orders.internal:443", party, caveat.GRPCMethods("/orders.Orders/Get"))
	require.NoError(t, err)
	require.Empty(t, got.Missing())
	require.Len(t, got.Discharges(), 1)
	require.Equal(t, 2, got.Inspect().At(0).Caveats().Len())

	boom := errors.New("boom")
	nobody := dischargerFunc(func(context.Context, macaroon.Wallet) (macaroon.Wallet, error) { return macaroon.Wallet{}, boom })
	_, err = client.Prepare(t.Context(), client.Static(got), "https://orders.internal:443", nobody)
	require.NoError(t, err, "nobody is asked if nothing is missing")
	_, err = client.Prepare(t.Context(), nil, "https://orders.internal:443", nobody)
	require.ErrorContains(t, err, "no source")
	for name, row := range map[string]struct {
		source     client.Source
		discharger client.Discharger
		caveat     macaroon.Caveat
		want       error
	}{
		"source":         {client.SourceFunc(func(context.Context, string) (macaroon.Wallet, error) { return w, boom }), party, nil, boom},
		"discharger":     {source, nobody, nil, boom},
		"no discharger":  {source, nil, nil, client.ErrMissingDischarge},
		"caveat":         {source, party, caveat.Methods(), nil},
		"another caveat": {source, party, otherThirdParty{}, nil},
	} {
		var list []macaroon.Caveat
		if row.caveat != nil {
			list = append(list, row.caveat)
		}
		got, err := client.Prepare(t.Context(), row.source, "https://orders.internal:443", row.discharger, list...)
		require.Error(t, err, name)
		if row.want != nil {
			require.ErrorIs(t, err, row.want, name)
		}
		require.True(t, got.IsZero(), name)
	}
}

// otherThirdParty can't be discharged by a party.
type otherThirdParty struct{ macaroon.ThirdPartyCaveat }

func (otherThirdParty) Attests() []string { return nil }
func (otherThirdParty) ThirdParty() (rootKey []byte, caveatID, location string, err error) {
	return bytes.Repeat([]byte{1}, 32), "unknown", "https://other.internal", nil
}
