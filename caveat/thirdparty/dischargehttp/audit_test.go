package dischargehttp_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
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
		"discharged": {nil, false, http.StatusOK, "level=INFO msg=discharged client=CLIENT caveat=REFERENCE condition=member-of", ""},
		"refused": {errors.New("not one of them"), false, http.StatusUnauthorized,
			`level=WARN msg="discharge refused" client=CLIENT caveat=REFERENCE condition=member-of error="thirdparty: not one of them"`, ""},
		"somebody has to act": {dischargehttp.ErrInteractionRequired, false, http.StatusUnauthorized,
			`level=INFO msg="interaction required" client=CLIENT caveat=REFERENCE condition=member-of error="thirdparty: dischargehttp: interaction required"`, ""},
		"undecided": {caveat.Undecided(errors.New("no directory")), false, http.StatusServiceUnavailable,
			`level=ERROR msg="discharge undecided" client=CLIENT caveat=REFERENCE condition=member-of error="thirdparty: caveat: undecided: no directory"`,
			`level=WARN msg="dischargehttp: undecided" caveat=REFERENCE error="thirdparty: caveat: undecided: no directory"`},
		"panicked": {nil, true, http.StatusUnauthorized,
			`level=WARN msg="discharge refused" client=CLIENT caveat=REFERENCE condition=member-of error="thirdparty: caveat: checker panicked with a string"`,
			`level=ERROR msg="dischargehttp: the checker panicked" caveat=REFERENCE error="thirdparty: caveat: checker panicked with a string"`},
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
			id := caveatFor(t, s, 3, isMember)
			response := do(s, call{version: "3", caller: "ann", form: map[string][]string{"id64": {rawURL64(id)}}})
			require.Equal(t, row.status, response.StatusCode)
			require.NotContains(t, text(t, response), "directory")
			named := func(log string) string { return strings.ReplaceAll(log, "REFERENCE", macaroon.CaveatReference(id)) }
			require.Equal(t, named(row.audit), strings.TrimSpace(audit.String()))
			require.Equal(t, named(row.log), strings.TrimSpace(log.String()))
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

// One request can be followed from the service that asks for a discharge, to the client that fails to get one, to the
// third party that refused it, and then to the service again: all call the caveat the same.
func TestOneReferenceEverywhere(t *testing.T) {
	var told records
	var decided []verifier.Record
	now := time.Now()
	s := newService(t, members, dischargehttp.ServiceOptions{Caller: byHeader, Audit: told.audit})
	o := newOrders(t)
	v, err := verifier.New(o.keys, "orders", verifier.Options{
		Now:   func() time.Time { return now },
		Audit: func(_ context.Context, r verifier.Record) { decided = append(decided, r) },
	})
	require.NoError(t, err)
	verify := func(w macaroon.Wallet) (verifier.Record, error) {
		text, err := w.Encode()
		require.NoError(t, err)
		_, err = v.VerifyText(t.Context(), text, readOrders, caveat.Facts{})
		return decided[len(decided)-1], err
	}

	w := o.wallet(t, thirdparty.NewCaveat(s.Party(home), isMember))
	reference := macaroon.CaveatReference(w.Missing()[0].CaveatID)
	record, err := verify(w)
	require.ErrorIs(t, err, verifier.ErrMissingDischarge)
	require.Equal(t, []string{reference}, record.ThirdParty)
	require.Contains(t, record.Err.Detail(), "caveat "+reference)

	_, err = newClient(t, dischargehttp.ClientOptions{Base: inProcess(s)}, home).Discharge(soon(t), w)
	var failed *dischargehttp.Error
	require.ErrorAs(t, err, &failed)
	require.Equal(t, reference, failed.Reference)
	require.Contains(t, err.Error(), `third party at "`+home+`", for caveat `+reference+": refused with status 401")
	require.Error(t, told.all()[0].Err)
	require.Equal(t, reference, told.all()[0].Reference)

	with, err := newClient(t, dischargehttp.ClientOptions{Base: inProcess(s), Identity: as("ann")}, home).Discharge(soon(t), w)
	require.NoError(t, err)
	require.NoError(t, told.all()[1].Err)
	require.Equal(t, reference, told.all()[1].Reference)
	record, err = verify(with)
	require.NoError(t, err)
	require.Equal(t, []string{reference}, record.ThirdParty)
	require.Empty(t, record.Discharge)

	now = now.Add(10 * time.Minute) // past the discharge's expiry, and not the token's
	record, err = verify(with)
	require.ErrorIs(t, err, verifier.ErrExpired)
	require.Equal(t, reference, record.Discharge)
}

// What can't be read as a request is about no caveat.
func TestNoReference(t *testing.T) {
	var told records
	s := newService(t, members, dischargehttp.ServiceOptions{
		Caller: func(*http.Request) (any, error) { return nil, errors.New("nobody") },
		Audit:  told.audit,
	})
	do(s, call{version: "3", form: map[string][]string{"id64": {"!"}}})
	do(s, call{version: "3", form: map[string][]string{"id64": {rawURL64("anything")}}})
	require.Empty(t, told.all()[0].Reference)
	require.Equal(t, macaroon.CaveatReference("anything"), told.all()[1].Reference)
	require.NotContains(t, (&dischargehttp.Error{Location: home, Err: errors.New("away")}).Error(), "caveat")
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
