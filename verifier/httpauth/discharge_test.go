package httpauth_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

const user = "user"

// parties are third parties, each with a key of its own: identity vouches for ann, and lets the second factor
// vouch for her presence.
type parties struct {
	t           testing.TB
	identity    thirdparty.Party
	dischargers map[string]*thirdparty.Discharger // by location
	second      thirdparty.Party
}

func newParties(t testing.TB) *parties {
	p := &parties{t: t, dischargers: make(map[string]*thirdparty.Discharger)}
	party := func(location string) thirdparty.Party {
		key := thirdparty.GenerateKey()
		keys, err := thirdparty.NewKeys(key)
		require.NoError(t, err)
		p.dischargers[location], err = thirdparty.NewDischarger(keys, thirdparty.Options{})
		require.NoError(t, err)
		return thirdparty.Party{Location: location, Key: key.Public()}
	}
	p.identity, p.second = party("https://id.example"), party("https://otp.example")
	return p
}

// member is the caveat for the third party that vouches for ann.
func (p *parties) member() macaroon.Caveat {
	return thirdparty.NewCaveat(p.identity, "member-of acme").Attesting(user)
}

func (p *parties) discharge(location, caveatID string) macaroon.Macaroon {
	d := p.dischargers[location]
	require.NotNil(p.t, d, location)
	m, err := d.Discharge(p.t.Context(), thirdparty.Request{CaveatID: caveatID}, thirdparty.Conditions{
		"member-of": func(context.Context, thirdparty.Question) (thirdparty.Answer, error) {
			return thirdparty.Answer{
				Declared: map[string]string{user: "ann"},
				Caveats:  []macaroon.Caveat{thirdparty.NewCaveat(p.second, "present")},
			}, nil
		},
		"present": func(context.Context, thirdparty.Question) (thirdparty.Answer, error) { return thirdparty.Answer{}, nil },
	})
	require.NoError(p.t, err)
	return m
}

// all gives the wallet with all discharges that it lacks.
func (p *parties) all(w macaroon.Wallet) macaroon.Wallet {
	for missing := w.Missing(); len(missing) > 0; missing = w.Missing() {
		var err error
		w, err = w.With(p.discharge(missing[0].Location, missing[0].CaveatID))
		require.NoError(p.t, err)
	}
	return w
}

// mintNeeding gives a token that the identity service has to vouch for.
func (s *service) mintNeeding(p *parties) macaroon.Macaroon {
	m, err := s.keys.Mint(context.Background(), macaroon.Grant{Subject: "web"}, caveat.ExpiresIn(time.Hour),
		caveat.Audience(audience), caveat.Operations(operation), p.member())
	require.NoError(s.t, err)
	return m
}

// attested answers with the user that was attested.
func attested(w http.ResponseWriter, r *http.Request) {
	who, _ := httpauth.FromContext(r.Context())
	name, _ := who.Attribute(user)
	w.Write([]byte(name))
}

// TestDischargesListed: a client that knows nothing of macaroons but how to hold them gets where it wants by what the
// answers list, one third party after the other.
func TestDischargesListed(t *testing.T) {
	p := newParties(t)
	s := newService(t, httpauth.Options{})
	server := httptest.NewServer(s.auth.RequireFunc(operation, attested))
	defer server.Close()
	wallet, err := macaroon.NewWallet(s.mintNeeding(p))
	require.NoError(t, err)

	for _, location := range []string{p.identity.Location, p.second.Location} {
		a := send(t, server, wallet)
		require.Equal(t, rowDischarge, rowOf(a))
		require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
		listed := a.problem(t).Discharges
		require.Len(t, listed, 1)
		require.Equal(t, location, listed[0].Location)
		id, err := base64.RawURLEncoding.DecodeString(listed[0].CaveatID)
		require.NoError(t, err)
		wallet, err = wallet.With(p.discharge(listed[0].Location, string(id)))
		require.NoError(t, err)
	}
	a := send(t, server, wallet)
	require.Equal(t, http.StatusOK, a.StatusCode)
	require.Equal(t, "ann", a.body)
}

// Several are listed at once, in the order of the caveats, whoever added them.
func TestDischargesListedTogether(t *testing.T) {
	p := newParties(t)
	s := newService(t, httpauth.Options{})
	token, err := s.mintNeeding(p).Attenuate(caveat.Methods("GET"), thirdparty.NewCaveat(p.second, "present"))
	require.NoError(t, err)
	wallet, err := macaroon.NewWallet(token)
	require.NoError(t, err)
	a := serve(t, s.auth.RequireFunc(operation, attested), get("/", bearer(t, token)))
	require.Equal(t, rowDischarge, rowOf(a))
	listed := a.problem(t).Discharges
	require.Len(t, listed, 2)
	for i, missing := range wallet.Missing() {
		require.Equal(t, missing.Location, listed[i].Location)
		require.Equal(t, base64.RawURLEncoding.EncodeToString([]byte(missing.CaveatID)), listed[i].CaveatID)
	}
}

func send(t testing.TB, server *httptest.Server, wallet macaroon.Wallet) answer {
	text, err := wallet.Encode()
	require.NoError(t, err)
	r, err := http.NewRequest(http.MethodGet, server.URL+"/orders/7", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+text)
	response, err := server.Client().Do(r)
	return read(t, response, err)
}
