package httpauth_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

// The rows of the table in the package documentation.
const (
	rowNothing   = `401 Bearer realm="macaroon"`
	rowSyntax    = `400 Bearer realm="macaroon", error="invalid_request"`
	rowInvalid   = `401 Bearer realm="macaroon", error="invalid_token"`
	rowDischarge = `401 Bearer realm="macaroon", error="insufficient_user_authentication"`
	rowDenied    = `403 Bearer realm="macaroon", error="insufficient_scope"`
	rowUndecided = `503 `
)

func rowOf(a answer) string {
	return fmt.Sprintf("%d %s", a.StatusCode, a.Header.Get("WWW-Authenticate"))
}

var instance = regexp.MustCompile(`"instance":"[A-Z2-7]{26}"`)

// situation is a request that is refused, and how.
type situation struct {
	name   string
	row    string
	reason verifier.Reason
	header []string // Authorization
	also   http.Header
	query  string
	method string
	// during is what is wrong with the service meanwhile.
	during func(*source)
}

func situations(s *service) []situation {
	t := s.t
	mintFor := func(subject string, keys *rootkey.Keyring, caveats ...macaroon.Caveat) macaroon.Macaroon {
		listed, err := keys.Keys(context.Background())
		require.NoError(t, err)
		// Not by the keyring, which refuses to make some of these.
		m, err := macaroon.Mint(context.Background(), keys, listed[0].ID, macaroon.Grant{Subject: subject, IssuedAt: time.Now()}, caveats...)
		require.NoError(t, err)
		return m
	}
	mint := func(keys *rootkey.Keyring, caveats ...macaroon.Caveat) macaroon.Macaroon {
		return mintFor("billing", keys, caveats...)
	}
	hour, orders, read := caveat.ExpiresIn(time.Hour), caveat.Audience(audience), caveat.Operations(operation)
	good := s.bearer()
	thirdParty := func() macaroon.Caveat {
		return macaroon.ThirdParty([]byte(strings.Repeat("k", 32)), "caveat-id\xff", "https://idp.example")
	}
	needs := s.mint(thirdParty())
	unasked, err := macaroon.New([]byte(strings.Repeat("k", 32)), "unasked", "")
	require.NoError(t, err)
	unused, err := s.mint().MarshalBinary()
	require.NoError(t, err)
	unused, err = unasked.AppendBinary(unused)
	require.NoError(t, err)
	leftOver, err := needs.MarshalBinary()
	require.NoError(t, err)
	leftOver, err = unasked.AppendBinary(leftOver)
	require.NoError(t, err)
	wrongKey, err := macaroon.New([]byte(strings.Repeat("x", 32)), "caveat-id\xff", "")
	require.NoError(t, err)
	badDischarge, err := macaroon.NewWallet(needs, wrongKey)
	require.NoError(t, err)
	discharge, err := macaroon.New([]byte(strings.Repeat("k", 32)), "caveat-id\xff", "")
	require.NoError(t, err)
	unbound, err := needs.MarshalBinary()
	require.NoError(t, err)
	unbound, err = discharge.AppendBinary(unbound)
	require.NoError(t, err)
	// A discharge that was presented with one token, and is presented with another now.
	elsewhere, err := macaroon.NewWallet(s.mint(thirdParty()), discharge)
	require.NoError(t, err)
	bound, err := elsewhere.Credential()
	require.NoError(t, err)
	stolen, err := bound.MarshalBinary()
	require.NoError(t, err)
	ofElsewhere, err := elsewhere.Primary().MarshalBinary()
	require.NoError(t, err)
	boundToAnother, err := needs.MarshalBinary()
	require.NoError(t, err)
	boundToAnother = append(boundToAnother, stolen[len(ofElsewhere):]...)
	wallet := func(w macaroon.Wallet) string {
		text, err := w.Encode()
		require.NoError(t, err)
		return "Bearer " + text
	}
	cookie := http.Header{"Cookie": {"Authorization=" + strings.TrimPrefix(good, "Bearer ")}}

	return []situation{
		{name: "nothing", row: rowNothing, reason: verifier.NothingPresented},
		{name: "another scheme", row: rowNothing, reason: verifier.NothingPresented, header: []string{"Basic dXNlcjpwYXNz"}},
		{name: "an unknown scheme alone", row: rowNothing, reason: verifier.NothingPresented, header: []string{"Negotiate"}},
		{name: "a token without a scheme", row: rowNothing, reason: verifier.NothingPresented, header: []string{good[len("Bearer "):]}},
		{name: "in a cookie", row: rowNothing, reason: verifier.NothingPresented, also: cookie},
		{name: "in the query", row: rowNothing, reason: verifier.NothingPresented, query: "?access_token=" + good[len("Bearer "):]},
		{name: "in another header", row: rowNothing, reason: verifier.NothingPresented, also: http.Header{"Macaroons": {good}, "Proxy-Authorization": {good}}},

		{name: "twice the same", row: rowSyntax, reason: verifier.InvalidRequest, header: []string{good, good}},
		{name: "two tokens", row: rowSyntax, reason: verifier.InvalidRequest, header: []string{good, s.bearer()}},
		{name: "with another scheme", row: rowSyntax, reason: verifier.InvalidRequest, header: []string{"Basic dXNlcjpwYXNz", good}},
		{name: "scheme alone", row: rowSyntax, reason: verifier.InvalidRequest, header: []string{"Bearer"}},
		{name: "scheme and a list", row: rowSyntax, reason: verifier.InvalidRequest, header: []string{good + "," + good}},
		{name: "trailing comma", row: rowSyntax, reason: verifier.InvalidRequest, header: []string{good + ","}},
		{name: "trailing garbage", row: rowSyntax, reason: verifier.InvalidRequest, header: []string{good + " x"}},
		{name: "scheme twice", row: rowSyntax, reason: verifier.InvalidRequest, header: []string{"Bearer " + good}},
		{name: "parameters", row: rowSyntax, reason: verifier.InvalidRequest, header: []string{`Bearer token="` + good + `"`}},
		{name: "padding alone", row: rowSyntax, reason: verifier.InvalidRequest, header: []string{"Bearer =="}},

		{name: "not a macaroon", row: rowInvalid, reason: verifier.NotMacaroon, header: []string{"Bearer abcd"}},
		{name: "a token of another kind", row: rowInvalid, reason: verifier.NotMacaroon, header: []string{"Bearer eyJhbGciOiJub25lIn0.e30."}},
		{name: "padded", row: rowInvalid, reason: verifier.NotMacaroon, header: []string{good + "="}},
		{name: "cut off", row: rowInvalid, reason: verifier.Malformed, header: []string{"Bearer " + base64.RawURLEncoding.EncodeToString(unused[:len(unused)-8])}},
		{name: "too long", row: rowInvalid, reason: verifier.OverLimit, header: []string{"Bearer " + strings.Repeat("A", 16<<10+1)}},
		{name: "unknown key", row: rowInvalid, reason: verifier.UnknownKey, header: []string{bearer(t, mint(rootkey.InMemory(), hour, orders, read))}},
		{name: "bad signature", row: rowInvalid, reason: verifier.SignatureMismatch, header: []string{tampered(t, s.mint())}},
		{name: "expired", row: rowInvalid, reason: verifier.Expired, header: []string{s.bearer(caveat.ExpiresAt(time.Now().Add(-time.Minute)))}},
		{name: "revoked", row: rowInvalid, reason: verifier.Revoked, header: []string{bearer(t, mintFor("gone", s.keys, hour, orders, read))}},
		{name: "discharge that nobody asked for", row: rowInvalid, reason: verifier.UnusedDischarge, header: []string{"Bearer " + base64.RawURLEncoding.EncodeToString(unused)}},
		{name: "missing discharge, another left over", row: rowInvalid, reason: verifier.MissingDischarge, header: []string{"Bearer " + base64.RawURLEncoding.EncodeToString(leftOver)}},
		{name: "unbound discharge", row: rowInvalid, reason: verifier.SignatureMismatch, header: []string{"Bearer " + base64.RawURLEncoding.EncodeToString(unbound)}},
		{name: "discharge bound to another token", row: rowInvalid, reason: verifier.SignatureMismatch, header: []string{"Bearer " + base64.RawURLEncoding.EncodeToString(boundToAnother)}},
		{name: "discharge under another key", row: rowInvalid, reason: verifier.SignatureMismatch, header: []string{wallet(badDischarge)}},

		{name: "missing discharge", row: rowDischarge, reason: verifier.MissingDischarge, header: []string{bearer(t, needs)}},

		{name: "another service", row: rowDenied, reason: verifier.CaveatFailed, header: []string{bearer(t, mint(s.keys, hour, caveat.Audience("stock"), read))}},
		{name: "another operation", row: rowDenied, reason: verifier.CaveatFailed, header: []string{bearer(t, mint(s.keys, hour, orders, caveat.Operations("orders.write")))}},
		{name: "narrowed too far", row: rowDenied, reason: verifier.CaveatFailed, header: []string{s.bearer(caveat.Path("/else"))}},
		{name: "another method", row: rowDenied, reason: verifier.CaveatFailed, header: []string{s.bearer(caveat.Methods("GET"))}, method: "POST"},
		{name: "unknown caveat", row: rowDenied, reason: verifier.CaveatFailed, header: []string{s.bearer(macaroon.Condition(leak))}},
		{name: "no expiry", row: rowDenied, reason: verifier.NoExpiry, header: []string{bearer(t, mint(s.keys, orders, read))}},
		{name: "no audience", row: rowDenied, reason: verifier.NoAudience, header: []string{bearer(t, mint(s.keys, hour, read))}},
		{name: "nothing granted", row: rowDenied, reason: verifier.NotGranted, header: []string{bearer(t, mint(s.keys, hour, orders))}},
		{name: "a checker panics", row: rowDenied, reason: verifier.CaveatFailed, header: []string{s.bearer(panics.Of(leak))}},

		{name: "the source fails", row: rowUndecided, reason: verifier.SourceFailed, header: []string{good}, during: func(s *source) { s.err = errors.New(leak) }},
		{name: "the source panics", row: rowUndecided, reason: verifier.SourceFailed, header: []string{good}, during: func(s *source) { s.panics = true }},
		{name: "a checker is unsure", row: rowUndecided, reason: verifier.CheckUndecided, header: []string{s.bearer(unsure.Of(leak))}},
	}
}

// tampered is a token with one bit of its signature flipped.
func tampered(t testing.TB, m macaroon.Macaroon) string {
	binary, err := m.MarshalBinary()
	require.NoError(t, err)
	binary[len(binary)-1] ^= 1
	return "Bearer " + base64.RawURLEncoding.EncodeToString(binary)
}

// TestRefusals holds every refusal to its row: status, headers, a body that is the
// same as all others of the row but for the instance, one audit record of that
// instance, and nothing of the token in it.
func TestRefusals(t *testing.T) {
	for _, entrance := range []string{"Require", "Require with Facts", "Handler"} {
		t.Run(entrance, func(t *testing.T) {
			options := httpauth.Options{Operation: func(*http.Request) string { return operation }}
			if entrance == "Require with Facts" {
				options.Facts = func(_ *http.Request, f caveat.Facts) caveat.Facts { return f }
			}
			s := newService(t, options)
			reached := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was reached") })
			protected := s.auth.Require(operation, reached)
			if entrance == "Handler" {
				protected = s.auth.Handler(reached)
			}
			server := httptest.NewServer(protected)
			defer server.Close()

			bodies := make(map[string]string)
			for _, row := range situations(s) {
				t.Run(row.name, func(t *testing.T) {
					method := row.method
					if method == "" {
						method = http.MethodGet
					}
					r, err := http.NewRequest(method, server.URL+"/orders/7"+row.query, nil)
					require.NoError(t, err)
					for name, values := range row.also {
						r.Header[name] = values
					}
					for _, value := range row.header {
						r.Header.Add("Authorization", value)
					}
					if row.during != nil {
						row.during(s.source)
						defer func() { *s.source = source{Source: s.keys} }()
					}
					response, err := server.Client().Do(r)
					a := read(t, response, err)

					require.Equal(t, row.row, rowOf(a))
					require.Equal(t, "application/problem+json", a.Header.Get("Content-Type"))
					require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
					require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
					require.Equal(t, a.StatusCode == http.StatusServiceUnavailable, a.Header.Get("Retry-After") != "")
					if a.StatusCode == http.StatusServiceUnavailable {
						require.NotContains(t, a.Header, "Www-Authenticate")
					}

					p := a.problem(t)
					require.Equal(t, a.StatusCode, p.Status)
					require.Equal(t, http.StatusText(a.StatusCode), p.Title)
					body := instance.ReplaceAllString(a.body, "instance")
					require.NotEqual(t, a.body, body)
					if other, found := bodies[row.row]; found {
						require.Equal(t, other, body)
					}
					bodies[row.row] = body

					records := s.audited()
					require.Len(t, records, 1)
					require.Nil(t, records[0].Verified)
					require.Equal(t, row.reason, records[0].Err.Reason, records[0].Err.Detail())
					require.Equal(t, p.Instance, records[0].Err.Instance)

					if row.row == rowDischarge {
						require.Equal(t, 1, len(p.Discharges))
						require.Equal(t, "https://idp.example", p.Discharges[0].Location)
						require.Equal(t, base64.RawURLEncoding.EncodeToString([]byte("caveat-id\xff")), p.Discharges[0].CaveatID)
					} else {
						require.NotContains(t, a.body, "discharges")
					}
					requireNoSecret(t, a, s.log.String(), row.header)
				})
			}
			require.Len(t, bodies, 6)
		})
	}
}

// requireNoSecret looks for parts of the token in the answer and the log: its text,
// its signature in whatever form, its conditions, and what panics said.
func requireNoSecret(t testing.TB, a answer, log string, header []string) {
	var said strings.Builder
	require.NoError(t, a.Header.Write(&said))
	answer := said.String() + a.body
	require.NotContains(t, answer, leak)
	require.NotContains(t, answer, "time-before")
	require.NotContains(t, log, "panic-value")
	for _, value := range header {
		_, text, _ := strings.Cut(value, " ")
		if len(text) < 64 {
			continue
		}
		for _, all := range []string{answer, log} {
			for i := 0; i+16 <= len(text); i += 16 {
				if strings.Trim(text[i:i+16], "A") != "" {
					require.NotContains(t, all, text[i:i+16])
				}
			}
			binary, err := base64.RawURLEncoding.DecodeString(text)
			if err != nil {
				continue
			}
			signature := binary[len(binary)-32:]
			require.NotContains(t, all, string(signature))
			require.NotContains(t, all, hex.EncodeToString(signature))
			require.NotContains(t, all, base64.StdEncoding.EncodeToString(signature))
		}
	}
}

func TestRefusalsOverHTTP2(t *testing.T) {
	s := newService(t, httpauth.Options{})
	server := httptest.NewUnstartedServer(s.auth.RequireFunc(operation, ok))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	for _, row := range situations(s) {
		if row.during != nil || row.method != "" || row.also != nil {
			continue // has nothing to do with the version
		}
		t.Run(row.name, func(t *testing.T) {
			r, err := http.NewRequest(http.MethodGet, server.URL+"/orders/7"+row.query, nil)
			require.NoError(t, err)
			r.Header["Authorization"] = row.header
			response, err := server.Client().Do(r)
			a := read(t, response, err)
			require.Equal(t, 2, a.ProtoMajor)
			require.Equal(t, row.row, rowOf(a))
		})
	}
	r, err := http.NewRequest(http.MethodGet, server.URL+"/orders/7", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", s.bearer())
	response, err := server.Client().Do(r)
	require.Equal(t, "billing", read(t, response, err).body)
}

func TestMethodsOfRefusals(t *testing.T) {
	s := newService(t, httpauth.Options{})
	server := httptest.NewServer(s.auth.RequireFunc(operation, ok))
	defer server.Close()
	for _, method := range []string{"HEAD", "OPTIONS", "POST", "get", "M-SEARCH", "TRACE"} {
		t.Run(method, func(t *testing.T) {
			r, err := http.NewRequest(method, server.URL, nil)
			require.NoError(t, err)
			response, err := server.Client().Do(r)
			a := read(t, response, err)
			require.Equal(t, rowNothing, rowOf(a))
			require.Equal(t, method == "HEAD", a.body == "")
			require.NotEmpty(t, a.Header.Get("Content-Length"))
		})
	}
}

// TestCaching: what handlers answer is this caller's alone, unless they say otherwise.
func TestCaching(t *testing.T) {
	for _, row := range []struct {
		name          string
		around        string // Cache-Control that somebody around set, with a Vary
		handler       http.HandlerFunc
		cache, vary   string
		status        int
		authorization bool
	}{
		{"plain", "", ok, "private", "Authorization", 200, true},
		{"not modified", "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, "private", "Authorization", 304, true},
		{"an error of the handler", "", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 500) }, "private", "Authorization", 500, true},
		{"its own", "", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "public, max-age=60") }, "public, max-age=60", "Authorization", 200, true},
		{"more to vary", "", func(w http.ResponseWriter, _ *http.Request) { w.Header().Add("Vary", "Accept") }, "private", "Authorization, Accept", 200, true},
		{"its own vary", "", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Vary", "Accept") }, "private", "Accept", 200, true},
		{"forbidden around", "no-store", ok, "no-store", "Accept-Encoding, Authorization", 200, true},
		{"public around", "public", ok, "private", "Accept-Encoding, Authorization", 200, true},
		{"refused, public around", "public", ok, "no-store", "Accept-Encoding", 401, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newService(t, httpauth.Options{})
			inner := s.auth.Require(operation, row.handler)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if row.around != "" {
					w.Header().Set("Cache-Control", row.around)
					w.Header().Set("Vary", "Accept-Encoding")
				}
				inner.ServeHTTP(w, r)
			}))
			defer server.Close()
			r, err := http.NewRequest(http.MethodGet, server.URL, nil)
			require.NoError(t, err)
			if row.authorization {
				r.Header.Set("Authorization", s.bearer())
			}
			response, err := server.Client().Do(r)
			a := read(t, response, err)
			require.Equal(t, row.status, a.StatusCode)
			require.Equal(t, row.cache, strings.Join(a.Header.Values("Cache-Control"), ", "))
			require.Equal(t, row.vary, strings.Join(a.Header.Values("Vary"), ", "))
		})
	}
}

// TestWriter: a handler gets the server's own ResponseWriter, with all it can do.
func TestWriter(t *testing.T) {
	s := newService(t, httpauth.Options{})
	server := httptest.NewServer(s.auth.RequireFunc(operation, func(w http.ResponseWriter, r *http.Request) {
		_, flushes := w.(http.Flusher)
		_, hijacks := w.(http.Hijacker)
		_, readsFrom := w.(io.ReaderFrom)
		w.WriteHeader(http.StatusEarlyHints)
		err := http.NewResponseController(w).Flush()
		fmt.Fprint(w, flushes, hijacks, readsFrom, err)
	}))
	defer server.Close()
	r, err := http.NewRequest(http.MethodGet, server.URL, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", s.bearer())
	response, err := server.Client().Do(r)
	require.Equal(t, "true true true <nil>", read(t, response, err).body)
}

func TestRealm(t *testing.T) {
	s := newService(t, httpauth.Options{Realm: `or"d\ers`})
	a := serve(t, s.auth.RequireFunc(operation, ok), get("/"))
	require.Equal(t, `Bearer realm="or\"d\\ers"`, a.Header.Get("WWW-Authenticate"))
	for _, realm := range []string{"\x1f", "a\x7f", "é", "a\r\nb", "\x00", "\xff"} {
		_, err := httpauth.New(s.verifier, httpauth.Options{Realm: realm})
		require.ErrorContains(t, err, "httpauth: realm: ", "%q", realm)
	}
}

// TestHeadersOfAnotherAnswer: what somebody set for the answer that there was to be
// does not stay with the refusal. A coding does: whoever set it around applies it to
// whatever is written.
func TestHeadersOfAnotherAnswer(t *testing.T) {
	s := newService(t, httpauth.Options{})
	inner := s.auth.RequireFunc(operation, ok)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{"Content-Length": "7", "Etag": `"7"`, "Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT",
			"Content-Encoding": "identity", "X-Request-Id": "7"} {
			w.Header().Set(name, value)
		}
		inner.ServeHTTP(w, r)
	}))
	defer server.Close()
	response, err := server.Client().Get(server.URL)
	a := read(t, response, err)
	require.Equal(t, rowNothing, rowOf(a))
	require.Equal(t, 401, a.problem(t).Status)
	require.NotContains(t, a.Header, "Etag")
	require.NotContains(t, a.Header, "Last-Modified")
	require.Equal(t, "identity", a.Header.Get("Content-Encoding"))
	require.Equal(t, "7", a.Header.Get("X-Request-Id"))
}

func TestWriteErrorOfOthers(t *testing.T) {
	s := newService(t, httpauth.Options{})
	var typedNil *verifier.Error
	for name, err := range map[string]error{"nil": nil, "typed nil": typedNil, "wrapped nil": wrapped{typedNil}, "another": errors.New(leak), "unset": &verifier.Error{}} {
		t.Run(name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			s.auth.WriteError(recorder, get("/"), err)
			a := read(t, recorder.Result(), nil)
			require.Equal(t, rowUndecided, rowOf(a))
			require.NotContains(t, a.body, leak)
			require.Equal(t, 1, strings.Count(s.log.String(), a.problem(t).Instance), "whoever asks what it was finds it in the log")
			require.NotContains(t, s.log.String(), "panicked")
			require.Empty(t, s.audited(), "it was no decision")
		})
	}
	logged := s.log.String()
	recorder := httptest.NewRecorder()
	_, err := s.auth.Check(get("/"), operation)
	s.auth.WriteError(recorder, get("/"), fmt.Errorf("wrapped: %w", err))
	require.Equal(t, rowNothing, rowOf(read(t, recorder.Result(), nil)))
	require.Equal(t, logged, s.log.String(), "what was decided is in the audit record")
}

type wrapped struct{ inside error }

func (wrapped) Error() string   { return "wrapped" }
func (w wrapped) Unwrap() error { return w.inside }
