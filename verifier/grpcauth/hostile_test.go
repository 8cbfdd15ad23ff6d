package grpcauth_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/grpcauth"
)

// TestChangeWhenDue: revocations that change when this clock says that the token has
// ended, and the verifier's not yet, are looked at once.
func TestChangeWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := &revocations{changed: make(chan struct{})}
		var read atomic.Int64
		s := newService(t, setup{verifier: verifier.Options{Revocations: list, Now: func() time.Time {
			if read.Add(1) > 1000 { // else time would stand still for ever
				return time.Now().Add(time.Hour)
			}
			return time.Now().Add(-5 * time.Second)
		}}})
		start := time.Now()
		stream := s.open(s.long(s.bearer(caveat.ExpiresIn(time.Minute))))
		time.Sleep(62*time.Second + time.Millisecond)
		list.change(false, nil)
		_, err := stream.Recv()
		require.Equal(t, invalid, answerOf(t, err))
		require.Less(t, read.Load(), int64(100))
		require.Equal(t, 65*time.Second, time.Since(start).Truncate(time.Second))
	})
}

// badError panics whatever it is asked.
type badError struct{}

func (*badError) Error() string { panic("panic-value-" + leak) }
func (*badError) Is(error) bool { panic("panic-value-" + leak) }
func (*badError) Unwrap() error { panic("panic-value-" + leak) }

// badLog panics at each line.
type badLog struct{ slog.Handler }

func (badLog) Enabled(context.Context, slog.Level) bool  { return true }
func (badLog) Handle(context.Context, slog.Record) error { panic("panic-value-" + leak) }

// TestBadErrors: an error of the application's that panics is not the end of the process.
func TestBadErrors(t *testing.T) {
	list := &revocations{changed: make(chan struct{}), err: &badError{}}
	s := newService(t, setup{verifier: verifier.Options{Revocations: list}})
	_, err := s.unary(s.with(s.bearer()))
	require.Equal(t, undecided, answerOf(t, err))

	s = newService(t, setup{})
	s.source.err = &badError{}
	_, err = s.unary(s.with(s.bearer()))
	require.Equal(t, undecided, answerOf(t, err))
}

func TestBadLog(t *testing.T) {
	s := newService(t, setup{})
	auth, err := grpcauth.New(s.verifier, grpcauth.Options{Operations: table, Log: slog.New(badLog{})})
	require.NoError(t, err)
	s.source.err = io.ErrUnexpectedEOF
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", s.bearer()))
	_, err = auth.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: pb.TestService_UnaryCall_FullMethodName}, nil)
	require.Equal(t, undecided, answerOf(t, err))
	require.Positive(t, status.Convert(err).Details()[1].(*errdetails.RetryInfo).RetryDelay.AsDuration())
}

// TestCauseStaysInside: why a service has no token for the next one is for its own log. A handler that returns the
// error as it is does not tell its caller.
func TestCauseStaysInside(t *testing.T) {
	next := newSecure(t, setup{})
	broken := errors.New(leak)
	toNext := next.client(client.SourceFunc(func(context.Context, string) (macaroon.Wallet, error) { return macaroon.Wallet{}, broken }), grpcauth.ClientOptions{})
	s := newService(t, setup{})
	inside := make(chan error, 1)
	s.handler.unary = func(ctx context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
		answer, err := toNext.UnaryCall(ctx, r)
		inside <- err
		return answer, err
	}
	_, err := s.unary(s.with(s.bearer()))
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.NotContains(t, err.Error(), leak)
	err = <-inside
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, leak)
}

// TestNoDecisionNoAnswer: what a handler answers without a message is decided on too.
func TestNoDecisionNoAnswer(t *testing.T) {
	s := newService(t, setup{options: byResource})
	s.handler.duplex = func(stream pb.TestService_FullDuplexCallServer) error {
		return status.Error(codes.NotFound, leak)
	}
	_, err := s.open(s.with(s.bearer(caveat.Resources("orders/7")))).Recv()
	require.Equal(t, denied, answerOf(t, err))
	require.Len(t, s.audited(), 1)
	_, err = s.open(s.with(s.bearer())).Recv()
	require.Equal(t, codes.NotFound, status.Code(err))
	require.Len(t, s.audited(), 1)
}
