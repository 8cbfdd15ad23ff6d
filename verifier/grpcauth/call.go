package grpcauth

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/amaretti-go/amaretti/macaroon/client"
)

// DialOptions gives what [grpc.NewClient] needs besides transport credentials: these
// credentials, and both interceptors. Other interceptors see a call once if they are in front
// of these, and each attempt if they are behind.
func (c *Credentials) DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithPerRPCCredentials(c),
		grpc.WithChainUnaryInterceptor(c.Unary),
		grpc.WithChainStreamInterceptor(c.Stream),
	}
}

// Unary is a [grpc.UnaryClientInterceptor] that has a call sent a second time, with another
// token, if the service asks for discharges, or if the token or one of its discharges had
// expired by the service's clock. It is only if the service says that this token was refused
// before anything was served. The options take effect in each attempt, so that what
// [grpc.OnFinish] was given is called twice.
func (c *Credentials) Unary(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoker grpc.UnaryInvoker, options ...grpc.CallOption) error {
	call, ctx := c.begin(ctx, method)
	var trailer metadata.MD
	err := invoker(ctx, method, request, reply, conn, append(slices.Clip(options), grpc.Trailer(&trailer))...)
	if err == nil || !call.again(err, trailer) {
		return err
	}
	return invoker(ctx, method, request, reply, conn, options...)
}

// call is a call, and the tokens that it is sent with.
type call struct {
	credentials *Credentials
	method      string

	mu       sync.Mutex       // gRPC asks for a token where it likes
	attempts *client.Attempts // nil as long as it has not
	sent     string           // the authorization that it was given last
	at       time.Time        // when that was
}

// callKey is of the context value that has the call that these credentials are for.
type callKey struct{ of *Credentials }

func (c *Credentials) begin(ctx context.Context, method string) (*call, context.Context) {
	call := &call{credentials: c, method: method}
	return call, context.WithValue(ctx, callKey{c}, call)
}

// callOf gives the call that a token for method is asked for: a new one, which is sent once,
// if it did not come through the interceptors. In the context that goes on to what the
// application has supplied there is none, since calls made there are others.
func (c *Credentials) callOf(ctx context.Context, method string) (*call, context.Context) {
	found, _ := ctx.Value(callKey{c}).(*call)
	ctx = context.WithValue(ctx, callKey{c}, (*call)(nil))
	if found == nil || found.method != method {
		return &call{credentials: c, method: method}, ctx
	}
	return found, ctx
}

// authorization gives the value of authorization for the next attempt.
func (c *call) authorization(ctx context.Context, target string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attempts == nil || c.attempts.Target != target { // an attempt may lead elsewhere
		c.attempts = c.credentials.attempts(c.method, target)
	}
	caveats, err := c.credentials.caveats(ctx, c.method)
	if err != nil {
		return "", err
	}
	w, err := c.attempts.Wallet(ctx, caveats...)
	if err != nil {
		return "", err
	}
	text, err := w.Encode()
	if err != nil {
		return "", err
	}
	c.sent, c.at = "Bearer "+text, time.Now()
	return c.sent, nil
}

// again reports whether the call, so refused, is worth a second attempt. It learns the
// service's clock from the refusal.
func (c *call) again(err error, trailer metadata.MD) bool {
	received := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	refusal := refusalIn(err)
	at, unserved := refusedAt(trailer, refusal.GetMetadata()["instance"], c.sent)
	if c.attempts == nil || !unserved {
		return false
	}
	if !at.IsZero() {
		c.attempts.Clock.Observe(at, c.at, received, c.credentials.options.MaxSkew)
	}
	switch refusal.GetReason() {
	case ReasonDischargeRequired:
		return c.attempts.Again(client.RefusedDischarge) != ""
	case ReasonInvalidToken:
		return c.attempts.Again(client.RefusedToken) != ""
	}
	return false
}
