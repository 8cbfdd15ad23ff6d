// Package macaroon mints, narrows and presents macaroons: bearer tokens that any
// holder can restrict further, without asking anyone, and that nobody can widen.
//
// A macaroon is an identifier, a list of caveats, and a signature. The signature
// is a chain: an HMAC of the identifier under a root key that only the minter
// has, then for each caveat an HMAC of the caveat under the signature so far.
// Whoever holds a macaroon can append a caveat and compute the next signature,
// but can't go back to the one before, so no caveat is ever removed. The
// construction is that of "Macaroons: Cookies with Contextual Caveats for
// Decentralized Authorization in the Cloud" (NDSS 2014) as all deployed
// libraries instantiate it.
//
// # The law
//
// Authority and identity come from the minter: from the identifier and from the
// caveats that the identifier counts as the minter's. Whatever a holder appends
// only restricts. So a caveat is a condition that is checked, never a claim that
// is read.
//
// # What is here
//
//   - [Mint] makes a token whose [Identifier] says which root key signs it, who
//     it is for and which caveats are the minter's. Most programs mint through
//     package rootkey, which keeps the keys. [New] is the low door: any
//     identifier under any key, as a third party needs for a discharge.
//   - [Macaroon.Attenuate] narrows. The caveats come from package caveat;
//     [Condition] is plain text.
//   - [Macaroon.Encode] gives the text that goes behind "Authorization: Bearer".
//   - [Wallet] is what a holder keeps when some caveats need a third party: the
//     macaroon and its discharges, which are bound to it when they are sent.
//   - [Credential] is what a service received. [Parse] reads one; package
//     verifier decides on it.
//   - [Macaroon.Inspect], [Credential.Inspect] show what a token holds. None of it is verified.
//
// This package knows no vocabulary of conditions, no HTTP and no clock. Macaroon,
// Wallet and Credential are immutable: what changes one returns another, so all
// of them may be used by several goroutines at once. Their zero values are
// invalid, and every method that can fail says so.
//
// # Secrets
//
// The final signature is what makes a macaroon work, so a macaroon is a secret as
// a whole. Macaroon, Wallet and Credential print as a short description under
// fmt, wherever they are, and as attributes under log/slog. Their Encode, Append and
// Marshal methods give the real token, also to encoding/json. That is what
// slog.JSONHandler uses for whatever is inside a slice, map or struct: log a token
// as an attribute of its own, or better its reference (see package verifier), and
// never what contains it.
//
// # Format
//
// The credential text is unpadded base64url (RFC 4648 §5) of the v2 binary
// encodings of the primary macaroon and its discharges, one behind the other.
// Only the canonical form is read and written: decoding and encoding again gives
// the same bytes. Package legacy reads and writes every other form.
package macaroon
