package thirdparty_test

import (
	"context"
	"encoding/base64"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// What the third party declares is what the verifier reports, and nothing that a holder appends anywhere, or declares
// by a third party of his own, changes that: it is refused, or without effect.
func TestAttestedAttributes(t *testing.T) {
	key, mine := thirdparty.GenerateKey(), thirdparty.GenerateKey()
	s := newTarget(t)
	d, mineToo := dischargerAt(t, s.now, key), dischargerAt(t, s.now, mine)
	token := s.mint(t, thirdparty.NewCaveat(party(key), "member-of acme").Attesting("user", "tenant"))
	id := token.Inspect().Caveats().At(3).ID
	admin := macaroon.Condition("declared user admin")

	discharge := func(declared map[string]string, more ...macaroon.Caveat) macaroon.Macaroon {
		m, err := d.Discharge(t.Context(), thirdparty.Request{CaveatID: id}, says(thirdparty.Answer{Declared: declared, Caveats: more}))
		require.NoError(t, err)
		return m
	}
	wallet := func(primary macaroon.Macaroon, discharges ...macaroon.Macaroon) macaroon.Wallet {
		w, err := macaroon.NewWallet(primary, discharges...)
		require.NoError(t, err)
		return w
	}
	narrow := func(m macaroon.Macaroon, caveats ...macaroon.Caveat) macaroon.Macaroon {
		m, err := m.Attenuate(caveats...)
		require.NoError(t, err)
		return m
	}
	ann := map[string]string{"user": "ann", "tenant": "acme"}
	justTenant := map[string]string{"tenant": "acme"}
	// own is a caveat that the holder appends for a third party that is he himself, and its discharge.
	own := func(declared map[string]string) (macaroon.Caveat, macaroon.Macaroon) {
		rootKey, ownID, location, err := thirdparty.NewCaveat(party(mine), "x").ThirdParty()
		require.NoError(t, err)
		m, err := mineToo.Discharge(t.Context(), thirdparty.Request{CaveatID: ownID}, says(thirdparty.Answer{Declared: declared}))
		require.NoError(t, err)
		return macaroon.ThirdParty(rootKey, ownID, location), m
	}
	ownCaveat, ownDischarge := own(map[string]string{"user": "admin"})
	sameCaveat, sameDischarge := own(ann)

	for name, row := range map[string]struct {
		wallet macaroon.Wallet
		want   map[string]string // nil: refused
	}{
		"declared":                          {wallet(token, discharge(ann)), ann},
		"spaces in the value":               {wallet(token, discharge(map[string]string{"user": " ann  b "})), map[string]string{"user": " ann  b "}},
		"one left out":                      {wallet(token, discharge(justTenant)), justTenant},
		"all left out":                      {wallet(token, discharge(nil)), map[string]string{}},
		"one empty":                         {wallet(token, discharge(map[string]string{"user": "", "tenant": "acme"})), justTenant},
		"one more":                          {wallet(token, discharge(map[string]string{"user": "ann", "tenant": "acme", "group": "x"})), ann},
		"narrowed":                          {wallet(narrow(token, caveat.ExpiresIn(time.Minute)), narrow(discharge(ann), caveat.ExpiresIn(time.Minute))), ann},
		"appended to the token":             {wallet(narrow(token, admin), discharge(ann)), nil},
		"appended to the token, left out":   {wallet(narrow(token, admin), discharge(justTenant)), nil},
		"appended to a discharge":           {wallet(token, narrow(discharge(ann), admin)), nil},
		"appended to a discharge, left out": {wallet(token, narrow(discharge(justTenant), admin)), nil},
		"the same appended":                 {wallet(narrow(token, macaroon.Condition("declared user ann")), discharge(ann)), ann},
		"another key appended":              {wallet(narrow(token, macaroon.Condition("declared role admin")), discharge(ann)), ann},
		"own third party":                   {wallet(narrow(token, ownCaveat), discharge(ann), ownDischarge), nil},
		"own third party, left out":         {wallet(narrow(token, ownCaveat), discharge(justTenant), ownDischarge), nil},
		"own third party says the same":     {wallet(narrow(token, sameCaveat), discharge(ann), sameDischarge), ann},
	} {
		t.Run(name, func(t *testing.T) {
			who, err := s.verify(t, row.wallet)
			if row.want == nil {
				require.ErrorIs(t, err, verifier.ErrDenied)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, maps.Collect(who.Attributes()))
			require.Equal(t, "web", who.Subject())
		})
	}
}

// A holder can append a caveat of the same caveat id, whose root key he knows, and discharge that himself: for the
// minter's caveat that is worth nothing, whether he presents it alone, or beside the real one, in either order, or
// nested in the discharge of yet another caveat of his.
func TestSameCaveatID(t *testing.T) {
	key := thirdparty.GenerateKey()
	s := newTarget(t)
	d := dischargerAt(t, s.now, key)
	token := s.mint(t, thirdparty.NewCaveat(party(key), "member-of acme").Attesting("user"))
	id := token.Inspect().Caveats().At(3).ID
	real, err := d.Discharge(t.Context(), thirdparty.Request{CaveatID: id}, says(thirdparty.Answer{Declared: map[string]string{"user": "ann"}}))
	require.NoError(t, err)
	mine := []byte("a root key that the holder knows")
	selfMade := func(id string, caveats ...macaroon.Caveat) macaroon.Macaroon {
		m, err := macaroon.New(mine, id, "")
		require.NoError(t, err)
		m, err = m.Attenuate(caveats...)
		require.NoError(t, err)
		return m
	}
	admin := macaroon.Condition("declared user admin")
	same, err := token.Attenuate(macaroon.ThirdParty(mine, id, home))
	require.NoError(t, err)
	around, err := token.Attenuate(macaroon.ThirdParty(mine, "around", home))
	require.NoError(t, err)
	nested := macaroon.ThirdParty(mine, id, home)

	// presented is the text of a token with these discharges, which no wallet would hold, bound.
	presented := func(primary macaroon.Macaroon, discharges ...macaroon.Macaroon) string {
		all, err := primary.MarshalBinary()
		require.NoError(t, err)
		own := len(all)
		for _, d := range discharges {
			w, err := macaroon.NewWallet(primary, d)
			require.NoError(t, err)
			c, err := w.Credential()
			require.NoError(t, err)
			b, err := c.MarshalBinary()
			require.NoError(t, err)
			all = append(all, b[own:]...)
		}
		return base64.RawURLEncoding.EncodeToString(all)
	}
	wallet := func(primary macaroon.Macaroon, discharges ...macaroon.Macaroon) string {
		w, err := macaroon.NewWallet(primary, discharges...)
		require.NoError(t, err)
		text, err := w.Encode()
		require.NoError(t, err)
		return text
	}
	for name, text := range map[string]string{
		"his own for the minter's":    presented(token, selfMade(id, admin)),
		"his own for both":            presented(same, selfMade(id, admin)),
		"the real one for both":       presented(same, real),
		"the real one first":          presented(same, real, selfMade(id, admin)),
		"his own first":               presented(same, selfMade(id, admin), real),
		"his own, nested":             wallet(around, selfMade("around", nested), selfMade(id, admin)),
		"the real one, his is nested": wallet(around, selfMade("around", nested), real),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.verifier.VerifyText(t.Context(), text, "orders.read", caveat.Facts{})
			require.ErrorIs(t, err, verifier.ErrUnauthenticated)
		})
	}
	who, err := s.verifier.VerifyText(t.Context(), presented(token, real), "orders.read", caveat.Facts{})
	require.NoError(t, err)
	user, _ := who.Attribute("user")
	require.Equal(t, "ann", user)
}

// A third party that another one adds attests nothing.
func TestNestedDischargesAttestNothing(t *testing.T) {
	key, nextKey := thirdparty.GenerateKey(), thirdparty.GenerateKey()
	next := thirdparty.Party{Location: "https://next.example", Key: nextKey.Public()}
	s := newTarget(t)
	dischargers := map[string]*thirdparty.Discharger{home: dischargerAt(t, s.now, key), next.Location: dischargerAt(t, s.now, nextKey)}
	token := s.mint(t, thirdparty.NewCaveat(party(key), "first").Attesting("user"))
	for name, row := range map[string]struct {
		first, second map[string]string
		want          map[string]string
	}{
		"the nested one alone": {nil, map[string]string{"user": "admin"}, nil},
		"both":                 {map[string]string{"user": "ann"}, map[string]string{"user": "admin"}, nil},
		"the first":            {map[string]string{"user": "ann"}, nil, map[string]string{"user": "ann"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := dischargeAll(t, token, dischargers, thirdparty.Conditions{
				"first": func(context.Context, thirdparty.Question) (thirdparty.Answer, error) {
					return thirdparty.Answer{Declared: row.first, Caveats: []macaroon.Caveat{thirdparty.NewCaveat(next, "second")}}, nil
				},
				"second": func(context.Context, thirdparty.Question) (thirdparty.Answer, error) {
					return thirdparty.Answer{Declared: row.second}, nil
				},
			})
			who, err := s.verify(t, w)
			if row.want == nil {
				require.ErrorIs(t, err, verifier.ErrDenied)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, maps.Collect(who.Attributes()))
		})
	}
}
