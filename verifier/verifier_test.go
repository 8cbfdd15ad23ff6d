package verifier_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/internal/wire"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
)

func TestVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, verifier.Options{Leeway: 2 * time.Second})
		token := s.mint(t)
		id := must(macaroon.ParseIdentifier(token.Identifier()))(t)
		token = narrow(t, token, caveat.Methods("GET"), thirdParty("auth"), caveat.ExpiresIn(time.Minute))
		expiry := time.Now().Add(time.Minute)
		c := present(t, token, discharge(t, "auth", caveat.ExpiresIn(2*time.Minute), caveat.Path("/orders/*")))

		who, err := s.Verify(ctx, c, read, caveat.Facts{Method: http.MethodGet, Path: "/orders/7"})
		require.NoError(t, err)
		require.Equal(t, "billing", who.Subject())
		require.Equal(t, id.KeyID, who.KeyID())
		require.Equal(t, id.TokenID, who.TokenID())
		require.True(t, time.Now().Equal(who.IssuedAt()))
		require.False(t, who.Foreign())
		require.True(t, expiry.Equal(who.Expiry()))
		deadline, ok := who.Deadline()
		require.True(t, ok)
		require.True(t, expiry.Add(2*time.Second).Equal(deadline))

		conditions := who.Conditions()
		require.Len(t, conditions, 7)
		require.True(t, strings.HasPrefix(conditions[0], "time-before "))
		require.Equal(t, []string{"audience orders", "allow orders.read orders.list", "http-method GET"}, conditions[1:4])
		require.Equal(t, "http-path /orders/*", conditions[6])
		conditions[1] = "changed"
		require.Equal(t, "audience orders", who.Conditions()[1])

		require.Len(t, who.Reference(), 16)
		a := must(s.Authenticate(ctx, c))(t)
		require.Equal(t, who.Reference(), a.Reference())
		other := must(s.Verify(ctx, present(t, s.mint(t)), read, caveat.Facts{}))(t)
		require.NotEqual(t, who.Reference(), other.Reference())
	})
}

func TestNewRefuses(t *testing.T) {
	keys := rootkey.InMemory()
	foreign := must(verifier.FixedKey(make([]byte, 16), verifier.ForeignGrant{}))(t)
	both := struct {
		verifier.Source
		verifier.ForeignSource
	}{keys, foreign}
	for name, build := range map[string]func() (*verifier.Verifier, error){
		"no source":         func() (*verifier.Verifier, error) { return verifier.New(nil, "orders", verifier.Options{}) },
		"no foreign source": func() (*verifier.Verifier, error) { return verifier.NewForeign(nil, "orders", verifier.Options{}) },
		"nil keyring": func() (*verifier.Verifier, error) {
			return verifier.New((*rootkey.Keyring)(nil), "orders", verifier.Options{})
		},
		"nil function": func() (*verifier.Verifier, error) {
			return verifier.NewForeign(verifier.KeyFunc(nil), "orders", verifier.Options{})
		},
		"nil list": func() (*verifier.Verifier, error) {
			return verifier.New(keys, "orders", verifier.Options{Revocations: revocations(nil)})
		},
		"no audience":      func() (*verifier.Verifier, error) { return verifier.New(keys, "", verifier.Options{}) },
		"two audiences":    func() (*verifier.Verifier, error) { return verifier.New(keys, "orders stock", verifier.Options{}) },
		"both, as native":  func() (*verifier.Verifier, error) { return verifier.New(both, "orders", verifier.Options{}) },
		"both, as foreign": func() (*verifier.Verifier, error) { return verifier.NewForeign(both, "orders", verifier.Options{}) },
		"negative leeway":  func() (*verifier.Verifier, error) { return verifier.New(keys, "orders", verifier.Options{Leeway: -1}) },
		"great leeway": func() (*verifier.Verifier, error) {
			return verifier.New(keys, "orders", verifier.Options{Leeway: time.Minute + 1})
		},
		"negative recheck": func() (*verifier.Verifier, error) {
			return verifier.New(keys, "orders", verifier.Options{RecheckAfter: -1})
		},
	} {
		v, err := build()
		require.Error(t, err, name)
		require.Nil(t, v, name)
	}
	_, err := verifier.New(nil, "", verifier.Options{Leeway: -1})
	for _, problem := range []string{"no source", "audience", "leeway"} {
		require.ErrorContains(t, err, problem)
	}
}

// One decision has one instant: no condition of a token is looked at later than another.
func TestOneInstantForEachDecision(t *testing.T) {
	reads := 0
	start := time.Now()
	s := newService(t, verifier.Options{Now: func() time.Time {
		reads++
		return start.Add(time.Duration(reads) * time.Minute)
	}})
	c := present(t, s.mint(t, caveat.NotBefore(start.Add(90*time.Second))))
	verified, err := s.Verify(ctx, c, read, noFacts)
	refused(t, verifier.CaveatFailed, verified, err)
	require.Equal(t, 1, reads)
	for n := 2; n < 5; n++ { // also once it is known
		_, err = s.Verify(ctx, c, read, noFacts)
		require.NoError(t, err)
		require.Equal(t, n, reads)
	}
	a := must(s.Authenticate(ctx, c))(t)
	reads = 0
	_, err = a.Check(ctx, read, noFacts)
	refused(t, verifier.CaveatFailed, nil, err)
	require.Equal(t, 1, reads)
}

// A clock that gives no time decides nothing: before all of it lies everything else.
func TestClockWithoutTime(t *testing.T) {
	for _, cache := range []int{-1, 0} {
		var stopped atomic.Bool
		s := newService(t, verifier.Options{CacheBytes: cache, Now: func() time.Time {
			if stopped.Load() {
				return time.Time{}
			}
			return time.Now()
		}})
		c := present(t, s.mint(t))
		for range 3 {
			s.allow(t, c)
		}
		authentic := must(s.Authenticate(ctx, c))(t)
		stopped.Store(true)
		_, err := s.Verify(ctx, c, read, noFacts)
		require.ErrorIs(t, err, verifier.ErrUndecided)
		_, err = s.VerifyText(ctx, must(c.Encode())(t), read, noFacts)
		require.ErrorIs(t, err, verifier.ErrUndecided)
		_, err = authentic.Check(ctx, read, noFacts)
		require.ErrorIs(t, err, verifier.ErrUndecided)
		_, err = authentic.Unexpired(ctx)
		require.ErrorIs(t, err, verifier.ErrUndecided)
	}
}

func TestZeroValuesAllowNothing(t *testing.T) {
	s := newService(t, verifier.Options{})
	c := present(t, s.mint(t))
	var v verifier.Verifier
	verified, err := v.Verify(ctx, c, read, noFacts)
	refused(t, verifier.OverLimit, verified, err)
	verified, err = v.Verify(ctx, macaroon.Credential{}, read, noFacts)
	require.Nil(t, verified)
	require.ErrorIs(t, err, verifier.ErrUnauthenticated)
	verified, err = v.VerifyText(ctx, must(c.Encode())(t), read, noFacts)
	refused(t, verifier.OverLimit, verified, err)
	_, err = v.Authenticate(ctx, c)
	require.ErrorIs(t, err, verifier.ErrUnauthenticated)

	var a verifier.Authentic
	verified, err = a.Check(ctx, read, noFacts)
	refused(t, verifier.Malformed, verified, err)
	require.Empty(t, a.Reference())
	require.NotEmpty(t, a.String())

	var who verifier.Verified
	require.Empty(t, who.Subject())
	require.Empty(t, who.Conditions())
	_, ok := who.Deadline()
	require.False(t, ok)
}

func TestDenied(t *testing.T) {
	s := newService(t, verifier.Options{})
	facts := caveat.Facts{Method: "GET", Path: "/orders/7"}
	lasting, named, granted := caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations(read)
	for name, row := range map[string]struct {
		token     macaroon.Macaroon
		operation string
		reason    verifier.Reason
	}{
		"no operation":               {s.mint(t), "", verifier.BadOperation},
		"malformed operation":        {s.mint(t), "orders read", verifier.BadOperation},
		"a pattern is no operation":  {s.mint(t), "orders.*", verifier.BadOperation},
		"operation not granted":      {s.mint(t), "orders.write", verifier.CaveatFailed},
		"any operation, narrow":      {s.mint(t), verifier.AnyOperation, verifier.CaveatFailed},
		"any operation, but denied":  {s.mintOnly(t, lasting, named, caveat.Operations("*"), caveat.Deny("x")), verifier.AnyOperation, verifier.CaveatFailed},
		"method":                     {s.mint(t, caveat.Methods("POST")), read, verifier.CaveatFailed},
		"path":                       {s.mint(t, caveat.Path("/stock/*")), read, verifier.CaveatFailed},
		"host is absent":             {s.mint(t, caveat.Hosts("orders")), read, verifier.CaveatFailed},
		"not yet":                    {s.mint(t, caveat.NotBefore(time.Now().Add(time.Minute))), read, verifier.CaveatFailed},
		"unknown name":               {s.mint(t, macaroon.Condition("unknown x")), read, verifier.CaveatFailed},
		"empty condition":            {s.mint(t, macaroon.Condition("")), read, verifier.CaveatFailed},
		"malformed time-before":      {s.mint(t, macaroon.Condition("time-before tomorrow")), read, verifier.CaveatFailed},
		"time-before without a time": {s.mint(t, macaroon.Condition("time-before")), read, verifier.CaveatFailed},
		"disjoint repeated caveats":  {s.mint(t, caveat.Methods("GET"), caveat.Methods("POST")), read, verifier.CaveatFailed},

		"no expiry":                      {s.mintOnly(t, named, granted), read, verifier.NoExpiry},
		"no audience":                    {s.mintOnly(t, lasting, granted), read, verifier.NoAudience},
		"nothing granted":                {s.mintOnly(t, lasting, named), read, verifier.NotGranted},
		"other audience":                 {s.mintOnly(t, lasting, caveat.Audience("stock"), granted), read, verifier.CaveatFailed},
		"holder supplies expiry":         {narrow(t, s.mintOnly(t, named, granted), lasting), read, verifier.NoExpiry},
		"holder supplies audience":       {narrow(t, s.mintOnly(t, lasting, granted), named), read, verifier.NoAudience},
		"holder supplies operations":     {narrow(t, s.mintOnly(t, lasting, named), granted), read, verifier.NotGranted},
		"names that begin like needed":   {s.mintOnly(t, lasting, named, macaroon.Condition("allowed orders.read")), read, verifier.NotGranted},
		"a name that begins like it":     {s.mintOnly(t, lasting, granted, macaroon.Condition("audience-hint orders")), read, verifier.NoAudience},
		"minter's expiry can't be read":  {s.mintOnly(t, macaroon.Condition("time-before x"), named, granted), read, verifier.NoExpiry},
		"needed name without arguments":  {s.mintOnly(t, lasting, named, macaroon.Condition("allow")), read, verifier.NotGranted},
		"needed name, argument is empty": {s.mintOnly(t, lasting, named, macaroon.Condition("allow ")), read, verifier.CaveatFailed},
	} {
		t.Run(name, func(t *testing.T) {
			verified, err := s.Verify(ctx, present(t, row.token), row.operation, facts)
			refused(t, row.reason, verified, err)
		})
	}

	all := s.mintOnly(t, lasting, named, caveat.Operations("*"))
	_, err := s.Verify(ctx, present(t, all), verifier.AnyOperation, facts)
	require.NoError(t, err)
	_, err = s.Verify(ctx, present(t, narrow(t, all, caveat.Operations("orders.*"))), verifier.AnyOperation, facts)
	require.ErrorIs(t, err, verifier.ErrDenied)
}

func TestInsecureOptions(t *testing.T) {
	open := newService(t, verifier.Options{InsecureNoExpiry: true, InsecureNoAudience: true})
	who, err := open.Verify(ctx, present(t, open.mintOnly(t, caveat.Operations(read))), read, caveat.Facts{})
	require.NoError(t, err)
	require.Zero(t, who.Expiry())
	_, ok := who.Deadline()
	require.False(t, ok)

	verified, err := open.Verify(ctx, present(t, open.mintOnly(t, caveat.Operations(read), caveat.Audience("stock"))), read, caveat.Facts{})
	refused(t, verifier.CaveatFailed, verified, err)
	verified, err = open.Verify(ctx, present(t, open.mintOnly(t)), read, caveat.Facts{})
	refused(t, verifier.NotGranted, verified, err)
}

func TestExpiryToTheNanosecond(t *testing.T) {
	end := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		name    string
		now     time.Duration // from end
		leeway  time.Duration
		allowed bool
	}{
		{"just before", -1, 0, true},
		{"at the end", 0, 0, false},
		{"just after", 1, 0, false},
		{"within leeway", time.Second - 1, time.Second, true},
		{"leeway over", time.Second, time.Second, false},
		{"90 s too slow", -90 * time.Second, 0, true},
		{"90 s too fast", 90 * time.Second, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newService(t, verifier.Options{Leeway: row.leeway, Now: func() time.Time { return end.Add(row.now) }})
			token := s.mintOnly(t, caveat.Audience("orders"), caveat.Operations(read), caveat.ExpiresAt(end))
			verified, err := s.Verify(ctx, present(t, token), read, caveat.Facts{})
			if row.allowed {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, verifier.ErrExpired)
			refusal := refused(t, verifier.Expired, verified, err)
			require.Equal(t, [2]int{0, 2}, [2]int{refusal.Macaroon, refusal.Caveat})
		})
	}
}

// An expiry anywhere makes the token expired, whatever else is wrong.
func TestExpiryComesFirst(t *testing.T) {
	s := newService(t, verifier.Options{})
	past := caveat.ExpiresAt(time.Now().Add(-time.Minute))
	for name, c := range map[string]macaroon.Credential{
		"behind a condition that fails": present(t, s.mint(t, caveat.Methods("POST"), past)),
		"in a discharge":                present(t, s.mint(t, thirdParty("a"), caveat.Methods("POST")), discharge(t, "a", past)),
		"while a discharge is missing":  present(t, s.mint(t, thirdParty("a"), past)),
		"widened again":                 present(t, s.mint(t, past, caveat.ExpiresIn(time.Hour))),
	} {
		for _, operation := range []string{read, "", "no operation"} {
			verified, err := s.Verify(ctx, c, operation, caveat.Facts{})
			require.ErrorIs(t, err, verifier.ErrExpired, name)
			refused(t, verifier.Expired, verified, err)
		}
	}
}

func TestTextThatIsNoToken(t *testing.T) {
	s := newService(t, verifier.Options{})
	token := must(s.mint(t).Encode())(t)
	for name, row := range map[string]struct {
		text   string
		reason verifier.Reason
	}{
		"empty":        {"", verifier.NotMacaroon},
		"a JWT":        {"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", verifier.NotMacaroon},
		"other base64": {"aGVsbG8", verifier.NotMacaroon},
		"line end":     {token + "\n", verifier.NotMacaroon},
		"a wallet":     {"wallet:" + token, verifier.NotMacaroon},
		"cut":          {token[:40], verifier.Malformed},
		"too long":     {strings.Repeat("A", 16<<10+1), verifier.OverLimit},
	} {
		verified, err := s.VerifyText(ctx, row.text, read, caveat.Facts{})
		refused(t, row.reason, verified, err)
		require.Equal(t, row.reason == verifier.NotMacaroon, errors.Is(err, verifier.ErrNotMacaroon), name)
	}
	_, err := s.VerifyText(ctx, token, read, caveat.Facts{})
	require.NoError(t, err)
	verified, err := s.Verify(ctx, macaroon.Credential{}, read, caveat.Facts{})
	refused(t, verifier.Malformed, verified, err)
}

// TestLongTextIsNotRemembered: what was read by other limits may be allowed, and still its text is too long.
func TestLongTextIsNotRemembered(t *testing.T) {
	s := newService(t, verifier.Options{Limits: macaroon.Limits{Text: 64}})
	c := present(t, s.mint(t))
	for range 4 {
		_, err := s.Verify(ctx, c, read, noFacts)
		require.NoError(t, err)
	}
	verified, err := s.VerifyText(ctx, must(c.Encode())(t), read, noFacts)
	refused(t, verifier.OverLimit, verified, err)
}

// Where there is no path, none can be read in several ways.
func TestWhyThereIsNoOperation(t *testing.T) {
	s := newService(t, verifier.Options{})
	for path, detail := range map[string]string{"": "a handler, method or message without one", "/7": "without one", "/..": "the path can be read"} {
		_, err := s.Verify(ctx, present(t, s.mint(t)), "", caveat.Facts{GRPCMethod: "/a.B/C", Path: path})
		refusal, _ := verifier.RefusalOf(err)
		require.Contains(t, refusal.Detail(), detail, path)
	}
}

func TestUndecided(t *testing.T) {
	source := newFakeSource()
	failing := caveat.Define("store", caveat.Text, func(ctx context.Context, _ *caveat.Request, want string) error {
		if want == "panics" {
			panic(want)
		}
		return caveat.Undecided(errDown)
	})
	waiting := caveat.Define("waits", caveat.Text, func(ctx context.Context, _ *caveat.Request, _ string) error {
		<-ctx.Done()
		return ctx.Err()
	})
	registry := must(caveat.Standard().With(failing, waiting))(t)
	v := must(verifier.New(source, "orders", verifier.Options{Registry: registry}))(t)
	token := mintFrom(t, source)
	good := present(t, token)
	done, cancel := context.WithCancel(ctx)
	cancel()

	verified, err := v.Verify(done, good, read, caveat.Facts{})
	refused(t, verifier.ContextDone, verified, err)
	require.ErrorIs(t, err, context.Canceled)
	verified, err = v.Verify(ctx, present(t, narrow(t, token, failing.Of("x"))), read, caveat.Facts{})
	refused(t, verifier.CheckUndecided, verified, err)
	require.ErrorIs(t, err, errDown)
	verified, err = v.Verify(ctx, present(t, narrow(t, token, failing.Of("panics"))), read, caveat.Facts{})
	refused(t, verifier.CaveatFailed, verified, err)
	require.ErrorIs(t, err, caveat.ErrPanicked)
	soon, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	verified, err = v.Verify(soon, present(t, narrow(t, token, waiting.Of("x"))), read, caveat.Facts{})
	refused(t, verifier.ContextDone, verified, err)

	source.broken.Store(true)
	verified, err = v.Verify(ctx, good, read, caveat.Facts{})
	refused(t, verifier.SourceFailed, verified, err)
	require.ErrorIs(t, err, errDown)
	_, err = v.Authenticate(ctx, good)
	requireOneClass(t, err, verifier.Undecided)
}

func TestChecksOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain, telling := newFakeSource(), newFakeSource()
		for name, row := range map[string]struct {
			source verifier.Source
			fake   *fakeSource
		}{
			"without epoch": {plain, plain},
			"with epoch":    {withEpoch{telling}, telling},
		} {
			v := must(verifier.New(row.source, "orders", verifier.Options{}))(t)
			token := mintFrom(t, row.source, caveat.ExpiresIn(10*time.Minute))
			a := must(v.Authenticate(ctx, present(t, token)))(t)
			asked := row.fake.asked.Load()
			check := func() (*verifier.Verified, error) { return a.Check(ctx, read, caveat.Facts{}) }

			for range 3 {
				_, err := check()
				require.NoError(t, err, name)
			}
			require.Equal(t, asked, row.fake.asked.Load(), "%s: no need to ask again", name)
			_, err := a.Check(ctx, "orders.write", caveat.Facts{})
			require.ErrorIs(t, err, verifier.ErrDenied)

			row.fake.epoch.Add(1)
			time.Sleep(2 * time.Second)
			_, err = check()
			require.NoError(t, err, name)
			_, err = check()
			require.NoError(t, err, name)
			require.Equal(t, asked+1, row.fake.asked.Load(), "%s: asked once more", name)

			row.fake.broken.Store(true)
			row.fake.epoch.Add(1)
			time.Sleep(2 * time.Second)
			verified, err := check()
			refused(t, verifier.SourceFailed, verified, err)
			row.fake.broken.Store(false)
			_, err = check()
			require.NoError(t, err, "%s: recovers", name)

			row.fake.gone.Store(true)
			row.fake.epoch.Add(1)
			time.Sleep(2 * time.Second)
			verified, err = check()
			refused(t, verifier.UnknownKey, verified, err)
			row.fake.gone.Store(false)

			time.Sleep(10 * time.Minute)
			verified, err = check()
			refused(t, verifier.Expired, verified, err)
			done, cancel := context.WithCancel(ctx)
			cancel()
			verified, err = a.Check(done, read, caveat.Facts{})
			refused(t, verifier.ContextDone, verified, err)
		}
	})
}

type panickingSource struct{ *fakeSource }

func (panickingSource) Epoch() (uint64, error) { panic("0123456789abcdef0123456789abcdef") }

func TestSourcePanics(t *testing.T) {
	source := panickingSource{newFakeSource()}
	v := must(verifier.New(source, "orders", verifier.Options{}))(t)
	verified, err := v.Verify(ctx, present(t, mintFrom(t, source)), read, noFacts)
	refusal := refused(t, verifier.SourceFailed, verified, err)
	require.NotContains(t, refusal.Detail(), "0123456789abcdef")

	signing := &fakeSource{key: func() []byte { panic("0123456789abcdef0123456789abcdef") }}
	v = must(verifier.New(signing, "orders", verifier.Options{}))(t)
	verified, err = v.Verify(ctx, present(t, mintFrom(t, source)), read, noFacts)
	require.NotContains(t, refused(t, verifier.SourceFailed, verified, err).Detail(), "0123456789abcdef")

	later := &panicsLater{fakeSource: newFakeSource()}
	v = must(verifier.New(later, "orders", verifier.Options{}))(t)
	a := must(v.Authenticate(ctx, present(t, mintFrom(t, later))))(t)
	verified, err = a.Check(ctx, read, noFacts)
	refused(t, verifier.SourceFailed, verified, err)
}

// panicsLater is a source whose epoch can be read once.
type panicsLater struct {
	*fakeSource
	read bool
}

func (s *panicsLater) Epoch() (uint64, error) {
	if s.read {
		panic("0123456789abcdef0123456789abcdef")
	}
	s.read = true
	return 1, nil
}

// What stands beside found == false signs nothing.
func TestNobodysKey(t *testing.T) {
	for _, beside := range [][32]byte{{}, {1}} {
		source := newFakeSource()
		source.gone.Store(true)
		v := must(verifier.New(source, "orders", verifier.Options{}))(t)
		id := must(macaroon.Identifier{KeyID: "k1", IssuedAt: time.Now(), Caveats: 3}.MarshalBinary())(t)
		m := wire.Macaroon{Identifier: string(id), Signature: beside}
		var h chain.Hasher
		for _, c := range []caveat.Caveat{caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations(read)} {
			condition := must(c.Condition())(t)
			h.FirstParty(&m.Signature, condition)
			m.Caveats = append(m.Caveats, wire.Caveat{ID: condition})
		}
		var c macaroon.Credential
		require.NoError(t, c.UnmarshalBinary(wire.Append(nil, &m)))
		verified, err := v.Verify(ctx, c, read, noFacts)
		refused(t, verifier.UnknownKey, verified, err)
	}
}

// A discharge counts for nothing that the minter must have written.
func TestDischargeIsNoMinter(t *testing.T) {
	s := newService(t, verifier.Options{})
	lasting, named, granted := caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations(read)
	for _, row := range []struct {
		minters []macaroon.Caveat
		own     macaroon.Caveat
		reason  verifier.Reason
	}{
		{[]macaroon.Caveat{named, granted}, lasting, verifier.NoExpiry},
		{[]macaroon.Caveat{lasting, granted}, named, verifier.NoAudience},
		{[]macaroon.Caveat{lasting, named}, granted, verifier.NotGranted},
	} {
		token := narrow(t, s.mintOnly(t, row.minters...), thirdParty("own"))
		verified, err := s.Verify(ctx, present(t, token, discharge(t, "own", row.own)), read, noFacts)
		refused(t, row.reason, verified, err)
	}
}

// A key that was replaced by another of the same name ends what the old one signed.
func TestKeyReplacedUnderAStream(t *testing.T) {
	source := newFakeSource()
	v := must(verifier.New(withEpoch{source}, "orders", verifier.Options{}))(t)
	a := must(v.Authenticate(ctx, present(t, mintFrom(t, source))))(t)
	source.key = func() []byte { return []byte("another key of thirty-two bytes.") }
	source.epoch.Add(1)
	verified, err := a.Check(ctx, read, noFacts)
	refused(t, verifier.UnknownKey, verified, err)
}

func TestRecheckAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, row := range []struct{ option, inForce time.Duration }{{0, time.Second}, {time.Minute, time.Minute}} {
			source := newFakeSource()
			v := must(verifier.New(source, "orders", verifier.Options{RecheckAfter: row.option}))(t)
			a := must(v.Authenticate(ctx, present(t, mintFrom(t, source))))(t)
			asked := source.asked.Load()
			time.Sleep(row.inForce)
			_, err := a.Check(ctx, read, noFacts)
			require.NoError(t, err)
			require.Equal(t, asked, source.asked.Load())
			time.Sleep(time.Nanosecond)
			_, err = a.Check(ctx, read, noFacts)
			require.NoError(t, err)
			require.Equal(t, asked+1, source.asked.Load())
		}
	})
}

// A refusal inside a cause, of another verifier or of a source, is not this one's.
func TestOneClassOnly(t *testing.T) {
	other := newService(t, verifier.Options{})
	undecided := must(verifier.New(func() macaroon.Source { s := newFakeSource(); s.broken.Store(true); return s }(), "orders", verifier.Options{}))(t)
	nested := caveat.Define("nested", caveat.Text, func(ctx context.Context, _ *caveat.Request, want string) error {
		v := other.Verifier
		if want != "garbage!" {
			v = undecided
		}
		_, err := v.VerifyText(ctx, want, read, noFacts)
		return err
	})
	s := newService(t, verifier.Options{Registry: must(caveat.Standard().With(nested))(t)})
	verified, err := s.Verify(ctx, present(t, s.mint(t, nested.Of("garbage!"))), read, noFacts)
	refused(t, verifier.CaveatFailed, verified, err)
	require.NotErrorIs(t, err, verifier.ErrNotMacaroon)
	verified, err = s.Verify(ctx, present(t, s.mint(t, nested.Of(must(other.mint(t).Encode())(t)))), read, noFacts)
	refused(t, verifier.CheckUndecided, verified, err)

	source := verifier.KeyFunc(func(context.Context, string) ([]byte, verifier.ForeignGrant, bool, error) {
		return nil, verifier.ForeignGrant{}, false, fmt.Errorf("key service: %w", verifier.ErrExpired)
	})
	v := must(verifier.NewForeign(source, "orders", verifier.Options{}))(t)
	verified, err = v.Verify(ctx, present(t, must(macaroon.New(foreignKey, "x", ""))(t)), read, noFacts)
	refused(t, verifier.SourceFailed, verified, err)
	require.NotErrorIs(t, err, verifier.ErrExpired)
}

func TestLeewayReachesCheckers(t *testing.T) {
	s := newService(t, verifier.Options{Leeway: 10 * time.Second})
	_, err := s.Verify(ctx, present(t, s.mint(t, caveat.NotBefore(time.Now().Add(5*time.Second)))), read, noFacts)
	require.NoError(t, err)
	_, err = s.Verify(ctx, present(t, s.mint(t, caveat.NotBefore(time.Now().Add(15*time.Second)))), read, noFacts)
	require.ErrorIs(t, err, verifier.ErrDenied)
}

// The two ways in which a source can fail while a context ends.
func TestContextEndsInTheSource(t *testing.T) {
	c := present(t, must(macaroon.New(foreignKey, "x", ""))(t))
	soon, cancel := context.WithCancel(ctx)
	asked := 0
	source := verifier.KeyFunc(func(ctx context.Context, _ string) ([]byte, verifier.ForeignGrant, bool, error) {
		asked++
		cancel()
		return nil, verifier.ForeignGrant{}, false, ctx.Err()
	})
	v := must(verifier.NewForeign(source, "orders", verifier.Options{}))(t)
	verified, err := v.Verify(soon, c, read, noFacts)
	refused(t, verifier.ContextDone, verified, err)
	_, err = v.Authenticate(soon, c)
	refused(t, verifier.ContextDone, nil, err)
	require.Equal(t, 1, asked, "nobody is asked for who has gone")
}

// A source whose epoch can't be read decides nothing, warm or not, and also where nothing is kept.
func TestEpochFails(t *testing.T) {
	for _, cacheBytes := range []int{0, -1} {
		source := withEpoch{newFakeSource()}
		v := must(verifier.New(source, "orders", verifier.Options{CacheBytes: cacheBytes}))(t)
		c := present(t, mintFrom(t, source))
		a := must(v.Authenticate(ctx, c))(t)
		source.broken.Store(true)
		asked := source.asked.Load()
		verified, err := a.Check(ctx, read, noFacts)
		refused(t, verifier.SourceFailed, verified, err)
		verified, err = v.Verify(ctx, c, read, noFacts)
		refused(t, verifier.SourceFailed, verified, err)
		_, err = v.Authenticate(ctx, c)
		refused(t, verifier.SourceFailed, nil, err)
		require.Equal(t, asked, source.asked.Load())
	}
}

func TestConcurrentUse(t *testing.T) {
	source := withEpoch{newFakeSource()}
	v := must(verifier.New(source, "orders", verifier.Options{Audit: func(context.Context, verifier.Record) {}}))(t)
	token := mintFrom(t, source, thirdParty("a"))
	d := discharge(t, "a")
	c := present(t, token, d)
	a := must(v.Authenticate(ctx, c))(t)
	text := must(c.Encode())(t)
	shared := must(v.VerifyText(ctx, text, read, noFacts))(t)
	foreign := foreignVerifier(t, verifier.Options{})
	foreignText := must(must(macaroon.New(foreignKey, "identifier", ""))(t).Encode())(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 50 {
				_, err := v.VerifyText(ctx, text, read, caveat.Facts{})
				require.NoError(t, err)
				who, err := a.Check(ctx, read, caveat.Facts{})
				require.NoError(t, err)
				require.Equal(t, who.Conditions(), shared.Conditions())
				require.Equal(t, a.Reference(), shared.Reference())
				_, err = a.Unexpired(ctx)
				require.NoError(t, err)
				_, err = foreign.VerifyText(ctx, foreignText, read, noFacts)
				require.NoError(t, err)
				narrowed := present(t, narrow(t, token, caveat.Methods("GET")), d)
				_, err = v.Verify(ctx, narrowed, read, caveat.Facts{Method: "GET"})
				require.NoError(t, err)
				if i == 0 {
					source.epoch.Add(1)
				}
			}
		})
	}
	wg.Wait()
}

func TestForeign(t *testing.T) {
	key := []byte("0123456789abcdef")
	token := must(macaroon.New(key, "any identifier", ""))(t)
	token = narrow(t, token, caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), macaroon.Condition("allow *"))
	grant := verifier.ForeignGrant{MinterCaveats: 2, Operations: []string{"orders.*"}}
	build := func(grant verifier.ForeignGrant, options verifier.Options) *verifier.Verifier {
		return must(verifier.NewForeign(must(verifier.FixedKey(key, grant))(t), "orders", options))(t)
	}
	who, err := build(grant, verifier.Options{}).Verify(ctx, present(t, token), read, caveat.Facts{})
	require.NoError(t, err)
	require.True(t, who.Foreign())
	require.Empty(t, who.Subject())
	require.Empty(t, who.KeyID())
	require.Zero(t, who.TokenID())

	insecure := verifier.Options{InsecureNoExpiry: true, InsecureNoAudience: true}
	for name, row := range map[string]struct {
		grant   verifier.ForeignGrant
		options verifier.Options
		reason  verifier.Reason
	}{
		"grants nothing, whatever allow says": {verifier.ForeignGrant{MinterCaveats: 3}, verifier.Options{}, verifier.NotGranted},
		"grants something else":               {verifier.ForeignGrant{MinterCaveats: 3, Operations: []string{"stock.*"}}, verifier.Options{}, verifier.NotGranted},
		"malformed grant":                     {verifier.ForeignGrant{MinterCaveats: 3, Operations: []string{"orders.read,x", ""}}, verifier.Options{}, verifier.NotGranted},
		"minter's caveats unknown":            {verifier.ForeignGrant{Operations: []string{"*"}}, verifier.Options{}, verifier.NoExpiry},
		"the same, expiry not asked for":      {verifier.ForeignGrant{Operations: []string{"*"}}, verifier.Options{InsecureNoExpiry: true}, verifier.NoAudience},
		"fewer caveats than granted":          {verifier.ForeignGrant{MinterCaveats: 4, Operations: []string{"*"}}, insecure, verifier.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			verified, err := build(row.grant, row.options).Verify(ctx, present(t, token), read, caveat.Facts{})
			refused(t, row.reason, verified, err)
		})
	}
	verified, err := build(verifier.ForeignGrant{Operations: []string{"*"}}, insecure).Verify(ctx, present(t, narrow(t, token, caveat.Operations("stock"))), read, caveat.Facts{})
	refused(t, verifier.CaveatFailed, verified, err)

	_, err = verifier.FixedKey(key[:15], grant)
	require.Error(t, err)
	_, err = verifier.FixedKey(key, verifier.ForeignGrant{MinterCaveats: -1})
	require.Error(t, err)
	_, err = verifier.InsecureFixedKey(nil, grant)
	require.NoError(t, err)

	// A source's grant changes neither with what it was made of nor with what it gave.
	source := must(verifier.FixedKey(key, grant))(t)
	grant.Operations[0] = "*"
	_, given, _, _ := source.ForeignRootSignature(ctx, "any identifier")
	given.Operations[0] = "*"
	fixed := must(verifier.NewForeign(source, "orders", verifier.Options{}))(t)
	_, err = fixed.Verify(ctx, present(t, token), read, caveat.Facts{})
	require.NoError(t, err)
	verified, err = fixed.Verify(ctx, present(t, token), "stock.read", caveat.Facts{})
	refused(t, verifier.NotGranted, verified, err)

	// A native verifier takes no foreign token and a foreign one grants nothing to
	// native identifiers beyond its grant.
	s := newService(t, verifier.Options{})
	verified, err = s.Verify(ctx, present(t, token), read, caveat.Facts{})
	refused(t, verifier.Malformed, verified, err)
}

// A foreign grant is asked for again together with the key, and what is said now
// counts.
func TestForeignGrantChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		grant := verifier.ForeignGrant{MinterCaveats: 2, Operations: []string{read}}
		v := must(verifier.NewForeign(verifier.KeyFunc(func(context.Context, string) ([]byte, verifier.ForeignGrant, bool, error) {
			return foreignKey, grant, true, nil
		}), "orders", verifier.Options{}))(t)
		token := must(macaroon.New(foreignKey, "identifier", ""))(t)
		token = narrow(t, token, caveat.ExpiresIn(time.Hour), caveat.Audience("orders"))
		a := must(v.Authenticate(ctx, present(t, token)))(t)
		_, err := a.Check(ctx, read, noFacts)
		require.NoError(t, err)

		time.Sleep(2 * time.Second)
		grant.MinterCaveats = 3
		verified, err := a.Check(ctx, read, noFacts)
		refused(t, verifier.Malformed, verified, err)
		grant.MinterCaveats, grant.Operations = 2, nil
		verified, err = a.Check(ctx, read, noFacts)
		refused(t, verifier.NotGranted, verified, err)
	})
}

func TestKeyFunc(t *testing.T) {
	grant := verifier.ForeignGrant{Operations: []string{"*"}}
	token := func(key, id string) macaroon.Credential {
		return present(t, must(macaroon.New([]byte(key), id, ""))(t))
	}
	v := must(verifier.NewForeign(verifier.KeyFunc(func(_ context.Context, id string) ([]byte, verifier.ForeignGrant, bool, error) {
		switch id {
		case "good":
			return []byte("0123456789abcdef"), grant, true, nil
		case "short":
			return []byte("0123456789abcde"), grant, true, nil
		case "negative":
			return []byte("0123456789abcdef"), verifier.ForeignGrant{MinterCaveats: -1, Operations: []string{"*"}}, true, nil
		case "failing":
			return []byte("0123456789abcdef"), grant, true, errDown
		}
		return []byte("0123456789abcdef"), grant, false, nil
	}), "orders", verifier.Options{InsecureNoExpiry: true, InsecureNoAudience: true}))(t)

	_, err := v.Verify(ctx, token("0123456789abcdef", "good"), read, caveat.Facts{})
	require.NoError(t, err)
	for id, reason := range map[string]verifier.Reason{
		"short": verifier.SourceFailed, "negative": verifier.SourceFailed, "failing": verifier.SourceFailed, "nobody": verifier.UnknownKey,
	} {
		verified, err := v.Verify(ctx, token("0123456789abcdef", id), read, caveat.Facts{})
		refused(t, reason, verified, err)
	}
}
