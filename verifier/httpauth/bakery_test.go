package httpauth_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

const (
	protocol     = "Bakery-Protocol-Version"
	rowChallenge = "401 Macaroon"
)

// bakeryService is a service for the bakery's clients, whose macaroons have to be discharged by p.
func bakeryService(t testing.TB, p *parties, change func(*httpauth.Bakery)) *service {
	var s *service
	bakery := httpauth.Bakery{
		Mint:    func(*http.Request) (macaroon.Macaroon, error) { return s.mintNeeding(p), nil },
		Cookies: http.NewCrossOriginProtection(),
	}
	if change != nil {
		change(&bakery)
	}
	s = newService(t, httpauth.Options{Bakery: &bakery})
	return s
}

// challenged decodes an answer as the bakery's clients do.
type challenged struct {
	Code, Message, Instance string
	Info                    struct {
		Macaroon                       json.RawMessage
		MacaroonPath, CookieNameSuffix string
	}
}

func (a answer) challenge(t testing.TB) (c challenged) {
	require.Equal(t, rowChallenge, rowOf(a))
	require.Equal(t, "application/json", a.Header.Get("Content-Type"))
	require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	require.NoError(t, json.Unmarshal([]byte(a.body), &c), a.body)
	require.Equal(t, "macaroon discharge required", c.Code)
	return c
}

// wallet reads the macaroon that is to be discharged, in a version of the protocol.
func (c challenged) wallet(t testing.TB, version int) macaroon.Wallet {
	data := c.Info.Macaroon
	if version == 3 {
		var wrapper map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(data, &wrapper))
		require.Len(t, wrapper, 3)
		require.Equal(t, `3 "std:"`, string(wrapper["v"])+" "+string(wrapper["ns"]))
		data = wrapper["m"]
	}
	credential, form, err := legacy.Import(data)
	require.NoError(t, err)
	require.Equal(t, legacy.Form{Encoding: legacy.V2JSON}, form)
	wallet, err := credential.Wallet()
	require.NoError(t, err)
	return wallet
}

// baked gives the value of the header or cookie that presents a wallet.
func baked(t testing.TB, w macaroon.Wallet) string {
	return base64.StdEncoding.EncodeToString([]byte(array(t, w)))
}

func array(t testing.TB, w macaroon.Wallet) string {
	credential, err := w.Credential()
	require.NoError(t, err)
	data, err := legacy.ExportV2JSON(credential)
	require.NoError(t, err)
	if credential.Inspect().Len() == 1 {
		return "[" + string(data) + "]"
	}
	return string(data)
}

func withHeaders(method string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "https://orders.example/orders/7", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// TestBakeryRounds goes the way of a client: challenged, discharged, let in, by header and by cookie.
func TestBakeryRounds(t *testing.T) {
	p := newParties(t)
	s := bakeryService(t, p, nil)
	h := s.auth.RequireFunc(operation, attested)
	for version, spoken := range map[string]int{"2": 2, "3": 3, "4": 3, "2147483647": 3} {
		a := serve(t, h, withHeaders("GET", protocol, version))
		c := a.challenge(t)
		require.Equal(t, "/ auth", c.Info.MacaroonPath+" "+c.Info.CookieNameSuffix)
		records := s.audited()
		require.Len(t, records, 1)
		require.Equal(t, verifier.NothingPresented, records[0].Err.Reason)
		require.Equal(t, records[0].Err.Instance, c.Instance)

		wallet := c.wallet(t, spoken)
		require.Equal(t, p.identity.Location, wallet.Missing()[0].Location)
		value := baked(t, p.all(wallet))
		for name, headers := range map[string][]string{
			"header":          {"Macaroons", value},
			"URL alphabet":    {"Macaroons", strings.NewReplacer("+", "-", "/", "_").Replace(value)},
			"unpadded":        {"Macaroons", strings.TrimRight(value, "=")},
			"cookie":          {"Cookie", "macaroon-auth=" + value},
			"others' cookies": {"Cookie", "a=b; macaroon-authz=x; macaroon-auth=" + value + "; macaroon-=y"},
			"another scheme":  {"Macaroons", value, "Authorization", "Basic dXNlcjpwYXNz"},
		} {
			t.Run(version+" "+name, func(t *testing.T) {
				a := serve(t, h, withHeaders("GET", headers...))
				require.Equal(t, http.StatusOK, a.StatusCode, a.body)
				require.Equal(t, "ann", a.body)
				require.Equal(t, "private", a.Header.Get("Cache-Control"))
				require.Equal(t, "Authorization, Macaroons, Cookie", a.Header.Get("Vary"))
				require.Len(t, s.audited(), 1)
			})
		}

		// Not before all is discharged, and never for more than was granted.
		a = serve(t, h, withHeaders("GET", protocol, version, "Macaroons", baked(t, wallet)))
		require.Equal(t, "The token needs discharges.", a.challenge(t).Message)
		denied := serve(t, s.auth.RequireFunc("orders.write", attested), withHeaders("GET", protocol, version, "Macaroons", value))
		require.Equal(t, rowDenied, rowOf(denied))
		s.audited()
	}
}

// Clients that do not say that they speak the protocol, or an old version of it, get the answers of everybody else.
func TestBakeryOtherVersions(t *testing.T) {
	s := bakeryService(t, newParties(t), func(b *httpauth.Bakery) {
		b.Mint = func(*http.Request) (macaroon.Macaroon, error) {
			t.Error("minted")
			return macaroon.Macaroon{}, nil
		}
	})
	h := s.auth.RequireFunc(operation, ok)
	for _, versions := range [][]string{{}, {""}, {"0"}, {"1"}, {"-3"}, {"+3"}, {"3.0"}, {" 3"}, {"0x3"}, {"three"}, {"3", "3"},
		{"2147483648"}, {"99999999999999999999999"}} {
		r := withHeaders("GET")
		r.Header[protocol] = versions
		a := serve(t, h, r)
		require.Equal(t, rowNothing, rowOf(a), versions)
		require.Equal(t, "application/problem+json", a.Header.Get("Content-Type"))
	}
}

// TestBakeryOff: without the option the bakery's headers are those of nobody.
func TestBakeryOff(t *testing.T) {
	p := newParties(t)
	s := newService(t, httpauth.Options{})
	wallet, err := macaroon.NewWallet(s.mintNeeding(p))
	require.NoError(t, err)
	value := baked(t, p.all(wallet))
	h := s.auth.RequireFunc(operation, ok)
	require.Equal(t, rowNothing, rowOf(serve(t, h, withHeaders("GET", protocol, "3", "Macaroons", value, "Cookie", "macaroon-auth="+value))))
	a := serve(t, h, withHeaders("GET", protocol, "3", "Macaroons", value, "Authorization", s.bearer()))
	require.Equal(t, "billing Authorization", a.body+" "+a.Header.Get("Vary"))
	require.Equal(t, rowInvalid, rowOf(serve(t, h, withHeaders("GET", "Authorization", "Bearer "+value))))
}

// TestBakeryHostile: whatever stands in the header or the cookie, it is refused once, and nothing panics.
func TestBakeryHostile(t *testing.T) {
	s := bakeryService(t, newParties(t), nil)
	h := s.auth.RequireFunc(operation, ok)
	wallet, err := macaroon.NewWallet(s.mint())
	require.NoError(t, err)
	object := array(t, wallet)
	object = object[1 : len(object)-1]
	for text, reason := range map[string]verifier.Reason{
		`[null]`: verifier.Malformed,
		`[{"s64":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]`: verifier.Malformed,
		`[{}]`:                            verifier.Malformed,
		`[1]`:                             verifier.Malformed,
		`[[` + object + `]]`:              verifier.Malformed,
		`[` + object + `,null]`:           verifier.Malformed,
		`[` + object + `,""]`:             verifier.NotMacaroon,
		`[` + object + `] x`:              verifier.Malformed,
		`[` + object:                      verifier.Malformed,
		`[` + object + `,` + object:       verifier.Malformed,
		`[]`:                              verifier.NotMacaroon,
		object:                            verifier.NotMacaroon, // not in an array
		`"AgE"`:                           verifier.Malformed,
		``:                                verifier.NotMacaroon,
		`{`:                               verifier.Malformed,
		"\xff\xfe":                        verifier.NotMacaroon,
		"\x02\x01":                        verifier.Malformed,
		`null`:                            verifier.NotMacaroon,
		strings.Repeat(`[`, 9000):         verifier.Malformed,
		strings.Repeat(`[`, 16<<10):       verifier.Malformed,
		strings.Repeat(`[`, 16<<10+1):     verifier.OverLimit,
		strings.Repeat(` `, 1<<20):        verifier.OverLimit,
		`[` + object + `,` + object + `]`: verifier.UnusedDischarge,
	} {
		value := base64.StdEncoding.EncodeToString([]byte(text))
		for _, headers := range [][]string{{"Macaroons", value}, {"Cookie", "macaroon-auth=" + value}} {
			t.Run(fmt.Sprintf("%s %.40s %d", headers[0], text, len(text)), func(t *testing.T) {
				a := serve(t, h, withHeaders("GET", append(headers, protocol, "3")...))
				message := a.challenge(t).Message
				require.Equal(t, "The token is not valid.", message)
				require.Equal(t, rowInvalid, rowOf(serve(t, h, withHeaders("GET", headers...))))
				records := s.audited()
				require.Len(t, records, 2)
				require.Equal(t, reason, records[0].Err.Reason, records[0].Err.Detail())
				require.NotContains(t, s.log.String(), "panic")
			})
		}
	}
	for _, value := range []string{"%", "=", "====", "W251bGxd\x00", "W251 bGxd", "[null]", "{}", "+-", "é"} {
		r := withHeaders("GET")
		r.Header.Set("Macaroons", value)
		require.Equal(t, rowInvalid, rowOf(serve(t, h, r)), value)
		require.Equal(t, verifier.NotMacaroon, s.audited()[0].Err.Reason)
	}
}

// TestBakerySeveral: a request has one credential, wherever that stands.
func TestBakerySeveral(t *testing.T) {
	p := newParties(t)
	s := bakeryService(t, p, nil)
	h := s.auth.RequireFunc(operation, attested)
	wallet, err := macaroon.NewWallet(s.mintNeeding(p))
	require.NoError(t, err)
	value, bearer := baked(t, p.all(wallet)), s.bearer()
	for name, headers := range map[string][]string{
		"header and Authorization": {"Macaroons", value, "Authorization", bearer},
		"cookie and Authorization": {"Cookie", "macaroon-auth=" + value, "Authorization", bearer},
		"cookie and header":        {"Cookie", "macaroon-auth=" + value, "Macaroons", value},
		"two headers":              {"Macaroons", value, "Macaroons", value},
		"joined headers":           {"Macaroons", value + ", " + value},
		"many":                     {"Macaroons", strings.Repeat(",", 1<<16)},
		"two cookies":              {"Cookie", "macaroon-auth=" + value + "; macaroon-auth=" + value},
		"two lines of cookies":     {"Cookie", "macaroon-auth=" + value, "Cookie", "macaroon-auth=" + value},
		"header and broken":        {"Macaroons", value, "Authorization", "Bearer"},
		"header and two":           {"Macaroons", value, "Authorization", bearer, "Authorization", bearer},
	} {
		t.Run(name, func(t *testing.T) {
			a := serve(t, h, withHeaders("GET", append(headers, protocol, "3")...))
			require.Equal(t, rowSyntax, rowOf(a))
			records := s.audited()
			require.Len(t, records, 1)
			require.Equal(t, verifier.InvalidRequest, records[0].Err.Reason)
		})
	}
}

// TestBakeryCookies: a cookie that another site had the browser send is not looked at.
func TestBakeryCookies(t *testing.T) {
	p := newParties(t)
	trusting := http.NewCrossOriginProtection()
	require.NoError(t, trusting.AddTrustedOrigin("https://shop.example"))
	protections := map[string]*http.CrossOriginProtection{"none": nil, "default": http.NewCrossOriginProtection(), "trusting": trusting}
	for _, row := range []struct {
		name    string
		method  string
		headers []string
		allowed []string // with which protection
	}{
		{"no browser", "POST", nil, []string{"default", "trusting"}},
		{"same origin", "POST", []string{"Sec-Fetch-Site", "same-origin"}, []string{"default", "trusting"}},
		{"typed by the user", "POST", []string{"Sec-Fetch-Site", "none"}, []string{"default", "trusting"}},
		{"another site", "POST", []string{"Sec-Fetch-Site", "cross-site"}, nil},
		{"a sibling", "DELETE", []string{"Sec-Fetch-Site", "same-site"}, nil},
		{"another origin", "PUT", []string{"Origin", "https://evil.example"}, nil},
		{"the same origin", "PUT", []string{"Origin", "https://orders.example"}, []string{"default", "trusting"}},
		{"a form in a frame", "POST", []string{"Origin", "null"}, nil},
		{"trusted", "POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://shop.example"}, []string{"trusting"}},
		{"only reading", "GET", []string{"Sec-Fetch-Site", "cross-site"}, []string{"default", "trusting"}},
	} {
		for name, protection := range protections {
			t.Run(row.name+", "+name, func(t *testing.T) {
				s := bakeryService(t, p, func(b *httpauth.Bakery) { b.Cookies, b.CookieName, b.Path = protection, "orders", "/orders" })
				h := s.auth.RequireFunc(operation, attested)
				wallet, err := macaroon.NewWallet(s.mintNeeding(p))
				require.NoError(t, err)
				value := baked(t, p.all(wallet))
				a := serve(t, h, withHeaders(row.method, append(row.headers, "Cookie", "macaroon-orders="+value)...))
				want := rowNothing
				if slices.Contains(row.allowed, name) {
					want = allowed
				}
				require.Equal(t, want, rowOf(a))
				require.Len(t, s.audited(), 1)

				// The header can be sent by nobody but who has the token.
				a = serve(t, h, withHeaders(row.method, append(row.headers, "Macaroons", value)...))
				require.Equal(t, allowed, rowOf(a))
				c := serve(t, h, withHeaders(row.method, append(row.headers, protocol, "2")...)).challenge(t)
				require.Equal(t, "/orders orders", c.Info.MacaroonPath+" "+c.Info.CookieNameSuffix)
				// The name is compared whole.
				a = serve(t, h, withHeaders(row.method, "Cookie", "macaroon-auth="+value+"; Macaroon-orders="+value+"; orders="+value))
				require.Equal(t, rowNothing, rowOf(a))
			})
		}
	}
}

// TestBakeryMint: what should not be handed out is not, and those who run the service learn of it.
func TestBakeryMint(t *testing.T) {
	p := newParties(t)
	keys := newService(t, httpauth.Options{})
	for name, row := range map[string]struct {
		mint   func(*http.Request) (macaroon.Macaroon, error)
		logged string
	}{
		"an error":         {func(*http.Request) (macaroon.Macaroon, error) { return keys.mintNeeding(p), errors.New("no luck") }, "no luck"},
		"a panic":          {func(*http.Request) (macaroon.Macaroon, error) { panic("panic-value-" + leak) }, "panic with a string"},
		"nothing":          {func(*http.Request) (macaroon.Macaroon, error) { return macaroon.Macaroon{}, nil }, "good for anybody"},
		"for anybody":      {func(*http.Request) (macaroon.Macaroon, error) { return keys.mint(), nil }, "good for anybody"},
		"only restricting": {func(*http.Request) (macaroon.Macaroon, error) { return keys.mint(caveat.Methods("GET")), nil }, "good for anybody"},
	} {
		t.Run(name, func(t *testing.T) {
			s := bakeryService(t, p, func(b *httpauth.Bakery) { b.Mint = row.mint })
			a := serve(t, s.auth.RequireFunc(operation, ok), withHeaders("GET", protocol, "3"))
			require.Equal(t, rowUndecided, rowOf(a))
			require.Equal(t, "application/problem+json", a.Header.Get("Content-Type"))
			require.Equal(t, "1", a.Header.Get("Retry-After"))
			require.NotContains(t, a.body, "Macaroon")
			require.Equal(t, s.audited()[0].Err.Instance, a.problem(t).Instance)
			require.Contains(t, s.log.String(), row.logged)
			require.Contains(t, s.log.String(), a.problem(t).Instance)
			require.NotContains(t, s.log.String(), leak)
		})
	}
}

// TestBakeryRefusals: to whoever does not speak its protocol a service for the bakery's clients answers as any other,
// and what is no lack of authentication it answers so to all.
func TestBakeryRefusals(t *testing.T) {
	p := newParties(t)
	s := bakeryService(t, p, nil)
	h := s.auth.RequireFunc(operation, ok)
	for _, row := range situations(s) {
		if _, read := row.also["Macaroons"]; read {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			for _, version := range []string{"", "3"} {
				if row.during != nil {
					row.during(s.source)
				}
				method := row.method
				if method == "" {
					method = http.MethodGet
				}
				r := httptest.NewRequest(method, "/orders/7"+row.query, nil)
				r.Header = row.also.Clone()
				if r.Header == nil {
					r.Header = make(http.Header)
				}
				r.Header["Authorization"] = row.header
				r.Header.Set(protocol, version)
				a := serve(t, h, r)
				*s.source = source{Source: s.keys}
				want := row.row
				if version != "" && strings.HasPrefix(want, "401") {
					want = rowChallenge
				}
				require.Equal(t, want, rowOf(a))
				require.Len(t, s.audited(), 1)
				if want == rowChallenge {
					a.challenge(t)
					a.body, _, _ = strings.Cut(a.body, `"Info"`) // the macaroon that was minted for it
				}
				requireNoSecret(t, a, s.log.String(), row.header)
			}
		})
	}
}

func TestBakeryOptions(t *testing.T) {
	s := newService(t, httpauth.Options{})
	_, err := httpauth.New(s.verifier, httpauth.Options{Realm: "\n", Bakery: &httpauth.Bakery{CookieName: "a;b", Path: "orders"}})
	require.Error(t, err)
	for _, part := range []string{"realm", "nothing mints", "cookie name", "path"} {
		require.ErrorContains(t, err, part)
	}
	for _, path := range []string{"//", "/a/../b", "/%2f", "https://evil.example/", "/a b"} {
		_, err := httpauth.New(s.verifier, httpauth.Options{Bakery: &httpauth.Bakery{
			Mint: func(*http.Request) (macaroon.Macaroon, error) { return macaroon.Macaroon{}, nil }, Path: path}})
		require.ErrorContains(t, err, "bakery: path", path)
	}
}

// FuzzMacaroons: what is let in is a credential that the same verifier lets in as text.
func FuzzMacaroons(f *testing.F) {
	p := newParties(f)
	s := bakeryService(f, p, nil)
	wallet, err := macaroon.NewWallet(s.mintNeeding(p))
	require.NoError(f, err)
	good := array(f, p.all(wallet))
	for _, seed := range []string{"[null]", "[]", `[{"s64":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]`, good, good + " ", "[" + good + "]", "\x02"} {
		f.Add(seed)
	}
	h := s.auth.RequireFunc(operation, attested)
	f.Fuzz(func(t *testing.T, text string) {
		value := base64.StdEncoding.EncodeToString([]byte(text))
		a := serve(t, h, withHeaders("GET", "Macaroons", value))
		require.Len(t, s.audited(), 1)
		credential, _, err := legacy.Import([]byte(text))
		if err != nil {
			require.Equal(t, http.StatusUnauthorized, a.StatusCode)
			return
		}
		plain, err := credential.Encode()
		require.NoError(t, err)
		other := serve(t, h, withHeaders("GET", "Authorization", "Bearer "+plain))
		s.audited()
		if !strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "[") {
			require.Equal(t, http.StatusUnauthorized, a.StatusCode)
			return
		}
		require.Equal(t, rowOf(other), rowOf(a))
		require.Equal(t, instance.ReplaceAllString(other.body, ""), instance.ReplaceAllString(a.body, ""))
	})
}
