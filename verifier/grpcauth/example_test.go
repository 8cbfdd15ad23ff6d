package grpcauth_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"sync/atomic"
	"time"

	mwauth "github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/grpcauth"
)

// Protecting a server, and calling it with a token made for each call.
func Example() {
	keys := rootkey.InMemory()
	token, err := keys.Mint(context.Background(), macaroon.Grant{Subject: "billing"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
	if err != nil {
		log.Fatal(err)
	}

	v, err := verifier.New(keys, "orders", verifier.Options{})
	if err != nil {
		log.Fatal(err)
	}
	auth, err := grpcauth.New(v, grpcauth.Options{
		Operations: map[string]string{"/grpc.testing.TestService/UnaryCall": "orders.read"},
		Public:     []string{healthpb.Health_Check_FullMethodName},
	})
	if err != nil {
		log.Fatal(err)
	}
	service := startExample(auth.ServerOptions()...)
	defer service.stop()

	wallet, err := macaroon.NewWallet(token)
	if err != nil {
		log.Fatal(err)
	}
	creds, err := grpcauth.NewCredentials([]string{"https://orders.internal"}, client.Static(wallet), grpcauth.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	show(service.call(creds.DialOptions()...))
	show(service.call())
	// Output:
	// billing
	// Unauthenticated: a token is required
}

// In a chain of go-grpc-middleware, beside a stats.Handler: what stands in front sees
// refusals as well, what stands behind sees only who was let in. Recovery may stand on
// either side.
func Example_middleware() {
	v, token := exampleVerifier()
	auth, err := grpcauth.New(v, grpcauth.Options{Operations: map[string]string{"/grpc.testing.TestService/*": "orders.read"}})
	if err != nil {
		log.Fatal(err)
	}
	calls := logging.LoggerFunc(func(_ context.Context, _ logging.Level, message string, fields ...any) {
		for i := logging.Fields(fields).Iterator(); i.Next(); {
			if k, value := i.At(); k == "grpc.method" || k == "grpc.code" {
				message += fmt.Sprint(" ", value)
			}
		}
		fmt.Println("log:", message)
	})
	onlyEnds := logging.WithLogOnEvents(logging.FinishCall)
	counter := &counter{}
	service := startExample(
		grpc.StatsHandler(counter),
		grpc.ChainUnaryInterceptor(logging.UnaryServerInterceptor(calls, onlyEnds), auth.Unary, recovery.UnaryServerInterceptor()),
		grpc.ChainStreamInterceptor(logging.StreamServerInterceptor(calls, onlyEnds), auth.Stream, recovery.StreamServerInterceptor()),
	)
	show(service.call(bearer(token)))
	show(service.call())
	show(service.watch(bearer(token)))
	service.stop()
	fmt.Println(counter.calls.Load(), "calls,", counter.failed.Load(), "failed")
	// Output:
	// log: finished call UnaryCall OK
	// billing
	// log: finished call UnaryCall Unauthenticated
	// Unauthenticated: a token is required
	// log: finished call FullDuplexCall OK
	// a stream that ended well
	// 3 calls, 1 failed
}

// counter is a stats.Handler.
type counter struct{ calls, failed atomic.Int32 }

func (c *counter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (c *counter) HandleRPC(_ context.Context, s stats.RPCStats) {
	if end, ok := s.(*stats.End); ok {
		c.calls.Add(1)
		if end.Error != nil {
			c.failed.Add(1)
		}
	}
}

func (c *counter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (c *counter) HandleConn(context.Context, stats.ConnStats)                       {}

// In the place of one's own authentication: a function of go-grpc-middleware. Streams by
// it do not end with their token; those of [grpcauth.Auth.Stream] do.
func ExampleAuth_Check() {
	v, token := exampleVerifier()
	auth, err := grpcauth.New(v, grpcauth.Options{})
	if err != nil {
		log.Fatal(err)
	}
	authenticate := func(ctx context.Context) (context.Context, error) {
		verified, err := auth.Check(ctx, "orders.read")
		if err != nil {
			return nil, err
		}
		return grpcauth.NewContext(ctx, verified), nil
	}
	service := startExample(grpc.ChainUnaryInterceptor(mwauth.UnaryServerInterceptor(authenticate)))
	defer service.stop()
	show(service.call(bearer(token)))
	show(service.call())
	// Output:
	// billing
	// Unauthenticated: a token is required
}

// Each message of a stream names a resource, and is refused if the token is not good for
// it.
func ExampleExtract() {
	v, token := exampleVerifier()
	auth, err := grpcauth.New(v, grpcauth.Options{
		Operations: map[string]string{"/grpc.testing.TestService/*": "orders.read"},
		Messages: map[string]grpcauth.Extractor{
			"/grpc.testing.TestService/FullDuplexCall": grpcauth.Extract(func(m *pb.StreamingOutputCallRequest) (operation, resource string) {
				return "orders.read", "orders/" + caveat.EscapeSegment(string(m.GetPayload().GetBody()))
			}),
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	service := startExample(auth.ServerOptions()...)
	defer service.stop()

	narrow, err := token.Attenuate(caveat.Resources("orders/7"))
	if err != nil {
		log.Fatal(err)
	}
	show(service.watch(bearer(narrow), "7", "7", "8"))
	// Output:
	// PermissionDenied: the token does not allow this
}

// A source that follows a file, and a stream that may last a day.
func ExampleNewCredentials() {
	source, err := client.File("/run/secrets/orders.token")
	if err != nil {
		fmt.Println("no token yet")
		return
	}
	creds, err := grpcauth.NewCredentials([]string{"https://orders.internal"}, source, grpcauth.ClientOptions{
		Lifetimes: map[string]time.Duration{"/shop.Orders/Watch": 24 * time.Hour},
	})
	if err != nil {
		log.Fatal(err)
	}
	conn, err := grpc.NewClient("orders.internal:443",
		append(creds.DialOptions(), grpc.WithTransportCredentials(credentials.NewTLS(nil)))...)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	// Output:
	// no token yet
}

// exampleVerifier gives a verifier for orders, and a token that reads them.
func exampleVerifier() (*verifier.Verifier, macaroon.Macaroon) {
	keys := rootkey.InMemory()
	v, err := verifier.New(keys, "orders", verifier.Options{})
	if err != nil {
		log.Fatal(err)
	}
	token, err := keys.Mint(context.Background(), macaroon.Grant{Subject: "billing"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
	if err != nil {
		log.Fatal(err)
	}
	return v, token
}

// exampleService is a server over TLS, and how to call it.
type exampleService struct {
	server   *grpc.Server
	listener *bufconn.Listener
	tls      credentials.TransportCredentials
}

func startExample(options ...grpc.ServerOption) *exampleService {
	serverTLS, clientTLS, err := makeTLS()
	if err != nil {
		log.Fatal(err)
	}
	s := &exampleService{
		server:   grpc.NewServer(append(options, grpc.Creds(credentials.NewTLS(serverTLS)))...),
		listener: bufconn.Listen(1 << 20),
		tls:      credentials.NewTLS(clientTLS),
	}
	pb.RegisterTestServiceServer(s.server, &handler{})
	healthpb.RegisterHealthServer(s.server, health.NewServer())
	go s.server.Serve(s.listener)
	return s
}

func (s *exampleService) stop() { s.server.GracefulStop() }

func (s *exampleService) dial(options []grpc.DialOption) *grpc.ClientConn {
	conn, err := grpc.NewClient("passthrough:///orders.internal", append(options, grpc.WithTransportCredentials(s.tls),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.listener.DialContext(ctx) }))...)
	if err != nil {
		log.Fatal(err)
	}
	return conn
}

// call makes a unary call, and tells who the server thinks is asking.
func (s *exampleService) call(options ...grpc.DialOption) (string, error) {
	conn := s.dial(options)
	defer conn.Close()
	answer, err := pb.NewTestServiceClient(conn).UnaryCall(context.Background(), &pb.SimpleRequest{})
	return answer.GetUsername(), err
}

// watch opens a stream and exchanges messages.
func (s *exampleService) watch(option grpc.DialOption, messages ...string) (string, error) {
	conn := s.dial([]grpc.DialOption{option})
	defer conn.Close()
	stream, err := pb.NewTestServiceClient(conn).FullDuplexCall(context.Background())
	if err != nil {
		return "", err
	}
	for _, m := range messages {
		if err := exchange(stream, m); err != nil {
			return "", err
		}
	}
	stream.CloseSend()
	if _, err := stream.Recv(); err != io.EOF {
		return "", err
	}
	return "a stream that ended well", nil
}

// bearer has a connection send a token as it is.
func bearer(token macaroon.Macaroon) grpc.DialOption {
	wallet, err := macaroon.NewWallet(token)
	if err != nil {
		log.Fatal(err)
	}
	creds, err := grpcauth.NewCredentials([]string{"https://orders.internal"}, client.Static(wallet), grpcauth.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	return grpc.WithPerRPCCredentials(creds)
}

// show prints an answer.
func show(answer string, err error) {
	if err != nil {
		s := status.Convert(err)
		answer = s.Code().String() + ": " + s.Message()
	}
	fmt.Println(answer)
}
