package macaroon_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon"
)

// attesting is a third-party caveat that asks for attributes.
type attesting struct {
	macaroon.ThirdPartyCaveat
	keys []string
}

func (a attesting) Attests() []string { return a.keys }

func asks(keys ...string) attesting {
	return attesting{macaroon.ThirdParty([]byte("caveat key"), "caveat "+strings.Join(keys, ","), ""), keys}
}

func TestMint(t *testing.T) {
	grant := macaroon.Grant{Subject: "billing", Location: "https://orders.internal", IssuedAt: issued.Add(999 * time.Millisecond)}
	m, err := macaroon.Mint(ctx, oneKey("k1"), "k1", grant,
		macaroon.Condition("allow orders.read"), asks("user", "tenant"), macaroon.Condition("audience orders"), asks("group"))
	require.NoError(t, err)
	require.Equal(t, "https://orders.internal", m.Location())

	id, err := macaroon.ParseIdentifier(m.Identifier())
	require.NoError(t, err)
	require.NotZero(t, id.TokenID)
	id.TokenID = macaroon.TokenID{}
	require.Equal(t, macaroon.Identifier{
		KeyID: "k1", IssuedAt: issued, Subject: "billing", Caveats: 4,
		Attests: []macaroon.Attestation{{Caveat: 1, Keys: []string{"user", "tenant"}}, {Caveat: 3, Keys: []string{"group"}}},
	}, id)

	sig, _, err := oneKey("k1").RootSignature(ctx, m.Identifier())
	require.NoError(t, err)
	require.False(t, m.Inspect().SignedBy(sig))
	bare, err := macaroon.Mint(ctx, oneKey("k1"), "k1", grant)
	require.NoError(t, err)
	sig, _, err = oneKey("k1").RootSignature(ctx, bare.Identifier())
	require.NoError(t, err)
	require.True(t, bare.Inspect().SignedBy(sig))
	require.NotEqual(t, m.Identifier(), bare.Identifier(), "token ids are fresh")

	// The number in the identifier stays when a holder appends.
	narrow, err := m.Attenuate(macaroon.Condition("more"))
	require.NoError(t, err)
	require.Equal(t, m.Identifier(), narrow.Identifier())
	require.Contains(t, narrow.Inspect().String(), `
caveat 0 (minter): "allow orders.read"
caveat 1 (minter): third party at "", caveat id "caveat user,tenant", to attest ["user" "tenant"]
caveat 2 (minter): "audience orders"
caveat 3 (minter): third party at "", caveat id "caveat group", to attest ["group"]
caveat 4: "more"
`)
}

// TestTokenIDsAreRandom: nobody can tell beforehand what a token will be called.
func TestTokenIDsAreRandom(t *testing.T) {
	var first, differ macaroon.TokenID
	for n := range 8 {
		m, err := macaroon.Mint(ctx, oneKey("k1"), "k1", macaroon.Grant{IssuedAt: issued})
		require.NoError(t, err)
		id, err := macaroon.ParseIdentifier(m.Identifier())
		require.NoError(t, err)
		if n == 0 {
			first = id.TokenID
		}
		for i := range differ {
			differ[i] |= id.TokenID[i] ^ first[i]
		}
	}
	require.NotContains(t, differ[:], byte(0))
}

func TestMintRefuses(t *testing.T) {
	good := macaroon.Grant{IssuedAt: issued}
	for name, do := range map[string]func() (macaroon.Macaroon, error){
		"no source":      func() (macaroon.Macaroon, error) { return macaroon.Mint(ctx, nil, "k1", good) },
		"no time":        func() (macaroon.Macaroon, error) { return macaroon.Mint(ctx, oneKey("k1"), "k1", macaroon.Grant{}) },
		"no key id":      func() (macaroon.Macaroon, error) { return macaroon.Mint(ctx, oneKey("k1"), "", good) },
		"unknown key":    func() (macaroon.Macaroon, error) { return macaroon.Mint(ctx, oneKey("k1"), "k2", good) },
		"failing source": func() (macaroon.Macaroon, error) { return macaroon.Mint(ctx, failing{}, "k1", good) },
		"failing caveat": func() (macaroon.Macaroon, error) {
			return macaroon.Mint(ctx, oneKey("k1"), "k1", good, failingCaveat{})
		},
		"nil caveat": func() (macaroon.Macaroon, error) { return macaroon.Mint(ctx, oneKey("k1"), "k1", good, nil) },
		"attribute twice": func() (macaroon.Macaroon, error) {
			return macaroon.Mint(ctx, oneKey("k1"), "k1", good, asks("user"), asks("user"))
		},
		"bad subject": func() (macaroon.Macaroon, error) {
			return macaroon.Mint(ctx, oneKey("k1"), "k1", macaroon.Grant{IssuedAt: issued, Subject: "a\nb"})
		},
		"long location": func() (macaroon.Macaroon, error) {
			return macaroon.Mint(ctx, oneKey("k1"), "k1", macaroon.Grant{IssuedAt: issued, Location: strings.Repeat("l", 513)})
		},
		"too many caveats": func() (macaroon.Macaroon, error) {
			return macaroon.Mint(ctx, oneKey("k1"), "k1", good, many(65)...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := do()
			require.Error(t, err)
			require.True(t, m.IsZero())
			require.Equal(t, 1, strings.Count(err.Error(), "macaroon: mint: "), err)
		})
	}
	_, err := macaroon.Mint(ctx, oneKey("k1"), "k2", good)
	require.ErrorIs(t, err, macaroon.ErrUnknownKey)

	short := good
	short.Limits.Identifier = 10
	_, err = macaroon.Mint(ctx, oneKey("k1"), "k1", short)
	require.ErrorIs(t, err, macaroon.ErrLimit)

	raised := good
	raised.Limits.Caveats = 65
	m, err := macaroon.Mint(ctx, oneKey("k1"), "k1", raised, many(65)...)
	require.NoError(t, err)
	_, err = m.Attenuate(macaroon.Condition("x"))
	require.ErrorIs(t, err, macaroon.ErrLimit)
}

func many(n int) (list []macaroon.Caveat) {
	for range n {
		list = append(list, macaroon.Condition("x"))
	}
	return list
}
