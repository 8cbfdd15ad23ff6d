package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/sqlstore"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

// keptChanges is how many changes the log of a list keeps.
const keptChanges = 1 << 14

// number asks the database for a number.
func number(t *testing.T, db *sql.DB, query string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRow(query).Scan(&n))
	return n
}

// changesOf gives what came after a cursor, or all.
func changesOf(t *testing.T, s *revocation.SQL, after revocation.Cursor) revocation.Batch {
	t.Helper()
	b, err := s.Changes(t.Context(), after, 0)
	require.NoError(t, err)
	return b
}

// TestRevocationSQLKeepsSoManyChanges of each list, and no more: who is as far behind as that can follow.
func TestRevocationSQLKeepsSoManyChanges(t *testing.T) {
	onDatabases(t, func(t *testing.T, server sqlServer) {
		s, other, db := server.revocations(t, ""), server.revocations(t, "other"), server.open(t)
		for _, s := range []*revocation.SQL{s, other} {
			require.NoError(t, s.Revoke(t.Context(), revocation.Key("1"), time.Time{}, ""))
			require.NoError(t, s.Revoke(t.Context(), revocation.Key("2"), time.Time{}, ""))
		}
		second := changesOf(t, s, revocation.Cursor{}).To
		_, err := db.Exec(fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			INSERT INTO amaretti_revoked_changes SELECT 'default', i, i, 'key ' || i, 0 FROM n`, keptChanges))
		require.NoError(t, err)
		_, err = db.Exec(fmt.Sprintf(`UPDATE amaretti_revoked_log SET seq = %d WHERE name = 'default'`, keptChanges))
		require.NoError(t, err)

		const oldest = `SELECT min(seq) FROM amaretti_revoked_changes WHERE name = 'default'`
		for i := range 2 {
			require.NoError(t, s.Revoke(t.Context(), revocation.Key("last"), time.Time{}, ""))
			require.Equal(t, 2+i, number(t, db, oldest))
			require.Equal(t, i > 0, changesOf(t, s, second).Full)
		}
		require.Equal(t, keptChanges, number(t, db, `SELECT count(*) FROM amaretti_revoked_changes WHERE name = 'default'`))
		require.Equal(t, 2, number(t, db, `SELECT count(*) FROM amaretti_revoked_changes WHERE name = 'other'`))
	})
}

// TestRevocationSQLBeginsAnew: after more changes than anybody follows a list has another log, and no other
// list has. That is so also for who knows no change of the log before.
func TestRevocationSQLBeginsAnew(t *testing.T) {
	onDatabases(t, func(t *testing.T, server sqlServer) {
		s, other, db := server.revocations(t, ""), server.revocations(t, "other"), server.open(t)
		begun := changesOf(t, other, revocation.Cursor{}).To
		require.NoError(t, s.Revoke(t.Context(), revocation.Key("kept"), time.Time{}, ""))
		require.NoError(t, other.Revoke(t.Context(), revocation.Key("theirs"), time.Time{}, ""))
		to := changesOf(t, s, revocation.Cursor{}).To
		for range 2 {
			_, err := db.Exec(fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
				INSERT INTO amaretti_revoked SELECT 'default', 'key ' || i, 1, '', '', 1 FROM n`, keptChanges))
			require.NoError(t, err)
			n, err := s.Prune(t.Context())
			require.NoError(t, err)
			require.Equal(t, keptChanges+1, n)
			b := changesOf(t, s, to)
			require.True(t, b.Full)
			require.NotEqual(t, to.Log, b.To.Log)
			require.Zero(t, number(t, db, `SELECT count(*) FROM amaretti_revoked_changes WHERE name = 'default'`))
			to = b.To
		}
		next := changesOf(t, other, begun)
		require.False(t, next.Full)
		require.Equal(t, []revocation.Change{{What: revocation.Key("theirs")}}, next.Changes)
	})
}

// TestRevocationSQLAgain: what is revoked again is as if it had been revoked just now, by whoever does it.
func TestRevocationSQLAgain(t *testing.T) {
	onDatabases(t, func(t *testing.T, server sqlServer) {
		s, db := server.revocations(t, ""), server.open(t)
		require.NoError(t, s.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""))
		_, err := db.Exec(`UPDATE amaretti_revoked SET who = 'somebody', at = 1`)
		require.NoError(t, err)
		require.NoError(t, s.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""))
		list, err := s.List(t.Context())
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, "alice", list[0].By)
		require.WithinDuration(t, time.Now(), list[0].At, time.Minute)
	})
}

// TestRevocationSQLInOrder: changes come in the order of their numbers, however the rows lie.
func TestRevocationSQLInOrder(t *testing.T) {
	onDatabases(t, func(t *testing.T, server sqlServer) {
		unsorted := server.with("enable_indexscan=off").with("enable_bitmapscan=off") // what an index gives is in order by luck
		s, db := unsorted.revocations(t, ""), server.open(t)
		begun := changesOf(t, s, revocation.Cursor{}).To
		var want []revocation.Change
		for i := range 4 {
			c := revocation.Change{What: revocation.Key("k"), Removed: i%2 == 1}
			if c.Removed {
				_, err := s.Unrevoke(t.Context(), c.What)
				require.NoError(t, err)
			} else {
				require.NoError(t, s.Revoke(t.Context(), c.What, time.Time{}, ""))
			}
			want = append(want, c)
		}
		_, err := db.Exec(`UPDATE amaretti_revoked_changes SET what = what WHERE seq = 1`) // which PostgreSQL writes behind the others
		require.NoError(t, err)
		require.Equal(t, want, changesOf(t, s, begun).Changes)
	})
}

// TestRevocationSQLTablePrefix: tables of another prefix are others.
func TestRevocationSQLTablePrefix(t *testing.T) {
	onDatabases(t, func(t *testing.T, server sqlServer) {
		db := server.open(t)
		for _, prefix := range []string{"", "orders_", "_2", strings.Repeat("z", 32)} {
			s, err := revocation.NewSQL(db, server.dialect, revocation.SQLOptions{TablePrefix: prefix})
			require.NoError(t, err)
			list, err := s.List(t.Context())
			require.NoError(t, err)
			require.Empty(t, list)
			require.NoError(t, s.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""))
			require.Len(t, changesOf(t, s, revocation.Cursor{}).Changes, 1)
		}
		require.Equal(t, 1, number(t, db, `SELECT count(*) FROM orders_revoked`))
	})
}

// TestRevocationSQLAllOrNothing: whatever statement fails, nothing was done, and the error says so.
func TestRevocationSQLAllOrNothing(t *testing.T) {
	ctx := context.Background()
	revoke := func(s *revocation.SQL) (bool, error) {
		return false, s.Revoke(ctx, revocation.Key("new"), time.Time{}, "")
	}
	unrevoke := func(s *revocation.SQL) (bool, error) { return s.Unrevoke(ctx, revocation.Key("old")) }
	prune := func(s *revocation.SQL) (bool, error) {
		n, err := s.Prune(ctx)
		return n > 0, err
	}
	for name, row := range map[string]struct {
		fails string // the trigger
		do    func(*revocation.SQL) (bool, error)
		many  bool // which Prune would prune
	}{
		"entry":                {"BEFORE INSERT ON amaretti_revoked FOR EACH ROW", revoke, false},
		"entry, removed":       {"BEFORE DELETE ON amaretti_revoked FOR EACH ROW", unrevoke, false},
		"change":               {"BEFORE INSERT ON amaretti_revoked_changes FOR EACH ROW", revoke, false},
		"change, of a removal": {"BEFORE INSERT ON amaretti_revoked_changes FOR EACH ROW", unrevoke, false},
		"number":               {"BEFORE UPDATE ON amaretti_revoked_log FOR EACH ROW WHEN (NEW.seq <> OLD.seq)", revoke, false},
		"number, at the lock":  {"BEFORE UPDATE ON amaretti_revoked_log FOR EACH ROW", revoke, false},
		"old changes":          {"BEFORE DELETE ON amaretti_revoked_changes FOR EACH ROW", revoke, false},
		"new log":              {"BEFORE UPDATE ON amaretti_revoked_log FOR EACH ROW WHEN (NEW.log <> OLD.log)", prune, true},
		"changes of a log":     {"BEFORE DELETE ON amaretti_revoked_changes FOR EACH ROW", prune, true},
	} {
		t.Run(name, func(t *testing.T) {
			onDatabases(t, func(t *testing.T, server sqlServer) {
				s, db := server.revocations(t, ""), server.open(t)
				require.NoError(t, s.Revoke(ctx, revocation.Key("old"), time.Time{}, ""))
				// There is a change that is kept no longer than until the next one.
				exec := func(statement string) {
					_, err := db.Exec(statement)
					require.NoError(t, err)
				}
				exec(fmt.Sprintf(`UPDATE amaretti_revoked_log SET seq = seq + %d`, keptChanges))
				if row.many {
					exec(fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
						INSERT INTO amaretti_revoked SELECT 'default', 'key ' || i, 1, '', '', 1 FROM n`, keptChanges))
				}
				entries := number(t, db, `SELECT count(*) FROM amaretti_revoked`)
				to := changesOf(t, s, revocation.Cursor{}).To
				unless := server.failWhere(t, db, row.fails)

				did, err := row.do(s)
				require.ErrorContains(t, err, "revocation: sql: ")
				require.ErrorContains(t, err, "no luck")
				require.False(t, did)
				require.Equal(t, entries, number(t, db, `SELECT count(*) FROM amaretti_revoked`))
				require.Equal(t, 1, number(t, db, `SELECT count(*) FROM amaretti_revoked_changes`))
				require.Equal(t, to, changesOf(t, s, revocation.Cursor{}).To)

				unless()
				_, err = row.do(s)
				require.NoError(t, err)
				require.NotEqual(t, to, changesOf(t, s, revocation.Cursor{}).To)
			})
		})
	}
}

// TestRevocationSQLUnreadable: a row that can't be read is an error, and not one less that is revoked.
func TestRevocationSQLUnreadable(t *testing.T) {
	onDatabases(t, func(t *testing.T, server sqlServer) {
		s, db := server.revocations(t, ""), server.open(t)
		require.NoError(t, s.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""))
		spoil := func(table, column string) {
			statement := `UPDATE ` + table + ` SET ` + column + ` = 'x'`
			if server.dialect == sqlstore.PostgreSQL {
				statement = `ALTER TABLE ` + table + ` ALTER ` + column + ` TYPE text USING 'x'`
			}
			_, err := db.Exec(statement)
			require.NoError(t, err)
		}
		spoil("amaretti_revoked", "until")
		list, err := s.List(t.Context())
		require.ErrorContains(t, err, "revocation: sql: ")
		require.Nil(t, list)
		spoil("amaretti_revoked_changes", "mark")
		b, err := s.Changes(t.Context(), revocation.Cursor{}, 0)
		require.ErrorContains(t, err, "revocation: sql: ")
		require.Zero(t, b)
	})
}

// TestRevocationSQLTriesAgain: what failed at first, when there were no tables yet, is done later.
func TestRevocationSQLTriesAgain(t *testing.T) {
	onDatabases(t, func(t *testing.T, server sqlServer) {
		s := server.revocations(t, "")
		done, cancel := context.WithCancel(t.Context())
		cancel()
		for name, call := range map[string]func() error{
			"changes":  func() error { _, err := s.Changes(done, revocation.Cursor{}, 0); return err },
			"list":     func() error { _, err := s.List(done); return err },
			"unrevoke": func() error { _, err := s.Unrevoke(done, revocation.Key("k")); return err },
			"prune":    func() error { _, err := s.Prune(done); return err },
		} {
			err := call()
			require.ErrorIs(t, err, context.Canceled, name)
			require.ErrorContains(t, err, "revocation: sql: ", name)
		}
		require.NoError(t, s.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""))
	})
}

// TestRevocationCommitFails: what the database does not promise to keep is not revoked.
func TestRevocationCommitFails(t *testing.T) {
	server := postgresServer(t)
	s, db := server.revocations(t, ""), server.open(t)
	begun := changesOf(t, s, revocation.Cursor{}).To
	unless := server.failWhere(t, db, "AFTER INSERT ON amaretti_revoked DEFERRABLE INITIALLY DEFERRED FOR EACH ROW")
	require.ErrorContains(t, s.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""), "no luck")
	require.Equal(t, begun, changesOf(t, s, begun).To)
	unless()
	require.NoError(t, s.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""))
}

// failWhere has the database fail where a trigger is set off, until the function that it gives is called.
func (s sqlServer) failWhere(t *testing.T, db *sql.DB, trigger string) (unless func()) {
	t.Helper()
	create, drop := `CREATE TRIGGER unlucky `+trigger+` BEGIN SELECT RAISE(ABORT, 'no luck'); END`, `DROP TRIGGER unlucky`
	if s.dialect == sqlstore.PostgreSQL {
		kind := "TRIGGER"
		if strings.Contains(trigger, "DEFERRED") {
			kind = "CONSTRAINT TRIGGER"
		}
		create = `CREATE FUNCTION no_luck() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no luck'; END $$;
			CREATE ` + kind + ` unlucky ` + trigger + ` EXECUTE FUNCTION no_luck()`
		drop = `DROP FUNCTION no_luck CASCADE`
	}
	_, err := db.Exec(create)
	require.NoError(t, err)
	return func() {
		_, err := db.Exec(drop)
		require.NoError(t, err)
	}
}

// TestRevocationAnswerCut: of a list whose end was lost on the way nothing is believed: it would lack revocations.
func TestRevocationAnswerCut(t *testing.T) {
	server := postgresServer(t)
	config, err := pgx.ParseConfig(server.dsn)
	require.NoError(t, err)
	var left atomic.Int64
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return leaky{conn, &left}, err
	}
	db := stdlib.OpenDB(*config)
	t.Cleanup(func() { db.Close() })
	s, err := revocation.NewSQL(db, sqlstore.PostgreSQL, revocation.SQLOptions{})
	require.NoError(t, err)

	left.Store(1 << 40)
	_, err = s.List(t.Context())
	require.NoError(t, err)
	begun := changesOf(t, s, revocation.Cursor{}).To
	_, err = db.Exec(`INSERT INTO amaretti_revoked SELECT 'default', 'key ' || i, 0, '', '', 1 FROM generate_series(1, 10000) AS i`)
	require.NoError(t, err)
	for name, ask := range map[string]func() (int, error){
		"list": func() (int, error) { list, err := s.List(t.Context()); return len(list), err },
		"all": func() (int, error) {
			b, err := s.Changes(t.Context(), revocation.Cursor{}, 0)
			return len(b.Changes), err
		},
	} {
		n, err := ask()
		require.NoError(t, err, name)
		require.Equal(t, 10000, n, name)
		left.Store(100 << 10)
		n, err = ask()
		require.ErrorContains(t, err, "revocation: sql: ", name)
		require.Zero(t, n, name)
		left.Store(1 << 40)
	}
	require.Equal(t, begun, changesOf(t, s, begun).To)
}

// leaky is a connection that breaks when so many bytes have come.
type leaky struct {
	net.Conn
	left *atomic.Int64
}

func (l leaky) Read(p []byte) (n int, err error) {
	n, err = l.Conn.Read(p)
	if l.left.Add(-int64(n)) < 0 {
		l.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}
