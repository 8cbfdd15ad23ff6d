package thirdparty_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
)

// target is a service whose tokens need a third party.
type target struct {
	keys     *rootkey.Keyring
	verifier *verifier.Verifier
	now      time.Time
}

func newTarget(t testing.TB) *target {
	s := &target{keys: rootkey.InMemory(), now: time.Now()}
	v, err := verifier.New(s.keys, "orders", verifier.Options{Now: func() time.Time { return s.now }})
	require.NoError(t, err)
	s.verifier = v
	return s
}

func (s *target) mint(t testing.TB, more ...macaroon.Caveat) macaroon.Macaroon {
	m, err := s.keys.Mint(context.Background(), macaroon.Grant{Subject: "web"}, append([]macaroon.Caveat{
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read")}, more...)...)
	require.NoError(t, err)
	return m
}

func (s *target) verify(t testing.TB, w macaroon.Wallet) (*verifier.Verified, error) {
	text, err := w.Encode()
	require.NoError(t, err)
	return s.verifier.VerifyText(context.Background(), text, "orders.read", caveat.Facts{})
}

// dischargeAll gets what is missing of the dischargers, by location.
func dischargeAll(t testing.TB, m macaroon.Macaroon, dischargers map[string]*thirdparty.Discharger, checker thirdparty.Checker) macaroon.Wallet {
	w, err := macaroon.NewWallet(m)
	require.NoError(t, err)
	for len(w.Missing()) > 0 {
		missing := w.Missing()[0]
		require.Contains(t, dischargers, missing.Location)
		d, err := dischargers[missing.Location].Discharge(t.Context(), thirdparty.Request{CaveatID: missing.CaveatID}, checker)
		require.NoError(t, err)
		w, err = w.With(d)
		require.NoError(t, err)
	}
	return w
}

func TestDischargedTokensVerify(t *testing.T) {
	key, nextKey := thirdparty.GenerateKey(), thirdparty.GenerateKey()
	next := thirdparty.Party{Location: "https://next.example", Key: nextKey.Public()}
	dischargers := map[string]*thirdparty.Discharger{home: dischargerAt(t, time.Now(), key), next.Location: dischargerAt(t, time.Now(), nextKey)}
	simply := says(thirdparty.Answer{})
	passesOn := thirdparty.Conditions{
		"first": func(context.Context, thirdparty.Question) (thirdparty.Answer, error) {
			return thirdparty.Answer{Caveats: []macaroon.Caveat{thirdparty.NewCaveat(next, "second")}}, nil
		},
		"second": func(context.Context, thirdparty.Question) (thirdparty.Answer, error) { return thirdparty.Answer{}, nil },
	}
	s := newTarget(t)
	at := func(version int, condition string) thirdparty.Caveat {
		return thirdparty.NewCaveat(thirdparty.Party{Location: home, Key: key.Public(), Version: version}, condition)
	}
	narrowed, err := s.mint(t).Attenuate(at(3, "first"), caveat.ExpiresIn(time.Minute))
	require.NoError(t, err)
	for name, row := range map[string]struct {
		token   macaroon.Macaroon
		checker thirdparty.Checker
		count   int
	}{
		"minter's":    {s.mint(t, at(3, "first")), simply, 1},
		"version 2":   {s.mint(t, at(2, "first")), simply, 1},
		"holder's":    {narrowed, simply, 1},
		"text":        {s.mint(t, at(3, "first").AsText(), at(2, "first").AsText()), simply, 2},
		"two":         {s.mint(t, at(3, "first"), at(3, "first")), simply, 2},
		"nested":      {s.mint(t, at(3, "first")), passesOn, 2},
		"two, nested": {s.mint(t, at(3, "first"), at(2, "first")), passesOn, 4},
	} {
		t.Run(name, func(t *testing.T) {
			none, err := macaroon.NewWallet(row.token)
			require.NoError(t, err)
			_, err = s.verify(t, none)
			require.ErrorIs(t, err, verifier.ErrMissingDischarge)

			w := dischargeAll(t, row.token, dischargers, row.checker)
			require.Len(t, w.Discharges(), row.count)
			who, err := s.verify(t, w)
			require.NoError(t, err)
			require.Equal(t, "web", who.Subject())

			// The token lasts an hour, the discharges do not.
			s.now = s.now.Add(10 * time.Minute)
			defer func() { s.now = s.now.Add(-10 * time.Minute) }()
			_, err = s.verify(t, w)
			require.ErrorIs(t, err, verifier.ErrUnauthenticated)
		})
	}
}

// Only the third party can discharge: somebody who has the token, the caveat id and keys of his own can't.
func TestForgedDischarges(t *testing.T) {
	key, mine := thirdparty.GenerateKey(), thirdparty.GenerateKey()
	s := newTarget(t)
	token := s.mint(t, thirdparty.NewCaveat(party(key), "member-of acme"))
	id := token.Inspect().Caveats().At(3).ID
	d := dischargerAt(t, time.Now(), key)

	// A caveat of his own whose key he knows, in place of the minter's.
	myID, _ := sealed(t, thirdparty.NewCaveat(party(mine), "x"))
	myDischarge, err := dischargerAt(t, time.Now(), mine).Discharge(t.Context(),
		thirdparty.Request{CaveatID: id, Payload: myID}, says(thirdparty.Answer{}))
	require.NoError(t, err)
	// The discharge of a caveat that says something easier, under the id of this one.
	easyID, _ := sealed(t, thirdparty.NewCaveat(party(key), "easy"))
	easy, err := d.Discharge(t.Context(), thirdparty.Request{CaveatID: id, Payload: easyID}, says(thirdparty.Answer{}))
	require.NoError(t, err)
	guessed, err := macaroon.New(make([]byte, 32), id, "")
	require.NoError(t, err)

	for name, forged := range map[string]macaroon.Macaroon{"own key": myDischarge, "easier condition": easy, "guessed key": guessed} {
		t.Run(name, func(t *testing.T) {
			w, err := macaroon.NewWallet(token, forged)
			require.NoError(t, err)
			_, err = s.verify(t, w)
			require.ErrorIs(t, err, verifier.ErrUnauthenticated)
		})
	}
	// And the discharge of one token is of no use for another with a caveat that says the same.
	good, err := d.Discharge(t.Context(), thirdparty.Request{CaveatID: id}, says(thirdparty.Answer{}))
	require.NoError(t, err)
	w, err := macaroon.NewWallet(token, good)
	require.NoError(t, err)
	_, err = s.verify(t, w)
	require.NoError(t, err)
	other, err := macaroon.NewWallet(s.mint(t, thirdparty.NewCaveat(party(key), "member-of acme")), good)
	require.NoError(t, err)
	_, err = other.Encode()
	require.Error(t, err, "no caveat asks for it")
}
