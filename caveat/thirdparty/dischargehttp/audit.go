package dischargehttp

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
)

// Record is what a [Service] did about one request for a discharge.
type Record struct {
	// Client is what ServiceOptions.Client said.
	Client string

	// Reference is what [macaroon.CaveatReference] gives for the caveat; empty if the request can't be read, or
	// waits for nothing that is known. Clients, and whoever verifies the token, know it by the same.
	Reference string

	// Question is what the checker was asked, with the caller; zero if it did not come to that.
	Question thirdparty.Question

	// Err is nil if the caveat was discharged, and says why not if it was not. It wraps ErrInteractionRequired
	// if somebody has to act first.
	Err error

	logged *atomic.Pointer[slog.Logger] // the log that AuditLog wrote this to; nil if it was discharged
}

// AuditLog is an audit hook that writes to a log: at level info what is discharged, and that somebody has to act
// first; what is undecided at error, unless the context was cancelled, since whoever asked has left; all else at warn.
// Of the condition it writes the name alone, and nothing of the caller, since both may be personal data; but the text
// of the checker's error. Behind "caveat" stands the reference, as in an [Error] of the client and, behind "third-party",
// in the audit log of package verifier. The logger gets the context of the request. A nil logger is slog.Default, as it
// is at each request.
func AuditLog(logger *slog.Logger) func(context.Context, Record) {
	return func(ctx context.Context, r Record) {
		level, what := slog.LevelInfo, "discharged"
		switch {
		case r.Err == nil:
		case errors.Is(r.Err, ErrInteractionRequired):
			what = "interaction required"
		case caveat.IsUndecided(r.Err):
			level, what = slog.LevelError, "discharge undecided"
			if errors.Is(ctx.Err(), context.Canceled) {
				level = slog.LevelWarn
			}
		default:
			level, what = slog.LevelWarn, "discharge refused"
		}
		attrs := []slog.Attr{slog.String("client", r.Client)}
		if r.Reference != "" {
			attrs = append(attrs, slog.String("caveat", r.Reference))
		}
		if name := r.Question.Name; name != "" {
			attrs = append(attrs, slog.String("condition", name[:min(len(name), maxName)]))
		}
		if r.Err != nil {
			attrs = append(attrs, slog.Any("error", r.Err))
		}
		to := cmp.Or(logger, slog.Default())
		to.LogAttrs(ctx, level, what, attrs...)
		if r.logged != nil {
			r.logged.Store(to)
		}
	}
}

const maxName = 64 // bytes of a condition's name in a log, since anybody can write one

// logFailure writes to a log what an operator must know also without an audit hook, and what the audit log has not
// written there.
func logFailure(ctx context.Context, logger *slog.Logger, r Record) {
	logger = cmp.Or(logger, slog.Default())
	switch {
	case errors.Is(r.Err, caveat.ErrPanicked):
		logger.ErrorContext(ctx, "dischargehttp: the checker panicked", "caveat", r.Reference, "error", r.Err)
	case caveat.IsUndecided(r.Err) && r.logged.Load() != logger:
		logger.WarnContext(ctx, "dischargehttp: undecided", "caveat", r.Reference, "error", r.Err)
	}
}
