package revocation

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/sqlstore"
)

// SQLOptions tune a [SQL] store. The zero value is the default.
type SQLOptions struct {
	_ [0]func() // fields are to be named

	// Name tells apart lists that share the tables: 1 to 32 characters of a-z, 0-9 and
	// _. Empty means "default".
	Name string

	// TablePrefix begins the names of the tables: like Name, but no digit first. Empty
	// means "amaretti_".
	TablePrefix string

	// PollEvery is how often a follower looks for changes. Zero means a second; negative
	// is an error.
	PollEvery time.Duration

	// Who tells who is revoking. Nil means that it is not recorded.
	Who func(context.Context) string
}

// SQL keeps revocations in a database, for processes on many machines: those that revoke
// and those that follow it as a [Feed], by polling. It is safe for concurrent use. The
// tables are made when they are first needed; a process whose account may only read needs
// another one to have done that.
//
// Who restores the database from a backup calls Reset after it: the revocations made since
// are gone, and lists must not believe that they know them.
type SQL struct {
	db      *sql.DB
	dialect sqlstore.Dialect
	names   *strings.Replacer
	options SQLOptions
	ready   atomic.Bool
}

// NewSQL makes a store over db, which is the caller's: NewSQL doesn't use it yet, and
// nothing here closes it. All problems are joined.
func NewSQL(db *sql.DB, dialect sqlstore.Dialect, options SQLOptions) (*SQL, error) {
	if options.Name == "" {
		options.Name = "default"
	}
	if options.TablePrefix == "" {
		options.TablePrefix = "amaretti_"
	}
	if options.PollEvery == 0 {
		options.PollEvery = time.Second
	}
	var problems []error
	if db == nil {
		problems = append(problems, errors.New("no database"))
	}
	if dialect != sqlstore.PostgreSQL && dialect != sqlstore.SQLite {
		problems = append(problems, errors.New("unknown dialect"))
	}
	if !plain(options.Name) {
		problems = append(problems, errors.New("name: want 1 to 32 of a-z, 0-9, _"))
	}
	if !plain(options.TablePrefix) || options.TablePrefix[0] <= '9' {
		problems = append(problems, errors.New("table prefix: want 1 to 32 of a-z, 0-9, _, and no digit first"))
	}
	if options.PollEvery < 0 {
		problems = append(problems, errors.New("negative PollEvery"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("revocation: sql: %w", err)
	}
	// In statements @ stands for the prefix of the tables, and parameters are as in PostgreSQL.
	marks := []string{"@", options.TablePrefix}
	if dialect == sqlstore.SQLite {
		marks = append(marks, "$", "?")
	}
	return &SQL{db: db, dialect: dialect, names: strings.NewReplacer(marks...), options: options}, nil
}

func plain(s string) bool {
	return len(s) > 0 && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// tables hold the entries, by name, and a log of the changes to them. Times are in Unix
// seconds; 0 is never. Changes are numbered without gaps from 1 on: who makes some begins
// with its row in the log table, so that they come one after the other.
var tables = []string{
	`CREATE TABLE IF NOT EXISTS "@revoked" (name TEXT NOT NULL, what TEXT NOT NULL, until BIGINT NOT NULL, reason TEXT NOT NULL,
		who TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (name, what))`,
	`CREATE TABLE IF NOT EXISTS "@revoked_log" (name TEXT PRIMARY KEY, log TEXT NOT NULL, seq BIGINT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS "@revoked_changes" (name TEXT NOT NULL, seq BIGINT NOT NULL, what TEXT NOT NULL,
		until BIGINT NOT NULL, removed INTEGER NOT NULL, PRIMARY KEY (name, seq))`,
	`CREATE INDEX IF NOT EXISTS "@revoked_until" ON "@revoked" (name, until)`,
}

// advisoryLock is the key of the lock under which processes make the tables one at a time
// in PostgreSQL.
const advisoryLock = 0x7265766f6b65 // "revoke"

// prepare sees to it that the tables are there, and the log of this name.
func (s *SQL) prepare(ctx context.Context) error {
	if s.ready.Load() {
		return nil
	}
	// Without writing first: most processes find all of it there.
	var log string
	err := s.db.QueryRowContext(ctx, s.text(`SELECT log FROM "@revoked_log" WHERE name = $1`), s.options.Name).Scan(&log)
	if err != nil && ctx.Err() == nil {
		err = s.within(ctx, func(tx *sql.Tx) error { return s.create(ctx, tx) })
	}
	if err == nil {
		s.ready.Store(true)
	}
	return err
}

func (s *SQL) create(ctx context.Context, tx *sql.Tx) error {
	if s.dialect == sqlstore.PostgreSQL {
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(advisoryLock)); err != nil {
			return err
		}
	}
	for _, table := range tables {
		if _, err := tx.ExecContext(ctx, s.text(table)); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, s.text(`INSERT INTO "@revoked_log" (name, log, seq) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING`), s.options.Name, rand.Text())
	return err
}

func (s *SQL) text(statement string) string { return s.names.Replace(statement) }

// within runs do in a transaction. Its first statement writes, so that in SQLite it has the lock
// from the beginning.
func (s *SQL) within(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // which does nothing after Commit
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// failed is the error of a call; some drivers give one of their own when ctx ends.
func failed(ctx context.Context, err error) error {
	if done := ctx.Err(); done != nil && !errors.Is(err, done) {
		return fmt.Errorf("revocation: sql: %w: %w", done, err)
	}
	return fmt.Errorf("revocation: sql: %w", err)
}

// Revoke does what [Memory.Revoke] does.
func (s *SQL) Revoke(ctx context.Context, what What, until time.Time, reason string) error {
	e, err := newEntry(ctx, what, until, reason, s.options.Who)
	if err != nil {
		return err
	}
	_, err = s.change(ctx, func(tx *sql.Tx) ([]Change, error) {
		_, err := tx.ExecContext(ctx, s.text(`INSERT INTO "@revoked" (name, what, until, reason, who, at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (name, what) DO UPDATE SET until = excluded.until, reason = excluded.reason, who = excluded.who, at = excluded.at`),
			s.options.Name, what.text, unix(e.Until), e.Reason, e.By, e.At.Unix())
		return []Change{{What: what, Until: e.Until}}, err
	})
	return err
}

// Unrevoke does what [Memory.Unrevoke] does.
func (s *SQL) Unrevoke(ctx context.Context, what What) (found bool, err error) {
	n, err := s.change(ctx, func(tx *sql.Tx) ([]Change, error) {
		return s.remove(ctx, tx, `DELETE FROM "@revoked" WHERE name = $1 AND what = $2 RETURNING what`, what.text)
	})
	return n > 0, err
}

// Prune does what [Memory.Prune] does, by this machine's clock.
func (s *SQL) Prune(ctx context.Context) (n int, err error) {
	now := time.Now().Unix()
	return s.change(ctx, func(tx *sql.Tx) ([]Change, error) {
		return s.remove(ctx, tx, `DELETE FROM "@revoked" WHERE name = $1 AND until <> 0 AND until < $2 RETURNING what`, now)
	})
}

func (s *SQL) remove(ctx context.Context, tx *sql.Tx, statement string, arg any) (changes []Change, err error) {
	rows, err := tx.QueryContext(ctx, s.text(statement), s.options.Name, arg)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		c := Change{Removed: true}
		if err := rows.Scan(&c.What.text); err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	return changes, rows.Err()
}

// Reset begins a new log, so that every list loads everything anew.
func (s *SQL) Reset(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return failed(ctx, err)
	}
	if err := s.within(ctx, func(tx *sql.Tx) error { return s.reset(ctx, tx) }); err != nil {
		return failed(ctx, err)
	}
	return nil
}

func (s *SQL) reset(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, s.text(`UPDATE "@revoked_log" SET log = $1 WHERE name = $2`), rand.Text(), s.options.Name); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, s.text(`DELETE FROM "@revoked_changes" WHERE name = $1`), s.options.Name)
	return err
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
		insert, err := tx.PrepareContext(ctx, s.text(`INSERT INTO "@revoked_changes" (name, seq, what, until, removed) VALUES ($1, $2, $3, $4, $5)`))
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
			if _, err := insert.ExecContext(ctx, s.options.Name, seq, c.What.text, unix(c.Until), removed); err != nil {
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

// List does what [Memory.List] does.
func (s *SQL) List(ctx context.Context) ([]Entry, error) {
	list, err := s.list(ctx)
	if err != nil {
		return nil, failed(ctx, err)
	}
	return list, nil
}

func (s *SQL) list(ctx context.Context) (list []Entry, err error) {
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	rows, err := s.db.QueryContext(ctx, s.text(`SELECT what, until, reason, who, at FROM "@revoked" WHERE name = $1 ORDER BY at, what`), s.options.Name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e Entry
		var until, at int64
		if err := rows.Scan(&e.What.text, &until, &e.Reason, &e.By, &at); err != nil {
			return nil, err
		}
		e.Until, e.At = fromUnix(until), time.Unix(at, 0).UTC()
		list = append(list, e)
	}
	return list, rows.Err()
}

// Changes is for those who follow; see [Feed].
func (s *SQL) Changes(ctx context.Context, after Cursor, wait time.Duration) (Batch, error) {
	b, err := s.changes(ctx, after, wait)
	if err != nil {
		return Batch{}, failed(ctx, err)
	}
	return b, nil
}

func (s *SQL) changes(ctx context.Context, after Cursor, wait time.Duration) (Batch, error) {
	if err := s.prepare(ctx); err != nil {
		return Batch{}, err
	}
	until := time.Now().Add(wait)
	for {
		b, ok, err := s.since(ctx, after)
		switch {
		case err != nil:
			return Batch{}, err
		case !ok:
			return s.all(ctx)
		case len(b.Changes) > 0 || !time.Now().Before(until):
			return b, nil
		}
		pause := time.NewTimer(min(s.options.PollEvery, time.Until(until)))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return Batch{}, ctx.Err()
		}
	}
}

// since gives what came after a cursor; ok is false if that is not known any more. One
// statement sees one state of the database.
func (s *SQL) since(ctx context.Context, after Cursor) (b Batch, ok bool, err error) {
	const following = `SELECT l.log, l.seq, c.seq, c.what, c.until, c.removed FROM "@revoked_log" l
		LEFT JOIN "@revoked_changes" c ON c.name = l.name AND c.seq > $2 WHERE l.name = $1 ORDER BY c.seq`
	if after.Log == "" || after.Seq > 1<<62 {
		return Batch{}, false, nil
	}
	rows, err := s.db.QueryContext(ctx, s.text(following), s.options.Name, int64(after.Seq))
	if err != nil {
		return Batch{}, false, err
	}
	defer rows.Close()
	b.From = after
	for rows.Next() {
		var seq, until, removed sql.NullInt64
		var what sql.NullString
		var last int64
		if err := rows.Scan(&b.To.Log, &last, &seq, &what, &until, &removed); err != nil {
			return Batch{}, false, err
		}
		b.To.Seq = uint64(last)
		if seq.Valid {
			b.Changes = append(b.Changes, Change{What{what.String}, fromUnix(until.Int64), removed.Int64 != 0})
		}
	}
	// Nothing may be missing between.
	ok = b.To.Log == after.Log && after.Seq+uint64(len(b.Changes)) == b.To.Seq
	return b, ok, rows.Err()
}

// all gives all there is.
func (s *SQL) all(ctx context.Context) (Batch, error) {
	const everything = `SELECT l.log, l.seq, r.what, r.until FROM "@revoked_log" l
		LEFT JOIN "@revoked" r ON r.name = l.name WHERE l.name = $1`
	rows, err := s.db.QueryContext(ctx, s.text(everything), s.options.Name)
	if err != nil {
		return Batch{}, err
	}
	defer rows.Close()
	b := Batch{Full: true}
	for rows.Next() {
		var what sql.NullString
		var until sql.NullInt64
		var last int64
		if err := rows.Scan(&b.To.Log, &last, &what, &until); err != nil {
			return Batch{}, err
		}
		b.To.Seq = uint64(last)
		if what.Valid {
			b.Changes = append(b.Changes, Change{What: What{what.String}, Until: fromUnix(until.Int64)})
		}
	}
	if err := rows.Err(); err != nil {
		return Batch{}, err
	}
	if b.To.Log == "" {
		return Batch{}, errors.New("the log is gone")
	}
	return b, nil
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func fromUnix(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}
