// Package caveat writes, reads and checks the conditions that restrict a macaroon.
//
// To narrow a token, make caveats and hand them to Mint or Attenuate:
//
//	ExpiresIn ExpiresAt NotBefore           time
//	Operations Deny                         what may be done
//	Audience                                which service may accept it
//	Methods Hosts Path ExactPath            HTTP requests
//	GRPCMethods Resources                   remote procedures, things
//	ClientIPs PeerCertificate PeerKey       who is calling, and from where
//	ContentDigest                           the body
//	Branch                                  a name for a branch of delegation
//
// For a restriction of your own, [Define] a [Kind] and add it to a [Registry]:
//
//	registry, err := caveat.Standard().With(Region)
//
// To decide without a verifier, call [Registry.Check] with a [Request]; a condition that is decided again
// and again can be parsed once with [Registry.Compile]. A verifier fills in the time, the operation and the
// audience of a Request by itself, so an application only states its [Facts].
//
// # Conditions
//
// A condition is a line of text, the part of a first-party caveat that is signed:
//
//	condition = name [ SP argument ]
//	name      = [ part ":" ] part
//	part      = ( a-z / 0-9 ) *( a-z / 0-9 / "." / "_" / "-" )
//	argument  = UTF-8 without control characters
//
// This is the grammar of the macaroon bakery, so that a time-before which Go, Python or JavaScript wrote
// means the same here. Names are looked up whole and as written: "allow" is neither "Allow" nor "allowed".
//
//	time-before T, time-after T     now is strictly before T, is not before T (RFC 3339, with a zone)
//	allow OP…, deny OP…             the operation is, is not covered: orders.read, orders.* or *
//	audience NAME…                  the service that checks is one of these
//	http-method M…                  the method, to the letter: HEAD is not GET
//	http-host HOST…                 the host in lower case, without a port
//	http-path PATTERN…              the path, see Pattern
//	grpc-method /PKG.SVC/M…         the full method; /PKG.SVC/* is every method of a service
//	resource PATTERN…               the resource, see Pattern; the leading slash is the application's choice
//	client-ip PREFIX…               the address of the client lies in a prefix
//	http:client-ip-addr IP          the address of the client (the bakery's)
//	http:origin ORIGIN              the Origin of the request (the bakery's)
//	cert-sha256 HASH                SHA-256 of the peer's certificate, unpadded base64url
//	spki-sha256 HASH                SHA-256 of the peer's public key, unpadded base64url
//	content-digest sha-256=:HASH:   SHA-256 of the body, as RFC 9530 writes it
//	branch ID                       holds always; 16 bytes, unpadded base64url
//	declared KEY VALUE              a third party's statement: for the verifier alone, unknown to a Registry
//	error TEXT                      never holds
//
// Lists are words parted by exactly one space; one word that holds is enough. A list with any malformed word
// holds for nothing. A condition that occurs twice is checked twice: caveats intersect.
//
// # What denies
//
// Everything but a clear yes: an unknown name ([ErrUnknown]), text that does not parse ([ErrMalformed]), a fact
// that the application did not state ([ErrAbsent]), a fact that does not satisfy ([ErrNotMet]), any other
// error of a checker, a panic ([ErrPanicked]). "I could not find out" is a different answer from "no":
// [IsUndecided] tells them apart, and neither allows.
//
// All values in this package are immutable and may be used by many goroutines at once.
package caveat
