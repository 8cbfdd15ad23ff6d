// Package verifier decides whether a macaroon allows an operation on a request.
//
// [New] makes a [Verifier] from a source of root signatures, such as a
// *rootkey.Keyring, and the name of the service. [Verifier.VerifyText] takes the
// text behind "Bearer" and gives a [*Verified] or an error; package httpauth does
// that around net/http handlers.
//
// # A decision
//
// In this order, and no further than the first failure:
//
//   - Limits: what is too much is refused before it costs anything.
//   - The root signature, from the source.
//   - The chain of every macaroon, compared in constant time. Discharges are
//     verified under the key that their very caveat sealed, and only as bound to
//     this primary macaroon. Work is linear in the bytes presented.
//   - Revocations, if [Options.Revocations] is set.
//   - Expiries, all of them.
//   - What the minter must have written: a time-before, an audience, an allow.
//   - Every condition of every macaroon, by the registry of package caveat.
//
// No checker sees anything of a token that is not authentic.
//
// # The result
//
// A [*Verified], which only this package makes, tells who the token is for and
// which conditions hold. All identity and authority in it come from the minter.
//
// An error is an [*Error] in exactly one of three classes: [ErrUnauthenticated],
// [ErrDenied], [ErrUndecided]. "No" and "don't know" are never mixed: a store that
// is down makes a decision undecided, not denied. The text of an error is the
// same for all of a class, so that it may reach a peer; what really happened stands in
// [Error.Detail], and in the attributes when the error is logged by slog, and goes to
// [Options.Audit]:
//
//	if refusal, ok := errors.AsType[*verifier.Error](err); ok {
//		log.Print(refusal.Detail()) // caveat-failed: macaroon 0: caveat 4: caveat: "http-method GET": …
//	}
//
// # Attributes
//
// A third party can attest who is asking: [Verified.Attribute]. The minter asks for
// that in a caveat (Caveat.Attesting in package caveat/thirdparty), and the identifier
// of the token says which caveat asks for which keys. The value is that of the first
//
//	declared KEY VALUE
//
// in the discharge that met this very caveat, if no time-before of that discharge
// stands before it. An empty value says that there is none. Two values of one such key
// anywhere in a credential deny, and so does a declaration that can't be parsed; keys
// that nobody asked for are ignored. What a nested discharge declares, or that of a
// caveat which a holder appended, attests nothing.
//
// So a holder, who can append to a discharge before he presents it, can only repeat what
// the third party declared or spoil it, as long as that declares every key that it is
// asked for, if only as empty. The caveat demands so (need-declared, as in the
// macaroon bakery); to name a third party is to trust it to comply.
//
// The name is as it stands there. The bakery's namespaces may put a prefix before
// it: not in the one that they all use ("std:", which is the empty prefix), and a
// condition with another prefix is an unknown one, which denies.
//
// # Two steps
//
// Where the operation is known only later, or is asked for again and again as in
// a stream, [Verifier.Authenticate] does the cryptography once and
// [Authentic.Check] decides each time. [Verifier.RevocationsChanged] tells when a
// stream on which nothing happens should be looked at.
//
// # Foreign tokens
//
// [NewForeign] verifies what other systems minted. Being foreign is a property of
// the source: nothing is guessed from a token's bytes. The two constructors
// rather than one keep a source of the wrong sort from compiling. They have no subject and
// no attributes: [Verified.Identifier] is what their minter called them. Two values
// declared for any key deny, as in the bakery: what their minter asked for is not known.
//
// While a service takes both, it has two verifiers. Which of them is to decide on a token,
// [macaroon.KeyID] tells of its identifier: that is a hint from whoever presented it, and
// each verifier refuses what is not its own. Package httpauth has an example.
//
// # The cache
//
// A service sees one client's token again and again, narrowed afresh for each request.
// Whatever begins with the same caveats has the same signature behind them, so a
// [Verifier] keeps, of credentials that were allowed, what cryptography showed: the
// signature behind each caveat, the keys in verification ids, discharges under those
// very keys, and conditions parsed. A credential that was seen before costs one look
// and a comparison of its bytes; one that shares its first caveats costs what comes
// behind them. What is compared is all that is authenticated, so that a location makes
// no difference and anything else does.
//
// No decision is kept. Revocations, expiries, what the minter must have written and
// every condition are looked at for each request, with its own time. The root key, too:
// what was kept holds for as long as the source has the same epoch, which is read before
// anything is looked up; after that the root signature is asked for, and compared. A
// source without an epoch is not cached, unless [Options.CacheFor] says how long its word
// is good.
//
// Only what was allowed is kept, within [Options.CacheBytes]: tokens that are nobody's
// leave no trace, and whoever holds one token can't drive out others with variants of
// it. [Verifier.Stats] tells how it does. The cache holds live keys, in memory, and
// belongs to one verifier: it does not print, and nothing of it is shared or stored.
//
// What a [Revocations] is asked, and what checkers are, is the same with it and without.
// But a condition is parsed once for many decisions: what the codec of a kind makes of
// it is shared by all of them, and must not be changed.
//
// # What a clock can tell
//
// An unknown key walks the chain under a signature that is nobody's, so it costs
// what a wrong signature costs. The time of a remote source still shows, and so
// does whether an identifier is one of ours, which is public. A warm cache shows, too:
// that this token, or one that begins with the same caveats, was allowed here lately.
// Who can tell has the identifier and these caveats already; about signatures, of which
// none is compared in other than constant time, nothing follows.
package verifier
