package caveat_test

import (
	"crypto/sha256"
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
)

func TestMetConditionsAreMet(t *testing.T) {
	kinds := map[string]bool{"error": true}
	for _, c := range met {
		t.Run(c.name, func(t *testing.T) { requireBoth(t, caveat.Standard(), request(), c.condition, nil) })
		name, _, _ := strings.Cut(c.condition, " ")
		kinds[name] = true
	}
	for _, name := range caveat.Standard().Names() {
		require.True(t, kinds[name], "%s is not tested", name)
	}
}

// A hash that differs in one bit, wherever that is, is another one.
func TestHashesAreComparedWhole(t *testing.T) {
	for i := range sha256.Size {
		for name, data := range map[string][]byte{"cert-sha256 ": certificate.Raw, "spki-sha256 ": certificate.RawSubjectPublicKeyInfo} {
			sum := sha256.Sum256(data)
			sum[i] ^= 1
			requireBoth(t, caveat.Standard(), request(), name+base64URL(sum[:]), caveat.ErrNotMet)
		}
		sum := sha256.Sum256(body)
		sum[i] ^= 1
		condition, err := caveat.ContentDigest(sum).Condition()
		require.NoError(t, err)
		requireBoth(t, caveat.Standard(), request(), condition, caveat.ErrNotMet)
	}
}

// Unset means deny: with an empty request nothing holds but a branch, which asks for nothing.
func TestEmptyRequestDenies(t *testing.T) {
	for _, c := range met {
		t.Run(c.name, func(t *testing.T) {
			if strings.HasPrefix(c.condition, "branch ") {
				requireBoth(t, caveat.Standard(), &caveat.Request{}, c.condition, nil)
				return
			}
			requireBoth(t, caveat.Standard(), &caveat.Request{}, c.condition, caveat.ErrAbsent)
		})
	}
}

// Every fact alone is needed: without it the condition about it fails, whatever else is stated.
func TestEveryFactIsNeeded(t *testing.T) {
	for _, row := range []struct {
		name, kind string
		change     func(*caveat.Request)
	}{
		{"time", "time-before", func(r *caveat.Request) { r.Now = time.Time{} }},
		{"time", "time-after", func(r *caveat.Request) { r.Now = time.Time{} }},
		{"operation", "allow", func(r *caveat.Request) { r.Operation = "" }},
		{"operation", "deny", func(r *caveat.Request) { r.Operation = "" }},
		{"audience", "audience", func(r *caveat.Request) { r.Audience = "" }},
		{"method", "http-method", func(r *caveat.Request) { r.Method = "" }},
		{"host", "http-host", func(r *caveat.Request) { r.Host = "" }},
		{"path", "http-path", func(r *caveat.Request) { r.Path = "" }},
		{"gRPC method", "grpc-method", func(r *caveat.Request) { r.GRPCMethod = "" }},
		{"resource", "resource", func(r *caveat.Request) { r.Resource = "" }},
		{"client", "client-ip", func(r *caveat.Request) { r.ClientIP = netip.Addr{} }},
		{"client", "http:client-ip-addr", func(r *caveat.Request) { r.ClientIP = netip.Addr{} }},
		{"origin", "http:origin", func(r *caveat.Request) { r.Origin = "" }},
		{"certificate", "cert-sha256", func(r *caveat.Request) { r.PeerCertificate = nil }},
		{"certificate that was not parsed", "cert-sha256", func(r *caveat.Request) { r.PeerCertificate = &x509.Certificate{} }},
		{"key", "spki-sha256", func(r *caveat.Request) { r.PeerCertificate = nil }},
		{"key that was not parsed", "spki-sha256", func(r *caveat.Request) { r.PeerCertificate = &x509.Certificate{Raw: []byte("x")} }},
		{"digest", "content-digest", func(r *caveat.Request) { r.ContentDigest = nil }},
	} {
		t.Run(row.kind+": "+row.name, func(t *testing.T) {
			found := false
			for _, c := range met {
				if strings.HasPrefix(c.condition, row.kind+" ") {
					found = true
					requireBoth(t, caveat.Standard(), with(row.change), c.condition, caveat.ErrAbsent)
				}
			}
			require.True(t, found)
		})
	}
}

// Each of several conditions of one kind is checked on its own: they intersect, and none wins over another.
func TestRepeatedCaveatsIntersect(t *testing.T) {
	all := func(conditions ...string) bool {
		for _, c := range conditions {
			if caveat.Standard().Check(t.Context(), request(), c) != nil {
				return false
			}
		}
		return true
	}
	soon, later := "time-before 2030-01-02T03:04:05Z", "time-before 2031-01-01T00:00:00Z"
	require.True(t, all(later, later))
	require.False(t, all(soon, later))
	require.False(t, all(later, soon))
	require.False(t, all("audience orders", "audience billing"))
	require.False(t, all("allow orders.read", "allow orders.write"))
}

// Whoever wrote something else is told what is wanted.
func TestErrorsSayWhatIsWanted(t *testing.T) {
	for want, c := range map[string]caveat.Caveat{
		`"orders.read, orders.list" is not one word: give each as an element of its own`: caveat.Operations("orders.read, orders.list"),
		`"orders/*" is not a pattern: want a leading slash`:                              caveat.Path("orders/*"),
		`"/orders/a*" is not a pattern: want a leading slash`:                            caveat.Path("/orders/a*"),
		`"/orders/{id}" is a mux's pattern: want * for a segment in braces`:              caveat.Path("/orders/{id}"),
		`"a/b*" is not a pattern: want segments parted by slashes`:                       caveat.Resources("a/b*"),
		`"shop.Orders/Get" is not a full gRPC method: /package.Service/Method`:           caveat.GRPCMethods("shop.Orders/Get"),
	} {
		_, err := c.Condition()
		require.ErrorContains(t, err, want)
	}
	literal, err := caveat.Path("/orders/%7Bid%7D").Condition()
	require.NoError(t, err)
	require.Equal(t, "http-path /orders/%7Bid%7D", literal)
}

// A word that is malformed fails a list at every place, also beside a word that the request satisfies, and also if the
// request states nothing.
func TestMalformedWordFailsTheList(t *testing.T) {
	lists := 0
	for _, c := range met {
		name, argument, err := caveat.ParseCondition(c.condition)
		require.NoError(t, err)
		if caveat.Standard().Check(t.Context(), request(), c.condition+" "+argument) != nil {
			continue // not a list
		}
		lists++
		for _, bad := range []string{argument + " \u00a0", "\u00a0 " + argument, argument + " \u00a0 " + argument, argument + " ", " " + argument} {
			requireBoth(t, caveat.Standard(), request(), name+" "+bad, caveat.ErrMalformed)
			requireBoth(t, caveat.Standard(), &caveat.Request{}, name+" "+bad, caveat.ErrMalformed)
		}
	}
	require.Equal(t, 9, lists, "a kind with a list is missing from met")
}

func TestStandardKinds(t *testing.T) {
	operation := func(op string) func(*caveat.Request) { return func(r *caveat.Request) { r.Operation = op } }
	path := func(p string) func(*caveat.Request) { return func(r *caveat.Request) { r.Path = p } }
	resource := func(p string) func(*caveat.Request) { return func(r *caveat.Request) { r.Resource = p } }
	method := func(m string) func(*caveat.Request) { return func(r *caveat.Request) { r.Method = m } }
	host := func(h string) func(*caveat.Request) { return func(r *caveat.Request) { r.Host = h } }
	grpc := func(m string) func(*caveat.Request) { return func(r *caveat.Request) { r.GRPCMethod = m } }
	client := func(a string) func(*caveat.Request) {
		return func(r *caveat.Request) { r.ClientIP = netip.MustParseAddr(a) }
	}
	origin := func(o string) func(*caveat.Request) { return func(r *caveat.Request) { r.Origin = o } }
	audience := func(a string) func(*caveat.Request) { return func(r *caveat.Request) { r.Audience = a } }
	peer := func(r *caveat.Request) { r.PeerCertificate = stranger }
	same := func(*caveat.Request) {}

	for _, row := range []struct {
		name, condition string
		change          func(*caveat.Request)
		want            error
	}{
		{"allow: itself", "allow orders.read", same, nil},
		{"allow: second word", "allow x orders.read", same, nil},
		{"allow: deeper", "allow orders.*", same, nil},
		{"allow: all", "allow *", same, nil},
		{"allow: all beside others", "allow x *", operation("anything.at-all_1"), nil},
		{"allow: a pattern is not its own root", "allow orders.*", operation("orders"), caveat.ErrNotMet},
		{"allow: a root is not what is deeper", "allow orders", same, caveat.ErrNotMet},
		{"allow: beginnings do not count", "allow orders.rea", same, caveat.ErrNotMet},
		{"allow: beginnings of parts do not count", "allow order.*", same, caveat.ErrNotMet},
		{"allow: every operation", "allow *", operation(caveat.AnyOperation), nil},
		{"allow: every operation needs the asterisk", "allow orders.* orders", operation(caveat.AnyOperation), caveat.ErrNotMet},
		{"allow: malformed word after one that fits", "allow orders.read Orders", same, caveat.ErrMalformed},
		{"allow: malformed word before one that fits", "allow .x orders.read", same, caveat.ErrMalformed},
		{"allow: asterisk inside", "allow orders.re*", same, caveat.ErrMalformed},
		{"allow: asterisk first", "allow *.read", same, caveat.ErrMalformed},
		{"allow: two asterisks", "allow **", same, caveat.ErrMalformed},
		{"allow: dot and asterisk", "allow .*", same, caveat.ErrMalformed},
		{"allow: two spaces", "allow  orders.read", same, caveat.ErrMalformed},
		{"allow: two spaces inside", "allow orders.read  x", same, caveat.ErrMalformed},
		{"allow: space at the end", "allow orders.read ", same, caveat.ErrMalformed},
		{"allow: comma", "allow orders.read,orders.list", same, caveat.ErrMalformed},
		{"allow: operation in upper case", "allow *", operation("Orders.read"), caveat.ErrAbsent},
		{"allow: operation as a pattern", "allow orders.*", operation("orders.*"), caveat.ErrAbsent},
		{"allow: operation with a final dot", "allow orders.*", operation("orders."), caveat.ErrAbsent},

		{"deny: itself", "deny orders.read", same, caveat.ErrNotMet},
		{"deny: deeper", "deny orders.*", same, caveat.ErrNotMet},
		{"deny: all", "deny *", same, caveat.ErrNotMet},
		{"deny: second word", "deny x orders.read", same, caveat.ErrNotMet},
		{"deny: something else", "deny orders.write", same, nil},
		{"deny: the root alone", "deny orders.*", operation("orders"), nil},
		{"deny: malformed", "deny Orders", same, caveat.ErrMalformed},
		{"deny: malformed beside one that does not fit", "deny orders.write orders.", same, caveat.ErrMalformed},
		{"deny: every operation", "deny orders.write", operation(caveat.AnyOperation), caveat.ErrNotMet},
		{"deny: operation that cannot be compared", "deny orders.write", operation("ORDERS.WRITE"), caveat.ErrAbsent},

		{"audience: one of several", "audience billing orders", same, nil},
		{"audience: none", "audience billing", same, caveat.ErrNotMet},
		{"audience: other case", "audience Orders", same, caveat.ErrNotMet},
		{"audience: beginning", "audience order orders2", same, caveat.ErrNotMet},
		{"audience: asterisk means nothing", "audience *", same, caveat.ErrNotMet},
		{"audience: not a word", "audience orders billing", audience("orders billing"), caveat.ErrAbsent},
		{"audience: space of another sort", "audience orders\u2003x", same, caveat.ErrMalformed},

		{"method: one of several", "http-method POST GET", same, nil},
		{"method: HEAD is not GET", "http-method GET", method("HEAD"), caveat.ErrNotMet},
		{"method: lower case", "http-method GET", method("get"), caveat.ErrNotMet},
		{"method: any token", "http-method M-SEARCH", method("M-SEARCH"), nil},
		{"method: CONNECT", "http-method GET", method("CONNECT"), caveat.ErrNotMet},
		{"method: fact is no token", "http-method GET POST", method("GET POST"), caveat.ErrAbsent},
		{"method: comma", "http-method GET,POST", same, caveat.ErrMalformed},

		{"host: other", "http-host billing.example", same, caveat.ErrNotMet},
		{"host: below", "http-host example", same, caveat.ErrNotMet},
		{"host: IPv6", "http-host 2001:db8::1", host("2001:db8::1"), nil},
		{"host: fact with a port", "http-host orders.example", host("orders.example:443"), caveat.ErrAbsent},
		{"host: fact in upper case", "http-host orders.example", host("Orders.example"), caveat.ErrAbsent},
		{"host: fact in brackets", "http-host ::1", host("[::1]"), caveat.ErrAbsent},
		{"host: fact with a final dot", "http-host orders.example", host("orders.example."), caveat.ErrAbsent},
		{"host: upper case", "http-host Orders.example", same, caveat.ErrMalformed},
		{"host: port", "http-host orders.example:443", same, caveat.ErrMalformed},
		{"host: address mapped to IPv6", "http-host ::ffff:1.2.3.4", same, caveat.ErrMalformed},

		{"path: asterisk", "http-path /orders/*", same, nil},
		{"path: another depth", "http-path /orders/*", path("/orders/7/lines"), caveat.ErrNotMet},
		{"path: whole segments", "http-path /img /img/**", path("/images"), caveat.ErrNotMet},
		{"path: case", "http-path /Orders/7", same, caveat.ErrNotMet},
		{"path: spelled otherwise", "http-path /orders/7", path("/order%73/%37"), nil},
		{"path: lower-case escape", "http-path /a%2Ab", path("/a%2ab"), nil},
		{"path: a literal asterisk", "http-path /a%2Ab", path("/a*b"), nil},
		{"path: a literal asterisk is no pattern", "http-path /%2A", path("/x"), caveat.ErrNotMet},
		{"path: trailing slash", "http-path /orders/7", path("/orders/7/"), caveat.ErrNotMet},
		{"path: trailing slash wanted", "http-path /orders/7/", same, caveat.ErrNotMet},
		{"path: dot segments", "http-path /**", path("/orders/../admin"), caveat.ErrAbsent},
		{"path: encoded dot segments", "http-path /**", path("/orders/%2e%2E/admin"), caveat.ErrAbsent},
		{"path: encoded slash", "http-path /**", path("/orders%2f7"), caveat.ErrAbsent},
		{"path: encoded backslash", "http-path /**", path("/orders%5C7"), caveat.ErrAbsent},
		{"path: raw backslash", "http-path /**", path(`/orders\7`), caveat.ErrAbsent},
		{"path: empty segment", "http-path /**", path("//admin"), caveat.ErrAbsent},
		{"path: relative", "http-path /**", path("orders"), caveat.ErrAbsent},
		{"path: of OPTIONS *", "http-path /** /*", path("*"), caveat.ErrAbsent},
		{"path: query", "http-path /**", path("/orders?x=1"), caveat.ErrAbsent},
		{"path: relative pattern", "http-path orders/*", same, caveat.ErrMalformed},
		{"path: asterisk inside", "http-path /orders/7*", same, caveat.ErrMalformed},
		{"path: two asterisks inside", "http-path /**/7", same, caveat.ErrMalformed},
		{"path: pattern not canonical", "http-path /order%73/7", same, caveat.ErrMalformed},
		{"path: pattern with a lower-case escape", "http-path /a%2ab", same, caveat.ErrMalformed},
		{"path: pattern with an encoded slash", "http-path /a%2Fb", same, caveat.ErrMalformed},
		{"path: malformed word after one that fits", "http-path /orders/* //", same, caveat.ErrMalformed},

		{"resource: slash first is significant", "resource /orders/7", same, caveat.ErrNotMet},
		{"resource: slash first", "resource /orders/*", resource("/orders/7"), nil},
		{"resource: escaped slash stays in its segment", "resource docs/*", resource("docs/a%2Fb"), nil},
		{"resource: fact not canonical", "resource orders/**", resource("orders/%37"), caveat.ErrAbsent},
		{"resource: fact with raw space", "resource orders/**", resource("orders/a b"), caveat.ErrAbsent},
		{"resource: fact as a pattern", "resource orders/**", resource("orders/**"), caveat.ErrAbsent},
		{"resource: dot segments", "resource orders/**", resource("orders/../x"), caveat.ErrAbsent},

		{"gRPC: exact", "grpc-method /shop.v1.Orders/Get", same, nil},
		{"gRPC: other method", "grpc-method /shop.v1.Orders/List", same, caveat.ErrNotMet},
		{"gRPC: other service", "grpc-method /shop.v1.Order/*", same, caveat.ErrNotMet},
		{"gRPC: deeper", "grpc-method /shop.v1.Orders/*", grpc("/shop.v1.Orders/Get/x"), caveat.ErrAbsent},
		{"gRPC: with something in front", "grpc-method /shop.v1.Orders/*", grpc("/evil/shop.v1.Orders/Get"), caveat.ErrAbsent},
		{"gRPC: fact as a pattern", "grpc-method /shop.v1.Orders/*", grpc("/shop.v1.Orders/*"), caveat.ErrAbsent},
		{"gRPC: any service", "grpc-method /*/Get", same, caveat.ErrMalformed},
		{"gRPC: two asterisks", "grpc-method /**", same, caveat.ErrMalformed},
		{"gRPC: dots", "grpc-method /shop..Orders/Get", same, caveat.ErrMalformed},

		{"client-ip: outside", "client-ip 198.51.100.0/24", same, caveat.ErrNotMet},
		{"client-ip: one address", "client-ip 192.0.2.7/32", same, nil},
		{"client-ip: client mapped to IPv6", "client-ip 192.0.2.0/24", client("::ffff:192.0.2.7"), nil},
		{"client-ip: prefix mapped to IPv6", "client-ip ::ffff:192.0.2.0/120", same, nil},
		{"client-ip: all of IPv6 is not IPv4", "client-ip ::/0", client("::ffff:192.0.2.7"), caveat.ErrNotMet},
		{"client-ip: IPv6", "client-ip 2001:db8::/32", client("2001:db8::7"), nil},
		{"client-ip: client with a zone", "client-ip fe80::/10", client("fe80::1%eth0"), caveat.ErrAbsent},
		{"client-ip: prefix with a zone", "client-ip fe80::%eth0/10", client("fe80::1%eth0"), caveat.ErrMalformed},
		{"client-ip: address without a length", "client-ip 192.0.2.7", same, caveat.ErrMalformed},
		{"client-ip: bits outside the mask", "client-ip 192.0.2.7/24", same, caveat.ErrMalformed},
		{"client-ip: not canonical", "client-ip 2001:DB8::/32", client("2001:db8::7"), caveat.ErrMalformed},
		{"client-ip: not canonical either", "client-ip 2001:0db8::/32", client("2001:db8::7"), caveat.ErrMalformed},
		{"client-ip: leading zero", "client-ip 192.0.2.0/024", same, caveat.ErrMalformed},
		{"client-ip: garbage", "client-ip garbage", same, caveat.ErrMalformed},
		{"client-ip: garbage on both sides", "client-ip garbage", func(r *caveat.Request) { r.ClientIP = netip.Addr{} }, caveat.ErrMalformed},

		{"client-ip-addr: other", "http:client-ip-addr 192.0.2.8", same, caveat.ErrNotMet},
		{"client-ip-addr: mapped", "http:client-ip-addr ::ffff:192.0.2.7", same, nil},
		{"client-ip-addr: client mapped", "http:client-ip-addr 192.0.2.7", client("::ffff:192.0.2.7"), nil},
		{"client-ip-addr: client with a zone", "http:client-ip-addr fe80::1", client("fe80::1%eth0"), caveat.ErrAbsent},
		{"client-ip-addr: zone", "http:client-ip-addr fe80::1%eth0", client("fe80::1%eth0"), caveat.ErrMalformed},
		{"client-ip-addr: garbage on both sides", "http:client-ip-addr garbage", func(r *caveat.Request) { r.ClientIP = netip.Addr{} }, caveat.ErrMalformed},
		{"client-ip-addr: prefix", "http:client-ip-addr 192.0.2.0/24", same, caveat.ErrMalformed},
		{"client-ip-addr: two", "http:client-ip-addr 192.0.2.7 192.0.2.8", same, caveat.ErrMalformed},

		{"origin: other", "http:origin https://evil.example", same, caveat.ErrNotMet},
		{"origin: null of both", "http:origin null", origin("null"), caveat.ErrMalformed},
		{"origin: null", "http:origin https://shop.example", origin("null"), caveat.ErrAbsent},
		{"origin: two", "http:origin https://shop.example https://evil.example", same, caveat.ErrMalformed},

		{"certificate: other", "cert-sha256 " + hashURL(certificate.Raw), peer, caveat.ErrNotMet},
		{"certificate: the key's hash", "cert-sha256 " + hashURL(certificate.RawSubjectPublicKeyInfo), same, caveat.ErrNotMet},
		{"certificate: padded", "cert-sha256 " + hashURL(certificate.Raw) + "=", same, caveat.ErrMalformed},
		{"certificate: short", "cert-sha256 " + hashURL(certificate.Raw)[:42], same, caveat.ErrMalformed},
		{"certificate: the other alphabet", "cert-sha256 " + strings.NewReplacer("-", "+", "_", "/").Replace(hashURL(certificate.Raw)), same, caveat.ErrMalformed},
		{"certificate: unused bits", "cert-sha256 " + strings.Repeat("A", 42) + "B", same, caveat.ErrMalformed},
		{"certificate: two", "cert-sha256 " + hashURL(certificate.Raw) + " " + hashURL(certificate.Raw), same, caveat.ErrMalformed},
		{"key: other", "spki-sha256 " + hashURL(certificate.RawSubjectPublicKeyInfo), peer, caveat.ErrNotMet},

		{"content: other", "content-digest " + digest([]byte("x")), same, caveat.ErrNotMet},
		{"content: parameter", "content-digest " + digest(body) + ";x", same, caveat.ErrMalformed},
		{"content: two", "content-digest " + digest(body) + ", " + digest(body), same, caveat.ErrMalformed},
		{"content: upper case", "content-digest " + strings.Replace(digest(body), "sha", "SHA", 1), same, caveat.ErrMalformed},
		{"content: unpadded", "content-digest " + strings.Replace(digest(body), "=:", ":", 2), same, caveat.ErrMalformed},
		{"content: unused bits", "content-digest sha-256=:" + strings.Repeat("A", 42) + "B=:", same, caveat.ErrMalformed},
		{"content: another algorithm", "content-digest sha-512=:AAAA:", same, caveat.ErrMalformed},
		{"content: nothing inside", "content-digest sha-256=::", same, caveat.ErrMalformed},
		{"content: no algorithm", "content-digest " + strings.TrimPrefix(digest(body), "sha-256="), same, caveat.ErrMalformed},
		{"content: nothing before", "content-digest " + strings.TrimPrefix(digest(body), "sha-256=:"), same, caveat.ErrMalformed},
		{"content: no colon before", "content-digest " + strings.Replace(digest(body), ":", "", 1), same, caveat.ErrMalformed},
		{"content: no colon after", "content-digest " + strings.TrimSuffix(digest(body), ":"), same, caveat.ErrMalformed},
		{"content: one colon", "content-digest sha-256=:", same, caveat.ErrMalformed},

		{"branch: short", "branch AAECAwQFBgcICQoLDA0OD", same, caveat.ErrMalformed},
		{"branch: long", "branch AAECAwQFBgcICQoLDA0ODwAA", same, caveat.ErrMalformed},
		{"branch: unused bits", "branch AAECAwQFBgcICQoLDA0ODx", same, caveat.ErrMalformed},
		{"branch: padded", "branch AAECAwQFBgcICQoLDA0ODw==", same, caveat.ErrMalformed},

		{"error: always", "error whatever", same, caveat.ErrNotMet},
	} {
		t.Run(row.name, func(t *testing.T) {
			requireBoth(t, caveat.Standard(), with(row.change), row.condition, row.want)
		})
	}
}

func TestTimeAtTheBoundary(t *testing.T) {
	const second = time.Second
	at := now.Format(time.RFC3339Nano)
	for _, row := range []struct {
		name          string
		now           time.Duration // relative to the time in the condition
		leeway        time.Duration
		before, after error
	}{
		{"just before", -1, 0, nil, caveat.ErrNotMet},
		{"at it", 0, 0, caveat.ErrNotMet, nil},
		{"just after", 1, 0, caveat.ErrNotMet, nil},
		{"just before the end of the leeway", second - 1, second, nil, nil},
		{"at the end of the leeway", second, second, caveat.ErrNotMet, nil},
		{"at the start of the leeway", -second, second, nil, nil},
		{"just before the start of the leeway", -second - 1, second, nil, caveat.ErrNotMet},
		{"a negative leeway only restricts", 0, -second, caveat.ErrNotMet, caveat.ErrNotMet},
	} {
		t.Run(row.name, func(t *testing.T) {
			req := &caveat.Request{Now: now.Add(row.now), Leeway: row.leeway}
			requireBoth(t, caveat.Standard(), req, "time-before "+at, row.before)
			requireBoth(t, caveat.Standard(), req, "time-after "+at, row.after)
			req.Now = req.Now.In(time.FixedZone("", -9*3600))
			requireBoth(t, caveat.Standard(), req, "time-before "+at, row.before)
			requireBoth(t, caveat.Standard(), req, "time-after "+at, row.after)
		})
	}
}

// Instants at the ends of the calendar are compared as instants; nothing wraps round.
func TestTimeAtTheEnds(t *testing.T) {
	const first, last = "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"
	for _, leeway := range []time.Duration{0, time.Hour, 1<<63 - 1} {
		req := &caveat.Request{Now: now, Leeway: leeway}
		requireBoth(t, caveat.Standard(), req, "time-before "+last, nil)
		requireBoth(t, caveat.Standard(), req, "time-after "+first, nil)
		requireBoth(t, caveat.Standard(), req, "time-before "+first, caveat.ErrNotMet)
		requireBoth(t, caveat.Standard(), req, "time-after "+last, caveat.ErrNotMet)
	}
	far := &caveat.Request{Now: time.Unix(1<<40, 0)}
	requireBoth(t, caveat.Standard(), far, "time-before "+last, caveat.ErrNotMet)
	requireBoth(t, caveat.Standard(), far, "time-after "+last, nil)
}

// Kinds that read their argument while they decide see what no other kind's codec ever sees.
func TestControlCharactersNeverHold(t *testing.T) {
	for _, c := range met {
		name, argument, _ := strings.Cut(c.condition, " ")
		for _, hidden := range []string{"\n", "\x00", " \x1f", "\x7f", "\u0085", "\xff"} {
			for _, condition := range []string{c.condition + hidden, name + " " + hidden + argument} {
				require.ErrorIs(t, caveat.Standard().Check(t.Context(), request(), condition), caveat.ErrMalformed, "%q", condition)
			}
		}
	}
}
