package integration_test

import (
	"cmp"
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crypto/rand"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

// missing ends a test whose server does not answer: it is skipped, or fails where servers
// are required.
func missing(t testing.TB, what string, err error) {
	t.Helper()
	if os.Getenv("AMARETTI_TEST_REQUIRE_SERVERS") != "" {
		t.Fatalf("%s does not answer: %v", what, err)
	}
	t.Skipf("%s does not answer: %v", what, err)
}

// postgresDSN is a schema of the test's own on a real PostgreSQL, as a connection string,
// and is dropped with the test.
func postgresDSN(t testing.TB) string {
	t.Helper()
	base := cmp.Or(os.Getenv("AMARETTI_TEST_POSTGRES"), "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable")
	admin, err := sql.Open("pgx", base)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := admin.PingContext(ctx); err != nil {
		admin.Close()
		missing(t, "PostgreSQL", err)
	}
	schema := "amaretti_" + strings.ToLower(rand.Text()[:12])
	_, err = admin.ExecContext(ctx, "CREATE SCHEMA "+schema)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec("DROP SCHEMA " + schema + " CASCADE")
		require.NoError(t, err)
		admin.Close()
	})
	u, err := url.Parse(base)
	require.NoError(t, err, "AMARETTI_TEST_POSTGRES must be a URL")
	q := u.Query()
	q.Set("search_path", schema)
	q.Set("synchronous_commit", "off") // nobody pulls the plug here
	u.RawQuery = q.Encode()
	return u.String()
}

// open opens a database, and closes it with the test.
func open(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// sqliteDSN is a fresh database file. Transactions take no lock before they write.
func sqliteDSN(t testing.TB) string {
	return "file:" + filepath.Join(t.TempDir(), "test.db") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)"
}
