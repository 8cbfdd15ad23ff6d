package httpauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

func prefixes(list ...string) (p []netip.Prefix) {
	for _, s := range list {
		prefix, _ := netip.ParsePrefix(s)
		p = append(p, prefix)
	}
	return p
}

// factsOf tells which facts are stated about a request.
func factsOf(t testing.TB, options httpauth.Options) func(*http.Request) caveat.Facts {
	var stated caveat.Facts
	options.Facts = func(_ *http.Request, facts caveat.Facts) caveat.Facts {
		stated = facts
		return facts
	}
	s := newService(t, options)
	authorization := s.bearer()
	return func(r *http.Request) caveat.Facts {
		r.Header.Set("Authorization", authorization)
		stated = caveat.Facts{}
		if _, err := s.auth.Check(r, operation); err != nil {
			panic(err) // and not t, which a fuzz target must not use
		}
		s.audited()
		return stated
	}
}

func TestClientIP(t *testing.T) {
	behind := factsOf(t, httpauth.Options{TrustedProxies: prefixes("10.0.0.0/8", "2001:db8:1::/48")})
	direct := factsOf(t, httpauth.Options{})
	for _, row := range []struct {
		name, remote string
		forwarded    []string
		want         string // behind the proxies; empty if absent
		direct       string
	}{
		{"no proxy between", "192.0.2.1:1000", nil, "192.0.2.1", "192.0.2.1"},
		{"no proxy, but a claim", "192.0.2.1:1000", []string{"198.51.100.7"}, "192.0.2.1", "192.0.2.1"},
		{"one proxy", "10.0.0.1:1000", []string{"192.0.2.1"}, "192.0.2.1", "10.0.0.1"},
		{"claim to the left", "10.0.0.1:1000", []string{"6.6.6.6, 192.0.2.1"}, "192.0.2.1", "10.0.0.1"},
		{"claim to be a proxy", "10.0.0.1:1000", []string{"10.0.0.9, 192.0.2.1"}, "192.0.2.1", "10.0.0.1"},
		{"garbage to the left", "10.0.0.1:1000", []string{"<>, 192.0.2.1"}, "192.0.2.1", "10.0.0.1"},
		{"two proxies", "10.0.0.1:1000", []string{"6.6.6.6, 192.0.2.1, 10.0.0.2"}, "192.0.2.1", "10.0.0.1"},
		{"several lines", "10.0.0.1:1000", []string{"6.6.6.6", "192.0.2.1", "10.0.0.2,10.0.0.3"}, "192.0.2.1", "10.0.0.1"},
		{"a line of the client before", "10.0.0.1:1000", []string{"10.0.0.2", "192.0.2.1"}, "192.0.2.1", "10.0.0.1"},
		{"no header", "10.0.0.1:1000", nil, "", "10.0.0.1"},
		{"proxies only", "10.0.0.1:1000", []string{"10.0.0.2"}, "", "10.0.0.1"},
		{"empty header", "10.0.0.1:1000", []string{""}, "", "10.0.0.1"},
		{"empty entry at the end", "10.0.0.1:1000", []string{"192.0.2.1,"}, "", "10.0.0.1"},
		{"empty entry on the way", "10.0.0.1:1000", []string{"192.0.2.1, , 10.0.0.2"}, "", "10.0.0.1"},
		{"empty line at the end", "10.0.0.1:1000", []string{"192.0.2.1", ""}, "", "10.0.0.1"},
		{"garbage on the way", "10.0.0.1:1000", []string{"192.0.2.1, unknown"}, "", "10.0.0.1"},
		{"with a port", "10.0.0.1:1000", []string{"192.0.2.1:2000"}, "192.0.2.1", "10.0.0.1"},
		{"IPv6", "[2001:db8:1::1]:1000", []string{"2001:db8:2::7"}, "2001:db8:2::7", "2001:db8:1::1"},
		{"IPv6 in brackets", "10.0.0.1:1000", []string{"[2001:db8:2::7]"}, "2001:db8:2::7", "10.0.0.1"},
		{"IPv6 with a port", "10.0.0.1:1000", []string{"[2001:db8:2::7]:2000"}, "2001:db8:2::7", "10.0.0.1"},
		{"IPv4 in brackets", "10.0.0.1:1000", []string{"[192.0.2.1]"}, "", "10.0.0.1"},
		{"IPv4 mapped to IPv6", "[::ffff:10.0.0.1]:1000", []string{"::ffff:192.0.2.1"}, "192.0.2.1", "10.0.0.1"},
		{"zone", "10.0.0.1:1000", []string{"fe80::1%eth0"}, "", "10.0.0.1"},
		{"zone of the peer", "[fe80::1%eth0]:1000", []string{"192.0.2.1"}, "", ""},
		{"Unix socket", "@", []string{"192.0.2.1"}, "", ""},
		{"no address", "", []string{"192.0.2.1"}, "", ""},
		{"a name", "10.0.0.1:1000", []string{"client.example"}, "", "10.0.0.1"},
		{"quoted", "10.0.0.1:1000", []string{`"192.0.2.1"`}, "", "10.0.0.1"},
		{"leading zeros", "10.0.0.1:1000", []string{"192.0.02.1"}, "", "10.0.0.1"},
		{"too many proxies", "10.0.0.1:1000", []string{"192.0.2.1" + strings.Repeat(",10.0.0.2", 1000)}, "", "10.0.0.1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			request := func() *http.Request {
				r := get("/")
				r.RemoteAddr = row.remote
				r.Header["X-Forwarded-For"] = row.forwarded
				r.Header.Set("X-Real-Ip", "6.6.6.6")
				r.Header.Set("Forwarded", "for=6.6.6.6")
				return r
			}
			want, _ := netip.ParseAddr(row.want)
			require.Equal(t, want, behind(request()).ClientIP)
			want, _ = netip.ParseAddr(row.direct)
			require.Equal(t, want, direct(request()).ClientIP)
		})
	}
}

// FuzzForwardedFor compares with a slow reading: all lines joined, split, reversed.
func FuzzForwardedFor(f *testing.F) {
	proxies := prefixes("10.0.0.0/8", "2001:db8:1::/48")
	facts := factsOf(f, httpauth.Options{TrustedProxies: proxies})
	for _, seed := range []string{"", "192.0.2.1", "6.6.6.6, 192.0.2.1, 10.0.0.1", "192.0.2.1;10.0.0.1", "[2001:db8:1::1]:80,::1", ",", "x,10.0.0.1", "10.0.0.1,10.0.0.2;10.0.0.3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, forwarded string) {
		r := get("/")
		r.RemoteAddr = "10.0.0.1:1000"
		r.Header["X-Forwarded-For"] = strings.Split(forwarded, ";") // one line each
		got := facts(r).ClientIP

		hops := strings.Split(strings.ReplaceAll(forwarded, ";", ","), ",")
		var want netip.Addr
	walk:
		for i := len(hops) - 1; i >= 0 && i > len(hops)-1-32; i-- {
			hop := strings.Trim(hops[i], " \t")
			addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(hop, "["), "]"))
			if err != nil || strings.HasPrefix(hop, "[") != strings.HasSuffix(hop, "]") || strings.HasPrefix(hop, "[") && !addr.Is6() {
				full, err := netip.ParseAddrPort(hop)
				if err != nil {
					break
				}
				addr = full.Addr()
			}
			if addr.Zone() != "" {
				break
			}
			addr = addr.Unmap()
			for _, p := range proxies {
				if p.Contains(addr) {
					continue walk
				}
			}
			want = addr
			break
		}
		require.Equal(t, want, got)
	})
}

func TestHost(t *testing.T) {
	facts := factsOf(t, httpauth.Options{Hosts: []string{"orders.internal"}})
	none := factsOf(t, httpauth.Options{})
	for sent, want := range map[string]string{"orders.internal:8443": "orders.internal", "Orders.internal": "", "evil.example": ""} {
		t.Run(sent, func(t *testing.T) {
			r := get("/")
			r.Host = sent
			r.Header.Set("X-Forwarded-Host", "orders.internal")
			require.Equal(t, want, facts(r).Host)
			require.Empty(t, none(r).Host)
		})
	}
}

func TestPathMethodAndOrigin(t *testing.T) {
	facts := factsOf(t, httpauth.Options{})
	for _, row := range []struct{ name, target, want string }{
		{"as it was sent", "/a%20b?c=/d", "/a%20b"},
		{"absolute", "http://orders.internal/a?b", "/a"},
		{"absolute, not corrected", "http://orders.internal/a#b", "/a#b"},
		{"absolute, as it was sent", "http://orders.internal/a%2520b%2e/d?c", "/a%2520b%2e/d"},
	} {
		t.Run(row.name, func(t *testing.T) { require.Equal(t, row.want, facts(get(row.target)).Path) })
	}
	t.Run("made by no server", func(t *testing.T) {
		r, err := http.NewRequest("PATCH", "http://orders.internal/a%20b?c", nil)
		require.NoError(t, err)
		stated := facts(r)
		require.Equal(t, "/a%20b", stated.Path)
		require.Equal(t, "PATCH", stated.Method)
	})
	t.Run("not an address", func(t *testing.T) {
		for _, uri := range []string{"*", "orders.internal:443", "http://", "http:a", "a/b", "http://orders.internal", "\x7f"} {
			r := get("/a")
			r.RequestURI = uri
			path, ok := caveat.CanonicalPath(facts(r).Path)
			require.False(t, ok, "%q: %q", uri, path)
		}
	})
	t.Run("method override", func(t *testing.T) {
		r := get("/")
		r.Header.Set("X-Http-Method-Override", "DELETE")
		require.Equal(t, "GET", facts(r).Method)
	})
	t.Run("origins", func(t *testing.T) {
		r := get("/")
		require.Empty(t, facts(r).Origin)
		r.Header.Set("Origin", "https://shop.example")
		require.Equal(t, "https://shop.example", facts(r).Origin)
		r.Header.Add("Origin", "https://evil.example")
		require.Empty(t, facts(r).Origin)
	})
}

func TestApplicationFacts(t *testing.T) {
	s := newService(t, httpauth.Options{Facts: func(r *http.Request, facts caveat.Facts) caveat.Facts {
		facts.Resource = r.Header.Get("X-Test-Resource")
		return facts
	}})
	h := s.auth.RequireFunc(operation, ok)
	r := get("/orders/7", s.bearer(caveat.Resources("order/*"), caveat.Methods("GET"), caveat.Path("/orders/*")))
	require.Equal(t, rowDenied, rowOf(serve(t, h, r)))
	r.Header.Set("X-Test-Resource", "order/7")
	require.Equal(t, allowed, rowOf(serve(t, h, r)))
	require.Len(t, s.audited(), 2)

	require.Equal(t, rowInvalid, rowOf(serve(t, h, get("/orders/7", tampered(t, s.mint())))))
	records := s.audited()
	require.Len(t, records, 1)
	require.Equal(t, operation, records[0].Operation)
}

func TestPeerCertificate(t *testing.T) {
	certificate, leaf := selfSigned(t)
	_, other := selfSigned(t)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)

	for _, row := range []struct {
		name    string
		auth    tls.ClientAuthType
		present bool
		token   *x509.Certificate
		want    string
	}{
		{"verified", tls.RequireAndVerifyClientCert, true, leaf, allowed},
		{"of another client", tls.RequireAndVerifyClientCert, true, other, rowDenied},
		{"not verified", tls.RequireAnyClientCert, true, leaf, rowDenied},
		{"none", tls.VerifyClientCertIfGiven, false, leaf, rowDenied},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newService(t, httpauth.Options{})
			server := httptest.NewUnstartedServer(s.auth.RequireFunc(operation, ok))
			server.TLS = &tls.Config{ClientAuth: row.auth, ClientCAs: pool}
			server.StartTLS()
			defer server.Close()
			client := server.Client()
			if row.present {
				client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{certificate}
			}
			for _, c := range []caveat.Caveat{caveat.PeerCertificate(row.token), caveat.PeerKey(row.token)} {
				r, err := http.NewRequest(http.MethodGet, server.URL, nil)
				require.NoError(t, err)
				r.Header.Set("Authorization", s.bearer(c))
				response, err := client.Do(r)
				require.Equal(t, row.want, rowOf(read(t, response, err)))
			}
		})
	}
}

func selfSigned(t testing.TB) (tls.Certificate, *x509.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, leaf
}

// TestUnixSocket: there is no client address, so a caveat about it denies.
func TestUnixSocket(t *testing.T) {
	s := newService(t, httpauth.Options{TrustedProxies: prefixes("10.0.0.0/8")})
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(s.auth.RequireFunc(operation, ok))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	for authorization, want := range map[string]string{
		s.bearer(): allowed,
		s.bearer(caveat.ClientIPs(prefixes("192.0.2.0/24")...)): rowDenied,
	} {
		r, err := http.NewRequest(http.MethodGet, "http://orders.internal/", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Forwarded-For", "192.0.2.1")
		response, err := client.Do(r)
		require.Equal(t, want, rowOf(read(t, response, err)))
	}
}
