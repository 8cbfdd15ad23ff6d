package integration_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/sqlstore"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/storetest"
)

// Keys and an inventory in one SQLite file.
func Example_sqlstore() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "keys.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		panic(err)
	}
	defer db.Close()

	kek := sha256.Sum256([]byte("of course it comes from a secrets manager"))
	sealer, err := seal.NewKey(kek[:])
	if err != nil {
		panic(err)
	}
	store, err := sqlstore.New(db, sqlstore.SQLite, sealer, sqlstore.Options{})
	if err != nil {
		panic(err)
	}
	inventory, err := sqlstore.NewInventory(db, sqlstore.SQLite, sqlstore.Options{})
	if err != nil {
		panic(err)
	}
	keys, err := rootkey.Open(ctx, store, rootkey.Options{Recorder: inventory})
	if err != nil {
		panic(err)
	}
	token, err := keys.Mint(ctx, macaroon.Grant{Subject: "billing", Label: "the nightly job"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
	if err != nil {
		panic(err)
	}

	found, err := inventory.Find(ctx, sqlstore.Query{Label: "the nightly job"})
	if err != nil {
		panic(err)
	}
	id, err := macaroon.ParseIdentifier(token.Identifier())
	fmt.Println(len(found), found[0].Subject, found[0].TokenID == id.TokenID, found[0].KeyID == id.KeyID, err)
	// Output: 1 billing true true <nil>
}

// A sqlServer is a database of the test's own.
type sqlServer struct {
	driver, dsn string
	dialect     sqlstore.Dialect
}

func postgresServer(t *testing.T) sqlServer {
	return sqlServer{"pgx", postgresDSN(t), sqlstore.PostgreSQL}
}

func sqliteServer(t *testing.T) sqlServer {
	path := filepath.Join(t.TempDir(), "keys.db")
	return sqlServer{"sqlite", "file:" + path + "?_pragma=busy_timeout(10000)&_pragma=synchronous(OFF)", sqlstore.SQLite}
}

// onBoth runs a test on PostgreSQL and on SQLite.
func onBoth(t *testing.T, run func(t *testing.T, server sqlServer)) {
	for name, server := range map[string]func(t *testing.T) sqlServer{"PostgreSQL": postgresServer, "SQLite": sqliteServer} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			run(t, server(t))
		})
	}
}

// with gives the same database with another setting in the DSN.
func (s sqlServer) with(setting string) sqlServer {
	mark := "?"
	if strings.Contains(s.dsn, "?") {
		mark = "&"
	}
	s.dsn += mark + setting
	return s
}

// open opens the database as a process of its own would.
func (s sqlServer) open(t *testing.T) *sql.DB {
	t.Helper()
	return open(t, s.driver, s.dsn)
}

func (s sqlServer) store(t *testing.T, kek *seal.Sealer, name string) *sqlstore.Store {
	t.Helper()
	store, err := sqlstore.New(s.open(t), s.dialect, kek, sqlstore.Options{Name: name})
	require.NoError(t, err)
	return store
}

func (s sqlServer) inventory(t *testing.T, name string) *sqlstore.Inventory {
	t.Helper()
	inventory, err := sqlstore.NewInventory(s.open(t), s.dialect, sqlstore.Options{Name: name})
	require.NoError(t, err)
	return inventory
}

// exec does something behind the store's back. Parameters are written as in PostgreSQL.
func (s sqlServer) exec(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if s.dialect == sqlstore.SQLite {
		statement = strings.ReplaceAll(statement, "$", "?")
	}
	_, err := db.Exec(statement, args...)
	require.NoError(t, err)
}

func sqlSealer(t *testing.T, n byte) *seal.Sealer {
	t.Helper()
	kek := sha256.Sum256([]byte{n})
	s, err := seal.NewKey(kek[:])
	require.NoError(t, err)
	return s
}

// sqlSet is a set of keys.
func sqlSet(text string) map[string][]byte {
	return map[string][]byte{"mfrggzdfmztwq": []byte("root key one, " + text), "nnwg23tpobyxe": []byte("root key two, " + text)}
}

func sqlWrite(t *testing.T, s *sqlstore.Store, known string, records map[string][]byte) string {
	t.Helper()
	version, swapped, err := s.Swap(t.Context(), known, records)
	require.NoError(t, err)
	require.True(t, swapped)
	return version
}

func sqlHolds(t *testing.T, s *sqlstore.Store, records map[string][]byte) (version string) {
	t.Helper()
	got, version, found, err := s.Load(t.Context(), "")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, records, got)
	return version
}

func TestSQLStore(t *testing.T) {
	t.Parallel()
	suite := func(t *testing.T, server sqlServer) {
		var names atomic.Int64
		storetest.Run(t, func(t *testing.T) func() rootkey.Store {
			name := fmt.Sprintf("ring_%d", names.Add(1))
			return func() rootkey.Store { return server.store(t, sqlSealer(t, 1), name) }
		})
	}
	onBoth(t, suite)
	t.Run("PostgreSQL, serializable by default", func(t *testing.T) {
		t.Parallel()
		suite(t, postgresServer(t).with("default_transaction_isolation=serializable"))
	})
	t.Run("SQLite with a write-ahead log", func(t *testing.T) {
		t.Parallel()
		server := sqliteServer(t)
		server.exec(t, server.open(t), "PRAGMA journal_mode = WAL")
		suite(t, server)
	})
}

// Tables of another prefix are others.
func TestSQLTablePrefix(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, server sqlServer) {
		db := server.open(t)
		for _, prefix := range []string{"", "orders_", "_2", strings.Repeat("z", 32)} {
			options := sqlstore.Options{TablePrefix: prefix}
			store, err := sqlstore.New(db, server.dialect, sqlSealer(t, 1), options)
			require.NoError(t, err)
			_, _, found, err := store.Load(t.Context(), "")
			require.NoError(t, err)
			require.False(t, found)
			sqlWrite(t, store, "", sqlSet(prefix))
			sqlHolds(t, store, sqlSet(prefix))

			inventory, err := sqlstore.NewInventory(db, server.dialect, options)
			require.NoError(t, err)
			require.NoError(t, inventory.RecordMint(t.Context(), [16]byte{1}, "s", "l", "k", time.Now()))
		}
	})
}

func TestSQLManyStartAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, server sqlServer) {
		var wg sync.WaitGroup
		var won atomic.Int64
		start := make(chan struct{})
		for i := range 12 {
			store, inventory := server.store(t, sqlSealer(t, 1), ""), server.inventory(t, "")
			wg.Go(func() {
				<-start
				_, swapped, err := store.Swap(t.Context(), "", sqlSet("of the first"))
				require.NoError(t, err)
				if swapped {
					won.Add(1)
				}
				_, _, found, err := store.Load(t.Context(), "")
				require.NoError(t, err)
				require.True(t, found)
			})
			wg.Go(func() {
				<-start
				require.NoError(t, inventory.RecordMint(t.Context(), [16]byte{byte(i)}, "s", "l", "k", time.Now()))
			})
		}
		close(start)
		wg.Wait()
		require.EqualValues(t, 1, won.Load())
		found, err := server.inventory(t, "").Find(t.Context(), sqlstore.Query{Label: "l"})
		require.NoError(t, err)
		require.Len(t, found, 12)
	})
}

// A driver says no more of the other database's SQL than that it doesn't understand.
func TestSQLErrorsTellTheDialect(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, server sqlServer) {
		other, name := sqlstore.PostgreSQL, "PostgreSQL"
		if server.dialect == sqlstore.PostgreSQL {
			other, name = sqlstore.SQLite, "SQLite"
		}
		store, err := sqlstore.New(server.open(t), other, sqlSealer(t, 1), sqlstore.Options{})
		require.NoError(t, err)
		_, _, _, err = store.Load(t.Context(), "")
		require.ErrorContains(t, err, "sqlstore: load: schema: asked as "+name+": ")
	})
}

func TestSQLSchemaVersions(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, server sqlServer) {
		db := server.open(t)
		sqlWrite(t, server.store(t, sqlSealer(t, 1), ""), "", sqlSet("kept"))

		// A later release was here.
		var version int
		require.NoError(t, db.QueryRow(`SELECT version FROM amaretti_schema`).Scan(&version))
		server.exec(t, db, `UPDATE amaretti_schema SET version = 1000`)
		store, inventory := server.store(t, sqlSealer(t, 1), ""), server.inventory(t, "")
		_, _, _, err := store.Load(t.Context(), "")
		require.ErrorContains(t, err, "sqlstore: load: schema: version 1000 is newer")
		_, _, err = store.Swap(t.Context(), "", sqlSet("lost"))
		require.ErrorContains(t, err, "newer")
		require.ErrorContains(t, store.Rewrap(t.Context(), sqlSealer(t, 2)), "newer")
		require.ErrorContains(t, inventory.RecordMint(t.Context(), [16]byte{1}, "s", "l", "k", time.Now()), "newer")
		server.exec(t, db, `UPDATE amaretti_schema SET version = $1`, version)
		sqlHolds(t, store, sqlSet("kept")) // and it goes on without a restart

		// An earlier one was: its tables had no inventory yet.
		server.exec(t, db, `DROP TABLE amaretti_minted`)
		server.exec(t, db, `UPDATE amaretti_schema SET version = 1`)
		inventory = server.inventory(t, "")
		require.NoError(t, inventory.RecordMint(t.Context(), [16]byte{1}, "s", "l", "k", time.Now()))
		sqlHolds(t, server.store(t, sqlSealer(t, 1), ""), sqlSet("kept"))

		// It broke off before its first migration.
		server.exec(t, db, `DELETE FROM amaretti_schema`)
		for _, table := range []string{"sets", "keys", "minted"} {
			server.exec(t, db, `DROP TABLE amaretti_`+table)
		}
		_, _, found, err := server.store(t, sqlSealer(t, 1), "").Load(t.Context(), "")
		require.NoError(t, err)
		require.False(t, found)

		// A migration that fails leaves nothing behind.
		for _, table := range []string{"schema", "sets", "minted"} {
			server.exec(t, db, `DROP TABLE amaretti_`+table)
		}
		store = server.store(t, sqlSealer(t, 1), "")
		_, _, _, err = store.Load(t.Context(), "")
		require.ErrorContains(t, err, "sqlstore: load: schema: ")
		_, err = db.Exec(`SELECT * FROM amaretti_sets`)
		require.Error(t, err)
		server.exec(t, db, `DROP TABLE amaretti_keys`)
		sqlWrite(t, store, "", sqlSet("anew"))
	})
}

// Who only verifies needs no right to write, once the tables are there.
func TestSQLReadOnly(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		server  func(t *testing.T) sqlServer
		setting string
	}{
		"PostgreSQL": {postgresServer, "default_transaction_read_only=on"},
		"SQLite":     {sqliteServer, "mode=ro"},
	} {
		t.Run(name, func(t *testing.T) {
			server := row.server(t)
			sqlWrite(t, server.store(t, sqlSealer(t, 1), ""), "", sqlSet("shared"))
			readOnly := server.with(row.setting).store(t, sqlSealer(t, 1), "")
			version := sqlHolds(t, readOnly, sqlSet("shared"))
			_, _, err := readOnly.Swap(t.Context(), version, sqlSet("changed"))
			require.ErrorContains(t, err, "sqlstore: swap: ")
			require.ErrorContains(t, readOnly.Rewrap(t.Context(), sqlSealer(t, 2)), "sqlstore: rewrap: ")
			sqlHolds(t, readOnly, sqlSet("shared"))
		})
	}
}

func TestSQLDamage(t *testing.T) {
	t.Parallel()
	const first, second = "mfrggzdfmztwq", "nnwg23tpobyxe"
	onBoth(t, func(t *testing.T, server sqlServer) {
		db := server.open(t)
		store := server.store(t, sqlSealer(t, 1), "here")
		sqlWrite(t, store, "", sqlSet("here"))
		sqlWrite(t, server.store(t, sqlSealer(t, 1), "there"), "", sqlSet("there"))

		read := func(name, id string) (record []byte) {
			statement := strings.NewReplacer("$name", "'"+name+"'", "$id", "'"+id+"'").Replace(
				`SELECT record FROM amaretti_keys WHERE name = $name AND id = $id`)
			require.NoError(t, db.QueryRow(statement).Scan(&record))
			return record
		}
		put := func(id string, record any) {
			server.exec(t, db, `UPDATE amaretti_keys SET record = $1 WHERE name = $2 AND id = $3`, record, "here", id)
		}
		refused := func(what string) {
			t.Helper()
			records, version, found, err := store.Load(t.Context(), "")
			require.ErrorIs(t, err, seal.ErrOpen, what)
			require.ErrorContains(t, err, "sqlstore: load: key ", what)
			require.NotContains(t, err.Error(), "root key")
			require.Nil(t, records)
			require.Empty(t, version)
			require.False(t, found)
		}

		good := read("here", first)
		require.False(t, bytes.Contains(good, []byte("root key")))
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 0x20
			put(first, bad)
			refused(fmt.Sprintf("byte %d", i))
			require.Equal(t, bad, read("here", first), "reading repairs nothing")
		}
		put(first, good[:len(good)-1])
		refused("cut")
		put(first, read("here", second))
		refused("another key's record")
		put(first, read("there", first))
		refused("another keyring's record")
		if server.dialect == sqlstore.SQLite { // which lets a column hold anything
			put(first, "a text")
			refused("text")
			put(first, 42)
			refused("number")
		}
		put(first, good)
		sqlHolds(t, store, sqlSet("here"))

		for what, record := range map[string][]byte{"empty": {}, "too long": make([]byte, 65<<10)} {
			put(first, record)
			_, _, _, err := store.Load(t.Context(), "")
			require.ErrorContains(t, err, "record: none, or more than", what)
		}
		put(first, good)

		server.exec(t, db, `UPDATE amaretti_keys SET id = 'another' WHERE name = 'here' AND id = $1`, first)
		refused("record under another id")
		server.exec(t, db, `UPDATE amaretti_keys SET id = $1 WHERE name = 'here' AND id = 'another'`, first)

		version := sqlHolds(t, store, sqlSet("here"))
		for _, bad := range []string{"", strings.Repeat("v", 65)} {
			server.exec(t, db, `UPDATE amaretti_sets SET version = $1 WHERE name = 'here'`, bad)
			_, _, _, err := store.Load(t.Context(), "known")
			require.ErrorContains(t, err, "version: damaged")
		}
		server.exec(t, db, `UPDATE amaretti_sets SET version = $1 WHERE name = 'here'`, version)

		_, _, _, err := server.store(t, sqlSealer(t, 2), "here").Load(t.Context(), "")
		require.ErrorIs(t, err, seal.ErrOpen, "wrong key-encryption key")
		_, _, _, err = server.store(t, seal.InsecurePlaintext(), "here").Load(t.Context(), "")
		require.ErrorIs(t, err, seal.ErrOpen, "no key-encryption key")

		server.exec(t, db, `INSERT INTO amaretti_keys (name, id, record)
			WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
			SELECT name, CAST(i AS TEXT), record FROM n, amaretti_keys WHERE name = 'here' AND id = $1`, first)
		_, _, _, err = store.Load(t.Context(), "")
		require.ErrorContains(t, err, "more than 1000 keys")
		server.exec(t, db, `DELETE FROM amaretti_keys WHERE length(id) <= 3`)
		sqlHolds(t, store, sqlSet("here"))

		// Lost altogether: that is a change, of which everybody must hear.
		server.exec(t, db, `DELETE FROM amaretti_sets WHERE name = 'here'`)
		records, version, found, err := store.Load(t.Context(), version)
		require.NoError(t, err)
		require.True(t, found)
		require.Empty(t, records)
		require.Empty(t, version)
	})
}

func TestSQLLimits(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, server sqlServer) {
		records := make(map[string][]byte)
		for i := range 1000 {
			records[fmt.Sprintf("~!'\"$1@?%d", i)] = []byte{byte(i)}
		}
		records["~!'\"$1@?0"] = make([]byte, 64<<10-41)
		store := server.store(t, sqlSealer(t, 1), "")
		sqlWrite(t, store, "", records)
		sqlHolds(t, store, records)
	})
}

func TestSQLRewrap(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, server sqlServer) {
		before, after := sqlSealer(t, 1), sqlSealer(t, 2)
		ctx := t.Context()

		// Nothing was ever written: there is nothing to do, and that is not written down either.
		empty := server.store(t, before, "empty")
		require.NoError(t, empty.Rewrap(ctx, after))
		_, version, found, err := empty.Load(ctx, "other")
		require.NoError(t, err)
		require.True(t, found)
		require.Empty(t, version)
		sqlWrite(t, empty, "", sqlSet("under the new key"))
		sqlHolds(t, server.store(t, after, "empty"), sqlSet("under the new key"))

		store, db := server.store(t, before, "ring"), server.open(t)
		was := sqlWrite(t, store, "", sqlSet("x"))
		require.NoError(t, store.Rewrap(ctx, after))
		is := sqlHolds(t, store, sqlSet("x"))
		require.NotEqual(t, was, is, "everybody shall read it")
		sqlHolds(t, server.store(t, after, "ring"), sqlSet("x"))
		_, _, _, err = server.store(t, before, "ring").Load(ctx, "")
		require.ErrorIs(t, err, seal.ErrOpen)
		sqlWrite(t, store, is, sqlSet("y"))
		sqlHolds(t, server.store(t, after, "ring"), sqlSet("y"))
		require.NoError(t, store.Rewrap(ctx, after), "once more under the same key")

		// One record is damaged: no record changes.
		was = sqlHolds(t, store, sqlSet("y"))
		server.exec(t, db, `UPDATE amaretti_keys SET record = $1 WHERE name = 'ring' AND id = 'mfrggzdfmztwq'`, []byte{2})
		third := sqlSealer(t, 3)
		for range 3 {
			require.ErrorIs(t, store.Rewrap(ctx, third), seal.ErrOpen)
		}
		_, _, err = store.Swap(ctx, was, sqlSet("z"))
		require.NoError(t, err)
		sqlHolds(t, server.store(t, after, "ring"), sqlSet("z")) // sealed as before
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		require.ErrorIs(t, store.Rewrap(cancelled, third), context.Canceled)
		sqlHolds(t, server.store(t, after, "ring"), sqlSet("z"))

		// After an error nobody knows whether it happened, so both open: here it did, elsewhere.
		require.NoError(t, server.store(t, third.AlsoOpens(after), "ring").Rewrap(ctx, third))
		sqlHolds(t, store, sqlSet("z"))
		require.NoError(t, store.Rewrap(ctx, third))
		sqlHolds(t, server.store(t, third, "ring"), sqlSet("z"))

		// And back to a database that is encrypted by other means.
		require.NoError(t, store.Rewrap(ctx, seal.InsecurePlaintext()))
		sqlHolds(t, server.store(t, seal.InsecurePlaintext(), "ring"), sqlSet("z"))
		require.NoError(t, store.Rewrap(ctx, after))
		sqlHolds(t, server.store(t, after, "ring"), sqlSet("z"))
	})
}

// While one process rewraps, it and others read and write.
func TestSQLRewrapWhileInUse(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, server sqlServer) {
		keks := []*seal.Sealer{sqlSealer(t, 0), sqlSealer(t, 1), sqlSealer(t, 2), sqlSealer(t, 3)}
		// The others were given all keys before.
		other := func() *sqlstore.Store { return server.store(t, keks[3].AlsoOpens(keks[:3]...), "") }
		rewrapped := server.store(t, keks[0], "")
		sqlWrite(t, rewrapped, "", sqlSet("0"))

		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var writes atomic.Int64
		for _, store := range []*sqlstore.Store{rewrapped, rewrapped, other()} {
			wg.Go(func() {
				for ctx.Err() == nil {
					records, version, _, err := store.Load(t.Context(), "")
					require.NoError(t, err)
					require.Len(t, records, 2)
					if store != rewrapped { // it seals under the last key, which those before can't open
						continue
					}
					_, swapped, err := store.Swap(t.Context(), version, sqlSet(fmt.Sprint(writes.Load())))
					require.NoError(t, err)
					if swapped {
						writes.Add(1)
					}
				}
			})
		}
		for i, kek := range keks[1:] {
			want := int64(5 * (i + 1))
			require.Eventually(t, func() bool { return writes.Load() >= want }, 30*time.Second, time.Millisecond)
			require.NoError(t, rewrapped.Rewrap(t.Context(), kek))
			_, _, _, err := server.store(t, kek, "").Load(t.Context(), "")
			require.NoError(t, err, "all is under the new key, and what is written meanwhile")
		}
		cancel()
		wg.Wait()
		_, _, _, err := server.store(t, keks[3], "").Load(t.Context(), "")
		require.NoError(t, err)
	})
}

func TestSQLTwoRewraps(t *testing.T) {
	t.Parallel()
	server := postgresServer(t)
	store, db := server.store(t, sqlSealer(t, 1), ""), server.open(t)
	sqlWrite(t, store, "", sqlSet("x"))
	tx := begun(t, db, `UPDATE amaretti_sets SET version = version`)
	done := make(chan error)
	go func() { done <- store.Rewrap(t.Context(), sqlSealer(t, 2)) }()
	waitForLock(t, db)
	require.ErrorContains(t, store.Rewrap(t.Context(), sqlSealer(t, 3)), "under way")
	sqlHolds(t, store, sqlSet("x")) // readers don't wait
	require.NoError(t, tx.Rollback())
	require.NoError(t, <-done)
	sqlHolds(t, server.store(t, sqlSealer(t, 2), ""), sqlSet("x"))
}

// begun gives a transaction that has run a statement, and keeps its locks until it ends.
func begun(t *testing.T, db *sql.DB, statement string) *sql.Tx {
	t.Helper()
	tx, err := db.Begin()
	require.NoError(t, err)
	t.Cleanup(func() { tx.Rollback() })
	_, err = tx.Exec(statement)
	require.NoError(t, err)
	return tx
}

// waitForLock waits until a connection of this test's schema waits for a lock.
func waitForLock(t *testing.T, db *sql.DB) (pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		err := db.QueryRow(`SELECT pid FROM pg_locks waiting WHERE NOT granted AND (relation = to_regclass('amaretti_sets')
			OR EXISTS (SELECT FROM pg_locks WHERE pid = waiting.pid AND granted AND relation = to_regclass('amaretti_sets')))`).Scan(&pid)
		require.True(t, err == nil || errors.Is(err, sql.ErrNoRows), err)
		return err == nil
	}, 30*time.Second, time.Millisecond)
	return pid
}
