package rootkey_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

func Example() {
	ctx := context.Background()
	keys := rootkey.InMemory()
	token, err := keys.Mint(ctx, macaroon.Grant{Subject: "billing"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
	if err != nil {
		panic(err)
	}
	id, err := macaroon.ParseIdentifier(token.Identifier())
	fmt.Println(id.Subject, id.Caveats, err)
	// Output: billing 3 <nil>
}

func TestMint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := rootkey.InMemory()
		m, err := keys.Mint(t.Context(), macaroon.Grant{Subject: "billing"}, caveat.ExpiresIn(time.Hour))
		require.NoError(t, err)
		id, err := macaroon.ParseIdentifier(m.Identifier())
		require.NoError(t, err)
		require.True(t, time.Now().Equal(id.IssuedAt))
		require.Equal(t, 1, id.Caveats)
		require.Len(t, id.KeyID, 13)
		require.Equal(t, strings.ToLower(id.KeyID), id.KeyID)
		require.Less(t, len(m.Identifier()), 56)

		given := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		m, err = keys.Mint(t.Context(), macaroon.Grant{IssuedAt: given}, soon)
		require.NoError(t, err)
		id, err = macaroon.ParseIdentifier(m.Identifier())
		require.NoError(t, err)
		require.True(t, given.Equal(id.IssuedAt))

		_, err = keys.Mint(t.Context(), macaroon.Grant{}, caveat.Operations())
		require.Error(t, err)
	})
}

// signed tells whether sig is the signature that m begins with.
func signed(m macaroon.Macaroon, sig [32]byte) bool {
	var h chain.Hasher
	caveats := m.Inspect().Caveats()
	for i := range caveats.Len() {
		h.FirstParty(&sig, caveats.At(i).ID)
	}
	return m.Inspect().SignedBy(sig)
}

func TestRootSignature(t *testing.T) {
	keys, others := rootkey.InMemory(), rootkey.InMemory()
	m, err := keys.Mint(t.Context(), macaroon.Grant{}, soon)
	require.NoError(t, err)
	sig, found, err := keys.RootSignature(t.Context(), m.Identifier())
	require.NoError(t, err)
	require.True(t, found)
	require.True(t, signed(m, sig))

	for name, identifier := range map[string]string{
		"empty": "", "foreign": "we used our secret key", "cut": m.Identifier()[:5],
	} {
		sig, found, err := keys.RootSignature(t.Context(), identifier)
		require.NoError(t, err, name)
		require.False(t, found, name)
		require.Zero(t, sig, name)
	}
	_, found, err = others.RootSignature(t.Context(), m.Identifier())
	require.NoError(t, err)
	require.False(t, found, "each keyring has a key of its own")
}

func TestZeroKeyring(t *testing.T) {
	var none rootkey.Keyring
	_, err := none.Mint(t.Context(), macaroon.Grant{}, soon)
	require.Error(t, err)
	m, err := rootkey.InMemory().Mint(t.Context(), macaroon.Grant{}, soon)
	require.NoError(t, err)
	sig, found, err := none.RootSignature(t.Context(), m.Identifier())
	require.NoError(t, err)
	require.False(t, found)
	require.Zero(t, sig)

	_, err = none.Epoch()
	require.NoError(t, err)
	require.Equal(t, "keyring (zero)", fmt.Sprint(&none))
	require.Error(t, none.Run(t.Context()))
	_, err = none.Rotate(t.Context())
	require.Error(t, err)
	_, err = none.Keys(t.Context())
	require.Error(t, err)
	require.Error(t, none.Delete(t.Context(), "aaaaaaaaaaaaa"))
	require.Error(t, none.Retire(t.Context(), "aaaaaaaaaaaaa", time.Now()))
	require.Error(t, none.Label(t.Context(), "aaaaaaaaaaaaa", "x"))
}

func TestConcurrentUse(t *testing.T) {
	keys := rootkey.InMemory()
	first, err := keys.Epoch()
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				m, err := keys.Mint(t.Context(), macaroon.Grant{Subject: "x"}, soon)
				require.NoError(t, err)
				sig, found, err := keys.RootSignature(t.Context(), m.Identifier())
				require.NoError(t, err)
				require.True(t, found)
				require.True(t, signed(m, sig))
			}
		})
	}
	wg.Wait()
	last, err := keys.Epoch()
	require.NoError(t, err)
	require.Equal(t, first, last)
}

func TestKeysDontPrint(t *testing.T) {
	store := rootkey.NewMemoryStore()
	keys := open(t, store, rootkey.Options{})
	want := keys.String()
	require.Regexp(t, `^keyring \(key [a-z2-7]{13}\)$`, want)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		require.Equal(t, want, fmt.Sprintf(verb, keys))
	}

	records, _, _, err := store.Load(t.Context(), "")
	require.NoError(t, err)
	var stored record
	require.NoError(t, json.Unmarshal(records[list(t, keys)[0].ID], &stored))
	require.Len(t, stored.Key, 32)
	derived := chain.DeriveKey(stored.Key)

	type holder struct { // where fmt calls no methods
		keys  *rootkey.Keyring
		store *rootkey.MemoryStore
		any   any
	}
	var out bytes.Buffer
	_, failed := keys.Mint(t.Context(), macaroon.Grant{})
	require.Error(t, failed)
	for _, value := range []any{keys, *keys, store, list(t, keys), failed, holder{keys, store, *keys}, &holder{keys, store, store}, []any{keys, *keys, store}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
		for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(handler).Info("", "value", value)
		}
		func() {
			defer func() { fmt.Fprintln(&out, recover()) }()
			panic(value)
		}()
	}
	for _, secret := range [][]byte{stored.Key, derived[:]} {
		for _, form := range []string{
			string(secret), fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), strings.Trim(fmt.Sprint(secret), "[]"),
			base64.StdEncoding.EncodeToString(secret)[:40], base64.RawURLEncoding.EncodeToString(secret)[:40],
		} {
			require.NotContains(t, out.String(), form)
		}
	}
}
