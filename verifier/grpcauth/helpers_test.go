package grpcauth_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/grpcauth"
)

const (
	audience  = "orders"
	operation = "orders.read"
	host      = "orders.internal"
)

// table gives every method of the service the one operation.
var table = map[string]string{"/grpc.testing.TestService/*": operation}

// service is what most tests need: keys, a verifier that keeps its audit records, an
// Auth that logs into a buffer, and a server that it protects.
type service struct {
	t        testing.TB
	keys     *rootkey.Keyring
	source   *source
	verifier *verifier.Verifier
	auth     *grpcauth.Auth
	handler  *handler
	server   *grpc.Server
	conn     *grpc.ClientConn // without credentials
	dial     func(...grpc.DialOption) *grpc.ClientConn
	log      lockedBuffer

	clientTLS *tls.Config // if it is over TLS

	mu      sync.Mutex
	records []verifier.Record
}

// setup is what a test may want otherwise.
type setup struct {
	options  grpcauth.Options
	verifier verifier.Options
	foreign  verifier.ForeignSource
	native   verifier.Source     // instead of the service's own
	server   []grpc.ServerOption // instead of auth's own
	outside  []grpc.ServerOption // in front of auth's own
	tls      bool
	tcp      bool
}

func newService(t testing.TB, set setup) *service {
	s := &service{t: t, keys: rootkey.InMemory(), handler: &handler{}}
	s.source = &source{Source: s.keys}
	var err error
	set.verifier.Registry, err = caveat.Standard().With(panics, unsure)
	require.NoError(t, err)
	set.verifier.Audit = func(_ context.Context, r verifier.Record) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.records = append(s.records, r)
	}
	if set.foreign != nil {
		s.verifier, err = verifier.NewForeign(set.foreign, audience, set.verifier)
	} else {
		if set.native == nil {
			set.native = s.source
		}
		s.verifier, err = verifier.New(set.native, audience, set.verifier)
	}
	require.NoError(t, err)
	if set.options.Operations == nil && set.options.Operation == nil {
		set.options.Operations = table
	}
	set.options.Log = slog.New(slog.NewTextHandler(&s.log, nil))
	s.auth, err = grpcauth.New(s.verifier, set.options)
	require.NoError(t, err)

	options := set.server
	if options == nil {
		options = append(set.outside, s.auth.ServerOptions()...)
	}
	clientCreds := insecure.NewCredentials()
	if set.tls {
		serverTLS, clientTLS := newTLS(t)
		options = append(options, grpc.Creds(credentials.NewTLS(serverTLS)))
		clientCreds = credentials.NewTLS(clientTLS)
		s.clientTLS = clientTLS
	}
	s.server = grpc.NewServer(options...)
	pb.RegisterTestServiceServer(s.server, s.handler)
	healthpb.RegisterHealthServer(s.server, health.NewServer())
	reflection.Register(s.server)

	target, dialer := "passthrough:///"+host, func(context.Context, string) (net.Conn, error) { return nil, io.EOF }
	if set.tcp {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		go s.server.Serve(listener)
		dialer = func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", listener.Addr().String())
		}
	} else {
		listener := bufconn.Listen(1 << 20)
		go s.server.Serve(listener)
		dialer = func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
	}
	s.dial = func(options ...grpc.DialOption) *grpc.ClientConn {
		conn, err := grpc.NewClient(target, append([]grpc.DialOption{
			grpc.WithTransportCredentials(clientCreds), grpc.WithContextDialer(dialer)}, options...)...)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	t.Cleanup(s.server.Stop)
	s.conn = s.dial()
	return s
}

// Kinds of caveats that misbehave.
var (
	panics = caveat.Define("test:panics", caveat.Text, func(context.Context, *caveat.Request, string) error {
		panic("panic-value-" + leak)
	})
	unsure = caveat.Define("test:unsure", caveat.Text, func(context.Context, *caveat.Request, string) error {
		return caveat.Undecided(io.ErrUnexpectedEOF)
	})
)

// leak is in all that must not reach a peer.
const leak = "do-not-leak"

// source is a source that can be made to fail.
type source struct {
	macaroon.Source
	err    error
	panics bool
}

func (s *source) RootSignature(ctx context.Context, identifier string) (sig [32]byte, found bool, err error) {
	if s.panics {
		panic("panic-value-" + leak)
	}
	if s.err != nil {
		return sig, false, s.err
	}
	return s.Source.RootSignature(ctx, identifier)
}

// mint gives a token for the operation, narrowed by its holder.
func (s *service) mint(caveats ...macaroon.Caveat) macaroon.Macaroon {
	s.t.Helper()
	token, err := s.keys.Mint(context.Background(), macaroon.Grant{Subject: "billing"},
		caveat.ExpiresIn(time.Hour), caveat.Audience(audience), caveat.Operations(operation, "orders.write"))
	require.NoError(s.t, err)
	token, err = token.Attenuate(caveats...)
	require.NoError(s.t, err)
	return token
}

// bearer gives the value of authorization for such a token.
func (s *service) bearer(caveats ...macaroon.Caveat) string {
	s.t.Helper()
	text, err := s.mint(caveats...).Encode()
	require.NoError(s.t, err)
	return "Bearer " + text
}

// strange gives the value of authorization with a token under a root key that no service has.
func strange(t testing.TB) string {
	t.Helper()
	return (&service{t: t, keys: rootkey.InMemory()}).bearer()
}

// with gives a context for calls with these values of authorization.
func (s *service) with(values ...string) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	s.t.Cleanup(cancel)
	for _, value := range values {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
	}
	return ctx
}

// long is with without an end.
func (s *service) long(value string) context.Context {
	return metadata.AppendToOutgoingContext(s.t.Context(), "authorization", value)
}

// unary makes the plainest call, which tells who is asking.
func (s *service) unary(ctx context.Context) (string, error) {
	answer, err := pb.NewTestServiceClient(s.conn).UnaryCall(ctx, &pb.SimpleRequest{})
	return answer.GetUsername(), err
}

// audited takes the records so far.
func (s *service) audited() []verifier.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := s.records
	s.records = nil
	return records
}

// handler is the service. Its streams are what a test wants.
type handler struct {
	pb.UnimplementedTestServiceServer
	unary  func(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error)
	duplex func(pb.TestService_FullDuplexCallServer) error
	input  func(pb.TestService_StreamingInputCallServer) error
	output func(*pb.StreamingOutputCallRequest, pb.TestService_StreamingOutputCallServer) error
}

func (h *handler) EmptyCall(context.Context, *pb.Empty) (*pb.Empty, error) { return &pb.Empty{}, nil }

func (h *handler) UnaryCall(ctx context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if h.unary != nil {
		return h.unary(ctx, r)
	}
	return &pb.SimpleResponse{Username: who(ctx)}, nil
}

func (h *handler) FullDuplexCall(stream pb.TestService_FullDuplexCallServer) error {
	if h.duplex != nil {
		return h.duplex(stream)
	}
	return echo(stream)
}

func (h *handler) StreamingInputCall(stream pb.TestService_StreamingInputCallServer) error {
	return h.input(stream)
}

func (h *handler) StreamingOutputCall(r *pb.StreamingOutputCallRequest, stream pb.TestService_StreamingOutputCallServer) error {
	return h.output(r, stream)
}

// echo sends back each message.
func echo(stream pb.TestService_FullDuplexCallServer) error {
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: m.Payload}); err != nil {
			return err
		}
	}
}

func who(ctx context.Context) string {
	v, found := grpcauth.FromContext(ctx)
	if !found {
		return "nobody"
	}
	return v.Subject()
}

// message is one about a resource.
func message(resource string) *pb.StreamingOutputCallRequest {
	return &pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: []byte(resource)}}
}

// answer is what a peer is told of a refusal, all of it, but for the instance.
type answer struct {
	code, reason, message string
	more                  int // details besides
}

var (
	required   = answer{"Unauthenticated", "TOKEN_REQUIRED", "a token is required", 0}
	badRequest = answer{"Unauthenticated", "INVALID_REQUEST", "the metadata must have one scheme and one token", 0}
	invalid    = answer{"Unauthenticated", "INVALID_TOKEN", "the token is not valid", 0}
	denied     = answer{"PermissionDenied", "INSUFFICIENT_SCOPE", "the token does not allow this", 0}
	undecided  = answer{"Unavailable", "UNDECIDED", "it could not be decided whether the token allows this: try again", 1}
)

func answerOf(t testing.TB, err error) answer {
	t.Helper()
	require.Error(t, err)
	require.NotContains(t, err.Error(), leak)
	s := status.Convert(err)
	details := s.Details()
	require.NotEmpty(t, details, "%v", err)
	info, ok := details[0].(*errdetails.ErrorInfo)
	require.True(t, ok)
	require.Equal(t, grpcauth.Domain, info.Domain)
	require.Len(t, info.Metadata, 1)
	require.NotEmpty(t, info.Metadata["instance"])
	return answer{s.Code().String(), info.Reason, s.Message(), len(details) - 1}
}

func newTLS(t testing.TB) (server, client *tls.Config) {
	server, client, err := makeTLS()
	require.NoError(t, err)
	return server, client
}

// makeTLS makes a certificate for the host, and two sides that trust it for each other.
func makeTLS() (server, client *tls.Config, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: host},
		DNSNames:              []string{host, "Orders.internal", "other.internal"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	own := []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}
	server = &tls.Config{Certificates: own, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS13}
	client = &tls.Config{Certificates: own, RootCAs: pool, MinVersion: tls.VersionTLS13}
	return server, client, nil
}

// lockedBuffer is a buffer that many goroutines may write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
