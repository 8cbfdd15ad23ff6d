package thirdparty_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

func TestCaveat(t *testing.T) {
	key, minter := thirdparty.GenerateKey(), thirdparty.GenerateKey()
	keys := keySet(t, key)
	plain := thirdparty.NewCaveat(party(key), "member-of acme")
	for name, row := range map[string]struct {
		c    thirdparty.Caveat
		want thirdparty.Opened
	}{
		"plain": {plain, thirdparty.Opened{Namespace: "std:", Condition: "member-of acme", Version: 3}},
		"attesting": {plain.Attesting("user", "tenant"),
			thirdparty.Opened{Namespace: "std:", Condition: "need-declared user,tenant member-of acme", Version: 3}},
		"attesting in steps": {plain.Attesting("user").Attesting("tenant"),
			thirdparty.Opened{Namespace: "std:", Condition: "need-declared user,tenant member-of acme", Version: 3}},
		"from": {plain.From(minter), thirdparty.Opened{
			Namespace: "std:", Condition: "member-of acme", Version: 3, FirstParty: minter.Public()}},
		"version 2": {thirdparty.NewCaveat(thirdparty.Party{Location: home, Key: key.Public(), Version: 2}, "true"),
			thirdparty.Opened{Namespace: "std:", Condition: "true", Version: 2}},
		"version 4": {thirdparty.NewCaveat(thirdparty.Party{Location: home, Key: key.Public(), Version: 4}, "true"),
			thirdparty.Opened{Namespace: "std:", Condition: "true", Version: 3}},
		"any text": {thirdparty.NewCaveat(party(key), "Größe = 7, {\"x\": 1}"),
			thirdparty.Opened{Namespace: "std:", Condition: "Größe = 7, {\"x\": 1}", Version: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			id, rootKey := sealed(t, row.c)
			require.Len(t, rootKey, 32)
			require.EqualValues(t, row.want.Version, id[0], "as the bakery has it, and not as text")
			opened, ok := keys.Open(id)
			require.True(t, ok)
			row.want.RootKey = string(rootKey)
			if row.want.FirstParty.IsZero() {
				row.want.FirstParty = opened.FirstParty
			}
			require.Equal(t, row.want, opened)
		})
	}
	require.Empty(t, plain.Attests(), "immutable")
	asks := plain.Attesting("user")
	asks.Attests()[0] = "admin"
	require.Equal(t, []string{"user"}, asks.Attests())
	asks = asks.Attesting("b").Attesting("c") // now with room for a fourth
	x, y := asks.Attesting("x"), asks.Attesting("y")
	require.Equal(t, []string{"user", "b", "c", "x"}, x.Attests())
	require.Equal(t, []string{"user", "b", "c", "y"}, y.Attests())
}

// A caveat id as text is what it would be otherwise, and says the same.
func TestAsText(t *testing.T) {
	key := thirdparty.GenerateKey()
	c := thirdparty.NewCaveat(party(key), "member-of acme").AsText().Attesting("user")
	id, rootKey := sealed(t, c)
	require.Regexp(t, "^[A-Za-z0-9_-]+$", id)
	opened, ok := keySet(t, key).Open(id)
	require.True(t, ok)
	require.Equal(t, "need-declared user member-of acme", opened.Condition)
	require.Equal(t, string(rootKey), opened.RootKey)
	d, err := dischargerAt(t, noon, key).Discharge(t.Context(), thirdparty.Request{CaveatID: id}, says(thirdparty.Answer{}))
	require.NoError(t, err)
	require.Equal(t, id, d.Identifier())
	require.True(t, signedBy(t, d, rootKey))
	_, _, _, err = thirdparty.Caveat{}.AsText().ThirdParty()
	require.Error(t, err)
}

// Two additions of one caveat must not share a root key, which one target learns and another relies on, nor anything
// by which they could be linked.
func TestEachAdditionIsFresh(t *testing.T) {
	key := thirdparty.GenerateKey()
	c := thirdparty.NewCaveat(party(key), "member-of acme")
	for name, c := range map[string]thirdparty.Caveat{"anonymous": c, "from": c.From(thirdparty.GenerateKey())} {
		t.Run(name, func(t *testing.T) {
			var ids, rootKeys, firstParties, nonces []string
			for range 8 {
				id, rootKey := sealed(t, c)
				ids, rootKeys = append(ids, id), append(rootKeys, string(rootKey))
				firstParties, nonces = append(firstParties, id[5:37]), append(nonces, id[37:61])
			}
			requireDistinct(t, ids)
			requireRandom(t, rootKeys)
			requireRandom(t, nonces)
			if name == "anonymous" {
				requireRandom(t, firstParties)
			}
		})
	}
	m, err := macaroon.New([]byte("key"), "id", "")
	require.NoError(t, err)
	m, err = m.Attenuate(c, c)
	require.NoError(t, err)
	caveats := m.Inspect().Caveats()
	require.NotEqual(t, caveats.At(0).ID, caveats.At(1).ID)
}

func requireDistinct(t testing.TB, list []string) {
	t.Helper()
	seen := make(map[string]bool)
	for _, s := range list {
		require.False(t, seen[s])
		seen[s] = true
	}
}

// requireRandom requires that there is no byte which all of them have in common.
func requireRandom(t testing.TB, list []string) {
	t.Helper()
	for i := range list[0] {
		require.True(t, slices.ContainsFunc(list, func(s string) bool { return s[i] != list[0][i] }), "byte %d", i)
	}
}

func TestBadCaveats(t *testing.T) {
	key := thirdparty.GenerateKey()
	good := thirdparty.NewCaveat(party(key), "x")
	of := func(condition string) thirdparty.Caveat { return thirdparty.NewCaveat(party(key), condition) }
	at := func(p thirdparty.Party) thirdparty.Caveat { return thirdparty.NewCaveat(p, "x") }
	many := make([]string, 33)
	for i := range many {
		many[i] = fmt.Sprint("k", i)
	}
	require.NoError(t, errorOf(good.Attesting(many[1:]...)))
	for name, c := range map[string]thirdparty.Caveat{
		"zero":                {},
		"zero, attesting":     thirdparty.Caveat{}.Attesting("user"),
		"no party":            at(thirdparty.Party{}),
		"no key":              at(thirdparty.Party{Location: home}),
		"no location":         at(thirdparty.Party{Key: key.Public()}),
		"location not text":   at(thirdparty.Party{Location: "a\nb", Key: key.Public()}),
		"version 1":           at(thirdparty.Party{Location: home, Key: key.Public(), Version: 1}),
		"version -1":          at(thirdparty.Party{Location: home, Key: key.Public(), Version: -1}),
		"no condition":        of(""),
		"space first":         of(" x"),
		"line end":            of("x\ny"),
		"zero byte":           of("x\x00"),
		"not UTF-8":           of("x\xff"),
		"need-declared":       of("need-declared user x"),
		"need-declared alone": of("need-declared"),
		"no keys":             good.Attesting(),
		"empty key":           good.Attesting("user", ""),
		"key with space":      good.Attesting("user name"),
		"key with comma":      good.Attesting("user,admin"),
		"key with line end":   good.Attesting("user\n"),
		"key not UTF-8":       good.Attesting("user\xff"),
		"key twice":           good.Attesting("user", "user"),
		"key again":           good.Attesting("user").Attesting("user"),
		"too many keys":       good.Attesting(many...),
		"bad, then good keys": good.Attesting("").Attesting("user"),
		"bad, then from":      good.Attesting("").From(key),
		"from no key":         good.From(thirdparty.PrivateKey{}),
	} {
		t.Run(name, func(t *testing.T) {
			rootKey, id, location, err := c.ThirdParty()
			require.Error(t, err)
			require.Regexp(t, "^thirdparty: caveat: ", err)
			require.Equal(t, 1, strings.Count(err.Error(), "thirdparty: "), err)
			require.Empty(t, rootKey)
			require.Empty(t, id+location)
			m, err := rootkey.InMemory().Mint(t.Context(), macaroon.Grant{},
				caveat.ExpiresIn(time.Hour), caveat.Audience("x"), caveat.Operations("y"), c)
			require.ErrorContains(t, err, "thirdparty: caveat: ")
			require.True(t, m.IsZero())
		})
	}
}

func errorOf(c thirdparty.Caveat) error {
	_, _, _, err := c.ThirdParty()
	return err
}

// A wrapper that hides what makes it a third-party caveat must not append its condition for the first party.
func TestCaveatHasNoCondition(t *testing.T) {
	c := thirdparty.NewCaveat(party(thirdparty.GenerateKey()), "member-of acme")
	_, err := c.Condition()
	require.Error(t, err)
	m, err := macaroon.New([]byte("key"), "id", "")
	require.NoError(t, err)
	_, err = m.Attenuate(struct{ macaroon.Caveat }{c})
	require.Error(t, err)
	_, err = m.Attenuate(c.Attesting("user"))
	require.ErrorContains(t, err, "only the minter")
	_, err = m.Attenuate(c)
	require.NoError(t, err)

	// The condition is for the third party alone.
	const want = `third-party caveat for "https://id.example"`
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
		require.Equal(t, want, fmt.Sprintf(verb, c))
	}
	require.Equal(t, want, c.LogValue().String())
}

// The identifier records what the minter's caveat asks for.
func TestMintRecordsWhatIsAsked(t *testing.T) {
	c := thirdparty.NewCaveat(party(thirdparty.GenerateKey()), "member-of acme").Attesting("user", "tenant")
	m, err := rootkey.InMemory().Mint(t.Context(), macaroon.Grant{},
		caveat.ExpiresIn(time.Hour), caveat.Audience("x"), c, caveat.Operations("y"))
	require.NoError(t, err)
	id, err := macaroon.ParseIdentifier(m.Identifier())
	require.NoError(t, err)
	require.Equal(t, []macaroon.Attestation{{Caveat: 2, Keys: []string{"user", "tenant"}}}, id.Attests)
	require.NotContains(t, m.Inspect().Caveats().At(2).ID, "acme", "the condition is sealed")

	long := thirdparty.NewCaveat(party(thirdparty.GenerateKey()), strings.Repeat("x", 4<<10))
	_, err = m.Attenuate(long)
	require.ErrorIs(t, err, macaroon.ErrLimit)
}
