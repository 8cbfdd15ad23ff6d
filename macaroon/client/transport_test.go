package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

func TestEachRequestCarriesTheLeast(t *testing.T) {
	o := newOrders(t, 0)
	w := o.mint(t)
	long, err := w.Encode()
	require.NoError(t, err)
	c := o.client(t, client.Static(w), client.Options{Host: true, ContentDigest: true, Branch: [16]byte{1},
		Caveats: func(*http.Request) ([]macaroon.Caveat, error) {
			return []macaroon.Caveat{caveat.Operations("orders.*")}, nil
		}})

	response, err := c.Post(o.URL+"/orders/7%2A?all=1", "text/plain", strings.NewReader("three eggs"))
	require.Equal(t, http.StatusOK, status(t, response, err))
	sent := o.sent()
	require.Len(t, sent, 1)
	require.NotContains(t, sent[0], long)
	list := conditions(t, sent[0])
	require.Len(t, list, 10)
	end, err := caveat.Time.Parse(strings.TrimPrefix(list[9], "time-before "))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(30*time.Second), end, 20*time.Second)
	require.Equal(t, []string{"branch AQAAAAAAAAAAAAAAAAAAAA", "http-host 127.0.0.1", "http-method POST", "http-path /orders/7%2A", "allow orders.*"}, list[3:8])
	require.True(t, strings.HasPrefix(list[8], "content-digest sha-256=:"), list[8])
	require.Equal(t, []string{"three eggs"}, o.bodies)

	// Whoever captured it can do with it what was done, and nothing else.
	require.Equal(t, http.StatusOK, o.replay(t, sent[0], "POST", "/orders/7%2A", "three eggs"))
	require.Equal(t, http.StatusForbidden, o.replay(t, sent[0], "POST", "/orders/8", "three eggs"), "another path")
	require.Equal(t, http.StatusForbidden, o.replay(t, sent[0], "PUT", "/orders/7%2A", "three eggs"), "another method")
	require.Equal(t, http.StatusForbidden, o.replay(t, sent[0], "POST", "/orders/7%2A", "four eggs"), "another body")
}

func TestReplayAfterExpiry(t *testing.T) {
	o := newOrders(t, 0)
	response, err := o.client(t, client.Static(o.mint(t)), client.Options{}).Get(o.URL + "/orders/7")
	require.Equal(t, http.StatusOK, status(t, response, err))
	captured := o.sent()[0]
	o.skew.Store(int64(25 * time.Second))
	require.Equal(t, http.StatusOK, o.replay(t, captured, "GET", "/orders/7", ""))
	o.skew.Store(int64(30 * time.Second))
	require.Equal(t, http.StatusUnauthorized, o.replay(t, captured, "GET", "/orders/7", ""))
}

func TestDefaultsAndSwitches(t *testing.T) {
	o := newOrders(t, 0)
	for name, row := range map[string]struct {
		options client.Options
		want    []string
	}{
		"defaults":   {client.Options{}, []string{"http-method", "http-path", "time-before"}},
		"any method": {client.Options{AnyMethod: true}, []string{"http-path", "time-before"}},
		"any path":   {client.Options{AnyPath: true}, []string{"http-method", "time-before"}},
	} {
		before := len(o.sent())
		response, err := o.client(t, client.Static(o.mint(t)), row.options).Get(o.URL)
		require.Equal(t, http.StatusOK, status(t, response, err), name)
		sent := o.sent()[before:]
		require.Len(t, sent, 1, name)
		var names []string
		for _, condition := range conditions(t, sent[0])[3:] {
			first, _, _ := strings.Cut(condition, " ")
			names = append(names, first)
		}
		require.Equal(t, row.want, names, name)
	}
}

// TestSpellings: what a request leaves open is narrowed to what is sent.
func TestSpellings(t *testing.T) {
	var sent *http.Request
	base := baseFunc(func(r *http.Request) (*http.Response, error) {
		sent = r
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})
	transport, err := client.New([]string{"https://orders.internal"}, client.Static(wallet(t, "x", 0)), client.Options{Base: base, Host: true})
	require.NoError(t, err)
	for name, row := range map[string]struct {
		request http.Request
		want    []string
	}{
		"nothing said": {http.Request{URL: &url.URL{Scheme: "https", Host: "orders.internal"}},
			[]string{"http-host orders.internal", "http-method GET", "http-path /"}},
		"capitals": {http.Request{Method: "HEAD", URL: &url.URL{Scheme: "https", Host: "Orders.Internal:443", Path: "/A"}},
			[]string{"http-host orders.internal", "http-method HEAD", "http-path /A"}},
		"needs escapes": {http.Request{Method: "get", URL: &url.URL{Scheme: "https", Host: "orders.internal", Path: "/a b*é", RawQuery: "q=/.."}},
			[]string{"http-host orders.internal", "http-method get", "http-path /a%20b%2A%C3%A9"}},
		"escaped more than needed": {http.Request{Method: "PUT", URL: &url.URL{Scheme: "https", Host: "orders.internal", Path: "/ab", RawPath: "/%61b"}},
			[]string{"http-host orders.internal", "http-method PUT", "http-path /ab"}},
	} {
		response, err := transport.RoundTrip(&row.request)
		require.Equal(t, 200, status(t, response, err), name)
		require.Equal(t, row.want, conditions(t, sent.Header.Get("Authorization"))[:3], name)
	}
}

func TestNewRefuses(t *testing.T) {
	w := client.Static(macaroon.Wallet{})
	ok := []string{"https://orders.internal"}
	for name, make := range map[string]func() (*client.Transport, error){
		"no origins": func() (*client.Transport, error) { return client.New(nil, w, client.Options{}) },
		"plain HTTP": func() (*client.Transport, error) {
			return client.New([]string{"http://a.internal"}, w, client.Options{})
		},
		"path": func() (*client.Transport, error) {
			return client.New([]string{"https://a.internal/x"}, w, client.Options{})
		},
		"no source":         func() (*client.Transport, error) { return client.New(ok, nil, client.Options{}) },
		"negative lifetime": func() (*client.Transport, error) { return client.New(ok, w, client.Options{Lifetime: -1}) },
		"negative skew":     func() (*client.Transport, error) { return client.New(ok, w, client.Options{MaxSkew: -1}) },
		"negative body":     func() (*client.Transport, error) { return client.New(ok, w, client.Options{MaxBody: -1}) },
	} {
		transport, err := make()
		require.Error(t, err, name)
		require.Nil(t, transport, name)
	}
	_, err := client.New([]string{"http://a.internal"}, w, client.Options{InsecureHTTP: true})
	require.NoError(t, err)
}

// TestOtherOrigins: requests that no token is for fail, and their bodies are closed;
// nothing is sent.
func TestOtherOrigins(t *testing.T) {
	o := newOrders(t, 0)
	sent := 0
	base := baseFunc(func(r *http.Request) (*http.Response, error) {
		sent++
		require.Empty(t, r.Header.Get("Authorization"))
		return nil, errors.New("sent")
	})
	source := client.SourceFunc(func(context.Context, string) (macaroon.Wallet, error) {
		return macaroon.Wallet{}, errors.New("asked")
	})
	strict, err := client.New([]string{"https://orders.internal:8443"}, source, client.Options{Base: base})
	require.NoError(t, err)
	passing, err := client.New([]string{"https://orders.internal:8443"}, source, client.Options{Base: base, PassOthers: true})
	require.NoError(t, err)
	_, err = (&http.Client{Transport: strict}).Get("https://orders.internal/")
	require.ErrorContains(t, err, "no token is for this origin: https://orders.internal:443", "with the port that it has")
	for name, url := range map[string]string{
		"another host":    "https://evil.example:8443/",
		"another port":    "https://orders.internal/",
		"another scheme":  "http://orders.internal:8443/",
		"lookalike":       "https://orders.internal.evil.example:8443/",
		"user":            "https://user@orders.internal:8443/",
		"user as host":    "https://orders.internal:8443@evil.example/",
		"dot at the end":  "https://orders.internal.:8443/",
		"loopback":        o.URL,
		"metadata server": "http://169.254.169.254/latest/meta-data",
	} {
		content := &closing{Reader: strings.NewReader("x")}
		r, err := http.NewRequest("POST", url, content)
		require.NoError(t, err, name)
		_, err = strict.RoundTrip(r)
		require.ErrorIs(t, err, client.ErrOrigin, name)
		require.EqualValues(t, 1, content.closed.Load(), name)
		require.Zero(t, sent, name)

		_, err = passing.RoundTrip(r)
		require.EqualError(t, err, "sent", name)
		sent = 0
	}

	r := httptest.NewRequest("GET", "https://orders.internal:8443/", nil)
	r.Host = "evil.example"
	_, err = strict.RoundTrip(r)
	require.ErrorIs(t, err, client.ErrOrigin, "another Host behind the same address")
	r = &http.Request{Method: "GET"}
	_, err = strict.RoundTrip(r)
	require.ErrorIs(t, err, client.ErrOrigin, "no URL")
	r = &http.Request{Method: "GET", URL: &url.URL{Scheme: "https", Host: "orders.internal:8443", Opaque: "//evil.example/"}}
	_, err = strict.RoundTrip(r)
	require.ErrorIs(t, err, client.ErrOrigin, "a URL that says something else to proxies")
}

// TestRedirects: a token is not sent to where a redirect led, not even if that
// origin is allowed by itself, nor back again.
func TestRedirects(t *testing.T) {
	o := newOrders(t, 0)
	other := newOrders(t, 0)
	var where atomic.Value
	redirecting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, where.Load().(string), http.StatusTemporaryRedirect)
	}))
	defer redirecting.Close()
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, redirecting.URL+"/again", http.StatusFound)
	}))
	defer back.Close()
	var asked atomic.Int64
	source := client.SourceFunc(func(context.Context, string) (macaroon.Wallet, error) {
		asked.Add(1)
		return o.mint(t), nil
	})
	port := func(url string) string { return url[strings.LastIndexByte(url, ':'):] }
	for name, to := range map[string]string{
		"another port":          other.URL + "/orders/7",
		"another host":          "http://localhost" + port(redirecting.URL) + "/",
		"another scheme":        "https://127.0.0.1" + port(redirecting.URL) + "/",
		"not on the list":       "http://127.0.0.1:1/",
		"to another, and back":  back.URL,
		"back with another way": "http://localhost" + port(back.URL),
	} {
		where.Store(to)
		asked.Store(0)
		origins := []string{redirecting.URL, other.URL, back.URL, "http://localhost" + port(redirecting.URL), "https://127.0.0.1" + port(redirecting.URL)}
		transport, err := client.New(origins, source, client.Options{})
		require.NoError(t, err, name)
		_, err = (&http.Client{Transport: transport}).Get(redirecting.URL)
		require.ErrorIs(t, err, client.ErrOrigin, name)
		require.Equal(t, int64(1), asked.Load(), name)
		require.Empty(t, other.sent(), name)

		// Passed on, the request goes there without a token.
		transport, err = client.New(origins, source, client.Options{PassOthers: true})
		require.NoError(t, err, name)
		if response, err := (&http.Client{Transport: transport}).Get(redirecting.URL); err == nil {
			response.Body.Close()
		}
		for _, header := range other.sent() {
			require.Empty(t, header, name)
		}
		other.mu.Lock()
		other.seen = nil
		other.mu.Unlock()
	}

	// Nor is it sent where such a redirect led on within the other origin.
	var there []string
	on := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if there = append(there, r.Header.Get("Authorization")); len(there) < 3 {
			http.Redirect(w, r, "/on", http.StatusTemporaryRedirect)
		}
	}))
	defer on.Close()
	where.Store(on.URL)
	passing, err := client.New([]string{redirecting.URL, on.URL}, source, client.Options{PassOthers: true})
	require.NoError(t, err)
	passed, err := (&http.Client{Transport: passing}).Get(redirecting.URL)
	require.Equal(t, http.StatusOK, status(t, passed, err))
	require.Equal(t, []string{"", "", ""}, there)

	// Who does not say where a redirect came from gets none either.
	r, err := http.NewRequest("GET", other.URL, nil)
	require.NoError(t, err)
	r.Response = &http.Response{StatusCode: http.StatusFound}
	transport, err := client.New([]string{other.URL}, source, client.Options{})
	require.NoError(t, err)
	_, err = transport.RoundTrip(r)
	require.ErrorIs(t, err, client.ErrOrigin)
	r.Response.Request, err = http.NewRequest("GET", strings.Replace(other.URL, "://", "://user@", 1), nil)
	require.NoError(t, err)
	_, err = transport.RoundTrip(r)
	require.ErrorIs(t, err, client.ErrOrigin)

	// Within one origin a redirect is followed, with a token for the new path.
	mux := http.NewServeMux()
	mux.HandleFunc("/old", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/new", http.StatusFound) })
	var got string
	mux.HandleFunc("/new", func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") })
	moved := httptest.NewServer(mux)
	defer moved.Close()
	transport, err = client.New([]string{moved.URL}, source, client.Options{})
	require.NoError(t, err)
	response, err := (&http.Client{Transport: transport}).Get(moved.URL + "/old")
	require.Equal(t, http.StatusOK, status(t, response, err))
	require.Contains(t, conditions(t, got), "http-path /new")
}

func TestExistingAuthorization(t *testing.T) {
	o := newOrders(t, 0)
	w := client.Static(o.mint(t))
	r, err := http.NewRequest("GET", o.URL, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Basic eDp5")
	_, err = o.client(t, w, client.Options{}).Do(r)
	require.ErrorIs(t, err, client.ErrAuthorization)
	_, err = o.client(t, w, client.Options{PassOthers: true}).Do(r)
	require.ErrorIs(t, err, client.ErrAuthorization)
	require.Empty(t, o.sent())

	response, err := o.client(t, w, client.Options{ReplaceAuthorization: true}).Do(r)
	require.Equal(t, http.StatusOK, status(t, response, err))
	require.Equal(t, "Basic eDp5", r.Header.Get("Authorization"), "the caller's request stays as it is")

	// However it is spelled and wherever it stands: net/http would send them all.
	for name, header := range map[string]http.Header{
		"lower case":   {"authorization": {"Basic eDp5"}},
		"mixed case":   {"AUTHorization": {"Basic eDp5"}},
		"second value": {"Authorization": {"", "Basic eDp5"}},
		"empty":        {"Authorization": {""}},
		"two":          {"Authorization": {"Basic eDp5"}, "authorization": {"Basic eDp5"}},
	} {
		before := len(o.sent())
		r.Header = header
		_, err = o.client(t, w, client.Options{}).Do(r)
		require.ErrorIs(t, err, client.ErrAuthorization, name)
		require.Len(t, o.sent(), before, name)
		response, err := o.client(t, w, client.Options{ReplaceAuthorization: true}).Do(r)
		require.Equal(t, http.StatusOK, status(t, response, err), name)
	}
}

// TestBehindReverseProxy: a gateway passes its caller's token on, narrowed for the
// service behind, and that service sees no other.
func TestBehindReverseProxy(t *testing.T) {
	o := newOrders(t, 0)
	behind, err := url.Parse(o.URL)
	require.NoError(t, err)
	transport, err := client.New([]string{o.URL}, client.Forwarding(caveat.Operations("orders.read")), client.Options{ReplaceAuthorization: true})
	require.NoError(t, err)
	defer transport.CloseIdleConnections()
	v, err := verifier.New(o.keys, "gateway", verifier.Options{})
	require.NoError(t, err)
	auth, err := httpauth.New(v, httpauth.Options{Forward: true})
	require.NoError(t, err)
	gateway := httptest.NewServer(auth.Require("orders.read", &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(behind) },
		Transport: transport,
	}))
	defer gateway.Close()

	session, err := o.keys.Mint(t.Context(), macaroon.Grant{Subject: "alice"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("gateway", "orders"), caveat.Operations("orders.*"))
	require.NoError(t, err)
	text, err := session.Encode()
	require.NoError(t, err)
	r, err := http.NewRequest("GET", gateway.URL+"/orders/7", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+text)
	response, err := http.DefaultClient.Do(r)
	require.Equal(t, http.StatusOK, status(t, response, err))
	require.Len(t, o.sent(), 1)
	require.NotContains(t, o.sent()[0], text)
	list := conditions(t, o.sent()[0])
	require.Equal(t, "allow orders.read", list[3])
	require.Equal(t, []string{"http-method GET", "http-path /orders/7"}, list[4:6])
}

// TestHTTP2: over TLS with the protocol that services speak, a request that is sent
// twice included.
func TestHTTP2(t *testing.T) {
	o := newUnstartedOrders(t, 90*time.Second)
	o.EnableHTTP2 = true
	o.StartTLS()
	c := o.client(t, client.Static(o.mint(t)), client.Options{Base: o.Client().Transport, ContentDigest: true, Host: true})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 8 {
				response, err := c.Post(fmt.Sprintf("%s/%d/%d", o.URL, i, j), "", strings.NewReader(strings.Repeat("x", 1<<16)))
				if assert.NoError(t, err) {
					assert.Equal(t, 2, response.ProtoMajor)
					assert.Equal(t, http.StatusOK, response.StatusCode)
					response.Body.Close()
				}
			}
		})
	}
	wg.Wait()
	require.Greater(t, len(o.sent()), 64, "the first were refused")
	require.Len(t, o.bodies, 64)
}

func TestCallersRequestStaysAsItIs(t *testing.T) {
	o := newOrders(t, 0)
	r, err := http.NewRequest("POST", o.URL, strings.NewReader("x"))
	require.NoError(t, err)
	r.Header = nil
	body := r.Body
	response, err := o.client(t, client.Static(o.mint(t)), client.Options{}).Transport.RoundTrip(r)
	require.Equal(t, http.StatusOK, status(t, response, err))
	require.Nil(t, r.Header)
	require.Equal(t, body, r.Body)
	require.Same(t, r, response.Request, "so that who prints an answer prints no token")
}

func TestConcurrentUse(t *testing.T) {
	o := newOrders(t, 0)
	c := o.client(t, client.Static(o.mint(t)), client.Options{ContentDigest: true})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 10 {
				response, err := c.Post(fmt.Sprintf("%s/%d/%d", o.URL, i, j), "", strings.NewReader(fmt.Sprint(i, j)))
				if assert.NoError(t, err) {
					assert.Equal(t, http.StatusOK, response.StatusCode)
					response.Body.Close()
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, header := range o.sent() {
		require.False(t, seen[header], "each request has a token of its own")
		seen[header] = true
	}
}

// TestNothingSecretPrints: neither what a transport is made of nor its errors show a token.
func TestNothingSecretPrints(t *testing.T) {
	o := newOrders(t, 0)
	w := o.mint(t)
	text, err := w.Encode()
	require.NoError(t, err)
	source := client.Static(w)
	refreshed, err := client.Refresh(source, time.Minute)
	require.NoError(t, err)
	for range 2 { // the second waits for the end of the first
		_, err = refreshed.Wallet(t.Context(), "x")
		require.NoError(t, err)
	}
	base := baseFunc(func(*http.Request) (*http.Response, error) { return nil, nil }) // fmt would race with a real one
	transport, err := client.New([]string{o.URL}, source, client.Options{Base: base})
	require.NoError(t, err)
	signature := text[len(text)-40:]
	for _, value := range []any{source, refreshed, transport, *transport} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			printed := fmt.Sprintf(verb, value)
			require.NotContains(t, printed, signature)
		}
	}
}
