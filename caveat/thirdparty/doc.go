// Package thirdparty makes caveats that somebody else discharges, and discharges them: "valid only if the identity
// service vouches for a member of acme".
//
// Whoever adds such a caveat needs the third party's public key, and nothing else of it:
//
//	party, found, err := locator.ThirdParty(ctx, "https://id.example")
//	member := thirdparty.NewCaveat(party, "member-of acme")
//	token, err := keys.Mint(ctx, grant, caveat.ExpiresIn(time.Hour), …, member.Attesting("user"))
//	narrow, err := token.Attenuate(member)
//
// The minter may ask the third party to attest attributes, with [Caveat.Attesting]; a verifier then reports them.
// Anybody may append a caveat that attests nothing. The condition and a fresh root key are sealed to the third
// party in the caveat id, so that nobody else reads them.
//
// The third party has a key, and answers whoever asks with a caveat id:
//
//	keys, err := thirdparty.NewKeys(key)
//	discharger, err := thirdparty.NewDischarger(keys, thirdparty.Options{})
//	discharge, err := discharger.Discharge(ctx, thirdparty.Request{CaveatID: id, Caller: user}, thirdparty.Conditions{
//		"member-of": func(ctx context.Context, q thirdparty.Question) (thirdparty.Answer, error) { … },
//	})
//
// The holder puts the discharge into a [macaroon.Wallet], which binds it to the token when it is sent. Package
// dischargehttp does all of this over HTTP, and finds keys there. A [Locator] finds them otherwise;
// [StaticLocator] knows a fixed list.
//
// # What the third party proves
//
// A discharge says that the condition held for whoever asked, for as long as the discharge lasts, and nothing about
// the token: the third party does not see it. So a [Checker] must know who asks, refuse conditions that it does not
// know, and refuse when in doubt. A discharge always expires.
//
// Who is asked to attest declares every asked attribute, the empty one too. A verifier that trusts an attribute
// trusts the third party to do that, as [Discharger] does: what nobody declared, a holder could.
//
// # Caveat ids
//
// They are those of the macaroon bakery, so that its servers and clients, in Go, Python and JavaScript, understand
// them, and the other way round. Versions 2 and 3 are written and read, 1 is read.
//
//	caveat-id  = version prefix first-party nonce box
//	version    = 0x02 / 0x03
//	prefix     = 4OCTET                           ; the third party's public key begins so
//	first-party = 32OCTET                         ; the X25519 public key of who added the caveat
//	nonce      = 24OCTET                          ; random
//	box        = 17*OCTET                         ; NaCl's crypto_box of what follows, to the third party
//
//	plain      = version length root-key [ length namespace ] condition ; a namespace in version 3
//	length     = the base-128 varint of Protocol Buffers, as short as can be
//	namespace  = *( uri ":" prefix SP )           ; "std:" is the one written
//	condition  = [ "need-declared" SP key *( "," key ) SP ] text
//
// Some clients know caveat ids only as text. [Caveat.AsText] writes one in unpadded base64url, which is read here and
// nowhere else.
//
// A third party can't tell from a caveat id who is allowed to use it: it is public, as every holder of the token
// has it.
//
// All types may be used by many goroutines at once.
package thirdparty
