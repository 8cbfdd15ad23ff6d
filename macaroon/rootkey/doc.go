// Package rootkey keeps the root keys that tokens are minted and verified with.
//
//	keys := rootkey.InMemory()                                      // gone when the process ends
//	keys, err := rootkey.FromKeys([][]byte{key}, rootkey.Options{}) // a secret that is there already
//	keys, err := rootkey.Open(ctx, store, rootkey.Options{})        // shared, and there tomorrow
//	go keys.Run(ctx)                                                // reads changes, rotates
//
//	token, err := keys.Mint(ctx, macaroon.Grant{Subject: "billing"},
//		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
//	v, err := verifier.New(keys, "orders", verifier.Options{})
//
// A [Keyring] both mints and verifies: whoever has it, or the store and what opens
// its seal, can do both. Give each service root keys of its own, so that none can
// mint for another; all that another service needs is a token.
//
// # Which store
//
//   - None at all, where every process is started with the same secret, and rotation is a
//     deployment: [FromKeys].
//   - One process: [InMemory] if tokens may end with it; else package filestore, one
//     sealed file.
//   - Several processes on one machine: package sqlstore with SQLite.
//   - Several machines: package sqlstore with PostgreSQL, or package redisstore.
//   - Anything else: write a [Store]; package storetest tells whether it is right.
//
// Stores seal what they keep with package seal. All processes over one store should
// have the same [Options]; where lifetimes differ, the longest has to stand in those
// of whoever rotates.
//
// # Keys elsewhere
//
// Where root keys must not come into the process at all, a [Signer] computes the one HMAC
// that needs them: a key management service, or an isolated service of your own. [NewRemote]
// mints and verifies with it. What is imported there is the derived key, not the root key; see
// [Signer]. That the key can't be read there helps against its being carried away; who may have it
// used can mint, for as long as he may. examples/vault does it with HashiCorp Vault.
//
// # Rotation
//
// A key is pending, minting, verifying or retired; see [State]. Which it is follows
// from the times that stand in its record, so that time passes without a write and all
// processes agree. At most one key mints. All that are not retired verify.
//
// [Keyring.Rotate] publishes first: the fresh key is in the store for
// Options.PublishFor before it mints, so that every verifier has read it before the
// first token carries its id. The old key stops in the same instant. It verifies for
// StaleAfter + MaxLifetime + Leeway longer, since a minter cut off from the store goes
// on with it for StaleAfter, and what it mints lives for MaxLifetime. [Keyring.Run]
// rotates by itself. Any number of processes may do that at once; one key results.
//
// A key that has leaked is deleted: [Keyring.Delete]. What it signed is refused at once
// in that process, and within RefreshEvery in the others.
//
// # When the store fails
//
// A keyring answers from memory and reads the store again in the background, twice
// in each RefreshEvery: when Run is at work, or else as requests come. A request waits
// for the store only after a pause in which nobody asked, for RefreshEvery/2 at most, or
// if it names a key that is not known here, for RefreshEvery at most. Such requests cause
// at most one more read in each RefreshEvery, however many there are.
//
// If the store can't be read, what was read last serves until it is StaleAfter old. From
// then on every answer is [ErrStale], which a verifier calls undecided: 503, never 401
// and never allowed. A key id that is not known is an error as soon as one read has
// failed, since it may be the id of a key that came meanwhile. When the store is back, all
// goes on by itself.
//
// # Clocks
//
// How old the last read is, is measured by the monotonic clock, which nobody sets. The
// times of keys are compared with the wall clock. If that is set, the states of keys
// follow within RefreshEvery. (On most systems the monotonic clock stands still while the
// machine sleeps: after that the same bound holds, counted from waking.) Options.Leeway
// and the slack in Options.PublishFor are there for clocks that differ.
package rootkey
