package macaroon_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v2 "gopkg.in/macaroon.v2"

	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/macaroon"
)

var (
	ctx     = context.Background()
	rootKey = []byte("0123456789abcdef0123456789abcdef")
	issued  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

// oneKey is a source that knows one key.
type oneKey string

func (k oneKey) RootSignature(_ context.Context, identifier string) (sig [32]byte, found bool, err error) {
	if id, ok := macaroon.KeyID(identifier); !ok || id != string(k) {
		return [32]byte{1}, false, nil // what stands beside found must not matter
	}
	derived := chain.DeriveKey(rootKey)
	var h chain.Hasher
	return h.Root(&derived, identifier), true, nil
}

type failing struct{}

func (failing) RootSignature(context.Context, string) (sig [32]byte, found bool, err error) {
	return sig, true, errors.New("store is down")
}

func mustNew(t testing.TB, key, id, location string, caveats ...macaroon.Caveat) macaroon.Macaroon {
	t.Helper()
	m, err := macaroon.New([]byte(key), id, location)
	require.NoError(t, err)
	m, err = m.Attenuate(caveats...)
	require.NoError(t, err)
	return m
}

// asV2 is the same macaroon in the hands of the library that serves as oracle.
func asV2(t testing.TB, m macaroon.Macaroon) *v2.Macaroon {
	t.Helper()
	data, err := m.MarshalBinary()
	require.NoError(t, err)
	var other v2.Macaroon
	require.NoError(t, other.UnmarshalBinary(data))
	return &other
}

// text is the macaroon as text, by the way of JSON.
func text(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	var s string
	require.NoError(t, json.Unmarshal(data, &s))
	return s
}

func anything(string) error { return nil }
