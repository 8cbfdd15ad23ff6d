package httpauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// Options tune an Auth. The zero value is the safe default.
type Options struct {
	// Realm names the protected space in WWW-Authenticate: printable ASCII. Empty
	// means "macaroon".
	Realm string

	// Operation tells [Auth.Handler] which operation a request asks for. It is called
	// only for authentic tokens, and before the mux: r.Pattern and r.PathValue are empty
	// yet, but mux.Handler(r) gives the pattern, as in the example. What is not one
	// operation, such as "" or [verifier.AnyOperation], denies. Nil means that all is
	// denied that is not public.
	Operation func(*http.Request) string

	// Public lists what [Auth.Handler] lets through without a token: "/healthz", or
	// "GET /healthz" for one method only. They are compared whole with the path as
	// it was sent: there are no wildcards, "/static/" is not what is below it,
	// and GET is not HEAD. A path must be in canonical form; see
	// [caveat.CanonicalPath]. They hold for every host. Where something before
	// this has changed the URL, nothing is public.
	Public []string

	// Hosts lists the hosts that are served: lower case, no port, IPv6 addresses
	// without brackets. The host of a request is a fact only if it is one of
	// them to the letter, since a client can send any, and one in upper case is
	// another host to a mux. Nil means that it never is.
	Hosts []string

	// TrustedProxies are the addresses of proxies that append to X-Forwarded-For
	// the address they got a request from. Then the client is the last address,
	// from the right, that is none of theirs; if all are, or one on the way is
	// malformed, there is no client address. Nil means that the peer itself is
	// the client. No other header is looked at. List proxies only: whoever sends
	// from these addresses can claim any other.
	TrustedProxies []netip.Prefix

	// MaxBody is how many bytes of body are buffered, when a caveat asks for their
	// digest. A longer one denies that caveat. Zero means 1 MiB.
	MaxBody int64

	// Facts adds the application's facts to those of this package, or corrects
	// them. It is called only for authentic tokens. Under [Auth.Handler] that is before
	// the mux; see Operation.
	//
	// What a handler found out before it calls [Auth.Check] comes here in the
	// context of the request. A fact that stands in the body can be read here: no
	// more than a bounded part, r.Body must then read the same again from its
	// beginning, and the handler must understand it as this did. See the examples.
	Facts func(r *http.Request, facts caveat.Facts) caveat.Facts

	// Import reads tokens in every form that package legacy does, if it can stand
	// in a header: also in version 1, in hexadecimal, in any base64. The audit
	// record of one that can't be read says what is wrong with its form. By
	// default only this library's own form is read.
	Import bool

	// Bakery serves clients of the macaroon bakery as well. Nil means that they are clients like all others.
	Bakery *Bakery

	// Forward puts the credential into the context of an allowed request, where
	// [macaroon.FromContext] finds it: for services that pass a caller's token on.
	// By default a handler does not see the token but in its header.
	Forward bool

	// Log gets a line for each panic of the application's code in here, for each
	// decision that could not be made, unless [verifier.AuditLog] wrote that to this very
	// logger, and for each error of somebody else that [Auth.WriteError] answers. It never
	// gets a token. Nil means slog.Default.
	Log *slog.Logger
}

const defaultMaxBody = 1 << 20

// Auth protects handlers. It is immutable and safe for concurrent use. The zero
// value refuses every request.
type Auth struct {
	verifier *verifier.Verifier
	options  Options
	realm    string // as a quoted-string
	public   map[route]bool
	bakery   *bakery // nil if not served
	vary     string  // the headers that answers depend on
}

// New makes an Auth that has v decide. All that is wrong with the options is
// reported together.
func New(v *verifier.Verifier, options Options) (*Auth, error) {
	a := &Auth{verifier: v, options: options}
	var problems []error
	if v == nil {
		problems = append(problems, errors.New("no verifier"))
	}
	var err error
	if a.realm, err = quoted(options.Realm); err != nil {
		problems = append(problems, fmt.Errorf("realm: %w", err))
	}
	if a.public, err = routes(options.Public); err != nil {
		problems = append(problems, err)
	}
	for _, host := range options.Hosts {
		if _, err := caveat.Hosts(host).Condition(); err != nil {
			problems = append(problems, fmt.Errorf("host: %w", err))
		}
	}
	for _, prefix := range options.TrustedProxies {
		if err := checkProxies(prefix); err != nil {
			problems = append(problems, err)
		}
	}
	if options.MaxBody < 0 {
		problems = append(problems, errors.New("maximum of body: negative"))
	}
	if a.bakery, err = newBakery(options.Bakery); err != nil {
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("httpauth: %w", err)
	}
	a.vary = a.bakery.vary()
	a.options.MaxBody = cmp.Or(options.MaxBody, defaultMaxBody)
	a.options.Hosts = slices.Clone(options.Hosts)
	a.options.TrustedProxies = slices.Clone(options.TrustedProxies)
	return a, nil
}

// Require gives a handler that has h serve the requests whose token allows
// operation, and refuses all others. [verifier.AnyOperation] asks for every
// operation at once.
//
// Like the registration of a pattern, it panics if operation is none, or h is nil.
func (a *Auth) Require(operation string, h http.Handler) http.Handler {
	if operation != verifier.AnyOperation && !caveat.ValidOperation(operation) {
		panic(fmt.Sprintf("httpauth: require: %q is not an operation", operation[:min(len(operation), 64)]))
	}
	mustHandle(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.serve(w, r, request{Asked: verifier.Asked{Operation: operation}}, h)
	})
}

// RequireFunc is [Auth.Require] for a function.
func (a *Auth) RequireFunc(operation string, h func(http.ResponseWriter, *http.Request)) http.Handler {
	if h == nil {
		panic("httpauth: nil handler")
	}
	return a.Require(operation, http.HandlerFunc(h))
}

// Handler gives a handler that has h, usually a whole mux, serve the requests that
// are [Options.Public], and those whose token allows what [Options.Operation] says
// they ask for. It refuses all others, and those whose path could be read in two
// ways: whoever is authenticated gets 403. It panics if h is nil.
func (a *Auth) Handler(h http.Handler) http.Handler {
	mustHandle(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.isPublic(r) {
			h.ServeHTTP(w, r)
			return
		}
		a.serve(w, r, request{routed: true}, h)
	})
}

func mustHandle(h http.Handler) {
	if h == nil {
		panic("httpauth: nil handler")
	}
}

// Check decides whether the token of r allows operation, and writes no answer; see
// [Auth.WriteError]. The error is a [*verifier.Error], and everything said in package
// verifier holds. What the caller knows of the request beyond what this package sees,
// such as the resource, reaches the decision by [Options.Facts].
//
// If a caveat is about the body, Check reads it and replaces r.Body with one that
// reads the same.
func (a *Auth) Check(r *http.Request, operation string) (*verifier.Verified, error) {
	verified, _, refusal := a.decide(r, request{Asked: verifier.Asked{Operation: operation}})
	if refusal != nil {
		return nil, refusal
	}
	return verified, nil
}

func (a *Auth) serve(w http.ResponseWriter, r *http.Request, asked request, h http.Handler) {
	verified, credential, refusal := a.decide(r, asked)
	if refusal != nil {
		a.WriteError(w, r, refusal)
		return
	}
	ctx := NewContext(r.Context(), verified)
	if a.options.Forward {
		ctx = macaroon.NewContext(ctx, credential)
	}
	a.keepPrivate(w.Header())
	h.ServeHTTP(w, r.WithContext(ctx))
}

type contextKey struct{}

// NewContext returns a context that carries a decision. Require and Handler give it
// to their handlers; it is for those who build their own of [Auth.Check].
func NewContext(ctx context.Context, v *verifier.Verified) context.Context {
	return context.WithValue(ctx, contextKey{}, v)
}

// FromContext gives the decision by which a request was allowed: who is asking, and
// until when. There is none in requests that were let through as public, or that
// nothing here protects: v is nil then, and its methods panic.
func FromContext(ctx context.Context) (v *verifier.Verified, found bool) {
	v, _ = ctx.Value(contextKey{}).(*verifier.Verified)
	return v, v != nil
}
