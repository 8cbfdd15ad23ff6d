package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
)

// What a set can hold, and what is read of one: 1000 keys, with sealed records of 64 KiB.
const (
	maxKeys    = 1000
	maxRecord  = 64 << 10
	maxKeyID   = 64
	maxVersion = 64
)

// Store is a set of root keys in a database. It is a rootkey.Store, and safe for
// concurrent use, also by other processes over the same tables.
type Store struct {
	database *database
	kek      *seal.Holder
}

// New makes a Store whose keys kek seals, each bound to the name in options and to its
// id. db is the caller's: New doesn't use it yet, and nothing here closes it. A kek
// of nil is refused; without encryption is seal.InsecurePlaintext.
func New(db *sql.DB, dialect Dialect, kek *seal.Sealer, options Options) (*Store, error) {
	d, err := newDatabase(db, dialect, options)
	if kek == nil {
		err = errors.Join(err, errors.New(prefix+"no key-encryption key"))
	}
	if err != nil {
		return nil, err
	}
	return &Store{d, seal.NewHolder(kek)}, nil
}

// One statement sees one state of the database. If the version is the one that is known, no keys come
// with it. Of what is too long to be ours no more comes than tells that.
const loadSet = `SELECT substr(s.version, 1, 65), substr(k.id, 1, 65), CASE WHEN length(k.record) <= $3 THEN k.record END
	FROM "@sets" s LEFT JOIN "@keys" k ON k.name = s.name AND s.version <> $2
	WHERE s.name = $1 LIMIT $4`

// Load gives all records, opened, and the version of the set, unless it is known. One
// record that does not open is an error for all: seal.ErrOpen.
func (s *Store) Load(ctx context.Context, known string) (records map[string][]byte, version string, found bool, err error) {
	before := s.kek.Sealer()
	sealed, version, err := s.load(ctx, known)
	if err != nil {
		return nil, "", false, failed(ctx, "load", err)
	}
	if version == known {
		return nil, "", false, nil
	}
	sealer := s.kek.Since(before) // there may have been a Rewrap
	records = make(map[string][]byte, len(sealed))
	for id, record := range sealed {
		if records[id], err = s.database.open(sealer, id, record); err != nil {
			return nil, "", false, failed(ctx, "load", err)
		}
	}
	return records, version, true, nil
}

func (s *Store) load(ctx context.Context, known string) (sealed map[string][]byte, version string, err error) {
	d := s.database
	if err := d.prepare(ctx); err != nil {
		return nil, "", err
	}
	rows, err := d.db.QueryContext(ctx, d.text(loadSet), d.name, known, maxRecord, maxKeys+1)
	if err != nil {
		return nil, "", err
	}
	return scanSet(rows)
}

// scanSet reads what loadSet gives, and closes it.
func scanSet(rows *sql.Rows) (sealed map[string][]byte, version string, err error) {
	defer rows.Close()
	sealed = make(map[string][]byte)
	for rows.Next() {
		var id sql.NullString
		var record []byte
		if err := rows.Scan(&version, &id, &record); err != nil {
			return nil, "", err
		}
		if version == "" || len(version) > maxVersion {
			return nil, "", errors.New("version: damaged")
		}
		if id.Valid {
			sealed[id.String] = record
		}
	}
	if len(sealed) > maxKeys {
		return nil, "", errTooMany
	}
	return sealed, version, rows.Err()
}

var errTooMany = fmt.Errorf("more than %d keys", maxKeys)

// open opens the record of a key.
func (d *database) open(sealer *seal.Sealer, id string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, fmt.Errorf("key %.64q: record: none, or more than %d bytes", id, maxRecord)
	}
	record, err := sealer.Open(d.place(), id, sealed)
	if err != nil {
		return nil, fmt.Errorf("key %.64q: %w", id, err)
	}
	return record, nil
}

// place is what records are sealed for. Stores of other kinds have other places.
func (d *database) place() string { return "sqlstore/" + d.name }

// seal seals the record of a key.
func (d *database) seal(sealer *seal.Sealer, id string, record []byte) ([]byte, error) {
	sealed, err := sealer.Seal(d.place(), id, record)
	if err == nil && len(sealed) > maxRecord {
		err = fmt.Errorf("record: too long: %d bytes sealed, want at most %d", len(sealed), maxRecord)
	}
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", id, err)
	}
	return sealed, nil
}

// Swap puts records in the place of the whole set if its version is still known, in
// one transaction. There may be 1000 of them, each 64 KiB when sealed; ids are 1 to 64 printable
// ASCII characters.
func (s *Store) Swap(ctx context.Context, known string, records map[string][]byte) (version string, swapped bool, err error) {
	version = rand.Text()
	if swapped, err = s.swap(ctx, known, version, records); err != nil {
		return "", false, failed(ctx, "swap", err)
	}
	if !swapped {
		return "", false, nil
	}
	return version, true, nil
}

func (s *Store) swap(ctx context.Context, known, version string, records map[string][]byte) (swapped bool, err error) {
	d, sealer := s.database, s.kek.Sealer()
	if len(records) > maxKeys {
		return false, errTooMany
	}
	// All is sealed before the transaction begins, since that may take a while.
	sealed := make(map[string][]byte, len(records))
	for id, record := range records {
		if !plainID(id) {
			return false, fmt.Errorf("key id %.64q: want 1 to %d printable ASCII characters", id, maxKeyID)
		}
		if sealed[id], err = d.seal(sealer, id, record); err != nil {
			return false, err
		}
	}
	if err := d.prepare(ctx); err != nil {
		return false, err
	}
	err = d.within(ctx, func(tx *sql.Tx) error {
		// Whoever comes second waits here for the first, and then finds another version.
		statement, args := `UPDATE "@sets" SET version = $1 WHERE name = $2 AND version = $3`, []any{version, d.name, known}
		if known == "" {
			statement, args = `INSERT INTO "@sets" (version, name) VALUES ($1, $2) ON CONFLICT DO NOTHING`, args[:2]
		}
		if n, err := affected(tx.ExecContext(ctx, d.text(statement), args...)); err != nil || n == 0 {
			return err
		}
		swapped = true
		if _, err := tx.ExecContext(ctx, d.text(`DELETE FROM "@keys" WHERE name = $1`), d.name); err != nil {
			return err
		}
		for id, record := range sealed {
			const insert = `INSERT INTO "@keys" (name, id, record) VALUES ($1, $2, $3)`
			if _, err := tx.ExecContext(ctx, d.text(insert), d.name, id, record); err != nil {
				return err
			}
		}
		return nil
	})
	return swapped, err
}

func affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func plainID(id string) bool {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return len(id) > 0 && len(id) <= maxKeyID
}
