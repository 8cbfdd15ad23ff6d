package verifier_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

func TestAuditOncePerDecision(t *testing.T) {
	var records []verifier.Record
	s := newService(t, verifier.Options{Audit: func(_ context.Context, r verifier.Record) { records = append(records, r) }})
	token := s.mint(t, thirdParty("a"))
	good, missing := present(t, token, discharge(t, "a")), present(t, token)
	text := must(good.Encode())(t)
	last := func() verifier.Record {
		t.Helper()
		require.Len(t, records, 1)
		r := records[0]
		records = nil
		require.True(t, (r.Verified == nil) != (r.Err == nil))
		return r
	}

	who, err := s.VerifyText(ctx, text, read, caveat.Facts{})
	require.NoError(t, err)
	r := last()
	require.Equal(t, read, r.Operation)
	require.Same(t, who, r.Verified)
	require.Equal(t, who.Reference(), r.Reference)
	require.Equal(t, who.KeyID(), r.KeyID)
	require.Equal(t, who.TokenID(), r.TokenID)
	require.Equal(t, []string{"time-before", "audience", "allow", "third-party"}, r.Caveats)
	require.Equal(t, []string{macaroon.CaveatReference("a")}, r.ThirdParty)

	_, err = s.VerifyText(ctx, text, "orders.write", caveat.Facts{})
	require.Same(t, err, error(last().Err))
	_, err = s.VerifyText(ctx, "garbage!", read, caveat.Facts{})
	require.Error(t, err)
	require.Empty(t, last().Reference)
	_, err = s.Verify(ctx, missing, read, caveat.Facts{})
	require.Error(t, err)
	require.Equal(t, verifier.MissingDischarge, last().Err.Reason)
	_, err = s.Verify(ctx, macaroon.Credential{}, read, caveat.Facts{})
	require.Error(t, err)
	require.Equal(t, verifier.Malformed, last().Err.Reason)
	_, err = s.Authenticate(ctx, missing)
	require.Error(t, err)
	require.Empty(t, last().Operation)

	a, err := s.Authenticate(ctx, good)
	require.NoError(t, err)
	require.Empty(t, records, "not a decision yet")
	_, err = a.Check(ctx, read, caveat.Facts{})
	require.NoError(t, err)
	last()
	_, err = a.Check(ctx, "", caveat.Facts{})
	require.Error(t, err)
	last()

	refusal := s.Refuse(ctx, &verifier.Asked{Operation: read}, verifier.NothingPresented, nil)
	require.Same(t, refusal, last().Err)
	require.ErrorIs(t, refusal, verifier.ErrUnauthenticated)

	long := present(t, narrow(t, token, macaroon.Condition(strings.Repeat("n", 1000))))
	_, _ = s.Verify(ctx, long, read, caveat.Facts{})
	require.Len(t, last().Caveats[4], 64)
}

// What the log calls a token, of another system too, ties together what was narrowed from
// one and is what it can be revoked by; and a handler learns what the minter wrote.
func TestAuditLogSaysWhatToRevoke(t *testing.T) {
	var out bytes.Buffer
	options := verifier.Options{Audit: verifier.AuditLog(slog.New(slog.NewTextHandler(&out, nil)))}
	native := newService(t, options)
	ours, theirs := native.mint(t), must(macaroon.New(foreignKey, "user:ann", ""))(t)
	id := must(macaroon.ParseIdentifier(ours.Identifier()))(t)
	for name, row := range map[string]struct {
		v     *verifier.Verifier
		token macaroon.Macaroon
		say   []revocation.What
	}{
		"ours":   {native.Verifier, ours, []revocation.What{revocation.Token(id.TokenID), revocation.Key(id.KeyID), revocation.Subject("billing")}},
		"theirs": {foreignVerifier(t, options), theirs, []revocation.What{revocation.Foreign("user:ann")}},
	} {
		for _, m := range []macaroon.Macaroon{row.token, narrow(t, row.token, caveat.Operations(read))} {
			out.Reset()
			who, err := row.v.Verify(ctx, present(t, m), read, noFacts)
			require.NoError(t, err, name)
			require.Equal(t, m.Identifier(), who.Identifier())
			for _, what := range row.say {
				require.Contains(t, out.String(), " "+strings.Replace(what.String(), " ", "=", 1)+" ", name)
			}
			require.NotContains(t, out.String(), "ann", "whose it is may be personal")
		}
	}
}

// The log tells of third-party caveats what the third parties' own logs do, and of a refusal
// whose discharge it is about.
func TestAuditLogNamesDischarges(t *testing.T) {
	var out bytes.Buffer
	s := newService(t, verifier.Options{Audit: verifier.AuditLog(slog.New(slog.NewTextHandler(&out, nil)))})
	token := s.mint(t, thirdParty("a"), thirdParty("b"))
	a, b := macaroon.CaveatReference("a"), macaroon.CaveatReference("b")
	for name, row := range map[string]struct {
		credential macaroon.Credential
		reason     verifier.Reason // unset: allowed
		discharge  string
	}{
		"allowed":            {present(t, token, discharge(t, "a"), discharge(t, "b")), verifier.ReasonUnset, ""},
		"one is missing":     {present(t, token, discharge(t, "b")), verifier.MissingDischarge, ""},
		"one is over":        {present(t, token, discharge(t, "a"), discharge(t, "b", caveat.ExpiresAt(time.Now().Add(-time.Minute)))), verifier.Expired, b},
		"one does not allow": {present(t, token, discharge(t, "a", caveat.Methods("PUT")), discharge(t, "b")), verifier.CaveatFailed, a},
		"none is bound":      {unbound(t, token, discharge(t, "a"), discharge(t, "b")), verifier.SignatureMismatch, b}, // the last is walked first
		"the token's own":    {present(t, narrow(t, token, caveat.Methods("PUT")), discharge(t, "a"), discharge(t, "b")), verifier.CaveatFailed, ""},
	} {
		out.Reset()
		_, err := s.Verify(ctx, row.credential, read, get)
		if row.reason != verifier.ReasonUnset {
			require.Equal(t, row.reason, reasonOf(t, err), name)
		} else {
			require.NoError(t, err, name)
		}
		require.Contains(t, out.String(), " third-party="+a+","+b+" ", name)
		if row.discharge != "" {
			require.Contains(t, out.String(), " discharge="+row.discharge+" ", name)
		} else {
			require.NotContains(t, out.String(), " discharge=", name)
		}
	}
	out.Reset()
	_, err := s.Verify(ctx, present(t, s.mint(t)), read, noFacts)
	require.NoError(t, err)
	require.NotContains(t, out.String(), " third-party=")
}

func TestAuditOfForeignTokens(t *testing.T) {
	var record verifier.Record
	hook := func(_ context.Context, r verifier.Record) { record = r }
	s := newService(t, verifier.Options{})
	v := foreignVerifier(t, verifier.Options{Audit: hook, Limits: macaroon.Limits{Caveats: 4}})
	_, err := v.Verify(ctx, present(t, s.mint(t)), read, noFacts) // with an identifier that looks native
	require.Error(t, err)
	require.Empty(t, record.KeyID)
	require.Zero(t, record.TokenID)
	require.NotEmpty(t, record.Reference)

	// What is over a limit costs the audit nothing either.
	_, err = v.Verify(ctx, present(t, s.mint(t, macaroon.Condition("x"), macaroon.Condition("y"))), read, noFacts)
	require.Error(t, err)
	require.Equal(t, verifier.OverLimit, record.Err.Reason)
	require.Empty(t, record.Reference)
	require.Empty(t, record.Caveats)
}

// Two tokens that differ in what a third party's caveat seals are two, and so are two that
// differ in where one caveat ends and the next begins.
func TestReferencesDiffer(t *testing.T) {
	s := newService(t, verifier.Options{})
	token := s.mint(t)
	seen := map[string]bool{}
	for _, m := range []macaroon.Macaroon{token, narrow(t, token, thirdParty("a")), narrow(t, token, thirdParty("a")), narrow(t, token, macaroon.Condition("a")),
		narrow(t, token, conditions("ab", "c")...), narrow(t, token, conditions("a", "bc")...)} {
		var list []macaroon.Macaroon
		if m.Inspect().Caveats().Len() > 3 && m.Inspect().Caveats().At(3).ThirdParty() {
			list = append(list, discharge(t, "a"))
		}
		a := must(s.Authenticate(ctx, present(t, m, list...)))(t)
		require.False(t, seen[a.Reference()])
		seen[a.Reference()] = true
	}
}

func TestInstancesDiffer(t *testing.T) {
	s := newService(t, verifier.Options{})
	seen := map[string]bool{}
	for range 50 {
		e := s.Refuse(ctx, &verifier.Asked{Operation: read}, verifier.NothingPresented, nil)
		require.NotEmpty(t, e.Instance)
		require.False(t, seen[e.Instance])
		seen[e.Instance] = true
	}
}

func TestReasons(t *testing.T) {
	require.Equal(t, verifier.ClassUnset, verifier.ReasonUnset.Class())
	require.Equal(t, "unset", verifier.ReasonUnset.String())
	require.Equal(t, "unset", verifier.Reason(255).String())
	require.Equal(t, verifier.ClassUnset, verifier.Reason(255).Class())
	names := map[string]bool{}
	for r := verifier.ReasonUnset + 1; r <= verifier.CheckUndecided; r++ {
		require.NotEqual(t, verifier.ClassUnset, r.Class(), r)
		require.NotEmpty(t, r.String())
		require.False(t, names[r.String()], r)
		names[r.String()] = true
	}
	var zero verifier.Error
	for _, sentinel := range []error{verifier.ErrUnauthenticated, verifier.ErrDenied, verifier.ErrUndecided, verifier.ErrExpired} {
		require.NotErrorIs(t, &zero, sentinel)
	}
}

func TestSecretsDontPrint(t *testing.T) {
	source := newFakeSource()
	var out bytes.Buffer
	hook := verifier.AuditLog(slog.New(slog.NewJSONHandler(&out, nil)))
	plain := verifier.AuditLog(slog.New(slog.NewTextHandler(&out, nil)))
	v := must(verifier.New(source, "orders", verifier.Options{Audit: func(ctx context.Context, r verifier.Record) {
		hook(ctx, r)
		plain(ctx, r)
		fmt.Fprintf(&out, "%v %+v %#v %s %q %x\n", r, r, r, r, r, r)
	}}))(t)
	fixed := must(verifier.FixedKey(source.key(), verifier.ForeignGrant{Operations: []string{"*"}}))(t)
	foreign := must(verifier.NewForeign(fixed, "orders", verifier.Options{InsecureNoExpiry: true, InsecureNoAudience: true}))(t)
	token := mintFrom(t, source, thirdParty("a"))
	d := discharge(t, "a")
	good := present(t, token, d)

	print := func(values ...any) {
		type holder struct{ v any } // where fmt calls no methods
		for _, v := range values {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				fmt.Fprintf(&out, verb+verb+"\n", v, holder{v})
			}
			for _, logger := range []*slog.Logger{slog.New(slog.NewJSONHandler(&out, nil)), slog.New(slog.NewTextHandler(&out, nil))} {
				logger.Info("value", "v", v)
			}
			func() {
				defer func() { fmt.Fprintln(&out, recover()) }()
				panic(v)
			}()
		}
	}
	who := must(v.Verify(ctx, good, read, caveat.Facts{}))(t)
	a := must(v.Authenticate(ctx, good))(t)
	print(v, *v, foreign, fixed, who, *who, a)
	for _, c := range []macaroon.Credential{present(t, token), unbound(t, token, d), present(t, narrow(t, token, macaroon.Condition("error x")), d)} {
		_, err := v.Verify(ctx, c, read, caveat.Facts{})
		require.Error(t, err)
		print(err, fmt.Errorf("wrapped: %w", err))
		fmt.Fprintln(&out, err.(*verifier.Error).Detail())
	}
	require.Contains(t, out.String(), `"reason":"missing-discharge"`)
	require.Contains(t, out.String(), `level=WARN msg=denied`)

	derived, _, err := source.RootSignature(ctx, token.Identifier())
	require.NoError(t, err)
	secrets := [][]byte{source.key(), derived[:]}
	for _, data := range [][]byte{must(token.MarshalBinary())(t), must(d.MarshalBinary())(t), binary(t, good)} {
		secrets = append(secrets, data[len(data)-32:])
	}
	for i, secret := range secrets {
		for _, form := range []string{
			string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
			base64.StdEncoding.EncodeToString(secret)[:40], base64.RawURLEncoding.EncodeToString(secret)[:40],
			strings.Trim(fmt.Sprint(secret), "[]"), fmt.Sprintf("%q", secret),
		} {
			require.NotContains(t, out.String(), form, "secret %d", i)
		}
	}
}

func TestAuditLogLevels(t *testing.T) {
	var out bytes.Buffer
	source := newFakeSource()
	v := must(verifier.New(source, "orders", verifier.Options{Audit: verifier.AuditLog(slog.New(slog.NewTextHandler(&out, nil)))}))(t)
	c := present(t, mintFrom(t, source))
	_, err := v.Verify(ctx, c, read, caveat.Facts{})
	require.NoError(t, err)
	require.Contains(t, out.String(), "level=INFO msg=allowed operation=orders.read")
	source.broken.Store(true)
	_, err = v.Verify(ctx, c, read, caveat.Facts{})
	require.Error(t, err)
	require.Contains(t, out.String(), "level=ERROR msg=undecided")
	require.Contains(t, out.String(), err.(*verifier.Error).Instance)
}

// An auditor sees what was asked for, of what and from where, also of what was refused.
func TestAuditTellsTheRequest(t *testing.T) {
	var out bytes.Buffer
	var record verifier.Record
	log := verifier.AuditLog(slog.New(slog.NewTextHandler(&out, nil)))
	s := newService(t, verifier.Options{Audit: func(ctx context.Context, r verifier.Record) {
		record = r
		log(ctx, r)
	}})
	good := must(present(t, s.mint(t)).Encode())(t)
	facts := caveat.Facts{Method: "DELETE", Path: "/orders/..%2f7", Resource: "orders/7", ClientIP: netip.MustParseAddr("192.0.2.7")}
	for name, decide := range map[string]func() error{
		"text":   func() error { _, err := s.VerifyText(ctx, good, read, facts); return err },
		"denied": func() error { _, err := s.VerifyText(ctx, good, "orders.delete", facts); return err },
		"unauthenticated": func() error {
			_, err := s.Verify(ctx, present(t, newService(t, verifier.Options{}).mint(t)), read, facts)
			return err
		},
		"check": func() error {
			_, err := must(s.Authenticate(ctx, present(t, s.mint(t))))(t).Check(ctx, read, facts)
			return err
		},
	} {
		out.Reset()
		_ = decide()
		require.Equal(t, []string{facts.Method, facts.Path, facts.Resource}, []string{record.Method, record.Path, record.Resource}, name)
		require.Equal(t, facts.ClientIP, record.ClientIP, name)
		require.Contains(t, out.String(), ` method=DELETE path=/orders/..%2f7 resource=orders/7 client=192.0.2.7 `, name)
	}

	out.Reset()
	_, err := s.VerifyText(ctx, good, read, caveat.Facts{GRPCMethod: "/shop.Orders/Get"})
	require.NoError(t, err)
	require.Contains(t, out.String(), ` method=/shop.Orders/Get subject=`)
	out.Reset()
	_, err = s.VerifyText(ctx, good, read, caveat.Facts{Path: "/" + strings.Repeat("x", 4000)})
	require.NoError(t, err)
	require.Less(t, out.Len(), 1500)
}

// What is open and ends by its token was asked for, too.
func TestAuditNamesTheOperationOfWhatIsOpen(t *testing.T) {
	var record verifier.Record
	var gone bool
	now := time.Now()
	s := newService(t, verifier.Options{
		Now:         func() time.Time { return now },
		Revocations: revocations(func(verifier.Revocable) (bool, error) { return gone, nil }),
		Audit:       func(_ context.Context, r verifier.Record) { record = r },
	})
	a := must(s.AuthenticateFor(ctx, present(t, s.mint(t)), &verifier.Asked{Operation: read, Facts: caveat.Facts{GRPCMethod: "/a.B/C"}}))(t)
	gone = true
	require.ErrorIs(t, a.Reauthenticate(ctx), verifier.ErrRevoked)
	require.Equal(t, read, record.Operation)
	require.Equal(t, "/a.B/C", record.Method)
	record = verifier.Record{}
	now = now.Add(100 * time.Hour)
	_, err := a.Unexpired(ctx)
	require.ErrorIs(t, err, verifier.ErrExpired)
	require.Equal(t, read, record.Operation)
}

// That a client goes away is nothing to wake anybody for. That a time is over may be.
func TestAuditLogOfWhoeverHasLeft(t *testing.T) {
	var out bytes.Buffer
	s := newService(t, verifier.Options{Audit: verifier.AuditLog(slog.New(slog.NewTextHandler(&out, nil)))})
	left, cancel := context.WithCancel(ctx)
	cancel()
	late, cancel := context.WithTimeout(ctx, 0)
	defer cancel()
	for level, ctx := range map[string]context.Context{"WARN": left, "ERROR": late} {
		out.Reset()
		_, err := s.Verify(ctx, present(t, s.mint(t)), read, noFacts)
		require.ErrorIs(t, err, verifier.ErrUndecided)
		require.Contains(t, out.String(), "level="+level+" msg=undecided")
	}
	// What failed before that is an error all the same.
	out.Reset()
	leaving, cancel := context.WithCancel(ctx)
	s = newService(t, verifier.Options{
		Revocations: revocations(func(verifier.Revocable) (bool, error) { cancel(); return false, errors.New("stale") }),
		Audit:       verifier.AuditLog(slog.New(slog.NewTextHandler(&out, nil))),
	})
	_, err := s.Verify(leaving, present(t, s.mint(t)), read, noFacts)
	require.ErrorIs(t, err, verifier.ErrUndecided)
	require.Contains(t, out.String(), "level=ERROR msg=undecided")
}

// Nobody's logger is everybody's, as in the other packages.
func TestAuditLogByDefault(t *testing.T) {
	var out bytes.Buffer // where slog.Default writes to, by way of package log
	log.SetOutput(&out)
	defer log.SetOutput(os.Stderr)
	s := newService(t, verifier.Options{Audit: verifier.AuditLog(nil)})
	_, err := s.VerifyText(ctx, "garbage!", read, noFacts)
	require.Error(t, err)
	require.Contains(t, out.String(), "WARN unauthenticated operation=orders.read")
}

// Who was denied is known, since the token proved authentic, and so is whose token was
// revoked or has expired; of one that did not prove authentic, nothing is.
func TestAuditLogNamesWhoseTokenWasProved(t *testing.T) {
	var out bytes.Buffer
	var records []verifier.Record
	var revoked bool
	var unknown error
	log := verifier.AuditLog(slog.New(slog.NewTextHandler(&out, nil)))
	down := caveat.Define("down", caveat.Text, func(context.Context, *caveat.Request, string) error {
		return caveat.Undecided(errors.New("no answer"))
	})
	s := newService(t, verifier.Options{
		Registry:    must(caveat.Standard().With(down))(t),
		Revocations: revocations(func(verifier.Revocable) (bool, error) { return revoked, unknown }),
		Audit: func(ctx context.Context, r verifier.Record) {
			records = append(records, r)
			log(ctx, r)
		},
	})
	stranger := newService(t, verifier.Options{})
	done, cancel := context.WithCancel(ctx)
	cancel()
	for name, row := range map[string]struct {
		ctx     context.Context
		token   macaroon.Macaroon
		revoked bool
		unknown error
		err     error
		named   bool
	}{
		"allowed":            {ctx, s.mint(t), false, nil, nil, true},
		"denied":             {ctx, s.mint(t, caveat.Methods("GET")), false, nil, verifier.ErrDenied, true},
		"revoked":            {ctx, s.mint(t), true, nil, verifier.ErrRevoked, true},
		"perhaps revoked":    {ctx, s.mint(t), false, errors.New("stale"), verifier.ErrUndecided, true},
		"expired":            {ctx, s.mint(t, caveat.ExpiresAt(time.Now().Add(-time.Minute))), false, nil, verifier.ErrExpired, true},
		"without discharge":  {ctx, s.mint(t, thirdParty("a")), false, nil, verifier.ErrMissingDischarge, true},
		"undecided":          {ctx, s.mint(t, down.Of("x")), false, nil, verifier.ErrUndecided, true},
		"not looked at":      {done, s.mint(t), false, nil, verifier.ErrUndecided, false},
		"of somebody else's": {ctx, stranger.mint(t), false, nil, verifier.ErrUnauthenticated, false},
	} {
		t.Run(name, func(t *testing.T) {
			out.Reset()
			revoked, unknown = row.revoked, row.unknown
			_, err := s.Verify(row.ctx, present(t, row.token), read, noFacts)
			require.ErrorIs(t, err, row.err)
			require.Equal(t, "billing", records[len(records)-1].Subject)
			require.Equal(t, row.named, strings.Contains(out.String(), " subject=billing"), out.String())
		})
	}
	// Of what else was presented, not all is authentic.
	out.Reset()
	_, err := s.Verify(ctx, unbound(t, s.mint(t, thirdParty("a")), discharge(t, "b")), read, noFacts)
	refused(t, verifier.MissingDischarge, nil, err)
	require.NotContains(t, out.String(), "subject")
	out.Reset()
	s.Refuse(ctx, &verifier.Asked{Operation: read}, verifier.NothingPresented, nil)
	require.Contains(t, out.String(), "level=INFO msg=unauthenticated")
}

// A log holds nothing that looks like a token's and is nobody's.
func TestAuditLogLeavesOutWhatIsNotKnown(t *testing.T) {
	var out bytes.Buffer
	s := newService(t, verifier.Options{Audit: verifier.AuditLog(slog.New(slog.NewTextHandler(&out, nil)))})
	_, err := s.VerifyText(ctx, "garbage!", read, noFacts)
	require.Error(t, err)
	for _, attribute := range []string{" reference=", " key=", " token=", " caveats="} {
		require.NotContains(t, out.String(), attribute)
	}
	require.Contains(t, out.String(), " operation=orders.read")
	require.Contains(t, out.String(), " elapsed=")
	out.Reset()
	_, err = s.Authenticate(ctx, present(t, newService(t, verifier.Options{}).mint(t)))
	require.Error(t, err)
	require.NotContains(t, out.String(), " operation=", "it was not asked for yet")
}

// Whoever reads a refusal in a log is told what to look at, beyond its name.
func TestDetails(t *testing.T) {
	now := time.Now()
	s := newService(t, verifier.Options{Now: func() time.Time { return now }})
	mint := func(s service, caveats ...macaroon.Caveat) macaroon.Credential {
		return present(t, s.mintOnly(t, caveats...))
	}
	stranger := newService(t, verifier.Options{})
	expiry, audience, allow := caveat.ExpiresAt(now.Add(time.Hour)), caveat.Audience("orders"), caveat.Operations(read)
	for name, row := range map[string]struct {
		c         macaroon.Credential
		operation string
		detail    string
	}{
		"expired":      {mint(s, caveat.ExpiresAt(now.Add(-3*time.Second)), audience, allow), read, "expired: macaroon 0: caveat 0: 3s ago, by this service's clock"},
		"no expiry":    {mint(s, audience, allow), read, "no-expiry: no time-before among the minter's caveats"},
		"no audience":  {mint(s, expiry, allow), read, "no-audience: no audience among the minter's caveats"},
		"not granted":  {mint(s, expiry, audience), read, "not-granted: no allow among the minter's caveats"},
		"no name":      {mint(s, expiry, audience, allow), "orders:read", "bad-operation: what was asked for is no operation such as orders.read"},
		"no discharge": {mint(s, expiry, audience, allow, thirdParty("a"), thirdParty("b")), read, `missing-discharge: 2 in all, the first of caveat ca978112ca1bbdca, to be asked of a third party that may be at "https://a/"`},
		"far away":     {mint(s, expiry, audience, allow, macaroon.ThirdParty([]byte("k"), "a", strings.Repeat("l", 500))), read, `may be at "` + strings.Repeat("l", 64) + `"`},
		"strange key":  {mint(stranger, expiry, audience, allow), read, "unknown-key: macaroon 0: this service has no such root key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Verify(ctx, row.c, row.operation, noFacts)
			refusal, _ := verifier.RefusalOf(err)
			require.Contains(t, refusal.Detail(), row.detail)
		})
	}
}
