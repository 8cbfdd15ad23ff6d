package dischargehttp_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
)

// Whatever a client sends, it gets one JSON answer, and a discharge only if it asked for one by a caveat id.
func FuzzService(f *testing.F) {
	flows, err := dischargehttp.NewFlows("login", dischargehttp.FlowOptions{Lifetime: 1})
	require.NoError(f, err)
	s := newService(f, members, dischargehttp.ServiceOptions{Caller: byHeader, Flows: flows, Failures: 1 << 30})
	good := caveatFor(f, s, 3, isMember)
	for _, version := range []string{"3", "2", "1", ""} {
		f.Add("/discharge", "id64="+rawURL64(good), "", version)
		f.Add("/discharge", "", "id64="+url.QueryEscape(std64(good)), version)
		f.Add("/discharge", "caveat64="+rawURL64(good), "id=%03%00", version)
		f.Add("/discharge", "id=e30%3D", "token=x&token-kind=browser-window", version)
		f.Add("/discharge/wait-token", "flow=x", "", version)
		f.Add("/discharge", "%zz;&&==", "a;b", version)
	}
	f.Fuzz(func(t *testing.T, path, query, body, version string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.URL.Path, r.URL.RawQuery = path, query
		if strings.HasPrefix(path, "/discharge/") {
			r.Method = http.MethodGet
		}
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, callerHeader: {"ann"}, "Bakery-Protocol-Version": {version}, "Prefer": {version}}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if path != "/discharge" && path != "/discharge/wait-token" {
			return
		}
		require.True(t, json.Valid(w.Body.Bytes()))
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		if w.Code == http.StatusOK {
			require.Contains(t, []string{"2", "3"}, strings.TrimLeft(version, "0"), "or a newer one")
			var got struct{ Macaroon dischargehttp.BakeryMacaroon }
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
			require.NotEmpty(t, got.Macaroon.Macaroon.Identifier())
		}
	})
}

// Whatever a third party answers, a client gives the discharge that was asked for, or an error.
func FuzzClient(f *testing.F) {
	for _, seed := range []string{
		`{"Macaroon":{"m":{"c":[{"i":"declared user ann"}],"i":"asked","s64":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},"v":3,"cdata":{"AA":"AA"},"ns":"std:"}}`,
		`{"macaroon":{"caveats":[],"location":"","identifier":"asked","signature":"` + strings.Repeat("00", 32) + `"}}`,
		`{"Code":"interaction required","Info":{"InteractionMethods":{"poll":{"WaitTokenURL":"x"}}}}`,
		`{"Code":"permission denied","Message":"no"}`,
		`{"kind":"poll","token64":"AA=="}`,
		`{"PublicKey":"B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHw=","Version":3}`,
	} {
		f.Add(seed, 200, seed)
		f.Add(seed, 401, seed)
	}
	o := newOrders(f)
	f.Fuzz(func(t *testing.T, first string, status int, then string) {
		if status < 200 || status > 599 || status == http.StatusAccepted {
			return
		}
		answers := 0
		base := inProcess(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if answers++; answers == 1 {
				w.WriteHeader(status)
				io.WriteString(w, first)
				return
			}
			io.WriteString(w, then)
		}))
		c := newClient(t, dischargehttp.ClientOptions{Base: base}, home)
		w, err := c.Discharge(soon(t), o.wallet(t, plain("asked", home)))
		require.LessOrEqual(t, answers, 15+3)
		if err != nil {
			require.True(t, w.IsZero())
			require.True(t, utf8.ValidString(err.Error()))
			require.NotContains(t, err.Error(), "\n")
		} else {
			require.Empty(t, w.Missing())
			require.Equal(t, "asked", w.Discharges()[0].Identifier())
		}
		answers = 0
		party, found, err := newLocator(t, dischargehttp.LocatorOptions{Base: base}, home).ThirdParty(soon(t), home)
		require.Equal(t, err == nil, found)
		require.Equal(t, found, !party.Key.IsZero())
	})
}

// What is read is written again, and read as the same.
func FuzzBakeryMacaroon(f *testing.F) {
	f.Add(`{"m":{"c":[{"i":"declared user ann"}],"i":"asked","s64":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},"v":3,"cdata":{"AA":"AA"},"ns":"std:"}`)
	f.Add(`{"c":[],"i64":"AwA","s64":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`)
	f.Add(`{"caveats":[],"location":"","identifier":"asked","signature":"` + strings.Repeat("00", 32) + `"}`)
	f.Add(`{"s64":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`)
	f.Add(`[null]`)
	f.Fuzz(func(t *testing.T, data string) {
		var m, again dischargehttp.BakeryMacaroon
		if json.Unmarshal([]byte(data), &m) != nil {
			require.Zero(t, m.Version)
			require.True(t, m.Macaroon.IsZero())
			return
		}
		if m.Macaroon.IsZero() { // null leaves it alone
			require.Equal(t, "null", strings.TrimSpace(data))
			return
		}
		written, err := json.Marshal(m)
		if m.Version == 1 && err != nil {
			return // v1 binary holds what v1 JSON can't
		}
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(written, &again))
		require.Equal(t, m.Version, again.Version)
		require.Equal(t, m.Payloads, again.Payloads)
		a, err := m.Macaroon.Encode()
		require.NoError(t, err)
		b, err := again.Macaroon.Encode()
		require.NoError(t, err)
		require.Equal(t, a, b)
	})
}

// A location that comes with a token leads nowhere but to what was allowed.
func FuzzLocation(f *testing.F) {
	for _, seed := range []string{home, home + "/", home + ":443", "https://id.example@evil.example", "https://a@id.example", "http://169.254.169.254/", "https://id.example/tenants/acme", `https://id.example\@x`, "local", "\x00"} {
		f.Add(seed)
	}
	o := newOrders(f)
	f.Fuzz(func(t *testing.T, location string) {
		if len(location) > 512 {
			return
		}
		sent := 0
		c := newClient(t, dischargehttp.ClientOptions{Base: roundTripper(func(r *http.Request) (*http.Response, error) {
			sent++
			require.Equal(t, "https://id.example/tenants/acme/discharge", r.URL.String())
			require.Equal(t, "id.example", r.Host)
			return nil, io.EOF
		})}, "https://id.example/tenants/acme")
		_, err := c.Discharge(soon(t), o.wallet(t, plain("x", location)))
		require.Error(t, err)
		if sent == 0 {
			require.ErrorIs(t, err, dischargehttp.ErrNotAllowed)
		}
	})
}
