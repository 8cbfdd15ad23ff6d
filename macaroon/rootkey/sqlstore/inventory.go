package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// What an inventory takes, in bytes, and gives at once.
const (
	maxSubject = 1024
	maxLabel   = 256
	maxPage    = 1000
)

// Inventory keeps what was minted: a rootkey.Recorder. It holds no token and nothing that
// gives authority, but tells who has some. It is safe for concurrent use.
type Inventory struct{ database *database }

// NewInventory makes an Inventory in the tables, and under the name, that options
// give. db is the caller's: NewInventory doesn't use it yet, and nothing here closes it.
func NewInventory(db *sql.DB, dialect Dialect, options Options) (*Inventory, error) {
	d, err := newDatabase(db, dialect, options)
	if err != nil {
		return nil, err
	}
	return &Inventory{d}, nil
}

// Minted is one token. Times are in UTC, cut to microseconds.
type Minted struct {
	TokenID [16]byte
	Subject string
	Label   string
	KeyID   string
	Minted  time.Time // when it was recorded, by this machine's clock
	Expiry  time.Time
}

// RecordMint notes a token. The subject may have 1024 bytes and the label 256, both
// UTF-8 without control characters, and the expiry must lie in the years 1970 to
// 9999. A token id that is there already is an error. After any error the token may be there or not.
func (i *Inventory) RecordMint(ctx context.Context, tokenID [16]byte, subject, label, keyID string, expiry time.Time) error {
	if err := i.record(ctx, Minted{tokenID, subject, label, keyID, time.Now(), expiry}); err != nil {
		return failed(ctx, "record", err)
	}
	return nil
}

func (i *Inventory) record(ctx context.Context, m Minted) error {
	if err := errors.Join(plainText("subject", m.Subject, maxSubject), plainText("label", m.Label, maxLabel)); err != nil {
		return err
	}
	if !plainID(m.KeyID) {
		return fmt.Errorf("key id %.64q: want 1 to %d printable ASCII characters", m.KeyID, maxKeyID)
	}
	if year := m.Expiry.UTC().Year(); year < 1970 || year > 9999 {
		return fmt.Errorf("expiry in the year %d: want 1970 to 9999", year)
	}
	d := i.database
	if err := d.prepare(ctx); err != nil {
		return err
	}
	const insert = `INSERT INTO "@minted" (name, token_id, subject, label, key_id, minted, expiry)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`
	_, err := d.db.ExecContext(ctx, d.text(insert),
		d.name, m.TokenID[:], m.Subject, m.Label, m.KeyID, m.Minted.UnixMicro(), m.Expiry.UnixMicro())
	return err
}

func plainText(what, s string, longest int) error {
	switch {
	case len(s) > longest:
		return fmt.Errorf("%s: %d bytes, want at most %d", what, len(s), longest)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("%s: want UTF-8 without control characters", what)
	}
	return nil
}

// Query says which tokens to find: those that agree with all fields that are set. One at
// least must be.
type Query struct {
	_ [0]func() // fields are to be named

	TokenID [16]byte // not set if zero
	Subject string   // the whole of it; not set if empty
	Label   string   // the whole of it; not set if empty
	KeyID   string   // not set if empty

	// After is the last token of the page before. Its zero value asks for the first page.
	After Minted

	// Limit is the length of a page, at most 1000. Zero means 100.
	Limit int
}

// Find gives a page of tokens, those minted last first. A page that is shorter than
// the limit is the last. Tokens that are recorded meanwhile are not on the pages that follow.
func (i *Inventory) Find(ctx context.Context, query Query) ([]Minted, error) {
	page, err := i.find(ctx, query)
	if err != nil {
		return nil, failed(ctx, "find", err)
	}
	return page, nil
}

func (i *Inventory) find(ctx context.Context, query Query) ([]Minted, error) {
	query.Limit = cmp.Or(query.Limit, 100)
	if query.Limit < 0 || query.Limit > maxPage {
		return nil, fmt.Errorf("limit %d: want 1 to %d", query.Limit, maxPage)
	}
	if err := errors.Join(plainText("subject", query.Subject, maxSubject), plainText("label", query.Label, maxLabel),
		plainText("key id", query.KeyID, maxKeyID)); err != nil {
		return nil, err
	}
	d := i.database
	statement := `SELECT token_id, subject, label, key_id, minted, expiry FROM "@minted" WHERE name = $1`
	args := []any{d.name}
	if query.TokenID != [16]byte{} {
		args = append(args, query.TokenID[:])
		statement += fmt.Sprintf(` AND token_id = $%d`, len(args))
	}
	for _, field := range []struct{ column, want string }{
		{"subject", query.Subject}, {"label", query.Label}, {"key_id", query.KeyID},
	} {
		if field.want != "" {
			args = append(args, field.want)
			statement += fmt.Sprintf(` AND %s = $%d`, field.column, len(args))
		}
	}
	if len(args) == 1 {
		return nil, errors.New("neither token id, subject, label nor key id")
	}
	if query.After != (Minted{}) {
		args = append(args, query.After.Minted.UnixMicro(), query.After.TokenID[:])
		statement += fmt.Sprintf(` AND (minted, token_id) < ($%d, $%d)`, len(args)-1, len(args))
	}
	args = append(args, query.Limit)
	statement += fmt.Sprintf(` ORDER BY minted DESC, token_id DESC LIMIT $%d`, len(args))

	if err := d.prepare(ctx); err != nil {
		return nil, err
	}
	rows, err := d.db.QueryContext(ctx, d.text(statement), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var page []Minted
	for rows.Next() {
		var m Minted
		var tokenID []byte
		var minted, expiry int64
		if err := rows.Scan(&tokenID, &m.Subject, &m.Label, &m.KeyID, &minted, &expiry); err != nil {
			return nil, err
		}
		if len(tokenID) != len(m.TokenID) {
			return nil, errors.New("token id: damaged")
		}
		m.TokenID = [16]byte(tokenID)
		m.Minted, m.Expiry = time.UnixMicro(minted).UTC(), time.UnixMicro(expiry).UTC()
		page = append(page, m)
	}
	return page, rows.Err()
}

// Prune deletes the tokens that expired before that time, and tells how many there
// were. Leave some room for clocks that differ, and for the time in which you want to find out what an
// expired token was.
func (i *Inventory) Prune(ctx context.Context, before time.Time) (n int64, err error) {
	d := i.database
	if err := d.prepare(ctx); err != nil {
		return 0, failed(ctx, "prune", err)
	}
	const expired = `DELETE FROM "@minted" WHERE name = $1 AND expiry < $2`
	if n, err = affected(d.db.ExecContext(ctx, d.text(expired), d.name, before.UnixMicro())); err != nil {
		return 0, failed(ctx, "prune", err)
	}
	return n, nil
}
