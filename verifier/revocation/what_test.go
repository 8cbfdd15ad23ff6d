package revocation_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

func TestTexts(t *testing.T) {
	at := time.Date(2026, 11, 24, 3, 4, 5, 999, time.FixedZone("", 3600))
	for text, what := range map[string]revocation.What{
		"token 01000000000000000000000000000000":                                   revocation.Token(macaroon.TokenID{1}),
		"branch AQAAAAAAAAAAAAAAAAAAAA":                                            revocation.Branch([16]byte{1}),
		"key abcdefghijklm":                                                        revocation.Key("abcdefghijklm"),
		"subject a person, of some name ":                                          revocation.Subject("a person, of some name "),
		"key-until 2026-11-24T02:04:05Z abcdefghijklm":                             revocation.KeyUntil("abcdefghijklm", at),
		"subject-until 2026-11-24T02:04:05Z x y":                                   revocation.SubjectUntil("x y", at),
		"foreign 7e7db7fb3db52d65d1012c85c525d290922a63c7fa9eb0702d928a86891450ec": revocation.Foreign("session 42"),
	} {
		parsed, err := revocation.Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, text, parsed.String())
		require.Equal(t, what, parsed)
		var read revocation.What
		require.NoError(t, read.UnmarshalText([]byte(text)))
		require.Equal(t, parsed, read)
	}
	for _, text := range []string{
		"", " ", "token", "token ", "token 00000000000000000000000000000000", "token 0100000000000000000000000000000", "token 0A000000000000000000000000000000",
		"Token 01000000000000000000000000000000", "token  01000000000000000000000000000000",
		"branch", "branch AQAAAAAAAAAAAAAAAAAAAB", "branch AQAAAAAAAAAAAAAAAAAAAA==", "branch AQAAAAAAAAAAAAAAAAAAA\nA", "branch AAAAAAAAAAAAAAAAAAAAAA",
		"key", "key ", "subject", "subject ", "subject a\nb", "subject a\x00", "subject \xff", "subject " + strings.Repeat("x", 1025),
		"key-until abc", "key-until 2026-11-24T02:04:05Z", "key-until 2026-11-24T02:04:05Z ", "key-until 2026-11-24T02:04:05.5Z k", "key-until 2026-11-24T02:04:05+01:00 k",
		"subject-until 2026-11-24t02:04:05z x", "foreign", "foreign abcd", "foreign 7E7db7fb3db52d65d1012c85c525d290922a63c7fa9eb0702d928a86891450ec", "everything", "subjectx y",
	} {
		what, err := revocation.Parse(text)
		require.ErrorContains(t, err, `"subject NAME"`, "%q", text)
		require.True(t, what.IsZero(), "%q", text)
		if len(text) > 8 {
			require.NotContains(t, err.Error(), text)
		}
	}
	_, err := revocation.What{}.MarshalText()
	require.Error(t, err)
}

func FuzzParse(f *testing.F) {
	f.Add("token 01000000000000000000000000000000")
	f.Add("branch AQAAAAAAAAAAAAAAAAAAAA")
	f.Add("subject-until 2026-11-24T02:04:05Z x y")
	f.Add("foreign 7b502c3a1f48c8609ae212cdfb639dee39673f5e55e5d95a6a4d7d6a6b2f1ab0")
	f.Fuzz(func(t *testing.T, text string) {
		what, err := revocation.Parse(text)
		if err == nil {
			require.Equal(t, text, what.String())
			again, err := what.MarshalText()
			require.NoError(t, err)
			require.Equal(t, text, string(again))
		}
	})
}

func TestMemory(t *testing.T) {
	type who struct{}
	ctx := context.WithValue(t.Context(), who{}, "alice")
	m := revocation.NewMemory(func(ctx context.Context) string { name, _ := ctx.Value(who{}).(string); return name })
	subject := revocation.Subject("billing")
	until := time.Now().Add(time.Hour)
	require.NoError(t, m.Revoke(ctx, subject, until, "left"))
	require.NoError(t, m.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""))
	list, err := m.List(ctx)
	require.NoError(t, err)
	require.Len(t, list, 2)
	for _, e := range list {
		require.WithinDuration(t, time.Now(), e.At, time.Minute)
		if e.What == subject {
			require.Equal(t, "left", e.Reason)
			require.Equal(t, "alice", e.By)
			require.False(t, e.Until.Before(until))
			require.WithinDuration(t, until, e.Until, time.Second)
		} else {
			require.Empty(t, e.By)
			require.Zero(t, e.Until)
		}
	}

	require.ErrorIs(t, m.Revoke(ctx, subject, time.Now().Add(-time.Second), ""), revocation.ErrPast)
	require.Error(t, m.Revoke(ctx, revocation.What{}, time.Time{}, ""))
	require.Error(t, m.Revoke(ctx, revocation.Key(""), time.Time{}, ""))
	require.Error(t, m.Revoke(ctx, subject, time.Time{}, strings.Repeat("x", 1<<13)))
	require.Error(t, m.Revoke(ctx, subject, time.Time{}, "\xff"))
	found, err := m.Unrevoke(ctx, revocation.Key("another"))
	require.NoError(t, err)
	require.False(t, found)

	done, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, m.Revoke(done, subject, time.Time{}, ""), context.Canceled)
	_, err = m.Unrevoke(done, subject)
	require.ErrorIs(t, err, context.Canceled)
	_, err = m.List(done)
	require.ErrorIs(t, err, context.Canceled)
	_, err = m.Prune(done)
	require.ErrorIs(t, err, context.Canceled)
	_, err = m.Changes(done, revocation.Cursor{}, time.Hour)
	require.ErrorIs(t, err, context.Canceled)
}
