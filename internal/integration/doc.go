// Package integration holds tests that need real servers: PostgreSQL, SQLite and Redis. It
// has no code of its own.
//
// AMARETTI_TEST_POSTGRES and AMARETTI_TEST_REDIS say where the servers are; without them
// they are looked for on this machine, where they listen by default. A test whose server does
// not answer is skipped, and says why; with AMARETTI_TEST_REQUIRE_SERVERS=1 in the
// environment, as in continuous integration, it fails instead. Below, package peers holds those
// that need libraries in other languages, and package browser those that need a browser.
package integration
