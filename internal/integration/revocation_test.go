package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/sqlstore"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

// revoker is what the stores of revocations have in common.
type revoker interface {
	revocation.Feed
	Revoke(ctx context.Context, what revocation.What, until time.Time, reason string) error
	Unrevoke(ctx context.Context, what revocation.What) (found bool, err error)
	List(ctx context.Context) ([]revocation.Entry, error)
	Prune(ctx context.Context) (n int, err error)
}

// revokers gives each store of revocations, as a function that opens it as another process
// would.
func revokers(t *testing.T, do func(t *testing.T, open func() revoker)) {
	t.Run("memory", func(t *testing.T) {
		memory := revocation.NewMemory(alice)
		do(t, func() revoker { return memory })
	})
	onDatabases(t, func(t *testing.T, server sqlServer) {
		do(t, func() revoker { return server.revocations(t, "") })
	})
	t.Run("PostgreSQL, serializable by default", func(t *testing.T) {
		server := postgresServer(t).with("default_transaction_isolation=serializable")
		do(t, func() revoker { return server.revocations(t, "") })
	})
}

// onDatabases runs a test on SQLite and on PostgreSQL.
func onDatabases(t *testing.T, do func(t *testing.T, server sqlServer)) {
	t.Run("SQLite", func(t *testing.T) { do(t, sqlServer{"sqlite", sqliteDSN(t), sqlstore.SQLite}) })
	t.Run("PostgreSQL", func(t *testing.T) { do(t, postgresServer(t)) })
}

// revocations opens a store of revocations as a process of its own would.
func (s sqlServer) revocations(t *testing.T, name string) *revocation.SQL {
	t.Helper()
	options := revocation.SQLOptions{Name: name, PollEvery: 10 * time.Millisecond, Who: alice}
	store, err := revocation.NewSQL(s.open(t), s.dialect, options)
	require.NoError(t, err)
	return store
}

func alice(context.Context) string { return "alice" }

func TestRevocationStores(t *testing.T) {
	revokers(t, func(t *testing.T, open func() revoker) {
		ctx := t.Context()
		s, other := open(), open()
		b, err := other.Changes(ctx, revocation.Cursor{}, time.Minute)
		require.NoError(t, err)
		require.True(t, b.Full)
		require.Empty(t, b.Changes)

		subject := revocation.Subject(`Robert'); DROP TABLE "amaretti_revoked";-- $1 @ ?`)
		until := time.Now().Add(time.Hour).Truncate(time.Second)
		require.NoError(t, s.Revoke(ctx, subject, until, "left @ $1"))
		require.NoError(t, s.Revoke(ctx, revocation.Key("k"), time.Time{}, ""))
		list, err := other.List(ctx)
		require.NoError(t, err)
		require.Len(t, list, 2)
		for _, e := range list {
			require.Equal(t, "alice", e.By)
			require.WithinDuration(t, time.Now(), e.At, time.Minute)
			if e.What == subject {
				require.True(t, until.Equal(e.Until))
				require.Equal(t, "left @ $1", e.Reason)
			} else {
				require.Zero(t, e.Until)
			}
		}
		next, err := other.Changes(ctx, b.To, time.Minute)
		require.NoError(t, err)
		require.False(t, next.Full)
		require.Equal(t, b.To, next.From)
		require.Equal(t, []revocation.Change{{What: subject}, {What: revocation.Key("k")}}, next.Changes)

		empty, err := other.Changes(ctx, next.To, 30*time.Millisecond)
		require.NoError(t, err)
		require.Empty(t, empty.Changes)
		require.False(t, empty.Full)
		require.Equal(t, next.To, empty.From)
		require.Equal(t, next.To, empty.To)
		for name, cursor := range map[string]revocation.Cursor{
			"another log": {Log: "another", Seq: 1},
			"ahead":       {Log: next.To.Log, Seq: next.To.Seq + 1},
			"far ahead":   {Log: next.To.Log, Seq: 1 << 63},
			"zero":        {},
		} {
			all, err := other.Changes(ctx, cursor, time.Minute)
			require.NoError(t, err, name)
			require.True(t, all.Full, name)
			require.Equal(t, next.To, all.To, name)
			require.ElementsMatch(t, []revocation.Change{{What: subject}, {What: revocation.Key("k")}}, all.Changes, name)
		}

		// Who waits is told.
		told := make(chan revocation.Batch, 1)
		go func() {
			b, err := other.Changes(ctx, next.To, time.Minute)
			if err != nil {
				t.Error(err)
			}
			told <- b
		}()
		found, err := s.Unrevoke(ctx, subject)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, []revocation.Change{{What: subject, Removed: true}}, (<-told).Changes)
		found, err = s.Unrevoke(ctx, subject)
		require.NoError(t, err)
		require.False(t, found)

		require.ErrorIs(t, s.Revoke(ctx, subject, time.Now().Add(-time.Second), ""), revocation.ErrPast)
		require.Error(t, s.Revoke(ctx, revocation.What{}, time.Time{}, ""))
		done, cancel := context.WithCancel(ctx)
		cancel()
		require.ErrorIs(t, s.Revoke(done, subject, time.Time{}, ""), context.Canceled)
		_, err = s.Changes(done, next.To, time.Minute)
		require.ErrorIs(t, err, context.Canceled)
		_, err = s.List(done)
		require.ErrorIs(t, err, context.Canceled)
		n, err := s.Prune(ctx)
		require.NoError(t, err)
		require.Zero(t, n)
	})
}

// TestRevocationPrunes: past their until entries go, and lists hear of it.
func TestRevocationPrunes(t *testing.T) {
	revokers(t, func(t *testing.T, open func() revoker) {
		ctx := t.Context()
		s := open()
		require.NoError(t, s.Revoke(ctx, revocation.Key("for ever"), time.Time{}, ""))
		require.NoError(t, s.Revoke(ctx, revocation.Key("long"), time.Now().Add(time.Hour), ""))
		require.NoError(t, s.Revoke(ctx, revocation.Key("short"), time.Now().Add(500*time.Millisecond), ""))
		b, err := s.Changes(ctx, revocation.Cursor{}, 0)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			n, err := s.Prune(ctx)
			require.NoError(t, err)
			return n == 1
		}, 30*time.Second, 50*time.Millisecond)
		next, err := s.Changes(ctx, b.To, time.Minute)
		require.NoError(t, err)
		require.Equal(t, []revocation.Change{{What: revocation.Key("short"), Removed: true}}, next.Changes)
	})
}

// TestRevocationAgain replaces what was said the first time.
func TestRevocationAgain(t *testing.T) {
	revokers(t, func(t *testing.T, open func() revoker) {
		ctx, s := t.Context(), open()
		require.NoError(t, s.Revoke(ctx, revocation.Key("k"), time.Now().Add(time.Hour), "lost"))
		require.NoError(t, s.Revoke(ctx, revocation.Key("k"), time.Time{}, "stolen"))
		list, err := s.List(ctx)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Zero(t, list[0].Until)
		require.Equal(t, "stolen", list[0].Reason)
	})
}

// TestRevocationNames: lists that share the tables have nothing else in common.
func TestRevocationNames(t *testing.T) {
	onDatabases(t, func(t *testing.T, server sqlServer) {
		ctx, db := t.Context(), server.open(t)
		mine, theirs := server.revocations(t, "mine"), server.revocations(t, "theirs")
		for _, s := range []*revocation.SQL{mine, theirs} {
			for _, name := range []string{"a", "b", "old"} {
				require.NoError(t, s.Revoke(ctx, revocation.Key(name), time.Time{}, ""))
			}
		}
		before, err := theirs.Changes(ctx, revocation.Cursor{}, 0)
		require.NoError(t, err)
		require.Len(t, before.Changes, 3)

		_, err = db.Exec(`UPDATE amaretti_revoked SET until = 1, at = 1 WHERE what = 'key old'`)
		require.NoError(t, err)
		found, err := mine.Unrevoke(ctx, revocation.Key("a"))
		require.NoError(t, err)
		require.True(t, found)
		n, err := mine.Prune(ctx)
		require.NoError(t, err)
		require.Equal(t, 1, n)

		after, err := theirs.Changes(ctx, before.To, 0)
		require.NoError(t, err)
		require.Equal(t, revocation.Batch{From: before.To, To: before.To}, after)
		list, err := theirs.List(ctx)
		require.NoError(t, err)
		require.Len(t, list, 3)
		require.Equal(t, revocation.Key("old"), list[0].What, "the oldest first")
		list, err = mine.List(ctx)
		require.NoError(t, err)
		require.Len(t, list, 1)
	})
}

// TestRevocationsByMany: several processes revoke at once, and whoever follows misses
// nothing.
func TestRevocationsByMany(t *testing.T) {
	revokers(t, func(t *testing.T, open func() revoker) {
		ctx := t.Context()
		const writers, each = 4, 25
		follower := open()
		b, err := follower.Changes(ctx, revocation.Cursor{}, 0)
		require.NoError(t, err)
		var wg sync.WaitGroup
		for w := range writers {
			s := open()
			wg.Go(func() {
				for i := range each {
					if err := s.Revoke(ctx, revocation.Subject(fmt.Sprint(w, " ", i)), time.Time{}, ""); err != nil {
						t.Error(err)
					}
					if rand.IntN(3) == 0 {
						if _, err := s.Unrevoke(ctx, revocation.Subject(fmt.Sprint(w, " ", i))); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		finished := make(chan struct{})
		go func() { wg.Wait(); close(finished) }()
		known := map[revocation.What]bool{}
		for last := false; ; {
			next, err := follower.Changes(ctx, b.To, 10*time.Millisecond)
			require.NoError(t, err)
			require.False(t, next.Full)
			for _, c := range next.Changes {
				if c.Removed {
					delete(known, c.What)
				} else {
					known[c.What] = true
				}
			}
			b = next
			if last {
				break
			}
			select {
			case <-finished:
				last = true
			default:
			}
		}
		list, err := follower.List(ctx)
		require.NoError(t, err)
		require.Len(t, list, len(known))
		for _, e := range list {
			require.True(t, known[e.What])
		}
	})
}

// TestRevocationSQLGap: a change that is not in the log any more leads to a full load.
func TestRevocationSQLGap(t *testing.T) {
	onDatabases(t, func(t *testing.T, server sqlServer) {
		s, db := server.revocations(t, ""), server.open(t)
		b, err := s.Changes(t.Context(), revocation.Cursor{}, 0)
		require.NoError(t, err)
		for i := range 3 {
			require.NoError(t, s.Revoke(t.Context(), revocation.Key(fmt.Sprint(i)), time.Time{}, ""))
		}
		_, err = db.Exec(`DELETE FROM amaretti_revoked_changes WHERE what = 'key 1'`)
		require.NoError(t, err)
		all, err := s.Changes(t.Context(), b.To, time.Minute)
		require.NoError(t, err)
		require.True(t, all.Full)
		require.Len(t, all.Changes, 3)

		// What is not understood must not be passed over.
		_, err = db.Exec(`UPDATE amaretti_revoked SET what = 'everything' WHERE what = 'key 1'`)
		require.NoError(t, err)
		list, err := revocation.NewList(s, time.Minute, revocation.Options{})
		require.NoError(t, err)
		require.Error(t, list.Refresh(t.Context()))
		_, err = list.Revoked(verifier.Revocable{KeyID: "x"})
		require.ErrorIs(t, err, revocation.ErrStale)
	})
}

// TestRevocationSQLLosesItsEnd: a database that was restored from a backup, or taken over by a
// replica that lagged, uses numbers again that followers know for other changes.
func TestRevocationSQLLosesItsEnd(t *testing.T) {
	onDatabases(t, func(t *testing.T, server sqlServer) {
		s, db := server.revocations(t, ""), server.open(t)
		revoke := func(names ...string) {
			for _, name := range names {
				require.NoError(t, s.Revoke(t.Context(), revocation.Key(name), time.Time{}, ""))
			}
		}
		for _, later := range [][]string{{"x"}, {"x", "y"}, {"x", "y", "z"}} {
			revoke("a", "b", "c")
			b, err := s.Changes(t.Context(), revocation.Cursor{}, 0)
			require.NoError(t, err)
			revoke("b", "c")
			b, err = s.Changes(t.Context(), b.To, 0)
			require.NoError(t, err)
			require.Len(t, b.Changes, 2)
			for _, statement := range []string{
				`DELETE FROM amaretti_revoked WHERE what IN ('key b', 'key c')`,
				`DELETE FROM amaretti_revoked_changes WHERE seq > (SELECT max(seq) - 2 FROM amaretti_revoked_changes)`,
				`UPDATE amaretti_revoked_log SET seq = seq - 2`,
			} {
				_, err = db.Exec(statement)
				require.NoError(t, err)
			}
			revoke(later...)
			all, err := s.Changes(t.Context(), b.To, 0)
			require.NoError(t, err)
			require.True(t, all.Full, "%d changes later", len(later))
			require.Len(t, all.Changes, 1+len(later))
			for _, name := range later {
				_, err := s.Unrevoke(t.Context(), revocation.Key(name))
				require.NoError(t, err)
			}
			// And it goes on from there.
			next, err := s.Changes(t.Context(), all.To, time.Minute)
			require.NoError(t, err)
			require.False(t, next.Full)
			require.Len(t, next.Changes, len(later))
		}
	})
}

// TestRevocationSQLPrunesMany: more at once than anybody follows.
func TestRevocationSQLPrunesMany(t *testing.T) {
	onDatabases(t, func(t *testing.T, server sqlServer) {
		s, db := server.revocations(t, ""), server.open(t)
		require.NoError(t, s.Revoke(t.Context(), revocation.Key("kept"), time.Time{}, ""))
		b, err := s.Changes(t.Context(), revocation.Cursor{}, 0)
		require.NoError(t, err)
		_, err = db.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
			INSERT INTO amaretti_revoked SELECT 'default', 'key ' || i, 1, '', '', 1 FROM n`)
		require.NoError(t, err)
		n, err := s.Prune(t.Context())
		require.NoError(t, err)
		require.Equal(t, 20000, n)
		all, err := s.Changes(t.Context(), b.To, time.Minute)
		require.NoError(t, err)
		require.True(t, all.Full)
		require.Equal(t, []revocation.Change{{What: revocation.Key("kept")}}, all.Changes)
		_, err = db.Exec(`UPDATE amaretti_revoked_log SET log = 'another'`)
		require.NoError(t, err)
		all, err = s.Changes(t.Context(), all.To, 0)
		require.NoError(t, err)
		require.True(t, all.Full, "no change tells one log from the other")
		require.NoError(t, s.Revoke(t.Context(), revocation.Key("next"), time.Time{}, ""))
		next, err := s.Changes(t.Context(), all.To, time.Minute)
		require.NoError(t, err)
		require.False(t, next.Full)
	})
}

// TestRevocationSQLWaitsItsTurn: no change has a number before all earlier numbers can be seen,
// else one that commits late would be passed over.
func TestRevocationSQLWaitsItsTurn(t *testing.T) {
	onDatabases(t, func(t *testing.T, server sqlServer) {
		s, db := server.revocations(t, ""), server.open(t)
		require.NoError(t, s.Revoke(t.Context(), revocation.Key("first"), time.Time{}, ""))
		b, err := s.Changes(t.Context(), revocation.Cursor{}, 0)
		require.NoError(t, err)
		slow, err := db.Begin()
		require.NoError(t, err)
		defer slow.Rollback()
		for _, statement := range []string{
			`UPDATE amaretti_revoked_log SET seq = seq + 1`,
			`INSERT INTO amaretti_revoked_changes (name, seq, mark, what, removed) VALUES ('default', 2, 7, 'key slow', 0)`,
		} {
			_, err = slow.Exec(statement)
			require.NoError(t, err)
		}
		fast := make(chan error, 1)
		go func() { fast <- s.Revoke(t.Context(), revocation.Key("fast"), time.Time{}, "") }()
		empty, err := s.Changes(t.Context(), b.To, 300*time.Millisecond)
		require.NoError(t, err)
		require.Empty(t, empty.Changes)
		require.Empty(t, fast)
		require.NoError(t, slow.Commit())
		require.NoError(t, <-fast)
		next, err := s.Changes(t.Context(), b.To, time.Minute)
		require.NoError(t, err)
		require.Equal(t, []revocation.Change{{What: revocation.Key("slow")}, {What: revocation.Key("fast")}}, next.Changes)
	})
}

// TestRevocationConnectionsDie: an error, nothing half done, and then it works again.
func TestRevocationConnectionsDie(t *testing.T) {
	server := postgresServer(t)
	victims := fmt.Sprint("victims_", rand.Uint64())
	s, killer := server.with("application_name="+victims).revocations(t, ""), server.open(t)
	require.NoError(t, s.Revoke(t.Context(), revocation.Key("first"), time.Time{}, ""))
	b, err := s.Changes(t.Context(), revocation.Cursor{}, 0)
	require.NoError(t, err)
	revoked := 1
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := killer.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1`, victims); err != nil {
					t.Error(err)
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
	})
	for i := range 200 {
		if err := s.Revoke(t.Context(), revocation.Key(fmt.Sprint(i)), time.Time{}, ""); err == nil {
			revoked++
		}
	}
	close(stop)
	wg.Wait()
	require.Eventually(t, func() bool { return s.Revoke(t.Context(), revocation.Key("last"), time.Time{}, "") == nil }, 30*time.Second, 10*time.Millisecond)
	next, err := s.Changes(t.Context(), b.To, 0)
	require.NoError(t, err)
	require.False(t, next.Full, "no number was left out")
	list, err := s.List(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(list), revoked+1, "what was acknowledged is there")
}

// TestRevocationTablesAreMadeOnce: by whichever of many processes comes first.
func TestRevocationTablesAreMadeOnce(t *testing.T) {
	onDatabases(t, func(t *testing.T, server sqlServer) {
		var wg sync.WaitGroup
		for i := range 8 {
			s := server.revocations(t, fmt.Sprint("list", i%2))
			wg.Go(func() {
				if err := s.Revoke(t.Context(), revocation.Key(fmt.Sprint(i)), time.Time{}, ""); err != nil {
					t.Error(err)
				}
				if list, err := s.List(t.Context()); err != nil || len(list) == 0 || len(list) > 4 {
					t.Error(list, err)
				}
			})
		}
		wg.Wait()
	})
}
