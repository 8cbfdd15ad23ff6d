package verifier

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/amaretti-go/amaretti/macaroon"
)

// Record is what the audit hook is told of one decision. There is one for each
// Verify, VerifyText and [Authentic.Check], and for each [Verifier.Authenticate]
// that failed. It holds no signature and no key.
type Record struct {
	Time      time.Time     // when the decision began
	Elapsed   time.Duration // how long it took
	Operation string        // as asked for; empty where none was

	// Verified is the decision if it is to allow, Err if it is not. One of them
	// is nil. Attributes are in the decision and nowhere else: whether a log may
	// hold them is for the hook to know.
	Verified *Verified
	Err      *Error

	// What the token says of itself. Of one that was denied, revoked or has expired it is
	// proved, as of one that is allowed; else a refused one only claims it.
	Reference  string           // see Verified.Reference; empty if nothing was parsed, or too much
	Identifier string           // of the primary macaroon: bytes of any sort if foreign; empty like Reference
	KeyID      string           // empty if foreign or not parsed
	Subject    string           // empty if foreign or not parsed, or if it has none
	TokenID    macaroon.TokenID // zero if foreign or not parsed
	Caveats    []string         // names of the conditions in order, "third-party" for others
	ThirdParty []string         // of these others, in order, what macaroon.CaveatReference gives

	// Discharge tells likewise which caveat's discharge the refusal is about: the macaroon that
	// Err names, if that is not the primary one. Else it is empty.
	Discharge string

	// What was asked for, by the facts of the request; zero where that is not known.
	Method   string     // of HTTP, or the full method of gRPC
	Path     string     // as it was sent: of any length, and perhaps one that caveats take for absent
	Resource string     // see caveat.Facts
	ClientIP netip.Addr // see caveat.Facts
}

func (v *Verifier) audit(ctx context.Context, c macaroon.Credential, asked *Asked, verified *Verified, err *Error, start time.Time) {
	if v.options.Audit == nil {
		return
	}
	r := Record{Time: start, Verified: verified, Err: err}
	if asked != nil {
		facts := &asked.Facts
		r.Operation, r.Method, r.Path = asked.Operation, cmp.Or(facts.Method, facts.GRPCMethod), facts.Path
		r.Resource, r.ClientIP = facts.Resource, facts.ClientIP
	}
	// What is over a limit is not worth even this work.
	if view := c.Inspect(); view.Len() > 0 && (err == nil || err.Reason != OverLimit) {
		primary := view.At(0)
		r.Reference = reference(primary.Identifier(), primary.Caveats())
		r.Identifier = primary.Identifier()
		r.Caveats, r.ThirdParty = names(view)
		if err != nil && err.Macaroon > 0 {
			r.Discharge = macaroon.CaveatReference(view.At(err.Macaroon).Identifier())
		}
		if id, err := macaroon.ParseIdentifier(r.Identifier); err == nil && v.foreign == nil {
			r.KeyID, r.Subject, r.TokenID = id.KeyID, id.Subject, id.TokenID
		}
	}
	if err != nil {
		err.logged = new(atomic.Pointer[slog.Logger])
	}
	r.Elapsed = v.Now().Sub(start)
	v.options.Audit(ctx, r)
}

// names lists the names of conditions without their arguments, which may say
// more than a log should, and the references of third-party caveats.
func names(view macaroon.Unverified) (list, thirdParty []string) {
	for i := range view.Len() {
		for _, c := range view.At(i).Caveats().All() {
			name := "third-party"
			if c.ThirdParty() {
				thirdParty = append(thirdParty, macaroon.CaveatReference(c.ID))
			} else {
				name, _, _ = strings.Cut(c.ID, " ")
				name = name[:min(len(name), maxName)]
			}
			list = append(list, name)
		}
	}
	return list, thirdParty
}

const (
	maxName  = 64   // bytes of a name in a record, since a holder chooses it
	maxValue = 1024 // bytes of a path, say, in the audit log, since anybody chooses it
)

// AuditLog is an audit hook that writes to a log: at level info what is allowed, and requests
// that present nothing; what is undecided at error, unless the context was cancelled, since whoever asked
// has left; all else at warn. It leaves out what is not known, such as the key of
// what could not be parsed, or the subject of what did not prove authentic.
//
// It writes no attributes, which may be personal data. The method, the path without a
// query, the resource and the address of the client it does write, as access logs do. The
// logger gets the context of the request, so one whose handler adds a request id from it
// tells two like requests apart; and logger.With("service", "orders") tells verifiers apart
// that share a log. What "token" says, or "foreign", which is the SHA-256 of the identifier of
// a foreign one, is the same in the logs of all services that a token and what was narrowed
// from it went through. These, "key" and "subject" are what package revocation's Parse reads behind
// the same words, and so is what the detail of a refusal says behind "revoked: ". What
// "third-party" lists, and "discharge" picks from that, package dischargehttp's audit log writes
// behind "caveat". A nil logger is slog.Default, as it is in each decision.
func AuditLog(logger *slog.Logger) func(context.Context, Record) {
	return func(ctx context.Context, r Record) {
		level, decision := slog.LevelInfo, "allowed"
		var attrs []slog.Attr
		add := func(name, value string) {
			if value != "" {
				attrs = append(attrs, slog.String(name, value[:min(len(value), maxValue)]))
			}
		}
		add("operation", r.Operation)
		add("method", r.Method)
		add("path", r.Path)
		add("resource", r.Resource)
		if r.ClientIP.IsValid() {
			add("client", r.ClientIP.String())
		}
		if r.Err != nil {
			decision = r.Err.Class().String()
			level = slog.LevelWarn
			if r.Err.Class() == Undecided && !r.Err.left(ctx) {
				level = slog.LevelError
			}
			if r.Err.Reason == NothingPresented {
				level = slog.LevelInfo // clients that wait to be asked, and whoever scans
			}
			attrs = append(attrs, slog.Any("refusal", r.Err))
		}
		if r.Err == nil || r.Err.proved() { // else it is only claimed
			add("subject", r.Subject)
		}
		if r.Reference != "" {
			attrs = append(attrs, slog.String("reference", r.Reference), slog.String("caveats", strings.Join(r.Caveats, ",")))
		}
		if len(r.ThirdParty) > 0 {
			attrs = append(attrs, slog.String("third-party", strings.Join(r.ThirdParty, ",")))
		}
		add("discharge", r.Discharge)
		switch {
		case r.KeyID != "":
			attrs = append(attrs, slog.String("key", r.KeyID), slog.String("token", r.TokenID.String()))
		case r.Reference != "":
			sum := sha256.Sum256([]byte(r.Identifier))
			attrs = append(attrs, slog.String("foreign", hex.EncodeToString(sum[:])))
		}
		attrs = append(attrs, slog.Duration("elapsed", r.Elapsed))
		to := cmp.Or(logger, slog.Default())
		to.LogAttrs(ctx, level, decision, attrs...)
		if r.Err != nil && r.Err.logged != nil {
			r.Err.logged.Store(to)
		}
	}
}
