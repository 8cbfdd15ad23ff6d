package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

const prefix = "sqlstore: "

// A Dialect says which database it is. The zero Dialect is none.
type Dialect int

// The dialects.
const (
	PostgreSQL Dialect = iota + 1
	SQLite
)

// name stands in errors, since a driver for the other database says but that it does not
// understand.
func (d Dialect) name() string {
	if d == SQLite {
		return "SQLite"
	}
	return "PostgreSQL"
}

// Options are settings of a [Store] or an [Inventory].
type Options struct {
	_ [0]func() // fields are to be named

	// Name tells apart keyrings that share the tables, or the key-encryption key:
	// 1 to 32 characters of a-z, 0-9 and _. Empty means "default": services that leave
	// it so over one database have the same root keys, and mint for one another.
	Name string

	// TablePrefix begins the names of the tables: like Name, but no digit first.
	// Empty means "amaretti_".
	TablePrefix string
}

// database is what Store and Inventory stand on.
type database struct {
	db      *sql.DB
	dialect Dialect
	name    string
	names   *strings.Replacer // see text
	ready   atomic.Bool       // whether the tables were seen to be those of this release
}

func newDatabase(db *sql.DB, dialect Dialect, options Options) (*database, error) {
	options.Name = cmp.Or(options.Name, "default")
	options.TablePrefix = cmp.Or(options.TablePrefix, "amaretti_")
	var problems []error
	if db == nil {
		problems = append(problems, errors.New(prefix+"no database"))
	}
	if dialect != PostgreSQL && dialect != SQLite {
		problems = append(problems, errors.New(prefix+"unknown dialect: want PostgreSQL or SQLite"))
	}
	if !plainName(options.Name) {
		problems = append(problems, fmt.Errorf(prefix+"name %.64q: want 1 to %d of a-z, 0-9, _", options.Name, maxName))
	}
	if !plainName(options.TablePrefix) || options.TablePrefix[0] <= '9' {
		problems = append(problems, fmt.Errorf(prefix+"table prefix %.64q: want 1 to %d of a-z, 0-9, _, and no digit first",
			options.TablePrefix, maxName))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	marks := []string{"@", options.TablePrefix}
	if dialect == SQLite {
		marks = append(marks, "$", "?", "BYTES", "BLOB")
	} else {
		marks = append(marks, "BYTES", "BYTEA")
	}
	return &database{db: db, dialect: dialect, name: options.Name, names: strings.NewReplacer(marks...)}, nil
}

const maxName = 32

// plainName tells whether s can stand within an SQL identifier as it is.
func plainName(s string) bool {
	return len(s) > 0 && len(s) <= maxName && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// text gives a statement in the dialect: @ stands for the prefix of the tables, and
// parameters are written as in PostgreSQL. Nothing from outside is ever part of it.
func (d *database) text(statement string) string { return d.names.Replace(statement) }

// within runs do in a transaction, which ends with it. A statement that writes must be
// the first, so that in SQLite it holds the lock from the beginning and can't come too late
// for it. In PostgreSQL the level is the one at which a row that was waited
// for is read again.
func (d *database) within(ctx context.Context, do func(tx *sql.Tx) error) error {
	var options sql.TxOptions
	if d.dialect == PostgreSQL {
		options.Isolation = sql.LevelReadCommitted
	}
	tx, err := d.db.BeginTx(ctx, &options)
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
func failed(ctx context.Context, what string, err error) error {
	// The network may notice a deadline an instant before the context does.
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		<-ctx.Done()
	}
	if done := ctx.Err(); done != nil && !errors.Is(err, done) {
		return fmt.Errorf(prefix+"%s: %w: %w", what, done, err)
	}
	return fmt.Errorf(prefix+"%s: %w", what, err)
}
