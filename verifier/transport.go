package verifier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"

	"github.com/amaretti-go/amaretti/caveat"
)

// What follows is for transports, such as packages httpauth and grpcauth: they turn
// every error into one answer, whatever the application's code does in between.

// Asked is what a request asks for, as far as it is known, for the audit record of a refusal
// that comes before any decision on it. Nil says that nothing is known.
type Asked struct {
	Operation string
	Facts     caveat.Facts
}

// RefusalOf gives the refusal that err is. For any other error, nil too, and for a refusal
// that was never filled in, it makes one of class undecided, so that they fail closed;
// made tells that nobody has recorded it yet.
func RefusalOf(err error) (refusal *Error, made bool) {
	refusal, is := errors.AsType[*Error](err)
	switch {
	case !is:
		return refuse(CheckUndecided, err), true
	case refusal == nil || refusal.Class() == ClassUnset:
		return refuse(CheckUndecided, errUnset), true
	}
	return refusal, false
}

var errUnset = errors.New("verifier: refusal: nil, or without a reason")

// PanicError makes an error of what recover gave, in the deferred function that called
// it; nil if there was no panic. Of the value, which may hold anything, only the type is
// kept, and for logs where it came from.
func PanicError(value any) error {
	if value == nil {
		return nil
	}
	return &panicked{fmt.Sprintf("%T", value), whereabouts()}
}

type panicked struct{ kind, at string }

func (p *panicked) Error() string { return "verifier: panic with a " + p.kind }

// LogValue tells where as well.
func (p *panicked) LogValue() slog.Value {
	return slog.GroupValue(slog.String("kind", p.kind), slog.String("at", p.at))
}

// LogRefusal writes to a log what an operator must know of a refusal also without an
// audit hook: that it is undecided, or that something panicked. Of others it writes
// nothing, nor that one is undecided which [AuditLog] wrote to this very logger. The name
// of the transport begins the line; a nil logger is slog.Default. A logger that panics is
// the application's too: that ends here, since the peer is still to be answered.
func LogRefusal(ctx context.Context, logger *slog.Logger, transport, operation string, refusal *Error) {
	defer func() { recover() }()
	logger = cmp.Or(logger, slog.Default())
	level, message := slog.LevelWarn, ": undecided"
	attrs := []slog.Attr{slog.String("operation", operation), slog.Any("refusal", refusal)}
	if p, ok := errors.AsType[*panicked](refusal); ok {
		level, message = slog.LevelError, ": panic"
		attrs = append(attrs, slog.String("at", p.at))
	} else if errors.Is(refusal, caveat.ErrPanicked) {
		level, message = slog.LevelError, ": a checker panicked"
	} else if refusal.Class() != Undecided || refusal.logged != nil && refusal.logged.Load() == logger {
		return
	}
	logger.LogAttrs(ctx, level, transport+message, attrs...)
}

// whereabouts says where the panic came from, innermost first: functions and lines
// only, since the runtime's own trace prints arguments, which may be bytes of a key.
func whereabouts() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var b strings.Builder
	for {
		frame, more := frames.Next()
		fmt.Fprintf(&b, "%s:%d ", frame.Function, frame.Line)
		if !more {
			return strings.TrimSpace(b.String())
		}
	}
}

// ServedHost gives the host that a request was sent to if it is one of those that are
// served, since a client can send any, and else "". Its port is left out, and an IPv6
// address stands in served without brackets. Letter case counts, as to a mux, so that
// caveats and patterns see the same.
func ServedHost(served []string, sent string) string {
	if port := strings.LastIndexByte(sent, ':'); port > strings.LastIndexByte(sent, ']') {
		sent = sent[:port]
	}
	for _, host := range served {
		address := strings.Contains(host, ":") // of IPv6, since there is no port
		if !address && sent == host || address && sent == "["+host+"]" {
			return host
		}
	}
	return ""
}
