package grpcauth_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/grpcauth"
)

// digest is what a service says of a refusal and the token that it refused.
func digest(instance, authorization string) string {
	sum := sha256.Sum256([]byte(instance + " " + authorization))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// outside is what stands in front of auth, both for calls and for streams.
func outside(wrap func(ctx context.Context, serve func() error) error) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, m any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (answer any, err error) {
			err = wrap(ctx, func() error {
				answer, err = h(ctx, m)
				return err
			})
			return answer, err
		}),
		grpc.ChainStreamInterceptor(func(server any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			return wrap(ss.Context(), func() error { return h(server, ss) })
		}),
	}
}

// newSkewed is a service whose clock is off.
func newSkewed(t testing.TB) (s *secure, skew *atomic.Int64) {
	skew = new(atomic.Int64)
	now := func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
	return newSecure(t, setup{verifier: verifier.Options{Now: now}}), skew
}

// twice gives a client of the service that makes a second attempt.
func (s *secure) twice(source client.Source, options grpcauth.ClientOptions) pb.TestServiceClient {
	s.t.Helper()
	creds, err := grpcauth.NewCredentials([]string{origin}, source, options)
	require.NoError(s.t, err)
	return pb.NewTestServiceClient(s.dial(creds.DialOptions()...))
}

// watch reads all of a stream that has one request, and gives how many messages that were.
func (s *secure) watch(c pb.TestServiceClient) (n int, err error) {
	stream, err := c.StreamingOutputCall(s.with(), &pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: []byte("eggs")}})
	if err != nil {
		return 0, err
	}
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		require.Equal(s.t, "eggs", string(m.Payload.Body))
		n++
	}
}

// echoOnce answers the one request three times.
func echoOnce(r *pb.StreamingOutputCallRequest, stream pb.TestService_StreamingOutputCallServer) error {
	if err := stream.RecvMsg(&pb.Empty{}); err != io.EOF {
		return status.Errorf(codes.InvalidArgument, "after the request: %v", err)
	}
	for range 3 {
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: r.Payload}); err != nil {
			return err
		}
	}
	return nil
}

// party is a third party that keeps what it gave, and knows what was not taken.
type party struct {
	t     testing.TB
	life  time.Duration
	mu    sync.Mutex
	asked int
	kept  map[string]macaroon.Macaroon
}

var partyKey = bytes.Repeat([]byte{7}, 32)

func newParty(t testing.TB) *party {
	return &party{t: t, life: time.Hour, kept: map[string]macaroon.Macaroon{}}
}

func (p *party) caveat() macaroon.Caveat {
	return macaroon.ThirdParty(partyKey, "who", "https://idp.internal")
}

func (p *party) Discharge(_ context.Context, w macaroon.Wallet) (macaroon.Wallet, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, missing := range w.Missing() {
		d, kept := p.kept[missing.CaveatID]
		if !kept {
			p.asked++
			var err error
			d, err = macaroon.New(partyKey, missing.CaveatID, "")
			require.NoError(p.t, err)
			// Nanoseconds tell one from another.
			d, err = d.Attenuate(caveat.ExpiresAt(time.Now().Add(p.life + time.Duration(p.asked))))
			require.NoError(p.t, err)
			p.kept[missing.CaveatID] = d
		}
		var err error
		if w, err = w.With(d); err != nil {
			return macaroon.Wallet{}, err
		}
	}
	return w, nil
}

func (p *party) Renew(ctx context.Context, w macaroon.Wallet) (macaroon.Wallet, error) {
	p.mu.Lock()
	for _, missing := range w.Missing() {
		delete(p.kept, missing.CaveatID)
	}
	p.mu.Unlock()
	return p.Discharge(ctx, w)
}

// plain is a party that can't renew what it gave, and so is asked as it was before.
type plain struct{ *party }

func (plain) Renew() {}

// TestServicesClock: a refusal tells the service's clock, and a token that was expired by
// it is replaced at once.
func TestServicesClock(t *testing.T) {
	for _, skew := range []time.Duration{-90 * time.Second, -20 * time.Second, 0, 20 * time.Second, 90 * time.Second} {
		t.Run(skew.String(), func(t *testing.T) {
			s, off := newSkewed(t)
			s.handler.output = echoOnce
			off.Store(int64(skew))
			late := skew > 30*time.Second
			attempts := map[bool]int{false: 1, true: 2}

			c := s.twice(client.Static(s.wallet()), grpcauth.ClientOptions{})
			for n := range 3 {
				answer, err := c.UnaryCall(s.with(), &pb.SimpleRequest{})
				require.NoError(t, err)
				require.Equal(t, "billing", answer.Username)
				require.Len(t, s.sent(), attempts[late && n == 0])
			}
			n, err := s.watch(c)
			require.NoError(t, err)
			require.Equal(t, 3, n)
			require.Len(t, s.sent(), 1, "the clock is known")

			c = s.twice(client.Static(s.wallet()), grpcauth.ClientOptions{})
			for again := range 3 {
				n, err := s.watch(c)
				require.NoError(t, err)
				require.Equal(t, 3, n)
				require.Len(t, s.sent(), attempts[late && again == 0])
			}

			// A stream of many requests is not sent again, but what was learnt from it serves.
			c = s.twice(client.Static(s.wallet()), grpcauth.ClientOptions{})
			for again := range 2 {
				stream, err := c.FullDuplexCall(s.with())
				require.NoError(t, err)
				err = exchange(stream, "a")
				if late && again == 0 {
					require.Equal(t, codes.Unauthenticated, status.Code(err))
				} else {
					require.NoError(t, err)
				}
				require.Len(t, s.sent(), 1)
			}

			// Nor is anything by the credentials alone.
			_, err = s.client(client.Static(s.wallet()), grpcauth.ClientOptions{}).UnaryCall(s.with(), &pb.SimpleRequest{})
			require.Equal(t, late, err != nil)
			require.Len(t, s.sent(), 1)
		})
	}
}

// TestTimeIsBelievedWithinBounds: whatever a service says of its clock, by the client's
// own no token is good for longer than Lifetime and MaxSkew.
func TestTimeIsBelievedWithinBounds(t *testing.T) {
	for name, row := range map[string]struct {
		skew    time.Duration
		options grpcauth.ClientOptions
		sent    int
	}{
		"within":      {110 * time.Second, grpcauth.ClientOptions{}, 2},
		"beyond":      {130 * time.Second, grpcauth.ClientOptions{}, 1},
		"allowed":     {10 * time.Minute, grpcauth.ClientOptions{MaxSkew: time.Hour}, 2},
		"not allowed": {40 * time.Second, grpcauth.ClientOptions{MaxSkew: time.Second}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, skew := newSkewed(t)
			skew.Store(int64(row.skew))
			c := s.twice(client.Static(s.wallet()), row.options)
			_, err := c.UnaryCall(s.with(), &pb.SimpleRequest{})
			if row.sent == 1 {
				require.Equal(t, invalid, answerOf(t, err))
			} else {
				require.NoError(t, err)
			}
			require.Len(t, s.sent(), row.sent)
		})
	}
}

// TestDischargesExpireByTheServicesClock: one that was kept is forgotten, and another
// asked for.
func TestDischargesExpireByTheServicesClock(t *testing.T) {
	s, skew := newSkewed(t)
	s.handler.output = echoOnce
	p := newParty(t)
	p.life = time.Minute
	c := s.twice(client.Static(s.wallet(p.caveat())), grpcauth.ClientOptions{Discharger: p})
	get := func() error {
		_, err := c.UnaryCall(s.with(), &pb.SimpleRequest{})
		return err
	}
	for range 3 {
		require.NoError(t, get())
	}
	require.Equal(t, 1, p.asked, "it keeps what it gave")
	require.Len(t, s.sent(), 3)

	skew.Store(int64(45 * time.Second)) // the token has expired when it arrives; the discharge has not
	require.NoError(t, get())
	require.Equal(t, 1, p.asked)
	require.Len(t, s.sent(), 2)

	skew.Store(int64(time.Minute)) // for the service a minute passes, and so for the party
	p.life = 2 * time.Minute
	n, err := s.watch(c)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Equal(t, 2, p.asked)
	sent := s.sent()
	require.Len(t, sent, 2)
	require.NotEqual(t, discharge(t, sent[0]), discharge(t, sent[1]))
	require.NoError(t, get())
	require.Len(t, s.sent(), 1)

	// If what is got is no better, the answer is what it is: nothing goes round.
	skew.Store(int64(110 * time.Second))
	p.life = time.Minute
	clear(p.kept)
	require.Equal(t, invalid, answerOf(t, get()))
	require.Len(t, s.sent(), 2)
	_, err = s.watch(c)
	require.Equal(t, invalid, answerOf(t, err))
	require.Len(t, s.sent(), 2)
}

// discharge gives the conditions of the discharge in a value of authorization.
func discharge(t testing.TB, authorization string) (list []string) {
	t.Helper()
	c, err := macaroon.Parse(strings.TrimPrefix(authorization, "Bearer "))
	require.NoError(t, err)
	require.Equal(t, 2, c.Inspect().Len())
	for _, c := range c.Inspect().At(1).Caveats().All() {
		list = append(list, c.ID)
	}
	return list
}

// TestSecondAttempt: a call is sent again only if another token may help, and if the service
// says that this one was refused before anything was served.
func TestSecondAttempt(t *testing.T) {
	party := newParty(t)
	refusal := func(code codes.Code, domain, reason string) error {
		s, err := status.New(code, "no").WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: domain, Metadata: map[string]string{"instance": "I"}})
		require.NoError(t, err)
		return s.Err()
	}
	required := refusal(codes.Unauthenticated, grpcauth.Domain, grpcauth.ReasonDischargeRequired)
	notValid := refusal(codes.Unauthenticated, grpcauth.Domain, grpcauth.ReasonInvalidToken)
	mine := func(authorization string) metadata.MD {
		return metadata.Pairs("amaretti-unserved", digest("I", authorization))
	}
	later := func(authorization string) metadata.MD {
		return metadata.Join(mine(authorization), metadata.Pairs("amaretti-time", time.Now().Add(time.Minute).Format(time.RFC3339)))
	}
	pairs := func(kv ...string) func(string) metadata.MD {
		return func(string) metadata.MD { return metadata.Pairs(kv...) }
	}
	minute := time.Now().Add(time.Minute).Format(time.RFC3339)
	for name, row := range map[string]struct {
		third      bool
		discharger client.Discharger
		refusal    error
		trailer    func(authorization string) metadata.MD
		sent       int
	}{
		"a discharge is asked for":    {true, party, required, mine, 2},
		"and nobody can renew":        {true, plain{party}, required, mine, 2},
		"and there is no third party": {false, party, required, mine, 1},
		"and nobody to ask":           {false, nil, required, mine, 1},
		"of another token":            {true, party, required, pairs("amaretti-unserved", digest("I", "Bearer x")), 1},
		"of another refusal":          {true, party, required, func(a string) metadata.MD { return metadata.Pairs("amaretti-unserved", digest("J", a)) }, 1},
		"of several":                  {true, party, required, func(a string) metadata.MD { return metadata.Join(mine(a), mine(a)) }, 1},
		"something was served":        {true, party, required, pairs("x", "y"), 1},
		"not valid":                   {true, party, notValid, mine, 1},
		"expired":                     {false, nil, notValid, later, 2},
		"expired, and it was served":  {false, nil, notValid, pairs("amaretti-time", minute), 1},
		"expired, but not a time":     {false, nil, notValid, func(a string) metadata.MD { return metadata.Join(mine(a), metadata.Pairs("amaretti-time", "now")) }, 1},
		"several times":               {false, nil, notValid, func(a string) metadata.MD { return metadata.Join(later(a), metadata.Pairs("amaretti-time", minute)) }, 1},
		"denied":                      {true, party, refusal(codes.PermissionDenied, grpcauth.Domain, grpcauth.ReasonInsufficientScope), later, 1},
		"undecided":                   {true, party, refusal(codes.Unavailable, grpcauth.Domain, grpcauth.ReasonUndecided), later, 1},
		"of another domain":           {true, party, refusal(codes.Unauthenticated, "example.com", grpcauth.ReasonDischargeRequired), mine, 1},
		"of no domain":                {true, party, status.Error(codes.Unauthenticated, "no"), later, 1},
		"not a status":                {true, party, io.EOF, later, 1},
		"not what it says it is": {true, party, status.FromProto(&spb.Status{Code: int32(codes.Unauthenticated), Details: []*anypb.Any{
			{TypeUrl: "type.googleapis.com/google.rpc.ErrorInfo", Value: []byte{0xff}}}}).Err(), later, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			s := newSecure(t, setup{outside: outside(func(ctx context.Context, _ func() error) error {
				value := metadata.ValueFromIncomingContext(ctx, "authorization")[0]
				seen = append(seen, value)
				require.NoError(t, grpc.SetTrailer(ctx, row.trailer(value)))
				return row.refusal
			})})
			var caveats []macaroon.Caveat
			if row.third {
				caveats = append(caveats, party.caveat())
			}
			client := func() pb.TestServiceClient {
				return s.twice(client.Static(s.wallet(caveats...)), grpcauth.ClientOptions{Discharger: row.discharger})
			}
			_, err := client().UnaryCall(s.with(), &pb.SimpleRequest{})
			require.Error(t, err)
			require.Len(t, seen, row.sent)
			_, err = s.watch(client())
			require.Error(t, err)
			require.Len(t, seen, 2*row.sent)
			require.Len(t, slices.Compact(slices.Clone(seen)), len(seen), "each time another token")
		})
	}
}

// TestServicesThatLie: what a service says has nothing sent again after something was
// received, or where these credentials sent nothing.
func TestServicesThatLie(t *testing.T) {
	calls := 0
	s := newSecure(t, setup{outside: outside(func(ctx context.Context, serve func() error) error {
		calls++
		sent := append(metadata.ValueFromIncomingContext(ctx, "authorization"), "")[0]
		if err := serve(); sent != "" && err != nil {
			return err
		}
		refusal, err := status.New(codes.Unauthenticated, "no").WithDetails(&errdetails.ErrorInfo{
			Reason: grpcauth.ReasonInvalidToken, Domain: grpcauth.Domain, Metadata: map[string]string{"instance": "I"}})
		require.NoError(t, err)
		require.NoError(t, grpc.SetTrailer(ctx, metadata.Pairs(
			"amaretti-unserved", digest("I", sent), "amaretti-time", time.Now().Add(time.Minute).Format(time.RFC3339))))
		return refusal.Err()
	})})
	s.handler.output = echoOnce
	n, err := s.watch(s.twice(client.Static(s.wallet()), grpcauth.ClientOptions{}))
	require.Equal(t, 3, n)
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	require.Equal(t, 1, calls)

	creds, err := grpcauth.NewCredentials([]string{origin}, client.Static(s.wallet()), grpcauth.ClientOptions{})
	require.NoError(t, err)
	alone := pb.NewTestServiceClient(s.dial(grpc.WithUnaryInterceptor(creds.Unary), grpc.WithStreamInterceptor(creds.Stream)))
	_, err = alone.UnaryCall(s.with(), &pb.SimpleRequest{})
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	_, err = s.watch(alone)
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	require.Equal(t, 3, calls)
}

// TestAnsweredBeforeTheRequest: nor if it answered before it was asked.
func TestAnsweredBeforeTheRequest(t *testing.T) {
	s := newSecure(t, setup{outside: []grpc.ServerOption{
		grpc.ChainStreamInterceptor(func(_ any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, _ grpc.StreamHandler) error {
			require.NoError(t, ss.SendMsg(&pb.StreamingOutputCallResponse{}))
			require.NoError(t, ss.RecvMsg(&pb.StreamingOutputCallRequest{}))
			refusal, err := status.New(codes.Unauthenticated, "no").WithDetails(&errdetails.ErrorInfo{
				Reason: grpcauth.ReasonInvalidToken, Domain: grpcauth.Domain, Metadata: map[string]string{"instance": "I"}})
			require.NoError(t, err)
			value := metadata.ValueFromIncomingContext(ss.Context(), "authorization")[0]
			ss.SetTrailer(metadata.Pairs("amaretti-unserved", digest("I", value), "amaretti-time", time.Now().Add(time.Minute).Format(time.RFC3339)))
			return refusal.Err()
		}),
	}})
	creds, err := grpcauth.NewCredentials([]string{origin}, client.Static(s.wallet()), grpcauth.ClientOptions{})
	require.NoError(t, err)
	opened := 0
	conn := s.dial(append(creds.DialOptions(), second(&opened, func(stream grpc.ClientStream) grpc.ClientStream { return stream }))...)
	stream, err := conn.NewStream(s.with(), &grpc.StreamDesc{ServerStreams: true}, pb.TestService_StreamingOutputCall_FullMethodName)
	require.NoError(t, err)
	require.NoError(t, stream.RecvMsg(&pb.StreamingOutputCallResponse{}))
	require.NoError(t, stream.SendMsg(message("eggs")))
	require.Error(t, stream.RecvMsg(&pb.StreamingOutputCallResponse{}))
	require.Equal(t, 1, opened)
}

// TestTrailerTellsWhatWasNotServed: it does for the one token of a call that was refused
// before its handler was called, and for no other.
func TestTrailerTellsWhatWasNotServed(t *testing.T) {
	now, broken := time.Now().Add(time.Minute), false
	s := newService(t, setup{options: byResource, verifier: verifier.Options{Now: func() time.Time {
		if broken {
			panic("no time")
		}
		return now
	}}})
	s.handler.unary = func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		_, err := s.auth.Check(ctx, "orders.delete")
		return nil, err
	}
	c := pb.NewTestServiceClient(s.conn)
	type refusal struct {
		trailer  metadata.MD
		instance string
	}
	call := func(values ...string) refusal {
		var trailer metadata.MD
		_, err := c.UnaryCall(s.with(values...), &pb.SimpleRequest{}, grpc.Trailer(&trailer))
		return refusal{trailer, instanceOf(t, err)}
	}
	duplex := func(values ...string) refusal {
		stream := s.open(s.with(values...))
		err := exchange(stream, "orders/8")
		return refusal{stream.Trailer(), instanceOf(t, err)}
	}
	good, narrow, strange := s.bearer(), s.bearer(caveat.Operations("orders.write")), strange(t)
	for name, row := range map[string]struct {
		refusal
		want string
	}{
		"denied":               {call(narrow), narrow},
		"unauthenticated":      {call(strange), strange},
		"not a token":          {call("Bearer x"), ""},
		"perhaps one":          {call("Bearer AgADc2VjcmV0"), ""},
		"not a token's":        {call("Bearer x,y"), ""},
		"a password":           {call("Basic eDp5"), ""},
		"nothing":              {call(), ""},
		"two":                  {call(good, good), ""},
		"too long":             {call("Bearer " + strings.Repeat("A", 20<<10)), ""},
		"in the handler":       {call(good), ""},
		"a stream":             {duplex(strange), strange},
		"at the first message": {duplex(s.bearer(caveat.Resources("orders/7"))), ""},
	} {
		if row.want == "" {
			require.Empty(t, row.trailer.Get("amaretti-unserved"), name)
			require.Empty(t, row.trailer.Get("amaretti-time"), name)
			continue
		}
		require.Equal(t, []string{digest(row.instance, row.want)}, row.trailer.Get("amaretti-unserved"), name)
		require.Equal(t, []string{now.UTC().Format(time.RFC3339)}, row.trailer.Get("amaretti-time"), name)
	}
	broken = true
	require.Empty(t, call(strange).trailer.Get("amaretti-unserved"))
}

// instanceOf gives the name of a refusal.
func instanceOf(t testing.TB, err error) string {
	answerOf(t, err)
	return status.Convert(err).Details()[0].(*errdetails.ErrorInfo).Metadata["instance"]
}

// TestRefusalOfTheNextService: a handler that hands on the refusal of another service has
// been at work already, and is not called twice, even if it was about the same token.
func TestRefusalOfTheNextService(t *testing.T) {
	next, skew := newSkewed(t)
	skew.Store(int64(time.Minute))
	for name, authorization := range map[string]func(ctx context.Context) string{
		"another": func(context.Context) string { return strange(t) },
		"the same": func(ctx context.Context) string {
			w, err := client.Forward(ctx)
			require.NoError(t, err)
			text, err := w.Encode()
			require.NoError(t, err)
			return "Bearer " + text
		},
	} {
		first := newSecure(t, setup{options: grpcauth.Options{Forward: true}})
		first.source.Source = next.keys
		served := 0
		first.handler.unary = func(ctx context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			served++
			return pb.NewTestServiceClient(next.conn).UnaryCall(next.with(authorization(ctx)), r)
		}
		c := first.twice(client.Static(next.wallet()), grpcauth.ClientOptions{})
		_, err := c.UnaryCall(first.with(), &pb.SimpleRequest{})
		require.Equal(t, invalid, answerOf(t, err))
		require.Equal(t, 1, served, name)
		require.Len(t, first.sent(), 1, name)
	}
}

// TestRefusedAndServed: what stands in front of the interceptor may have a refused call
// served after all, by a token of its own. If the handler then hands on the refusal of
// another service, it is not called twice.
func TestRefusedAndServed(t *testing.T) {
	next, skew := newSkewed(t)
	skew.Store(int64(time.Minute))
	var first *secure
	first = newSecure(t, setup{verifier: verifier.Options{Now: func() time.Time { return time.Now().Add(time.Minute) }}, outside: []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, m any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			answer, err := h(ctx, m)
			if status.Code(err) == codes.Unauthenticated {
				return h(metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", first.bearer())), m)
			}
			return answer, err
		}),
	}})
	served := 0
	first.handler.unary = func(ctx context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		served++
		return pb.NewTestServiceClient(next.conn).UnaryCall(next.with(strange(t)), r)
	}
	_, err := first.twice(client.Static(first.wallet()), grpcauth.ClientOptions{}).UnaryCall(first.with(), &pb.SimpleRequest{})
	require.Equal(t, invalid, answerOf(t, err))
	require.Equal(t, 1, served)
}

// TestOtherCallsInTheContext: the context of a call is handed to the application's functions
// and, by streams, to others, who may make calls by the same credentials, to another service
// too. Each gets a token of its own.
func TestOtherCallsInTheContext(t *testing.T) {
	const other = "https://other.internal"
	s := newSecure(t, setup{})
	s.handler.output = echoOnce
	var asked []string
	var hook func(ctx context.Context) error
	once := func(ctx context.Context) error {
		if h := hook; h != nil {
			hook = nil
			return h(ctx)
		}
		return nil
	}
	inSource := false
	creds, err := grpcauth.NewCredentials([]string{origin, other}, client.SourceFunc(func(ctx context.Context, target string) (macaroon.Wallet, error) {
		if inSource {
			if err := once(ctx); err != nil {
				return macaroon.Wallet{}, err
			}
		}
		asked = append(asked, target)
		return s.wallet(), nil
	}), grpcauth.ClientOptions{Caveats: func(ctx context.Context, _ string) ([]macaroon.Caveat, error) {
		if inSource {
			return nil, nil
		}
		return nil, once(ctx)
	}})
	require.NoError(t, err)
	c := pb.NewTestServiceClient(s.dial(creds.DialOptions()...))
	elsewhere := grpc.WithAuthority("other.internal")
	for name, conn := range map[string]*grpc.ClientConn{
		"alone": s.dial(grpc.WithPerRPCCredentials(creds), elsewhere), "twice": s.dial(append(creds.DialOptions(), elsewhere)...),
	} {
		call := func(ctx context.Context) error {
			_, err := pb.NewTestServiceClient(conn).UnaryCall(ctx, &pb.SimpleRequest{})
			return err
		}
		for _, inSource = range []bool{false, true} {
			asked, hook = nil, call
			_, err = c.UnaryCall(s.with(), &pb.SimpleRequest{})
			require.NoError(t, err, name)
			require.Equal(t, []string{other + ":443", origin + ":443"}, asked, name)
		}

		asked = nil
		stream, err := c.StreamingOutputCall(s.with(), message("eggs"))
		require.NoError(t, err)
		_, err = stream.Recv()
		require.NoError(t, err)
		require.NoError(t, call(stream.Context()))
		require.Equal(t, []string{origin + ":443", other + ":443"}, asked, name)
	}

	// What is behind the interceptors may try elsewhere.
	s.handler.unary = func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		s.handler.unary = nil
		return nil, status.Error(codes.Unavailable, "down")
	}
	asked = nil
	_, err = pb.NewTestServiceClient(s.dial(append(creds.DialOptions(), grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoker grpc.UnaryInvoker, options ...grpc.CallOption) error {
			err := invoker(ctx, method, request, reply, conn, options...)
			if status.Code(err) == codes.Unavailable {
				err = invoker(ctx, method, request, reply, conn, append(options, grpc.CallAuthority("other.internal"))...)
			}
			return err
		}))...)).UnaryCall(s.with(), &pb.SimpleRequest{})
	require.NoError(t, err)
	require.Equal(t, []string{origin + ":443", other + ":443"}, asked)
}

// TestOtherCredentials: the interceptors of some credentials leave others alone.
func TestOtherCredentials(t *testing.T) {
	s, skew := newSkewed(t)
	skew.Store(int64(time.Minute))
	own, err := grpcauth.NewCredentials([]string{origin}, client.SourceFunc(func(context.Context, string) (macaroon.Wallet, error) {
		t.Error("asked for others")
		return macaroon.Wallet{}, io.EOF
	}), grpcauth.ClientOptions{})
	require.NoError(t, err)
	others, err := grpcauth.NewCredentials([]string{origin}, client.Static(s.wallet()), grpcauth.ClientOptions{})
	require.NoError(t, err)
	c := pb.NewTestServiceClient(s.dial(grpc.WithUnaryInterceptor(own.Unary), grpc.WithPerRPCCredentials(others)))
	_, err = c.UnaryCall(s.with(), &pb.SimpleRequest{})
	require.Equal(t, invalid, answerOf(t, err))
	require.Len(t, s.sent(), 1)
}

// TestOptionsOfACall: the array of the options is the caller's, who may use it for many calls.
func TestOptionsOfACall(t *testing.T) {
	creds, err := grpcauth.NewCredentials([]string{origin}, client.Static(macaroon.Wallet{}), grpcauth.ClientOptions{})
	require.NoError(t, err)
	options := make([]grpc.CallOption, 1, 8)
	require.NoError(t, creds.Unary(t.Context(), "/a.B/C", nil, nil, nil, func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
		return nil
	}, options...))
	require.Nil(t, options[:2][1])
}

// TestTimeIsKept: a refusal that does not tell the time does not have the one that is known
// forgotten.
func TestTimeIsKept(t *testing.T) {
	silent := false
	s := newSecure(t, setup{verifier: verifier.Options{Now: func() time.Time { return time.Now().Add(time.Minute) }},
		outside: outside(func(ctx context.Context, serve func() error) error {
			if !silent {
				return serve()
			}
			refusal, err := status.New(codes.Unauthenticated, "no").WithDetails(&errdetails.ErrorInfo{
				Reason: grpcauth.ReasonInvalidToken, Domain: grpcauth.Domain, Metadata: map[string]string{"instance": "I"}})
			require.NoError(t, err)
			value := metadata.ValueFromIncomingContext(ctx, "authorization")[0]
			require.NoError(t, grpc.SetTrailer(ctx, metadata.Pairs("amaretti-unserved", digest("I", value))))
			return refusal.Err()
		})})
	c := s.twice(client.Static(s.wallet()), grpcauth.ClientOptions{})
	call := func() error {
		_, err := c.UnaryCall(s.with(), &pb.SimpleRequest{})
		return err
	}
	require.NoError(t, call())
	silent = true
	require.Error(t, call())
	silent = false
	s.sent()
	require.NoError(t, call())
	require.Len(t, s.sent(), 1)
}

// TestStreamsRecover: a stream of many requests is not sent again, but when its refusal has
// told the time, the next one comes with discharges that are good by it.
func TestStreamsRecover(t *testing.T) {
	s, skew := newSkewed(t)
	p := newParty(t)
	p.life = time.Minute
	c := s.twice(client.Static(s.wallet(p.caveat())), grpcauth.ClientOptions{Discharger: p})
	open := func() error {
		stream, err := c.FullDuplexCall(s.with())
		require.NoError(t, err)
		return exchange(stream, "a")
	}
	require.NoError(t, open())
	skew.Store(int64(90 * time.Second))
	p.life = 3 * time.Minute
	require.Equal(t, invalid, answerOf(t, open()))
	for range 3 {
		require.NoError(t, open())
	}
	require.Equal(t, 2, p.asked)
}

// second is a client stream whose second attempt is what a test wants.
func second(opened *int, wrap func(grpc.ClientStream) grpc.ClientStream) grpc.DialOption {
	return grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
		stream, err := streamer(ctx, desc, conn, method, options...)
		if *opened++; err == nil && *opened == 2 {
			stream = wrap(stream)
		}
		return stream, err
	})
}

// TestSendingAndReceivingAtOnce: as a stream allows, one goroutine receives while another has
// not yet said that it sent all. It does not get at the second attempt before the request.
func TestSendingAndReceivingAtOnce(t *testing.T) {
	s, skew := newSkewed(t)
	s.handler.output = echoOnce
	skew.Store(int64(time.Minute))
	creds, err := grpcauth.NewCredentials([]string{origin}, client.Static(s.wallet()), grpcauth.ClientOptions{})
	require.NoError(t, err)
	opened, sending, closed := 0, make(chan struct{}), make(chan struct{})
	conn := s.dial(append(creds.DialOptions(), second(&opened, func(stream grpc.ClientStream) grpc.ClientStream {
		return &slow{stream, sending, closed}
	}))...)
	stream, err := conn.NewStream(s.with(), &grpc.StreamDesc{ServerStreams: true}, pb.TestService_StreamingOutputCall_FullMethodName)
	require.NoError(t, err)
	require.NoError(t, stream.SendMsg(message("eggs")))
	go func() {
		<-sending
		stream.CloseSend()
		close(closed)
	}()
	require.NoError(t, stream.RecvMsg(&pb.StreamingOutputCallResponse{}))
	require.Equal(t, 2, opened)
}

// slow is a stream that lets another goroutine close before it sends.
type slow struct {
	grpc.ClientStream
	sending, closed chan struct{}
}

func (s *slow) SendMsg(m any) error {
	close(s.sending)
	<-s.closed
	return s.ClientStream.SendMsg(m)
}

// TestSecondAttemptThatEnds: a second attempt that ends before its request is sent is no
// stream that ended well.
func TestSecondAttemptThatEnds(t *testing.T) {
	s, skew := newSkewed(t)
	s.handler.output = echoOnce
	skew.Store(int64(time.Minute))
	for name, stream := range map[string]*ended{
		"before the request":    {send: io.EOF, receive: status.Error(codes.Aborted, "ended")},
		"after it":              {close: io.EOF, receive: status.Error(codes.Aborted, "ended")},
		"by the request":        {send: status.Error(codes.Aborted, "ended")},
		"by the end of sending": {close: status.Error(codes.Aborted, "ended")},
	} {
		creds, err := grpcauth.NewCredentials([]string{origin}, client.Static(s.wallet()), grpcauth.ClientOptions{})
		require.NoError(t, err)
		opened := 0
		c := pb.NewTestServiceClient(s.dial(append(creds.DialOptions(), second(&opened, func(inner grpc.ClientStream) grpc.ClientStream {
			stream.ClientStream = inner
			return stream
		}))...))
		n, err := s.watch(c)
		require.Zero(t, n, name)
		require.Equal(t, codes.Aborted, status.Code(err), name)
		require.Equal(t, 2, opened, name)
	}
}

// ended is a stream that ends in one of these ways.
type ended struct {
	grpc.ClientStream
	send, close, receive error
}

func (e *ended) SendMsg(any) error { return e.send }
func (e *ended) CloseSend() error  { return e.close }
func (e *ended) RecvMsg(any) error { return e.receive }
