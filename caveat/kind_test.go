package caveat_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
)

// define makes a kind of texts that always gives the same answer.
func define(name string, answer error) caveat.Kind[string] {
	return caveat.Define(name, caveat.Text, func(context.Context, *caveat.Request, string) error { return answer })
}

// flag is a codec for a condition without an argument, and writes whatever it is told to.
type flag struct {
	argument string
	err      error
	panics   any
}

func (f flag) Parse(argument string) (bool, error) {
	if f.panics != nil {
		panic(f.panics)
	}
	if argument != "" {
		return false, errors.New("takes no argument")
	}
	return true, f.err
}

func (f flag) Format(bool) (string, error) { return f.argument, f.err }

func always(context.Context, *caveat.Request, bool) error { return nil }

func TestDefineCarriesItsProblems(t *testing.T) {
	yes := func(context.Context, *caveat.Request, string) error { return nil }
	for _, row := range []struct {
		name string
		kind caveat.Kind[string]
		want string
	}{
		{"zero kind", caveat.Kind[string]{}, "zero Kind"},
		{"no name", caveat.Define("", caveat.Text, yes), "not a name"},
		{"name in upper case", caveat.Define("Region", caveat.Text, yes), "not a name"},
		{"name with a space", caveat.Define("allow *", caveat.Text, yes), "not a name"},
		{"no codec", caveat.Define("region", nil, yes), "no codec"},
		{"no check", caveat.Define[string]("region", caveat.Text, nil), "no check"},
		{"nothing", caveat.Define[string]("", nil, nil), "no codec\nno check"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := row.kind.Of("eu").Condition()
			require.ErrorContains(t, err, row.want)
			registry, err := caveat.Standard().With(row.kind)
			require.ErrorContains(t, err, row.want)
			require.Equal(t, caveat.Registry{}, registry)
		})
	}
}

func TestOfRefusesWhatItCannotReadBack(t *testing.T) {
	for _, row := range []struct {
		name  string
		codec flag
		want  string
	}{
		{"fails to write", flag{err: errors.New("no such value")}, "no such value"},
		{"writes what it does not read", flag{argument: "x"}, "written but not readable"},
		{"writes a line feed", flag{argument: "\n"}, "control character"},
		{"panics", flag{panics: "secret"}, "checker panicked with a string"},
	} {
		t.Run(row.name, func(t *testing.T) {
			condition, err := caveat.Define("flag", row.codec, always).Of(true).Condition()
			require.ErrorContains(t, err, row.want)
			require.Empty(t, condition)
			require.NotContains(t, err.Error(), "secret")
		})
	}
	require.Equal(t, "flag", text(t, caveat.Define("flag", flag{}, always).Of(true)))
}

// An argument may be empty if the codec says so; both ways to write that are the same.
func TestConditionWithoutArgument(t *testing.T) {
	registry, err := caveat.Standard().With(caveat.Define("flag", flag{}, always))
	require.NoError(t, err)
	requireBoth(t, registry, request(), "flag", nil)
	requireBoth(t, registry, request(), "flag ", nil)
	requireBoth(t, registry, request(), "flag  ", caveat.ErrMalformed)
	requireBoth(t, registry, request(), "flag x", caveat.ErrMalformed)

	for _, name := range caveat.Standard().Names() {
		requireBoth(t, registry, request(), name, caveat.ErrMalformed)
		requireBoth(t, registry, request(), name+" ", caveat.ErrMalformed)
		requireBoth(t, registry, request(), name+"  ", wantForSpace(name))
	}
}

// wantForSpace: to an error caveat a space is text like any other, and it fails in any case.
func wantForSpace(name string) error {
	if name == "error" {
		return caveat.ErrNotMet
	}
	return caveat.ErrMalformed
}

// lax reads whatever it is given, as codecs do that only mean to pass text on.
type lax struct{ calls *int }

func (l lax) Parse(argument string) (string, error) { *l.calls++; return argument, nil }
func (lax) Format(value string) (string, error)     { return value, nil }

// A codec never sees a control character: one that is lax does not let one caveat look like two.
func TestCodecsSeeOnlyText(t *testing.T) {
	calls := 0
	kind := caveat.Define("note", lax{&calls}, func(context.Context, *caveat.Request, string) error { return nil })
	registry, err := caveat.Standard().With(kind)
	require.NoError(t, err)
	for _, argument := range []string{"a\nallow *", "a\r", "a\x00", "0123456\x00", "\x1b[31m and more", "a\x7f", "a\u009b", "a\xff"} {
		requireBoth(t, registry, request(), "note "+argument, caveat.ErrMalformed)
		_, err := kind.Of(argument).Condition()
		require.ErrorIs(t, err, caveat.ErrMalformed)
	}
	require.Zero(t, calls)
	requireBoth(t, registry, request(), "note a  b ", nil)
	require.Equal(t, 2, calls)
}

func TestCheckersErrors(t *testing.T) {
	cause := errors.New("store: timeout")
	for _, row := range []struct {
		name      string
		answer    error
		want      error
		undecided bool
		text      string
	}{
		{"not met", caveat.ErrNotMet, caveat.ErrNotMet, false, `caveat: "kind x": not met`},
		{"absent", caveat.ErrAbsent, caveat.ErrAbsent, false, `caveat: "kind x": fact absent`},
		{"any other error", cause, cause, false, `caveat: "kind x": store: timeout`},
		{"undecided", caveat.Undecided(cause), cause, true, `caveat: "kind x": undecided: store: timeout`},
		{"undecided without a cause", caveat.Undecided(nil), nil, true, `caveat: "kind x": undecided: no cause given`},
		{"cancelled", context.Canceled, context.Canceled, true, `caveat: "kind x": context canceled`},
		{"too late", context.DeadlineExceeded, context.DeadlineExceeded, true, `caveat: "kind x": context deadline exceeded`},
	} {
		t.Run(row.name, func(t *testing.T) {
			registry, err := caveat.Standard().With(define("kind", row.answer))
			require.NoError(t, err)
			if row.want != nil {
				requireBoth(t, registry, request(), "kind x", row.want)
			}
			err = registry.Check(t.Context(), request(), "kind x")
			require.EqualError(t, err, row.text)
			require.Equal(t, row.undecided, caveat.IsUndecided(err))
		})
	}
	require.False(t, caveat.IsUndecided(nil))
}

type secret struct{ key string }

func (s secret) Error() string { return s.key }

func TestPanicsDeny(t *testing.T) {
	const key = "the root key"
	for _, row := range []struct {
		name  string
		value any
		want  string
	}{
		{"text", key, "string"},
		{"an error", secret{key}, "caveat_test.secret"},
		{"a pointer", &secret{key}, "*caveat_test.secret"},
		{"nil", nil, "*runtime.PanicNilError"},
		{"a cancelled context", context.Canceled, "*errors.errorString"},
	} {
		t.Run(row.name, func(t *testing.T) {
			registry, err := caveat.Standard().With(
				caveat.Define("check", caveat.Text, func(context.Context, *caveat.Request, string) error { panic(row.value) }),
				caveat.Define("parse", flag{panics: key}, always))
			require.NoError(t, err)
			for _, condition := range []string{"check x", "parse"} {
				requireBoth(t, registry, request(), condition, caveat.ErrPanicked)
				err := registry.Check(t.Context(), request(), condition)
				require.NotContains(t, err.Error(), key)
				require.False(t, caveat.IsUndecided(err))
			}
			require.ErrorContains(t, registry.Check(t.Context(), request(), "check x"), "with a "+row.want)
		})
	}
}

// Errors quote what others wrote: on one line, and cut.
func TestErrorsAreShortAndOnOneLine(t *testing.T) {
	for _, condition := range []string{
		"unknown " + strings.Repeat("x", 4000),
		"audience " + strings.Repeat("x", 4000),
		"time-before " + strings.Repeat("9", 4000),
		"http-path /" + strings.Repeat("a", 4000) + "//",
		"audience \x1b[31m\r\n" + strings.Repeat("\x00", 4000),
		strings.Repeat("\xff", 4000),
	} {
		req := with(func(r *caveat.Request) { r.Audience = strings.Repeat("y", 4000) })
		err := caveat.Standard().Check(t.Context(), req, condition)
		require.Error(t, err)
		require.Less(t, len(err.Error()), 700)
		require.Equal(t, 1, strings.Count(err.Error(), "caveat: "), err.Error())
		for _, c := range err.Error() {
			require.GreaterOrEqual(t, c, ' ')
		}
	}
}
