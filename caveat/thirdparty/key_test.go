package thirdparty_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
)

func TestKeysOfTheBakery(t *testing.T) {
	v := load(t)
	require.Equal(t, v.ThirdPartyPublic, v.thirdParty(t).Public().String())
	require.Equal(t, base64.StdEncoding.EncodeToString(unhex(t, v.FirstPartyPublic)), v.firstParty(t).Public().String())
	text, err := v.thirdParty(t).Reveal()
	require.NoError(t, err)
	require.Equal(t, "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=", text)
}

func TestKeyTexts(t *testing.T) {
	key := thirdparty.GenerateKey()
	require.NotEqual(t, key.Public(), thirdparty.GenerateKey().Public())
	secret, err := key.Reveal()
	require.NoError(t, err)
	require.Equal(t, key.Public(), parseKey(t, secret).Public())

	public, err := thirdparty.ParsePublicKey(key.Public().String())
	require.NoError(t, err)
	require.Equal(t, key.Public(), public)
	data, err := json.Marshal(public)
	require.NoError(t, err)
	var back thirdparty.PublicKey
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, public, back)

	good := public.String()
	for name, bad := range map[string]string{
		"empty":          "",
		"short":          base64.StdEncoding.EncodeToString(make([]byte, 31)),
		"long":           base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1, 2, 3}, 11)),
		"unpadded":       strings.TrimRight(good, "="),
		"line end":       good[:20] + "\n" + good[20:],
		"line for digit": good[:43] + "\n",
		"unused bits":    loose(good),
		"space":          " " + good,
		"hexadecimal":    strings.Repeat("0f", 32),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := thirdparty.ParsePublicKey(bad)
			require.Error(t, err)
			require.True(t, got.IsZero())
			require.Error(t, back.UnmarshalText([]byte(bad)))
			require.Equal(t, public, back, "left alone")
			private, err := thirdparty.ParsePrivateKey(bad)
			require.Error(t, err)
			require.True(t, private.IsZero())
		})
	}
	for _, raw := range []byte{0, 7} {
		_, err := thirdparty.ParsePrivateKey(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{raw}, 32)))
		require.Error(t, err, "32 times %d", raw)
	}
}

// loose spells the same key with a bit that nothing uses.
func loose(text string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := len(text) - 2
	return text[:last] + string(alphabet[strings.IndexByte(alphabet, text[last])|1]) + "="
}

// With a point of low order both sides agree on a secret that everybody knows; numbers from 2^255-19 on are second
// spellings.
func TestBadPoints(t *testing.T) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	number := func(text string) *big.Int {
		n, ok := new(big.Int).SetString(text, 10)
		require.True(t, ok)
		return n
	}
	bad := map[string]*big.Int{
		"0":   big.NewInt(0),
		"1":   big.NewInt(1),
		"8a":  number("325606250916557431795983626356110631294008115727848805560023387167927233504"),
		"8b":  number("39382357235489614581723060781553021112529911719440698176882885853963445705823"),
		"p-1": new(big.Int).Sub(p, big.NewInt(1)),
	}
	for i := range int64(19) {
		bad[fmt.Sprintf("p+%d", i)] = new(big.Int).Add(p, big.NewInt(i))
	}
	key := thirdparty.GenerateKey()
	raw, err := base64.StdEncoding.DecodeString(key.Public().String())
	require.NoError(t, err)
	slices.Reverse(raw) // RFC 7748 is little-endian
	bad["high bit"] = new(big.Int).SetBit(new(big.Int).SetBytes(raw), 255, 1)
	for name, n := range bad {
		t.Run(name, func(t *testing.T) {
			raw := n.FillBytes(make([]byte, 32))
			slices.Reverse(raw)
			_, err := thirdparty.ParsePublicKey(base64.StdEncoding.EncodeToString(raw))
			require.Error(t, err)
		})
	}
	nine := make([]byte, 32)
	nine[0] = 9
	_, err = thirdparty.ParsePublicKey(base64.StdEncoding.EncodeToString(nine))
	require.NoError(t, err, "the base point is as good as any")
	big := bytes.Repeat([]byte{0xff}, 32)
	big[0], big[31] = 0xe0, 0x7f
	_, err = thirdparty.ParsePublicKey(base64.StdEncoding.EncodeToString(big))
	require.NoError(t, err, "below the prime")
}

func TestGeneratedKeysAreRandom(t *testing.T) {
	var keys []string
	for range 8 {
		text, err := thirdparty.GenerateKey().Reveal()
		require.NoError(t, err)
		raw, err := base64.StdEncoding.DecodeString(text)
		require.NoError(t, err)
		keys = append(keys, string(raw))
	}
	requireRandom(t, keys)
}

func TestZeroKeys(t *testing.T) {
	var public thirdparty.PublicKey
	require.True(t, public.IsZero())
	require.Empty(t, public.String())
	_, err := public.MarshalText()
	require.Error(t, err)

	var private thirdparty.PrivateKey
	require.True(t, private.IsZero())
	require.True(t, private.Public().IsZero())
	require.Equal(t, "private key (zero)", private.String())
	_, err = private.Reveal()
	require.Error(t, err)

	var keys thirdparty.Keys
	require.True(t, keys.IsZero())
	require.True(t, keys.Advertised().IsZero())
	require.Empty(t, keys.Public())
}

func TestPrivateKeysDontPrint(t *testing.T) {
	key := thirdparty.GenerateKey()
	text, err := key.Reveal()
	require.NoError(t, err)
	raw, err := base64.StdEncoding.DecodeString(text)
	require.NoError(t, err)
	keys := keySet(t, key)
	c := thirdparty.NewCaveat(party(key), "x").From(key)
	d, err := thirdparty.NewDischarger(keys, thirdparty.Options{})
	require.NoError(t, err)
	type holder struct {
		key  thirdparty.PrivateKey
		keys thirdparty.Keys
		c    thirdparty.Caveat
		d    *thirdparty.Discharger
	}
	all := []any{key, &key, keys, &keys, c, &c, d, holder{key, keys, c, d}, &holder{key, keys, c, d}, []any{key, keys}}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, value := range all {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		for _, value := range all {
			slog.New(handler).Info("", "x", value)
		}
	}
	for _, secret := range []string{text, text[:20], string(raw), fmt.Sprintf("%x", raw[:8]), fmt.Sprintf("%X", raw[:8]),
		strings.Trim(fmt.Sprint(raw[:8]), "[]"), strings.TrimSuffix(fmt.Sprintf("%#v", raw[:4])[7:], "}")} {
		require.NotContains(t, out.String(), secret)
	}
	require.Contains(t, out.String(), "private key (public "+key.Public().String()+")")

	_, err = json.Marshal(key)
	require.ErrorContains(t, err, "Reveal")
}

func TestNewKeys(t *testing.T) {
	first, second := thirdparty.GenerateKey(), thirdparty.GenerateKey()
	keys := keySet(t, first, second)
	require.Equal(t, first.Public(), keys.Advertised())
	require.Equal(t, []thirdparty.PublicKey{first.Public(), second.Public()}, keys.Public())
	keys.Public()[0] = second.Public()
	require.Equal(t, first.Public(), keys.Advertised())

	many := make([]thirdparty.PrivateKey, 16)
	for i := range many {
		many[i] = thirdparty.GenerateKey()
	}
	for name, list := range map[string][]thirdparty.PrivateKey{
		"zero first": {{}, first},
		"zero later": {first, {}},
		"twice":      {first, second, first},
		"too many":   append(many, first),
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := thirdparty.NewKeys(list[0], list[1:]...)
			require.Error(t, err)
			require.True(t, keys.IsZero())
		})
	}
	others := slices.Clone(many[1:])
	keys, err := thirdparty.NewKeys(many[0], others...)
	require.NoError(t, err)
	others[0] = thirdparty.PrivateKey{}
	require.False(t, keys.Public()[1].IsZero(), "the list is copied")
}
