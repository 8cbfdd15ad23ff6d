package revocation

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

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
	for until := time.Now().Add(wait); ; {
		b, ok, err := s.since(ctx, after)
		switch {
		case err != nil:
			return Batch{}, err
		case !ok:
			return s.all(ctx)
		case len(b.Changes) > 0 || !time.Now().Before(until):
			return b, nil
		}
		sleep(ctx, min(s.options.PollEvery, time.Until(until)))
	}
}

// since gives what came after a cursor; ok is false if that is not known any more. One
// statement sees one state of the database.
func (s *SQL) since(ctx context.Context, after Cursor) (b Batch, ok bool, err error) {
	// The change that the cursor is at comes too: it must still be that one.
	const following = `SELECT l.log, l.seq, c.seq, c.mark, c.what, c.removed FROM "@revoked_log" l
		LEFT JOIN "@revoked_changes" c ON c.name = l.name AND c.seq >= $2 WHERE l.name = $1 ORDER BY c.seq`
	if after.Log == "" || after.Seq > 1<<62 {
		return Batch{}, false, nil
	}
	rows, err := s.db.QueryContext(ctx, s.text(following), s.options.Name, int64(after.Seq))
	if err != nil {
		return Batch{}, false, err
	}
	defer rows.Close()
	b = Batch{From: after, To: Cursor{Mark: after.Mark}}
	known := after.Mark == 0 // no change has that: the cursor is at none
	for rows.Next() {
		var last int64
		var seq, mark, removed sql.NullInt64
		var what sql.NullString
		if err := rows.Scan(&b.To.Log, &last, &seq, &mark, &what, &removed); err != nil {
			return Batch{}, false, err
		}
		b.To.Seq = uint64(last)
		switch {
		case !seq.Valid: // there is none
		case uint64(seq.Int64) == after.Seq:
			known = uint64(mark.Int64) == after.Mark
		default:
			b.To.Mark = uint64(mark.Int64)
			b.Changes = append(b.Changes, Change{What{what.String}, removed.Int64 != 0})
		}
	}
	// Nothing may be missing between.
	ok = known && b.To.Log == after.Log && b.To.Seq == after.Seq+uint64(len(b.Changes))
	return b, ok, rows.Err()
}

// all gives all there is.
func (s *SQL) all(ctx context.Context) (Batch, error) {
	const everything = `SELECT l.log, l.seq, c.mark, r.what FROM "@revoked_log" l
		LEFT JOIN "@revoked_changes" c ON c.name = l.name AND c.seq = l.seq
		LEFT JOIN "@revoked" r ON r.name = l.name WHERE l.name = $1`
	rows, err := s.db.QueryContext(ctx, s.text(everything), s.options.Name)
	if err != nil {
		return Batch{}, err
	}
	defer rows.Close()
	b := Batch{Full: true}
	for rows.Next() {
		var last int64
		var mark sql.NullInt64
		var what sql.NullString
		if err := rows.Scan(&b.To.Log, &last, &mark, &what); err != nil {
			return Batch{}, err
		}
		b.To.Seq, b.To.Mark = uint64(last), uint64(mark.Int64)
		if what.Valid {
			b.Changes = append(b.Changes, Change{What: What{what.String}})
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
