// Package httpauth protects net/http handlers with macaroons: it reads the token of
// a request, has a verifier decide, and answers 401, 403 or 503 by itself.
//
//	v, err := verifier.New(keys, "orders", verifier.Options{})
//	auth, err := httpauth.New(v, httpauth.Options{})
//	mux.Handle("GET /orders/{id}", auth.Require("orders.read", orders))
//
// Where to look:
//
//   - [Auth.Require] and [Auth.RequireFunc] protect one handler. Inside it,
//     [FromContext] tells who is asking.
//   - [Auth.Handler] protects a whole mux, so that no handler is forgotten: what
//     is neither public nor has an operation is denied.
//   - [Auth.Check] only decides, and [Auth.WriteError] only answers: for other
//     frameworks, and where a resource is known only inside the handler, which hands
//     it to [Options.Facts] in the context of the request.
//   - The example called migration accepts another system's tokens beside this library's.
//   - Package verifiertest makes a verifier and tokens for your tests.
//
// # The token
//
// It comes in exactly one Authorization header, after the scheme Bearer or Macaroon
// in any case (RFC 6750 section 2.1, RFC 9110 section 11), and from nowhere else: a
// token in a query or cookie is not looked at. Another scheme counts as no token.
// [Options.Bakery] alone opens other ways, of which a request may use but one.
//
// # The answers
//
//	situation                                 status  WWW-Authenticate: Bearer realm="…"
//	nothing presented                         401
//	several credentials, or broken syntax     400     error="invalid_request"
//	unauthenticated                           401     error="invalid_token"
//	authentic, but a discharge is missing     401     error="insufficient_user_authentication"
//	denied                                    403     error="insufficient_scope"
//	undecided                                 503     no such header; Retry-After
//
// Each has a body of application/problem+json (RFC 9457). Within a row it is the
// same to the byte, so that nobody learns from it why, but for two members:
// "instance" names this one refusal, and stands in its audit record also; and where a
// discharge is missing, "discharges" lists objects with the location of the third
// party and the caveat id, in unpadded base64url, that it is to discharge. The
// answers are not to be stored (Cache-Control: no-store).
//
// What a handler answers is marked "Cache-Control: private" and "Vary:
// Authorization". Both are set before the handler runs, so that it can set its own.
//
// # The facts
//
// Caveats are checked against what is known of the request:
//
//   - The method, to the letter: HEAD is not GET, though a mux may think so.
//   - The path as it was sent, before a mux, [http.StripPrefix] or anything else
//     changed the URL. One that could be read in two ways (with an encoded dot or slash,
//     an empty segment, a dot segment) is no fact, so that caveats about the path
//     deny, and [Auth.Handler] denies it altogether. Middleware that replaces a path by
//     what a header of the client says makes caveats about paths worthless.
//   - The host, if it is one of [Options.Hosts], in lower case as it stands there.
//   - The address of the client: RemoteAddr, or what [Options.TrustedProxies] say.
//   - The client's certificate, if it was verified in the TLS handshake.
//   - The Origin header, if there is exactly one.
//   - The SHA-256 of the body, if a caveat asks for it: after the token proved
//     authentic, and before the handler reads the same bytes. It is that of what was
//     sent: nothing in front may read the body or replace it. With a
//     Content-Length, a part that is gone is missed, and the caveat denies; of a
//     chunked body that can't be told, and the digest would be that of the rest. An
//     absent body is an empty one.
//   - Whatever [Options.Facts] adds.
//
// # What it does not do
//
// A CORS preflight carries no token, so the middleware that answers it belongs
// around this one. Nothing ends a stream or WebSocket when its token expires, or is
// revoked: see [verifier.Verified.Deadline] and [verifier.Verifier.RevocationsChanged]. A
// server should set http.Server.ReadHeaderTimeout.
package httpauth
