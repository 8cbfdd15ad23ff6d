package verifier_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

func TestAuthorization(t *testing.T) {
	for _, row := range []struct {
		name   string
		values []string
		text   string
		reason verifier.Reason
	}{
		{"none", nil, "", verifier.NothingPresented},
		{"one", []string{"Bearer AgEK"}, "AgEK", verifier.ReasonUnset},
		{"the other scheme, space around", []string{"\t macaroON   AgEK== "}, "AgEK==", verifier.ReasonUnset},
		{"another scheme", []string{"Basic AgEK"}, "", verifier.NothingPresented},
		{"scheme alone", []string{"Bearer"}, "", verifier.InvalidRequest},
		{"empty", []string{""}, "", verifier.InvalidRequest},
		{"two words", []string{"Bearer AgEK AgEK"}, "", verifier.InvalidRequest},
		{"comma", []string{"Bearer AgEK,Bearer AgEK"}, "", verifier.InvalidRequest},
		{"padding in the middle", []string{"Bearer AgE=K"}, "", verifier.InvalidRequest},
		{"two that are equal", []string{"Bearer AgEK", "Bearer AgEK"}, "", verifier.InvalidRequest},
	} {
		t.Run(row.name, func(t *testing.T) {
			text, reason, err := verifier.Authorization(row.values)
			require.Equal(t, row.reason != verifier.ReasonUnset, err != nil)
			require.Equal(t, row.reason, reason)
			require.Equal(t, row.text, text)
		})
	}
}

func TestRefusalOf(t *testing.T) {
	was := &verifier.Error{Reason: verifier.Expired, Instance: "x"}
	refusal, made := verifier.RefusalOf(errors.Join(io.EOF, was))
	require.Same(t, was, refusal)
	require.False(t, made)

	var none *verifier.Error
	for _, err := range []error{nil, io.EOF, none, &verifier.Error{}} {
		refusal, made := verifier.RefusalOf(err)
		require.True(t, made)
		require.ErrorIs(t, refusal, verifier.ErrUndecided)
		require.NotEmpty(t, refusal.Instance)
	}
}

// TestPanicError: the log says where, and neither says with what.
func TestPanicError(t *testing.T) {
	const secret = "do-not-leak"
	var err error
	func() {
		defer func() { err = verifier.PanicError(recover()) }()
		panic(secret)
	}()
	require.EqualError(t, err, "verifier: panic with a string")
	require.NoError(t, verifier.PanicError(nil))

	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Error("x", "panic", err)
	require.Contains(t, log.String(), "panic.kind=string panic.at=")
	require.Contains(t, log.String(), "TestPanicError")
	require.NotContains(t, log.String(), secret)

	log.Reset()
	refusal, _ := verifier.RefusalOf(err)
	verifier.LogRefusal(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), "http", "orders.read", refusal)
	require.Contains(t, log.String(), `level=ERROR msg="http: panic" operation=orders.read`)
	require.Contains(t, log.String(), "TestPanicError")
	require.NotContains(t, log.String(), secret)

	log.Reset()
	verifier.LogRefusal(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), "http", "", &verifier.Error{Reason: verifier.Expired})
	require.Empty(t, log.String())
}

// TestLogRefusalOnce: one log has one line of what is undecided, and two logs have it both.
func TestLogRefusalOnce(t *testing.T) {
	var audit, other bytes.Buffer
	auditLog, otherLog := slog.New(slog.NewTextHandler(&audit, nil)), slog.New(slog.NewTextHandler(&other, nil))
	checks := map[string]func(*caveat.Request) error{
		"down":   func(*caveat.Request) error { return caveat.Undecided(io.EOF) },
		"panics": func(*caveat.Request) error { panic("do-not-leak") },
	}
	registry := caveat.Standard()
	for name, check := range checks {
		registry = must(registry.With(caveat.Define(name, caveat.Text, func(_ context.Context, r *caveat.Request, _ string) error { return check(r) })))(t)
	}
	for name, row := range map[string]struct {
		hook      func(context.Context, verifier.Record)
		condition string
		log       *slog.Logger
		lines     int
	}{
		"one log":            {verifier.AuditLog(auditLog), "down x", auditLog, 0},
		"two logs":           {verifier.AuditLog(auditLog), "down x", otherLog, 1},
		"a hook that counts": {func(context.Context, verifier.Record) {}, "down x", auditLog, 1},
		"no hook":            {nil, "down x", auditLog, 1},
		"a panic":            {verifier.AuditLog(auditLog), "panics x", auditLog, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, verifier.Options{Registry: registry, Audit: row.hook})
			_, err := s.Verify(ctx, present(t, s.mint(t, macaroon.Condition(row.condition))), read, noFacts)
			refusal, made := verifier.RefusalOf(err)
			require.False(t, made)
			audit.Reset()
			other.Reset()
			verifier.LogRefusal(ctx, row.log, "http", read, refusal)
			require.Equal(t, row.lines, strings.Count(audit.String()+other.String(), "\n"))
		})
	}
}

// badError panics whatever it is asked, as a typed nil pointer may.
type badError struct{}

func (*badError) Error() string { panic("do-not-leak") }
func (*badError) Is(error) bool { panic("do-not-leak") }
func (*badError) Unwrap() error { panic("do-not-leak") }

// badLog panics at each line.
type badLog struct{ slog.Handler }

func (badLog) Enabled(context.Context, slog.Level) bool  { return true }
func (badLog) Handle(context.Context, slog.Record) error { panic("do-not-leak") }

// TestBadCause: a refusal can be told from others, and logged, whatever its cause is; and a log can't stand in the
// way of the answer.
func TestBadCause(t *testing.T) {
	refusal, _ := verifier.RefusalOf(nil)
	refusal.Cause = &badError{}
	require.ErrorIs(t, refusal, verifier.ErrUndecided)
	require.NotErrorIs(t, refusal, io.EOF)
	var log bytes.Buffer
	verifier.LogRefusal(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), "http", "orders.read", refusal)
	require.Contains(t, log.String(), `msg="http: undecided"`)
	require.NotContains(t, log.String(), "do-not-leak")
	require.NotPanics(t, func() {
		verifier.LogRefusal(t.Context(), slog.New(badLog{}), "http", "orders.read", refusal)
	})
}

func TestServedHost(t *testing.T) {
	served := []string{"orders.internal", "2001:db8::7", "192.0.2.1"}
	for sent, want := range map[string]string{
		"orders.internal":        "orders.internal",
		"orders.internal:8443":   "orders.internal",
		"Orders.INTERNAL":        "", // a mux takes it for another host
		"[2001:db8::7]:443":      "2001:db8::7",
		"[2001:db8::7]":          "2001:db8::7",
		"[2001:DB8::7]:443":      "",
		"[2001:db8:0::7]":        "",
		"2001:db8::7":            "",
		"2001:db8::7:443":        "",
		"192.0.2.1:80":           "192.0.2.1",
		"[192.0.2.1]":            "",
		"[192.0.2.1]:80":         "",
		"evil.example":           "",
		"orders.internal.":       "",
		"orders.internal.evil":   "",
		"evil.orders.internal":   "",
		"orders.internal@evil":   "",
		"orders.internal:80:80":  "",
		"[orders.internal":       "",
		"[orders.internal:80":    "",
		"orders.internal]":       "",
		"[orders.internal]":      "",
		"[orders.internal]:80":   "",
		"[[2001:db8::7]]":        "",
		"[2001:db8::7":           "",
		"[2001:db8::7]:80evil]":  "",
		"[2001:db8::7]evil":      "",
		"":                       "",
		":80":                    "",
		"[]":                     "",
		"orders.internal, other": "",
	} {
		require.Equal(t, want, verifier.ServedHost(served, sent), sent)
		require.Empty(t, verifier.ServedHost(nil, sent))
	}
}
