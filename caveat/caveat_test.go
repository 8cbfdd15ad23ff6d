package caveat_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
)

// What the constructors write, to the byte: tokens outlive programs.
func TestConstructorsWrite(t *testing.T) {
	east := time.FixedZone("east", 2*3600)
	for _, row := range []struct {
		name string
		c    caveat.Caveat
		want string
	}{
		{"expiry", caveat.ExpiresAt(time.Date(2030, 1, 2, 3, 4, 5, 600000000, time.UTC)), "time-before 2030-01-02T03:04:05.6Z"},
		{"expiry in another zone", caveat.ExpiresAt(time.Date(2030, 1, 2, 3, 4, 5, 0, east)), "time-before 2030-01-02T01:04:05Z"},
		{"last instant", caveat.ExpiresAt(time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)), "time-before 9999-12-31T23:59:59.999999999Z"},
		{"not before", caveat.NotBefore(time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)), "time-after 0001-01-01T00:00:00.000000001Z"},
		{"operations", caveat.Operations("orders.read", "billing.*"), "allow orders.read billing.*"},
		{"every operation", caveat.Operations("*"), "allow *"},
		{"denied operations", caveat.Deny("orders.delete"), "deny orders.delete"},
		{"audience", caveat.Audience("orders", "spiffe://prod/orders"), "audience orders spiffe://prod/orders"},
		{"methods", caveat.Methods("GET", "M-SEARCH"), "http-method GET M-SEARCH"},
		{"hosts", caveat.Hosts("orders.example", "2001:db8::1", "192.0.2.1"), "http-host orders.example 2001:db8::1 192.0.2.1"},
		{"path", caveat.Path("/orders/*", "/files/**"), "http-path /orders/* /files/**"},
		{"path as people type it", caveat.Path("/Straße/a b;c/%7e/%2a"), "http-path /Stra%C3%9Fe/a%20b%3Bc/~/%2A"},
		{"exact path", caveat.ExactPath("/a*/100%/**/ü?x=1"), "http-path /a%2A/100%25/%2A%2A/%C3%BC%3Fx%3D1"},
		{"exact root", caveat.ExactPath("/"), "http-path /"},
		{"gRPC", caveat.GRPCMethods("/shop.v1.Orders/Get", "/shop.v1.Carts/*"), "grpc-method /shop.v1.Orders/Get /shop.v1.Carts/*"},
		{"resources", caveat.Resources("orders/*", "/a/b%2fc/**"), "resource orders/* /a/b%2Fc/**"},
		{"resource from a name", caveat.Resources("docs/" + caveat.EscapeSegment("a/b *")), "resource docs/a%2Fb%20%2A"},
		{"client", caveat.ClientIPs(netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/32")), "client-ip 192.0.2.7/32 2001:db8::/32"},
		{"mapped client", caveat.ClientIPs(netip.MustParsePrefix("::ffff:192.0.2.0/120")), "client-ip 192.0.2.0/24"},
		{"certificate", caveat.PeerCertificate(certificate), "cert-sha256 A9Zt0Ig1wco_EozOrNHzGslBYwlrIPRFroQoW8CDLXI"},
		{"key", caveat.PeerKey(certificate), "spki-sha256 LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmtoM"},
		{"content", caveat.ContentDigest(sha256.Sum256(nil)), "content-digest sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"},
		{"branch", caveat.Branch([16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}), "branch AAECAwQFBgcICQoLDA0ODw"},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Equal(t, row.want, text(t, row.c))
			_, err := caveat.Standard().Compile(row.want)
			require.NoError(t, err, "what is written can be read")
		})
	}
}

// What cannot be written says so when it is asked for, and never comes out as a caveat that means less.
func TestConstructorsRefuse(t *testing.T) {
	for _, row := range []struct {
		name string
		c    caveat.Caveat
	}{
		{"zero caveat", caveat.Caveat{}},
		{"no lifetime", caveat.ExpiresIn(0)},
		{"negative lifetime", caveat.ExpiresIn(-time.Second)},
		{"expiry not set", caveat.ExpiresAt(time.Time{})},
		{"expiry not set, in another zone", caveat.ExpiresAt(time.Time{}.In(time.FixedZone("", 3600)))},
		{"five digits of years", caveat.ExpiresAt(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))},
		{"five digits of years in UTC", caveat.ExpiresAt(time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -2*3600)))},
		{"before the year 0", caveat.ExpiresAt(time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC))},
		{"far away", caveat.ExpiresAt(time.Unix(1<<62, 0))},
		{"start not set", caveat.NotBefore(time.Time{})},
		{"no operations", caveat.Operations()},
		{"empty operation", caveat.Operations("")},
		{"one of them empty", caveat.Operations("orders.read", "")},
		{"two operations in one", caveat.Operations("orders.read *")},
		{"operation in upper case", caveat.Operations("Orders.read")},
		{"asterisk inside", caveat.Operations("orders.re*")},
		{"asterisk in the middle", caveat.Operations("orders.*.read")},
		{"line feed", caveat.Operations("orders.read\nallow")},
		{"nothing denied", caveat.Deny()},
		{"malformed denied", caveat.Deny("orders.")},
		{"no audience", caveat.Audience()},
		{"empty audience", caveat.Audience("")},
		{"two audiences in one", caveat.Audience("orders billing")},
		{"no-break space in an audience", caveat.Audience("orders\u00a0billing")},
		{"invisible character in an audience", caveat.Audience("orders\u200b")},
		{"audience not in UTF-8", caveat.Audience("orders\xff")},
		{"no methods", caveat.Methods()},
		{"method with a colon", caveat.Methods("GET:")},
		{"no hosts", caveat.Hosts()},
		{"host with a port", caveat.Hosts("orders.example:443")},
		{"host in upper case", caveat.Hosts("Orders.example")},
		{"host with a final dot", caveat.Hosts("orders.example.")},
		{"host in brackets", caveat.Hosts("[::1]")},
		{"host with a zone", caveat.Hosts("fe80::1%eth0")},
		{"host not in its canonical form", caveat.Hosts("2001:DB8::1")},
		{"host as a wildcard", caveat.Hosts("*.example")},
		{"long host", caveat.Hosts(strings.Repeat("a", 254))},
		{"no paths", caveat.Path()},
		{"empty path", caveat.Path("")},
		{"relative path", caveat.Path("orders/*")},
		{"asterisk inside a segment", caveat.Path("/orders/7*")},
		{"two asterisks in the middle", caveat.Path("/orders/**/x")},
		{"three asterisks", caveat.Path("/orders/***")},
		{"slash after two asterisks", caveat.Path("/orders/**/")},
		{"empty segment", caveat.Path("/orders//7")},
		{"dot segment", caveat.Path("/orders/../7")},
		{"encoded dots", caveat.Path("/orders/%2e%2E/7")},
		{"encoded slash", caveat.Path("/orders%2F7")},
		{"backslash", caveat.Path(`/orders\7`)},
		{"query", caveat.Path("/orders?x")},
		{"fragment", caveat.Path("/orders#x")},
		{"bare percent sign", caveat.Path("/100%")},
		{"control character", caveat.Path("/orders\n")},
		{"exact relative path", caveat.ExactPath("orders")},
		{"exact empty path", caveat.ExactPath("")},
		{"exact dot segment", caveat.ExactPath("/a/./b")},
		{"exact empty segment", caveat.ExactPath("//a")},
		{"exact backslash", caveat.ExactPath(`/a\b`)},
		{"no gRPC methods", caveat.GRPCMethods()},
		{"gRPC method without a service", caveat.GRPCMethods("/Get")},
		{"gRPC method without a slash", caveat.GRPCMethods("shop.Orders/Get")},
		{"gRPC method too deep", caveat.GRPCMethods("/evil/shop.Orders/Get")},
		{"any gRPC service", caveat.GRPCMethods("/*/Get")},
		{"gRPC asterisk inside", caveat.GRPCMethods("/shop.Orders/Get*")},
		{"no resources", caveat.Resources()},
		{"dot segment from a name", caveat.Resources("docs/" + caveat.EscapeSegment(".."))},
		{"empty segment from a name", caveat.Resources("docs/" + caveat.EscapeSegment("") + "/x")},
		{"backslash in a resource", caveat.Resources(`docs\7`)},
		{"only two asterisks", caveat.Resources("**")},
		{"no prefixes", caveat.ClientIPs()},
		{"zero prefix", caveat.ClientIPs(netip.Prefix{})},
		{"bits outside the mask", caveat.ClientIPs(netip.MustParsePrefix("192.0.2.7/24"))},
		{"no certificate", caveat.PeerCertificate(nil)},
		{"certificate that was not parsed", caveat.PeerCertificate(&x509.Certificate{})},
		{"no key", caveat.PeerKey(nil)},
		{"key that was not parsed", caveat.PeerKey(&x509.Certificate{Raw: []byte("x")})},
		{"digest not set", caveat.ContentDigest([32]byte{})},
		{"branch not set", caveat.Branch([16]byte{})},
	} {
		t.Run(row.name, func(t *testing.T) {
			condition, err := row.c.Condition()
			require.Error(t, err)
			require.Empty(t, condition)
			require.True(t, strings.HasPrefix(err.Error(), "caveat: "))
			require.Equal(t, 1, strings.Count(err.Error(), "caveat: "), err.Error())
			require.Equal(t, "invalid "+err.Error(), row.c.String())
			require.Less(t, len(err.Error()), 300)
		})
	}
}

// The clock is read when the condition is written: a Caveat may be made once and used for many tokens.
func TestExpiresInReadsTheClockWhenWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := caveat.ExpiresIn(time.Minute)
		require.Equal(t, "time-before now+1m0s", c.String())
		for range 3 {
			want := time.Now().Add(time.Minute).UTC().Format(time.RFC3339Nano)
			condition, err := c.Condition()
			require.NoError(t, err)
			require.Equal(t, "time-before "+want, condition)

			check := func() error {
				return caveat.Standard().Check(context.Background(), &caveat.Request{Now: time.Now()}, condition)
			}
			require.NoError(t, check())
			time.Sleep(time.Minute - time.Nanosecond)
			require.NoError(t, check())
			time.Sleep(time.Nanosecond)
			require.ErrorIs(t, check(), caveat.ErrNotMet)
			time.Sleep(time.Hour)
		}
	})
}

func TestExpiresInForever(t *testing.T) {
	condition, err := caveat.ExpiresIn(1<<63 - 1).Condition()
	require.NoError(t, err)
	require.NoError(t, caveat.Standard().Check(t.Context(), &caveat.Request{Now: time.Now()}, condition))
}
