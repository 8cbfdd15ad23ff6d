package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
)

// Rewrap seals all keys anew under to, in one transaction, and goes on with it. The set
// has a new version then, so that every process reads it soon.
//
// It is the third of the four steps in the documentation of package seal: by then every other
// process has to seal as to does, and to open what was sealed before.
//
// After an error it may or may not have happened, as with Swap. The Store then opens
// both, seals as before, and Rewrap may be called again. Of two calls at once the second fails.
//
// Rewrap doesn't help against somebody who has the old key and an old copy of the
// database: he has the root keys. Rotate these too.
func (s *Store) Rewrap(ctx context.Context, to *seal.Sealer) error {
	err := s.kek.Change(to, func(both *seal.Sealer) error { return s.rewrap(ctx, both) })
	if err != nil {
		return failed(ctx, "rewrap", err)
	}
	return nil
}

func (s *Store) rewrap(ctx context.Context, sealer *seal.Sealer) error {
	d := s.database
	if err := d.prepare(ctx); err != nil {
		return err
	}
	return d.within(ctx, func(tx *sql.Tx) error {
		// This is the lock on the keys as well: who changes them comes by here first.
		const bump = `UPDATE "@sets" SET version = $1 WHERE name = $2`
		if n, err := affected(tx.ExecContext(ctx, d.text(bump), rand.Text(), d.name)); err != nil || n == 0 {
			return err
		}
		// No version is empty, so all keys come.
		rows, err := tx.QueryContext(ctx, d.text(loadSet), d.name, "", maxRecord, maxKeys+1)
		if err != nil {
			return err
		}
		sealed, _, err := scanSet(rows)
		if err != nil {
			return err
		}
		for id, record := range sealed {
			if record, err = d.open(sealer, id, record); err != nil {
				return err
			}
			if record, err = d.seal(sealer, id, record); err != nil {
				return err
			}
			const update = `UPDATE "@keys" SET record = $1 WHERE name = $2 AND id = $3`
			if _, err := tx.ExecContext(ctx, d.text(update), record, d.name, id); err != nil {
				return err
			}
		}
		return nil
	})
}
