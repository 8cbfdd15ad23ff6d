package revocation

import (
	"cmp"
	"context"
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

	// PollEvery is how often a follower looks for changes, each for itself, and so does each
	// client of a [Handler] over it. Zero means a second; negative is an error.
	PollEvery time.Duration

	// Who tells who is revoking. Nil means that it is not recorded.
	Who func(context.Context) string
}

// SQL keeps revocations in a database, for processes on many machines: those that revoke
// and those that follow it as a [Feed], by polling. It is safe for concurrent use.
//
// Use it as package sqlstore says of its own tables: the three of SQL are beside those,
// made when they are first needed. Where the program's role may not create tables, let one
// that may call List once; from then on who revokes needs to SELECT, INSERT, UPDATE and
// DELETE, and who follows only to SELECT. A replica that lags is not where lists should
// read: they would believe themselves fresher than they are.
//
// If the database loses its last transactions, as when it is restored from a backup, or a
// replica takes over, lists notice and load everything anew. What was lost has to be
// revoked again.
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
	options.Name = cmp.Or(options.Name, "default")
	options.TablePrefix = cmp.Or(options.TablePrefix, "amaretti_")
	options.PollEvery = cmp.Or(options.PollEvery, time.Second)
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
		return []Change{{What: what}}, err
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
