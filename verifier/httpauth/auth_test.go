package httpauth_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

// TestPanics: what the application's functions panic with ends as a refusal, an
// audit record and a line in the log that says where, and does not say with what.
func TestPanics(t *testing.T) {
	boom := func() { panic("panic-value-" + leak) }
	for _, row := range []struct {
		name    string
		options httpauth.Options
		caveats []macaroon.Caveat
		source  bool
		want    string
		logged  string
	}{
		{name: "Operation", options: httpauth.Options{Operation: func(*http.Request) string { boom(); return "" }}, want: rowUndecided, logged: "TestPanics"},
		{name: "Facts", options: httpauth.Options{Operation: func(*http.Request) string { return operation },
			Facts: func(*http.Request, caveat.Facts) caveat.Facts { boom(); return caveat.Facts{} }}, want: rowUndecided, logged: "TestPanics"},
		{name: "abort in Facts", options: httpauth.Options{Operation: func(*http.Request) string { return operation },
			Facts: func(*http.Request, caveat.Facts) caveat.Facts { panic(http.ErrAbortHandler) }}, want: rowUndecided, logged: "TestPanics"},
		{name: "source", options: httpauth.Options{Operation: func(*http.Request) string { return operation }}, source: true, want: rowUndecided, logged: "source panicked"},
		{name: "checker", options: httpauth.Options{Operation: func(*http.Request) string { return operation }}, caveats: []macaroon.Caveat{panics.Of("x")}, want: rowDenied, logged: "a checker panicked"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newService(t, row.options)
			authorization := s.bearer(row.caveats...)
			s.source.panics = row.source
			a := serve(t, s.auth.Handler(http.HandlerFunc(ok)), get("/", authorization))
			require.Equal(t, row.want, rowOf(a))
			records := s.audited()
			require.Len(t, records, 1)
			require.Equal(t, a.problem(t).Instance, records[0].Err.Instance)
			require.Contains(t, s.log.String(), row.logged)
			require.Contains(t, s.log.String(), a.problem(t).Instance)
			require.Equal(t, 1, strings.Count(s.log.String(), "\n"))
			requireNoSecret(t, a, s.log.String(), []string{authorization})
		})
	}
}

// TestPanicOfAuditHook: it was told, so it is not told again.
func TestPanicOfAuditHook(t *testing.T) {
	keys := rootkey.InMemory()
	told := 0
	v, err := verifier.New(keys, audience, verifier.Options{Audit: func(context.Context, verifier.Record) {
		told++
		panic("panic-value-" + leak)
	}})
	require.NoError(t, err)
	mint := func(expiry caveat.Caveat) string {
		m, err := keys.Mint(t.Context(), macaroon.Grant{}, expiry, caveat.Audience(audience), caveat.Operations(operation))
		require.NoError(t, err)
		return bearer(t, m)
	}
	good, expired := mint(caveat.ExpiresIn(time.Hour)), mint(caveat.ExpiresAt(time.Now().Add(-time.Minute)))
	other := newService(t, httpauth.Options{}).bearer()
	for _, options := range []httpauth.Options{
		{},
		{Import: true},
		{Operation: func(*http.Request) string { panic("panic-value-" + leak) }},
		{Facts: func(*http.Request, caveat.Facts) caveat.Facts { panic("panic-value-" + leak) }},
		{Operation: func(*http.Request) string { return operation }},
	} {
		for name, authorization := range map[string]string{"allowed": good, "denied": expired, "not authentic": other, "not a token": "Bearer abcd", "nothing": "Basic x"} {
			var log lockedBuffer
			options.Log = slog.New(slog.NewTextHandler(&log, nil))
			auth, err := httpauth.New(v, options)
			require.NoError(t, err)
			for entrance, h := range map[string]http.Handler{"Require": auth.RequireFunc(operation, ok), "Handler": auth.Handler(http.HandlerFunc(ok))} {
				t.Run(name+" by "+entrance, func(t *testing.T) {
					told = 0
					a := serve(t, h, get("/", authorization))
					require.Equal(t, rowUndecided, rowOf(a))
					require.Equal(t, 1, told)
					require.Equal(t, 1, strings.Count(log.String(), a.problem(t).Instance))
					require.Contains(t, log.String(), "httpauth: panic")
					requireNoSecret(t, a, log.String(), []string{authorization})
				})
			}
		}
	}
}

// TestPanicOfHandler passes through: it is the server's to deal with.
func TestPanicOfHandler(t *testing.T) {
	s := newService(t, httpauth.Options{})
	h := s.auth.RequireFunc(operation, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { h.ServeHTTP(httptest.NewRecorder(), get("/", s.bearer())) })
	require.Empty(t, s.log.String())
}

func TestUndecidedIsLogged(t *testing.T) {
	s := newService(t, httpauth.Options{})
	s.source.err = io.ErrUnexpectedEOF
	a := serve(t, s.auth.RequireFunc(operation, ok), get("/", s.bearer()))
	require.Equal(t, rowUndecided, rowOf(a))
	require.Contains(t, s.log.String(), "source-failed")
	require.Contains(t, s.log.String(), a.problem(t).Instance)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.source.err = nil
	require.Equal(t, rowUndecided, rowOf(serve(t, s.auth.RequireFunc(operation, ok), get("/", s.bearer()).WithContext(ctx))))
}

// TestDenialsAreNotLogged: they are the audit hook's.
func TestDenialsAreNotLogged(t *testing.T) {
	s := newService(t, httpauth.Options{})
	for _, authorization := range []string{"Bearer abcd", "Basic abcd", s.bearer(caveat.Path("/else")), s.bearer()} {
		serve(t, s.auth.RequireFunc(operation, ok), get("/", authorization))
	}
	require.Empty(t, s.log.String())
	require.Len(t, s.audited(), 4)
}

func TestImport(t *testing.T) {
	off := newService(t, httpauth.Options{})
	on := newService(t, httpauth.Options{Import: true})
	for _, s := range []*service{off, on} {
		token := s.mint(caveat.Path("/orders/*"))
		canonical := strings.TrimPrefix(bearer(t, token), "Bearer ")
		for name, text := range importable(t, token) {
			t.Run(fmt.Sprintf("%s, %v", name, s == on), func(t *testing.T) {
				want := rowInvalid
				if s == on || text == canonical {
					want = allowed
				}
				h := s.auth.RequireFunc(operation, ok)
				require.Equal(t, want, rowOf(serve(t, h, get("/orders/7", "Bearer "+text))))
				require.Len(t, s.audited(), 1)
				if s == on {
					require.Equal(t, rowDenied, rowOf(serve(t, h, get("/else", "Bearer "+text))))
					require.Equal(t, rowInvalid, rowOf(serve(t, h, get("/orders/7", "Bearer "+text[:len(text)-8]))))
					require.Len(t, s.audited(), 2)
				}
			})
		}
		require.Equal(t, rowInvalid, rowOf(serve(t, s.auth.RequireFunc(operation, ok), get("/", "Bearer "+strings.Repeat("A", 100<<10)))))
	}
}

// TestImportSaysWhy: whoever migrates is told what was wrong with the form that was
// sent, and not that it is not the form of this library.
func TestImportSaysWhy(t *testing.T) {
	s := newService(t, httpauth.Options{Import: true})
	forms := importable(t, s.mint())
	v1 := forms["v1 hex"]
	binary, err := hex.DecodeString(v1)
	require.NoError(t, err)
	for _, row := range []struct {
		name, text string
		reason     verifier.Reason
		cause      string
	}{
		{"cut off", v1[:len(v1)-8], verifier.Malformed, "v1: packet: cut off"},
		{"odd", v1[:len(v1)-1], verifier.Malformed, "hex: "},
		{"another character", "30zz", verifier.Malformed, "hex: "},
		{"of this library, cut off", strings.TrimRight(forms["v2 unpadded base64url"][:100], "="), verifier.Malformed, ""},
		{"over a limit", hex.EncodeToString(bytes.Repeat(binary, 17)), verifier.OverLimit, "macaroons"},
		{"too long", strings.Repeat("A", 16<<10+1), verifier.OverLimit, "bytes"},
		{"no macaroon", "abcd", verifier.NotMacaroon, ""},
		{"a token of another kind", "eyJhbGciOiJub25lIn0.e30.", verifier.NotMacaroon, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, h := range []http.Handler{s.auth.RequireFunc(operation, ok), s.auth.Handler(http.HandlerFunc(ok))} {
				require.Equal(t, rowInvalid, rowOf(serve(t, h, get("/", "Bearer "+row.text))))
				records := s.audited()
				require.Len(t, records, 1)
				require.Equal(t, row.reason, records[0].Err.Reason)
				require.ErrorContains(t, records[0].Err.Cause, row.cause)
			}
		})
	}
}

// TestImportUnderLimits: they are those of the verifier.
func TestImportUnderLimits(t *testing.T) {
	s := newService(t, httpauth.Options{})
	many, err := legacy.ToV2(s.mint())
	require.NoError(t, err)
	for range 70 { // which this library would not write
		require.NoError(t, many.AddFirstPartyCaveat([]byte("test:nothing x")))
	}
	binary, err := many.MarshalBinary()
	require.NoError(t, err)
	for name, row := range map[string]struct {
		limits macaroon.Limits
		text   string
		reason verifier.Reason
	}{
		"raised":  {macaroon.Limits{Caveats: 100}, hex.EncodeToString(binary), verifier.ReasonUnset},
		"lowered": {macaroon.Limits{Caveats: 2}, importable(t, s.mint())["v1 hex"], verifier.OverLimit},
	} {
		t.Run(name, func(t *testing.T) {
			registry, err := caveat.Standard().With(nothing)
			require.NoError(t, err)
			v, err := verifier.New(s.keys, audience, verifier.Options{Limits: row.limits, Registry: registry})
			require.NoError(t, err)
			auth, err := httpauth.New(v, httpauth.Options{Import: true})
			require.NoError(t, err)
			_, err = auth.Check(get("/", "Bearer "+row.text), operation)
			if row.reason == verifier.ReasonUnset {
				require.NoError(t, err)
				return
			}
			var refusal *verifier.Error
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, row.reason, refusal.Reason)
			require.Equal(t, -1, refusal.Macaroon, "it was met while reading")
		})
	}
}

// TestOptionsAreCopied: changing the caller's slices afterwards changes nothing.
func TestOptionsAreCopied(t *testing.T) {
	hosts, proxies := []string{"orders.internal"}, prefixes("10.0.0.0/8")
	facts := factsOf(t, httpauth.Options{Hosts: hosts, TrustedProxies: proxies})
	hosts[0], proxies[0] = "evil.example", prefixes("192.0.2.0/24")[0]
	r := get("/")
	r.Host, r.RemoteAddr = "orders.internal", "10.0.0.1:1000"
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	stated := facts(r)
	require.Equal(t, "orders.internal", stated.Host)
	require.Equal(t, "192.0.2.1", stated.ClientIP.String())
}

// importable is a token in the forms that can stand in a header.
func importable(t *testing.T, token macaroon.Macaroon) map[string]string {
	v2, err := token.MarshalBinary()
	require.NoError(t, err)
	v1, err := legacy.ExportV1Binary(token)
	require.NoError(t, err)
	forms := make(map[string]string)
	for name, binary := range map[string][]byte{"v1": v1, "v2": v2} {
		forms[name+" hex"] = hex.EncodeToString(binary)
		forms[name+" base64"] = base64.StdEncoding.EncodeToString(binary)
		forms[name+" unpadded base64"] = base64.RawStdEncoding.EncodeToString(binary)
		forms[name+" base64url"] = base64.URLEncoding.EncodeToString(binary)
		forms[name+" unpadded base64url"] = base64.RawURLEncoding.EncodeToString(binary)
	}
	return forms
}

// TestConcurrent has one Auth used by many at once.
func TestConcurrent(t *testing.T) {
	body := "a=1"
	s := newService(t, httpauth.Options{
		Hosts:          []string{"example.com"},
		TrustedProxies: prefixes("192.0.2.0/24"),
		Public:         []string{"/healthz"},
		Operation:      func(*http.Request) string { return operation },
		Facts:          func(_ *http.Request, f caveat.Facts) caveat.Facts { return f },
	})
	good := s.bearer(caveat.ContentDigest(sha256.Sum256([]byte(body))), caveat.Hosts("example.com"))
	bad := tampered(t, s.mint())
	handlers := []http.Handler{s.auth.RequireFunc(operation, echo), s.auth.Handler(http.HandlerFunc(echo))}
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := range 20 {
				for authorization, want := range map[string]int{good: 200, bad: 401, "": 401} {
					r := httptest.NewRequest(http.MethodPost, "/orders/7", strings.NewReader(body))
					if authorization != "" {
						r.Header.Set("Authorization", authorization)
					}
					recorder := httptest.NewRecorder()
					handlers[i%2].ServeHTTP(recorder, r)
					if recorder.Code != want || want == 200 && recorder.Body.String() != body {
						t.Errorf("%d %s", recorder.Code, recorder.Body)
					}
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, s.audited(), 64*20*3)
}
