package grpcauth_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
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
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, setup{})
		ended := make(chan error, 2)
		s.handler.duplex = func(stream pb.TestService_FullDuplexCallServer) error {
			err := echo(stream)
			ended <- err
			ended <- context.Cause(stream.Context())
			return err
		}
		stream := s.open(s.with(s.bearer(caveat.ExpiresIn(10 * time.Second))))
		require.NoError(t, exchange(stream, "orders/7"))
		_, err := stream.Recv()
		require.Equal(t, invalid, answerOf(t, err))
		require.ErrorIs(t, <-ended, verifier.ErrExpired)
		require.ErrorIs(t, <-ended, verifier.ErrExpired)
		records := s.audited()
		require.Len(t, records, 2)
		require.NotNil(t, records[0].Verified)
		require.Equal(t, verifier.Expired, records[1].Err.Reason)
	})
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

	records := s.audited()
	require.Len(t, records, 3)
	for _, r := range records {
		require.Equal(t, operation, r.Operation)
	}
	require.Equal(t, pb.TestService_FullDuplexCall_FullMethodName, records[0].Method)
	require.Equal(t, "revoked: "+revocation.Token(id.TokenID).String(), records[2].Err.Detail(), "which the answer did not tell")
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
	require.Contains(t, s.log.String(), "grpcauth: a handler panicked")
	require.Contains(t, s.log.String(), "TestHandlerPanics")
	require.NotContains(t, s.log.String(), "a value")
}

// byResource has every message of the two streams be about a resource.
var byResource = grpcauth.Options{Messages: map[string]grpcauth.Extractor{
	pb.TestService_FullDuplexCall_FullMethodName: grpcauth.Extract(func(m *pb.StreamingOutputCallRequest) (string, string) {
		return operation, string(m.GetPayload().GetBody())
	}),
	pb.TestService_StreamingInputCall_FullMethodName: grpcauth.Extract(func(m *pb.StreamingInputCallRequest) (string, string) {
		return "orders.write", string(m.GetPayload().GetBody())
	}),
}}

// TestRefusedStreamIsNotServed: neither the handler nor any message is touched.
func TestRefusedStreamIsNotServed(t *testing.T) {
	for _, options := range []grpcauth.Options{{}, byResource} {
		s := newService(t, setup{options: options})
		s.handler.duplex = func(pb.TestService_FullDuplexCallServer) error {
			t.Error("served")
			return nil
		}
		for _, row := range []struct {
			values []string
			want   answer
		}{
			{nil, required},
			{[]string{"Bearer abc"}, invalid},
			{[]string{s.bearer(), s.bearer()}, badRequest},
			{[]string{"Bearer " + strings.Repeat("A", 20<<10)}, invalid},
			{[]string{s.bearer(caveat.ExpiresAt(time.Now().Add(-time.Second)))}, invalid},
		} {
			_, err := s.open(s.with(row.values...)).Recv()
			require.Equal(t, row.want, answerOf(t, err))
			require.Len(t, s.audited(), 1)
		}
	}
	s := newService(t, setup{})
	s.handler.duplex = func(pb.TestService_FullDuplexCallServer) error {
		t.Error("served")
		return nil
	}
	for _, row := range []struct {
		token string
		want  answer
	}{
		{s.bearer(caveat.Operations("orders.write")), denied},
		{s.bearer(caveat.ExpiresAt(time.Now().Add(-time.Second))), invalid},
		{s.bearer(panics.Of("x")), denied},
		{s.bearer(unsure.Of("x")), undecided},
	} {
		_, err := s.open(s.with(row.token)).Recv()
		require.Equal(t, row.want, answerOf(t, err))
		require.Len(t, s.audited(), 1)
	}
}

// revocations is a list that a test changes.
type revocations struct {
	mu      sync.Mutex
	asked   int
	revoked bool
	err     error
	changed chan struct{}
}

func (r *revocations) Revoked(verifier.Revocable) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	return r.revoked, r.err
}

func (r *revocations) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

func (r *revocations) change(revoked bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revoked, r.err = revoked, err
	close(r.changed)
	r.changed = make(chan struct{})
}

// TestStreamIsLookedAt: changes that leave a token alone leave its streams open; then it
// can't be told any more, which is not a refusal.
func TestStreamIsLookedAt(t *testing.T) {
	list := &revocations{changed: make(chan struct{})}
	s := newService(t, setup{verifier: verifier.Options{Revocations: list}, options: grpcauth.Options{RecheckEvery: time.Hour}})
	streams := []pb.TestService_FullDuplexCallClient{s.open(s.with(s.bearer())), s.open(s.with(s.bearer()))}
	for range 3 {
		for _, stream := range streams {
			require.NoError(t, exchange(stream, "a"))
		}
		list.change(false, nil)
	}
	require.Len(t, s.audited(), 2)
	// The last change may still be looked at.
	list.mu.Lock()
	require.LessOrEqual(t, list.asked, 2*(2+3)) // opening each, and each change
	list.mu.Unlock()
	list.change(false, errors.New("stale"))
	for _, stream := range streams {
		_, err := stream.Recv()
		require.Equal(t, undecided, answerOf(t, err))
	}
	list.change(true, nil)
	_, err := s.open(s.with(s.bearer())).Recv()
	require.Equal(t, invalid, answerOf(t, err))
}

// forgetful is a source whose keys can go.
type forgetful struct {
	verifier.Source
	gone  atomic.Bool
	epoch atomic.Uint64
}

func (f *forgetful) RootSignature(ctx context.Context, identifier string) (sig [32]byte, found bool, err error) {
	if f.gone.Load() {
		return sig, false, nil
	}
	return f.Source.RootSignature(ctx, identifier)
}

func (f *forgetful) Epoch() (uint64, error) { return f.epoch.Load(), nil }

// TestStreamLosesItsKey: a stream ends at the next look after its key has gone; nothing
// else is recorded for looking.
func TestStreamLosesItsKey(t *testing.T) {
	f := &forgetful{}
	s := newService(t, setup{native: f, options: grpcauth.Options{RecheckEvery: 20 * time.Millisecond}})
	f.Source = s.keys
	stream := s.open(s.with(s.bearer()))
	require.NoError(t, exchange(stream, "a"))
	time.Sleep(100 * time.Millisecond) // several looks
	require.NoError(t, exchange(stream, "b"))
	require.Len(t, s.audited(), 1)
	f.gone.Store(true)
	f.epoch.Add(1)
	_, err := stream.Recv()
	require.Equal(t, invalid, answerOf(t, err))
	require.Equal(t, verifier.UnknownKey, s.audited()[0].Err.Reason)
}

// TestStuckHandler: the peer is answered when the token ends, whatever the handler does;
// and the handler can do nothing with the stream any more.
func TestStuckHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, setup{})
		proceed, failed := make(chan struct{}), make(chan error, 4)
		s.handler.duplex = func(stream pb.TestService_FullDuplexCallServer) error {
			<-proceed
			_, err := stream.Recv()
			failed <- err
			failed <- stream.Send(&pb.StreamingOutputCallResponse{})
			failed <- stream.SendHeader(metadata.Pairs("a", "b"))
			<-stream.Context().Done()
			failed <- context.Cause(stream.Context())
			panic("panic-value-" + leak)
		}
		stream := s.open(s.with(s.bearer(caveat.ExpiresIn(10 * time.Second))))
		require.NoError(t, stream.Send(message("a")))
		_, err := stream.Recv()
		require.Equal(t, invalid, answerOf(t, err))
		close(proceed)
		for range 4 {
			require.ErrorIs(t, <-failed, verifier.ErrExpired)
		}
		synctest.Wait()
		require.Contains(t, s.log.String(), "grpcauth: a handler panicked")
		require.NotContains(t, s.log.String(), "panic-value")
	})
}

// TestBlockedSend: a peer that reads nothing does not hold the handler beyond the token.
func TestBlockedSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, setup{})
		ended := make(chan error, 1)
		s.handler.output = func(_ *pb.StreamingOutputCallRequest, stream pb.TestService_StreamingOutputCallServer) (err error) {
			for err == nil {
				err = stream.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: make([]byte, 1<<16)}})
			}
			ended <- err
			return err
		}
		stream, err := pb.NewTestServiceClient(s.conn).StreamingOutputCall(s.with(s.bearer(caveat.ExpiresIn(10*time.Second))), message(""))
		require.NoError(t, err)
		require.Error(t, <-ended)
		for err == nil { // what was sent before arrives, and then the reason
			_, err = stream.Recv()
		}
		require.Equal(t, invalid, answerOf(t, err))
	})
}

// counting is a stream that counts what is received from it.
type counting struct {
	grpc.ServerStream
	received *atomic.Int32
}

func (c counting) RecvMsg(message any) error {
	c.received.Add(1)
	return c.ServerStream.RecvMsg(message)
}

// TestMessageIsFinal: a handler that goes on after a refused message can't hide it.
func TestMessageIsFinal(t *testing.T) {
	options := byResource
	options.RecheckEvery = time.Hour
	var received atomic.Int32
	s := newService(t, setup{options: options, outside: []grpc.ServerOption{
		grpc.ChainStreamInterceptor(func(server any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			return h(server, counting{ss, &received})
		}),
	}})
	done := make(chan struct{})
	s.handler.duplex = func(stream pb.TestService_FullDuplexCallServer) error {
		defer close(done)
		for range 3 {
			stream.Recv()
		}
		return nil
	}
	stream := s.open(s.with(s.bearer(caveat.Resources("orders/7"))))
	for _, resource := range []string{"orders/7", "orders/8", "orders/7"} {
		stream.Send(message(resource))
	}
	_, err := stream.Recv()
	require.Equal(t, denied, answerOf(t, err))
	require.Len(t, s.audited(), 2)
	<-done
	require.EqualValues(t, 2, received.Load(), "what has ended is not received from")

	// Nor can one that does nothing any more.
	hang := make(chan struct{})
	defer close(hang)
	s.handler.duplex = func(stream pb.TestService_FullDuplexCallServer) error {
		stream.Recv()
		<-hang
		return nil
	}
	stream = s.open(s.with(s.bearer(caveat.Resources("orders/7"))))
	require.NoError(t, stream.Send(message("orders/8")))
	_, err = stream.Recv()
	require.Equal(t, denied, answerOf(t, err))
}

// TestFirstMessage: what a handler does before the first message, and when there is
// none, is decided by the method, without a resource.
func TestFirstMessage(t *testing.T) {
	s := newService(t, setup{options: byResource})
	wide, narrow := s.bearer(), s.bearer(caveat.Resources("orders/7"))

	s.handler.duplex = func(stream pb.TestService_FullDuplexCallServer) error {
		if found := who(stream.Context()); found != "nobody" {
			return status.Error(codes.Internal, "too early")
		}
		if err := stream.Send(&pb.StreamingOutputCallResponse{}); err != nil {
			return err
		}
		if found := who(stream.Context()); found != "billing" {
			return status.Error(codes.Internal, "nobody has been decided on")
		}
		return echo(stream)
	}
	stream := s.open(s.with(wide))
	_, err := stream.Recv()
	require.NoError(t, err)
	require.NoError(t, exchange(stream, "orders/9"))
	_, err = s.open(s.with(narrow)).Recv()
	require.Equal(t, denied, answerOf(t, err))

	s.handler.duplex = func(stream pb.TestService_FullDuplexCallServer) error {
		if err := stream.SendHeader(metadata.Pairs("a", "b")); err != nil {
			return err
		}
		return echo(stream)
	}
	_, err = s.open(s.with(narrow)).Recv()
	require.Equal(t, denied, answerOf(t, err))
	require.NoError(t, exchange(s.open(s.with(wide)), "orders/9"))

	// A stream of no messages, and of one.
	s.handler.input = func(stream pb.TestService_StreamingInputCallServer) error {
		for {
			if _, err := stream.Recv(); err == io.EOF {
				return stream.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(len(who(stream.Context())))})
			} else if err != nil {
				return err
			}
		}
	}
	sum := func(token string, resources ...string) error {
		stream, err := pb.NewTestServiceClient(s.conn).StreamingInputCall(s.with(token))
		require.NoError(t, err)
		for _, r := range resources {
			stream.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Body: []byte(r)}})
		}
		got, err := stream.CloseAndRecv()
		if err == nil {
			require.EqualValues(t, len("billing"), got.GetAggregatedPayloadSize())
		}
		return err
	}
	require.NoError(t, sum(wide))
	require.Equal(t, denied, answerOf(t, sum(narrow)))
	require.NoError(t, sum(narrow, "orders/7"))
	require.Equal(t, denied, answerOf(t, sum(narrow, "orders/7", "orders/8")))
	require.Equal(t, denied, answerOf(t, sum(s.bearer(caveat.Operations(operation)), "orders/7"))) // the message asks for another one
}

// TestHandlerEnds: however a handler ends, the stream does.
func TestHandlerEnds(t *testing.T) {
	s := newService(t, setup{})
	s.handler.duplex = func(pb.TestService_FullDuplexCallServer) error {
		runtime.Goexit()
		return nil
	}
	_, err := s.open(s.with(s.bearer())).Recv()
	require.Equal(t, codes.Internal, status.Code(err))

	s.handler.duplex = func(pb.TestService_FullDuplexCallServer) error { return status.Error(codes.NotFound, "its own") }
	_, err = s.open(s.with(s.bearer())).Recv()
	require.EqualError(t, err, "rpc error: code = NotFound desc = its own")

	ended := make(chan error, 1)
	s.handler.duplex = func(stream pb.TestService_FullDuplexCallServer) error {
		_, err := stream.Recv()
		ended <- err
		return err
	}
	s.audited()
	ctx, cancel := context.WithCancel(s.with(s.bearer()))
	stream := s.open(ctx)
	require.Eventually(t, func() bool { return len(s.audited()) == 1 }, 5*time.Second, time.Millisecond)
	cancel()
	_, err = stream.Recv()
	require.Equal(t, codes.Canceled, status.Code(err))
	require.Equal(t, codes.Canceled, status.Code(<-ended))
	require.Empty(t, s.audited())
}

// TestStreamTimes runs in a bubble of time.
func TestStreamTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options := byResource
		options.RecheckEvery = time.Hour
		s := newService(t, setup{options: options})
		start := time.Now()
		ended := func(stream pb.TestService_FullDuplexCallClient) time.Duration {
			_, err := stream.Recv()
			require.Error(t, err)
			return time.Since(start)
		}
		// A token that lives on, and a message that never comes: after a minute, which is
		// decided without a resource.
		require.Equal(t, time.Minute, ended(s.open(s.long(s.bearer(caveat.Resources("orders/7"))))))

		// One that is not narrowed may wait until it expires.
		start = time.Now()
		require.Equal(t, 10*time.Minute, ended(s.open(s.long(s.bearer(caveat.ExpiresIn(10*time.Minute))))))

		// Nobody waits for one beyond the end of the token, whatever that is narrowed to.
		for _, narrow := range []macaroon.Caveat{caveat.Operations(operation), caveat.Resources("orders/7")} {
			start = time.Now()
			_, err := s.open(s.long(s.bearer(caveat.ExpiresIn(25*time.Second), narrow))).Recv()
			require.Equal(t, invalid, answerOf(t, err))
			require.Equal(t, 25*time.Second, time.Since(start))
		}

		// The first message tells when the token ends.
		start = time.Now()
		stream := s.open(s.long(s.bearer(caveat.ExpiresIn(25 * time.Second))))
		time.Sleep(time.Second)
		require.NoError(t, exchange(stream, "orders/7"))
		require.Equal(t, 25*time.Second, ended(stream))

		// A message does not make it live longer.
		start = time.Now()
		stream = s.open(s.long(s.bearer(caveat.ExpiresIn(10 * time.Minute))))
		time.Sleep(9 * time.Minute)
		require.NoError(t, exchange(stream, "orders/7"))
		require.Equal(t, 10*time.Minute, ended(stream))
	})
}

// TestClientHasGone: nothing is done for a handler that does not notice. (In a bubble,
// time stands still as long as anybody does anything.)
func TestClientHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := &revocations{changed: make(chan struct{})}
		s := newService(t, setup{verifier: verifier.Options{Revocations: list}})
		noticed := make(chan struct{})
		s.handler.duplex = func(pb.TestService_FullDuplexCallServer) error {
			time.Sleep(time.Hour)
			close(noticed)
			return nil
		}
		ctx, cancel := context.WithCancel(s.long(s.bearer(caveat.ExpiresIn(time.Minute))))
		stream := s.open(ctx)
		synctest.Wait()
		cancel()
		_, err := stream.Recv()
		require.Equal(t, codes.Canceled, status.Code(err))
		synctest.Wait()
		list.change(true, nil)
		<-noticed
		require.Len(t, s.audited(), 1)
	})
}

// TestVerifiersClock: the end is when the verifier says so.
func TestVerifiersClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, setup{verifier: verifier.Options{Now: func() time.Time { return time.Now().Add(-5 * time.Second) }}})
		start := time.Now()
		_, err := s.open(s.long(s.bearer(caveat.ExpiresIn(time.Minute)))).Recv()
		require.Equal(t, invalid, answerOf(t, err))
		require.Equal(t, 65*time.Second, time.Since(start))
	})
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, setup{options: byResource, verifier: verifier.Options{Now: func() time.Time { return time.Now().Add(-5 * time.Second) }}})
		start := time.Now()
		_, err := s.open(s.long(s.bearer(caveat.ExpiresIn(30*time.Second), caveat.Resources("orders/7")))).Recv()
		require.Equal(t, invalid, answerOf(t, err))
		require.Equal(t, 35*time.Second, time.Since(start), "without a message, too")

		// When this clock says that it has ended, what the last message asked for still holds.
		start = time.Now()
		stream := s.open(s.long(s.bearer(caveat.ExpiresIn(30*time.Second), caveat.Resources("orders/7"))))
		require.NoError(t, exchange(stream, "orders/7"))
		_, err = stream.Recv()
		require.Equal(t, invalid, answerOf(t, err))
		require.Equal(t, 35*time.Second, time.Since(start))
	})
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, setup{verifier: verifier.Options{Leeway: 7 * time.Second}})
		start := time.Now()
		_, err := s.open(s.long(s.bearer(caveat.ExpiresIn(time.Minute)))).Recv()
		require.Equal(t, invalid, answerOf(t, err))
		require.Equal(t, 67*time.Second, time.Since(start))
	})
}
