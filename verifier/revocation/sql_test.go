package revocation_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/sqlstore"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

// TestNewSQLRefuses: names become part of statements.
func TestNewSQLRefuses(t *testing.T) {
	db := new(sql.DB) // which is not used yet
	for name, row := range map[string]struct {
		db      *sql.DB
		dialect sqlstore.Dialect
		options revocation.SQLOptions
		want    string
	}{
		"no database":       {nil, sqlstore.SQLite, revocation.SQLOptions{}, "no database"},
		"no dialect":        {db, 0, revocation.SQLOptions{}, "unknown dialect"},
		"negative interval": {db, sqlstore.SQLite, revocation.SQLOptions{PollEvery: -1}, "negative PollEvery"},
		"long name":         {db, sqlstore.SQLite, revocation.SQLOptions{Name: strings.Repeat("n", 33)}, "name: want"},
		"space in a name":   {db, sqlstore.SQLite, revocation.SQLOptions{Name: "a b"}, "name: want"},
		"capital in a name": {db, sqlstore.SQLite, revocation.SQLOptions{Name: "A"}, "name: want"},
		"long prefix":       {db, sqlstore.PostgreSQL, revocation.SQLOptions{TablePrefix: strings.Repeat("p", 33)}, "table prefix: want"},
		"digit first":       {db, sqlstore.PostgreSQL, revocation.SQLOptions{TablePrefix: "9_"}, "table prefix: want"},
		"quote in a prefix": {db, sqlstore.PostgreSQL, revocation.SQLOptions{TablePrefix: `a"`}, "table prefix: want"},
	} {
		s, err := revocation.NewSQL(row.db, row.dialect, row.options)
		require.ErrorContains(t, err, "revocation: sql: ", name)
		require.ErrorContains(t, err, row.want, name)
		require.Nil(t, s, name)
	}
	_, err := revocation.NewSQL(nil, 0, revocation.SQLOptions{Name: " ", TablePrefix: " ", PollEvery: -1})
	for _, problem := range []string{"no database", "unknown dialect", "name: ", "table prefix: ", "PollEvery"} {
		require.ErrorContains(t, err, problem, "all problems are joined")
	}
	_, err = revocation.NewSQL(db, sqlstore.PostgreSQL, revocation.SQLOptions{Name: strings.Repeat("9", 32), TablePrefix: strings.Repeat("_", 32)})
	require.NoError(t, err)
}
