package grpcauth

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// Stream is a [grpc.StreamServerInterceptor]: it has the handler serve streams of public
// methods, and those whose token allows the operation, for as long as it does.
//
// When a stream ends by its token, its context is canceled, with the refusal as the cause,
// and the peer is answered at once. The handler may then still be running, in a goroutine
// of its own, as after a client's cancellation: everything that it does with the stream
// fails. It is not among those that [grpc.MaxConcurrentStreams] counts any more, so it should
// heed its context. If it panics before that, so does Stream.
func (a *Auth) Stream(server any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if a.public[info.FullMethod] {
		return handler(server, ss)
	}
	s, err := a.open(ss, info.FullMethod)
	if err != nil {
		ss.SetTrailer(a.unserved(ss.Context(), err))
		return err
	}
	return s.serve(server, handler)
}

// stream is a stream that is open because of a token.
type stream struct {
	grpc.ServerStream
	auth      *Auth
	method    string
	ctx       context.Context
	forward   context.Context // the same with the token, once something has been decided; nil if it is not to be passed on
	cancel    context.CancelCauseFunc
	authentic *verifier.Authentic
	extract   Extractor      // nil if messages are not looked at
	opening   verifier.Asked // what the method asks for
	since     time.Time      // when it was opened
	expires   time.Time      // when its token does, which is told only where there is no decision yet; zero: never

	verified *atomic.Pointer[verifier.Verified] // the latest decision; nil until there is one
	refusal  atomic.Pointer[refused]            // why the stream has ended; nil as long as it is open
	ended    chan struct{}                      // closed when it has
	changed  <-chan struct{}                    // only for watch: there are new revocations

	mu    sync.Mutex
	asked verifier.Asked // what was allowed last; before that, what the method asks for
}

// firstMessage is how long a stream may be open without a decision, because its first
// message has not come yet.
const firstMessage = time.Minute

// open authenticates a stream before anything of it is read. It also decides, unless that
// waits for the first message: then it only sees to it that nobody comes with a token that has
// expired.
func (a *Auth) open(ss grpc.ServerStream, method string) (s *stream, err error) {
	ctx := ss.Context()
	var asked verifier.Asked
	defer a.settle(ctx, &asked, &err)
	a.known(ctx, method, &asked)
	t, err := a.token(ctx, &asked)
	if err != nil {
		return nil, err
	}
	c, err := a.read(ctx, t, &asked)
	if err != nil {
		return nil, err
	}
	s = &stream{
		ServerStream: ss,
		auth:         a,
		method:       method,
		extract:      a.options.Messages[method],
		verified:     new(atomic.Pointer[verifier.Verified]),
		ended:        make(chan struct{}),
		since:        time.Now(),
		changed:      a.verifier.RevocationsChanged(), // first, so that no change is missed
	}
	if s.authentic, err = a.verifier.AuthenticateFor(ctx, c, &asked); err != nil {
		return nil, err
	}
	if err := a.ask(ctx, method, &asked); err != nil {
		return nil, err
	}
	s.opening, s.asked = asked, asked
	if s.extract != nil {
		if s.expires, err = s.authentic.Unexpired(ctx); err != nil {
			return nil, err
		}
	} else {
		verified, err := s.authentic.Check(ctx, asked.Operation, asked.Facts)
		if err != nil {
			return nil, err
		}
		s.verified.Store(verified)
	}
	s.ctx, s.cancel = context.WithCancelCause(context.WithValue(ctx, contextKey{}, s.verified))
	if a.options.Forward {
		s.forward = macaroon.NewContext(s.ctx, c)
	}
	return s, nil
}

// outcome is how a handler ended.
type outcome struct {
	err      error
	panicked any // nil if it did not
}

var errNoAnswer = status.Error(codes.Internal, "the handler ended without an answer")

// serve runs the handler until it returns or the token ends. gRPC ends a stream when its
// interceptors return and not before, and nothing else wakes a handler that waits for a
// message: so the handler has a goroutine of its own.
func (s *stream) serve(server any, handler grpc.StreamHandler) error {
	defer s.cancel(nil)
	done, left := make(chan outcome), make(chan struct{})
	defer close(left)
	go func() {
		result := outcome{err: errNoAnswer} // it may end by runtime.Goexit
		defer func() {
			result.panicked = recover()
			s.logPanic(result.panicked)
			select {
			case done <- result:
			case <-left:
			}
		}()
		result.err = handler(server, s)
	}()
	result, refusal := s.watch(done)
	switch {
	case refusal != nil:
		return refusal
	case result.panicked != nil:
		panic(result.panicked) // for whoever recovers outside
	}
	if s.ctx.Err() == nil { // else there is nobody to answer
		if err := s.opened(); err != nil {
			return err
		}
	}
	return result.err
}

// logPanic says where a handler panicked: whoever recovers outside can't see that any
// more, and when the stream has ended, nobody does. A log that panics itself does not
// end the process: nobody could recover in this goroutine.
func (s *stream) logPanic(value any) {
	defer func() { recover() }()
	cause := verifier.PanicError(value)
	if cause == nil {
		return
	}
	log := cmp.Or(s.auth.options.Log, slog.Default())
	log.LogAttrs(s.ctx, slog.LevelError, "grpcauth: a handler panicked", slog.String("method", s.method), slog.Any("panic", cause))
}

// end ends the stream if err is a refusal, and gives the refusal that ended it.
func (s *stream) end(err error) error {
	refusal, ok := err.(*refused)
	if !ok {
		return nil
	}
	if s.refusal.CompareAndSwap(nil, refusal) {
		s.cancel(refusal)
		close(s.ended)
	}
	return s.over()
}

// decide decides on what a message asks for, or on asked where there is none, and ends the
// stream if that is refused.
func (s *stream) decide(asked verifier.Asked, message any) error {
	return s.end(s.check(asked, message))
}

func (s *stream) check(asked verifier.Asked, message any) (err error) {
	defer s.auth.settle(s.ctx, &asked, &err)
	if message != nil {
		if err := s.auth.about(s.ctx, &asked, s.extract, message); err != nil {
			return err
		}
	}
	verified, err := s.authentic.Check(s.ctx, asked.Operation, asked.Facts)
	if err != nil {
		return err
	}
	s.allow(asked, verified)
	return nil
}

func (s *stream) allow(asked verifier.Asked, verified *verifier.Verified) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = asked
	s.verified.Store(verified)
}

// latest is what was allowed last.
func (s *stream) latest() verifier.Asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// over is why the stream has ended, if it has.
func (s *stream) over() error {
	if refusal := s.refusal.Load(); refusal != nil {
		return refusal
	}
	return nil
}

// Context is that of the call, with the decision in it.
func (s *stream) Context() context.Context {
	if s.forward != nil && s.verified.Load() != nil {
		return s.forward
	}
	return s.ctx
}

// RecvMsg receives a message, and lets it through if the token allows it.
func (s *stream) RecvMsg(message any) error {
	if err := s.over(); err != nil {
		return err
	}
	err := s.ServerStream.RecvMsg(message)
	if over := s.over(); over != nil {
		return over // what came too late is not for the handler
	}
	if s.extract == nil {
		return err
	}
	switch err {
	case nil:
		return s.decide(s.opening, message)
	case io.EOF:
		if err := s.opened(); err != nil {
			return err
		}
	}
	return err
}

// SendMsg sends a message, if the token still holds.
func (s *stream) SendMsg(message any) error {
	if err := s.opened(); err != nil {
		return err
	}
	return s.ServerStream.SendMsg(message)
}

// SendHeader sends the header, if the token still holds.
func (s *stream) SendHeader(header metadata.MD) error {
	if err := s.opened(); err != nil {
		return err
	}
	return s.ServerStream.SendHeader(header)
}

// opened sees to it that something has been decided before the handler answers anything.
func (s *stream) opened() error {
	if err := s.over(); err != nil {
		return err
	}
	if s.verified.Load() != nil {
		return nil
	}
	return s.decide(s.opening, nil)
}
