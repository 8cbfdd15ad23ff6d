package grpcauth_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/grpcauth"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

// open opens a stream that echoes.
func (s *service) open(ctx context.Context) pb.TestService_FullDuplexCallClient {
	s.t.Helper()
	stream, err := pb.NewTestServiceClient(s.conn).FullDuplexCall(ctx)
	require.NoError(s.t, err)
	return stream
}

// exchange sends a message and waits for its echo.
func exchange(stream pb.TestService_FullDuplexCallClient, resource string) error {
	if err := stream.Send(message(resource)); err != nil && err != io.EOF { // then the reason comes below
		return err
	}
	_, err := stream.Recv()
	return err
}

// TestStreamExpires: a stream that is idle in the middle ends when its token does, while
// its handler waits for a message.
func TestStreamExpires(t *testing.T) {
	s := newService(t, setup{})
	ended := make(chan error, 1)
	s.handler.duplex = func(stream pb.TestService_FullDuplexCallServer) error {
		err := echo(stream)
		ended <- context.Cause(stream.Context())
		return err
	}
	stream := s.open(s.with(s.bearer(caveat.ExpiresIn(500 * time.Millisecond))))
	require.NoError(t, exchange(stream, "orders/7"))
	_, err := stream.Recv()
	require.Equal(t, invalid, answerOf(t, err))
	require.ErrorIs(t, <-ended, verifier.ErrExpired)
	records := s.audited()
	require.Len(t, records, 2)
	require.NotNil(t, records[0].Verified)
	require.Equal(t, verifier.Expired, records[1].Err.Reason)
}

// TestStreamRevoked: likewise when it is revoked, at once.
func TestStreamRevoked(t *testing.T) {
	memory := revocation.NewMemory(func(context.Context) string { return "test" })
	list, err := revocation.NewList(memory, time.Minute, revocation.Options{})
	require.NoError(t, err)
	require.NoError(t, list.Refresh(t.Context()))
	go list.Run(t.Context())
	s := newService(t, setup{verifier: verifier.Options{Revocations: list}, options: grpcauth.Options{RecheckEvery: time.Hour}})

	token := s.mint()
	text, err := token.Encode()
	require.NoError(t, err)
	stream, other := s.open(s.with("Bearer "+text)), s.open(s.with(s.bearer()))
	require.NoError(t, exchange(stream, "orders/7"))
	require.NoError(t, exchange(other, "orders/7"))
	id, err := macaroon.ParseIdentifier(token.Identifier())
	require.NoError(t, err)
	require.NoError(t, memory.Revoke(t.Context(), revocation.Token(id.TokenID), time.Now().Add(time.Hour), "stolen"))
	_, err = stream.Recv()
	require.Equal(t, invalid, answerOf(t, err))
	require.NoError(t, exchange(other, "orders/7"))
}

// TestMessages: each message is decided on.
func TestMessages(t *testing.T) {
	s := newService(t, setup{options: grpcauth.Options{
		Messages: map[string]grpcauth.Extractor{
			pb.TestService_FullDuplexCall_FullMethodName: grpcauth.Extract(func(m *pb.StreamingOutputCallRequest) (string, string) {
				return operation, string(m.GetPayload().GetBody())
			}),
		},
	}})
	stream := s.open(s.with(s.bearer(caveat.Resources("orders/7", "orders/8"))))
	require.NoError(t, exchange(stream, "orders/7"))
	require.NoError(t, exchange(stream, "orders/8"))
	require.Equal(t, denied, answerOf(t, exchange(stream, "orders/9")))
	require.Len(t, s.audited(), 3)
}

// TestHandlerPanics: as without the interceptor, whoever recovers outside gets it.
func TestHandlerPanics(t *testing.T) {
	s := newService(t, setup{outside: []grpc.ServerOption{
		grpc.ChainStreamInterceptor(func(server any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) (err error) {
			defer func() { err = status.Errorf(codes.Internal, "recovered: %v", recover()) }()
			return h(server, ss)
		}),
	}})
	s.handler.duplex = func(pb.TestService_FullDuplexCallServer) error { panic("a value") }
	_, err := s.open(s.with(s.bearer())).Recv()
	require.EqualError(t, err, "rpc error: code = Internal desc = recovered: a value")
	require.Contains(t, s.log.String(), "TestHandlerPanics")
}
