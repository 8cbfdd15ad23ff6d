package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
)

// A Swap is cut off while it waits within its transaction.
func TestPostgresConnectionKilled(t *testing.T) {
	t.Parallel()
	server := postgresServer(t)
	store, db := server.store(t, sqlSealer(t, 1), ""), server.open(t)
	version := sqlWrite(t, store, "", sqlSet("before"))
	tx := begun(t, db, `UPDATE amaretti_sets SET version = version`)

	done := make(chan error)
	go func() {
		_, _, err := store.Swap(t.Context(), version, sqlSet("after"))
		done <- err
	}()
	_, err := db.Exec(`SELECT pg_terminate_backend($1)`, waitForLock(t, db))
	require.NoError(t, err)
	err = <-done
	require.ErrorContains(t, err, "sqlstore: swap: ")
	require.ErrorContains(t, err, "terminating connection")
	require.NoError(t, tx.Rollback())
	require.Equal(t, version, sqlHolds(t, store, sqlSet("before")))
	sqlWrite(t, store, version, sqlSet("after"))
	sqlHolds(t, store, sqlSet("after"))
}

// Connections are killed at any moment: no acknowledged write is lost, no set is torn, and all
// goes on without a restart.
func TestPostgresConnectionsKilled(t *testing.T) {
	t.Parallel()
	server := postgresServer(t)
	db := server.open(t)
	victims := server.with("application_name=victims_of_" + t.Name())
	store := victims.store(t, sqlSealer(t, 1), "")
	version := sqlWrite(t, store, "", sqlSet("0"))

	kills := 15
	if os.Getenv("AMARETTI_LONG") != "" {
		kills = 200
	}
	acknowledged, failures, inDoubt := 0, 0, 0
	took := 10 * time.Millisecond
	for i := 1; failures < kills; i++ {
		killed, moment := make(chan error), rand.N(took)
		go func() {
			time.Sleep(moment)
			_, err := db.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1`,
				"victims_of_"+t.Name())
			killed <- err
		}()
		began := time.Now()
		next, swapped, err := store.Swap(t.Context(), version, sqlSet(fmt.Sprint(i)))
		took = max(time.Since(began), time.Millisecond) // what it takes here, with a new connection
		require.NoError(t, <-killed)
		if err == nil {
			require.True(t, swapped)
			version, acknowledged = next, i
			continue
		}
		failures++
		require.ErrorContains(t, err, "sqlstore: swap: ")
		// Written or not: whole in either case, and what was acknowledged if not.
		for {
			records, now, found, err := store.Load(t.Context(), "")
			if err != nil { // over a connection that has been killed
				require.ErrorContains(t, err, "sqlstore: load: ")
				continue
			}
			require.True(t, found)
			want := acknowledged
			if now != version {
				want = i
				inDoubt++
			}
			require.Equal(t, sqlSet(fmt.Sprint(want)), records)
			version, acknowledged = now, want
			break
		}
	}
	t.Logf("%d failures, of which %d had been written", failures, inDoubt)
	sqlHolds(t, server.store(t, sqlSealer(t, 1), ""), sqlSet(fmt.Sprint(acknowledged)))
}

func TestPostgresContextEndsInTheMiddle(t *testing.T) {
	t.Parallel()
	server := postgresServer(t)
	store, db := server.store(t, sqlSealer(t, 1), ""), server.open(t)
	version := sqlWrite(t, store, "", sqlSet("before"))
	inventory := server.inventory(t, "")
	require.NoError(t, inventory.RecordMint(t.Context(), [16]byte{1}, "s", "l", "k", time.Now()))

	tx := begun(t, db, `LOCK TABLE amaretti_sets, amaretti_keys, amaretti_minted IN ACCESS EXCLUSIVE MODE`)
	for name, call := range map[string]func(ctx context.Context) error{
		"load": func(ctx context.Context) error { _, _, _, err := store.Load(ctx, ""); return err },
		"swap": func(ctx context.Context) error {
			_, _, err := store.Swap(ctx, version, sqlSet("after"))
			return err
		},
		"rewrap": func(ctx context.Context) error { return store.Rewrap(ctx, sqlSealer(t, 2)) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- call(ctx) }()
		waitForLock(t, db)
		cancel()
		err := <-done
		require.ErrorIs(t, err, context.Canceled, name)
		require.ErrorContains(t, err, "sqlstore: "+name+": ")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, inventory.RecordMint(ctx, [16]byte{2}, "s", "l", "k", time.Now()), context.DeadlineExceeded)
	_, err := inventory.Prune(ctx, time.Now())
	require.ErrorIs(t, err, context.DeadlineExceeded)

	require.NoError(t, tx.Rollback())
	require.Equal(t, version, sqlHolds(t, store, sqlSet("before")))
	sqlWrite(t, store, version, sqlSet("after"))
	sqlHolds(t, store, sqlSet("after"))
}

// Another process holds the lock of an SQLite file for longer than the connection
// waits.
func TestSQLiteBusy(t *testing.T) {
	t.Parallel()
	server := sqliteServer(t)
	version := sqlWrite(t, server.store(t, sqlSealer(t, 1), ""), "", sqlSet("before"))
	impatient := server
	impatient.dsn = strings.Replace(server.dsn, "busy_timeout(10000)", "busy_timeout(20)", 1)
	store, inventory := impatient.store(t, sqlSealer(t, 1), ""), impatient.inventory(t, "")

	blocker, err := server.open(t).Conn(t.Context())
	require.NoError(t, err)
	_, err = blocker.ExecContext(t.Context(), `BEGIN EXCLUSIVE`)
	require.NoError(t, err)
	_, _, err = store.Swap(t.Context(), version, sqlSet("after"))
	require.ErrorContains(t, err, "sqlstore: swap: ")
	require.ErrorContains(t, err, "locked")
	require.ErrorContains(t, store.Rewrap(t.Context(), sqlSealer(t, 2)), "locked")
	require.ErrorContains(t, inventory.RecordMint(t.Context(), [16]byte{1}, "s", "l", "k", time.Now()), "locked")

	_, err = blocker.ExecContext(t.Context(), `ROLLBACK`)
	require.NoError(t, err)
	require.Equal(t, version, sqlHolds(t, store, sqlSet("before")))
	sqlWrite(t, store, version, sqlSet("after"))
	_, _, _, err = server.store(t, sqlSealer(t, 2), "").Load(t.Context(), "")
	require.ErrorIs(t, err, seal.ErrOpen, "the Rewrap that failed has changed nothing")
}
