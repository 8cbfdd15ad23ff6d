package caveat_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
)

// now is the time of every decision in these tests that does not say otherwise.
var now = time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)

var (
	body        = []byte("the body")
	certificate = &x509.Certificate{Raw: []byte("certificate"), RawSubjectPublicKeyInfo: []byte("key")}
	stranger    = &x509.Certificate{Raw: []byte("another certificate"), RawSubjectPublicKeyInfo: []byte("another key")}
)

// request states every fact there is.
func request() *caveat.Request {
	return &caveat.Request{
		Facts: caveat.Facts{
			Method:          "GET",
			Host:            "orders.example",
			Path:            "/orders/7",
			GRPCMethod:      "/shop.v1.Orders/Get",
			Resource:        "orders/7",
			Origin:          "https://shop.example",
			ClientIP:        netip.MustParseAddr("192.0.2.7"),
			PeerCertificate: certificate,
			ContentDigest:   func(context.Context) ([32]byte, error) { return sha256.Sum256(body), nil },
		},
		Now:       now,
		Operation: "orders.read",
		Audience:  "orders",
	}
}

// with is the request after one change.
func with(change func(r *caveat.Request)) *caveat.Request {
	r := request()
	change(r)
	return r
}

func base64URL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func hashURL(b []byte) string {
	sum := sha256.Sum256(b)
	return base64URL(sum[:])
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

type named struct{ name, condition string }

// ordinary are the conditions of an ordinary token.
var ordinary = []named{
	{"expiry", "time-before 2030-01-02T03:05:05.123456789Z"},
	{"operations", "allow orders.list orders.read"},
	{"audience", "audience orders"},
	{"method", "http-method GET"},
	{"path", "http-path /orders/*"},
}

// met are conditions that request() satisfies: every standard kind that can be satisfied.
var met = append([]named{
	{"not before", "time-after 2030-01-02T03:04:05.000000006Z"},
	{"another operation is denied", "deny orders.write billing.*"},
	{"host", "http-host billing.example orders.example"},
	{"gRPC method", "grpc-method /shop.v1.Carts/Get /shop.v1.Orders/*"},
	{"resource", "resource carts/** orders/**"},
	{"client in prefix", "client-ip 2001:db8::/32 192.0.2.0/24"},
	{"client", "http:client-ip-addr 192.0.2.7"},
	{"origin", "http:origin https://shop.example"},
	{"certificate", "cert-sha256 " + hashURL(certificate.Raw)},
	{"key", "spki-sha256 " + hashURL(certificate.RawSubjectPublicKeyInfo)},
	{"content", "content-digest " + digest(body)},
	{"branch", "branch AAECAwQFBgcICQoLDA0ODw"},
}, ordinary...)

// text is the condition of a caveat that has one.
func text(t *testing.T, c caveat.Caveat) string {
	t.Helper()
	condition, err := c.Condition()
	require.NoError(t, err)
	require.Equal(t, condition, c.String())
	return condition
}

// requireBoth decides a condition both ways, directly and compiled, and requires one answer: nil, or an error
// that is want.
func requireBoth(t *testing.T, registry caveat.Registry, req *caveat.Request, condition string, want error) {
	t.Helper()
	err := registry.Check(t.Context(), req, condition)
	require.ErrorIs(t, err, want, "condition %q", condition)
	predicate, errCompile := registry.Compile(condition)
	if errCompile != nil {
		require.ErrorIs(t, errCompile, want, "compiling %q", condition)
		require.EqualError(t, errCompile, err.Error())
		require.Error(t, predicate.Check(t.Context(), req), "the result beside an error must deny")
		return
	}
	errPredicate := predicate.Check(t.Context(), req)
	require.ErrorIs(t, errPredicate, want, "compiled %q", condition)
	if err != nil {
		require.EqualError(t, errPredicate, err.Error())
	}
}
