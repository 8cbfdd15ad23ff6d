package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"slices"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
)

// Rewrap seals all keys anew under to, in one transaction, and goes on with it. The set
// has a new version then, so that every process reads it soon.
//
// Before that every process must be able to open what either seals, and after it the
// old key can go:
//
//	first, in every process:    kek = newKey.AlsoOpens(oldKey)
//	then, in one of them:       store.Rewrap(ctx, newKey)
//	then, in every process:     kek = newKey
//
// After an error it may or may not have happened, as with Swap. The Store then opens
// both, seals as before, and Rewrap may be called again. Of two calls at once the second fails.
//
// Rewrap doesn't help against somebody who has the old key and an old copy of the
// database: he has the root keys. Rotate these too.
func (s *Store) Rewrap(ctx context.Context, to *seal.Sealer) error {
	if !s.rewrapping.TryLock() {
		return errors.New(prefix + "rewrap: another one is under way")
	}
	defer s.rewrapping.Unlock()
	// A sealer that can't seal is found out now. A passphrase's key is derived here,
	// not in the transaction.
	if _, err := to.Seal("", "", nil); err != nil {
		return failed(ctx, "rewrap", err)
	}
	if !slices.Contains(s.tried, to) {
		s.tried = append(s.tried, to)
	}
	// From here on nothing is sealed under the old key: a Swap that did so before has to
	// know a version that is gone when the keys are rewrapped.
	both := to.AlsoOpens(append([]*seal.Sealer{s.own}, s.tried...)...)
	s.sealer.Store(both)
	if err := s.rewrap(ctx, both); err != nil {
		s.sealer.Store(s.own.AlsoOpens(s.tried...))
		return failed(ctx, "rewrap", err)
	}
	s.own, s.tried = to, nil
	s.sealer.Store(to)
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
