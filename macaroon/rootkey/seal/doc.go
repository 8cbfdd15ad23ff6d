// Package seal encrypts root keys before a store writes them down.
//
//	sealer, err := seal.NewKey(kek)               // 32 bytes from a secrets manager
//	sealer, err := seal.NewPassphrase(passphrase) // slower, for what a person keeps
//
// Give the [Sealer] to a store: packages filestore, sqlstore and redisstore take one.
// Only who writes a store of another kind calls [Sealer.Seal] and [Sealer.Open], and has a [Holder].
//
// What is sealed is bound to the name of its store and to the id of its key. In
// another place it doesn't open, so that somebody who can write to the store, but
// doesn't have the key, can neither forge a record nor pass one off as another. What he
// still can do is take records away, and put back those that stood in the same place
// before.
//
// # Another key
//
// Any process may write at any time, and all have to open what it wrote. So it takes four
// steps to change the key without an outage. Each begins when the one before has been done
// everywhere.
//
//	oldKey.AlsoOpens(newKey)       in every process, which goes on sealing as before
//	newKey.AlsoOpens(oldKey)       in every process, since all can open that by now
//	store.Rewrap(ctx, newKey)      in one of them, for what nobody has written since
//	newKey                         in every process
//
// # Format
//
// A sealed record is one byte of format and then, with lengths in bytes,
//
//	2  key         nonce (24), XChaCha20-Poly1305
//	3  passphrase  salt (16), nonce (24), XChaCha20-Poly1305 under
//	               argon2id(passphrase, salt, t=3, m=64 MiB, p=4, 32 bytes)
//	1  plaintext   SHA-256 of place and plaintext, plaintext
//
// where the ciphertext ends in its tag (16), and the associated data is the place: the
// format, then the store's name and the key id, each behind its length as 8 bytes, big
// endian. The parameters are the second recommendation of RFC 9106, section 4. They belong to
// the format: what is read can't ask for more work than that. Other parameters
// will be another format.
package seal
