package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
)

// The one row of this table holds the number of migrations that were done.
const createSchema = `CREATE TABLE IF NOT EXISTS "@schema" (id INTEGER PRIMARY KEY, version INTEGER NOT NULL)`

// migrations lead from nothing to the tables of this release. What was
// released is never changed, only added to.
var migrations = [][]string{
	{
		`CREATE TABLE "@sets" (name TEXT PRIMARY KEY, version TEXT NOT NULL)`,
		`CREATE TABLE "@keys" (name TEXT NOT NULL, id TEXT NOT NULL, record BYTES NOT NULL, PRIMARY KEY (name, id))`,
	},
	{
		// Times are in microseconds since 1970, UTC.
		`CREATE TABLE "@minted" (name TEXT NOT NULL, token_id BYTES NOT NULL, subject TEXT NOT NULL, label TEXT NOT NULL,
			key_id TEXT NOT NULL, minted BIGINT NOT NULL, expiry BIGINT NOT NULL, PRIMARY KEY (name, token_id))`,
		`CREATE INDEX "@minted_label" ON "@minted" (name, label, minted, token_id)`,
		`CREATE INDEX "@minted_subject" ON "@minted" (name, subject, minted, token_id)`,
		`CREATE INDEX "@minted_expiry" ON "@minted" (name, expiry)`,
	},
}

// advisoryLock is the key of the lock under which processes migrate one at a time in
// PostgreSQL. Any number does that nobody else takes.
const advisoryLock = 0x616d6172657474 // "amarett"

// prepare sees to it that the tables are there.
func (d *database) prepare(ctx context.Context) error {
	if d.ready.Load() {
		return nil
	}
	done, err := d.migrated(ctx)
	if err == nil && !done {
		err = d.migrate(ctx)
	}
	if err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	d.ready.Store(true)
	return nil
}

// migrated tells whether there is nothing to do, without writing: most processes find
// the tables made, and some may not make them.
func (d *database) migrated(ctx context.Context) (bool, error) {
	exists := `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1`
	table := d.text(`@schema`)
	if d.dialect == PostgreSQL {
		exists = `SELECT count(to_regclass($1))`
		table = `"` + table + `"`
	}
	var tables int
	if err := d.db.QueryRowContext(ctx, d.text(exists), table).Scan(&tables); err != nil {
		return false, fmt.Errorf("asked as %s: %w", d.dialect.name(), err)
	}
	if tables == 0 {
		return false, nil
	}
	var version int
	switch err := d.db.QueryRowContext(ctx, d.text(readVersion)).Scan(&version); {
	case err == sql.ErrNoRows: // another process has just made the table
		return false, nil
	case err != nil:
		return false, err
	}
	return version == len(migrations), notNewer(version)
}

const readVersion = `SELECT version FROM "@schema" WHERE id = 1`

func notNewer(version int) error {
	if version > len(migrations) {
		return fmt.Errorf("version %d is newer than %d, the latest that this program knows", version, len(migrations))
	}
	return nil
}

// migrate does what is left to do. Of several processes one does it while
// the others wait.
func (d *database) migrate(ctx context.Context) error {
	// SQLite locks with the first write, and this one does not write if the table is there. So
	// it stands apart, and the INSERT below is the lock. PostgreSQL can make a table
	// twice at once, and fails; so there the lock comes first.
	if d.dialect == SQLite {
		if _, err := d.db.ExecContext(ctx, d.text(createSchema)); err != nil {
			return err
		}
	}
	return d.within(ctx, func(tx *sql.Tx) error {
		if d.dialect == PostgreSQL {
			if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(advisoryLock)); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, d.text(createSchema)); err != nil {
				return err
			}
		}
		const first = `INSERT INTO "@schema" (id, version) VALUES (1, 0) ON CONFLICT DO NOTHING`
		if _, err := tx.ExecContext(ctx, d.text(first)); err != nil {
			return err
		}
		var version int
		if err := tx.QueryRowContext(ctx, d.text(readVersion)).Scan(&version); err != nil {
			return err
		}
		if err := notNewer(version); err != nil {
			return err
		}
		for _, migration := range migrations[max(version, 0):] {
			for _, statement := range migration {
				if _, err := tx.ExecContext(ctx, d.text(statement)); err != nil {
					return err
				}
			}
		}
		_, err := tx.ExecContext(ctx, d.text(`UPDATE "@schema" SET version = $1 WHERE id = 1`), len(migrations))
		return err
	})
}
