// Package grpcauth protects gRPC servers with macaroons, and puts tokens on outgoing
// calls.
//
//	v, err := verifier.New(keys, "orders", verifier.Options{})
//	auth, err := grpcauth.New(v, grpcauth.Options{
//		Operations: map[string]string{"/shop.Orders/Get": "orders.read", "/shop.Orders/Watch": "orders.watch"},
//		Public:     []string{healthpb.Health_Check_FullMethodName},
//	})
//	server := grpc.NewServer(append(auth.ServerOptions(), grpc.Creds(tls))...)
//
// Where to look:
//
//   - [Auth.ServerOptions] protects a whole server, so that no method is forgotten:
//     what is neither public nor has an operation is denied. [Auth.Unary] and
//     [Auth.Stream] are the interceptors alone, for chains of one's own. Inside a
//     handler, [FromContext] tells who is asking.
//   - [Auth.Covers] tells, in a test or at the start, which methods were forgotten.
//   - [Options.Messages] has the messages themselves decided on, those of streams each.
//   - [Auth.Check] only decides, inside a handler.
//   - [NewCredentials] makes the credentials of a client, and [Credentials.DialOptions] has
//     its calls authorised by them.
//   - Package verifiertest makes a verifier and tokens for your tests.
//
// # The token
//
// It comes in exactly one value of the metadata key authorization, after the scheme Bearer
// or Macaroon in any case. Two values are refused even if they are equal: gRPC sends the
// credentials of the connection and those of the call both, and what other middleware
// looked at is not known. [Options.LND] reads another key instead.
//
// # The answers
//
//	situation                              code               reason
//	nothing presented                      UNAUTHENTICATED    TOKEN_REQUIRED
//	several credentials, or broken syntax  UNAUTHENTICATED    INVALID_REQUEST
//	unauthenticated                        UNAUTHENTICATED    INVALID_TOKEN
//	authentic, but a discharge is missing  UNAUTHENTICATED    DISCHARGE_REQUIRED
//	denied                                 PERMISSION_DENIED  INSUFFICIENT_SCOPE
//	undecided                              UNAVAILABLE        UNDECIDED
//
// The reason stands in a google.rpc.ErrorInfo among the details, with the domain [Domain]
// and one metadatum: "instance" names this one refusal, and stands in its audit record
// also. Within a row, nothing else differs. Where a discharge is missing, a
// google.rpc.PreconditionFailure has for each a violation of type MISSING_DISCHARGE, whose
// subject is the location of the third party and whose description is the caveat id in
// unpadded base64url; [MissingDischarges] reads them. An undecided call has a
// google.rpc.RetryInfo.
//
// If an interceptor has refused the token in the one value of authorization that a call came
// with, the trailer says so: amaretti-unserved is the first 16 bytes, in unpadded base64url, of
// the SHA-256 of the instance, a space and that value, and amaretti-time the time of the
// decision, by the verifier's clock, in RFC 3339. So a client knows that the refusal which it
// reads was of its own token, and that no handler had been called; it may call again. That the
// trailer is not there tells nothing.
//
// # The facts
//
// Caveats are checked against what is known of the call: the full method, as the server
// knows it; the address of the peer; its certificate, if the TLS handshake verified it; the
// authority, if it is one of [Options.Hosts]; and whatever [Options.Facts] and
// [Options.Messages] add. There is no HTTP method and no path, so that caveats about them
// deny. Behind a proxy the peer is the proxy, and no header that says otherwise is looked
// at.
//
// # Streams
//
// A stream is authenticated and decided on before anything of it is read. It ends, with
// UNAUTHENTICATED, when its token expires, and as soon as the verifier's revocations, if
// they tell of changes, have it revoked; and at the next look if its key is not good any
// more (see [Options.RecheckEvery]). A client must have a token that lives as long as its
// streams are to.
//
// # What it does not do
//
// gRPC decodes the message of a unary call before any interceptor is asked: what an
// unauthenticated client can make a server decode is bounded by [grpc.MaxRecvMsgSize], 4
// MiB by default. A gateway that turns HTTP headers into metadata must strip those that
// its clients may not set. Incoming metadata must not be copied to outgoing calls: that
// would hand on the token whole.
package grpcauth
