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
	who := func(context.Context) string { return "alice" }
	t.Run("memory", func(t *testing.T) {
		memory := revocation.NewMemory(who)
		do(t, func() revoker { return memory })
	})
	overSQL := func(driver string, dialect sqlstore.Dialect, dsn string) func(t *testing.T) {
		return func(t *testing.T) {
			do(t, func() revoker {
				store, err := revocation.NewSQL(open(t, driver, dsn), dialect, revocation.SQLOptions{PollEvery: 10 * time.Millisecond, Who: who})
				require.NoError(t, err)
				return store
			})
		}
	}
	t.Run("SQLite", overSQL("sqlite", sqlstore.SQLite, sqliteDSN(t)))
	t.Run("PostgreSQL", func(t *testing.T) { overSQL("pgx", sqlstore.PostgreSQL, postgresDSN(t))(t) })
}

func TestRevocationStores(t *testing.T) {
	revokers(t, func(t *testing.T, open func() revoker) {
		ctx := t.Context()
		s, other := open(), open()
		b, err := other.Changes(ctx, revocation.Cursor{}, time.Hour)
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
		next, err := other.Changes(ctx, b.To, time.Hour)
		require.NoError(t, err)
		require.False(t, next.Full)
		require.Equal(t, b.To, next.From)
		require.Equal(t, []revocation.Change{{What: subject, Until: until.UTC()}, {What: revocation.Key("k")}}, next.Changes)

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
			all, err := other.Changes(ctx, cursor, time.Hour)
			require.NoError(t, err, name)
			require.True(t, all.Full, name)
			require.Equal(t, next.To, all.To, name)
			require.ElementsMatch(t, []revocation.Change{{What: subject, Until: until.UTC()}, {What: revocation.Key("k")}}, all.Changes, name)
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
		_, err = s.Changes(done, next.To, time.Hour)
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
		require.NoError(t, s.Revoke(ctx, revocation.Key("short"), time.Now().Add(10*time.Millisecond), ""))
		b, err := s.Changes(ctx, revocation.Cursor{}, 0)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			n, err := s.Prune(ctx)
			require.NoError(t, err)
			return n == 1
		}, 30*time.Second, 50*time.Millisecond)
		next, err := s.Changes(ctx, b.To, time.Hour)
		require.NoError(t, err)
		require.Equal(t, []revocation.Change{{What: revocation.Key("short"), Removed: true}}, next.Changes)
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

// TestRevocationSQLReset: after a reset everything is loaded anew, and nothing before it counts.
func TestRevocationSQLReset(t *testing.T) {
	for driver, dialect := range map[string]sqlstore.Dialect{"sqlite": sqlstore.SQLite, "pgx": sqlstore.PostgreSQL} {
		t.Run(driver, func(t *testing.T) {
			dsn := ""
			if dialect == sqlstore.SQLite {
				dsn = sqliteDSN(t)
			} else {
				dsn = postgresDSN(t)
			}
			db := open(t, driver, dsn)
			s, err := revocation.NewSQL(db, dialect, revocation.SQLOptions{})
			require.NoError(t, err)
			require.NoError(t, s.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""))
			b, err := s.Changes(t.Context(), revocation.Cursor{}, 0)
			require.NoError(t, err)
			require.NoError(t, s.Reset(t.Context()))
			next, err := s.Changes(t.Context(), b.To, time.Hour)
			require.NoError(t, err)
			require.True(t, next.Full)
			require.NotEqual(t, b.To.Log, next.To.Log)
			require.Len(t, next.Changes, 1)

			// A change that somebody took out of the log is a gap.
			for i := range 3 {
				require.NoError(t, s.Revoke(t.Context(), revocation.Key(fmt.Sprint(i)), time.Time{}, ""))
			}
			_, err = db.Exec(`DELETE FROM amaretti_revoked_changes WHERE what = 'key 1'`)
			require.NoError(t, err)
			all, err := s.Changes(t.Context(), next.To, time.Hour)
			require.NoError(t, err)
			require.True(t, all.Full)
			require.Len(t, all.Changes, 4)

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
}

// TestRevocationConnectionsDie: an error, nothing half done, and then it works again.
func TestRevocationConnectionsDie(t *testing.T) {
	dsn := postgresDSN(t)
	s, err := revocation.NewSQL(open(t, "pgx", dsn), sqlstore.PostgreSQL, revocation.SQLOptions{PollEvery: time.Millisecond})
	require.NoError(t, err)
	require.NoError(t, s.Revoke(t.Context(), revocation.Key("first"), time.Time{}, ""))
	b, err := s.Changes(t.Context(), revocation.Cursor{}, 0)
	require.NoError(t, err)
	killer := open(t, "pgx", dsn)
	revoked := 1
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := killer.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
					WHERE pid <> pg_backend_pid() AND query LIKE '%amaretti_revoked%'`); err != nil {
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
