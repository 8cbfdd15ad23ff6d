// Package sqlstore keeps root keys in a PostgreSQL or SQLite database, over any driver
// for database/sql.
//
//	db, err := sql.Open("pgx", "postgres://orders@db.internal/orders")
//	sealer, err := seal.NewKey(kek)
//	store, err := sqlstore.New(db, sqlstore.PostgreSQL, sealer, sqlstore.Options{})
//	keys, err := rootkey.Open(ctx, store, rootkey.Options{})
//
// A [Store] holds the keys, sealed. An [Inventory] holds what was minted with them, so
// that one leaked token can be found by its label; it is optional, and not secret:
//
//	inventory, err := sqlstore.NewInventory(db, sqlstore.PostgreSQL, sqlstore.Options{})
//	keys, err := rootkey.Open(ctx, store, rootkey.Options{Recorder: inventory})
//
// # Tables
//
// There are four, whose names begin with "amaretti_" or another prefix that
// [Options] gives: schema, sets, keys and minted. The first call of any method makes
// them, or brings those of an earlier release up to date, however many processes do it
// at once. It refuses tables of a later release. Where the program's role may
// not create tables, let one that may call [Store.Load] once; from then on the program needs to
// SELECT, INSERT, UPDATE and DELETE, or only to SELECT if it never mints or rotates.
//
// Several keyrings can share the tables, each under a name of its own. The name is
// part of what seals a record (package seal). So give each keyring a name of its own
// wherever two have the same key-encryption key, also in two databases: otherwise
// somebody who can write to both can give one the keys of the other.
//
// # PostgreSQL
//
// Any release from 12 on. Tables are made, and looked for, where the search_path says.
// A pooler may stand in between, if it keeps a transaction on one connection. Durability
// is the server's: with synchronous_commit off, or on an asynchronous replica that
// takes over, a rotation can be lost, and with it the key that it published.
// A replica that lags is not where verifiers should read.
//
// # SQLite
//
// Any release from 3.24 on; all processes on one machine, and the file on a
// disk of it, not in memory. Processes that write at the same time wait for one
// another only if the connection says so. With the driver modernc.org/sqlite that is
//
//	sql.Open("sqlite", "file:/var/lib/orders/keys.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
//
// and without a timeout a call fails at once where it would have had to wait. While it
// waits, SQLite does not heed the context, so the timeout bounds that too.
package sqlstore
