package dischargehttp_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
)

// challenge is what a client is told if somebody has to act.
type challenge struct {
	Code string
	Info struct {
		InteractionMethods map[string]struct{ VisitURL, WaitTokenURL string }
		VisitURL, WaitURL  string
	}
}

// begin asks for a discharge and gives the challenge.
func begin(t testing.TB, h http.Handler, c call) challenge {
	response := do(h, c)
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	require.Equal(t, "Macaroon", response.Header.Get("WWW-Authenticate"))
	require.Equal(t, "application/json", response.Header.Get("Content-Type"))
	var got challenge
	require.NoError(t, json.Unmarshal([]byte(text(t, response)), &got))
	require.Equal(t, "interaction required", got.Code)
	return got
}

// flowOf gives the secret that a URL has.
func flowOf(t testing.TB, at string) string {
	u, err := url.Parse(at)
	require.NoError(t, err)
	secret := u.Query().Get("flow")
	require.Len(t, secret, 43, "32 random bytes")
	return secret
}

// Nobody guesses what a client waits with, nor what a person acts on: all of it is random.
func TestSecretsOfFlowsAreRandom(t *testing.T) {
	s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: newFlows(t, "login", dischargehttp.FlowOptions{})})
	var seen [2][][]byte
	for range 8 {
		told := begin(t, s, asked(caveatFor(t, s, 3, isMember))).Info
		for i, at := range []string{told.VisitURL, told.WaitURL} {
			raw, err := base64.RawURLEncoding.DecodeString(flowOf(t, at))
			require.NoError(t, err)
			seen[i] = append(seen[i], raw)
		}
	}
	for _, secrets := range seen {
		for i := range 32 {
			require.True(t, slices.ContainsFunc(secrets, func(s []byte) bool { return s[i] != secrets[0][i] }), "byte %d", i)
		}
	}
}

func newFlows(t testing.TB, visit string, options dischargehttp.FlowOptions) *dischargehttp.Flows {
	flows, err := dischargehttp.NewFlows(visit, options)
	require.NoError(t, err)
	return flows
}

func asked(id string) call {
	return call{version: "3", form: url.Values{"id64": {rawURL64(id)}}}
}

// tokenOf reads what a client gets for waiting.
func tokenOf(t testing.TB, response *http.Response) (kind, token string) {
	body := text(t, response)
	require.Equal(t, http.StatusOK, response.StatusCode, body)
	var got struct{ Kind, Token64 string }
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	raw, err := base64.StdEncoding.DecodeString(got.Token64)
	require.NoError(t, err)
	return got.Kind, string(raw)
}

func waitAt(path, secret string, header ...string) call {
	c := call{method: http.MethodGet, path: path, query: url.Values{"flow": {secret}}, header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		c.header.Set(header[i], header[i+1])
	}
	return c
}

func redeem(id, kind, token string) call {
	c := asked(id)
	c.form.Set("token-kind", kind)
	c.form.Set("token64", rawURL64(token))
	return c
}

// Everything that a flow tells a client is unguessable, works once, and is good for one thing only.
func TestFlowIsOneShot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flows := newFlows(t, "https://login.example/start?tenant=acme", dischargehttp.FlowOptions{Location: "https://id.example/identity/"})
		s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows})
		id, other := caveatFor(t, s, 3, isMember), caveatFor(t, s, 3, isMember)
		c := begin(t, s, asked(id))
		method := c.Info.InteractionMethods["browser-window"]
		require.True(t, strings.HasPrefix(method.VisitURL, "https://login.example/start?"))
		require.Contains(t, method.VisitURL, "tenant=acme")
		require.True(t, strings.HasPrefix(method.WaitTokenURL, "https://id.example/identity/discharge/wait-token?flow="))
		require.Equal(t, method.VisitURL, c.Info.VisitURL)
		require.True(t, strings.HasPrefix(c.Info.WaitURL, "https://id.example/identity/discharge/wait?flow="))
		visit, wait := flowOf(t, method.VisitURL), flowOf(t, method.WaitTokenURL)
		require.NotEqual(t, visit, wait, "who acts must not be able to wait, nor the other way round")

		// Not yet, and not with the other secret.
		response := do(s, waitAt("/discharge/wait-token", wait, "Prefer", "respond-async, wait=20"))
		require.Equal(t, http.StatusAccepted, response.StatusCode)
		require.Equal(t, "1", response.Header.Get("Retry-After"))
		require.Equal(t, http.StatusNotFound, do(s, waitAt("/discharge/wait-token", visit)).StatusCode)
		require.ErrorIs(t, flows.Complete(wait, "mallory"), dischargehttp.ErrFlow)
		_, found := flows.Find(wait)
		require.False(t, found)

		flow, found := flows.Find(visit)
		require.True(t, found)
		require.Equal(t, isMember, flow.Question.Condition)
		require.Equal(t, "192.0.2.1", flow.Client)
		require.Error(t, flows.Complete(visit, nil))

		// A client that waits longer, as the bakery's do, gets the answer when it is there.
		waiting := make(chan *http.Response, 1)
		go func() { waiting <- do(s, waitAt("/discharge/wait-token", wait)) }()
		synctest.Wait()
		require.NoError(t, flows.Complete(visit, "ann"))
		kind, token := tokenOf(t, received(t, waiting))
		require.Equal(t, "browser-window", kind)

		// Once each.
		require.ErrorIs(t, flows.Complete(visit, "mallory"), dischargehttp.ErrFlow)
		require.ErrorIs(t, flows.Refuse(visit), dischargehttp.ErrFlow)
		_, found = flows.Find(visit)
		require.False(t, found)
		require.Equal(t, http.StatusNotFound, do(s, waitAt("/discharge/wait-token", wait)).StatusCode)
		require.Equal(t, http.StatusNotFound, do(s, waitAt("/discharge/wait", wait)).StatusCode)
		require.Equal(t, http.StatusUnauthorized, do(s, redeem(id, "agent", token)).StatusCode)
		response = do(s, redeem(id, kind, token))
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.Contains(t, text(t, response), "declared user ann")
		require.Equal(t, http.StatusUnauthorized, do(s, redeem(id, kind, token)).StatusCode)

		// For the caveat that it was begun for; trying another one ends it.
		c = begin(t, s, asked(id))
		require.NoError(t, flows.Complete(flowOf(t, c.Info.VisitURL), "ann"))
		kind, token = tokenOf(t, do(s, waitAt("/discharge/wait-token", flowOf(t, c.Info.InteractionMethods["browser-window"].WaitTokenURL))))
		require.Equal(t, http.StatusUnauthorized, do(s, redeem(other, kind, token)).StatusCode)
		require.Equal(t, http.StatusUnauthorized, do(s, redeem(id, kind, token)).StatusCode)
	})
}

// Older clients wait for the discharge itself.
func TestFlowOfOlderClient(t *testing.T) {
	var told records
	flows := newFlows(t, "login", dischargehttp.FlowOptions{})
	s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows, Audit: told.audit})
	id := caveatFor(t, s, 3, isMember)
	older := asked(id)
	older.version = "2"
	c := begin(t, s, older)
	require.True(t, strings.HasPrefix(c.Info.VisitURL, "login?flow="))
	require.True(t, strings.HasPrefix(c.Info.WaitURL, "discharge/wait?flow="))
	require.NoError(t, flows.Complete(flowOf(t, c.Info.VisitURL), "ann"))
	response := do(s, waitAt("/discharge/wait", flowOf(t, c.Info.WaitURL)))
	body := text(t, response)
	require.Equal(t, http.StatusOK, response.StatusCode, body)
	var got struct{ Macaroon dischargehttp.BakeryMacaroon }
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	require.Equal(t, id, got.Macaroon.Macaroon.Identifier())
	require.Equal(t, 2, got.Macaroon.Version)
	require.Contains(t, body, "declared user ann")
	require.Equal(t, http.StatusNotFound, do(s, waitAt("/discharge/wait", flowOf(t, c.Info.WaitURL))).StatusCode)

	all := told.all()
	require.Len(t, all, 3)
	require.ErrorIs(t, all[0].Err, dischargehttp.ErrInteractionRequired)
	require.NoError(t, all[1].Err)
	require.Equal(t, "ann", all[1].Question.Caller)
	require.Error(t, all[2].Err)
}

// The answer of a flow is not taken by a request that would not see it.
func TestFlowIsNotTakenByHead(t *testing.T) {
	flows := newFlows(t, "login", dischargehttp.FlowOptions{})
	s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows})
	c := begin(t, s, asked(caveatFor(t, s, 3, isMember)))
	require.NoError(t, flows.Complete(flowOf(t, c.Info.VisitURL), "ann"))
	head := waitAt("/discharge/wait", flowOf(t, c.Info.WaitURL))
	head.method = http.MethodHead
	require.Equal(t, http.StatusMethodNotAllowed, do(s, head).StatusCode)
	require.Equal(t, http.StatusOK, do(s, waitAt("/discharge/wait", flowOf(t, c.Info.WaitURL))).StatusCode)
}

// Of several that wait with one secret, one gets the answer.
func TestFlowIsAnsweredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flows := newFlows(t, "login", dischargehttp.FlowOptions{})
		s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows})
		c := begin(t, s, asked(caveatFor(t, s, 3, isMember)))
		statuses := make(chan int, 10)
		for range cap(statuses) {
			go func() { statuses <- do(s, waitAt("/discharge/wait", flowOf(t, c.Info.WaitURL))).StatusCode }()
		}
		synctest.Wait()
		require.NoError(t, flows.Complete(flowOf(t, c.Info.VisitURL), "ann"))
		got := map[int]int{}
		for range cap(statuses) {
			got[received(t, statuses)]++
		}
		require.Equal(t, map[int]int{http.StatusOK: 1, http.StatusNotFound: 9}, got)
	})
}

// deadlined is what a server with a timeout gives to write to: past the deadline it takes nothing.
type deadlined struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (w *deadlined) SetWriteDeadline(deadline time.Time) error {
	w.deadline = deadline
	return nil
}

func (w *deadlined) Write(text []byte) (int, error) {
	if !time.Now().Before(w.deadline) {
		return 0, os.ErrDeadlineExceeded
	}
	return w.ResponseRecorder.Write(text)
}

// A server's timeouts are for answers that are due; one that waits for a person is not.
func TestWaitOutlivesTheServersTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lifetime = 10 * time.Minute
		flows := newFlows(t, "login", dischargehttp.FlowOptions{Lifetime: lifetime})
		s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows})
		c := begin(t, s, asked(caveatFor(t, s, 3, isMember)))
		time.AfterFunc(lifetime-1, func() {
			if err := flows.Complete(flowOf(t, c.Info.VisitURL), "ann"); err != nil {
				t.Error(err)
			}
		})
		w := &deadlined{httptest.NewRecorder(), time.Now().Add(time.Second)}
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/"+c.Info.WaitURL, nil))
		require.Equal(t, http.StatusOK, w.Code)
		require.Contains(t, w.Body.String(), "Macaroon")
	})
}

func TestFlowRefused(t *testing.T) {
	var told records
	flows := newFlows(t, "login", dischargehttp.FlowOptions{})
	s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows, Audit: told.audit})
	for _, path := range []string{"/discharge/wait-token", "/discharge/wait"} {
		id := caveatFor(t, s, 3, isMember)
		c := begin(t, s, asked(id))
		require.NoError(t, flows.Refuse(flowOf(t, c.Info.VisitURL)))
		waitURL := c.Info.WaitURL
		if path == "/discharge/wait-token" {
			waitURL = c.Info.InteractionMethods["browser-window"].WaitTokenURL
		}
		response := do(s, waitAt(path, flowOf(t, waitURL)))
		require.Equal(t, http.StatusUnauthorized, response.StatusCode)
		require.Equal(t, `{"Code":"permission denied","Message":"cannot discharge"}`, text(t, response))
		list := told.all()
		require.Equal(t, macaroon.CaveatReference(id), list[len(list)-1].Reference)
	}
}

// A flow ends when its time is over, however far it has come, and so does its token.
func TestFlowExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lifetime = patience / 2
		flows := newFlows(t, "login", dischargehttp.FlowOptions{Lifetime: lifetime})
		s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows})
		id := caveatFor(t, s, 3, isMember)

		c := begin(t, s, asked(id))
		waiting := make(chan *http.Response, 1)
		go func() { waiting <- do(s, waitAt("/discharge/wait", flowOf(t, c.Info.WaitURL))) }()
		require.Equal(t, http.StatusNotFound, received(t, waiting).StatusCode, "when it has expired and not before")
		_, found := flows.Find(flowOf(t, c.Info.VisitURL))
		require.False(t, found)
		require.ErrorIs(t, flows.Complete(flowOf(t, c.Info.VisitURL), "ann"), dischargehttp.ErrFlow)

		for late, status := range map[time.Duration]int{time.Minute - 1: http.StatusOK, time.Minute: http.StatusUnauthorized} {
			c = begin(t, s, asked(id))
			time.Sleep(lifetime - 1)
			require.NoError(t, flows.Complete(flowOf(t, c.Info.VisitURL), "ann"))
			kind, token := tokenOf(t, do(s, waitAt("/discharge/wait-token", flowOf(t, c.Info.InteractionMethods["browser-window"].WaitTokenURL))))
			time.Sleep(late)
			require.Equal(t, status, do(s, redeem(id, kind, token)).StatusCode)
		}
	})
}

// Where the application tells clients apart, only the one that began a flow can end it.
func TestFlowIsOfItsClient(t *testing.T) {
	flows := newFlows(t, "login", dischargehttp.FlowOptions{})
	s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows,
		Client: func(r *http.Request) string { return r.Header.Get("X-Client") + strings.Repeat("long", 100) }})
	id := caveatFor(t, s, 3, isMember)
	from := func(c call, client string) call {
		if c.header == nil {
			c.header = http.Header{}
		}
		c.header.Set("X-Client", client)
		return c
	}
	c := begin(t, s, from(asked(id), "a"))
	wait := flowOf(t, c.Info.InteractionMethods["browser-window"].WaitTokenURL)
	require.NoError(t, flows.Complete(flowOf(t, c.Info.VisitURL), "ann"))
	require.Equal(t, http.StatusNotFound, do(s, from(waitAt("/discharge/wait-token", wait), "b")).StatusCode)
	kind, token := tokenOf(t, do(s, from(waitAt("/discharge/wait-token", wait), "a")))
	require.Equal(t, http.StatusUnauthorized, do(s, from(redeem(id, kind, token), "b")).StatusCode)
	require.Equal(t, http.StatusUnauthorized, do(s, from(redeem(id, kind, token), "a")).StatusCode, "it was tried")
}

// Flows are so many and no more: a client's own oldest goes first, and then that of whoever has the most.
func TestFlowsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flows := newFlows(t, "login", dischargehttp.FlowOptions{Most: 4, MostPerClient: 3, Lifetime: time.Minute})
		s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows})
		id := caveatFor(t, s, 3, isMember)
		from := func(remote string) string {
			c := asked(id)
			c.remote = remote
			return flowOf(t, begin(t, s, c).Info.VisitURL)
		}
		alive := func(visit string) bool { _, found := flows.Find(visit); return found }
		var list []string
		requireAlive := func(want ...bool) {
			var got []bool
			for _, visit := range list {
				got = append(got, alive(visit))
			}
			require.Equal(t, want, got)
		}

		list = []string{from("192.0.2.1:1"), from("192.0.2.1:2"), from("192.0.2.1:3"), from("192.0.2.1:4")}
		requireAlive(false, true, true, true)
		list = append(list, from("[2001:db8::1]:1"), from("[2001:db8::ffff:1]:1")) // of one network
		requireAlive(false, false, true, true, true, true)
		list = append(list, from("192.0.2.2:1"))
		requireAlive(false, false, false, true, true, true, true)
		list = append(list, from("192.0.2.3:1"))
		requireAlive(false, false, false, true, false, true, true, true)

		// All have one.
		c := asked(id)
		for _, c.remote = range []string{"192.0.2.4:1", "192.0.2.1:1"} {
			response := do(s, c)
			require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
			require.Equal(t, "1", response.Header.Get("Retry-After"))
		}
		requireAlive(false, false, false, true, false, true, true, true)

		time.Sleep(2 * time.Minute)
		require.True(t, alive(from("192.0.2.4:1")), "there is room again")
	})
}

// What is kept of a flow is what it takes, and not the whole request that began it.
func TestMemoryOfFlows(t *testing.T) {
	const n = 256
	flows := newFlows(t, "login", dischargehttp.FlowOptions{MostPerClient: n})
	s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows})
	payload := caveatFor(t, s, 3, isMember+strings.Repeat(" x", 1900))
	c := call{version: "3", form: url.Values{
		"caveat64": {rawURL64(payload)}, "id": {strings.Repeat("x", 4<<10)}, "padding": {strings.Repeat("y", 22<<10)},
	}}
	heap := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := heap()
	for range n {
		begin(t, s, c)
	}
	require.Less(t, (heap()-before)/n, uint64(16<<10))
	runtime.KeepAlive(flows)
}

// Who waits for a flow that had to give way is told at once: waiting would keep it in memory beyond what is allowed.
func TestWaitingForAFlowThatGaveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flows := newFlows(t, "login", dischargehttp.FlowOptions{MostPerClient: 1})
		s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows})
		id := caveatFor(t, s, 3, isMember)
		c := begin(t, s, asked(id))
		start := time.Now()
		waiting := make(chan int, 1)
		go func() { waiting <- do(s, waitAt("/discharge/wait", flowOf(t, c.Info.WaitURL))).StatusCode }()
		synctest.Wait()
		begin(t, s, asked(id))
		require.Equal(t, http.StatusNotFound, received(t, waiting))
		require.Equal(t, start, time.Now())
		require.ErrorIs(t, flows.Complete(flowOf(t, c.Info.VisitURL), "ann"), dischargehttp.ErrFlow)
	})
}

// Somebody else acts, whom the application asks. The client polls meanwhile, without a browser.
func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flows *dischargehttp.Flows
		flows = newFlows(t, "", dischargehttp.FlowOptions{Began: func(_ context.Context, f dischargehttp.Flow) error {
			time.AfterFunc(2*time.Minute, func() {
				if err := flows.Complete(f.ID, "ann"); err != nil {
					t.Error(err)
				}
			})
			return nil
		}})
		s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows})
		c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(s)}, "https://id.example")
		o := newOrders(t)
		w := o.wallet(t, thirdparty.NewCaveat(s.Party("https://id.example"), isMember).Attesting("user"))
		w, err := c.Discharge(t.Context(), w)
		require.NoError(t, err)
		require.Equal(t, "ann", o.user(t, w))
	})
}

// Nobody acts: the client gives up when its own time is over.
func TestPollInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flows := newFlows(t, "", dischargehttp.FlowOptions{})
		s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows})
		c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(s)}, "https://id.example")
		_, err := c.Discharge(t.Context(), newOrders(t).wallet(t, thirdparty.NewCaveat(s.Party("https://id.example"), isMember)))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// What cannot begin leaves nothing behind.
func TestFlowThatCannotBegin(t *testing.T) {
	var ids []string
	var told records
	flows := newFlows(t, "login", dischargehttp.FlowOptions{Most: 1, Began: func(_ context.Context, f dischargehttp.Flow) error {
		ids = append(ids, f.ID)
		return errors.New("nobody to ask")
	}})
	s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows, Audit: told.audit})
	for range 2 {
		response := do(s, asked(caveatFor(t, s, 3, isMember)))
		require.Equal(t, http.StatusUnauthorized, response.StatusCode)
		require.Empty(t, response.Header.Get("WWW-Authenticate"))
	}
	require.Len(t, ids, 2)
	_, found := flows.Find(ids[0])
	require.False(t, found)
	for _, record := range told.all() {
		require.ErrorContains(t, record.Err, "nobody to ask")
	}
}

// What clients are told begins with the location, if there is one, and otherwise they resolve it.
func TestWhereFlowsSendClients(t *testing.T) {
	for visit, want := range map[string][2]string{ // without a location, and with one
		"login":                       {"login?flow=", "https://id.example/identity/login?flow="},
		"/login":                      {"/login?flow=", "https://id.example/login?flow="},
		"https://login.example/?a=b":  {"https://login.example/?a=b&flow=", "https://login.example/?a=b&flow="},
		"//login.example/start#/here": {"", ""},
	} {
		for i, location := range []string{"", "https://id.example/identity"} {
			flows, err := dischargehttp.NewFlows(visit, dischargehttp.FlowOptions{Location: location})
			require.Equal(t, want[i] == "", err != nil, visit)
			if err != nil {
				continue
			}
			s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows})
			c := begin(t, s, asked(caveatFor(t, s, 3, isMember)))
			require.True(t, strings.HasPrefix(c.Info.VisitURL, want[i]), c.Info.VisitURL)
			require.Equal(t, c.Info.VisitURL, c.Info.InteractionMethods["browser-window"].VisitURL)
		}
	}
}

func TestNewFlowsRefuses(t *testing.T) {
	for name, row := range map[string]struct {
		visit   string
		options dischargehttp.FlowOptions
	}{
		"a script":                  {"javascript:alert(1)", dischargehttp.FlowOptions{}},
		"a user":                    {"https://a@id.example/", dischargehttp.FlowOptions{}},
		"not a URL":                 {"https://id.example/%zz", dischargehttp.FlowOptions{}},
		"negative lifetime":         {"login", dischargehttp.FlowOptions{Lifetime: -1}},
		"negative most":             {"login", dischargehttp.FlowOptions{Most: -1}},
		"negative most of a client": {"login", dischargehttp.FlowOptions{MostPerClient: -1}},
		"a location with a query":   {"login", dischargehttp.FlowOptions{Location: "https://id.example?x"}},
	} {
		_, err := dischargehttp.NewFlows(row.visit, row.options)
		require.Error(t, err, name)
	}
}
