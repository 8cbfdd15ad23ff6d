package rootkey_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

func random(n byte) []byte {
	b := sha256.Sum256([]byte{n})
	return b[:]
}

// Every process is started with the same secret, which rotates by being deployed.
func ExampleFromKeys() {
	former, fresh := random(1), random(2) // 32 random bytes each, from a secrets manager
	first, err := rootkey.FromKeys([][]byte{former, fresh}, rootkey.Options{})
	if err != nil {
		panic(err)
	}
	then, err := rootkey.FromKeys([][]byte{fresh, former}, rootkey.Options{})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for _, minter := range []*rootkey.Keyring{first, then} {
		token, err := minter.Mint(ctx, macaroon.Grant{Subject: "billing"},
			caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
		if err != nil {
			panic(err)
		}
		_, inFirst, _ := first.RootSignature(ctx, token.Identifier())
		_, inThen, _ := then.RootSignature(ctx, token.Identifier())
		fmt.Println(inFirst, inThen)
	}
	// Output:
	// true true
	// true true
}

func given(t *testing.T, keys ...[]byte) *rootkey.Keyring {
	t.Helper()
	k, err := rootkey.FromKeys(keys, rootkey.Options{})
	require.NoError(t, err)
	return k
}

// Given keys are root keys as everywhere: a token is the one that anybody makes with them.
func TestFromKeys(t *testing.T) {
	for _, key := range [][]byte{random(1), append(random(1), random(2)...), append(random(1), 0)} {
		kept := bytes.Clone(key)
		k := given(t, kept, random(3))
		clear(kept) // it is the caller's
		m, err := k.Mint(t.Context(), macaroon.Grant{}, soon)
		require.NoError(t, err)
		conditions, _ := written(t, m)
		want, err := macaroon.New(key, m.Identifier(), "")
		require.NoError(t, err)
		want, err = want.Attenuate(macaroon.Condition(conditions[0]))
		require.NoError(t, err)
		wantText, err := want.Encode()
		require.NoError(t, err)
		text, err := m.Encode()
		require.NoError(t, err)
		require.Equal(t, wantText, text)
		require.True(t, knows(t, given(t, random(3), key), m.Identifier()), "another process, whose keys are in another order")
		require.False(t, knows(t, given(t, random(3)), m.Identifier()))
	}
	ids := make(map[string]bool)
	for _, key := range [][]byte{random(1), append(random(1), random(2)...), append(random(1), 0), random(2)} {
		ids[list(t, given(t, key))[0].ID] = true
	}
	require.Len(t, ids, 4)
	a, b := list(t, given(t, random(1)))[0].ID, list(t, given(t, random(2)))[0].ID
	require.Equal(t, a, keyID(t, mint(t, given(t, random(1), random(2)))), "the first mints")
	require.Equal(t, b, keyID(t, mint(t, given(t, random(2), random(1)))))
}

func TestFromKeysRefuses(t *testing.T) {
	for name, row := range map[string]struct {
		keys [][]byte
		want string
	}{
		"none":      {nil, "no keys"},
		"nil":       {[][]byte{nil}, "key 0: 0 bytes"},
		"31 bytes":  {[][]byte{random(1), random(1)[:31]}, "key 1: 31 bytes"},
		"zeros":     {[][]byte{make([]byte, 32)}, "key 0: one repeated"},
		"a text":    {[][]byte{[]byte(strings.Repeat("0123456789abcdef", 4))}, "key 0: one repeated byte, or all printable"},
		"its line":  {[][]byte{[]byte(strings.Repeat("0123456789abcdef", 4) + "\r\n")}, "key 0: one repeated byte, or all printable"},
		"twice":     {[][]byte{random(1), random(2), random(1)}, "key 2: it is there twice"},
		"an option": {[][]byte{random(1)}, "MaxLifetime: negative"},
	} {
		options := rootkey.Options{}
		if name == "an option" {
			options.MaxLifetime = -1
		}
		k, err := rootkey.FromKeys(row.keys, options)
		require.Nil(t, k, name)
		require.ErrorContains(t, err, row.want, name)
	}
	_, err := rootkey.FromKeys([][]byte{nil, make([]byte, 32)}, rootkey.Options{Leeway: -1})
	for _, problem := range []string{"Leeway", "key 0", "key 1"} {
		require.ErrorContains(t, err, problem)
	}
}

// It stays as it is, for as long as it may take.
func TestGivenKeysStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inventory := new(inventory)
		k, err := rootkey.FromKeys([][]byte{random(1), random(2)}, rootkey.Options{MaxLifetime: time.Hour, Recorder: inventory})
		require.NoError(t, err)
		before, first := list(t, k), epoch(t, k)
		require.ElementsMatch(t, []rootkey.State{rootkey.Minting, rootkey.Verifying}, states(before))
		id := keyID(t, mint(t, k))
		for what, err := range map[string]error{
			"rotate": func() error { _, err := k.Rotate(t.Context()); return err }(),
			"delete": k.Delete(t.Context(), id),
			"retire": k.Retire(t.Context(), id, time.Now()),
			"label":  k.Label(t.Context(), id, "x"),
		} {
			require.ErrorIs(t, err, errors.ErrUnsupported, what)
		}
		ctx, cancel := context.WithCancel(t.Context())
		running := make(chan error)
		go func() { running <- k.Run(ctx) }()
		for range 100 {
			time.Sleep(24 * time.Hour)
			require.True(t, knows(t, k, mint(t, k)))
		}
		cancel()
		require.ErrorIs(t, <-running, context.Canceled)
		time.Sleep(24 * time.Hour)
		require.Equal(t, id, keyID(t, mint(t, k)))
		require.Equal(t, before, list(t, k))
		require.Len(t, inventory.entries, 102)
		require.NotZero(t, first)

		m, err := k.Mint(t.Context(), macaroon.Grant{}, caveat.ExpiresIn(2*time.Hour))
		require.NoError(t, err)
		conditions, _ := written(t, m)
		require.Len(t, conditions, 2, "cut to MaxLifetime")
	})
}

// A machine may start with a clock that is ahead, and hear of it later. What was given has no
// beginning that could then lie in the future.
func TestGivenKeysMintWhateverTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := given(t, random(1), random(2))
		id := keyID(t, mint(t, k))
		rootkey.SetWall(k, func() time.Time { return time.Now().Add(-30 * 24 * time.Hour) })
		require.False(t, knows(t, k, identifier(t, "aaaaaaaaaaaaa")), "a stranger's, for which keys are looked at again")
		require.Equal(t, id, keyID(t, mint(t, k)))
		require.ElementsMatch(t, []rootkey.State{rootkey.Minting, rootkey.Verifying}, states(list(t, k)))
	})
}
