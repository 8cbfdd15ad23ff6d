package peers_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/legacy"
	"github.com/amaretti-go/amaretti/verifier"
)

const (
	rootKey    = "this is a root key of some bytes"
	caveatKey  = "this is the root key of a caveat"
	nestedKey  = "and this one that of a nested one"
	identifier = "key 7"
)

// each calls run with every library in every role, for every form that all of them write.
func each(t *testing.T, roles []string, run func(t *testing.T, as form, by []library)) {
	eachOf(t, forms, roles, run)
}

func eachOf(t *testing.T, forms []form, roles []string, run func(t *testing.T, as form, by []library)) {
	by := make([]library, len(roles))
	var choose func(int)
	choose = func(i int) {
		if i < len(roles) {
			for _, by[i] = range libraries {
				choose(i + 1)
			}
			return
		}
		for _, as := range forms {
			chosen := append([]library(nil), by...)
			name := as.String()
			writes := true
			for i, l := range chosen {
				name += ", " + roles[i] + " " + l.String()
				writes = writes && l.writes(as)
			}
			if writes {
				t.Run(name, func(t *testing.T) { run(t, as, chosen) })
			}
		}
	}
	choose(0)
}

// What one minted and another narrowed verifies with everyone, and not if anything about it is otherwise.
func TestNarrowed(t *testing.T) {
	each(t, []string{"mint", "attenuate"}, func(t *testing.T, as form, by []library) {
		minter, holder := by[0], by[1]
		token := minter.mint(t, []byte(rootKey), identifier, "https://orders.example", as)
		requireForm(t, as, token)
		token = minter.attenuate(t, token, as, condition("account = 42"))
		narrow := holder.attenuate(t, token, as, condition("note Größe ≤ 7 & <ok> \"🙂\""))
		requireForm(t, as, narrow)
		require.Equal(t, "https://orders.example", single(t, narrow).Location())

		met := []string{"account = 42", "note Größe ≤ 7 & <ok> \"🙂\""}
		for _, l := range libraries {
			if !l.reads(as) {
				continue
			}
			require.NoError(t, l.verify(t, []byte(rootKey), []string{narrow}, met), l)
			requireRefused(t, l.verify(t, []byte(caveatKey), []string{narrow}, met), l, "another key")
			requireRefused(t, l.verify(t, []byte(rootKey), []string{narrow}, met[:1]), l, "the holder's condition is not met")
			requireRefused(t, l.verify(t, []byte(rootKey), []string{narrow}, met[1:]), l, "the minter's condition is not met")
			require.NoError(t, l.verify(t, []byte(rootKey), []string{token}, met), l)
		}
	})
}

// A third-party caveat that one wrote is met by a discharge that another minted and a third one bound.
func TestDischarged(t *testing.T) {
	each(t, []string{"attenuate", "discharge", "bind"}, func(t *testing.T, as form, by []library) {
		holder, thirdParty, sender := by[0], by[1], by[2]
		token := ours{}.mint(t, []byte(rootKey), identifier, "", as)
		token = holder.attenuate(t, token, as,
			condition("account = 42"),
			restriction{ID: []byte("member of acme"), RootKey: []byte(caveatKey), Location: "https://id.example"})
		discharge := thirdParty.mint(t, []byte(caveatKey), "member of acme", "https://id.example", as)
		discharge = thirdParty.attenuate(t, discharge, as,
			condition("note discharged"),
			restriction{ID: []byte("second factor"), RootKey: []byte(nestedKey), Location: "https://otp.example"})
		nested := thirdParty.mint(t, []byte(nestedKey), "second factor", "", as)

		missing := single(t, token).Inspect().Caveats().At(1)
		require.Equal(t, "https://id.example", missing.Location)
		bound := sender.bind(t, token, as, discharge, nested)
		require.Len(t, bound, 2)
		for _, text := range bound {
			requireForm(t, as, text)
		}
		met := []string{"account = 42", "note discharged"}
		for _, l := range libraries {
			if !l.reads(as) {
				continue
			}
			refused := func(why string, tokens ...string) {
				t.Helper()
				requireRefused(t, l.verify(t, []byte(rootKey), tokens, met), l, why)
			}
			require.NoError(t, l.verify(t, []byte(rootKey), []string{token, bound[0], bound[1]}, met), l)
			requireRefused(t, l.verify(t, []byte(rootKey), []string{token, bound[0], bound[1]}, met[:1]), l, "the condition of a discharge")
			refused("no discharge", token)
			refused("no nested discharge", token, bound[0])
			refused("not bound", token, discharge, nested)
			forged := thirdParty.mint(t, []byte(nestedKey), "member of acme", "", as)
			refused("a discharge under another key", token, sender.bind(t, token, as, forged)[0])
			other := holder.attenuate(t, token, as, condition("account = 42"))
			refused("bound to what it was before", other, bound[0], bound[1])
		}
	})
}

// Identifiers and caveat ids of any bytes, such as ours are, pass through version 2 unharmed.
func TestBytes(t *testing.T) {
	for name, bytes := range map[string]string{
		"not UTF-8":      "\x00\xff\xfe",
		"control":        "\x00\x01\x1f\x7f\r\n\t",
		"JSON and HTML":  `"\/<>&'` + "\u2028\u2029",
		"begins with 2":  "\x02\x02\x02",
		"looks like hex": "0021identifier",
		"astral":         "🙂𝄞",
		"cut short":      "ok\xe2\x82",
		"long":           strings.Repeat("\x80", 200),
	} {
		t.Run(name, func(t *testing.T) {
			eachOf(t, forms[2:], []string{"mint", "attenuate"}, func(t *testing.T, as form, by []library) {
				token := by[0].mint(t, []byte(rootKey), bytes, "here", as)
				require.Equal(t, bytes, single(t, token).Identifier())
				token = by[1].attenuate(t, token, as,
					restriction{ID: []byte(bytes), RootKey: []byte(caveatKey), Location: "there"}, condition("account = 42"))
				discharge := by[1].mint(t, []byte(caveatKey), bytes, "", as)
				bound := by[0].bind(t, token, as, discharge)
				for _, l := range libraries {
					require.NoError(t, l.verify(t, []byte(rootKey), []string{token, bound[0]}, []string{"account = 42"}), l)
				}
			})
		})
	}
}

// npm's macaroon can write a small token in v2 binary.
func TestJavaScriptBinary(t *testing.T) {
	js, as := theirs{javascript}, form{version: 2}
	token := js.mint(t, []byte(rootKey), identifier, "", as)
	requireForm(t, as, token)
	requireForm(t, as, js.attenuate(t, ours{}.mint(t, []byte(rootKey), identifier, "", as), as, condition("account = 42")))
	narrow := js.attenuate(t, token, as, condition("account = 42"))
	requireForm(t, as, narrow)
	for _, l := range libraries {
		require.NoError(t, l.verify(t, []byte(rootKey), []string{narrow}, []string{"account = 42"}), l)
		requireRefused(t, l.verify(t, []byte(rootKey), []string{narrow}, nil), l, "the condition is not met")
	}
}

func requireForm(t testing.TB, want form, token string) {
	t.Helper()
	_, got, err := legacy.Import([]byte(token))
	require.NoError(t, err, token)
	require.Equal(t, want.legacyForm(), got, token)
}

// requireRefused holds err to be the refusal of a library, and not of the program that runs it.
func requireRefused(t testing.TB, err error, l library, why string) {
	t.Helper()
	require.Error(t, err, "%s: %s", l, why)
	if l != (ours{}) {
		require.ErrorIs(t, err, errRefused, why)
		for _, broken := range []string{"KeyError", "AttributeError", "ReferenceError", "is not a function"} {
			require.NotContains(t, err.Error(), broken, why)
		}
		return
	}
	require.True(t, errors.Is(err, verifier.ErrUnauthenticated) || errors.Is(err, verifier.ErrDenied), "%s: %v", why, err)
}
