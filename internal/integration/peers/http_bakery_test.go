package peers_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/macaroon-bakery.v2/bakery"
	v2 "gopkg.in/macaroon.v2"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

// third is a third party that listens on loopback.
type third struct {
	party      thirdparty.Party
	discharges atomic.Int64
}

// listen starts a third party of this library. With logsIn somebody has to act first: whoever opens the page that
// clients are sent to is ann, at once.
func listen(t testing.TB, logsIn bool) *third {
	th := new(third)
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	options := dischargehttp.ServiceOptions{Caller: func(*http.Request) (any, error) { return "ann", nil }}
	if logsIn {
		flows, err := dischargehttp.NewFlows(server.URL+"/login", dischargehttp.FlowOptions{Location: server.URL})
		require.NoError(t, err)
		options.Flows, options.Caller = flows, nil
		mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
			if err := flows.Complete(r.URL.Query().Get("flow"), "ann"); err != nil {
				http.Error(w, "no such flow", http.StatusNotFound)
			}
		})
	}
	discharger := newDischarger(t, thirdparty.GenerateKey())
	checker := thirdparty.CheckerFunc(func(ctx context.Context, q thirdparty.Question) (thirdparty.Answer, error) {
		if q.Caller == nil {
			return thirdparty.Answer{}, dischargehttp.ErrInteractionRequired
		}
		answer, err := members(map[string]string{"user": q.Caller.(string)}).Check(ctx, q)
		if err == nil {
			th.discharges.Add(1)
		}
		return answer, err
	})
	service, err := dischargehttp.NewService(discharger, checker, options)
	require.NoError(t, err)
	mux.Handle("/", service)
	th.party = service.Party(server.URL)
	return th
}

// inPython starts a third party of Python's bakery, and asks it for its key.
func inPython(t testing.TB, declared map[string]string) *third {
	var url string
	require.NoError(t, python.ask(t, "serve", arguments{"declared": declared}, &url))
	locator, err := dischargehttp.NewLocator([]string{url}, dischargehttp.LocatorOptions{})
	require.NoError(t, err)
	party, found, err := locator.ThirdParty(t.Context(), url)
	require.NoError(t, err)
	require.True(t, found)
	return &third{party: party}
}

// orders is a service of this library that the bakery's clients use. It answers with the user who was attested.
type orders struct {
	url    string
	minted atomic.Int64
}

func newOrders(t testing.TB, member func() macaroon.Caveat) *orders {
	o := new(orders)
	keys := rootkey.InMemory()
	v, err := verifier.New(keys, "orders", verifier.Options{})
	require.NoError(t, err)
	auth, err := httpauth.New(v, httpauth.Options{Bakery: &httpauth.Bakery{
		Mint: func(r *http.Request) (macaroon.Macaroon, error) {
			o.minted.Add(1)
			return keys.Mint(r.Context(), macaroon.Grant{Subject: "web"}, caveat.ExpiresIn(time.Hour),
				caveat.Audience("orders"), caveat.Operations(readOrders), member())
		},
		Cookies:    http.NewCrossOriginProtection(),
		CookieName: "orders",
	}})
	require.NoError(t, err)
	user := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := httpauth.FromContext(r.Context())
		name, _ := who.Attribute("user")
		fmt.Fprintf(w, "orders of %q", name)
	})
	mux := http.NewServeMux()
	mux.Handle("/orders", auth.Require(readOrders, user))
	mux.Handle("/orders/all", auth.Require("orders.all", user))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	o.url = server.URL
	return o
}

func memberOf(team string, of thirdparty.Party) func() macaroon.Caveat {
	return func() macaroon.Caveat { return thirdparty.NewCaveat(of, "member-of "+team).Attesting("user") }
}

type response struct {
	Status  int
	Body    string
	Cookies []string
}

// Python's client goes to our service, is sent to a third party, ours or its own, and comes back. What it got it keeps.
func TestPythonUsesOurService(t *testing.T) {
	python.need(t)
	for name, identity := range map[string]*third{
		"ours":                    listen(t, false),
		"ours, after a login":     listen(t, true),
		"Python's":                inPython(t, map[string]string{"user": "ann"}),
		"Python's, knows no user": inPython(t, map[string]string{}),
	} {
		t.Run(name, func(t *testing.T) {
			service := newOrders(t, memberOf("acme", identity.party))
			get := func(path string) (r response) {
				require.NoError(t, python.ask(t, "request", arguments{"client": service.url, "url": service.url + path}, &r))
				return r
			}
			want := response{http.StatusOK, `orders of "ann"`, []string{"macaroon-orders"}}
			if name == "Python's, knows no user" {
				want.Body = `orders of ""`
			}
			for range 3 {
				require.Equal(t, want, get("/orders"))
			}
			require.Equal(t, http.StatusForbidden, get("/orders/all").Status, "it was not granted")
			require.EqualValues(t, 1, service.minted.Load())

			others := newOrders(t, memberOf("emca", identity.party))
			err := python.ask(t, "request", arguments{"client": others.url, "url": others.url + "/orders"}, nil)
			require.ErrorIs(t, err, errRefused)
			require.ErrorContains(t, err, "Discharge")
		})
	}
}

// npm's client does the same, with the header. It sends caveat ids as text, so that it needs those of version 1, which
// are: Python seals them.
func TestJavaScriptUsesOurService(t *testing.T) {
	javascript.need(t)
	for name, identity := range map[string]*third{"at once": listen(t, false), "after a login": listen(t, true)} {
		t.Run(name, func(t *testing.T) {
			sealed := func(condition string) func() macaroon.Caveat {
				return func() macaroon.Caveat {
					var made struct{ ID, RootKey []byte }
					require.NoError(t, python.ask(t, "seal", arguments{
						"public": identity.party.Key.String(), "version": 1, "condition": condition}, &made))
					return macaroon.ThirdParty(made.RootKey, string(made.ID), identity.party.Location)
				}
			}
			service := newOrders(t, sealed("need-declared user member-of acme"))
			get := func(path string) (r response) {
				require.NoError(t, javascript.ask(t, "request", arguments{"client": service.url, "url": service.url + path}, &r))
				return r
			}
			for range 3 {
				// Of a caveat that was not written with Attesting, the verifier reports nothing.
				require.Equal(t, response{http.StatusOK, `orders of ""`, nil}, get("/orders"))
			}
			require.EqualValues(t, 1, service.minted.Load())
			require.EqualValues(t, 1, identity.discharges.Load())

			others := newOrders(t, sealed("member-of emca"))
			err := javascript.ask(t, "request", arguments{"client": others.url, "url": others.url + "/orders"}, nil)
			require.ErrorIs(t, err, errRefused)
			require.ErrorContains(t, err, "cannot discharge")
		})
	}
}

// Our client goes to a service of Python's bakery, has its macaroon discharged, by ours or by Python's third party, and
// is let in.
func TestWeUsePythonsService(t *testing.T) {
	python.need(t)
	for name, identity := range map[string]*third{
		"ours":                listen(t, false),
		"ours, after a login": listen(t, true),
		"its own":             nil,
		"another of Python's": inPython(t, map[string]string{"user": "ann"}),
	} {
		t.Run(name, func(t *testing.T) {
			start := func(condition string) (service, location string) {
				args := arguments{"declared": map[string]string{"user": "ann"}, "condition": condition}
				if identity != nil {
					args["third_party"] = identity.party.Location
				}
				require.NoError(t, python.ask(t, "serve", args, &service))
				if identity == nil {
					return service, service
				}
				return service, identity.party.Location
			}
			service, location := start("need-declared user member-of acme")
			browser, err := dischargehttp.Browser(func(ctx context.Context, url string) error {
				r, err := http.Get(url)
				if err == nil {
					r.Body.Close()
				}
				return err
			})
			require.NoError(t, err)
			client, err := dischargehttp.NewClient([]string{location}, dischargehttp.ClientOptions{Interactors: []dischargehttp.Interactor{browser}})
			require.NoError(t, err)

			for version := 2; version <= 3; version++ {
				status, body := get(t, service, version, "")
				require.Equal(t, http.StatusUnauthorized, status)
				wallet, err := client.DischargeBakery(t.Context(), toDischarge(t, body))
				require.NoError(t, err)
				status, body = get(t, service, version, header(t, wallet))
				require.Equal(t, http.StatusOK, status, string(body))
				require.JSONEq(t, `{"user": "ann", "macaroons": 2}`, string(body))

				// Narrowed by us, it is narrowed there, and no more than that.
				narrow, err := wallet.Attenuate(macaroon.Condition("time-before 2999-01-01T00:00:00Z"))
				require.NoError(t, err)
				status, body = get(t, service, version, header(t, narrow))
				require.Equal(t, http.StatusOK, status, string(body))
				late, err := wallet.Attenuate(macaroon.Condition("time-before 2001-01-01T00:00:00Z"))
				require.NoError(t, err)
				status, _ = get(t, service, version, header(t, late))
				require.Equal(t, http.StatusUnauthorized, status)
			}

			service, location = start("member-of emca")
			client, err = dischargehttp.NewClient([]string{location}, dischargehttp.ClientOptions{Interactors: []dischargehttp.Interactor{browser}})
			require.NoError(t, err)
			_, body := get(t, service, 3, "")
			_, err = client.DischargeBakery(t.Context(), toDischarge(t, body))
			var refusal *dischargehttp.Refusal
			require.ErrorAs(t, err, &refusal)
			require.Contains(t, refusal.Message, "cannot discharge")
		})
	}
}

// Python's third party is asked by our client for what our service wants to know.
func TestPythonDischargesForOurClient(t *testing.T) {
	python.need(t)
	identity := inPython(t, map[string]string{"user": "ann"})
	client, err := dischargehttp.NewClient([]string{identity.party.Location}, dischargehttp.ClientOptions{})
	require.NoError(t, err)
	keys := rootkey.InMemory()
	v, err := verifier.New(keys, "orders", verifier.Options{})
	require.NoError(t, err)
	for version := 2; version <= 3; version++ {
		identity.party.Version = version
		mint := func(team string) macaroon.Wallet {
			token, err := keys.Mint(t.Context(), macaroon.Grant{Subject: "web"}, caveat.ExpiresIn(time.Hour),
				caveat.Audience("orders"), caveat.Operations(readOrders), memberOf(team, identity.party)())
			require.NoError(t, err)
			wallet, err := macaroon.NewWallet(token)
			require.NoError(t, err)
			return wallet
		}
		wallet, err := client.Discharge(t.Context(), mint("acme"))
		require.NoError(t, err)
		text, err := wallet.Encode()
		require.NoError(t, err)
		who, err := v.VerifyText(t.Context(), text, readOrders, caveat.Facts{})
		require.NoError(t, err)
		user, _ := who.Attribute("user")
		require.Equal(t, "ann", user)

		_, err = client.Discharge(t.Context(), mint("emca"))
		var refusal *dischargehttp.Refusal
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, "cannot discharge: not a member", refusal.Message)
	}
}

// The bakery in Go reads our challenges, gets what they ask for from our third party, and presents it. Its own client
// needs a module that can't be had, so that what is HTTP about it is done here.
func TestGoUsesOurService(t *testing.T) {
	identity := listen(t, false)
	service := newOrders(t, memberOf("acme", identity.party))
	for version := 2; version <= 3; version++ {
		status, body := get(t, service.url, version, "")
		require.Equal(t, http.StatusUnauthorized, status)
		var challenge struct {
			Info struct{ Macaroon *bakery.Macaroon }
		}
		require.NoError(t, json.Unmarshal(body, &challenge))
		require.EqualValues(t, version, challenge.Info.Macaroon.Version())

		slice, err := bakery.DischargeAll(t.Context(), challenge.Info.Macaroon,
			func(_ context.Context, c v2.Caveat, payload []byte) (*bakery.Macaroon, error) {
				form := url.Values{"id64": {base64.StdEncoding.EncodeToString(c.Id)}}
				if payload != nil {
					form.Set("caveat64", base64.StdEncoding.EncodeToString(payload))
				}
				r, err := http.NewRequest(http.MethodPost, c.Location+"/discharge?"+form.Encode(), nil)
				require.NoError(t, err)
				r.Header.Set("Bakery-Protocol-Version", strconv.Itoa(version))
				answer, err := http.DefaultClient.Do(r)
				require.NoError(t, err)
				defer answer.Body.Close()
				var discharged struct{ Macaroon *bakery.Macaroon }
				require.NoError(t, json.NewDecoder(answer.Body).Decode(&discharged))
				return discharged.Macaroon, nil
			})
		require.NoError(t, err)
		data, err := json.Marshal(slice)
		require.NoError(t, err)
		status, body = get(t, service.url, version, base64.StdEncoding.EncodeToString(data))
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, `orders of "ann"`, string(body))
	}
}

// get asks a service of the bakery for orders.
func get(t testing.TB, service string, version int, macaroons string) (status int, body []byte) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, service+"/orders", nil)
	require.NoError(t, err)
	r.Header.Set("Bakery-Protocol-Version", strconv.Itoa(version))
	if macaroons != "" {
		r.Header.Set("Macaroons", macaroons)
	}
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, body
}

// toDischarge reads the macaroon of a challenge.
func toDischarge(t testing.TB, body []byte) dischargehttp.BakeryMacaroon {
	var challenge struct {
		Code string
		Info struct{ Macaroon dischargehttp.BakeryMacaroon }
	}
	require.NoError(t, json.Unmarshal(body, &challenge), string(body))
	require.Equal(t, "macaroon discharge required", challenge.Code)
	return challenge.Info.Macaroon
}

// header is the value that presents a wallet to the bakery.
func header(t testing.TB, wallet macaroon.Wallet) string {
	credential, err := wallet.Credential()
	require.NoError(t, err)
	data, err := legacy.ExportV2JSON(credential)
	require.NoError(t, err)
	return base64.StdEncoding.EncodeToString(data)
}
