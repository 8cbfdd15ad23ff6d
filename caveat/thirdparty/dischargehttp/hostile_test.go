package dischargehttp_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
)

// plain is a third-party caveat of these parts.
func plain(id, location string) macaroon.Caveat {
	return macaroon.ThirdParty([]byte(strings.Repeat("k", 24)), id, location)
}

// discharges makes a handler that answers every request for a discharge with what it is told to.
func discharges(t testing.TB, made func(id string) (macaroon.Macaroon, map[string]string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		m, payloads := made(caveatID(r))
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(struct{ Macaroon dischargehttp.BakeryMacaroon }{dischargehttp.BakeryMacaroon{Macaroon: m, Payloads: payloads}})
	}
}

// caveatID gives what a client asks for, or nothing.
func caveatID(r *http.Request) string {
	id, _ := base64.RawURLEncoding.DecodeString(r.FormValue("id64"))
	return string(id)
}

func newMacaroon(t testing.TB, id string, caveats ...macaroon.Caveat) macaroon.Macaroon {
	m, err := macaroon.New([]byte(strings.Repeat("k", 24)), id, "")
	if err == nil {
		m, err = m.Attenuate(caveats...)
	}
	if err != nil {
		t.Error(err)
	}
	return m
}

// A third party whose discharges ask for further ones, for as long as it is asked: of itself, of itself by the same
// caveat, of itself by many, and of another one that does the same.
func TestHostileNeverEnough(t *testing.T) {
	for name, row := range map[string]struct {
		more func(n int64, self, other string) []macaroon.Caveat
		want error
		most int64 // requests
	}{
		"another one": {func(n int64, self, _ string) []macaroon.Caveat {
			return []macaroon.Caveat{plain(fmt.Sprint("more ", n), self)}
		}, dischargehttp.ErrTooMany, 4},
		"the same": {func(_ int64, self, _ string) []macaroon.Caveat {
			return []macaroon.Caveat{plain("first", self)}
		}, dischargehttp.ErrTwice, 1},
		"many": {func(n int64, self, _ string) (list []macaroon.Caveat) {
			for i := range 64 {
				list = append(list, plain(fmt.Sprint("more ", n, " ", i), self))
			}
			return list
		}, dischargehttp.ErrTooMany, 1},
		"a few each time": {func(n int64, self, _ string) (list []macaroon.Caveat) {
			for i := range 4 {
				list = append(list, plain(fmt.Sprint("more ", n, " ", i), self))
			}
			return list
		}, dischargehttp.ErrTooMany, 5},
		"by way of another": {func(n int64, self, other string) []macaroon.Caveat {
			return []macaroon.Caveat{plain(fmt.Sprint("more ", n), other)}
		}, dischargehttp.ErrTooMany, 4},
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int64
			var locations [2]string
			handler := func(self int) http.Handler {
				return discharges(t, func(id string) (macaroon.Macaroon, map[string]string) {
					n := requests.Add(1)
					return newMacaroon(t, id, row.more(n, locations[self], locations[1-self])...), nil
				})
			}
			locations[0], locations[1] = serve(t, handler(0)).URL, serve(t, handler(1)).URL
			c := newClient(t, dischargehttp.ClientOptions{}, locations[:]...)
			w := newOrders(t).wallet(t, plain("first", locations[0]))
			_, err := c.Discharge(soon(t), w)
			require.ErrorIs(t, err, row.want)
			var at *dischargehttp.Error
			require.ErrorAs(t, err, &at)
			require.Contains(t, locations, at.Location)
			require.Contains(t, err.Error(), at.Location)
			require.Equal(t, row.most, requests.Load())
		})
	}
}

// Discharges that each are within what a wallet can hold, and together are not.
func TestHostileTogetherTooMuch(t *testing.T) {
	c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(discharges(t, func(id string) (macaroon.Macaroon, map[string]string) {
		return newMacaroon(t, id, slices.Repeat([]macaroon.Caveat{macaroon.Condition("x")}, 64)...), nil
	}))}, home)
	w := newOrders(t).wallet(t, plain("a", home), plain("b", home), plain("c", home), plain("d", home))
	_, err := c.Discharge(soon(t), w)
	require.ErrorIs(t, err, macaroon.ErrLimit)
}

// A token that asks twice for one discharge, of one third party or of two, has nobody asked.
func TestHostileTwins(t *testing.T) {
	const other = "https://other.example"
	c := newClient(t, dischargehttp.ClientOptions{Base: roundTripper(func(*http.Request) (*http.Response, error) {
		t.Error("asked")
		return nil, io.EOF
	})}, home, other)
	for _, location := range []string{home, other} {
		_, err := c.Discharge(soon(t), newOrders(t).wallet(t, plain("x", home), plain("x", location)))
		require.ErrorIs(t, err, dischargehttp.ErrTwice)
		var at *dischargehttp.Error
		require.ErrorAs(t, err, &at)
		require.Equal(t, location, at.Location)
		require.Equal(t, macaroon.CaveatReference("x"), at.Reference)
	}
}

// The location that is named is that of the one which asks for more, not of the one that it asks for.
func TestHostileIsNamed(t *testing.T) {
	var innocent, hostile string
	innocentServer := serve(t, discharges(t, func(id string) (macaroon.Macaroon, map[string]string) { return newMacaroon(t, id), nil }))
	hostileServer := serve(t, discharges(t, func(id string) (macaroon.Macaroon, map[string]string) {
		var list []macaroon.Caveat
		for i := range 30 {
			list = append(list, plain(fmt.Sprint(i), innocent))
		}
		return newMacaroon(t, id, list...), nil
	}))
	innocent, hostile = innocentServer.URL, hostileServer.URL
	c := newClient(t, dischargehttp.ClientOptions{}, innocent, hostile)
	_, err := c.Discharge(soon(t), newOrders(t).wallet(t, plain("a", innocent), plain("b", hostile)))
	var at *dischargehttp.Error
	require.ErrorAs(t, err, &at)
	require.Equal(t, hostile, at.Location)
}

// What is sent instead of a discharge.
func TestHostileAnswers(t *testing.T) {
	token := func(t *testing.T) macaroon.Macaroon { return newOrders(t).wallet(t).Primary() }
	asJSON := func(t *testing.T, m macaroon.Macaroon) string {
		text, err := legacy.ExportV2JSON(m)
		require.NoError(t, err)
		return string(text)
	}
	for name, body := range map[string]func(t *testing.T) string{
		"nothing":                     func(*testing.T) string { return "" },
		"null":                        func(*testing.T) string { return "null" },
		"no macaroon":                 func(*testing.T) string { return `{}` },
		"a null macaroon":             func(*testing.T) string { return `{"Macaroon":null}` },
		"an empty macaroon":           func(*testing.T) string { return `{"Macaroon":{}}` },
		"a macaroon that is a number": func(*testing.T) string { return `{"Macaroon":3}` },
		"a macaroon without an id":    func(*testing.T) string { return `{"Macaroon":{"s64":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}` },
		"a wrapped null":              func(*testing.T) string { return `{"Macaroon":{"m":null,"v":3}}` },
		"deeply nested":               func(*testing.T) string { return `{"Macaroon":` + strings.Repeat(`{"m":`, 9000) },
		"another version of wrapping": func(t *testing.T) string {
			return `{"Macaroon":{"m":` + asJSON(t, newMacaroon(t, "asked")) + `,"v":4}}`
		},
		"version 1 in a wrapping": func(t *testing.T) string {
			return `{"Macaroon":{"m":{"caveats":[],"location":"","identifier":"asked","signature":"` + strings.Repeat("00", 32) + `"},"v":3}}`
		},
		"a payload that is not base64": func(t *testing.T) string {
			return `{"Macaroon":{"m":` + asJSON(t, newMacaroon(t, "asked")) + `,"v":3,"cdata":{"!":"AA"}}}`
		},
		"a payload twice": func(t *testing.T) string {
			return `{"Macaroon":{"m":` + asJSON(t, newMacaroon(t, "asked")) + `,"v":3,"cdata":{"AA":"AA","AA==":"AB"}}}`
		},
		"a list": func(t *testing.T) string { return `{"Macaroon":[` + asJSON(t, newMacaroon(t, "asked")) + `]}` },
		"two": func(t *testing.T) string {
			m := asJSON(t, newMacaroon(t, "asked"))
			return `{"Macaroon":[` + m + `,` + m + `]}`
		},
		"the discharge of another": func(t *testing.T) string { return `{"Macaroon":` + asJSON(t, newMacaroon(t, "another")) + `}` },
		"a primary token":          func(t *testing.T) string { return `{"Macaroon":` + asJSON(t, token(t)) + `}` },
		"text":                     func(*testing.T) string { return `discharged` },
	} {
		t.Run(name, func(t *testing.T) {
			answer := body(t)
			server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, answer)
			}))
			_, err := newClient(t, dischargehttp.ClientOptions{}, server.URL).Discharge(soon(t), newOrders(t).wallet(t, plain("asked", server.URL)))
			require.ErrorIs(t, err, dischargehttp.ErrResponse)
			var at *dischargehttp.Error
			require.ErrorAs(t, err, &at)
			require.Equal(t, server.URL, at.Location)
			require.Less(t, len(err.Error()), 400)
		})
	}
}

// A discharge that is what it should be is taken in each form: this is what makes the rows above mean something.
func TestDischargeForms(t *testing.T) {
	m := newMacaroon(t, "asked", macaroon.Condition("declared user ann"))
	v2, err := legacy.ExportV2JSON(m)
	require.NoError(t, err)
	v1, err := legacy.ExportV1JSON(m)
	require.NoError(t, err)
	binary, err := m.Encode()
	require.NoError(t, err)
	for name, body := range map[string]string{
		"version 1":             `{"Macaroon":` + string(v1) + `}`,
		"version 2":             `{"Macaroon":` + string(v2) + `}`,
		"version 3":             `{"Macaroon":{"m":` + string(v2) + `,"v":3,"ns":"std:"}}`,
		"no namespace":          `{"Macaroon":{"m":` + string(v2) + `,"v":3,"cdata":{}}}`,
		"a null namespace":      `{"Macaroon":{"m":` + string(v2) + `,"v":3,"ns":null}}`,
		"binary":                `{"Macaroon":"` + binary + `"}`,
		"binary in the wrapper": `{"Macaroon":{"m":"` + binary + `","v":3}}`,
		"other letters":         `{"macaroon":{"M":` + string(v2) + `,"V":3}}`,
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json; charset=utf-8")
				io.WriteString(w, body)
			}))
			w, err := newClient(t, dischargehttp.ClientOptions{}, server.URL).Discharge(soon(t), newOrders(t).wallet(t, plain("asked", server.URL)))
			require.NoError(t, err)
			require.Equal(t, "asked", w.Discharges()[0].Identifier())
		})
	}
}

// A redirect is not followed, to wherever it leads, whoever answers: the client's headers go to no other.
func TestHostileRedirects(t *testing.T) {
	elsewhere := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{elsewhere.URL + "/discharge", "/elsewhere"} {
			mux := http.NewServeMux()
			mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, status) })
			mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
			server := serve(t, mux)
			_, err := newClient(t, dischargehttp.ClientOptions{Identity: as("ann")}, server.URL).Discharge(soon(t), newOrders(t).wallet(t, plain("x", server.URL)))
			require.ErrorIs(t, err, dischargehttp.ErrResponse)
			locator, err := dischargehttp.NewLocator([]string{server.URL}, dischargehttp.LocatorOptions{})
			require.NoError(t, err)
			_, _, err = locator.ThirdParty(soon(t), server.URL)
			require.ErrorIs(t, err, dischargehttp.ErrResponse)
		}
	}
}

// One that sends a gigabyte gets rid of a small part of it.
func TestHostileGigabyte(t *testing.T) {
	const gigabyte = 1 << 30
	var sent atomic.Int64
	done := make(chan struct{}, 2)
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer func() { done <- struct{}{} }()
		w.Header().Set("Content-Type", "application/json")
		chunk := []byte(strings.Repeat(" ", 1<<16))
		for range gigabyte / len(chunk) {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	_, err := newClient(t, dischargehttp.ClientOptions{}, server.URL).Discharge(soon(t), newOrders(t).wallet(t, plain("x", server.URL)))
	require.ErrorIs(t, err, dischargehttp.ErrResponse)
	received(t, done)
	locator, err := dischargehttp.NewLocator([]string{server.URL}, dischargehttp.LocatorOptions{})
	require.NoError(t, err)
	_, _, err = locator.ThirdParty(soon(t), server.URL)
	require.ErrorIs(t, err, dischargehttp.ErrResponse)
	received(t, done)
	require.Less(t, sent.Load(), int64(gigabyte/8), "what the system buffers, and no more")
}

// One that never answers, or never ends its answer, holds nobody for longer than the timeout.
func TestHostileSilence(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"no answer": func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		},
		"half an answer": func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			io.WriteString(w, `{"Macaroon":`)
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, h)
			c := newClient(t, dischargehttp.ClientOptions{Timeout: 20 * time.Millisecond}, server.URL)
			_, err := c.Discharge(soon(t), newOrders(t).wallet(t, plain("x", server.URL)))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.True(t, caveat.IsUndecided(err))
		})
	}
}

// Anybody who holds a token can write any location into it. Nothing is sent there.
func TestHostileLocations(t *testing.T) {
	asked := 0
	refuseAll := roundTripper(func(r *http.Request) (*http.Response, error) {
		asked++
		require.Equal(t, "id.example", r.URL.Hostname())
		return nil, io.ErrUnexpectedEOF
	})
	c := newClient(t, dischargehttp.ClientOptions{Base: refuseAll}, "https://id.example", "https://id.example/tenants/acme/")
	locator, err := dischargehttp.NewLocator([]string{"https://id.example", "https://id.example/tenants/acme"}, dischargehttp.LocatorOptions{Base: refuseAll})
	require.NoError(t, err)
	for _, location := range []string{
		"", "local", "/", "id.example", "//id.example", "?", "https://", "https:", "https:id.example",
		"http://169.254.169.254", "http://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/", "http://metadata.google.internal",
		"http://127.0.0.1", "http://localhost:8080", "https://127.1", "https://0x7f000001", "https://2130706433", "https://[::1]", "https://[::ffff:169.254.169.254]",
		"http://id.example", "https://id.example:8443", "https://id.example:80", "https://id.example:0443", "https://id.example:", "ftp://id.example",
		"https://user@id.example", "https://id.example@evil.example", "https://id.example:443@evil.example", "https://user:password@id.example", "https://@id.example",
		"https://id.example.evil.example", "https://evil.example/https://id.example", "https://evilid.example", "https://id.example.", "https://id.examp1e",
		"https://id.example/other", "https://id.example/tenants", "https://id.example/tenants/acme/..", "https://id.example/tenants/acme/../evil", "https://id.example/tenants//acme",
		"https://id.example/tenants/%61cme", "https://id.example/tenants%2Facme", "https://id.example/tenants/ACME", "https://id.example/./", "https://id.example//",
		"https://id.example?x=y", "https://id.example/?", "https://id.example#x", "https://id.example/#", `https://id.example\@evil.example`, "https://id.example\r\nHost: evil.example",
		" https://id.example", "https://id.example ", "https://id.example\x00", "https://ıd.example", "https://xn--d-fja.example", "file:///etc/passwd", "data:,x", "javascript:alert(1)",
	} {
		_, err := c.Discharge(soon(t), newOrders(t).wallet(t, plain("x", location)))
		require.ErrorIs(t, err, dischargehttp.ErrNotAllowed, location)
		_, found, err := locator.ThirdParty(soon(t), location)
		require.NoError(t, err)
		require.False(t, found, location)
	}
	require.Zero(t, asked)

	// Other spellings of what is allowed are.
	for _, location := range []string{"https://id.example", "https://id.example/", "HTTPS://ID.Example", "https://id.example:443", "https://id.example/tenants/acme"} {
		asked = 0
		_, err := c.Discharge(soon(t), newOrders(t).wallet(t, plain("x", location)))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, location)
		_, _, err = locator.ThirdParty(soon(t), location)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, location)
		require.Equal(t, 2, asked)
	}
}

// Where an interaction leads is held to the same rules.
func TestHostileInteractions(t *testing.T) {
	opened := 0
	browser, err := dischargehttp.Browser(func(context.Context, string) error { opened++; return nil }, "https://login.example")
	require.NoError(t, err)
	visit := func(u string) string {
		text, _ := json.Marshal(map[string]string{"VisitURL": u, "WaitTokenURL": "discharge/wait-token?flow=x"})
		return `{"browser-window":` + string(text) + `}`
	}
	wait := func(kind, u string) string {
		text, _ := json.Marshal(map[string]string{"VisitURL": "login", "WaitTokenURL": u})
		return `{"` + kind + `":` + string(text) + `}`
	}
	for methods, want := range map[string]error{
		`{}`: dischargehttp.ErrInteraction, `{"agent":{"login-url":"x"}}`: dischargehttp.ErrInteraction, `null`: dischargehttp.ErrInteraction,
		`{"browser-window":null}`: dischargehttp.ErrNotAllowed, `{"browser-window":3}`: dischargehttp.ErrResponse,
		visit(""): dischargehttp.ErrNotAllowed, visit("https://evil.example/login"): dischargehttp.ErrNotAllowed, visit("http://id.example/login"): dischargehttp.ErrNotAllowed,
		visit("javascript:alert(1)"): dischargehttp.ErrNotAllowed, visit("file:///etc/passwd"): dischargehttp.ErrNotAllowed, visit("//evil.example/"): dischargehttp.ErrNotAllowed,
		visit("https://id.example@evil.example/"): dischargehttp.ErrNotAllowed, visit("https://x@id.example/"): dischargehttp.ErrNotAllowed, visit("http://login.example/"): dischargehttp.ErrNotAllowed,
		visit("https://login.example:8443/"): dischargehttp.ErrNotAllowed, visit("-evil"): nil, visit("https://login.example/here"): nil, visit("/login"): nil,
		wait("browser-window", "https://evil.example/"): dischargehttp.ErrNotAllowed, wait("browser-window", "https://login.example/"): dischargehttp.ErrNotAllowed,
		wait("browser-window", ""): dischargehttp.ErrResponse, wait("poll", "http://169.254.169.254/"): dischargehttp.ErrNotAllowed, wait("poll", ""): dischargehttp.ErrResponse,
	} {
		waited := false
		c := newClient(t, dischargehttp.ClientOptions{Interactors: []dischargehttp.Interactor{browser}, Base: inProcess(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.URL.Path != "/discharge" {
				require.Equal(t, "id.example", r.URL.Host)
				waited = true
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"Code":"interaction required","Info":{"InteractionMethods":`+methods+`}}`)
		}))}, "https://id.example")
		opened = 0
		_, err := c.Discharge(soon(t), newOrders(t).wallet(t, plain("x", "https://id.example")))
		if want != nil {
			require.ErrorIs(t, err, want, methods)
			require.False(t, waited, methods)
			continue
		}
		var refusal *dischargehttp.Refusal
		require.ErrorAs(t, err, &refusal, methods)
		require.Equal(t, http.StatusNotFound, refusal.Status)
		require.True(t, waited)
		require.Equal(t, 1, opened)
	}
}

// A third party's text is quoted and cut, and what it set as cookies never comes back.
func TestHostileTextAndCookies(t *testing.T) {
	cookies := 0
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookies += len(r.Cookies())
		http.SetCookie(w, &http.Cookie{Name: "tracker", Value: "1", Path: "/"})
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		text, _ := json.Marshal(strings.Repeat("evil\n\x1b[31m", 1000))
		io.WriteString(w, `{"code":"no","message":`+string(text)+`}`)
	}))
	c := newClient(t, dischargehttp.ClientOptions{}, server.URL)
	for range 2 {
		_, err := c.Discharge(soon(t), newOrders(t).wallet(t, plain("x", server.URL)))
		var refusal *dischargehttp.Refusal
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, "no", refusal.Code)
		require.NotContains(t, err.Error(), "\n")
		require.NotContains(t, err.Error(), "\x1b")
		require.Less(t, len(err.Error()), 600)
	}
	require.Zero(t, cookies)
}

// A discharge can say what the caveats of its own stand for, and of no others, even if it has one of the same id.
func TestHostilePayloads(t *testing.T) {
	for name, row := range map[string]struct {
		caveats []string // of the discharge
		asked   []url.Values
		want    error
	}{
		"of others": {[]string{"nested"}, []url.Values{
			{"id64": {rawURL64("first")}},
			{"id64": {rawURL64("second")}},
			{"id64": {rawURL64("nested")}, "caveat64": {rawURL64("its payload")}},
		}, nil},
		"of others that it has too": {[]string{"second"}, []url.Values{
			{"id64": {rawURL64("first")}},
			{"id64": {rawURL64("second")}},
		}, dischargehttp.ErrTwice},
	} {
		t.Run(name, func(t *testing.T) {
			var got []url.Values
			oneByOne := []dischargehttp.Interactor{interactor(nil)}
			c := newClient(t, dischargehttp.ClientOptions{Interactors: oneByOne, Base: inProcess(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.ParseForm()
				got = append(got, r.Form)
				discharges(t, func(id string) (macaroon.Macaroon, map[string]string) {
					if id != "first" {
						return newMacaroon(t, id), nil
					}
					var list []macaroon.Caveat
					for _, id := range row.caveats {
						list = append(list, plain(id, home))
					}
					return newMacaroon(t, id, list...), map[string]string{"nested": "its payload", "second": "not its business", "first": "nor this"}
				})(w, r)
			}))}, home)
			_, err := c.Discharge(soon(t), newOrders(t).wallet(t, plain("first", home), plain("second", home)))
			require.ErrorIs(t, err, row.want)
			require.Equal(t, row.asked, got)
		})
	}
}

// The limits are those of the options, and they count what was got for one wallet, in all rounds.
func TestLimitsAreThoseOfTheOptions(t *testing.T) {
	for want, options := range map[int]dischargehttp.ClientOptions{
		3: {Discharges: 3, Rounds: 100},
		6: {Discharges: 100, Rounds: 6},
	} {
		requests := 0
		options.Base = inProcess(discharges(t, func(id string) (macaroon.Macaroon, map[string]string) {
			requests++
			return newMacaroon(t, id, plain(id+"+", home)), nil
		}))
		_, err := newClient(t, options, home).Discharge(soon(t), newOrders(t).wallet(t, plain("x", home)))
		require.ErrorIs(t, err, dischargehttp.ErrTooMany)
		require.Equal(t, want, requests)
	}
}

// A caveat id and what it stands for are two things: no other two are taken for them. And the caller's stay his.
func TestPayloadsAreToldApart(t *testing.T) {
	c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(discharges(t, func(id string) (macaroon.Macaroon, map[string]string) {
		if id == "more" {
			return newMacaroon(t, id), nil
		}
		return newMacaroon(t, id, plain("more", home)), map[string]string{"more": "payload"}
	}))}, home)
	for id, payload := range map[string]string{"ab": "c", "a": "bc", "abc": ""} {
		payloads := map[string]string{id: payload}
		primary := newOrders(t).wallet(t, plain(id, home)).Primary()
		w, err := c.DischargeBakery(soon(t), dischargehttp.BakeryMacaroon{Macaroon: primary, Payloads: payloads})
		require.NoError(t, err)
		require.Equal(t, id, w.Discharges()[0].Identifier())
		require.Equal(t, map[string]string{id: payload}, payloads)
	}
}
