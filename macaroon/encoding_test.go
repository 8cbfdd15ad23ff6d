package macaroon_test

import (
	"encoding"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon"
)

var (
	_ encoding.BinaryAppender    = macaroon.Macaroon{}
	_ encoding.TextAppender      = macaroon.Macaroon{}
	_ encoding.BinaryMarshaler   = macaroon.Macaroon{}
	_ encoding.TextMarshaler     = macaroon.Macaroon{}
	_ encoding.BinaryUnmarshaler = (*macaroon.Macaroon)(nil)
	_ encoding.TextUnmarshaler   = (*macaroon.Macaroon)(nil)
	_ encoding.BinaryAppender    = macaroon.Wallet{}
	_ encoding.TextAppender      = macaroon.Wallet{}
	_ encoding.BinaryUnmarshaler = (*macaroon.Wallet)(nil)
	_ encoding.TextUnmarshaler   = (*macaroon.Wallet)(nil)
	_ encoding.BinaryAppender    = macaroon.Credential{}
	_ encoding.TextAppender      = macaroon.Credential{}
	_ encoding.BinaryUnmarshaler = (*macaroon.Credential)(nil)
	_ encoding.TextUnmarshaler   = (*macaroon.Credential)(nil)
	_ encoding.TextMarshaler     = macaroon.TokenID{}
	_ encoding.TextUnmarshaler   = (*macaroon.TokenID)(nil)
)

func TestMacaroonRoundTrips(t *testing.T) {
	m := mustNew(t, "key", "id", "location", macaroon.Condition("a"), thirdParty("b"))
	type file struct{ Token macaroon.Macaroon }
	data, err := json.Marshal(file{m})
	require.NoError(t, err)
	var back file
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, text(t, m), text(t, back.Token))

	encoded, err := m.Encode()
	require.NoError(t, err)
	require.Equal(t, text(t, m), encoded)

	appended, err := m.AppendText([]byte("Bearer "))
	require.NoError(t, err)
	require.Equal(t, "Bearer "+encoded, string(appended))

	bin, err := m.AppendBinary([]byte("x"))
	require.NoError(t, err)
	var other macaroon.Macaroon
	require.NoError(t, other.UnmarshalBinary(bin[1:]))
	require.Equal(t, encoded, text(t, other))
	bin[20] ^= 1 // what was unmarshalled is no part of the caller's bytes
	require.Equal(t, encoded, text(t, other))

	require.ErrorIs(t, other.UnmarshalBinary(append(bin[1:], bin[1:]...)), macaroon.ErrMalformed)
	require.ErrorIs(t, other.UnmarshalText([]byte(encoded+"\n")), macaroon.ErrNotMacaroon)
	require.Equal(t, encoded, text(t, other), "left alone")

	longID := mustNew(t, "key", strings.Repeat("i", 4<<10), "")
	require.NoError(t, other.UnmarshalText([]byte(text(t, longID))), "a discharge has a caveat id for identifier")
	_, err = macaroon.Parse(text(t, longID))
	require.ErrorIs(t, err, macaroon.ErrLimit, "a primary macaroon has not")
}

func TestCredentialRoundTrips(t *testing.T) {
	primary, d := tree(t)
	w, err := macaroon.NewWallet(primary, d["a"], d["b"])
	require.NoError(t, err)
	encoded, err := w.Encode()
	require.NoError(t, err)
	c, err := macaroon.Parse(encoded)
	require.NoError(t, err)
	again, err := c.Encode()
	require.NoError(t, err)
	require.Equal(t, encoded, again)
	bin, err := c.MarshalBinary()
	require.NoError(t, err)
	var other macaroon.Credential
	require.NoError(t, other.UnmarshalBinary(bin))
	require.Equal(t, encoded, text(t, other))
	require.NoError(t, other.UnmarshalText([]byte(encoded)))
	require.Equal(t, encoded, text(t, other))
	require.Error(t, other.UnmarshalText([]byte(encoded[1:])))
	require.Equal(t, encoded, text(t, other), "left alone")
}

func TestParseLimits(t *testing.T) {
	m := mustNew(t, "key", strings.Repeat("i", 1<<10), strings.Repeat("l", 512), many(64)...)
	_, err := macaroon.Parse(text(t, m))
	require.NoError(t, err, "exactly at the limits")
	for name, limits := range map[string]macaroon.Limits{
		"text":       {Text: len(text(t, m)) - 1},
		"caveats":    {Caveats: 63},
		"all":        {AllCaveats: 63},
		"identifier": {Identifier: 1<<10 - 1},
		"location":   {Location: 511},
		"condition":  {Condition: -1},
		"macaroons":  {Macaroons: -1},
	} {
		_, err := macaroon.ParseWith(text(t, m), limits)
		require.ErrorIs(t, err, macaroon.ErrLimit, name)
	}
	_, err = macaroon.Parse(strings.Repeat("A", 16<<10+1))
	require.ErrorIs(t, err, macaroon.ErrLimit, "before it is decoded")
}

// A macaroon that was parsed under raised limits can be narrowed and encoded under
// them.
func TestLimitsStayWithTheMacaroon(t *testing.T) {
	limits := macaroon.Limits{Caveats: 70}
	m, err := macaroon.Mint(ctx, oneKey("k1"), "k1", macaroon.Grant{IssuedAt: issued, Limits: limits}, many(65)...)
	require.NoError(t, err)
	c, err := macaroon.ParseWith(text(t, m), limits)
	require.NoError(t, err)
	require.Equal(t, limits.WithDefaults(), c.Limits())
	require.Zero(t, macaroon.Credential{}.Limits())
	w, err := c.Wallet()
	require.NoError(t, err)
	w, err = w.Attenuate(many(5)...)
	require.NoError(t, err)
	_, err = w.Encode()
	require.NoError(t, err)
	_, err = w.Attenuate(many(1)...)
	require.ErrorIs(t, err, macaroon.ErrLimit)
	_, err = macaroon.Parse(text(t, w))
	require.ErrorIs(t, err, macaroon.ErrLimit)
}

func TestEncodeStopsAtTheLimit(t *testing.T) {
	m := mustNew(t, "key", "id", "")
	m, err := m.Attenuate(macaroon.Condition(strings.Repeat("x", 4<<10)), macaroon.Condition(strings.Repeat("x", 4<<10)), macaroon.Condition(strings.Repeat("x", 4<<10)))
	require.NoError(t, err)
	_, err = m.Encode()
	require.ErrorIs(t, err, macaroon.ErrLimit)
	_, err = m.MarshalBinary()
	require.ErrorIs(t, err, macaroon.ErrLimit, "nothing is written that can't be read")
	w, err := macaroon.NewWallet(m)
	require.NoError(t, err)
	_, err = w.MarshalBinary()
	require.ErrorIs(t, err, macaroon.ErrLimit)

	var c macaroon.Credential
	require.ErrorIs(t, c.UnmarshalBinary(make([]byte, 12<<10+1)), macaroon.ErrLimit)
}

func TestTextLimitIsExact(t *testing.T) {
	for n := range 4 {
		encoded := text(t, mustNew(t, "key", strings.Repeat("i", 20+n), ""))
		_, err := macaroon.ParseWith(encoded, macaroon.Limits{Text: len(encoded)})
		require.NoError(t, err)
		_, err = macaroon.ParseWith(encoded, macaroon.Limits{Text: len(encoded) - 1})
		require.ErrorIs(t, err, macaroon.ErrLimit)
	}
}

func TestContext(t *testing.T) {
	_, found := macaroon.FromContext(ctx)
	require.False(t, found)
	c, err := macaroon.Parse(text(t, mustNew(t, "key", "id", "")))
	require.NoError(t, err)
	got, found := macaroon.FromContext(macaroon.NewContext(ctx, c))
	require.True(t, found)
	require.Equal(t, text(t, c), text(t, got))
}

// What an accessor or an Append method returns is the caller's, and encoding, which binds,
// leaves the wallet as it is.
func TestNothingIsShared(t *testing.T) {
	primary, d := tree(t)
	w, err := macaroon.NewWallet(primary, d["a"])
	require.NoError(t, err)
	before := text(t, w)
	list := w.Discharges()
	list[0] = macaroon.Macaroon{}
	bin, err := w.MarshalBinary()
	require.NoError(t, err)
	clear(bin)
	txt, err := w.MarshalText()
	require.NoError(t, err)
	clear(txt)
	require.Equal(t, before, text(t, w))
	first, err := w.Encode()
	require.NoError(t, err)
	again, err := w.Encode()
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, before, text(t, w))

	// Of two wallets that are made of one, neither gets what the other was given.
	one, err := macaroon.NewWallet(primary, d["a"], d["b"])
	require.NoError(t, err)
	left, err := one.With(d["a1"])
	require.NoError(t, err)
	before = text(t, left)
	_, err = one.With(d["a2"])
	require.NoError(t, err)
	require.Equal(t, before, text(t, left))
}

// FuzzParse: whatever is parsed encodes to the same text, and nothing panics.
func FuzzParse(f *testing.F) {
	primary, d := tree(f)
	w, err := macaroon.NewWallet(primary, d["a"], d["b"])
	require.NoError(f, err)
	encoded, err := w.Encode()
	require.NoError(f, err)
	f.Add(encoded)
	f.Add(text(f, primary))
	f.Add(text(f, w))
	f.Add("AgECaWQAAAYg")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := macaroon.Parse(s); err != nil {
			require.True(t, c.IsZero())
		} else {
			require.Equal(t, s, text(t, c))
			_ = c.Inspect().String()
			if w, err := c.Wallet(); err == nil {
				require.Equal(t, s, text(t, w))
			}
		}
		var w macaroon.Wallet
		if err := w.UnmarshalText([]byte(s)); err == nil {
			require.Equal(t, s, text(t, w))
			w.Missing()
			w.Encode()
		}
		var m macaroon.Macaroon
		if err := m.UnmarshalText([]byte(s)); err == nil {
			require.Equal(t, s, text(t, m))
		}
	})
}
