package integration_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/filestore"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

// A trouble is something that can happen to a store, and pass.
type trouble struct {
	store      rootkey.Store
	begin, end func()
	says       string // what a call that fails says, besides whose it is
	readable   bool   // only writing fails
}

// Whatever happens to a store, what was read serves until it is stale; then decisions are
// undecided, which is 503, and never 401; and when it has passed, all goes on, without a
// restart and with every key that was there.
func TestTroubles(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) trouble{
		"PostgreSQL is gone":         postgresGone,
		"PostgreSQL does not answer": postgresHangs,
		"SQLite is locked":           sqliteLocked,
		"SQLite's disk is full":      sqliteFull,
		"SQL record damaged":         sqlDamaged,
		"SQL wrong key":              sqlRewrapped,
		"Redis is gone":              redisGone,
		"Redis does not answer":      redisHangs,
		"Redis is a replica":         redisDemoted,
		"file damaged":               fileDamaged,
		"file gone":                  fileGone,
		"file wrong key":             fileRewrapped,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			getThrough(t, start(t))
		})
	}
}

func getThrough(t *testing.T, trouble trouble) {
	ctx, cancel := context.WithCancel(t.Context())
	options := rootkey.Options{RefreshEvery: 200 * time.Millisecond, StaleAfter: time.Second}
	if trouble.readable {
		options.StaleAfter = time.Minute // on a busy machine no store is readable all the time
	}
	keys, err := rootkey.Open(ctx, trouble.store, options)
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() { keys.Run(ctx) })
	defer running.Wait()
	defer cancel()
	v, err := verifier.New(keys, "orders", verifier.Options{})
	require.NoError(t, err)
	auth, err := httpauth.New(v, httpauth.Options{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	handler := auth.RequireFunc("orders.read", func(http.ResponseWriter, *http.Request) {})
	// On a busy machine a store that is well does not always answer in time either.
	var token macaroon.Macaroon
	require.Eventually(t, func() bool {
		token, err = keys.Mint(ctx, macaroon.Grant{Subject: "billing"},
			caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	text, err := token.Encode()
	require.NoError(t, err)
	ask := func(ctx context.Context) (status int) {
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+text)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	// until asks again and again, for as long as the status is another one of those allowed.
	until := func(want int, allowed ...int) {
		t.Helper()
		for range 3000 {
			got := ask(ctx)
			if got == want {
				return
			}
			require.Contains(t, allowed, got)
			time.Sleep(10 * time.Millisecond)
		}
		require.Fail(t, "it never came to that", "%d", want)
	}
	before, err := keys.Keys(ctx)
	require.NoError(t, err)
	until(http.StatusOK, http.StatusServiceUnavailable)

	trouble.begin()
	patience := 30 * time.Second
	if trouble.says == context.DeadlineExceeded.Error() {
		patience = time.Second // there is no other end
	}
	limited, cancelLimited := context.WithTimeout(ctx, patience)
	defer cancelLimited()
	_, err = keys.Rotate(limited)
	require.ErrorContains(t, err, "rootkey: rotate: ")
	require.ErrorContains(t, err, trouble.says)
	require.NotContains(t, err.Error(), "\x00")
	if trouble.readable {
		for range 50 {
			require.Equal(t, http.StatusOK, ask(ctx))
			time.Sleep(10 * time.Millisecond)
		}
	} else {
		until(http.StatusServiceUnavailable, http.StatusOK)
		_, err := v.VerifyText(ctx, text, "orders.read", caveat.Facts{})
		require.ErrorIs(t, err, verifier.ErrUndecided)
		require.ErrorIs(t, errors.Unwrap(err), rootkey.ErrStale)
		_, err = keys.Mint(ctx, macaroon.Grant{}, caveat.ExpiresIn(time.Hour))
		require.ErrorIs(t, err, rootkey.ErrStale)
	}
	gone, cancelGone := context.WithCancel(ctx)
	cancelGone()
	require.Equal(t, http.StatusServiceUnavailable, ask(gone))

	trouble.end()
	until(http.StatusOK, http.StatusServiceUnavailable)
	require.Eventually(t, func() bool {
		_, err = keys.Rotate(ctx)
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	after, err := keys.Keys(ctx)
	require.NoError(t, err)
	require.Len(t, after, len(before)+1)
	require.Equal(t, before[0].ID, after[0].ID)
	until(http.StatusOK, http.StatusServiceUnavailable)
}

func postgresGone(t *testing.T) trouble {
	server := postgresServer(t)
	p := newProxy(t, server.dsn)
	server.dsn = p.dsn
	return trouble{store: server.store(t, sqlSealer(t, 1), ""), begin: p.cut, end: p.join, says: "sqlstore: "}
}

func postgresHangs(t *testing.T) trouble {
	server := postgresServer(t)
	p := newProxy(t, server.dsn)
	server.dsn = p.dsn
	return trouble{store: server.store(t, sqlSealer(t, 1), ""), begin: p.hold, end: p.join, says: "context deadline exceeded"}
}

func sqliteLocked(t *testing.T) trouble {
	server := sqliteServer(t)
	server.dsn = strings.Replace(server.dsn, "busy_timeout(10000)", "busy_timeout(20)", 1)
	db := server.open(t)
	db.SetMaxOpenConns(1)
	return trouble{
		store: server.store(t, sqlSealer(t, 1), ""),
		begin: func() {
			require.Eventually(t, func() bool { _, err := db.Exec("BEGIN EXCLUSIVE"); return err == nil }, 30*time.Second, time.Millisecond)
		},
		end:  func() { server.exec(t, db, "ROLLBACK") },
		says: "locked",
	}
}

// SQLite is told how large its file may become, and somebody fills it.
func sqliteFull(t *testing.T) trouble {
	server := sqliteServer(t).with("_pragma=max_page_count(40)")
	db := server.open(t)
	fill := func(size int) (err error) {
		for range 1000 { // of 160 KiB
			if _, err = db.Exec("INSERT INTO amaretti_keys VALUES ('somebody', hex(randomblob(8)), zeroblob(?))", size); err != nil {
				break
			}
		}
		return err
	}
	return trouble{
		store: server.store(t, sqlSealer(t, 1), ""),
		begin: func() {
			for _, size := range []int{1000, 100, 1} {
				require.ErrorContains(t, fill(size), "full")
			}
		},
		end:      func() { server.exec(t, db, "DELETE FROM amaretti_keys WHERE name = 'somebody'") },
		says:     "full",
		readable: true,
	}
}

// What becomes of damage has nothing to do with the kind of database.
func sqlDamaged(t *testing.T) trouble {
	server := postgresServer(t)
	db := server.open(t)
	flip := func() {
		server.exec(t, db, `UPDATE amaretti_keys SET record = set_byte(record, 40, get_byte(record, 40) # 1)`)
		server.exec(t, db, `UPDATE amaretti_sets SET version = version || 'x'`)
	}
	return trouble{store: server.store(t, sqlSealer(t, 1), ""), begin: flip, end: flip, says: "does not open"}
}

func sqlRewrapped(t *testing.T) trouble {
	server := postgresServer(t)
	other := server.store(t, sqlSealer(t, 1), "")
	return trouble{
		store: server.store(t, sqlSealer(t, 1), ""),
		begin: func() { require.NoError(t, other.Rewrap(t.Context(), sqlSealer(t, 2))) },
		end:   func() { require.NoError(t, other.Rewrap(t.Context(), sqlSealer(t, 1))) },
		says:  "does not open",
	}
}

func redisGone(t *testing.T) trouble {
	server := newRedis(t)
	return trouble{store: server.store(t), begin: server.kill, end: server.start, says: "redisstore: "}
}

func redisHangs(t *testing.T) trouble {
	server := newRedis(t)
	signal := func(s syscall.Signal) func() { return func() { require.NoError(t, server.command.Process.Signal(s)) } }
	return trouble{store: server.store(t), begin: signal(syscall.SIGSTOP), end: signal(syscall.SIGCONT), says: "context deadline exceeded"}
}

// Another Redis has taken over, and this one follows.
func redisDemoted(t *testing.T) trouble {
	server := newRedis(t)
	admin := server.connect(t)
	follow := func(host, port string) func() {
		return func() { require.NoError(t, admin.ReplicaOf(t.Context(), host, port).Err()) }
	}
	return trouble{store: server.store(t), begin: follow("127.0.0.1", "1"), end: follow("NO", "ONE"), says: "READONLY", readable: true}
}

func fileDamaged(t *testing.T) trouble {
	store, path := fileStore(t, 1)
	flip := func() {
		file, err := os.ReadFile(path)
		require.NoError(t, err)
		file[len(file)-1] ^= 1
		require.NoError(t, os.WriteFile(path, file, 0o600))
	}
	return trouble{store: store, begin: flip, end: flip, says: "does not open"}
}

func fileGone(t *testing.T) trouble {
	store, path := fileStore(t, 1)
	return trouble{
		store: store,
		begin: func() { require.NoError(t, os.Rename(path, path+".aside")) },
		end:   func() { require.NoError(t, os.Rename(path+".aside", path)) },
		says:  "no such file",
	}
}

func fileRewrapped(t *testing.T) trouble {
	store, path := fileStore(t, 1)
	other, err := filestore.New(path, sqlSealer(t, 1), filestore.Options{})
	require.NoError(t, err)
	return trouble{
		store: store,
		begin: func() { require.NoError(t, other.Rewrap(t.Context(), sqlSealer(t, 2))) },
		end:   func() { require.NoError(t, other.Rewrap(t.Context(), sqlSealer(t, 1))) },
		says:  "does not open",
	}
}

func fileStore(t *testing.T, kek byte) (store *filestore.Store, path string) {
	path = filepath.Join(t.TempDir(), "keys")
	store, err := filestore.New(path, sqlSealer(t, kek), filestore.Options{})
	require.NoError(t, err)
	return store, path
}
