package httpauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
	"github.com/amaretti-go/amaretti/verifier"
)

// request is what is asked for: an operation that is known beforehand, or one
// that the application tells from how it routes the request.
type request struct {
	operation string
	routed    bool
}

// decide makes one decision and one audit record. The application's functions are
// called only once the token has proved authentic, and what they panic with ends
// here.
func (a *Auth) decide(r *http.Request, asked request) (verified *verifier.Verified, c macaroon.Credential, refusal *verifier.Error) {
	ctx := r.Context()
	defer func() {
		// What still panics here is the audit hook, which is not told of it twice;
		// or there is no verifier.
		if cause := caught(recover()); cause != nil {
			verified, c, refusal = nil, macaroon.Credential{}, undecided(cause)
		}
		if refusal != nil {
			a.report(ctx, asked.operation, refusal)
		}
	}()

	c, err := a.credential(r, asked.operation)
	if err != nil {
		refusal, _ = refusalOf(err)
		return nil, macaroon.Credential{}, refusal
	}
	if !asked.routed && a.options.Facts == nil {
		verified, err = a.verifier.Verify(ctx, c, asked.operation, a.facts(r))
	} else {
		verified, err = a.decideInSteps(r, c, &asked)
	}
	if err != nil {
		refusal, _ = refusalOf(err)
		return nil, macaroon.Credential{}, refusal
	}
	return verified, c, nil
}

func (a *Auth) decideInSteps(r *http.Request, c macaroon.Credential, asked *request) (*verifier.Verified, error) {
	authentic, err := a.verifier.Authenticate(r.Context(), c)
	if err != nil {
		return nil, err
	}
	facts, err := a.ask(r, asked)
	if err != nil {
		return nil, a.verifier.Refuse(r.Context(), asked.operation, verifier.CheckUndecided, err)
	}
	return authentic.Check(r.Context(), asked.operation, facts)
}

// ask has the application say what is asked for. The error is its panic: it is not
// known what should have been decided.
func (a *Auth) ask(r *http.Request, asked *request) (facts caveat.Facts, err error) {
	defer func() {
		if cause := caught(recover()); cause != nil {
			facts, err = caveat.Facts{}, cause
		}
	}()
	if asked.routed {
		asked.operation = a.operation(r)
	}
	facts = a.facts(r)
	if a.options.Facts != nil {
		facts = a.options.Facts(r, facts)
	}
	return facts, nil
}

// operation asks the application. An empty one, which the verifier denies, is also
// that of a path which mux and checkers might read differently: what is asked for
// can't be told then.
func (a *Auth) operation(r *http.Request) string {
	if _, ok := caveat.CanonicalPath(sentPath(r)); !ok || a.options.Operation == nil {
		return ""
	}
	operation := a.options.Operation(r)
	if operation == verifier.AnyOperation { // a literal argument's alone
		return ""
	}
	return operation
}

// credential reads the one token of a request.
func (a *Auth) credential(r *http.Request, operation string) (macaroon.Credential, error) {
	ctx := r.Context()
	text, reason, err := token(r.Header)
	if err != nil {
		return macaroon.Credential{}, a.verifier.Refuse(ctx, operation, reason, err)
	}
	if !a.options.Import {
		return a.verifier.Parse(ctx, text, operation)
	}
	// Our own form is one of those that it reads, under the same limits.
	c, _, err := legacy.ImportWith([]byte(text), a.verifier.Limits())
	if err != nil {
		return macaroon.Credential{}, a.verifier.RefuseUnread(ctx, operation, err)
	}
	return c, nil
}

// refusalOf gives the refusal that err is. For any other error, and for a refusal that
// was never filled in, it makes one, so that they fail closed.
func refusalOf(err error) (refusal *verifier.Error, made bool) {
	refusal, is := errors.AsType[*verifier.Error](err)
	switch {
	case !is:
		return undecided(err), true
	case refusal == nil || refusal.Class() == verifier.ClassUnset:
		return undecided(errUnset), true
	}
	return refusal, false
}

var errUnset = errors.New("httpauth: refusal: nil, or without a reason")

// undecided makes a refusal that the verifier did not make.
func undecided(cause error) *verifier.Error {
	return &verifier.Error{Reason: verifier.CheckUndecided, Macaroon: -1, Caveat: -1, Cause: cause, Instance: rand.Text()}
}

// panicked is a panic that was caught. Its value may hold anything, so only the type
// is kept.
type panicked struct{ kind, at string }

func (p *panicked) Error() string { return "httpauth: panic with a " + p.kind }

// caught makes an error of what a deferred function recovered, which must call it
// itself. It is nil if there was no panic.
func caught(value any) error {
	if value == nil {
		return nil
	}
	return &panicked{fmt.Sprintf("%T", value), whereabouts()}
}

// report logs what an operator must know also without an audit hook.
func (a *Auth) report(ctx context.Context, operation string, refusal *verifier.Error) {
	level, message := slog.LevelWarn, "httpauth: undecided"
	attrs := []slog.Attr{slog.String("operation", operation), slog.Any("refusal", refusal)}
	if p, ok := errors.AsType[*panicked](refusal); ok {
		level, message = slog.LevelError, "httpauth: panic"
		attrs = append(attrs, slog.String("at", p.at))
	} else if errors.Is(refusal, caveat.ErrPanicked) {
		level, message = slog.LevelError, "httpauth: a checker panicked"
	} else if refusal.Class() != verifier.Undecided {
		return
	}
	a.log().LogAttrs(ctx, level, message, attrs...)
}

func (a *Auth) log() *slog.Logger {
	if a.options.Log == nil {
		return slog.Default()
	}
	return a.options.Log
}

// whereabouts says where the panic came from, innermost first: functions and lines
// only, since the runtime's own trace prints arguments, which may be bytes of a key.
func whereabouts() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	var b strings.Builder
	for {
		frame, more := frames.Next()
		fmt.Fprintf(&b, "%s:%d ", frame.Function, frame.Line)
		if !more {
			return strings.TrimSpace(b.String())
		}
	}
}
