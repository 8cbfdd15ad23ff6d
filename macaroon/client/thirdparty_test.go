package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
)

// identity is a real identity service, and who asks it.
type identity struct {
	*httptest.Server
	party      thirdparty.Party
	discharges atomic.Int64
	refusals   atomic.Int64
}

// userKey is of the context value that says for whom a request is.
type userKey struct{}

func newIdentity(t *testing.T) *identity {
	s := &identity{}
	keys, err := thirdparty.NewKeys(thirdparty.GenerateKey())
	require.NoError(t, err)
	discharger, err := thirdparty.NewDischarger(keys, thirdparty.Options{})
	require.NoError(t, err)
	users := thirdparty.Conditions{"is-user": func(_ context.Context, q thirdparty.Question) (thirdparty.Answer, error) {
		if user, _ := q.Caller.(string); user == "ann" || user == "bob" {
			return thirdparty.Answer{Declared: map[string]string{"user": user}}, nil
		}
		return thirdparty.Answer{}, errors.New("nobody")
	}}
	service, err := dischargehttp.NewService(discharger, users, dischargehttp.ServiceOptions{
		Caller: func(r *http.Request) (any, error) { return r.Header.Get("X-User"), nil },
		Audit: func(_ context.Context, r dischargehttp.Record) {
			if r.Err == nil {
				s.discharges.Add(1)
			} else {
				s.refusals.Add(1)
			}
		},
	})
	require.NoError(t, err)
	s.Server = httptest.NewServer(service)
	t.Cleanup(s.Close)
	locator, err := dischargehttp.NewLocator([]string{s.URL}, dischargehttp.LocatorOptions{})
	require.NoError(t, err)
	var found bool
	s.party, found, err = locator.ThirdParty(t.Context(), s.URL)
	require.NoError(t, err)
	require.True(t, found)
	return s
}

// mint gives a token that is good for a user, whoever that is.
func (s *identity) mint(t *testing.T, o *orders) macaroon.Wallet {
	return o.mint(t, thirdparty.NewCaveat(s.party, "is-user").Attesting("user"))
}

// discharger asks for the user whom the context names.
func (s *identity) discharger(t *testing.T) *dischargehttp.Client {
	c, err := dischargehttp.NewClient([]string{s.URL}, dischargehttp.ClientOptions{
		Identity: func(ctx context.Context, _ string) (dischargehttp.Identity, error) {
			user, _ := ctx.Value(userKey{}).(string)
			return dischargehttp.Identity{Name: user, Header: http.Header{"X-User": {user}}}, nil
		}})
	require.NoError(t, err)
	return c
}

// post sends a request for a user, and gives the status and the answer.
func post(t testing.TB, c *http.Client, user, url string, body io.Reader) (int, string, error) {
	r, err := http.NewRequestWithContext(context.WithValue(t.Context(), userKey{}, user), "POST", url, body)
	if err != nil {
		return 0, "", err
	}
	response, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, string(answer), err
}

// TestThirdPartyVouches: discharges are obtained before the first request of a user is
// sent, once, and kept for each user apart.
func TestThirdPartyVouches(t *testing.T) {
	o, id := newOrders(t, 0), newIdentity(t)
	c := o.client(t, client.Static(id.mint(t, o)), client.Options{Discharger: id.discharger(t)})

	var wg sync.WaitGroup
	for range 32 {
		for _, user := range []string{"ann", "bob"} {
			wg.Go(func() {
				code, answer, err := post(t, c, user, o.URL+"/orders/7", strings.NewReader("eggs"))
				assert.NoError(t, err)
				assert.Equal(t, http.StatusOK, code)
				assert.Equal(t, "billing for "+user, answer)
			})
		}
	}
	wg.Wait()
	require.Equal(t, int64(2), id.discharges.Load(), "one for each user")
	require.Len(t, o.sent(), 64, "each request was sent once")

	// Whoever the third party does not vouch for sends nothing.
	content := &closing{Reader: strings.NewReader("eggs")}
	_, _, err := post(t, c, "eve", o.URL+"/orders/7", content)
	var refusal *dischargehttp.Error
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, id.URL, refusal.Location)
	require.Positive(t, content.closed.Load())
	require.Equal(t, int64(1), id.refusals.Load())
	require.Len(t, o.sent(), 64)

	// While the third party is away, what was kept serves, and who has nothing gets an error.
	id.Close()
	code, _, err := post(t, c, "ann", o.URL+"/orders/7", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, code)
	_, _, err = post(t, c, "carol", o.URL+"/orders/7", nil)
	require.ErrorAs(t, err, &refusal)
	require.Len(t, o.sent(), 65)
}

// TestServiceAsksForADischarge: a new one is obtained, past the one that was kept, and
// the request sent once more.
func TestServiceAsksForADischarge(t *testing.T) {
	o, id := newOrders(t, 0), newIdentity(t)
	w := id.mint(t, o)
	bare, err := w.Encode()
	require.NoError(t, err)
	c := o.client(t, client.Static(w), client.Options{Discharger: id.discharger(t)})
	code, answer, err := post(t, c, "ann", o.URL, strings.NewReader("eggs"))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "billing for ann", answer)

	time.Sleep(2100 * time.Millisecond) // what is younger counts as new
	o.lose = bare
	code, answer, err = post(t, c, "ann", o.URL, strings.NewReader("eggs"))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "billing for ann", answer)
	sent := o.sent()
	require.Len(t, sent, 3)
	require.Equal(t, discharges(t, sent[0]), discharges(t, sent[1]))
	require.NotEqual(t, discharges(t, sent[1]), discharges(t, sent[2]))
	require.Equal(t, []string{"eggs", "eggs"}, o.bodies)
	require.Equal(t, int64(2), id.discharges.Load())

	// The new one is kept in place of the old one.
	code, _, err = post(t, c, "ann", o.URL, strings.NewReader("eggs"))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, discharges(t, sent[2]), discharges(t, o.sent()[3]))
	require.Equal(t, int64(2), id.discharges.Load())

	// A body that can't be had again is sent once, and nobody is asked for anything.
	o.lose = bare
	content := &closing{Reader: strings.NewReader("eggs")}
	_, _, err = post(t, c, "ann", o.URL, content)
	require.ErrorIs(t, err, client.ErrBody)
	require.ErrorContains(t, err, "asks for a discharge")
	require.Positive(t, content.closed.Load())
	require.Len(t, o.sent(), 5)
	require.Equal(t, int64(2), id.discharges.Load())
}

// TestLocationIsNotFollowed: whoever has rewritten where the third party is gets neither
// the request for a discharge nor the token.
func TestLocationIsNotFollowed(t *testing.T) {
	o, id := newOrders(t, 0), newIdentity(t)
	var asked atomic.Int64
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer evil.Close()
	id.party.Location = evil.URL
	c := o.client(t, client.Static(id.mint(t, o)), client.Options{Discharger: id.discharger(t)})
	_, _, err := post(t, c, "ann", o.URL, nil)
	require.Error(t, err)
	require.Zero(t, asked.Load())
	require.Empty(t, o.sent())
}

// TestThirdPartyIsSlow: what a request waits for before it is sent ends with its context.
func TestThirdPartyIsSlow(t *testing.T) {
	o, id := newOrders(t, 0), newIdentity(t)
	release := make(chan struct{})
	defer close(release)
	handler := id.Config.Handler
	id.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-release
		handler.ServeHTTP(w, r)
	})
	c := o.client(t, client.Static(id.mint(t, o)), client.Options{Discharger: id.discharger(t)})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	content := &closing{Reader: strings.NewReader("eggs")}
	r, err := http.NewRequestWithContext(ctx, "POST", o.URL, content)
	require.NoError(t, err)
	_, err = c.Do(r)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Positive(t, content.closed.Load())
	require.Empty(t, o.sent())
}

// A third-party caveat can be added to each request: here the service wants to know that
// a user is there now.
func TestThirdPartyForEachRequest(t *testing.T) {
	o, id := newOrders(t, 0), newIdentity(t)
	c := o.client(t, client.Static(o.mint(t)), client.Options{Discharger: id.discharger(t),
		Caveats: func(*http.Request) ([]macaroon.Caveat, error) {
			return []macaroon.Caveat{thirdparty.NewCaveat(id.party, "is-user"), caveat.Operations("orders.read")}, nil
		}})
	for range 2 {
		code, answer, err := post(t, c, "ann", o.URL, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, code)
		require.Equal(t, "billing", answer, "a holder's caveat attests nothing")
	}
	require.Equal(t, int64(2), id.discharges.Load())
}
