package dischargehttp_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
)

// An operator sees why there was no discharge, which the client is not told: by the audit log each time, and without it
// if it was nobody's decision.
func TestLogs(t *testing.T) {
	for name, row := range map[string]struct {
		err    error // of the checker; nil discharges
		panics bool
		status int
		audit  string // the audit log
		log    string // the other one
	}{
		"discharged": {nil, false, http.StatusOK, "level=INFO msg=discharged client=CLIENT condition=member-of", ""},
		"refused": {errors.New("not one of them"), false, http.StatusUnauthorized,
			`level=WARN msg="discharge refused" client=CLIENT condition=member-of error="thirdparty: not one of them"`, ""},
		"somebody has to act": {dischargehttp.ErrInteractionRequired, false, http.StatusUnauthorized,
			`level=INFO msg="interaction required" client=CLIENT condition=member-of error="thirdparty: dischargehttp: interaction required"`, ""},
		"undecided": {caveat.Undecided(errors.New("no directory")), false, http.StatusServiceUnavailable,
			`level=ERROR msg="discharge undecided" client=CLIENT condition=member-of error="thirdparty: caveat: undecided: no directory"`,
			`level=WARN msg="dischargehttp: undecided" error="thirdparty: caveat: undecided: no directory"`},
		"panicked": {nil, true, http.StatusUnauthorized,
			`level=WARN msg="discharge refused" client=CLIENT condition=member-of error="thirdparty: caveat: checker panicked with a string"`,
			`level=ERROR msg="dischargehttp: the checker panicked" error="thirdparty: caveat: checker panicked with a string"`},
	} {
		t.Run(name, func(t *testing.T) {
			var audit, log strings.Builder
			checker := thirdparty.CheckerFunc(func(context.Context, thirdparty.Question) (thirdparty.Answer, error) {
				if row.panics {
					panic("a secret")
				}
				return thirdparty.Answer{}, row.err
			})
			flows, err := dischargehttp.NewFlows("", dischargehttp.FlowOptions{})
			require.NoError(t, err)
			s := newService(t, checker, dischargehttp.ServiceOptions{
				Caller: byHeader,
				Client: func(*http.Request) string { return "CLIENT" },
				Audit:  dischargehttp.AuditLog(plainLog(&audit)),
				Log:    plainLog(&log),
				Flows:  flows,
			})
			response := do(s, call{version: "3", caller: "ann", form: map[string][]string{"id64": {rawURL64(caveatFor(t, s, 3, isMember))}}})
			require.Equal(t, row.status, response.StatusCode)
			require.NotContains(t, text(t, response), "directory")
			require.Equal(t, row.audit, strings.TrimSpace(audit.String()))
			require.Equal(t, row.log, strings.TrimSpace(log.String()))
			require.NotContains(t, audit.String()+log.String(), "acme", "what is asked about whom may be personal")
			require.NotContains(t, audit.String()+log.String(), "ann")
		})
	}
}

// Where both logs are one, it has one line of what is undecided.
func TestLogsOnce(t *testing.T) {
	var log strings.Builder
	logger := plainLog(&log)
	checker := thirdparty.CheckerFunc(func(context.Context, thirdparty.Question) (thirdparty.Answer, error) {
		return thirdparty.Answer{}, caveat.Undecided(errors.New("no directory"))
	})
	s := newService(t, checker, dischargehttp.ServiceOptions{Audit: dischargehttp.AuditLog(logger), Log: logger})
	response := do(s, call{version: "3", form: map[string][]string{"id64": {rawURL64(caveatFor(t, s, 3, isMember))}}})
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
	require.Contains(t, log.String(), "level=ERROR")
}

// That a client goes away is nothing to wake anybody for.
func TestAuditLogOfWhoeverHasLeft(t *testing.T) {
	left, cancel := context.WithCancel(t.Context())
	cancel()
	for level, ctx := range map[string]context.Context{"WARN": left, "ERROR": t.Context()} {
		var audit strings.Builder
		dischargehttp.AuditLog(plainLog(&audit))(ctx, dischargehttp.Record{Err: context.Canceled})
		require.Contains(t, audit.String(), "level="+level+` msg="discharge undecided"`)
	}
}

// Anybody can write a condition with a name of any length.
func TestAuditLogCutsNames(t *testing.T) {
	var audit strings.Builder
	dischargehttp.AuditLog(plainLog(&audit))(t.Context(), dischargehttp.Record{Question: thirdparty.Question{Name: strings.Repeat("n", 4000)}})
	require.Less(t, audit.Len(), 200)
}

func plainLog(b *strings.Builder) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}
