package grpcauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
)

// ClientOptions are what [NewCredentials] may be told besides where tokens go and where
// they come from. The zero value is the safe default.
type ClientOptions struct {
	_ [0]func() // fields are to be named

	// Discharger obtains missing discharges, such as the client of package
	// dischargehttp. Without one (nil) a wallet that lacks some is an error.
	Discharger client.Discharger

	// Lifetime is how long a token that is sent is good for. Zero means 30 seconds;
	// negative is an error.
	Lifetime time.Duration

	// MaxSkew is how far a service's clock is believed to be off, by what its refusals
	// say: by the client's own clock no token is good for longer than Lifetime and
	// MaxSkew. A time further off is not believed at all. Zero means two minutes; negative
	// is an error.
	MaxSkew time.Duration

	// Lifetimes are those for particular methods, by full method, such as
	// "/shop.Orders/Watch", or "/shop.Orders/*": a stream ends when its token does. They
	// must be positive.
	Lifetimes map[string]time.Duration

	// AnyMethod leaves the token good for other methods. A service can forward what it
	// gets only to calls that the token is good for: let Caveats write those methods then.
	AnyMethod bool

	// Branch, 16 random bytes, marks every token with a branch of delegation, so that
	// what this client sent can be revoked without the rest. All zero means none.
	Branch [16]byte

	// Caveats gives further restrictions for a call. Its error fails the call. Nil means
	// none.
	Caveats func(ctx context.Context, fullMethod string) ([]macaroon.Caveat, error)
}

const (
	defaultLifetime = 30 * time.Second
	defaultMaxSkew  = 2 * time.Minute
)

// Credentials are [credentials.PerRPCCredentials] that authorise each call with a token
// made for it: narrowed to its method and a short time, with the discharges that it needs.
// They are safe for concurrent use.
//
// An error of a call for which there was no token is, by [errors.Is], what the source or
// discharger said, or one of the errors of package client. Its text tells the cause; its
// status, which is what a handler that returns it sends on, does not.
type Credentials struct {
	clocks  map[string]*client.Clock // of the services that tokens are for
	source  client.Source
	options ClientOptions
}

// NewCredentials makes credentials that send tokens from source to these origins, such as
// "https://orders.internal" or "https://localhost:8443", and to no others. A call leads
// to the authority that it has, which the server's certificate is checked against too. All
// problems are joined.
//
//	source, err := client.File("/run/secrets/orders.token")
//	creds, err := grpcauth.NewCredentials([]string{"https://orders.internal"}, source, grpcauth.ClientOptions{})
//	conn, err := grpc.NewClient("orders.internal:443", append(creds.DialOptions(), grpc.WithTransportCredentials(tls))...)
//
// They need TLS, also on loopback: gRPC refuses them over insecure.NewCredentials. A test
// can do without them and put the token into the metadata; see package verifiertest.
//
// To hand on the token of the call that is being served, give [client.Forwarding] as the
// source, and make calls with the handler's context. What package client says of forwarding
// holds here too.
//
// [Credentials.DialOptions] has them make a second attempt as well, where that may help. By
// grpc.WithPerRPCCredentials alone each call is sent once.
func NewCredentials(origins []string, source client.Source, options ClientOptions) (*Credentials, error) {
	c := &Credentials{clocks: make(map[string]*client.Clock, len(origins)), source: source, options: options}
	problems := []error{c.options.complete()}
	for _, text := range origins {
		target, err := client.Target(text)
		if err == nil && !strings.HasPrefix(target, "https:") {
			err = fmt.Errorf("origin %.64q: not https", text)
		}
		if err != nil {
			problems = append(problems, err)
		}
		c.clocks[target] = new(client.Clock)
	}
	if len(origins) == 0 {
		problems = append(problems, errors.New("no origins"))
	}
	if source == nil {
		problems = append(problems, errors.New("no source"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("grpcauth: credentials: %w", err)
	}
	return c, nil
}

func (o *ClientOptions) complete() error {
	var problems []error
	if o.Lifetime < 0 {
		problems = append(problems, errors.New("negative Lifetime"))
	}
	if o.MaxSkew < 0 {
		problems = append(problems, errors.New("negative MaxSkew"))
	}
	for method, lifetime := range o.Lifetimes {
		if !isPattern(method) {
			problems = append(problems, fmt.Errorf("lifetimes: %.64q: want a full method, or a service and /*", method))
		}
		if lifetime <= 0 {
			problems = append(problems, fmt.Errorf("lifetimes: %.64q: not positive", method))
		}
	}
	o.Lifetimes = maps.Clone(o.Lifetimes)
	o.Lifetime = cmp.Or(o.Lifetime, defaultLifetime)
	o.MaxSkew = cmp.Or(o.MaxSkew, defaultMaxSkew)
	return errors.Join(problems...)
}

// RequireTransportSecurity is always true.
func (c *Credentials) RequireTransportSecurity() bool { return true }

// GetRequestMetadata gives the metadata with a token for one call. gRPC calls it.
func (c *Credentials) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	value, err := c.authorization(ctx, uri)
	if err != nil {
		return nil, &unauthorised{err, status.New(codeOf(err), "no token for a call")}
	}
	return map[string]string{authorizationKey: value}, nil
}

var errNoCall = errors.New("grpcauth: credentials: it is not told which call they are for")

func (c *Credentials) authorization(ctx context.Context, uri []string) (string, error) {
	info, ok := credentials.RequestInfoFromContext(ctx)
	// gRPC writes the method behind the authority: without the slash it would be part of that.
	if !ok || len(uri) != 1 || !strings.HasPrefix(info.Method, "/") {
		return "", errNoCall
	}
	// gRPC asks for the security of the connection as well. It may be asked twice.
	if err := credentials.CheckSecurityLevel(info.AuthInfo, credentials.PrivacyAndIntegrity); err != nil {
		return "", fmt.Errorf("grpcauth: credentials: %w", err)
	}
	target, err := c.target(uri[0])
	if err != nil {
		return "", err
	}
	if outgoing, _ := metadata.FromOutgoingContext(ctx); len(outgoing.Get(authorizationKey)) > 0 {
		return "", client.ErrAuthorization
	}
	call, ctx := c.callOf(ctx, info.Method)
	return call.authorization(ctx, target)
}

// target gives the origin that a call leads to, if a token may be sent there. gRPC names
// it "https://authority/service".
func (c *Credentials) target(uri string) (string, error) {
	authority, found := strings.CutPrefix(uri, "https://")
	if !found {
		return "", client.ErrOrigin
	}
	authority, _, _ = strings.Cut(authority, "/")
	target, err := client.Target("https://" + authority)
	if err != nil {
		return "", fmt.Errorf("%w: %w", client.ErrOrigin, err)
	}
	if c.clocks[target] == nil {
		return "", fmt.Errorf("%w: %s", client.ErrOrigin, target)
	}
	return target, nil
}

// caveats narrows a token to one call. What is the same for many calls comes first: a
// service that has seen it need not compute its signature again.
func (c *Credentials) caveats(ctx context.Context, method string) ([]macaroon.Caveat, error) {
	o := &c.options
	list := make([]macaroon.Caveat, 0, 4)
	if o.Branch != [16]byte{} {
		list = append(list, caveat.Branch(o.Branch))
	}
	if !o.AnyMethod {
		list = append(list, caveat.GRPCMethods(method))
	}
	if o.Caveats != nil {
		more, err := o.Caveats(ctx, method)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

func (c *Credentials) attempts(method, target string) *client.Attempts {
	lifetime, found := lookUp(c.options.Lifetimes, method)
	if !found {
		lifetime = c.options.Lifetime
	}
	return &client.Attempts{Source: c.source, Target: target, Discharger: c.options.Discharger, Clock: c.clocks[target], Lifetime: lifetime}
}

// unauthorised is why there is no token for a call. gRPC hands it to the caller as it is.
// A handler that returns it in its turn sends the status and not the cause, which may
// name files and hosts.
type unauthorised struct {
	err    error
	status *status.Status
}

func (u *unauthorised) Error() string              { return u.err.Error() }
func (u *unauthorised) Unwrap() error              { return u.err }
func (u *unauthorised) GRPCStatus() *status.Status { return u.status }

// codeOf tells whether asking again may help.
func codeOf(err error) codes.Code {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	}
	for _, final := range []error{
		errNoCall, client.ErrOrigin, client.ErrAuthorization, client.ErrMissingDischarge, client.ErrNothingToForward,
		macaroon.ErrInvalid, macaroon.ErrSealed, macaroon.ErrLimit, macaroon.ErrMalformed,
	} {
		if errors.Is(err, final) {
			return codes.Unauthenticated
		}
	}
	return codes.Unavailable
}
