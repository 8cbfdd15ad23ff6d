package rootkey_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
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
		m, err = keys.Mint(t.Context(), macaroon.Grant{IssuedAt: given})
		require.NoError(t, err)
		id, err = macaroon.ParseIdentifier(m.Identifier())
		require.NoError(t, err)
		require.True(t, given.Equal(id.IssuedAt))

		_, err = keys.Mint(t.Context(), macaroon.Grant{}, caveat.Operations())
		require.Error(t, err)
	})
}

func TestRootSignature(t *testing.T) {
	keys, others := rootkey.InMemory(), rootkey.InMemory()
	m, err := keys.Mint(t.Context(), macaroon.Grant{})
	require.NoError(t, err)
	sig, found, err := keys.RootSignature(t.Context(), m.Identifier())
	require.NoError(t, err)
	require.True(t, found)
	require.True(t, m.Inspect().SignedBy(sig))

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
	_, err := none.Mint(t.Context(), macaroon.Grant{})
	require.Error(t, err)
	m, err := rootkey.InMemory().Mint(t.Context(), macaroon.Grant{})
	require.NoError(t, err)
	sig, found, err := none.RootSignature(t.Context(), m.Identifier())
	require.NoError(t, err)
	require.False(t, found)
	require.Zero(t, sig)
}

func TestConcurrentUse(t *testing.T) {
	keys := rootkey.InMemory()
	first, err := keys.Epoch()
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				m, err := keys.Mint(t.Context(), macaroon.Grant{Subject: "x"})
				require.NoError(t, err)
				sig, found, err := keys.RootSignature(t.Context(), m.Identifier())
				require.NoError(t, err)
				require.True(t, found)
				require.True(t, m.Inspect().SignedBy(sig))
			}
		})
	}
	wg.Wait()
	last, err := keys.Epoch()
	require.NoError(t, err)
	require.Equal(t, first, last)
}

func TestKeysDontPrint(t *testing.T) {
	keys := rootkey.InMemory()
	want := keys.String()
	require.Regexp(t, `^keyring \(key [a-z2-7]{13}\)$`, want)
	type holder struct{ keys *rootkey.Keyring }
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		require.Equal(t, want, fmt.Sprintf(verb, keys))
		// Where fmt calls no methods there are addresses at most: a key of 32 bytes
		// takes more room.
		require.Less(t, len(fmt.Sprintf(verb, holder{keys})), 150)
	}
}
