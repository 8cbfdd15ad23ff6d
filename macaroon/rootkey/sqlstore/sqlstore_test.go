package sqlstore_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/sqlstore"
)

// What needs a database is tested against real ones, in internal/integration: drivers are
// not among the things that this module requires.

var (
	_ rootkey.Store    = (*sqlstore.Store)(nil)
	_ rootkey.Recorder = (*sqlstore.Inventory)(nil)
)

// Keys in PostgreSQL, and an inventory of what is minted with them.
func Example() {
	ctx := context.Background()
	var kek []byte                                                     // 32 bytes, from a secrets manager
	db, err := sql.Open("pgx", "postgres://orders@db.internal/orders") // the driver is yours to choose
	if err != nil {
		panic(err)
	}
	sealer, err := seal.NewKey(kek)
	if err != nil {
		panic(err)
	}
	store, err := sqlstore.New(db, sqlstore.PostgreSQL, sealer, sqlstore.Options{Name: "orders"})
	if err != nil {
		panic(err)
	}
	inventory, err := sqlstore.NewInventory(db, sqlstore.PostgreSQL, sqlstore.Options{Name: "orders"})
	if err != nil {
		panic(err)
	}
	keys, err := rootkey.Open(ctx, store, rootkey.Options{Recorder: inventory})
	if err != nil {
		panic(err)
	}
	go keys.Run(ctx)

	// Later: whose token was that?
	leaked, err := inventory.Find(ctx, sqlstore.Query{Label: "billing's cron job"})
	fmt.Println(leaked, err)
}

// unreachable is a database that can't be connected to.
type unreachable struct{ err error }

func (u unreachable) Connect(context.Context) (driver.Conn, error) { return nil, u.err }
func (u unreachable) Driver() driver.Driver                        { return nil }

var errDown = errors.New("the database is down")

func down(t *testing.T) *sql.DB {
	db := sql.OpenDB(unreachable{errDown})
	t.Cleanup(func() { db.Close() })
	return db
}

func TestNewRefuses(t *testing.T) {
	db, kek := down(t), seal.InsecurePlaintext()
	for name, row := range map[string]struct {
		db      *sql.DB
		dialect sqlstore.Dialect
		kek     *seal.Sealer
		options sqlstore.Options
		want    string
	}{
		"no database":       {nil, sqlstore.SQLite, kek, sqlstore.Options{}, "no database"},
		"no dialect":        {db, 0, kek, sqlstore.Options{}, "unknown dialect"},
		"another dialect":   {db, 3, kek, sqlstore.Options{}, "unknown dialect"},
		"no key":            {db, sqlstore.SQLite, nil, sqlstore.Options{}, "no key-encryption key"},
		"name: quote":       {db, sqlstore.SQLite, kek, sqlstore.Options{Name: `a"b`}, "sqlstore: name"},
		"name: upper case":  {db, sqlstore.SQLite, kek, sqlstore.Options{Name: "Orders"}, "sqlstore: name"},
		"name: too long":    {db, sqlstore.SQLite, kek, sqlstore.Options{Name: strings.Repeat("a", 33)}, "sqlstore: name"},
		"name: not ASCII":   {db, sqlstore.SQLite, kek, sqlstore.Options{Name: "bücher"}, "sqlstore: name"},
		"prefix: digit":     {db, sqlstore.SQLite, kek, sqlstore.Options{TablePrefix: "1_"}, "table prefix"},
		"prefix: schema":    {db, sqlstore.SQLite, kek, sqlstore.Options{TablePrefix: "public.x"}, "table prefix"},
		"prefix: injection": {db, sqlstore.PostgreSQL, kek, sqlstore.Options{TablePrefix: `x"; DROP TABLE y; --`}, "table prefix"},
		"prefix: marks":     {db, sqlstore.PostgreSQL, kek, sqlstore.Options{TablePrefix: "a@$1"}, "table prefix"},
	} {
		s, err := sqlstore.New(row.db, row.dialect, row.kek, row.options)
		require.ErrorContains(t, err, row.want, name)
		require.Nil(t, s, name)
		if row.kek == nil {
			continue
		}
		i, err := sqlstore.NewInventory(row.db, row.dialect, row.options)
		require.ErrorContains(t, err, row.want, name)
		require.Nil(t, i, name)
	}

	_, err := sqlstore.New(nil, 0, nil, sqlstore.Options{Name: "-", TablePrefix: "-"})
	for _, problem := range []string{"database", "dialect", "key-encryption", "name", "prefix"} {
		require.ErrorContains(t, err, problem, "all problems at once")
	}
	_, err = sqlstore.New(db, sqlstore.PostgreSQL, kek, sqlstore.Options{
		Name: strings.Repeat("9", 32), TablePrefix: "_" + strings.Repeat("z", 31)})
	require.NoError(t, err)
}

// Every method tells what it was about, and the cause.
func TestDatabaseDown(t *testing.T) {
	kek := sha256.Sum256(nil)
	sealer, err := seal.NewKey(kek[:])
	require.NoError(t, err)
	db := down(t)
	store, err := sqlstore.New(db, sqlstore.PostgreSQL, sealer, sqlstore.Options{})
	require.NoError(t, err)
	inventory, err := sqlstore.NewInventory(db, sqlstore.SQLite, sqlstore.Options{})
	require.NoError(t, err)
	calls := map[string]func(ctx context.Context) error{
		"load": func(ctx context.Context) error {
			_, _, found, err := store.Load(ctx, "known")
			require.False(t, found)
			return err
		},
		"swap": func(ctx context.Context) error {
			_, swapped, err := store.Swap(ctx, "", map[string][]byte{"id": []byte("root key")})
			require.False(t, swapped)
			return err
		},
		"rewrap": func(ctx context.Context) error { return store.Rewrap(ctx, sealer) },
		"record": func(ctx context.Context) error {
			return inventory.RecordMint(ctx, [16]byte{1}, "billing", "label", "key", time.Now())
		},
		"find": func(ctx context.Context) error {
			_, err := inventory.Find(ctx, sqlstore.Query{Label: "label"})
			return err
		},
		"prune": func(ctx context.Context) error {
			_, err := inventory.Prune(ctx, time.Now())
			return err
		},
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls {
		err := call(t.Context())
		require.ErrorIs(t, err, errDown, name)
		require.True(t, strings.HasPrefix(err.Error(), "sqlstore: "+name+": "), err)
		require.NotContains(t, err.Error(), "root key")
		require.ErrorIs(t, call(cancelled), context.Canceled, name)
	}
}

// What is refused before the database is asked.
func TestArguments(t *testing.T) {
	db := down(t)
	store, err := sqlstore.New(db, sqlstore.SQLite, seal.InsecurePlaintext(), sqlstore.Options{})
	require.NoError(t, err)
	many := make(map[string][]byte)
	for i := range 1001 {
		many[fmt.Sprint(i)] = nil
	}
	for want, records := range map[string]map[string][]byte{
		`key id ""`:      {"": nil},
		`key id "a b"`:   {"a b": nil},
		`key id "ключ"`:  {"ключ": nil},
		`key id "aaaa`:   {strings.Repeat("a", 65): nil},
		`key "a": recor`: {"a": make([]byte, 65<<10)},
		"more than 1000": many,
	} {
		_, _, err := store.Swap(t.Context(), "", records)
		require.ErrorContains(t, err, "sqlstore: swap: "+want)
		require.NotErrorIs(t, err, errDown)
	}
	require.Error(t, store.Rewrap(t.Context(), nil))
	require.Error(t, store.Rewrap(t.Context(), new(seal.Sealer)))
	_, _, _, err = store.Load(t.Context(), "")
	require.ErrorIs(t, err, errDown, "a sealer that can't seal does not take the place of one that can")

	zero, err := sqlstore.New(db, sqlstore.SQLite, new(seal.Sealer), sqlstore.Options{})
	require.NoError(t, err)
	_, _, err = zero.Swap(t.Context(), "", map[string][]byte{"a": nil})
	require.ErrorContains(t, err, "no key")

	inventory, err := sqlstore.NewInventory(db, sqlstore.SQLite, sqlstore.Options{})
	require.NoError(t, err)
	now := time.Now()
	for name, row := range map[string]struct {
		subject, label, keyID string
		expiry                time.Time
		want                  string
	}{
		"long subject":      {strings.Repeat("s", 1025), "", "k", now, "subject: 1025 bytes"},
		"subject not UTF-8": {"\xff", "", "k", now, "subject: want UTF-8"},
		"subject with NUL":  {"a\x00", "", "k", now, "subject: want UTF-8"},
		"long label":        {"", strings.Repeat("l", 257), "k", now, "label: 257 bytes"},
		"label of lines":    {"", "a\nb", "k", now, "label: want UTF-8"},
		"no key":            {"", "", "", now, "key id"},
		"long key":          {"", "", strings.Repeat("k", 65), now, "key id"},
		"no expiry":         {"", "", "k", time.Time{}, "expiry"},
		"expiry too late":   {"", "", "k", now.AddDate(9000, 0, 0), "expiry"},
	} {
		err := inventory.RecordMint(t.Context(), [16]byte{1}, row.subject, row.label, row.keyID, row.expiry)
		require.ErrorContains(t, err, "sqlstore: record: "+row.want, name)
		require.NotErrorIs(t, err, errDown, name)
	}
	for name, query := range map[string]sqlstore.Query{
		"nothing asked":   {},
		"only a page":     {Limit: 3, After: sqlstore.Minted{TokenID: [16]byte{1}}},
		"negative limit":  {Label: "l", Limit: -1},
		"large limit":     {Label: "l", Limit: 1001},
		"label not UTF-8": {Label: "\xff"},
		"long subject":    {Subject: strings.Repeat("s", 1025)},
		"key id with NUL": {KeyID: "a\x00"},
	} {
		_, err := inventory.Find(t.Context(), query)
		require.ErrorContains(t, err, "sqlstore: find: ", name)
		require.NotErrorIs(t, err, errDown, name)
	}
}
