package revocation_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

func allow(*http.Request) error { return nil }

// serve serves a feed, and gives the feed that is at the other end.
func serve(t *testing.T, feed revocation.Feed, authorize func(*http.Request) error) (string, revocation.Feed) {
	t.Helper()
	handler, err := revocation.Handler(feed, authorize)
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	remote, err := revocation.HTTP(server.Client(), server.URL, revocation.HTTPOptions{})
	require.NoError(t, err)
	return server.URL, remote
}

func TestHTTPFeedIsTheFeed(t *testing.T) {
	memory := revocation.NewMemory(nil)
	_, remote := serve(t, memory, allow)
	until := time.Now().Add(time.Hour)
	require.NoError(t, memory.Revoke(t.Context(), revocation.Subject("Zoë \"x\" <y>"), until, "not told"))
	all, err := remote.Changes(t.Context(), revocation.Cursor{}, time.Hour)
	require.NoError(t, err)
	want, err := memory.Changes(t.Context(), revocation.Cursor{}, 0)
	require.NoError(t, err)
	require.Equal(t, want, all)

	empty, err := remote.Changes(t.Context(), all.To, 0)
	require.NoError(t, err)
	require.Empty(t, empty.Changes)
	require.Equal(t, all.To, empty.To)
	require.NoError(t, memory.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""))
	_, err = memory.Unrevoke(t.Context(), revocation.Key("k"))
	require.NoError(t, err)
	next, err := remote.Changes(t.Context(), all.To, time.Hour)
	require.NoError(t, err)
	require.Equal(t, []revocation.Change{{What: revocation.Key("k")}, {What: revocation.Key("k"), Removed: true}}, next.Changes)
}

// TestHandlerWaits for what is new, and for no longer than proxies let it.
func TestHandlerWaits(t *testing.T) {
	memory := revocation.NewMemory(nil)
	waits := make(chan time.Duration, 1)
	url, remote := serve(t, feedFunc(func(ctx context.Context, after revocation.Cursor, wait time.Duration) (revocation.Batch, error) {
		waits <- wait
		return memory.Changes(ctx, after, wait)
	}), allow)
	all, err := remote.Changes(t.Context(), revocation.Cursor{}, time.Hour)
	require.NoError(t, err)
	require.Equal(t, 30*time.Second, <-waits)
	response, err := http.Get(url + "?seq=0&mark=0&wait=3600000")
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, 30*time.Second, <-waits)
	told := make(chan revocation.Batch, 1)
	go func() {
		b, err := remote.Changes(t.Context(), all.To, 29*time.Second)
		if err != nil {
			t.Error(err)
		}
		told <- b
	}()
	require.Equal(t, 29*time.Second, <-waits)
	require.NoError(t, memory.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""))
	require.Equal(t, []revocation.Change{{What: revocation.Key("k")}}, (<-told).Changes)
}

// TestHTTPFollowsNoRedirect: whoever is there is not who was asked.
func TestHTTPFollowsNoRedirect(t *testing.T) {
	url, _ := serve(t, revocation.NewMemory(nil), allow)
	moved := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, url+"?"+r.URL.RawQuery, http.StatusTemporaryRedirect)
	}))
	defer moved.Close()
	remote, err := revocation.HTTP(moved.Client(), moved.URL, revocation.HTTPOptions{})
	require.NoError(t, err)
	_, err = remote.Changes(t.Context(), revocation.Cursor{}, 0)
	require.ErrorContains(t, err, "answered 307")
}

func TestHandlerRefuses(t *testing.T) {
	memory := revocation.NewMemory(nil)
	for name, bad := range map[string]func() (http.Handler, error){
		"no feed":      func() (http.Handler, error) { return revocation.Handler(nil, allow) },
		"no authorize": func() (http.Handler, error) { return revocation.Handler(memory, nil) },
	} {
		handler, err := bad()
		require.Error(t, err, name)
		require.Nil(t, handler, name)
	}

	url, remote := serve(t, memory, func(r *http.Request) error {
		if r.Header.Get("Authorization") != "yes" {
			return errors.New("who is that")
		}
		return nil
	})
	_, err := remote.Changes(t.Context(), revocation.Cursor{}, 0)
	require.ErrorContains(t, err, "403")
	for query, want := range map[string]int{
		"?log=&seq=0&mark=0&wait=0":  http.StatusOK,
		"?seq=0&mark=0&wait=0":       http.StatusOK,
		"":                           http.StatusBadRequest,
		"?log=&seq=x&mark=0&wait=0":  http.StatusBadRequest,
		"?log=&seq=0&mark=x&wait=0":  http.StatusBadRequest,
		"?log=&seq=0&mark=0&wait=-1": http.StatusBadRequest,
		"?ask=" + strings.Repeat("x", 65) + "&seq=0&mark=0&wait=0": http.StatusBadRequest,
		"?log=" + strings.Repeat("x", 65) + "&seq=0&mark=0&wait=0": http.StatusBadRequest,
	} {
		r, err := http.NewRequest("GET", url+query, nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "yes")
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, want, response.StatusCode, query)
		require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
		r.Method = "POST"
		response, err = http.DefaultClient.Do(r)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode)
	}
}

func TestHTTPRefusesAddresses(t *testing.T) {
	for _, address := range []string{"", "http://revoked.internal/", "https://u@revoked.internal/", "https://revoked.internal/?x", "https://revoked.internal/#x", "ftp://localhost/", ":", "/x"} {
		feed, err := revocation.HTTP(nil, address, revocation.HTTPOptions{})
		require.Error(t, err, address)
		require.Nil(t, feed, address)
	}
	_, err := revocation.HTTP(nil, "https://revoked.internal/feed", revocation.HTTPOptions{})
	require.NoError(t, err)
	_, err = revocation.HTTP(nil, "http://revoked.internal/feed", revocation.HTTPOptions{InsecureHTTP: true})
	require.NoError(t, err)
	_, err = revocation.HTTP(nil, "https://revoked.internal/feed", revocation.HTTPOptions{MaxBytes: -1})
	require.Error(t, err)
}

// asked puts the question's ASK into what is written.
type asked struct {
	http.ResponseWriter
	ask string
}

func (w asked) Write(text []byte) (int, error) {
	_, err := w.ResponseWriter.Write(bytes.Replace(text, []byte("ASK"), []byte(w.ask), 1))
	return len(text), err
}

// TestHostileAnswers: what is not a whole batch, understood to the last entry, is an error.
func TestHostileAnswers(t *testing.T) {
	good := `{"ask":"ASK","full":true,"from":{"log":"","seq":0},"to":{"log":"L","seq":1},"changes":[{"what":"key k"}]}`
	var answer atomic.Pointer[func(http.ResponseWriter)]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*answer.Load())(asked{w, r.URL.Query().Get("ask")})
	}))
	defer server.Close()
	feed, err := revocation.HTTP(server.Client(), server.URL, revocation.HTTPOptions{MaxBytes: 1 << 10})
	require.NoError(t, err)
	ask := func(f func(http.ResponseWriter)) error {
		answer.Store(&f)
		b, err := feed.Changes(t.Context(), revocation.Cursor{}, 0)
		if err != nil {
			require.Zero(t, b)
		}
		return err
	}
	text := func(s string) func(http.ResponseWriter) { return func(w http.ResponseWriter) { io.WriteString(w, s) } }
	require.NoError(t, ask(text(good)))
	for name, s := range map[string]string{
		"empty":         "",
		"no JSON":       "<html>",
		"null":          "null",
		"object":        "{}",
		"two":           good + good,
		"another's":     strings.Replace(good, "ASK", "asked before", 1),
		"nobody's":      strings.Replace(good, `"ask":"ASK",`, "", 1),
		"no changes":    strings.Replace(good, `[{"what":"key k"}]`, "null", 1),
		"no log":        strings.Replace(good, `"L"`, `""`, 1),
		"long log":      strings.Replace(good, `"L"`, `"`+strings.Repeat("L", 65)+`"`, 1),
		"unknown what":  strings.Replace(good, "key k", "everything", 1),
		"no what":       strings.Replace(good, `"what":"key k"`, "", 1),
		"unknown field": strings.Replace(good, `"what"`, `"except":"x","what"`, 1),
		"nothing":       strings.Replace(good, `{"what":"key k"}`, "{}", 1),
		"null what":     strings.Replace(good, `"key k"`, "null", 1),
		"null change":   strings.Replace(good, `{"what":"key k"}`, "null", 1),
		"many nothings": strings.Replace(good, `{"what":"key k"}`, strings.Repeat("{},", 300)+"{}", 1),
		"changes twice": strings.Replace(good, `"full":true`, `"changes":[{"what":"key k"}]`, 1),
		"unknown":       strings.Replace(good, `"full":true`, `"full":true,"more":1`, 1),
		"an array":      "[" + good + "]",
		"negative seq":  strings.Replace(good, `"seq":1`, `"seq":-1`, 1),
		"too large":     strings.Replace(good, "key k", "key "+strings.Repeat("k", 1024), 1),
	} {
		require.Error(t, ask(text(s)), name)
	}
	for i := range len(good) {
		require.Error(t, ask(text(good[:i])), "cut at %d", i)
	}
	for _, status := range []int{201, 204, 302, 401, 403, 404, 500, 503} {
		require.Error(t, ask(func(w http.ResponseWriter) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			if status != 204 {
				io.WriteString(w, good)
			}
		}), "%d", status)
	}
	require.Error(t, ask(func(w http.ResponseWriter) { // cut in the middle by the connection
		w.Header().Set("Content-Length", fmt.Sprint(len(good)+len(rand.Text())-len("ASK")+1))
		io.WriteString(w, good)
	}))
	require.NoError(t, ask(text(good)), "and works again")
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

// TestServerWithDeadlines: those that a server has for ordinary requests don't end the waiting.
func TestServerWithDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := revocation.NewMemory(nil)
		handler, err := revocation.Handler(memory, allow)
		require.NoError(t, err)
		all, err := memory.Changes(t.Context(), revocation.Cursor{}, 0)
		require.NoError(t, err)
		start := time.Now()
		w := &deadlined{httptest.NewRecorder(), start.Add(time.Second)}
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/?seq=0&mark=0&wait=20000&log="+all.To.Log, nil))
		require.Equal(t, 20*time.Second, time.Since(start))
		require.Contains(t, w.Body.String(), `"changes":[]`)
	})
}

// TestImpatientClient: a client that gives up early still hears that nothing is new.
func TestImpatientClient(t *testing.T) {
	url, _ := serve(t, revocation.NewMemory(nil), allow)
	remote, err := revocation.HTTP(&http.Client{Timeout: 2 * time.Second}, url, revocation.HTTPOptions{})
	require.NoError(t, err)
	all, err := remote.Changes(t.Context(), revocation.Cursor{}, time.Hour)
	require.NoError(t, err)
	_, err = remote.Changes(t.Context(), all.To, time.Hour)
	require.NoError(t, err)
}

// roundTrip is a transport that is a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestPatientClient: no handler waits as long as a long bound lets a list ask for, so an answer
// that is lost must not be waited for as long either.
func TestPatientClient(t *testing.T) {
	var left time.Duration
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		deadline, _ := r.Context().Deadline()
		left = time.Until(deadline)
		return nil, errors.New("not sent")
	})}
	remote, err := revocation.HTTP(client, "https://revoked.internal/", revocation.HTTPOptions{})
	require.NoError(t, err)
	_, err = remote.Changes(t.Context(), revocation.Cursor{Log: "L"}, 6*time.Hour)
	require.Error(t, err)
	require.Positive(t, left)
	require.Less(t, left, 10*time.Minute)
}

// TestThreeServices follow one feed over HTTP, each with a list of its own.
func TestThreeServices(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	memory := revocation.NewMemory(nil)
	first := newService(t, filled(t, memory).keys, memory, revocation.Options{})
	services := []*service{first}
	for range 3 {
		_, remote := serve(t, memory, allow)
		s := newService(t, first.keys, remote, revocation.Options{})
		services = append(services, s)
	}
	for _, s := range services {
		go s.list.Run(ctx)
	}
	everywhere := func(m macaroon.Macaroon, want string) {
		t.Helper()
		for _, s := range services {
			require.Eventually(t, func() bool { return s.decide(t, m) == want }, 30*time.Second, time.Millisecond)
		}
	}
	good := first.mint(t, "good")
	for range 20 {
		m := first.mint(t, "billing")
		everywhere(m, "")
		require.NoError(t, memory.Revoke(ctx, revocation.Token(identifier(t, m).TokenID), time.Time{}, ""))
		everywhere(m, "revoked")
		everywhere(good, "")
	}
}

// What is logged again and again is one line, and tells which feed.
func TestHTTPErrorsNameTheFeed(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	feed, err := revocation.HTTP(server.Client(), server.URL+"/feed", revocation.HTTPOptions{})
	require.NoError(t, err)
	_, err = feed.Changes(t.Context(), revocation.Cursor{}, 0)
	require.EqualError(t, err, "revocation: feed "+server.URL+"/feed: answered 404 Not Found")
	server.Close()
	_, err = feed.Changes(t.Context(), revocation.Cursor{}, 0)
	require.ErrorContains(t, err, "revocation: feed "+server.URL+"/feed: dial")
	require.NotContains(t, err.Error(), "ask=")
}

// TestFeedThatBreaksOff: a full load that ends too early replaces nothing.
func TestFeedThatBreaksOff(t *testing.T) {
	memory := revocation.NewMemory(nil)
	for i := range 1000 {
		require.NoError(t, memory.Revoke(t.Context(), revocation.Token(macaroon.TokenID{1, byte(i), byte(i >> 8)}), time.Time{}, ""))
	}
	handler, err := revocation.Handler(memory, allow)
	require.NoError(t, err)
	var broken atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			recorded := httptest.NewRecorder()
			handler.ServeHTTP(recorded, r)
			w.Write(bytes.TrimSuffix(recorded.Body.Bytes(), []byte("]}")))
			return
		}
		handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	remote, err := revocation.HTTP(server.Client(), server.URL, revocation.HTTPOptions{})
	require.NoError(t, err)
	s := newService(t, filled(t, memory).keys, now{remote}, revocation.Options{})
	token := s.mint(t, "billing")
	broken.Store(true)
	require.Error(t, s.list.Refresh(t.Context()))
	require.Equal(t, "revocation-unknown", s.decide(t, token))
	broken.Store(false)
	require.NoError(t, s.list.Refresh(t.Context()))
	require.Empty(t, s.decide(t, token))
}
