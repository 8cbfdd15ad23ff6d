package caveat

import (
	"context"
	"crypto/x509"
	"net/netip"
	"slices"
	"time"
)

// Facts is what an application states about a request. It is never taken from a token. A field's zero value is
// absent, and a caveat that needs an absent fact denies. A fact that is not in the form given here cannot be
// compared and counts as absent, and so does a path, a resource or a method of gRPC of more than 8 KiB.
//
// Application-specific facts are added with [Facts.With].
type Facts struct {
	// Method is the HTTP method to the letter. HEAD is not GET.
	Method string
	// Host is the host that was addressed, in lower case and without a port; an IPv6 address stands without
	// brackets. A Host header is a claim of the client: state it only if it is one that you serve.
	Host string
	// Path is the path as it was sent, that is still percent-encoded: (*url.URL).EscapedPath, without a query.
	// What [CanonicalPath] refuses counts as absent.
	Path string
	// GRPCMethod is the full method, "/package.Service/Method".
	GRPCMethod string
	// Resource names what the request is about, as segments parted by slashes, each of them written by
	// [EscapeSegment].
	Resource string
	// Origin is the Origin header; "null" stands for no origin in particular, and counts as absent.
	Origin string
	// ClientIP is the address of the client itself, not of a proxy. One with a zone counts as absent.
	ClientIP netip.Addr
	// PeerCertificate is the leaf certificate that the peer has proved to hold in the handshake.
	PeerCertificate *x509.Certificate
	// ContentDigest computes the SHA-256 of the body. It is called only if a caveat asks for it, and only for
	// an authentic token; it may be called several times. Its error denies, unless it is undecided.
	ContentDigest func(context.Context) ([32]byte, error)

	stated []FactValue
}

// With is the facts with more of the application's own. Every fact can be stated once: one that is stated twice
// contradicts itself, and is absent from then on. f stays as it is: what is returned has to be used.
func (f Facts) With(values ...FactValue) Facts {
	f.stated = append(slices.Clip(f.stated), values...)
	return f
}

// Fact is a fact of the application's own, of type T: declare it once, in a package-level variable, state it with
// Is, and read it in a checker with Get. Its identity is the value that [NewFact] made; two facts of one name
// are two facts. The zero Fact is always absent.
type Fact[T any] struct{ key *factKey }

type factKey struct{ name string }

// NewFact makes a new fact. The name is for people.
func NewFact[T any](name string) Fact[T] { return Fact[T]{&factKey{name}} }

// FactValue is a fact together with what it is; see [Fact.Is] and [Facts.With].
type FactValue struct {
	key   *factKey
	value any
}

// Name is the name that was given to [NewFact].
func (f Fact[T]) Name() string {
	if f.key == nil {
		return ""
	}
	return f.key.name
}

// Is states the fact. A zero v is a value like any other, not absence. A v that refers to memory must not change
// while the facts are in use.
func (f Fact[T]) Is(v T) FactValue { return FactValue{f.key, v} }

// Get reads the fact from a request. It reports false if it was not stated, or stated more than once.
func (f Fact[T]) Get(req *Request) (T, bool) {
	var found, none T
	if f.key == nil || req == nil {
		return none, false
	}
	times := 0
	for _, s := range req.stated {
		if s.key == f.key {
			found, _ = s.value.(T) // only f.Is can have made it; a nil of an interface type is the zero T
			times++
		}
	}
	if times != 1 {
		return none, false
	}
	return found, true
}

// Request is what a checker sees. Only the Facts are the application's; the rest is set by the verifier, once for
// a whole decision. A checker must not change it, nor keep it after it has returned.
type Request struct {
	Facts
	// Now is the time of the decision. Zero is absent.
	Now time.Time
	// Leeway is how far the clock of whoever wrote a time may be off. Zero, which is the default, is best.
	Leeway time.Duration
	// Operation is what is about to be done, for example "orders.read"; or [AnyOperation].
	Operation string
	// Audience is the name of the service that decides.
	Audience string
}
