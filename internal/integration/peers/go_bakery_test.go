package peers_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/macaroon-bakery.v2/bakery"
	"gopkg.in/macaroon-bakery.v2/bakery/checkers"
	v2 "gopkg.in/macaroon.v2"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
)

// bakeryKey is a key that the bakery and we have in common.
func bakeryKey(t testing.TB, key thirdparty.PrivateKey) *bakery.KeyPair {
	text, err := key.Reveal()
	require.NoError(t, err)
	var pair bakery.KeyPair
	require.NoError(t, pair.Private.UnmarshalText([]byte(text)))
	require.NoError(t, pair.Public.UnmarshalText([]byte(key.Public().String())))
	return &pair
}

// goDischarge has the bakery's discharger discharge a caveat. It must be asked for want.
func goDischarge(t testing.TB, key thirdparty.PrivateKey, id, payload, want string, caveats ...checkers.Caveat) (macaroon.Macaroon, bakery.ThirdPartyCaveatInfo) {
	var asked bakery.ThirdPartyCaveatInfo
	params := bakery.DischargeParams{Id: []byte(id), Key: bakeryKey(t, key), Locator: bakery.NewThirdPartyStore(),
		Checker: bakery.ThirdPartyCaveatCheckerFunc(func(_ context.Context, info *bakery.ThirdPartyCaveatInfo) ([]checkers.Caveat, error) {
			asked = *info
			return caveats, nil
		})}
	if payload != "" {
		params.Caveat = []byte(payload)
	}
	discharge, err := bakery.Discharge(t.Context(), params)
	require.NoError(t, err)
	require.Equal(t, want, string(asked.Condition))
	m, err := legacy.FromV2(discharge.M())
	require.NoError(t, err)
	return m, asked
}

// What we seal, the bakery opens: the condition, who sealed it, and the root key, since a service of ours accepts the
// discharge.
func TestBakeryDischargesOurCaveats(t *testing.T) {
	key, minter := thirdparty.GenerateKey(), thirdparty.GenerateKey()
	keys := rootkey.InMemory()
	v, err := verifier.New(keys, "orders", verifier.Options{})
	require.NoError(t, err)
	for version := 2; version <= 3; version++ {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			party := thirdparty.Party{Location: identity, Key: key.Public(), Version: version}
			token, err := keys.Mint(t.Context(), macaroon.Grant{Subject: "web"}, caveat.ExpiresIn(time.Hour),
				caveat.Audience("orders"), caveat.Operations(readOrders), thirdparty.NewCaveat(party, isMember).From(minter))
			require.NoError(t, err)
			wallet, err := macaroon.NewWallet(token)
			require.NoError(t, err)
			discharge, asked := goDischarge(t, key, wallet.Missing()[0].CaveatID, "", isMember, checkers.TimeBeforeCaveat(time.Now().Add(time.Minute)))
			require.Equal(t, minter.Public().String(), asked.FirstPartyPublicKey.String())
			require.EqualValues(t, version, asked.Version)
			require.Equal(t, "std:", asked.Namespace.String())

			who, err := v.VerifyText(t.Context(), encode(t, token, discharge), readOrders, caveat.Facts{})
			require.NoError(t, err)
			require.Equal(t, "web", who.Subject())
		})
	}
}

// The bakery reads what we write to ask for attributes, and declares what its checker leaves out. What a verifier then
// reports depends on the order in which its checker gave the caveats, and not on what a holder appends.
func TestBakeryAttestsWhatWeAskFor(t *testing.T) {
	key := thirdparty.GenerateKey()
	keys := rootkey.InMemory()
	v, err := verifier.New(keys, "orders", verifier.Options{})
	require.NoError(t, err)
	user, tenant := checkers.DeclaredCaveat("user", "ann"), checkers.DeclaredCaveat("tenant", "acme")
	until := checkers.TimeBeforeCaveat(time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC))
	const userText, tenantText, untilText = "declared user ann", "declared tenant acme", "time-before 2999-01-01T00:00:00Z"
	both := map[string]string{"user": "ann", "tenant": "acme"}
	for name, row := range map[string]struct {
		caveats []checkers.Caveat
		want    []string // in the discharge
		attests map[string]string
	}{
		"declarations only":        {[]checkers.Caveat{user, tenant}, []string{userText, tenantText}, both},
		"declarations, expiry":     {[]checkers.Caveat{tenant, user, until}, []string{tenantText, userText, untilText}, both},
		"expiry, declarations":     {[]checkers.Caveat{until, user, tenant}, []string{untilText, userText, tenantText}, map[string]string{}},
		"expiry between":           {[]checkers.Caveat{user, until, tenant}, []string{userText, untilText, tenantText}, map[string]string{"user": "ann"}},
		"a key left out":           {[]checkers.Caveat{tenant}, []string{tenantText, "declared user "}, map[string]string{"tenant": "acme"}},
		"a key left out, expiry":   {[]checkers.Caveat{tenant, until}, []string{tenantText, untilText, "declared user "}, map[string]string{"tenant": "acme"}},
		"nothing":                  {nil, []string{"declared user ", "declared tenant "}, map[string]string{}},
		"an empty one":             {[]checkers.Caveat{user, checkers.DeclaredCaveat("tenant", "")}, []string{userText, "declared tenant "}, map[string]string{"user": "ann"}},
		"one that nobody asked of": {[]checkers.Caveat{checkers.DeclaredCaveat("x", "y"), user, tenant}, []string{"declared x y", userText, tenantText}, both},
	} {
		for version := 2; version <= 3; version++ {
			t.Run(fmt.Sprintf("%s, version %d", name, version), func(t *testing.T) {
				party := thirdparty.Party{Location: identity, Key: key.Public(), Version: version}
				token, err := keys.Mint(t.Context(), macaroon.Grant{Subject: "web"}, caveat.ExpiresIn(time.Hour),
					caveat.Audience("orders"), caveat.Operations(readOrders), thirdparty.NewCaveat(party, isMember).Attesting("user", "tenant"))
				require.NoError(t, err)
				caveats := token.Inspect().Caveats()
				discharge, _ := goDischarge(t, key, caveats.At(caveats.Len()-1).ID, "", isMember, row.caveats...)
				require.Equal(t, row.want, conditionsOf(discharge))

				expiring, err := discharge.Attenuate(caveat.ExpiresIn(time.Minute))
				require.NoError(t, err)
				forged, err := discharge.Attenuate(macaroon.Condition("declared user admin"))
				require.NoError(t, err)
				for _, d := range []macaroon.Macaroon{discharge, expiring} {
					who, err := v.VerifyText(t.Context(), encode(t, token, d), readOrders, caveat.Facts{})
					require.NoError(t, err)
					require.Equal(t, row.attests, maps.Collect(who.Attributes()))
				}
				_, err = v.VerifyText(t.Context(), encode(t, token, forged), readOrders, caveat.Facts{})
				require.ErrorIs(t, err, verifier.ErrDenied)
			})
		}
	}
}

func conditionsOf(m macaroon.Macaroon) (list []string) {
	for _, c := range m.Inspect().Caveats().All() {
		list = append(list, c.ID)
	}
	return list
}

// shop is a service that is built with the bakery: it wants to know the user from somebody else.
type shop struct {
	oven    *bakery.Oven
	checker *bakery.Checker
}

var readOp = bakery.Op{Entity: "orders", Action: "read"}

func newShop(t testing.TB, thirdParty thirdparty.PublicKey, version int) shop {
	var public bakery.PublicKey
	require.NoError(t, public.UnmarshalText([]byte(thirdParty.String())))
	locator := bakery.NewThirdPartyStore()
	locator.AddInfo(identity, bakery.ThirdPartyInfo{PublicKey: public, Version: bakery.Version(version)})
	checker := checkers.New(nil)
	oven := bakery.NewOven(bakery.OvenParams{
		Key: bakery.MustGenerateKey(), Locator: locator, Location: "https://shop.example", Namespace: checker.Namespace()})
	return shop{oven, bakery.NewChecker(bakery.CheckerParams{Checker: checker, MacaroonVerifier: oven})}
}

func (s shop) mint(t testing.TB, version int, caveats ...checkers.Caveat) *bakery.Macaroon {
	m, err := s.oven.NewMacaroon(t.Context(), bakery.Version(version), caveats, readOp)
	require.NoError(t, err)
	return m
}

func (s shop) allow(t testing.TB, m *bakery.Macaroon, discharges ...macaroon.Macaroon) error {
	slice := v2.Slice{m.M()}
	for _, d := range discharges {
		bound, err := legacy.ToV2(d)
		require.NoError(t, err)
		bound.Bind(m.M().Signature())
		slice = append(slice, bound)
	}
	_, err := s.checker.Auth(slice).Allow(t.Context(), readOp)
	return err
}

// requestOf is what a client sends to discharge the last caveat of m.
func requestOf(t testing.TB, m *bakery.Macaroon) thirdparty.Request {
	caveats := m.M().Caveats()
	id := caveats[len(caveats)-1].Id
	data, err := json.Marshal(m)
	require.NoError(t, err)
	var wrapper struct {
		Payloads map[string]string `json:"cdata"`
	}
	require.NoError(t, json.Unmarshal(data, &wrapper))
	payload, err := base64.RawURLEncoding.DecodeString(wrapper.Payloads[base64.RawURLEncoding.EncodeToString(id)])
	require.NoError(t, err)
	return thirdparty.Request{CaveatID: string(id), Payload: string(payload)}
}

// What the bakery seals, we open, and it accepts our discharge. The macaroon insists on the user that the third party
// declares; nothing that a holder adds changes that.
func TestWeDischargeCaveatsOfTheBakery(t *testing.T) {
	key := thirdparty.GenerateKey()
	member := checkers.Caveat{Location: identity, Condition: isMember}
	asking := checkers.NeedDeclaredCaveat(member, "username")
	bob, admin := map[string]string{"username": "bob"}, map[string]string{"username": "admin"}
	isBob, isAdmin := checkers.DeclaredCaveat("username", "bob"), checkers.DeclaredCaveat("username", "admin")
	for version := 1; version <= 3; version++ {
		s := newShop(t, key.Public(), version)
		for name, row := range map[string]struct {
			caveats  []checkers.Caveat
			declared map[string]string
			appended string // by the holder, to the discharge
			ok       bool
		}{
			"condition only":               {[]checkers.Caveat{member}, nil, "", true},
			"declared, not asked for":      {[]checkers.Caveat{isBob, member}, bob, "", true},
			"asked for":                    {[]checkers.Caveat{isBob, asking}, bob, "", true},
			"another user":                 {[]checkers.Caveat{isBob, asking}, admin, "", false},
			"left out":                     {[]checkers.Caveat{isBob, asking}, nil, "", false},
			"left out, holder declares":    {[]checkers.Caveat{isAdmin, asking}, nil, "declared username admin", false},
			"another, holder declares too": {[]checkers.Caveat{isAdmin, asking}, bob, "declared username admin", false},
			"the same, holder declares":    {[]checkers.Caveat{isBob, asking}, bob, "declared username bob", true},
			"an earlier expiry":            {[]checkers.Caveat{isBob, asking}, bob, "time-before 2001-01-01T00:00:00Z", false},
		} {
			t.Run(fmt.Sprintf("version %d, %s", version, name), func(t *testing.T) {
				m := s.mint(t, version, row.caveats...)
				require.Error(t, s.allow(t, m), "without a discharge")
				r := requestOf(t, m)
				require.Equal(t, version == 3, r.Payload != "")
				discharge, err := newDischarger(t, key).Discharge(t.Context(), r, members(row.declared))
				require.NoError(t, err)
				if row.appended != "" {
					discharge, err = discharge.Attenuate(macaroon.Condition(row.appended))
					require.NoError(t, err)
				}
				err = s.allow(t, m, discharge)
				require.Equal(t, row.ok, err == nil, err)
			})
		}

		m := s.mint(t, version, checkers.Caveat{Location: identity, Condition: "member-of others"})
		_, err := newDischarger(t, key).Discharge(t.Context(), requestOf(t, m), members(nil))
		require.ErrorContains(t, err, "not a member")
		_, err = newDischarger(t, thirdparty.GenerateKey()).Discharge(t.Context(), requestOf(t, m), members(nil))
		require.Equal(t, thirdparty.ErrUndecipherable, err)
	}
}

// What the bakery's Checker.Auth says of a macaroon of its own, which we narrowed and bound discharges to, a verifier of
// ours says too that has the root key.
func TestCheckerAuthAndWeAgree(t *testing.T) {
	key := thirdparty.GenerateKey()
	store := &oneKey{key: []byte("the root key of the bakery's shop")}
	s := newShop(t, key.Public(), 3)
	s.oven = bakery.NewOven(bakery.OvenParams{Key: s.oven.Key(), Locator: s.oven.Locator(), Namespace: checkers.New(nil).Namespace(),
		RootKeyStoreForOps: func([]bakery.Op) bakery.RootKeyStore { return store }})
	s.checker = bakery.NewChecker(bakery.CheckerParams{Checker: checkers.New(nil), MacaroonVerifier: s.oven})
	source, err := verifier.FixedKey(store.key, verifier.ForeignGrant{Operations: []string{readOrders}})
	require.NoError(t, err)
	v, err := verifier.NewForeign(source, "shop", verifier.Options{InsecureNoExpiry: true, InsecureNoAudience: true})
	require.NoError(t, err)

	asking := checkers.NeedDeclaredCaveat(checkers.Caveat{Location: identity, Condition: isMember}, "username")
	isBob := checkers.DeclaredCaveat("username", "bob")
	const later, past = "time-before 2999-01-01T00:00:00Z", "time-before 2001-01-01T00:00:00Z"
	for name, row := range map[string]struct {
		caveats             []checkers.Caveat
		declared            string
		primary, discharged []macaroon.Caveat // appended by the holder
		missing, ok         bool
	}{
		"as it is":                    {[]checkers.Caveat{isBob, asking}, "bob", nil, nil, false, true},
		"narrowed":                    {[]checkers.Caveat{isBob, asking}, "bob", conditionList(later), conditionList(later), false, true},
		"expired":                     {[]checkers.Caveat{isBob, asking}, "bob", conditionList(later, past), nil, false, false},
		"a discharge that expired":    {[]checkers.Caveat{isBob, asking}, "bob", nil, conditionList(past), false, false},
		"a condition nobody knows":    {[]checkers.Caveat{isBob, asking}, "bob", conditionList("x"), nil, false, false},
		"a discharge that is missing": {[]checkers.Caveat{isBob, asking}, "bob", nil, nil, true, false},
		"another user":                {[]checkers.Caveat{isBob, asking}, "eve", nil, nil, false, false},
		"another, the holder says":    {[]checkers.Caveat{asking}, "eve", conditionList("declared username bob"), nil, false, false},
		"the same, the holder says":   {[]checkers.Caveat{asking}, "bob", conditionList("declared username bob"), nil, false, true},
		"the minter's, expired":       {[]checkers.Caveat{checkers.TimeBeforeCaveat(time.Unix(1, 0)), asking}, "bob", nil, nil, false, false},
	} {
		for version := 1; version <= 3; version++ {
			t.Run(fmt.Sprintf("%s, version %d", name, version), func(t *testing.T) {
				baked := s.mint(t, version, row.caveats...)
				discharge, err := newDischarger(t, key).Discharge(t.Context(), requestOf(t, baked), members(map[string]string{"username": row.declared}))
				require.NoError(t, err)
				discharge, err = discharge.Attenuate(row.discharged...)
				require.NoError(t, err)
				primary, err := legacy.FromV2(baked.M())
				require.NoError(t, err)
				primary, err = primary.Attenuate(row.primary...)
				require.NoError(t, err)
				wallet, err := macaroon.NewWallet(primary)
				require.NoError(t, err)
				if !row.missing {
					wallet, err = wallet.With(discharge)
					require.NoError(t, err)
				}
				credential, err := wallet.Credential()
				require.NoError(t, err)

				_, err = v.Verify(t.Context(), credential, readOrders, caveat.Facts{})
				require.Equal(t, row.ok, err == nil, err)
				data, err := legacy.ExportV2JSON(credential)
				require.NoError(t, err)
				var slice v2.Slice
				if data[0] == '{' {
					data = []byte("[" + string(data) + "]")
				}
				require.NoError(t, json.Unmarshal(data, &slice))
				_, err = s.checker.Auth(slice).Allow(t.Context(), readOp)
				require.Equal(t, row.ok, err == nil, err)
			})
		}
	}
}

func conditionList(texts ...string) (list []macaroon.Caveat) {
	for _, text := range texts {
		list = append(list, macaroon.Condition(text))
	}
	return list
}

// oneKey is a store of the bakery's that has one root key.
type oneKey struct{ key []byte }

func (s *oneKey) Get(context.Context, []byte) ([]byte, error) { return s.key, nil }

func (s *oneKey) RootKey(context.Context) (rootKey, id []byte, err error) {
	return s.key, []byte("one"), nil
}

// A third-party caveat that our third party adds is for the bakery's to discharge, and the other way round.
func TestNestedDischargesWithTheBakery(t *testing.T) {
	key, nextKey := thirdparty.GenerateKey(), thirdparty.GenerateKey()
	s := newShop(t, key.Public(), 3)
	m := s.mint(t, 3, checkers.Caveat{Location: identity, Condition: isMember})
	for version := 2; version <= 3; version++ {
		next := thirdparty.Party{Location: "https://next.example", Key: nextKey.Public(), Version: version}
		outer, err := newDischarger(t, key).Discharge(t.Context(), requestOf(t, m), thirdparty.Conditions{
			"member-of": func(context.Context, thirdparty.Question) (thirdparty.Answer, error) {
				return thirdparty.Answer{Caveats: []macaroon.Caveat{thirdparty.NewCaveat(next, "is-awake")}}, nil
			}})
		require.NoError(t, err)
		caveats := outer.Inspect().Caveats()
		inner, _ := goDischarge(t, nextKey, caveats.At(caveats.Len()-1).ID, "", "is-awake")
		require.Error(t, s.allow(t, m, outer))
		require.NoError(t, s.allow(t, m, outer, inner))
	}
}

// Random conditions and keys, both ways: what one writes the other reads.
func TestRandomCaveatIDsWithTheBakery(t *testing.T) {
	const seed, rounds = 5, 200
	random := rand.New(rand.NewPCG(seed, seed))
	letters := []rune("abc =:,{}\"'\\/<>&é水🙂")
	for range rounds {
		key := thirdparty.GenerateKey()
		text := []rune{'x'} // neither empty nor a space first
		for range random.IntN(100) {
			text = append(text, letters[random.IntN(len(letters))])
		}
		condition := string(text)
		version := 1 + random.IntN(3)

		s := newShop(t, key.Public(), version)
		m := s.mint(t, 3, checkers.Caveat{Location: identity, Condition: condition})
		discharge, err := newDischarger(t, key).Discharge(t.Context(), requestOf(t, m),
			thirdparty.CheckerFunc(func(_ context.Context, q thirdparty.Question) (thirdparty.Answer, error) {
				require.Equal(t, condition, q.Condition)
				require.Equal(t, version, q.Version)
				require.Equal(t, s.oven.Key().Public.String(), q.FirstParty.String())
				return thirdparty.Answer{}, nil
			}))
		require.NoError(t, err)
		require.NoError(t, s.allow(t, m, discharge))

		if version == 1 {
			continue // not written
		}
		rootKey, id, _, err := thirdparty.NewCaveat(thirdparty.Party{Location: identity, Key: key.Public(), Version: version}, condition).ThirdParty()
		require.NoError(t, err)
		_, asked := goDischarge(t, key, id, "", condition)
		require.Equal(t, rootKey, asked.RootKey)
	}
}
