package httpauth_test

import (
	"bufio"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

// areas are the patterns of a mux, and patterns of paths that cover what each of
// them is meant to serve.
var areas = map[string]string{
	"/{$}":         "/",
	"/orders/{id}": "/orders/*",
	"/admin/":      "/admin/**",
	"/x/":          "/x/**",
	"/a":           "/a",
	"/a;b":         "/a;b",
}

// router is a mux whose handlers answer with their pattern. "/" catches the rest.
func router(wrap func(http.Handler) http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	for pattern := range areas {
		mux.Handle(pattern, wrap(served(pattern)))
	}
	mux.Handle("/", wrap(served("/")))
	return mux
}

func served(pattern string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, pattern) })
}

// hostile are request lines that a router and a checker may read differently.
var hostile = []string{
	"GET /", "GET /x/1", "GET /admin/a", "GET /orders/7", "HEAD /orders/7", "get /orders/7",
	"GET /x/../admin/a", "GET /x/./a", "GET /x/%2e%2e/admin/a", "GET /x/%2E%2E/admin/a", "GET /x/.%2e/admin/a",
	"GET /admin/%2e%2e/x", "GET /admin/../x/1", "GET /admin%2fa", "GET /admin%2Fa", "GET /x/..%2fadmin/a", "GET /x%2f..%2fadmin/a",
	"GET //admin/a", "GET /x//admin/a", "GET /x//1", "GET ///", "GET /admin//a",
	"GET /orders/a%2Fb", "GET /orders/a%2F..%2Fadmin", "GET /orders/..", "GET /orders/%2e%2e", "GET /orders/%2e",
	"GET /orders/a\\b", "GET /orders/..\\..\\admin", "GET /orders/a%5cb", "GET /Admin/a", "GET /%61dmin/a", "GET /%78/1",
	"GET /a;b", "GET /a%3bb", "GET /a%3Bb", "GET /a;/../admin/a", "GET /orders/7;v=1", "GET /orders/7/", "GET /orders/",
	"GET /a?/../admin/a", "GET /admin/a?x=/x/1", "GET /x/1#/admin/a", "GET /x/%23", "GET /x/%3f", "GET /x/%00", "GET /x/%ff", "GET /x/%zz",
	"CONNECT /x/../admin/a", "CONNECT /admin/a", "CONNECT orders.internal:443", "CONNECT //admin/a",
	"GET http://orders.internal/x/1", "GET http://orders.internal/x/%2e%2e/admin/a", "GET http://orders.internal//admin/a",
	"GET http://orders.internal/x/1#/admin/a", "GET http://orders.internal/x/%zz", "GET http://orders.internal/x/\\admin",
	"GET http://orders.internal", "GET http://orders.internal?/x/1", "OPTIONS /admin/a", "GET *", "GET x/1", "GET /x/é", "GET /x/\"",
}

// TestPathsOnTheWire: whatever the request line, a token for one area is served by
// the handler of that area, or not at all; and a whole mux under Handler serves
// nothing that could be read in two ways, whatever the token.
func TestPathsOnTheWire(t *testing.T) {
	s := newService(t, httpauth.Options{Operation: func(*http.Request) string { return operation }})
	required := httptest.NewServer(router(func(h http.Handler) http.Handler { return s.auth.Require(operation, h) }))
	defer required.Close()
	whole := httptest.NewServer(s.auth.Handler(router(func(h http.Handler) http.Handler { return h })))
	defer whole.Close()

	send := func(server *httptest.Server, line, authorization string) answer {
		return raw(t, server, line+" HTTP/1.1\r\nHost: orders.internal\r\nConnection: close\r\nAuthorization: "+authorization+"\r\n\r\n")
	}
	ambiguous := func(line string) bool {
		_, target, _ := strings.Cut(line, " ")
		target = strings.TrimPrefix(target, "http://orders.internal")
		target, _, _ = strings.Cut(target, "?")
		_, ok := caveat.CanonicalPath(target)
		return !ok
	}

	unlimited := s.bearer()
	for _, line := range hostile {
		t.Run(line, func(t *testing.T) {
			handled := send(required, line, unlimited)
			for pattern, area := range areas {
				for name, server := range map[string]*httptest.Server{"Require": required, "Handler": whole} {
					a := send(server, line, s.bearer(caveat.Path(area)))
					if a.StatusCode != http.StatusOK {
						require.NotContains(t, areas, a.body)
						continue
					}
					require.False(t, ambiguous(line), "%s: %s", name, area)
					if !strings.HasPrefix(line, "HEAD") {
						require.Equal(t, pattern, a.body, name)
					}
				}
			}
			a := send(whole, line, unlimited)
			if ambiguous(line) {
				require.NotEqual(t, http.StatusOK, a.StatusCode)
				if handled.StatusCode == http.StatusOK {
					require.Equal(t, rowDenied, rowOf(a))
				}
			} else {
				require.Equal(t, handled.StatusCode, a.StatusCode)
				require.Equal(t, handled.body, a.body)
			}
		})
	}
}

// TestPathsAllowed: the table above is not passed by refusing everything.
func TestPathsAllowed(t *testing.T) {
	s := newService(t, httpauth.Options{})
	server := httptest.NewServer(router(func(h http.Handler) http.Handler { return s.auth.Require(operation, h) }))
	defer server.Close()
	for _, row := range []struct{ line, area, handled string }{
		{"GET /x/1", "/x/**", "/x/"},
		{"GET /%78/1", "/x/**", "/x/"},
		{"GET /", "/", "/{$}"},
		{"GET /orders/7", "/orders/*", "/orders/{id}"},
		{"GET /orders/a%20b", "/orders/*", "/orders/{id}"},
		{"GET /orders/a%20b", "/orders/a%20b", "/orders/{id}"},
		{"GET /a;b", "/a;b", "/a;b"},
		{"GET /a%3bb", "/a;b", "/a;b"},
		{"GET http://orders.internal/x/1?y", "/x/**", "/x/"},
		{"CONNECT /admin/a", "/admin/**", "/admin/"},
	} {
		t.Run(row.line+" by "+row.area, func(t *testing.T) {
			a := raw(t, server, row.line+" HTTP/1.1\r\nHost: orders.internal\r\nConnection: close\r\nAuthorization: "+s.bearer(caveat.Path(row.area))+"\r\n\r\n")
			require.Equal(t, allowed, rowOf(a))
			require.Equal(t, row.handled, a.body)
		})
	}
}

// FuzzPath does the same with request targets that nobody thought of.
func FuzzPath(f *testing.F) {
	s := newService(f, httpauth.Options{Operation: func(*http.Request) string { return operation }})
	required := router(func(h http.Handler) http.Handler { return s.auth.Require(operation, h) })
	whole := s.auth.Handler(router(func(h http.Handler) http.Handler { return h }))
	tokens := make(map[string]string, len(areas))
	for pattern, area := range areas {
		tokens[pattern] = s.bearer(caveat.Path(area))
	}
	for _, line := range hostile {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for pattern, authorization := range tokens {
			for _, h := range []http.Handler{required, whole} {
				r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line + " HTTP/1.1\r\nHost: orders.internal\r\n\r\n")))
				if err != nil {
					return
				}
				r.Header.Set("Authorization", authorization)
				recorder := httptest.NewRecorder()
				h.ServeHTTP(recorder, r)
				if recorder.Code == http.StatusOK {
					require.Equal(t, pattern, recorder.Body.String())
				}
			}
		}
	})
}

// TestMethods: a method is a fact to the letter, whatever the mux makes of it.
func TestMethods(t *testing.T) {
	s := newService(t, httpauth.Options{})
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", s.auth.Require(operation, served("GET /orders/{id}")))
	mux.Handle("/", s.auth.Require(operation, served("/")))
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, row := range []struct{ line, method, want, handled string }{
		{"GET /orders/7", "GET", allowed, "GET /orders/{id}"},
		{"HEAD /orders/7", "GET", rowDenied, ""},
		{"HEAD /orders/7", "HEAD", allowed, ""},
		{"get /orders/7", "GET", rowDenied, ""},
		{"OPTIONS /orders/7", "GET", rowDenied, ""},
		{"M-SEARCH /orders/7", "M-SEARCH", allowed, "/"},
		{"CONNECT /orders/7", "GET", rowDenied, ""},
	} {
		t.Run(row.line+" by "+row.method, func(t *testing.T) {
			a := raw(t, server, row.line+" HTTP/1.1\r\nHost: orders.internal\r\nConnection: close\r\nX-HTTP-Method-Override: GET\r\nAuthorization: "+s.bearer(caveat.Methods(row.method))+"\r\n\r\n")
			require.Equal(t, row.want, rowOf(a))
			if a.StatusCode == http.StatusOK {
				require.Equal(t, row.handled, a.body)
			}
		})
	}
}

// TestDenyByDefault: under Handler no pattern answers without a token but those that
// are public, and none with a token but those that have an operation.
func TestDenyByDefault(t *testing.T) {
	operations := map[string]string{
		"/orders/{id}": operation,
		"/a":           verifier.AnyOperation, // not from a table
		"/a;b":         "Not An Operation",
	}
	mux := router(func(h http.Handler) http.Handler { return h })
	mux.Handle("GET /healthz", served("healthz"))
	mux.Handle("/public/", served("public"))
	operationOf := func(r *http.Request) string {
		_, pattern := mux.Handler(r)
		return operations[pattern]
	}
	s := newService(t, httpauth.Options{Operation: operationOf, Public: []string{"GET /healthz", "/public/", "/x/1"}})
	unset := newService(t, httpauth.Options{Public: []string{"GET /healthz", "/public/", "/x/1"}})
	everything, err := s.keys.Mint(t.Context(), macaroon.Grant{}, caveat.ExpiresIn(1<<40), caveat.Audience(audience), caveat.Operations("*"))
	require.NoError(t, err)

	for _, row := range []struct {
		line          string
		without, with string
	}{
		{"GET /", rowNothing, rowDenied},
		{"GET /orders/7", rowNothing, allowed},
		{"POST /orders/7", rowNothing, allowed},
		{"POST /orders/7/", rowNothing, rowDenied},
		{"GET /admin/", rowNothing, rowDenied},
		{"GET /a", rowNothing, rowDenied},
		{"GET /a;b", rowNothing, rowDenied},
		{"GET /x/", rowNothing, rowDenied},
		{"GET /x/1", allowed, allowed},
		{"POST /x/1", allowed, allowed},
		{"GET /x/1/", rowNothing, rowDenied},
		{"GET /x/%31", rowNothing, rowDenied},
		{"GET /x/./1", rowNothing, rowDenied},
		{"GET //x/1", rowNothing, rowDenied},
		{"GET /x/1?a", allowed, allowed},
		{"GET /healthz", allowed, allowed},
		{"HEAD /healthz", rowNothing, rowDenied},
		{"POST /healthz", rowNothing, rowDenied},
		{"get /healthz", rowNothing, rowDenied},
		{"GET /healthz/", rowNothing, rowDenied},
		{"GET /healthzz", rowNothing, rowDenied},
		{"GET /Healthz", rowNothing, rowDenied},
		{"GET /public/", allowed, allowed},
		{"GET /public/secret", rowNothing, rowDenied},
		{"GET /public", rowNothing, rowDenied},
		{"GET /public/../admin/", rowNothing, rowDenied},
		{"CONNECT orders.internal:443", rowNothing, rowDenied},
	} {
		t.Run(row.line, func(t *testing.T) {
			request := func(authorization string) *http.Request {
				r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(row.line + " HTTP/1.1\r\nHost: orders.internal\r\n" + authorization + "\r\n")))
				require.NoError(t, err)
				return r
			}
			h := s.auth.Handler(mux)
			require.Equal(t, row.without, rowOf(serve(t, h, request(""))))
			a := serve(t, h, request("Authorization: "+bearer(t, everything)+"\r\n"))
			require.Equal(t, row.with, rowOf(a))

			h = unset.auth.Handler(mux)
			require.Equal(t, row.without, rowOf(serve(t, h, request(""))))
			if row.with != row.without {
				a := serve(t, h, request("Authorization: "+unset.bearer()+"\r\n"))
				require.Equal(t, rowDenied, rowOf(a))
			}
		})
	}
}

// TestOperationSeesAuthenticTokensOnly: the record of a refusal names the operation that the
// application told, which it is asked only for authentic tokens.
func TestOperationSeesAuthenticTokensOnly(t *testing.T) {
	asked := 0
	s := newService(t, httpauth.Options{
		Operation: func(*http.Request) string { asked++; return "orders.write" },
		Facts:     func(_ *http.Request, f caveat.Facts) caveat.Facts { asked++; return f },
	})
	h := s.auth.Handler(http.HandlerFunc(ok))
	for _, authorization := range []string{"Bearer abcd", tampered(t, s.mint())} {
		require.Equal(t, rowInvalid, rowOf(serve(t, h, get("/", authorization))))
		require.Equal(t, rowInvalid, rowOf(serve(t, s.auth.RequireFunc(operation, ok), get("/", authorization))))
	}
	require.Zero(t, asked)
	s.audited()
	require.Equal(t, rowDenied, rowOf(serve(t, h, get("/", s.bearer()))))
	require.Equal(t, 2, asked)
	require.Equal(t, "orders.write", s.audited()[0].Operation)
}

// TestRewrittenPath: what somebody around makes of the URL changes neither the fact
// nor what is public.
func TestRewrittenPath(t *testing.T) {
	s := newService(t, httpauth.Options{Operation: func(*http.Request) string { return operation }, Public: []string{"/healthz", "/api/healthz"}})
	h := s.auth.Handler(http.HandlerFunc(ok))
	rewrite := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = r.Header.Get("X-Rewrite-URL")
		h.ServeHTTP(w, r)
	})
	r := get("/healthz")
	r.Header.Set("X-Rewrite-URL", "/admin")
	require.Equal(t, rowNothing, rowOf(serve(t, rewrite, r)))

	s.audited()

	api := http.StripPrefix("/api", h)
	server := httptest.NewUnstartedServer(api)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	wide, narrow := s.bearer(caveat.Path("/api/orders/*")), s.bearer(caveat.Path("/orders/*"))
	for name, form := range map[string]string{"origin form": "", "absolute form": "http://orders.internal"} {
		t.Run(name, func(t *testing.T) {
			for _, row := range []struct {
				name, target, authorization, want string
				reason                            verifier.Reason
			}{
				{"for the path that was sent", form + "/api/orders/7", wide, allowed, verifier.ReasonUnset},
				{"for the path that is left", form + "/api/orders/7", narrow, rowDenied, verifier.CaveatFailed},
				{"public is what is left", form + "/api/healthz", "Basic x", rowNothing, verifier.NothingPresented},
			} {
				t.Run(row.name, func(t *testing.T) {
					require.Equal(t, row.want, rowOf(serve(t, api, get(row.target, row.authorization))))
					require.Equal(t, row.want, rowOf(raw(t, server, "GET "+row.target+" HTTP/1.1\r\nHost: orders.internal\r\nConnection: close\r\nAuthorization: "+row.authorization+"\r\n\r\n")))
					rawHTTP2(t, server, row.target, row.authorization)
					records := s.audited()
					require.Len(t, records, 3)
					for _, r := range records {
						if row.want == allowed {
							require.Nil(t, r.Err)
							continue
						}
						require.Equal(t, row.reason, r.Err.Reason)
					}
				})
			}
		})
	}
	// The same, where nothing was rewritten.
	require.Equal(t, "nobody", serve(t, h, get("http://orders.internal/healthz")).body)
}

// TestExpiredComesFirst: who holds an expired token is to get a new one, and learns
// nothing of what there is to be asked for.
func TestExpiredComesFirst(t *testing.T) {
	for name, operation := range map[string]func(*http.Request) string{
		"no table":          nil,
		"no operation":      func(*http.Request) string { return "" },
		"not an operation":  func(*http.Request) string { return "Not An Operation" },
		"any operation":     func(*http.Request) string { return verifier.AnyOperation },
		"another operation": func(*http.Request) string { return "orders.write" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, httpauth.Options{Operation: operation})
			h := s.auth.Handler(http.HandlerFunc(ok))
			for _, path := range []string{"/orders/7", "/orders//7", "/orders/%2e%2e/7"} {
				require.Equal(t, rowDenied, rowOf(serve(t, h, get(path, s.bearer()))), path)
				require.Equal(t, rowInvalid, rowOf(serve(t, h, get(path, s.bearer(caveat.ExpiresAt(time.Now().Add(-time.Minute)))))), path)
			}
		})
	}
}

func TestFromContext(t *testing.T) {
	_, found := httpauth.FromContext(t.Context())
	require.False(t, found)
	_, found = httpauth.FromContext(httpauth.NewContext(t.Context(), nil))
	require.False(t, found)

	s := newService(t, httpauth.Options{Public: []string{"/"}})
	require.Equal(t, "nobody", serve(t, s.auth.Handler(http.HandlerFunc(ok)), get("/", s.bearer())).body)
	require.Equal(t, "billing", serve(t, s.auth.RequireFunc(operation, ok), get("/", s.bearer())).body)
	who, err := s.auth.Check(get("/", s.bearer()), operation)
	require.NoError(t, err)
	again, found := httpauth.FromContext(httpauth.NewContext(t.Context(), who))
	require.True(t, found)
	require.Same(t, who, again)
}

func TestForward(t *testing.T) {
	for _, forward := range []bool{false, true} {
		s := newService(t, httpauth.Options{Forward: forward})
		var text string
		h := s.auth.RequireFunc(operation, func(_ http.ResponseWriter, r *http.Request) {
			if c, found := macaroon.FromContext(r.Context()); found {
				encoded, err := c.Encode()
				require.NoError(t, err)
				text = "Bearer " + encoded
			}
		})
		authorization := s.bearer()
		require.Equal(t, allowed, rowOf(serve(t, h, get("/", authorization))))
		require.Equal(t, forward, text == authorization)
	}
}

func TestPatternsAndValues(t *testing.T) {
	s := newService(t, httpauth.Options{})
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", s.auth.RequireFunc(operation, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Pattern+" "+r.PathValue("id"))
	}))
	require.Equal(t, "GET /orders/{id} 7", serve(t, mux, get("/orders/7", s.bearer())).body)
}

func TestProgrammersErrors(t *testing.T) {
	s := newService(t, httpauth.Options{})
	for _, bad := range []string{"", "Orders.Read", "orders.*", "orders read", "a..b", strings.Repeat("A", 100)} {
		require.Panics(t, func() { s.auth.RequireFunc(bad, ok) }, bad)
		_, err := s.auth.Check(get("/", s.bearer()), bad)
		require.ErrorIs(t, err, verifier.ErrDenied, bad)
	}
	require.Panics(t, func() { s.auth.Require(operation, nil) })
	require.Panics(t, func() { s.auth.RequireFunc(operation, nil) })
	require.Panics(t, func() { s.auth.Handler(nil) })

	any := s.auth.RequireFunc(verifier.AnyOperation, ok)
	require.Equal(t, rowDenied, rowOf(serve(t, any, get("/", s.bearer()))))
	all, err := s.keys.Mint(t.Context(), macaroon.Grant{Subject: "root"}, caveat.ExpiresIn(1<<40), caveat.Audience(audience), caveat.Operations("*"))
	require.NoError(t, err)
	require.Equal(t, "root", serve(t, any, get("/", bearer(t, all))).body)
}

func TestZeroAuthRefuses(t *testing.T) {
	var logged lockedBuffer // where slog.Default writes to, by way of package log
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	var zero httpauth.Auth
	for name, h := range map[string]http.Handler{"Require": zero.RequireFunc(operation, ok), "Handler": zero.Handler(http.HandlerFunc(ok))} {
		t.Run(name, func(t *testing.T) {
			a := serve(t, h, get("/", "Bearer abcd"))
			require.Equal(t, rowUndecided, rowOf(a))
			require.Contains(t, logged.String(), a.problem(t).Instance)
		})
	}
}

func TestNewValidatesAll(t *testing.T) {
	_, err := httpauth.New(nil, httpauth.Options{
		Realm:          "a\nb",
		Public:         []string{"healthz", "GET /a/../b", "GET  /a", "/a*", "G(T /a", "/%7e", "", "/{id}", "GET orders.internal/"},
		Hosts:          []string{"Orders.internal", "orders.internal:443", "[::1]", ""},
		TrustedProxies: prefixes("0.0.0.0/0", "::/0", "10.0.0.1/8", "::ffff:10.0.0.0/104", ""),
		MaxBody:        -1,
	})
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 1+1+9+4+5+1, err)
	require.Equal(t, "httpauth: no verifier", lines[0])
	for _, part := range []string{"realm", "maximum of body", `public: "/{id}"`, "trusts everybody"} {
		require.True(t, slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, part) }), part)
	}
	auth, err := httpauth.New(nil, httpauth.Options{})
	require.ErrorContains(t, err, "no verifier")
	require.Nil(t, auth)
}

// TestWhyThereIsNoOperation: whoever reads the log can tell a request that could mean several things from a
// handler that was forgotten, and sees which; the peer can't.
func TestWhyThereIsNoOperation(t *testing.T) {
	s := newService(t, httpauth.Options{Operation: func(*http.Request) string { return "" }})
	server := httptest.NewServer(s.auth.Handler(served("all")))
	defer server.Close()
	var bodies []string
	for path, detail := range map[string]string{
		"/orders/..%2f7": "bad-operation: the path can be read in several ways, or has more than 8 KiB",
		"/forgotten":     "bad-operation: what was asked for is no operation such as orders.read: a handler, method or message without one",
	} {
		got := raw(t, server, "GET "+path+" HTTP/1.1\r\nHost: orders.internal\r\nConnection: close\r\nAuthorization: "+s.bearer()+"\r\n\r\n")
		require.Equal(t, http.StatusForbidden, got.StatusCode)
		records := s.audited()
		require.Len(t, records, 1)
		record := records[0]
		require.Equal(t, detail, record.Err.Detail())
		require.Equal(t, path, record.Path)
		require.Equal(t, "GET", record.Method)
		bodies = append(bodies, strings.ReplaceAll(got.body, record.Err.Instance, ""))
	}
	require.Equal(t, bodies[0], bodies[1])
}

// Every record tells what was asked for and from where, whatever came of it and whenever that was known.
func TestRecordsTellTheRequest(t *testing.T) {
	stranger := bearer(t, newService(t, httpauth.Options{}).mint())
	for name, options := range map[string]httpauth.Options{
		"plain":    {},
		"import":   {Import: true},
		"forward":  {Forward: true},
		"in steps": {Facts: func(_ *http.Request, f caveat.Facts) caveat.Facts { return f }},
		"routed":   {Operation: func(*http.Request) string { return operation }},
		"panics":   {Facts: func(*http.Request, caveat.Facts) caveat.Facts { panic(leak) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, options)
			h := s.auth.Require(operation, served("all"))
			if options.Operation != nil {
				h = s.auth.Handler(served("all"))
			}
			for what, authorization := range map[string][]string{
				"nothing": nil, "two": {s.bearer(), s.bearer()}, "a password": {"Basic eDp5"}, "not a token": {"Bearer x"},
				"a stranger's": {stranger}, "denied": {s.bearer(caveat.Path("/stock"))}, "good": {s.bearer()},
			} {
				r := httptest.NewRequest("DELETE", "/orders/7?q=1", nil)
				r.Header["Authorization"] = authorization
				h.ServeHTTP(httptest.NewRecorder(), r)
				records := s.audited()
				require.Len(t, records, 1, what)
				require.Equal(t, "DELETE", records[0].Method, what)
				require.Equal(t, "/orders/7", records[0].Path, what)
				require.Equal(t, "192.0.2.1", records[0].ClientIP.String(), what)
			}
		})
	}
}
