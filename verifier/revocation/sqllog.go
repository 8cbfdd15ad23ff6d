package revocation

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"time"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/sqlstore"
)

// tables hold the entries, by name, and a log of the changes to them. Times are in Unix
// seconds; 0 is never. Changes are numbered without gaps from 1 on, in the order in which they are
// committed: who makes some begins with its row in the log table, and keeps it until then. (A
// sequence of the database would number them before: one that commits late would be passed over.)
// Each has a mark at random, so that a change is known again by number and mark.
var tables = []string{
	`CREATE TABLE IF NOT EXISTS "@revoked" (name TEXT NOT NULL, what TEXT NOT NULL, until BIGINT NOT NULL, reason TEXT NOT NULL,
		who TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (name, what))`,
	`CREATE INDEX IF NOT EXISTS "@revoked_until" ON "@revoked" (name, until)`,
	`CREATE TABLE IF NOT EXISTS "@revoked_log" (name TEXT PRIMARY KEY, log TEXT NOT NULL, seq BIGINT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS "@revoked_changes" (name TEXT NOT NULL, seq BIGINT NOT NULL, mark BIGINT NOT NULL,
		what TEXT NOT NULL, removed INTEGER NOT NULL, PRIMARY KEY (name, seq))`,
}

// advisoryLock is the key of the lock under which processes make the tables one at a time
// in PostgreSQL.
const advisoryLock = 0x7265766f6b65 // "revoke"

// prepare sees to it that the tables are there, and the log of this name.
func (s *SQL) prepare(ctx context.Context) error {
	if s.db == nil {
		return errors.New("the zero SQL has no database")
	}
	if s.ready.Load() {
		return nil
	}
	// Without writing first: most processes find all of it there.
	var log string
	err := s.db.QueryRowContext(ctx, s.text(`SELECT log FROM "@revoked_log" WHERE name = $1`), s.options.Name).Scan(&log)
	if err != nil && ctx.Err() == nil {
		err = s.create(ctx)
	}
	if err == nil {
		s.ready.Store(true)
	}
	return err
}

// create makes what is not there yet. Any number of processes may do that at once.
func (s *SQL) create(ctx context.Context) error {
	const first = `INSERT INTO "@revoked_log" (name, log, seq) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING`
	if s.dialect == sqlstore.SQLite {
		// One by one: each waits for the lock, which a transaction that begins with one that is
		// there already would ask for too late.
		for _, table := range tables {
			if _, err := s.db.ExecContext(ctx, s.text(table)); err != nil {
				return err
			}
		}
		_, err := s.db.ExecContext(ctx, s.text(first), s.options.Name, rand.Text())
		return err
	}
	return s.within(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(advisoryLock)); err != nil {
			return err
		}
		// Those that are there are left alone: even IF NOT EXISTS locks out who is writing.
		var there int
		last := s.text(`"@revoked_changes"`)
		if err := tx.QueryRowContext(ctx, `SELECT count(to_regclass($1))`, last).Scan(&there); err != nil {
			return err
		}
		for _, table := range tables {
			if there == 1 {
				break
			}
			if _, err := tx.ExecContext(ctx, s.text(table)); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, s.text(first), s.options.Name, rand.Text())
		return err
	})
}

// text gives a statement in the dialect: @ stands for the prefix of the tables, and
// parameters are written as in PostgreSQL.
func (s *SQL) text(statement string) string { return s.names.Replace(statement) }

// within runs do in a transaction. Its first statement writes, so that in SQLite it has the
// lock from the beginning. In PostgreSQL the level is the one at which a row that was waited
// for is read again.
func (s *SQL) within(ctx context.Context, do func(*sql.Tx) error) error {
	var options sql.TxOptions
	if s.dialect == sqlstore.PostgreSQL {
		options.Isolation = sql.LevelReadCommitted
	}
	tx, err := s.db.BeginTx(ctx, &options)
	if err != nil {
		return err
	}
	defer tx.Rollback() // which does nothing after Commit
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// failed is the error of a call. Some drivers give one of their own when the context
// ends; ours always is the context's, too.
func failed(ctx context.Context, err error) error {
	// The network may notice a deadline an instant before the context does.
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		<-ctx.Done()
	}
	if done := ctx.Err(); done != nil && !errors.Is(err, done) {
		return fmt.Errorf("revocation: sql: %w: %w", done, err)
	}
	return fmt.Errorf("revocation: sql: %w", err)
}

// change makes changes and notes them in the log, in one transaction, and tells how
// many they were.
func (s *SQL) change(ctx context.Context, do func(*sql.Tx) ([]Change, error)) (n int, err error) {
	if err := s.prepare(ctx); err != nil {
		return 0, failed(ctx, err)
	}
	err = s.within(ctx, func(tx *sql.Tx) error {
		// Whoever comes second waits here for the first.
		var seq int64
		lock := s.text(`UPDATE "@revoked_log" SET seq = seq + 0 WHERE name = $1 RETURNING seq`)
		if err := tx.QueryRowContext(ctx, lock, s.options.Name).Scan(&seq); err != nil {
			return err
		}
		changes, err := do(tx)
		n = len(changes)
		if err != nil || n == 0 {
			return err
		}
		if n > keptChanges { // more than anybody would follow
			return s.reset(ctx, tx)
		}
		insert, err := tx.PrepareContext(ctx, s.text(`INSERT INTO "@revoked_changes" (name, seq, mark, what, removed) VALUES ($1, $2, $3, $4, $5)`))
		if err != nil {
			return err
		}
		defer insert.Close()
		for _, c := range changes {
			seq++
			removed := 0
			if c.Removed {
				removed = 1
			}
			if _, err := insert.ExecContext(ctx, s.options.Name, seq, 1+mathrand.Int64N(math.MaxInt64), c.What.text, removed); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, s.text(`UPDATE "@revoked_log" SET seq = $1 WHERE name = $2`), seq, s.options.Name); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, s.text(`DELETE FROM "@revoked_changes" WHERE name = $1 AND seq <= $2`), s.options.Name, seq-keptChanges)
		return err
	})
	if err != nil {
		return 0, failed(ctx, err)
	}
	return n, nil
}

// reset begins a new log, so that every list loads everything anew.
func (s *SQL) reset(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, s.text(`UPDATE "@revoked_log" SET log = $1 WHERE name = $2`), rand.Text(), s.options.Name); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, s.text(`DELETE FROM "@revoked_changes" WHERE name = $1`), s.options.Name)
	return err
}
