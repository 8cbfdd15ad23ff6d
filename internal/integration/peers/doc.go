// Package peers holds tests against the macaroon libraries of others. It has no code of its own.
//
// The bakery in Go is called in this process. Those in other languages are installed by .ci/peers: Debian's
// pymacaroons and macaroonbakery for Python, npm's macaroon and @canonical/macaroon-bakery for JavaScript. Each
// language has one helper program under testdata, which does with its libraries what a test asks for.
//
// The tests of tokens go through minting, narrowing, binding and verifying, each done by each library, and must give
// the same whoever did what. Those of the bakery exchange caveat ids and discharges, and have its clients and servers
// talk with ours over HTTP, on loopback.
//
// A test is skipped, and says why, if its peer is not installed. With AMARETTI_TEST_REQUIRE_SERVERS=1 in the
// environment, as in continuous integration, it fails instead.
package peers
