package grpcauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// Options tune an Auth. The zero value is the safe default: it refuses every method.
type Options struct {
	_ [0]func() // fields are to be named

	// Operations tells which operation a method asks for. The keys are full methods,
	// such as "/shop.Orders/Get", or "/shop.Orders/*" for those of the service that
	// are not listed themselves.
	Operations map[string]string

	// Operation tells it of the methods that are not in Operations. It is called
	// only for authentic tokens, and only for methods of the form "/service/method".
	// What is not one operation, such as "" or [verifier.AnyOperation], denies. Nil
	// means that they are denied.
	Operation func(ctx context.Context, fullMethod string) string

	// Public lists the full methods that are let through without a token, such as
	// "/grpc.health.v1.Health/Check". They are compared whole: there are no wildcards.
	Public []string

	// Messages tells what a message asks for, by full method: see [Extractor]. The
	// methods must have an operation as well.
	Messages map[string]Extractor

	// Hosts lists the hosts that are served: lower case, no port, IPv6 addresses
	// without brackets. The authority of a call is a fact only if it is one of them
	// to the letter, since a client can send any. Nil means that it never is.
	Hosts []string

	// Facts adds the application's facts to those of this package, or corrects them.
	// It is called only for authentic tokens, once for each call; what it gives holds
	// for all messages of a stream.
	Facts func(ctx context.Context, fullMethod string, facts caveat.Facts) caveat.Facts

	// RecheckEvery is how often the token of an open stream is looked at again, if
	// nothing else makes that necessary: whether it was revoked, and whether its key
	// is still good. Zero means ten seconds; negative is an error. Revocations that a
	// *revocation.List learns of are looked at without delay.
	RecheckEvery time.Duration

	// Import reads tokens in every form that package legacy does, if it can stand in
	// metadata: also in version 1, in hexadecimal, in any base64. By default only this
	// library's own form is read.
	Import bool

	// LND reads tokens also as lnd's clients send them: one value of the key
	// "macaroon", the hexadecimal of version 2. The verifier is then one of
	// [verifier.NewForeign]. A call with both this key and authorization is refused.
	// By default the key is not looked at.
	LND bool

	// Forward puts the credential into the context of an allowed call, where
	// [macaroon.FromContext] finds it: for services that pass a caller's token on. A stream
	// whose first message is still to be looked at has it in the Context from then on.
	// By default a handler does not see the token but in the metadata.
	Forward bool

	// Log gets a line for each panic of the application's code in here, also of a
	// stream's handler, and for each decision that could not be made, unless
	// [verifier.AuditLog] wrote that to this very logger. It never gets a token. Nil means
	// slog.Default.
	Log *slog.Logger
}

const defaultRecheck = 10 * time.Second

// Auth protects the methods of a server. It is immutable and safe for concurrent use.
// The zero value refuses every call.
type Auth struct {
	verifier *verifier.Verifier
	options  Options
	public   map[string]bool
}

// New makes an Auth that has v decide. All that is wrong with the options is reported
// together.
func New(v *verifier.Verifier, options Options) (*Auth, error) {
	problems := []error{options.check()}
	if v == nil {
		problems = append(problems, errors.New("no verifier"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("grpcauth: %w", err)
	}
	a := &Auth{verifier: v, options: options, public: make(map[string]bool, len(options.Public))}
	for _, method := range options.Public {
		a.public[method] = true
	}
	a.options.Operations = maps.Clone(options.Operations)
	a.options.Messages = maps.Clone(options.Messages)
	a.options.Hosts = slices.Clone(options.Hosts)
	a.options.RecheckEvery = cmp.Or(options.RecheckEvery, defaultRecheck)
	return a, nil
}

func (o *Options) check() error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for method, operation := range o.Operations {
		if !isPattern(method) {
			problem("operations: %.64q: want a full method, or a service and /*", method)
		}
		if !caveat.ValidOperation(operation) {
			problem("operations: %.64q: %.64q is not an operation", method, operation)
		}
	}
	for _, method := range o.Public {
		if !isMethod(method) {
			problem("public: %.64q: want a full method", method)
		}
		if _, both := o.Operations[method]; both {
			problem("public: %.64q: it has an operation", method)
		}
	}
	for method, extract := range o.Messages {
		switch {
		case !isMethod(method):
			problem("messages: %.64q: want a full method", method)
		case extract == nil:
			problem("messages: %.64q: nil extractor", method)
		case slices.Contains(o.Public, method):
			problem("messages: %.64q: it is public", method)
		}
	}
	for _, host := range o.Hosts {
		if _, err := caveat.Hosts(host).Condition(); err != nil {
			problem("host: %w", err)
		}
	}
	if o.RecheckEvery < 0 {
		problem("negative RecheckEvery")
	}
	return errors.Join(problems...)
}

// ServerOptions gives what [grpc.NewServer] needs: both interceptors, in front of those
// that come behind, and a limit to the size of headers, which is 16 MiB otherwise.
func (a *Auth) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(a.Unary),
		grpc.ChainStreamInterceptor(a.Stream),
		grpc.MaxHeaderListSize(a.headerLimit()),
	}
}

// Covers reports, all together, what the tables lack and what they have in vain: methods
// of a server, as [grpc.Server.GetServiceInfo] lists them, that are neither public nor have
// an operation, so that everybody is denied (unless [Options.Operation] may know them);
// and entries that are about no method of the server, perhaps because of a typing error. It is for
// tests, and for programs to check at their start.
func (a *Auth) Covers(services map[string]grpc.ServiceInfo) error {
	var problems []error
	used := map[string]bool{}
	for service, info := range services {
		for _, m := range info.Methods {
			method, pattern := "/"+service+"/"+m.Name, "/"+service+"/*"
			used[method], used[pattern] = true, true
			if _, listed := a.listed(method); !listed && !a.public[method] && a.options.Operation == nil {
				problems = append(problems, fmt.Errorf("grpcauth: %s: no operation", method))
			}
		}
	}
	for _, table := range []iter.Seq[string]{maps.Keys(a.options.Operations), maps.Keys(a.options.Messages), maps.Keys(a.public)} {
		for method := range table {
			if !used[method] {
				problems = append(problems, fmt.Errorf("grpcauth: %s: the server has no such method", method))
			}
		}
	}
	return errors.Join(problems...)
}

// headerLimit has room for the longest token, in hexadecimal too, and for more.
func (a *Auth) headerLimit() uint32 {
	const least, most = 64 << 10, 16 << 20
	limit := 0
	if a.verifier != nil {
		limit = a.verifier.Limits().Text
	}
	return uint32(max(least, 2*min(limit, most)+16<<10))
}

// Unary is a [grpc.UnaryServerInterceptor]: it has the handler serve calls of public
// methods, and those whose token allows the operation. By the time it is called, gRPC
// has decoded the message.
func (a *Auth) Unary(ctx context.Context, message any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if a.public[info.FullMethod] {
		return handler(ctx, message)
	}
	verified, credential, err := a.decide(ctx, info.FullMethod, message)
	if err != nil {
		_ = grpc.SetTrailer(ctx, a.unserved(ctx, err)) // an error: there is nobody to tell
		return nil, err
	}
	ctx = NewContext(ctx, verified)
	if a.options.Forward {
		ctx = macaroon.NewContext(ctx, credential)
	}
	return handler(ctx, message)
}

type contextKey struct{}

// NewContext returns a context that carries a decision. The interceptors give it to
// handlers; it is for those who build their own of [Auth.Check].
func NewContext(ctx context.Context, v *verifier.Verified) context.Context {
	return context.WithValue(ctx, contextKey{}, v)
}

// FromContext gives the decision by which a call was allowed: who is asking, and until
// when. In a stream it is the latest one. There is none in calls that were let through
// as public, and none yet in a stream whose first message is still to be looked at; see
// [Extractor]. Then v is nil, and its methods panic.
func FromContext(ctx context.Context) (v *verifier.Verified, found bool) {
	switch value := ctx.Value(contextKey{}).(type) {
	case *verifier.Verified:
		v = value
	case *atomic.Pointer[verifier.Verified]:
		v = value.Load()
	}
	return v, v != nil
}
