package client_test

import (
	"bytes"
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

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

// orders is a real service behind httpauth that notes what it was sent.
type orders struct {
	*httptest.Server
	keys *rootkey.Keyring
	skew atomic.Int64 // of its clock, in nanoseconds

	lose string // the next request arrives with this token, its discharges lost

	mu     sync.Mutex
	seen   []string // Authorization headers, in order
	bodies []string
}

// newOrders starts one. Its clock is off by skew, and its Date header says so.
func newOrders(t *testing.T, skew time.Duration) *orders {
	o := newUnstartedOrders(t, skew)
	o.Start()
	return o
}

func newUnstartedOrders(t *testing.T, skew time.Duration) *orders {
	o := &orders{keys: rootkey.InMemory()}
	o.skew.Store(int64(skew))
	now := func() time.Time { return time.Now().Add(time.Duration(o.skew.Load())) }
	v, err := verifier.New(o.keys, "orders", verifier.Options{Now: now})
	require.NoError(t, err)
	auth, err := httpauth.New(v, httpauth.Options{Hosts: []string{"127.0.0.1"}})
	require.NoError(t, err)
	protected := auth.RequireFunc("orders.read", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		o.mu.Lock()
		o.bodies = append(o.bodies, string(body))
		o.mu.Unlock()
		who, _ := httpauth.FromContext(r.Context())
		io.WriteString(w, who.Subject())
		if user, ok := who.Attribute("user"); ok {
			io.WriteString(w, " for "+user)
		}
	})
	o.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.seen = append(o.seen, r.Header.Get("Authorization"))
		o.mu.Unlock()
		if o.lose != "" {
			r.Header.Set("Authorization", "Bearer "+o.lose)
			o.lose = ""
		}
		w.Header().Set("Date", now().UTC().Format(http.TimeFormat))
		protected.ServeHTTP(w, r)
	}))
	t.Cleanup(o.Close)
	return o
}

// sent gives the Authorization headers that have arrived.
func (o *orders) sent() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.seen...)
}

func (o *orders) mint(t testing.TB, caveats ...macaroon.Caveat) macaroon.Wallet {
	t.Helper()
	m, err := o.keys.Mint(t.Context(), macaroon.Grant{Subject: "billing"}, append([]macaroon.Caveat{
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read")}, caveats...)...)
	require.NoError(t, err)
	w, err := macaroon.NewWallet(m)
	require.NoError(t, err)
	return w
}

// client gives an http.Client that authorises requests to the service.
func (o *orders) client(t testing.TB, source client.Source, options client.Options) *http.Client {
	t.Helper()
	transport, err := client.New([]string{o.URL}, source, options)
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// replay sends a captured Authorization header with another request.
func (o *orders) replay(t *testing.T, authorization, method, path, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, o.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", authorization)
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	response.Body.Close()
	return response.StatusCode
}

func status(t testing.TB, response *http.Response, err error) int {
	t.Helper()
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

// conditions lists the conditions of the macaroon in an Authorization header.
func conditions(t testing.TB, authorization string) []string {
	t.Helper()
	text, found := strings.CutPrefix(authorization, "Bearer ")
	require.True(t, found)
	c, err := macaroon.Parse(text)
	require.NoError(t, err)
	var list []string
	for _, c := range c.Inspect().At(0).Caveats().All() {
		list = append(list, c.ID)
	}
	return list
}

// baseFunc is a transport of a test's own.
type baseFunc func(*http.Request) (*http.Response, error)

func (f baseFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// closing tells when a body has been closed, and can't be rewound.
type closing struct {
	io.Reader
	closed atomic.Int32
}

func (c *closing) Close() error { c.closed.Add(1); return nil }

// dischargerFunc is a Discharger of a test's own.
type dischargerFunc func(context.Context, macaroon.Wallet) (macaroon.Wallet, error)

func (f dischargerFunc) Discharge(ctx context.Context, w macaroon.Wallet) (macaroon.Wallet, error) {
	return f(ctx, w)
}

// party is a third party and the client of it: a Discharger that discharges each of its
// caveats, and can keep what it gave.
type party struct {
	t     testing.TB
	key   []byte
	keep  bool
	life  time.Duration
	asked int
	kept  map[string]macaroon.Macaroon
}

func newParty(t testing.TB) *party {
	return &party{t: t, key: bytes.Repeat([]byte{7}, 32), life: time.Hour, kept: map[string]macaroon.Macaroon{}}
}

func (p *party) caveat(id string) macaroon.Caveat {
	return macaroon.ThirdParty(p.key, id, "https://idp.internal")
}

func (p *party) Discharge(_ context.Context, w macaroon.Wallet) (macaroon.Wallet, error) {
	for _, missing := range w.Missing() {
		if missing.Location != "https://idp.internal" {
			return macaroon.Wallet{}, errors.New("party: not mine")
		}
		d, kept := p.kept[missing.CaveatID]
		if !kept {
			p.asked++
			var err error
			d, err = macaroon.New(p.key, missing.CaveatID, "")
			require.NoError(p.t, err)
			// Nanoseconds tell one from another.
			d, err = d.Attenuate(caveat.ExpiresAt(time.Now().Add(p.life + time.Duration(p.asked))))
			require.NoError(p.t, err)
			if p.keep {
				p.kept[missing.CaveatID] = d
			}
		}
		var err error
		if w, err = w.With(d); err != nil {
			return macaroon.Wallet{}, err
		}
	}
	return w, nil
}

func (p *party) Renew(ctx context.Context, w macaroon.Wallet) (macaroon.Wallet, error) {
	for _, missing := range w.Missing() {
		delete(p.kept, missing.CaveatID)
	}
	return p.Discharge(ctx, w)
}

// discharges lists the discharges in an Authorization header, each as it was before it
// was bound.
func discharges(t testing.TB, authorization string) []string {
	t.Helper()
	c, err := macaroon.Parse(strings.TrimPrefix(authorization, "Bearer "))
	require.NoError(t, err)
	var list []string
	for i := 1; i < c.Inspect().Len(); i++ {
		list = append(list, c.Inspect().At(i).String())
	}
	return list
}
