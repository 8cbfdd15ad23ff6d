package verifier_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/internal/wire"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

func TestDischarges(t *testing.T) {
	registry, calls := counted(t)
	s := newService(t, verifier.Options{Registry: registry})
	count := macaroon.Condition("counted x")
	root := s.mint(t, count, thirdParty("a"), thirdParty("b"))
	a, b := discharge(t, "a", thirdParty("c")), discharge(t, "b")
	c := discharge(t, "c")
	other := present(t, s.mint(t, thirdParty("a")), discharge(t, "a"))

	// What somebody who holds a token and knows only keys of his own can put together.
	forged := must(macaroon.New([]byte("guessed"), "a", ""))(t)
	ownCaveat := macaroon.ThirdParty([]byte("my own key"), "a", "")
	ownDischarge := must(macaroon.New([]byte("my own key"), "a", ""))(t)

	// bound gives the macaroons as they are bound to root.
	bound := binary(t, present(t, root, a, b, c))
	parts := must(wire.Decode(nil, nil, string(bound), new(wire.Limits(macaroon.Limits{}.WithDefaults()))))(t)
	rootPart, aPart, cPart, bPart := parts[0], parts[1], parts[2], parts[3]
	of := func(parts ...wire.Macaroon) (cr macaroon.Credential) {
		var data []byte
		for i := range parts {
			data = wire.Append(data, &parts[i])
		}
		require.NoError(t, cr.UnmarshalBinary(data))
		return cr
	}
	foreignPart := must(wire.Decode(nil, nil, string(binary(t, other)), new(wire.Limits(macaroon.Limits{}.WithDefaults()))))(t)[1]
	twice := bPart
	twice.Signature[0]++

	for name, row := range map[string]struct {
		credential macaroon.Credential
		reason     verifier.Reason // unset: allowed
	}{
		"as they should be":              {present(t, root, a, b, c), verifier.ReasonUnset},
		"in any order":                   {of(rootPart, bPart, cPart, aPart), verifier.ReasonUnset},
		"one missing":                    {present(t, root, a, b), verifier.MissingDischarge},
		"all missing":                    {present(t, root), verifier.MissingDischarge},
		"missing, and no location":       {present(t, s.mint(t, ownCaveat)), verifier.MissingDischarge},
		"unbound":                        {unbound(t, root, a, b, c), verifier.SignatureMismatch},
		"bound to another root":          {of(rootPart, foreignPart, bPart), verifier.SignatureMismatch},
		"bound and then narrowed":        {of(append([]wire.Macaroon{mustDecode(t, narrow(t, root, count))}, parts[1:]...)...), verifier.SignatureMismatch},
		"under another key":              {present(t, root, forged, b), verifier.SignatureMismatch},
		"nested, under another key":      {present(t, root, a, b, must(macaroon.New([]byte("guessed"), "c", ""))(t)), verifier.SignatureMismatch},
		"twice the same":                 {of(rootPart, aPart, bPart, cPart, bPart), verifier.UnusedDischarge},
		"two with one id, good first":    {of(rootPart, aPart, bPart, cPart, twice), verifier.UnusedDischarge},
		"two with one id, good last":     {of(rootPart, aPart, twice, cPart, bPart), verifier.SignatureMismatch},
		"one too many":                   {of(rootPart, aPart, bPart, cPart, foreignOf(t, "nobody's")), verifier.UnusedDischarge},
		"a discharge as primary":         {of(aPart), verifier.Malformed},
		"the primary as a discharge":     {of(rootPart, aPart, bPart, cPart, rootPart), verifier.UnusedDischarge},
		"own caveat, own discharge":      {present(t, narrow(t, s.mint(t, thirdParty("a")), ownCaveat), ownDischarge), verifier.DischargeReused},
		"own caveat alone, own key":      {present(t, narrow(t, s.mint(t), ownCaveat), ownDischarge), verifier.ReasonUnset},
		"one discharge for two caveats":  {present(t, s.mint(t, thirdParty("a"), thirdParty("a")), discharge(t, "a")), verifier.DischargeReused},
		"the same below the other":       {present(t, s.mint(t, thirdParty("a"), thirdParty("b")), discharge(t, "a", thirdParty("b")), discharge(t, "b")), verifier.DischargeReused},
		"a circle":                       {present(t, s.mint(t, thirdParty("a")), discharge(t, "a", thirdParty("b")), discharge(t, "b", thirdParty("a"))), verifier.DischargeReused},
		"a circle of one":                {present(t, s.mint(t, thirdParty("a")), discharge(t, "a", thirdParty("a"))), verifier.DischargeReused},
		"appended to, after binding":     {appendTo(t, parts, 1, macaroon.Condition("counted y")), verifier.SignatureMismatch},
		"narrowed before binding":        {present(t, root, narrow(t, a, count), b, c), verifier.ReasonUnset},
		"nested condition fails":         {present(t, root, a, b, narrow(t, c, caveat.Methods("POST"))), verifier.CaveatFailed},
		"identifiers of root and caveat": {present(t, s.mint(t, macaroon.ThirdParty([]byte("k"), root.Identifier(), "")), must(macaroon.New([]byte("k"), root.Identifier(), ""))(t)), verifier.ReasonUnset},
	} {
		t.Run(name, func(t *testing.T) {
			calls.Store(0)
			verified, err := s.Verify(ctx, row.credential, read, caveat.Facts{Method: "GET"})
			if row.reason == verifier.ReasonUnset {
				require.NoError(t, err)
				return
			}
			refusal := refused(t, row.reason, verified, err)
			if refusal.Class() == verifier.Unauthenticated {
				require.Zero(t, calls.Load(), "no checker sees what is not authentic")
			}
		})
	}

	verified, err := s.Verify(ctx, present(t, root, a), read, caveat.Facts{})
	require.ErrorIs(t, err, verifier.ErrMissingDischarge)
	refusal := refused(t, verifier.MissingDischarge, verified, err)
	missing := slices.SortedFunc(slices.Values(refusal.Missing), func(a, b macaroon.MissingDischarge) int { return int(a.CaveatID[0]) - int(b.CaveatID[0]) })
	require.Equal(t, []macaroon.MissingDischarge{{Location: "https://b/", CaveatID: "b"}, {Location: "https://c/", CaveatID: "c"}}, missing)
	_, err = s.Authenticate(ctx, present(t, root, a))
	require.ErrorIs(t, err, verifier.ErrMissingDischarge)

	// With something left over that nobody knows to be authentic, nothing is told.
	verified, err = s.Verify(ctx, of(rootPart, aPart, foreignOf(t, "nobody's")), read, caveat.Facts{})
	require.NotErrorIs(t, err, verifier.ErrMissingDischarge)
	require.Empty(t, refused(t, verifier.MissingDischarge, verified, err).Missing)
}

func mustDecode(t testing.TB, m macaroon.Macaroon) wire.Macaroon {
	t.Helper()
	data := must(m.MarshalBinary())(t)
	limits := macaroon.Limits{}.WithDefaults()
	limits.Identifier = limits.Condition
	return must(wire.Decode(nil, nil, string(data), (*wire.Limits)(&limits)))(t)[0]
}

func foreignOf(t testing.TB, name string) wire.Macaroon { return mustDecode(t, discharge(t, name)) }

// appendTo narrows one of the macaroons of a credential that is bound already.
func appendTo(t testing.TB, parts []wire.Macaroon, index int, c macaroon.Caveat) (cr macaroon.Credential) {
	t.Helper()
	var data []byte
	for i := range parts {
		var m macaroon.Macaroon
		require.NoError(t, m.UnmarshalBinary(wire.Append(nil, &parts[i])))
		if i == index {
			m = narrow(t, m, c)
		}
		data = must(m.AppendBinary(data))(t)
	}
	require.NoError(t, cr.UnmarshalBinary(data))
	return cr
}

// Whoever changes a verification id, or takes one from elsewhere, gets one refusal.
func TestVerificationIDs(t *testing.T) {
	s := newService(t, verifier.Options{})
	root := s.mint(t, thirdParty("a"))
	good := mustDecode(t, root)
	elsewhere := mustDecode(t, s.mint(t, thirdParty("a")))
	last := len(good.Caveats) - 1
	change := func(vid string) macaroon.Credential {
		m := good
		m.Caveats = slices.Clone(m.Caveats)
		m.Caveats[last].VerificationID = vid
		var c macaroon.Credential
		require.NoError(t, c.UnmarshalBinary(wire.Append(nil, &m)))
		return c
	}
	var texts []string
	for bit := range 8 * wire.VerificationIDSize {
		vid := []byte(good.Caveats[last].VerificationID)
		vid[bit/8] ^= 1 << (bit % 8)
		verified, err := s.Verify(ctx, change(string(vid)), read, caveat.Facts{})
		refused(t, verifier.SignatureMismatch, verified, err)
		texts = append(texts, err.Error())
	}
	for _, vid := range []string{elsewhere.Caveats[last].VerificationID, string(make([]byte, wire.VerificationIDSize))} {
		verified, err := s.Verify(ctx, change(vid), read, caveat.Facts{})
		refused(t, verifier.SignatureMismatch, verified, err)
		texts = append(texts, err.Error())
	}
	require.Len(t, slices.Compact(texts), 1)
}

// Locations are not signed: rewriting them changes no decision.
func TestLocationsDecideNothing(t *testing.T) {
	s := newService(t, verifier.Options{})
	parts := must(wire.Decode(nil, nil, string(binary(t, present(t, s.mint(t, thirdParty("a")), discharge(t, "a")))), new(wire.Limits(macaroon.Limits{}.WithDefaults()))))(t)
	for _, location := range []string{"", "http://169.254.169.254/", "x"} {
		var data []byte
		for _, m := range parts {
			m.Location = location
			m.Caveats = slices.Clone(m.Caveats)
			for i := range m.Caveats {
				if m.Caveats[i].VerificationID != "" {
					m.Caveats[i].Location = location
				}
			}
			data = wire.Append(data, &m)
		}
		var c macaroon.Credential
		require.NoError(t, c.UnmarshalBinary(data))
		who, err := s.Verify(ctx, c, read, caveat.Facts{})
		require.NoError(t, err)
		require.Equal(t, "billing", who.Subject())
	}
}

func TestNesting(t *testing.T) {
	chain := func(s service, depth int) macaroon.Credential {
		names := []string{"a", "b", "c", "d", "e", "f"}[:depth]
		var list []macaroon.Macaroon
		for i, name := range names {
			d := discharge(t, name)
			if i+1 < len(names) {
				d = narrow(t, d, thirdParty(names[i+1]))
			}
			list = append(list, d)
		}
		return present(t, s.mint(t, thirdParty("a")), list...)
	}
	s := newService(t, verifier.Options{})
	_, err := s.Verify(ctx, chain(s, 4), read, caveat.Facts{})
	require.NoError(t, err)
	verified, err := s.Verify(ctx, chain(s, 5), read, caveat.Facts{})
	refused(t, verifier.OverLimit, verified, err)
	deep := newService(t, verifier.Options{Limits: macaroon.Limits{Depth: 6}})
	_, err = deep.Verify(ctx, chain(deep, 6), read, caveat.Facts{})
	require.NoError(t, err)
}

// A credential parsed under generous limits is held to the verifier's own.
func TestVerifiersOwnLimits(t *testing.T) {
	generous := newService(t, verifier.Options{})
	c := present(t, generous.mint(t, thirdParty("a"), macaroon.Condition("error x")), discharge(t, "a"))
	for name, limits := range map[string]macaroon.Limits{
		"macaroons":        {Macaroons: 1},
		"caveats":          {Caveats: 4},
		"all caveats":      {AllCaveats: 4},
		"identifier":       {Identifier: 10},
		"condition":        {Condition: 10},
		"location":         {Location: 5},
		"nothing whatever": {Macaroons: -1, Caveats: -1, AllCaveats: -1, Identifier: -1, Condition: -1, Location: -1, Depth: -1},
		"no nesting":       {Depth: -1},
	} {
		s := must(verifier.New(generous.keys, "orders", verifier.Options{Limits: limits}))(t)
		verified, err := s.Verify(ctx, c, read, caveat.Facts{})
		refusal := refused(t, verifier.OverLimit, verified, err)
		require.NotNil(t, refusal, name)
	}
}

// The identifier of a discharge may be as long as a caveat id; the location of a
// caveat has a limit of its own.
func TestLongCaveatIDs(t *testing.T) {
	s := newService(t, verifier.Options{})
	id := strings.Repeat("i", 4<<10)
	third := macaroon.ThirdParty([]byte("k"), id, strings.Repeat("l", 512))
	c := present(t, s.mint(t, third), must(macaroon.New([]byte("k"), id, ""))(t))
	_, err := s.Verify(ctx, c, read, noFacts)
	require.NoError(t, err)
	others := must(verifier.New(s.keys, "orders", verifier.Options{Limits: macaroon.Limits{Macaroons: 2}}))(t)
	_, err = others.Verify(ctx, c, read, noFacts)
	require.NoError(t, err, "also where parsing knew other limits")
	for name, limits := range map[string]macaroon.Limits{"discharge": {Condition: 4<<10 - 1}, "location": {Location: 511}} {
		v := must(verifier.New(s.keys, "orders", verifier.Options{Limits: limits}))(t)
		verified, err := v.Verify(ctx, c, read, noFacts)
		require.Equal(t, verifier.OverLimit, refused(t, verifier.OverLimit, verified, err).Reason, name)
	}
}

// What is right but for one thing is refused before any checker runs, and before anybody
// is asked whether it has been revoked.
func TestForgedTokensReachNoChecker(t *testing.T) {
	registry, calls := counted(t)
	s := newService(t, verifier.Options{Registry: registry, Revocations: revocations(func(verifier.Revocable) (bool, error) {
		calls.Add(1)
		return false, nil
	})})
	token := s.mint(t, macaroon.Condition("counted 1"), macaroon.Condition("counted 2"))
	good := mustDecode(t, token)
	_, err := s.Verify(ctx, present(t, token), read, caveat.Facts{})
	require.NoError(t, err)
	require.EqualValues(t, 3, calls.Swap(0))

	try := func(name string, change func(m *wire.Macaroon)) {
		m := good
		m.Caveats = slices.Clone(good.Caveats)
		change(&m)
		var c macaroon.Credential
		require.NoError(t, c.UnmarshalBinary(wire.Append(nil, &m)))
		verified, err := s.Verify(ctx, c, read, caveat.Facts{})
		require.Nil(t, verified)
		require.ErrorIs(t, err, verifier.ErrUnauthenticated, name)
		_, err = s.Authenticate(ctx, c)
		require.ErrorIs(t, err, verifier.ErrUnauthenticated, name)
		require.Zero(t, calls.Load(), name)
	}
	for i := range good.Caveats {
		try("dropped", func(m *wire.Macaroon) { m.Caveats = slices.Delete(m.Caveats, i, i+1) })
		try("changed", func(m *wire.Macaroon) { m.Caveats[i].ID = "counted x" })
		try("doubled", func(m *wire.Macaroon) { m.Caveats = slices.Insert(m.Caveats, i, m.Caveats[i]) })
		try("swapped", func(m *wire.Macaroon) {
			j := (i + 1) % len(m.Caveats)
			m.Caveats[i], m.Caveats[j] = m.Caveats[j], m.Caveats[i]
		})
		try("inserted", func(m *wire.Macaroon) { m.Caveats = slices.Insert(m.Caveats, i, wire.Caveat{ID: "counted x"}) })
	}
	try("appended without the signature", func(m *wire.Macaroon) { m.Caveats = append(m.Caveats, wire.Caveat{ID: "counted x"}) })
	try("signature of zeros", func(m *wire.Macaroon) { m.Signature = [32]byte{} })
	try("cut to nothing", func(m *wire.Macaroon) { m.Caveats = nil })
	another := newService(t, verifier.Options{})
	try("another service's token", func(m *wire.Macaroon) { *m = mustDecode(t, another.mint(t, macaroon.Condition("counted x"))) })
}

// The number of the minter's caveats can't be met by cutting or by counting the
// holder's.
func TestFewerCaveatsThanCounted(t *testing.T) {
	source := newFakeSource()
	v := must(verifier.New(source, "orders", verifier.Options{}))(t)
	id := must(macaroon.Identifier{KeyID: "k1", IssuedAt: time.Now(), Caveats: 4}.MarshalBinary())(t)
	m := must(macaroon.New(source.key(), string(id), ""))(t)
	m = narrow(t, m, caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations(read))
	verified, err := v.Verify(ctx, present(t, m), read, caveat.Facts{})
	refused(t, verifier.Malformed, verified, err)
}
