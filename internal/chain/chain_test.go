package chain_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/macaroon.v2"

	"github.com/amaretti-go/amaretti/internal/chain"
)

func unhex(t testing.TB, s string) (sig [chain.Size]byte) {
	t.Helper()
	require.Equal(t, chain.Size, copy(sig[:], must(hex.DecodeString(s))))
	return sig
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func root(h *chain.Hasher, rootKey []byte, identifier string) [chain.Size]byte {
	derived := chain.DeriveKey(rootKey)
	return h.Root(&derived, identifier)
}

// What seals verification ids must not come twice under one key.
func TestNoncesAreRandom(t *testing.T) {
	const nonce = chain.SealedSize - 16 - chain.Size
	var nonces []string
	for range 8 {
		nonces = append(nonces, chain.Seal(new([chain.Size]byte), new([chain.Size]byte))[:nonce])
	}
	for i := range nonce {
		require.True(t, slices.ContainsFunc(nonces, func(n string) bool { return n[i] != nonces[0][i] }), "byte %d", i)
	}
}

// The first vectors of the README of libmacaroons, which every library reproduces.
func TestKnownAnswers(t *testing.T) {
	var h chain.Hasher
	sig := root(&h, []byte("this is our super secret key; only we should know it"), "we used our secret key")
	require.Equal(t, unhex(t, "e3d9e02908526c4c0039ae15114115d97fdd68bf2ba379b342aaf0f617d0552f"), sig)
	for _, step := range []struct{ condition, want string }{
		{"account = 3735928559", "1efe4763f290dbce0c1d08477367e11f4eee456a64933cf662d79772dbb82128"},
		{"time < 2020-01-01T00:00", "b5f06c8c8ef92f6c82c6ff282cd1f8bd1849301d09a2db634ba182536a611c49"},
		{"email = alice@example.org", "ddf553e46083e55b8d71ab822be3d8fcf21d6bf19c40d617bb9fb438934474b6"},
	} {
		h.FirstParty(&sig, step.condition)
		require.Equal(t, unhex(t, step.want), sig, step.condition)
	}
	require.Equal(t, 4, h.Links())
}

func TestKnownAnswersWithThirdParty(t *testing.T) {
	var h chain.Hasher
	rootKey := []byte("this is a different super-secret key; never use the same secret twice")
	sig := root(&h, rootKey, "we used our other secret key")
	h.FirstParty(&sig, "account = 3735928559")
	require.Equal(t, unhex(t, "1434e674ad84fdfdc9bc1aa00785325c8b6d57341fc7ce200ba4680c80786dda"), sig)

	caveatID := "this was how we remind auth of key/pred"
	caveatRootKey := []byte("4; guaranteed random by a fair toss of the dice")
	caveatKey := chain.DeriveKey(caveatRootKey)
	vid := chain.SealWithNonce(&sig, &caveatKey, [24]byte{})
	opened, ok := chain.Open(&sig, vid)
	require.True(t, ok)
	require.Equal(t, caveatKey, opened)

	h.ThirdParty(&sig, vid, caveatID)
	require.Equal(t, unhex(t, "d27db2fd1f22760e4c3dae8137e2d8fc1df6c0741c18aed4b97256bf78d1f55c"), sig)

	discharge := root(&h, caveatRootKey, caveatID)
	h.FirstParty(&discharge, "time < 2020-01-01T00:00")
	require.Equal(t, unhex(t, "2ed1049876e9d5840950274b579b0770317df54d338d9d3039c7c67d0d91d63c"), discharge)
	h.Bind(&sig, &discharge)
	require.Equal(t, unhex(t, "d115ef1c133b1126978d5ab27f69d99ba9d0468cd6c1b7e47b8c1c59019cb019"), discharge)
}

func TestOpenRefuses(t *testing.T) {
	sig, key := [chain.Size]byte{1}, [chain.Size]byte{2}
	vid := chain.Seal(&sig, &key)
	require.Len(t, vid, chain.SealedSize)
	for i := range len(vid) {
		for bit := range 8 {
			flipped := []byte(vid)
			flipped[i] ^= 1 << bit
			opened, ok := chain.Open(&sig, string(flipped))
			require.False(t, ok, "byte %d bit %d", i, bit)
			require.Zero(t, opened)
		}
	}
	for _, size := range []int{0, 1, 23, 24, 40, 71, 73, 1000} {
		_, ok := chain.Open(&sig, strings.Repeat("x", size))
		require.False(t, ok, size)
	}
	_, ok := chain.Open(&[chain.Size]byte{3}, vid)
	require.False(t, ok, "under another signature")
	require.NotEqual(t, vid, chain.Seal(&sig, &key), "nonces repeat")
}

// Moving a byte between the parts of a third-party caveat, or turning it into a
// first-party one, must change the signature.
func TestLinksAreDistinct(t *testing.T) {
	var h chain.Hasher
	sig := [chain.Size]byte{7}
	seen := map[[chain.Size]byte]string{}
	for _, c := range [][2]string{{"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"", "abc"}, {"c", "ab"}} {
		got := sig
		h.ThirdParty(&got, c[0], c[1])
		require.Empty(t, seen[got])
		seen[got] = c[0] + "|" + c[1]
	}
	for _, c := range []string{"abc", "ab", "", "a\x00bc"} {
		got := sig
		h.FirstParty(&got, c)
		require.Empty(t, seen[got])
		seen[got] = c
	}
}

// One hasher computes all: what a longer condition leaves in the scratch space must not
// show in a shorter one.
func TestEveryLength(t *testing.T) {
	var h chain.Hasher
	key, text := [chain.Size]byte{1}, strings.Repeat("\xff", 4500)
	for n := range 4500 {
		for _, n := range []int{n, 4499 - n} {
			sig := key
			h.FirstParty(&sig, text[:n])
			require.Equal(t, slow(key, text[:n]), sig, n)
		}
	}
}

func slow(key [chain.Size]byte, message string) (sig [chain.Size]byte) {
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(message))
	mac.Sum(sig[:0])
	return sig
}

// FuzzLinks compares with crypto/hmac. One hasher computes all links of an
// input, so that what one leaves in the scratch space would show in the next.
func FuzzLinks(f *testing.F) {
	f.Add([]byte("key"), "identifier", "condition", "verification id")
	f.Add([]byte{}, "", "", "")
	f.Add(make([]byte, 64), strings.Repeat("i", 191), strings.Repeat("c", 192), strings.Repeat("v", 193))
	f.Add(make([]byte, 65), strings.Repeat("i", 5000), "c", strings.Repeat("v", 72))
	f.Fuzz(func(t *testing.T, rootKey []byte, identifier, condition, vid string) {
		var h chain.Hasher
		derived := chain.DeriveKey(rootKey)
		var label [chain.Size]byte
		copy(label[:], "macaroons-key-generator")
		require.Equal(t, slow(label, string(rootKey)), derived)

		sig := h.Root(&derived, identifier)
		require.Equal(t, slow(derived, identifier), sig)

		first := sig
		h.FirstParty(&first, condition)
		require.Equal(t, slow(sig, condition), first)

		a, b := slow(first, vid), slow(first, condition)
		third := first
		h.ThirdParty(&third, vid, condition)
		require.Equal(t, slow(first, string(a[:])+string(b[:])), third)

		var zero [chain.Size]byte
		a, b = slow(zero, string(first[:])), slow(zero, string(third[:]))
		h.Bind(&first, &third)
		require.Equal(t, slow(zero, string(a[:])+string(b[:])), third)
		require.Equal(t, 8, h.Links())
	})
}

// FuzzOracle compares every step with gopkg.in/macaroon.v2.
func FuzzOracle(f *testing.F) {
	f.Add([]byte("key"), "identifier", "condition", []byte("caveat key"), "caveat id")
	f.Add([]byte{}, "", "", []byte{}, "")
	f.Add(make([]byte, 64), strings.Repeat("i", 192), strings.Repeat("c", 193), make([]byte, 65), strings.Repeat("d", 5000))
	f.Fuzz(func(t *testing.T, rootKey []byte, identifier, condition string, caveatKey []byte, caveatID string) {
		var h chain.Hasher
		theirs, err := macaroon.New(rootKey, []byte(identifier), "", macaroon.V2)
		require.NoError(t, err)
		sig := root(&h, rootKey, identifier)
		require.Equal(t, theirs.Signature(), sig[:])

		require.NoError(t, theirs.AddFirstPartyCaveat([]byte(condition)))
		h.FirstParty(&sig, condition)
		require.Equal(t, theirs.Signature(), sig[:])

		require.NoError(t, theirs.AddThirdPartyCaveat(caveatKey, []byte(caveatID), "location"))
		vid := string(theirs.Caveats()[1].VerificationId)
		derived, ok := chain.Open(&sig, vid)
		require.True(t, ok)
		require.Equal(t, chain.DeriveKey(caveatKey), derived)
		h.ThirdParty(&sig, vid, caveatID)
		require.Equal(t, theirs.Signature(), sig[:])

		discharge, err := macaroon.New(caveatKey, []byte(caveatID), "", macaroon.V2)
		require.NoError(t, err)
		discharge.Bind(theirs.Signature())
		bound := h.Root(&derived, caveatID)
		h.Bind(&sig, &bound)
		require.Equal(t, discharge.Signature(), bound[:])
	})
}
