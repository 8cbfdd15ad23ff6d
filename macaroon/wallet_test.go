package macaroon_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	v2 "gopkg.in/macaroon.v2"

	"github.com/amaretti-go/amaretti/macaroon"
)

func thirdParty(name string) macaroon.Caveat {
	return macaroon.ThirdParty([]byte("key of "+name), name, "https://"+name+"/")
}

func discharge(t testing.TB, name string, caveats ...macaroon.Caveat) macaroon.Macaroon {
	return mustNew(t, "key of "+name, name, "", caveats...)
}

// tree has caveats a (with a1 and a2 below) and b.
func tree(t testing.TB) (primary macaroon.Macaroon, discharges map[string]macaroon.Macaroon) {
	primary = mustNew(t, "key", "id", "", macaroon.Condition("first"), thirdParty("a"), macaroon.Condition("second"), thirdParty("b"))
	return primary, map[string]macaroon.Macaroon{
		"a":  discharge(t, "a", thirdParty("a1"), thirdParty("a2")),
		"a1": discharge(t, "a1"),
		"a2": discharge(t, "a2", macaroon.Condition("third")),
		"b":  discharge(t, "b"),
	}
}

func missing(w macaroon.Wallet) (names []string) {
	for _, m := range w.Missing() {
		names = append(names, m.CaveatID)
	}
	return names
}

func TestMissing(t *testing.T) {
	primary, d := tree(t)
	w, err := macaroon.NewWallet(primary)
	require.NoError(t, err)
	require.Equal(t, []macaroon.MissingDischarge{{Location: "https://a/", CaveatID: "a"}, {Location: "https://b/", CaveatID: "b"}}, w.Missing())
	for _, step := range []struct {
		add  string
		want []string
	}{
		{"a", []string{"a1", "a2", "b"}},
		{"b", []string{"a1", "a2"}},
		{"a2", []string{"a1"}},
		{"a1", nil},
	} {
		before := missing(w)
		more, err := w.With(d[step.add])
		require.NoError(t, err)
		require.Equal(t, before, missing(w), "the old wallet stays as it was")
		require.Equal(t, step.want, missing(more))
		w = more
	}
}

// TestCaveatReference: of the bytes of the caveat id, whatever they are, and not of the location.
func TestCaveatReference(t *testing.T) {
	require.Equal(t, "ba7816bf8f01cfea", macaroon.CaveatReference("abc")) // FIPS 180-2, B.1
	require.Equal(t, "e3b0c44298fc1c14", macaroon.CaveatReference(""))
	require.NotEqual(t, macaroon.CaveatReference("abc\xff"), macaroon.CaveatReference("abc\xfe"))
}

// Whatever the order in which discharges came, they are sent depth first, and
// bound so that the oracle takes them.
func TestEncodeBindsDepthFirst(t *testing.T) {
	primary, d := tree(t)
	for _, order := range [][]string{{"a", "a1", "a2", "b"}, {"b", "a2", "a1", "a"}} {
		var list []macaroon.Macaroon
		for _, name := range order {
			list = append(list, d[name])
		}
		w, err := macaroon.NewWallet(primary, list...)
		require.NoError(t, err)
		w, err = w.Attenuate(macaroon.Condition("narrowed after the discharges came"))
		require.NoError(t, err)
		credential, err := w.Credential()
		require.NoError(t, err)
		var ids []string
		for i := range credential.Inspect().Len() {
			ids = append(ids, credential.Inspect().At(i).Identifier())
		}
		require.Equal(t, []string{"id", "a", "a1", "a2", "b"}, ids)

		data, err := credential.MarshalBinary()
		require.NoError(t, err)
		var slice v2.Slice
		require.NoError(t, slice.UnmarshalBinary(data))
		require.NoError(t, slice[0].Verify([]byte("key"), anything, slice[1:]))

		parsed, err := macaroon.Parse(text(t, credential))
		require.NoError(t, err)
		_, err = parsed.Wallet()
		require.ErrorIs(t, err, macaroon.ErrSealed)
	}
}

func TestWalletRefuses(t *testing.T) {
	primary, d := tree(t)
	_, err := macaroon.NewWallet(primary, d["a"], discharge(t, "a", macaroon.Condition("another one")))
	require.ErrorIs(t, err, macaroon.ErrMalformed, "two for one caveat")

	_, err = macaroon.NewWallet(mustNew(t, "key", strings.Repeat("i", 1<<10+1), ""))
	require.ErrorIs(t, err, macaroon.ErrLimit, "nobody would read it")

	w, err := macaroon.NewWallet(primary, d["a"], discharge(t, "nobody's"))
	require.NoError(t, err)
	_, err = w.Encode()
	require.ErrorContains(t, err, "no caveat asks for 1 of the discharges")

	w, err = macaroon.NewWallet(primary)
	require.NoError(t, err)
	_, err = w.Encode()
	require.NoError(t, err, "a service tells what is missing")

	var list []macaroon.Macaroon
	for i := range 16 {
		list = append(list, discharge(t, fmt.Sprint(i)))
	}
	_, err = macaroon.NewWallet(primary, list...)
	require.ErrorIs(t, err, macaroon.ErrLimit)

	var full []macaroon.Macaroon
	for i := range 4 {
		m := discharge(t, fmt.Sprint(i))
		m, err = m.Attenuate(many(64)...)
		require.NoError(t, err)
		full = append(full, m)
	}
	_, err = macaroon.NewWallet(primary, full...)
	require.ErrorIs(t, err, macaroon.ErrLimit)
}

// Caveats that ask for each other, and two caveats with one id, must end.
func TestMissingInCircles(t *testing.T) {
	w, err := macaroon.NewWallet(
		mustNew(t, "key", "id", "", thirdParty("a"), thirdParty("a")),
		discharge(t, "a", thirdParty("b"), thirdParty("a")),
		discharge(t, "b", thirdParty("a"), thirdParty("b")))
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "a", "a"}, missing(w))
}

func TestStoredForms(t *testing.T) {
	primary, d := tree(t)
	plain, err := macaroon.NewWallet(primary)
	require.NoError(t, err)
	full, err := macaroon.NewWallet(primary, d["b"], d["a"])
	require.NoError(t, err)

	require.Equal(t, text(t, primary), text(t, plain), "without discharges it is credential text")
	require.True(t, strings.HasPrefix(text(t, full), "wallet:"))
	_, err = macaroon.Parse(text(t, full))
	require.ErrorIs(t, err, macaroon.ErrNotMacaroon, "a verifier must not see unbound discharges")
	require.ErrorContains(t, err, "Wallet.Encode", "and who sent them learns from its log what to send")

	for _, w := range []macaroon.Wallet{plain, full} {
		var back macaroon.Wallet
		require.NoError(t, back.UnmarshalText([]byte(text(t, w))))
		require.Equal(t, text(t, w), text(t, back))
		require.Equal(t, missing(w), missing(back))
		require.Len(t, back.Discharges(), len(w.Discharges()))
		data, err := w.MarshalBinary()
		require.NoError(t, err)
		var binary macaroon.Wallet
		require.NoError(t, binary.UnmarshalBinary(data))
		require.Equal(t, text(t, w), text(t, binary))
		var c macaroon.Credential
		require.Equal(t, len(w.Discharges()) == 0, c.UnmarshalBinary(data) == nil)
	}

	credential, err := full.Credential()
	require.NoError(t, err)
	before := text(t, full)
	for name, bad := range map[string]string{
		"sealed":                    text(t, credential),
		"prefix without discharges": "wallet:" + text(t, primary),
		"prefix twice":              "wallet:" + before,
		"nothing":                   "",
		"prefix only":               "wallet:",
	} {
		require.Error(t, full.UnmarshalText([]byte(bad)), name)
		require.Equal(t, before, text(t, full), "left alone")
	}
	require.ErrorIs(t, full.UnmarshalText([]byte(text(t, credential))), macaroon.ErrSealed)
}

// One value of each type serves many goroutines, as one token does many requests.
func TestConcurrentUse(t *testing.T) {
	primary, d := tree(t)
	w, err := macaroon.NewWallet(primary, d["a"])
	require.NoError(t, err)
	c, err := w.Credential()
	require.NoError(t, err)
	plain, err := macaroon.Parse(text(t, primary))
	require.NoError(t, err)
	before := text(t, w)
	description := c.Inspect().String()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 20 {
				condition := macaroon.Condition(strings.Repeat("c", i))
				narrow, err := w.Attenuate(condition)
				more, err2 := narrow.With(d["b"])
				credential, err3 := more.Credential()
				holder, err4 := plain.Wallet()
				narrowed, err5 := holder.Attenuate(condition)
				if err := errors.Join(err, err2, err3, err4, err5); err != nil {
					t.Error(err)
					return
				}
				last := func(list macaroon.UnverifiedCaveats) string { return list.At(list.Len() - 1).ID }
				if last(credential.Inspect().At(0).Caveats()) != string(condition) || last(narrowed.Primary().Inspect().Caveats()) != string(condition) {
					t.Error("somebody else's caveat")
				}
				if len(w.Missing()) == 0 || len(w.Discharges()) != 1 || c.Inspect().String() != description {
					t.Error("changed")
				}
				var back macaroon.Credential
				data, err := c.MarshalBinary()
				if err != nil || back.UnmarshalBinary(data) != nil {
					t.Error("not read back")
				}
			}
		})
	}
	all.Wait()
	require.Equal(t, before, text(t, w))
}
