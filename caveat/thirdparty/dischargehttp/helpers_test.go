package dischargehttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
)

// isMember is the condition of the tests.
const isMember = "member-of acme"

var errNotMember = errors.New("not a member")

// members discharges isMember for anybody but nobody.
var members = thirdparty.Conditions{"member-of": func(_ context.Context, q thirdparty.Question) (thirdparty.Answer, error) {
	if user, _ := q.Caller.(string); user != "" && q.Argument == "acme" {
		return thirdparty.Answer{Declared: map[string]string{"user": user}}, nil
	}
	return thirdparty.Answer{}, errNotMember
}}

// afterInteraction wants somebody to act if it does not know who asks.
var afterInteraction = thirdparty.Conditions{"member-of": func(ctx context.Context, q thirdparty.Question) (thirdparty.Answer, error) {
	if q.Caller == nil {
		return thirdparty.Answer{}, dischargehttp.ErrInteractionRequired
	}
	return members.Check(ctx, q)
}}

// callerHeader says who asks, as trusting as only a test may be.
const callerHeader = "X-Caller"

func byHeader(r *http.Request) (any, error) {
	if user := r.Header.Get(callerHeader); user != "" {
		return user, nil
	}
	return nil, nil
}

func as(user string) func(context.Context, string) (dischargehttp.Identity, error) {
	return func(context.Context, string) (dischargehttp.Identity, error) {
		return dischargehttp.Identity{Name: user, Header: http.Header{callerHeader: {user}}}, nil
	}
}

// patience is how long a test waits for what should come at once. It then fails and says so, where it would hang.
const patience = time.Minute

// soon is a context for what should be done at once.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// received gives what should come at once.
func received[T any](t testing.TB, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
	}
	return value
}

func newDischarger(t testing.TB) *thirdparty.Discharger {
	keys, err := thirdparty.NewKeys(thirdparty.GenerateKey())
	require.NoError(t, err)
	d, err := thirdparty.NewDischarger(keys, thirdparty.Options{})
	require.NoError(t, err)
	return d
}

// records are what a service reported.
type records struct {
	mu   sync.Mutex
	list []dischargehttp.Record
}

func (r *records) audit(_ context.Context, record dischargehttp.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, record)
}

func (r *records) all() []dischargehttp.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]dischargehttp.Record(nil), r.list...)
}

func newService(t testing.TB, checker thirdparty.Checker, options dischargehttp.ServiceOptions) *dischargehttp.Service {
	s, err := dischargehttp.NewService(newDischarger(t), checker, options)
	require.NoError(t, err)
	return s
}

// serve runs a handler until the test is over.
func serve(t testing.TB, h http.Handler) *httptest.Server {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

func newClient(t testing.TB, options dischargehttp.ClientOptions, locations ...string) *dischargehttp.Client {
	c, err := dischargehttp.NewClient(locations, options)
	require.NoError(t, err)
	return c
}

// inProcess sends requests to a handler without a network, so that a test can have its own clock.
func inProcess(h http.Handler) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		in := r.Clone(r.Context())
		if in.Body == nil {
			in.Body = http.NoBody
		}
		in.RemoteAddr = "192.0.2.1:1234"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, in)
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		response := w.Result()
		response.Request = r
		return response, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// orders is the service that mints and verifies.
type orders struct {
	keys     *rootkey.Keyring
	verifier *verifier.Verifier
}

const readOrders = "orders.read"

func newOrders(t testing.TB) orders {
	keys := rootkey.InMemory()
	v, err := verifier.New(keys, "orders", verifier.Options{})
	require.NoError(t, err)
	return orders{keys, v}
}

func (o orders) wallet(t testing.TB, caveats ...macaroon.Caveat) macaroon.Wallet {
	list := append([]macaroon.Caveat{caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations(readOrders)}, caveats...)
	token, err := o.keys.Mint(t.Context(), macaroon.Grant{Subject: "web"}, list...)
	require.NoError(t, err)
	w, err := macaroon.NewWallet(token)
	require.NoError(t, err)
	return w
}

// user verifies a wallet and gives the user that is attested.
func (o orders) user(t testing.TB, w macaroon.Wallet) string {
	text, err := w.Encode()
	require.NoError(t, err)
	who, err := o.verifier.VerifyText(t.Context(), text, readOrders, caveat.Facts{})
	require.NoError(t, err)
	user, _ := who.Attribute("user")
	return user
}

// refuseWith is a check that fails.
func refuseWith(err error) func(context.Context, thirdparty.Question) (thirdparty.Answer, error) {
	return func(context.Context, thirdparty.Question) (thirdparty.Answer, error) { return thirdparty.Answer{}, err }
}
