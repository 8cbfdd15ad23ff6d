package grpcauth_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/credentials/local"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
	"github.com/amaretti-go/amaretti/verifier/grpcauth"
)

const origin = "https://" + host

// secure is a service over TLS that notes the values of authorization which arrive.
type secure struct {
	*service
	mu   sync.Mutex
	seen []string
}

func newSecure(t testing.TB, set setup) *secure {
	s := &secure{}
	set.tls = true
	set.outside = append(set.outside,
		grpc.ChainUnaryInterceptor(func(ctx context.Context, m any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			s.note(ctx)
			return h(ctx, m)
		}),
		grpc.ChainStreamInterceptor(func(server any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			s.note(ss.Context())
			return h(server, ss)
		}))
	s.service = newService(t, set)
	return s
}

func (s *secure) note(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, metadata.ValueFromIncomingContext(ctx, "authorization")...)
}

// sent takes the values that have arrived.
func (s *secure) sent() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

func (s *secure) wallet(caveats ...macaroon.Caveat) macaroon.Wallet {
	w, err := macaroon.NewWallet(s.mint(caveats...))
	require.NoError(s.t, err)
	return w
}

// client gives a client of the service with credentials for the connection.
func (s *secure) client(source client.Source, options grpcauth.ClientOptions) pb.TestServiceClient {
	s.t.Helper()
	creds, err := grpcauth.NewCredentials([]string{origin}, source, options)
	require.NoError(s.t, err)
	return pb.NewTestServiceClient(s.dial(grpc.WithPerRPCCredentials(creds)))
}

// conditions lists the conditions of the macaroon in a value of authorization.
func conditions(t testing.TB, authorization string) []string {
	t.Helper()
	text, found := strings.CutPrefix(authorization, "Bearer ")
	require.True(t, found)
	c, err := macaroon.Parse(text)
	require.NoError(t, err)
	var list []string
	for _, c := range c.Inspect().At(0).Caveats().All() {
		list = append(list, c.ID)
	}
	return list
}

// TestNarrowing: a token that was seen on the wire is good for that method, for half a
// minute.
func TestNarrowing(t *testing.T) {
	s := newSecure(t, setup{})
	c := s.client(client.Static(s.wallet()), grpcauth.ClientOptions{
		Branch: [16]byte{1},
		Caveats: func(_ context.Context, method string) ([]macaroon.Caveat, error) {
			require.Equal(t, pb.TestService_UnaryCall_FullMethodName, method)
			return []macaroon.Caveat{caveat.Operations(operation)}, nil
		},
	})
	answer, err := c.UnaryCall(s.with(), &pb.SimpleRequest{})
	require.NoError(t, err)
	require.Equal(t, "billing", answer.Username)

	sent := s.sent()
	require.Len(t, sent, 1)
	list := conditions(t, sent[0])
	require.Len(t, list, 7)
	expiry, err := caveat.Time.Parse(strings.TrimPrefix(list[6], "time-before "))
	require.NoError(t, err)
	require.WithinRange(t, expiry, time.Now().Add(20*time.Second), time.Now().Add(30*time.Second))
	require.Equal(t, []string{"branch AQAAAAAAAAAAAAAAAAAAAA", "grpc-method /grpc.testing.TestService/UnaryCall", "allow orders.read"}, list[3:6])

	// The thief.
	_, err = s.unary(s.with(sent[0]))
	require.NoError(t, err)
	_, err = pb.NewTestServiceClient(s.conn).EmptyCall(s.with(sent[0]), &pb.Empty{})
	require.Equal(t, denied, answerOf(t, err))
}

func TestAnyMethod(t *testing.T) {
	s := newSecure(t, setup{})
	lifetimes := map[string]time.Duration{"/grpc.testing.TestService/*": time.Hour}
	c := s.client(client.Static(s.wallet()), grpcauth.ClientOptions{AnyMethod: true, Lifetimes: lifetimes})
	clear(lifetimes) // it has a copy
	_, err := c.EmptyCall(s.with(), &pb.Empty{})
	require.NoError(t, err)
	list := conditions(t, s.sent()[0])
	require.Len(t, list, 4)
	expiry, err := caveat.Time.Parse(strings.TrimPrefix(list[3], "time-before "))
	require.NoError(t, err)
	require.WithinRange(t, expiry, time.Now().Add(59*time.Minute), time.Now().Add(time.Hour))
}

// TestStreamLifetime: a stream lives as long as its token.
func TestStreamLifetime(t *testing.T) {
	s := newSecure(t, setup{})
	c := s.client(client.Static(s.wallet()), grpcauth.ClientOptions{
		Lifetime:  300 * time.Millisecond,
		Lifetimes: map[string]time.Duration{pb.TestService_FullDuplexCall_FullMethodName: time.Minute},
	})
	long, err := c.FullDuplexCall(s.with())
	require.NoError(t, err)
	require.NoError(t, exchange(long, "a"))
	s.handler.input = func(stream pb.TestService_StreamingInputCallServer) error {
		_, err := stream.Recv()
		return err
	}
	short, err := c.StreamingInputCall(s.with())
	require.NoError(t, err)
	require.Equal(t, invalid, answerOf(t, short.RecvMsg(&pb.StreamingInputCallResponse{})))
	require.NoError(t, exchange(long, "b"))
}

// TestOtherAuthority: a token goes to the authority that it is for, even if the
// certificate is good for another.
func TestOtherAuthority(t *testing.T) {
	s := newSecure(t, setup{})
	asked := 0
	source := client.SourceFunc(func(_ context.Context, target string) (macaroon.Wallet, error) {
		asked++
		require.Equal(t, "https://orders.internal:443", target)
		return s.wallet(), nil
	})
	c := s.client(source, grpcauth.ClientOptions{})
	_, err := c.UnaryCall(s.with(), &pb.SimpleRequest{}, grpc.CallAuthority("other.internal"))
	require.ErrorIs(t, err, client.ErrOrigin)
	require.ErrorContains(t, err, "https://other.internal:443")
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	require.Zero(t, asked)
	_, err = c.UnaryCall(s.with(), &pb.SimpleRequest{})
	require.NoError(t, err)
	require.Equal(t, 1, asked)
	require.Len(t, s.sent(), 1)

	creds, err := grpcauth.NewCredentials([]string{"https://orders.internal:8443"}, source, grpcauth.ClientOptions{})
	require.NoError(t, err)
	_, err = pb.NewTestServiceClient(s.dial(grpc.WithPerRPCCredentials(creds))).UnaryCall(s.with(), &pb.SimpleRequest{})
	require.ErrorIs(t, err, client.ErrOrigin)
	_, err = pb.NewTestServiceClient(s.conn).UnaryCall(s.with(), &pb.SimpleRequest{}, grpc.PerRPCCredentials(creds))
	require.ErrorIs(t, err, client.ErrOrigin)
	require.Equal(t, 1, asked)
	require.Empty(t, s.sent())
}

// TestMethodIsNoAuthority: gRPC writes the method behind the authority, so that one without a
// leading slash could name another authority.
func TestMethodIsNoAuthority(t *testing.T) {
	s := newSecure(t, setup{})
	creds, err := grpcauth.NewCredentials([]string{"https://other.internal.example"}, client.SourceFunc(func(context.Context, string) (macaroon.Wallet, error) {
		t.Error("a token was asked for")
		return macaroon.Wallet{}, io.EOF
	}), grpcauth.ClientOptions{})
	require.NoError(t, err)
	conn := s.dial(append(creds.DialOptions(), grpc.WithAuthority("other.internal"))...)
	for _, method := range []string{".example/UnaryCall", ".example/a/b", ".example", ".example:443/UnaryCall"} {
		err = conn.Invoke(s.with(), method, &pb.SimpleRequest{}, &pb.SimpleResponse{})
		require.Equal(t, codes.Unauthenticated, status.Code(err), method)
	}
}

// TestTransportSecurity: gRPC refuses to send the token where others could read it.
func TestTransportSecurity(t *testing.T) {
	s := newService(t, setup{})
	never := client.SourceFunc(func(context.Context, string) (macaroon.Wallet, error) {
		t.Error("a token was asked for")
		return macaroon.Wallet{}, io.EOF
	})
	creds, err := grpcauth.NewCredentials([]string{origin, "https://localhost"}, never, grpcauth.ClientOptions{})
	require.NoError(t, err)

	_, err = grpc.NewClient("passthrough:///"+host, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(creds))
	require.Error(t, err)
	_, err = pb.NewTestServiceClient(s.conn).UnaryCall(s.with(), &pb.SimpleRequest{}, grpc.PerRPCCredentials(creds))
	require.Equal(t, codes.Unauthenticated, status.Code(err))

	serve := func(network, address string) net.Listener {
		listener, err := net.Listen(network, address)
		require.NoError(t, err)
		server := grpc.NewServer(append(s.auth.ServerOptions(), grpc.Creds(local.NewCredentials()))...)
		pb.RegisterTestServiceServer(server, s.handler)
		go server.Serve(listener)
		t.Cleanup(server.Stop)
		return listener
	}
	call := func(target string, source client.Source) error {
		creds, err := grpcauth.NewCredentials([]string{"https://localhost", "https://" + target}, source, grpcauth.ClientOptions{})
		if err != nil { // a path is no origin
			creds, err = grpcauth.NewCredentials([]string{"https://localhost"}, source, grpcauth.ClientOptions{})
		}
		require.NoError(t, err)
		conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(local.NewCredentials()), grpc.WithPerRPCCredentials(creds))
		require.NoError(t, err)
		defer conn.Close()
		_, err = pb.NewTestServiceClient(conn).UnaryCall(s.with(), &pb.SimpleRequest{})
		return err
	}
	require.Error(t, call(serve("tcp", "127.0.0.1:0").Addr().String(), never))
	path := filepath.Join(t.TempDir(), "s")
	serve("unix", path)
	wallet, err := macaroon.NewWallet(s.mint())
	require.NoError(t, err)
	require.NoError(t, call("unix:"+path, client.Static(wallet)))

	// Nor does this package, should another library ask.
	_, err = creds.GetRequestMetadata(t.Context(), origin+"/grpc.testing.TestService")
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	require.ErrorContains(t, err, "which call")
	info := credentials.RequestInfo{Method: pb.TestService_UnaryCall_FullMethodName}
	for _, level := range []credentials.SecurityLevel{credentials.NoSecurity, credentials.IntegrityOnly} {
		info.AuthInfo = security(level)
		_, err = creds.GetRequestMetadata(credentials.NewContextWithRequestInfo(t.Context(), info), origin+"/grpc.testing.TestService")
		require.Error(t, err)
	}
	info.AuthInfo = security(credentials.PrivacyAndIntegrity)
	for _, uri := range [][]string{nil, {origin + "/grpc.testing.TestService", "https://localhost/grpc.testing.TestService"}} {
		_, err = creds.GetRequestMetadata(credentials.NewContextWithRequestInfo(t.Context(), info), uri...)
		require.ErrorContains(t, err, "which call")
	}
	require.True(t, creds.RequireTransportSecurity())
}

// security is what another transport says of itself.
type security credentials.SecurityLevel

func (security) AuthType() string { return "other" }
func (s security) GetCommonAuthInfo() credentials.CommonAuthInfo {
	return credentials.CommonAuthInfo{SecurityLevel: credentials.SecurityLevel(s)}
}

// TestTwoCredentials: gRPC sends those of the connection and those of the call.
func TestTwoCredentials(t *testing.T) {
	s := newSecure(t, setup{})
	source := client.Static(s.wallet())
	creds, err := grpcauth.NewCredentials([]string{origin}, source, grpcauth.ClientOptions{})
	require.NoError(t, err)
	c := s.client(source, grpcauth.ClientOptions{})
	_, err = c.UnaryCall(s.with(), &pb.SimpleRequest{}, grpc.PerRPCCredentials(creds))
	require.Equal(t, badRequest, answerOf(t, err))
	require.Len(t, s.sent(), 2)

	_, err = c.UnaryCall(s.with(s.bearer()), &pb.SimpleRequest{})
	require.ErrorIs(t, err, client.ErrAuthorization)
	require.Empty(t, s.sent())
}

func TestNoToken(t *testing.T) {
	s := newSecure(t, setup{})
	broken := errors.New("the source is down")
	party := thirdparty.Party{Location: "https://identity.internal", Key: thirdparty.GenerateKey().Public()}
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(50*time.Millisecond))
	defer cancel()
	for _, row := range []struct {
		name    string
		ctx     context.Context
		source  client.Source
		options grpcauth.ClientOptions
		want    error
		code    codes.Code
	}{
		{"source", s.with(), client.SourceFunc(func(context.Context, string) (macaroon.Wallet, error) { return macaroon.Wallet{}, broken }),
			grpcauth.ClientOptions{}, broken, codes.Unavailable},
		{"zero wallet", s.with(), client.Static(macaroon.Wallet{}), grpcauth.ClientOptions{}, macaroon.ErrInvalid, codes.Unauthenticated},
		{"nothing to forward", s.with(), client.Forwarding(), grpcauth.ClientOptions{}, client.ErrNothingToForward, codes.Unauthenticated},
		{"no discharger", s.with(), client.Static(s.wallet(thirdparty.NewCaveat(party, "member"))), grpcauth.ClientOptions{},
			client.ErrMissingDischarge, codes.Unauthenticated},
		{"caveats", s.with(), client.Static(s.wallet()), grpcauth.ClientOptions{Caveats: func(context.Context, string) ([]macaroon.Caveat, error) {
			return nil, broken
		}}, broken, codes.Unavailable},
		{"canceled", s.with(), client.SourceFunc(func(context.Context, string) (macaroon.Wallet, error) { return macaroon.Wallet{}, context.Canceled }),
			grpcauth.ClientOptions{}, context.Canceled, codes.Canceled},
		{"too late", late, client.SourceFunc(func(ctx context.Context, _ string) (macaroon.Wallet, error) {
			<-ctx.Done()
			return macaroon.Wallet{}, ctx.Err()
		}), grpcauth.ClientOptions{}, nil, codes.DeadlineExceeded},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := s.client(row.source, row.options).UnaryCall(row.ctx, &pb.SimpleRequest{})
			require.Equal(t, row.code, status.Code(err), "%v", err)
			if row.want != nil {
				require.ErrorIs(t, err, row.want)
			}
			require.Empty(t, s.sent())
		})
	}
}

// TestDischarges: the service says what is missing, and a client with a discharger gets
// it from the third party.
func TestDischarges(t *testing.T) {
	keys, err := thirdparty.NewKeys(thirdparty.GenerateKey())
	require.NoError(t, err)
	discharger, err := thirdparty.NewDischarger(keys, thirdparty.Options{})
	require.NoError(t, err)
	identity, err := dischargehttp.NewService(discharger, thirdparty.Conditions{
		"member-of": func(context.Context, thirdparty.Question) (thirdparty.Answer, error) {
			return thirdparty.Answer{Declared: map[string]string{"user": "ann"}}, nil
		},
	}, dischargehttp.ServiceOptions{})
	require.NoError(t, err)
	server := httptest.NewServer(identity)
	defer server.Close()

	s := newSecure(t, setup{})
	s.handler.unary = func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		v, _ := grpcauth.FromContext(ctx)
		user, _ := v.Attribute("user")
		return &pb.SimpleResponse{Username: user}, nil
	}
	token, err := s.keys.Mint(t.Context(), macaroon.Grant{}, caveat.ExpiresIn(time.Hour), caveat.Audience(audience), caveat.Operations(operation),
		thirdparty.NewCaveat(identity.Party(server.URL), "member-of acme").Attesting("user"))
	require.NoError(t, err)
	text, err := token.Encode()
	require.NoError(t, err)

	_, refusal := s.unary(s.with("Bearer " + text))
	require.Equal(t, answer{"Unauthenticated", "DISCHARGE_REQUIRED", "the token needs the discharges listed", 1}, answerOf(t, refusal))
	wallet, err := macaroon.NewWallet(token)
	require.NoError(t, err)
	require.Equal(t, wallet.Missing(), grpcauth.MissingDischarges(refusal))
	violation := status.Convert(refusal).Details()[1].(*errdetails.PreconditionFailure).Violations[0]
	require.Equal(t, "MISSING_DISCHARGE", violation.Type)

	// Others have such details too.
	for _, detail := range []*errdetails.ErrorInfo{
		{Reason: grpcauth.ReasonInvalidToken, Domain: grpcauth.Domain}, {Reason: grpcauth.ReasonDischargeRequired, Domain: "example.com"},
	} {
		other, err := status.New(codes.Unauthenticated, "no").WithDetails(detail, &errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{violation}})
		require.NoError(t, err)
		require.Empty(t, grpcauth.MissingDischarges(other.Err()))
	}
	terms, err := status.New(codes.Unauthenticated, "no").WithDetails(&errdetails.ErrorInfo{Reason: grpcauth.ReasonDischargeRequired, Domain: grpcauth.Domain},
		&errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Type: "TOS", Description: violation.Description}, {Type: violation.Type, Description: "?"}}})
	require.NoError(t, err)
	require.Empty(t, grpcauth.MissingDischarges(terms.Err()))

	// Locations are anybody's bytes, and what a holder appended can be missing too.
	odd, err := token.Attenuate(oddParty{})
	require.NoError(t, err)
	text, err = odd.Encode()
	require.NoError(t, err)
	_, refusal = s.unary(s.with("Bearer " + text))
	missing := grpcauth.MissingDischarges(refusal)
	require.Len(t, missing, 2)
	require.Equal(t, macaroon.MissingDischarge{Location: "https://\uFFFD", CaveatID: "\x00\xff"}, missing[1])

	obtain, err := dischargehttp.NewClient([]string{server.URL}, dischargehttp.ClientOptions{})
	require.NoError(t, err)
	answer, err := s.client(client.Static(wallet), grpcauth.ClientOptions{Discharger: obtain}).UnaryCall(s.with(), &pb.SimpleRequest{})
	require.NoError(t, err)
	require.Equal(t, "ann", answer.Username)
}

// oddParty is a caveat for nobody, at a place that is not text.
type oddParty struct{}

func (oddParty) Condition() (string, error) { return "", io.EOF }
func (oddParty) Attests() []string          { return nil }
func (oddParty) ThirdParty() (rootKey []byte, caveatID, location string, err error) {
	return make([]byte, 32), "\x00\xff", "https://\xff", nil
}

// TestForwarding: a service calls the next one by its caller's token, narrowed, and
// hands on nothing else of what came in.
func TestForwarding(t *testing.T) {
	next := newSecure(t, setup{})
	var arrived metadata.MD
	next.handler.unary = func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		arrived, _ = metadata.FromIncomingContext(ctx)
		return &pb.SimpleResponse{Username: who(ctx)}, nil
	}
	toNext := next.client(client.Forwarding(caveat.Operations(operation)), grpcauth.ClientOptions{})
	relay := func(ctx context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		return toNext.UnaryCall(ctx, r)
	}

	// Both verify under the keys of the next one.
	first := newService(t, setup{options: grpcauth.Options{Forward: true}})
	first.source.Source = next.keys
	first.handler.unary = relay
	ctx := metadata.AppendToOutgoingContext(first.with(next.bearer(caveat.Branch([16]byte{7}))), "x-secret", "of the first hop", "macaroon", "00")
	got, err := first.unary(ctx)
	require.NoError(t, err)
	require.Equal(t, "billing", got)
	sent := next.sent()
	require.Len(t, sent, 1)
	list := conditions(t, sent[0])
	require.Equal(t, []string{"branch BwAAAAAAAAAAAAAAAAAAAA", "allow orders.read"}, list[3:5])
	require.Equal(t, "grpc-method /grpc.testing.TestService/UnaryCall", list[5])
	require.Empty(t, arrived.Get("x-secret"))
	require.Empty(t, arrived.Get("macaroon"))

	// Without the option there is nothing to forward, whichever way the call was decided on.
	var without *service
	for _, options := range []grpcauth.Options{
		{Import: true}, {Facts: func(_ context.Context, _ string, f caveat.Facts) caveat.Facts { return f }}, {},
	} {
		without = newService(t, setup{options: options})
		without.source.Source = next.keys
		without.handler.unary = relay
		_, err = without.unary(without.with(next.bearer()))
		require.Equal(t, codes.Unauthenticated, status.Code(err))
		require.NotContains(t, err.Error(), client.ErrNothingToForward.Error()) // that is for without to know
		require.Empty(t, next.sent())
	}

	// A stream's context has the token as well.
	first.handler.duplex = func(stream pb.TestService_FullDuplexCallServer) error {
		_, err := toNext.UnaryCall(stream.Context(), &pb.SimpleRequest{})
		return err
	}
	_, err = first.open(first.with(next.bearer())).Recv()
	require.Equal(t, io.EOF, err)
	require.Len(t, next.sent(), 1)

	without.handler.duplex = first.handler.duplex
	_, err = without.open(without.with(next.bearer())).Recv()
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	require.Empty(t, next.sent())

	// But not before something has been decided, which may wait for the first message.
	options := byResource
	options.Forward = true
	later := newService(t, setup{options: options})
	later.source.Source = next.keys
	later.handler.duplex = func(stream pb.TestService_FullDuplexCallServer) error {
		if _, err := toNext.UnaryCall(stream.Context(), &pb.SimpleRequest{}); !errors.Is(err, client.ErrNothingToForward) {
			t.Errorf("too early: %v", err)
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
		_, err := toNext.UnaryCall(stream.Context(), &pb.SimpleRequest{})
		return err
	}
	stream := later.open(later.with(next.bearer()))
	require.Equal(t, io.EOF, exchange(stream, "orders/7"))
	require.Len(t, next.sent(), 1)
}

func TestNewCredentials(t *testing.T) {
	_, err := grpcauth.NewCredentials([]string{"http://localhost", "https://a/b", "orders"}, nil, grpcauth.ClientOptions{
		Lifetime: -1, MaxSkew: -1, Lifetimes: map[string]time.Duration{"Get": 0},
	})
	for _, problem := range []string{"localhost", "https://a/b", "orders", "no source", "negative Lifetime", "negative MaxSkew", "Get", "not positive"} {
		require.ErrorContains(t, err, problem)
	}
	_, err = grpcauth.NewCredentials(nil, client.Static(macaroon.Wallet{}), grpcauth.ClientOptions{})
	require.ErrorContains(t, err, "no origins")
}

// TestCredentialsConcurrently is for the race detector. The service's clock is off, so that
// there are second attempts.
func TestCredentialsConcurrently(t *testing.T) {
	s, skew := newSkewed(t)
	s.handler.output = echoOnce
	skew.Store(int64(90 * time.Second))
	c := s.twice(client.Static(s.wallet()), grpcauth.ClientOptions{})
	_, err := c.UnaryCall(s.with(), &pb.SimpleRequest{})
	require.NoError(t, err) // streams need to know the clock
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 20 {
				skew.Store(int64(90*time.Second + time.Duration(i)*time.Second))
				_, err := c.UnaryCall(s.with(), &pb.SimpleRequest{})
				if err == nil {
					_, err = s.watch(c)
				}
				if err != nil {
					t.Error(err)
				}
				stream, err := c.FullDuplexCall(s.with())
				if err == nil {
					err = exchange(stream, "a")
				}
				if err == nil {
					err = stream.CloseSend()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
