package integration_test

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/sqlstore"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

// revocationVar tells a process of TestRevocationInThreeProcesses what it is: a serviceProcess
// in JSON.
const revocationVar = "AMARETTI_TEST_REVOCATION_PROCESS"

// revocationBound is long beside what a busy machine lets a process wait.
const revocationBound = 2 * time.Second

// serviceProcess is a process of services that verify, each with revocations of its own.
type serviceProcess struct {
	DSN   string // of the database with the keys and the revocations
	KEK   []byte
	Feeds map[string]string // of revocations, by name; empty for one that polls the database
}

// TestRevocationProcess is no test, but one of the three processes.
func TestRevocationProcess(t *testing.T) {
	text := os.Getenv(revocationVar)
	if text == "" {
		t.Skip("is run by TestRevocationInThreeProcesses")
	}
	var p serviceProcess
	require.NoError(t, json.Unmarshal([]byte(text), &p))
	slog.SetDefault(slog.New(slog.DiscardHandler)) // there are refusals by the thousand
	db := open(t, "sqlite", p.DSN)
	keys := newKeys(t, db, p.KEK, -1)
	mux := http.NewServeMux()
	for name, address := range p.Feeds {
		feed := revocation.Feed(newRevoked(t, db, name))
		if address != "" {
			var err error
			feed, err = revocation.HTTP(&http.Client{}, address, revocation.HTTPOptions{})
			require.NoError(t, err)
		}
		list, err := revocation.NewList(feed, revocationBound, revocation.Options{})
		require.NoError(t, err)
		go list.Run(t.Context())
		v, err := verifier.New(keys, "orders", verifier.Options{Revocations: list})
		require.NoError(t, err)
		auth, err := httpauth.New(v, httpauth.Options{})
		require.NoError(t, err)
		mux.Handle("/"+name, auth.RequireFunc("orders.read", func(http.ResponseWriter, *http.Request) {}))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go http.Serve(listener, mux)
	fmt.Println("listening", listener.Addr())
	io.Copy(io.Discard, os.Stdin) // until the other end is gone
}

func newRevoked(t *testing.T, db *sql.DB, name string) *revocation.SQL {
	s, err := revocation.NewSQL(db, sqlstore.SQLite, revocation.SQLOptions{Name: name, PollEvery: 200 * time.Millisecond})
	require.NoError(t, err)
	return s
}

func newKeys(t *testing.T, db *sql.DB, kek []byte, rotateEvery time.Duration) *rootkey.Keyring {
	sealer, err := seal.NewKey(kek)
	require.NoError(t, err)
	store, err := sqlstore.New(db, sqlstore.SQLite, sealer, sqlstore.Options{})
	require.NoError(t, err)
	keys, err := rootkey.Open(t.Context(), store, rootkey.Options{RotateEvery: rotateEvery})
	require.NoError(t, err)
	return keys
}

// start starts the process, and gives what waits for its address.
func (p serviceProcess) start(t *testing.T) (address func() string) {
	text, err := json.Marshal(p)
	require.NoError(t, err)
	child := exec.Command(os.Args[0], "-test.run=^TestRevocationProcess$", "-test.timeout=10m")
	child.Env = append(os.Environ(), revocationVar+"="+string(text))
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	require.NoError(t, err)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	t.Cleanup(func() {
		in.Close()
		require.NoError(t, child.Wait())
	})
	return func() string {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if address, found := strings.CutPrefix(lines.Text(), "listening "); found {
				go io.Copy(io.Discard, out)
				return "http://" + address
			}
		}
		require.FailNow(t, "the process does not listen")
		return ""
	}
}

// faultyPath is what stands between a feed and its followers.
type faultyPath struct {
	feed http.Handler

	mu    sync.Mutex
	fault string
	kept  [][]byte // answers, also of the past
}

func (f *faultyPath) set(fault string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func (f *faultyPath) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	recorder := httptest.NewRecorder()
	f.feed.ServeHTTP(recorder, r)
	answer := recorder.Body.Bytes()
	// Only now: a fault also befalls the answer to a question that was waiting when it began.
	f.mu.Lock()
	fault := f.fault
	f.kept = append(f.kept, answer)
	kept := f.kept
	f.mu.Unlock()
	if fault == "cut" {
		panic(http.ErrAbortHandler)
	}
	switch {
	case fault == "delayed":
		select {
		case <-time.After(revocationBound + time.Second):
		case <-r.Context().Done():
		}
	case fault == "duplicated" && len(kept) > 1: // the one before
		answer = kept[len(kept)-2]
	case fault == "reordered":
		answer = kept[rand.IntN(len(kept))]
	case fault == "half":
		answer = answer[:len(answer)/2]
	}
	w.WriteHeader(recorder.Code)
	w.Write(answer)
}

// TestRevocationInThreeProcesses: what is revoked at some time is accepted in none of three
// processes from the bound later on, whatever happens to the feed; and when the feed is well
// again, each says revoked of that and accepts all else. The faults happen side by side, each to
// revocations of its own.
func TestRevocationInThreeProcesses(t *testing.T) {
	dsn, kek := sqliteDSN(t), []byte(strings.Repeat("k\xff", 16))
	db := open(t, "sqlite", dsn)
	keys := newKeys(t, db, kek, time.Hour)
	revoked, paths := map[string]*revocation.SQL{}, map[string]*faultyPath{}
	polled, served := map[string]string{}, map[string]string{}
	for _, fault := range []string{"none", "cut", "delayed", "duplicated", "reordered", "half", "reset"} {
		revoked[fault] = newRevoked(t, db, fault)
		_, err := revoked[fault].List(t.Context()) // makes the tables
		require.NoError(t, err)
		handler, err := revocation.Handler(revoked[fault], func(*http.Request) error { return nil })
		require.NoError(t, err)
		paths[fault] = &faultyPath{feed: handler}
		server := httptest.NewServer(paths[fault])
		t.Cleanup(server.Close)
		polled[fault], served[fault] = "", server.URL
	}
	processes := []func() string{
		serviceProcess{DSN: dsn, KEK: kek, Feeds: polled}.start(t),
		serviceProcess{DSN: dsn, KEK: kek, Feeds: served}.start(t),
		serviceProcess{DSN: dsn, KEK: kek, Feeds: served}.start(t),
	}
	var addresses []string
	for _, address := range processes {
		addresses = append(addresses, address())
	}
	var wg sync.WaitGroup // t.Parallel would run no more at once than there are processors
	for fault, path := range paths {
		var services []string
		for _, address := range addresses {
			services = append(services, address+"/"+fault)
		}
		wg.Go(func() {
			t.Run(fault, func(t *testing.T) { revokedWithinBound(t, keys, db, revoked[fault], path, fault, services) })
		})
	}
	wg.Wait()
}

func revokedWithinBound(t *testing.T, keys *rootkey.Keyring, db *sql.DB, revoked *revocation.SQL, path *faultyPath, fault string, services []string) {
	ctx := t.Context()
	mint := func() macaroon.Macaroon {
		m, err := keys.Mint(ctx, macaroon.Grant{Subject: "billing"},
			caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
		require.NoError(t, err)
		return m
	}
	revoke := func(m macaroon.Macaroon) {
		id, err := macaroon.ParseIdentifier(m.Identifier())
		require.NoError(t, err)
		require.NoError(t, revoked.Revoke(ctx, revocation.Token(id.TokenID), time.Time{}, fault))
	}
	ask := func(address string, m macaroon.Macaroon) int {
		text, err := m.Encode()
		require.NoError(t, err)
		r, err := http.NewRequest("GET", address, nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+text)
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		response.Body.Close()
		return response.StatusCode
	}
	everywhere := func(m macaroon.Macaroon, want int) {
		t.Helper()
		for _, address := range services {
			require.Eventually(t, func() bool { return ask(address, m) == want }, time.Minute, 50*time.Millisecond, "%d", want)
		}
	}

	before, parent, clean := mint(), mint(), mint()
	child, err := parent.Attenuate(caveat.Branch([16]byte{1}), caveat.ExpiresIn(time.Hour))
	require.NoError(t, err)
	everywhere(before, http.StatusOK)
	everywhere(child, http.StatusOK)
	everywhere(clean, http.StatusOK)
	revoke(before) // an answer that can be repeated later
	everywhere(before, http.StatusUnauthorized)

	path.set(fault)
	revoke(parent)
	at := time.Now()
	if fault == "reset" {
		_, err := db.Exec(`DELETE FROM amaretti_revoked_changes WHERE name = 'reset'`)
		require.NoError(t, err)
		_, err = db.Exec(`UPDATE amaretti_revoked_log SET log = 'another' WHERE name = 'reset'`)
		require.NoError(t, err)
	}
	time.Sleep(time.Until(at.Add(revocationBound)))
	for range 10 {
		for i, address := range services {
			require.NotEqual(t, http.StatusOK, ask(address, parent), i)
			require.NotEqual(t, http.StatusOK, ask(address, child), i)
		}
		time.Sleep(revocationBound / 10)
	}
	path.set("none")
	everywhere(parent, http.StatusUnauthorized)
	everywhere(child, http.StatusUnauthorized)
	everywhere(clean, http.StatusOK)
}
