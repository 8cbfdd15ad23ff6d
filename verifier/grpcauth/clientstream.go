package grpcauth

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Stream is a [grpc.StreamClientInterceptor] that does what [Credentials.Unary] does. Only
// streams of a single request are sent a second time, when the refusal is received; the header
// is the first attempt's until then. Others end by the refusal: the next one has the benefit
// of what it tells of the service's clock, but not of the service having asked for other
// discharges.
func (c *Credentials) Stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	call, ctx := c.begin(ctx, method)
	open := func() (grpc.ClientStream, error) { return streamer(ctx, desc, conn, method, options...) }
	first, err := open()
	if err != nil {
		return nil, err
	}
	return &clientStream{call: call, open: open, single: !desc.ClientStreams, stream: first}, nil
}

// clientStream is a stream that may be opened a second time, before anything of it has been
// received.
type clientStream struct {
	call   *call
	open   func() (grpc.ClientStream, error)
	single bool // there is one request

	mu       sync.Mutex
	stream   grpc.ClientStream
	request  any // the only one, between when it was sent and the first answer
	answered bool
}

func (s *clientStream) current() grpc.ClientStream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream
}

func (s *clientStream) Header() (metadata.MD, error) { return s.current().Header() }
func (s *clientStream) Trailer() metadata.MD         { return s.current().Trailer() }
func (s *clientStream) CloseSend() error             { return s.current().CloseSend() }
func (s *clientStream) Context() context.Context     { return s.current().Context() }

// SendMsg keeps the only request, as gRPC does for attempts of its own: its callers must
// not change what they sent.
func (s *clientStream) SendMsg(message any) error {
	s.mu.Lock()
	stream := s.stream
	if s.single && !s.answered {
		s.request = message
	}
	s.mu.Unlock()
	return stream.SendMsg(message)
}

func (s *clientStream) RecvMsg(message any) error {
	stream := s.current()
	err := stream.RecvMsg(message)
	request := s.answer()
	if err == nil || err == io.EOF || !s.call.again(err, stream.Trailer()) || request == nil {
		return err
	}
	if stream, err = s.reopen(request); err != nil {
		return err
	}
	return stream.RecvMsg(message)
}

// answer notes that something has been received. The first time it gives the request.
func (s *clientStream) answer() (request any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	request, s.request, s.answered = s.request, nil, true
	return request
}

// reopen opens the stream a second time. Until its request has been sent, nobody else gets
// at it.
func (s *clientStream) reopen(request any) (grpc.ClientStream, error) {
	next, err := s.open()
	if err != nil {
		return nil, err
	}
	// That a stream has ended is told by receiving from it.
	if err := next.SendMsg(request); err != nil && err != io.EOF {
		return nil, err
	}
	if err := next.CloseSend(); err != nil && err != io.EOF {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream = next
	return next, nil
}
