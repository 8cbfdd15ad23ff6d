package grpcauth_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/grpcauth"
)

// TestNothingIsForgotten calls every registered method, unary or not, without a token,
// reflection and health too.
func TestNothingIsForgotten(t *testing.T) {
	s := newService(t, setup{})
	methods := 0
	for service, info := range s.server.GetServiceInfo() {
		for _, method := range info.Methods {
			methods++
			full := "/" + service + "/" + method.Name
			t.Run(full, func(t *testing.T) {
				desc := &grpc.StreamDesc{ClientStreams: method.IsClientStream, ServerStreams: method.IsServerStream}
				stream, err := s.conn.NewStream(s.with(), desc, full)
				require.NoError(t, err)
				// No message is sent to a stream: it must be refused before the first.
				if !method.IsClientStream && !method.IsServerStream {
					require.NoError(t, stream.SendMsg(&pb.Empty{}))
					require.NoError(t, stream.CloseSend())
				}
				require.Equal(t, required, answerOf(t, stream.RecvMsg(&pb.Empty{})))
			})
		}
	}
	require.Greater(t, methods, 10)
	require.Len(t, s.audited(), methods)
}

func TestAnswers(t *testing.T) {
	s := newService(t, setup{options: grpcauth.Options{
		Operations: map[string]string{"/grpc.testing.TestService/UnaryCall": operation},
		Public:     []string{healthpb.Health_Check_FullMethodName},
	}})
	good := s.bearer()
	_, text, _ := strings.Cut(good, " ")
	other, err := rootkey.InMemory().Mint(t.Context(), macaroon.Grant{}, caveat.ExpiresIn(time.Hour), caveat.Audience(audience), caveat.Operations(operation))
	require.NoError(t, err)
	otherText, err := other.Encode()
	require.NoError(t, err)
	for _, row := range []struct {
		name   string
		values []string
		want   answer
		reason verifier.Reason
	}{
		{"none", nil, required, verifier.NothingPresented},
		{"one", []string{good}, answer{}, 0},
		{"the other scheme", []string{"macaroon  " + text}, answer{}, 0},
		{"two that are equal", []string{good, good}, badRequest, verifier.InvalidRequest},
		{"two that differ", []string{good, s.bearer()}, badRequest, verifier.InvalidRequest},
		{"two, one empty", []string{"", good}, badRequest, verifier.InvalidRequest},
		{"two in one value", []string{good + "," + good}, badRequest, verifier.InvalidRequest},
		{"another scheme", []string{"Basic " + text}, required, verifier.NothingPresented},
		{"no scheme", []string{text}, required, verifier.NothingPresented},
		{"not a macaroon", []string{"Bearer abc"}, invalid, verifier.NotMacaroon},
		{"another key", []string{"Bearer " + otherText}, invalid, verifier.UnknownKey},
		{"expired", []string{s.bearer(caveat.ExpiresAt(time.Now().Add(-time.Second)))}, invalid, verifier.Expired},
		{"denied", []string{s.bearer(caveat.GRPCMethods("/grpc.testing.TestService/EmptyCall"))}, denied, verifier.CaveatFailed},
		{"about HTTP", []string{s.bearer(caveat.Methods("POST"))}, denied, verifier.CaveatFailed},
		{"undecided", []string{s.bearer(unsure.Of(leak))}, undecided, verifier.CheckUndecided},
		{"a checker panics", []string{s.bearer(panics.Of(leak))}, denied, verifier.CaveatFailed},
		{"the method", []string{s.bearer(caveat.GRPCMethods("/grpc.testing.TestService/UnaryCall"))}, answer{}, 0},
		{"the service", []string{s.bearer(caveat.GRPCMethods("/grpc.testing.TestService/*"))}, answer{}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := s.unary(s.with(row.values...))
			records := s.audited()
			require.Len(t, records, 1)
			require.Equal(t, operation, records[0].Operation)
			if row.want == (answer{}) {
				require.NoError(t, err)
				require.Equal(t, "billing", got)
				require.NotNil(t, records[0].Verified)
				return
			}
			require.Equal(t, row.want, answerOf(t, err))
			require.Equal(t, row.reason, records[0].Err.Reason)
			info := status.Convert(err).Details()[0].(*errdetails.ErrorInfo)
			require.Equal(t, records[0].Err.Instance, info.GetMetadata()["instance"])
		})
	}
	require.NotContains(t, s.log.String(), "panic-value")
	require.Contains(t, s.log.String(), "grpcauth: a checker panicked")
	require.Contains(t, s.log.String(), "grpcauth: undecided")

	t.Run("public", func(t *testing.T) {
		_, err := healthpb.NewHealthClient(s.conn).Check(s.with("nonsense", "nonsense"), &healthpb.HealthCheckRequest{})
		require.NoError(t, err)
		stream, err := healthpb.NewHealthClient(s.conn).Watch(s.with(), &healthpb.HealthCheckRequest{})
		require.NoError(t, err)
		_, err = stream.Recv()
		require.Equal(t, required, answerOf(t, err)) // another method of the same service
		require.Len(t, s.audited(), 1)

		watched := newService(t, setup{options: grpcauth.Options{Public: []string{healthpb.Health_Watch_FullMethodName}}})
		stream, err = healthpb.NewHealthClient(watched.conn).Watch(watched.with(), &healthpb.HealthCheckRequest{})
		require.NoError(t, err)
		_, err = stream.Recv()
		require.NoError(t, err)
		require.Empty(t, watched.audited())
	})
	t.Run("unknown method", func(t *testing.T) {
		_, err := pb.NewTestServiceClient(s.conn).EmptyCall(s.with(good), &pb.Empty{})
		require.Equal(t, denied, answerOf(t, err))
		require.Equal(t, verifier.BadOperation, s.audited()[0].Err.Reason)
	})
}

// TestSize: a value that is too long is refused by the interceptor, and before that by a
// server with the options that this package gives.
func TestSize(t *testing.T) {
	long := "Bearer " + strings.Repeat("A", 2<<20)
	s := newService(t, setup{})
	_, err := s.unary(s.with(long))
	require.Error(t, err)
	require.Empty(t, s.audited())
	_, err = s.unary(s.with("Bearer " + strings.Repeat("A", 64<<10)))
	require.Error(t, err)
	require.Empty(t, s.audited())

	var bare *grpcauth.Auth
	s = newService(t, setup{server: []grpc.ServerOption{
		grpc.UnaryInterceptor(func(ctx context.Context, m any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			return bare.Unary(ctx, m, info, h)
		}),
	}})
	bare = s.auth
	for _, value := range []string{long, "Bearer " + strings.Repeat("A", 17<<10), strings.Repeat(" ", 1<<20)} {
		_, err = s.unary(s.with(value))
		require.Equal(t, invalid, answerOf(t, err))
		require.Equal(t, verifier.OverLimit, s.audited()[0].Err.Reason)
	}
}

// TestRefusalInside: what stands around the interceptor finds the refusal.
func TestRefusalInside(t *testing.T) {
	var seen error
	s := newService(t, setup{outside: []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, m any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (answer any, err error) {
			answer, seen = h(ctx, m)
			return answer, seen
		}),
	}})
	_, err := s.unary(s.with(s.bearer(caveat.Operations("orders.write"))))
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	refusal, ok := errors.AsType[*verifier.Error](seen)
	require.True(t, ok)
	require.Equal(t, verifier.CaveatFailed, refusal.Reason)
	require.ErrorIs(t, seen, verifier.ErrDenied)
	require.Equal(t, codes.PermissionDenied, status.Code(seen))
}
