package dischargehttp_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
)

// call is one request to a service.
type call struct {
	method, path string
	query, form  url.Values
	version      string
	caller       string
	remote       string
	header       http.Header
}

// do gives the answer.
func do(h http.Handler, c call) *http.Response {
	if c.method == "" {
		c.method = http.MethodPost
	}
	if c.path == "" {
		c.path = "/discharge"
	}
	if c.query != nil {
		c.path += "?" + c.query.Encode()
	}
	var body io.Reader
	if c.form != nil {
		body = strings.NewReader(c.form.Encode())
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, c.method, c.path, body)
	if c.form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if c.version != "" {
		r.Header.Set("Bakery-Protocol-Version", c.version)
	}
	if c.caller != "" {
		r.Header.Set(callerHeader, c.caller)
	}
	if c.remote != "" {
		r.RemoteAddr = c.remote
	}
	for name, values := range c.header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t testing.TB, response *http.Response) string {
	data, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(data)
}

// caveatFor makes a caveat id for the service in a version.
func caveatFor(t testing.TB, s *dischargehttp.Service, version int, condition string) string {
	party := s.Party("https://id.example")
	party.Version = version
	_, id, _, err := thirdparty.NewCaveat(party, condition).ThirdParty()
	require.NoError(t, err)
	return id
}

func std64(s string) string    { return base64.StdEncoding.EncodeToString([]byte(s)) }
func rawURL64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestKeysAreTold(t *testing.T) {
	s := newService(t, members, dischargehttp.ServiceOptions{})
	key := s.Party("https://id.example").Key.String()
	for path, want := range map[string]string{
		"/discharge/info": `{"PublicKey":"` + key + `","Version":3}`,
		"/publickey":      `{"PublicKey":"` + key + `"}`,
	} {
		response := do(s, call{method: http.MethodGet, path: path})
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.Equal(t, "application/json", response.Header.Get("Content-Type"))
		require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
		require.Equal(t, want, text(t, response))
	}
}

// The parameters come in every way in which clients of the bakery send them, and the macaroon goes back in the version
// that client and caveat have in common.
func TestDischargeIsAnsweredAsAsked(t *testing.T) {
	var told records
	s := newService(t, members, dischargehttp.ServiceOptions{Caller: byHeader, Audit: told.audit})
	v2, v3 := caveatFor(t, s, 2, isMember), caveatFor(t, s, 3, isMember)
	const external = "\x03\x00"
	_, text64, _, err := thirdparty.NewCaveat(s.Party("https://id.example"), isMember).AsText().ThirdParty()
	require.NoError(t, err)
	for name, row := range map[string]struct {
		call
		id      string
		wrapped bool
	}{
		"Go's client: the query":           {call{version: "3", query: url.Values{"id64": {rawURL64(v3)}}}, v3, true},
		"Python's client: a form":          {call{version: "3", form: url.Values{"id": {external}, "caveat64": {rawURL64(v3)}}}, external, true},
		"both":                             {call{version: "3", query: url.Values{"id64": {std64(v3)}}, form: url.Values{"caveat64": {std64(v3)}}}, v3, true},
		"id64 before id":                   {call{version: "3", form: url.Values{"id": {"x"}, "id64": {rawURL64(v3)}}}, v3, true},
		"an empty id64":                    {call{version: "3", form: url.Values{"id": {external}, "id64": {""}, "caveat64": {rawURL64(v3)}}}, external, true},
		"parameters that we do not have":   {call{version: "3", form: url.Values{"id64": {rawURL64(v3)}, "location": {"x"}}}, v3, true},
		"a newer client":                   {call{version: "4", form: url.Values{"id64": {rawURL64(v3)}}}, v3, true},
		"an older client":                  {call{version: "2", form: url.Values{"id64": {rawURL64(v3)}}}, v3, false},
		"an older caveat":                  {call{version: "3", form: url.Values{"id64": {rawURL64(v2)}}}, v2, false},
		"an older client and caveat":       {call{version: "2", form: url.Values{"id64": {rawURL64(v2)}}}, v2, false},
		"JavaScript's client: text":        {call{version: "2", form: url.Values{"id": {text64}, "location": {""}}}, text64, false},
		"a caveat id whose bytes are text": {call{version: "3", form: url.Values{"id": {"ticket-1"}, "caveat64": {rawURL64(v2)}}}, "ticket-1", false},
	} {
		t.Run(name, func(t *testing.T) {
			row.caller = "ann"
			response := do(s, row.call)
			body := text(t, response)
			require.Equal(t, http.StatusOK, response.StatusCode, body)
			require.Equal(t, "application/json", response.Header.Get("Content-Type"))
			require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
			require.Equal(t, row.wrapped, strings.Contains(body, `"ns":"std:"`))

			var got struct{ Macaroon dischargehttp.BakeryMacaroon }
			require.NoError(t, json.Unmarshal([]byte(body), &got))
			require.Equal(t, row.id, got.Macaroon.Macaroon.Identifier())
			first, _ := got.Macaroon.Macaroon.Inspect().Caveats().Condition(0)
			require.Equal(t, "declared user ann", first)
			records := told.all()
			require.Equal(t, macaroon.CaveatReference(row.id), records[len(records)-1].Reference)
		})
	}
	for _, record := range told.all() {
		require.NoError(t, record.Err)
		require.Equal(t, isMember, record.Question.Condition)
		require.Equal(t, "ann", record.Question.Caller)
		require.Equal(t, "192.0.2.1", record.Client)
	}
}

// What is no request is said so, and every other refusal says the same.
func TestRefusals(t *testing.T) {
	var told records
	s := newService(t, thirdparty.Conditions{
		"member-of": members["member-of"],
		"slow":      thirdparty.CheckerFunc(refuseWith(caveat.Undecided(errors.New("database is down")))),
	}, dischargehttp.ServiceOptions{Caller: byHeader, Audit: told.audit, Failures: 1000})
	other := newService(t, members, dischargehttp.ServiceOptions{})
	good := caveatFor(t, s, 3, isMember)
	form := func(pairs ...string) url.Values {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Add(pairs[i], pairs[i+1])
		}
		return v
	}
	const denied = `{"Code":"permission denied","Message":"cannot discharge"}`
	badRequest := func(message string) string { return `{"Code":"bad request","Message":"` + message + `"}` }
	const old = "Bakery-Protocol-Version: versions 2 and 3 are spoken here, and not older ones"
	for name, row := range map[string]struct {
		call
		status int
		body   string
	}{
		"not a member":         {call{version: "3", form: form("id64", rawURL64(good))}, 401, denied},
		"an unknown condition": {call{version: "3", form: form("id64", rawURL64(caveatFor(t, s, 3, "knows acme")))}, 401, denied},
		"another one's caveat": {call{version: "3", form: form("id64", rawURL64(caveatFor(t, other, 3, isMember)))}, 401, denied},
		"a damaged caveat id":  {call{version: "3", form: form("id64", rawURL64(good[:len(good)-1]))}, 401, denied},
		"no caveat id":         {call{version: "3", form: form("id", "e30=")}, 401, denied},
		"a token nobody gave":  {call{version: "3", form: form("id64", rawURL64(good), "token", "x", "token-kind", "agent")}, 401, denied},
		"undecided":            {call{version: "3", form: form("id64", rawURL64(caveatFor(t, s, 3, "slow")))}, 503, `{"Message":"cannot discharge now"}`},
		"version 0":            {call{form: form("id64", rawURL64(good))}, 400, badRequest(old)},
		"version 1":            {call{version: "1", form: form("id64", rawURL64(good))}, 400, badRequest(old)},
		"version -3":           {call{version: "-3", form: form("id64", rawURL64(good))}, 400, badRequest(old)},
		"version of words":     {call{version: "three", form: form("id64", rawURL64(good))}, 400, badRequest(old)},
		"no id":                {call{version: "3", form: form("id", "")}, 400, badRequest("id: missing")},
		"nothing":              {call{version: "3"}, 400, badRequest("id: missing")},
		"two ids":              {call{version: "3", form: form("id", "a", "id", "b")}, 400, badRequest("id: given more than once")},
		"an id in both places": {call{version: "3", query: form("id", "a"), form: form("id", "a")}, 400, badRequest("id: given more than once")},
		"not base64":           {call{version: "3", form: form("id64", "!")}, 400, badRequest("id64: not base64")},
		"base64 on two lines":  {call{version: "3", form: form("id64", "AA\nAA")}, 400, badRequest("id64: not base64")},
		"a payload not base64": {call{version: "3", form: form("id", "a", "caveat64", "!")}, 400, badRequest("caveat64: not base64")},
		"a token of no kind":   {call{version: "3", form: form("id", "a", "token", "b")}, 400, badRequest("token, token-kind: one without the other")},
		"a kind of no token":   {call{version: "3", form: form("id", "a", "token-kind", "b")}, 400, badRequest("token, token-kind: one without the other")},
		"a broken query":       {call{version: "3", path: "/discharge?id=%zz"}, 400, badRequest("the parameters can't be read")},
		"a long query":         {call{version: "3", query: form("id", strings.Repeat("a", 40<<10))}, 414, badRequest("the query is too long")},
		"a long body":          {call{version: "3", form: form("id", strings.Repeat("a", 40<<10))}, 413, badRequest("the body is too large")},
		"another body":         {call{version: "3", form: form("id", "a"), header: http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}}, 415, badRequest("the body is not a form")},
		"another method":       {call{version: "3", method: http.MethodPut, form: form("id", "a")}, 405, badRequest("the method is not POST")},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(told.all())
			response := do(s, row.call)
			require.Equal(t, row.body, text(t, response))
			require.Equal(t, row.status, response.StatusCode)
			require.Equal(t, "application/json", response.Header.Get("Content-Type"))
			require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
			require.Empty(t, response.Header.Get("WWW-Authenticate"), "that is for challenges")
			if row.status == 405 {
				return
			}
			after := told.all()
			require.Len(t, after, before+1)
			require.Error(t, after[before].Err)
		})
	}
}

// Who can't say who asks gets nothing, also where the checker asks nobody for a name. What the
// function gave beside its error must not matter.
func TestCallerFails(t *testing.T) {
	var told records
	anybody := thirdparty.CheckerFunc(func(context.Context, thirdparty.Question) (thirdparty.Answer, error) {
		return thirdparty.Answer{}, nil
	})
	var failure error
	s := newService(t, anybody, dischargehttp.ServiceOptions{
		Caller: func(*http.Request) (any, error) { return "ann", failure },
		Audit:  told.audit,
	})
	asked := asked(caveatFor(t, s, 3, isMember))
	require.Equal(t, http.StatusOK, do(s, asked).StatusCode)
	failure = errors.New("no session")
	require.Equal(t, http.StatusUnauthorized, do(s, asked).StatusCode)
	failure = caveat.Undecided(errors.New("no directory"))
	require.Equal(t, http.StatusServiceUnavailable, do(s, asked).StatusCode)
	last := told.all()[2]
	require.ErrorIs(t, last.Err, failure)
	require.Zero(t, last.Question, "the checker is not asked")

	failure = nil
	asked.form.Set("token64", rawURL64("x"))
	asked.form.Set("token-kind", "agent")
	require.Equal(t, http.StatusUnauthorized, do(s, asked).StatusCode, "no such kind is offered")
	require.Zero(t, told.all()[3].Question)
}
