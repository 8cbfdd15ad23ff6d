package rootkey_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

var soon = caveat.ExpiresIn(time.Minute)

// What Options mean when they say nothing.
const (
	refreshEvery = 10 * time.Second
	staleAfter   = 5 * time.Minute
	publishFor   = time.Minute
	maxLifetime  = 24 * time.Hour
	leeway       = time.Minute
	rotateEvery  = 30 * 24 * time.Hour
	overlap      = staleAfter + maxLifetime + leeway
)

var errDown = errors.New("the store is down")

// testStore is a store that counts, and fails or hangs if told to.
type testStore struct {
	inside rootkey.Store

	mu           sync.Mutex
	loads, swaps int
	fail         error         // of Load and Swap
	failSwap     error         // of Swap, after it has been done
	hang         bool          // until the context is done
	deaf         chan struct{} // if not nil, Load hangs until it is closed, whatever the context
	slow         time.Duration // of Load, before
	answer       time.Duration // of Load, after
	onLoad       func()
	onSwap       func()
}

func newStore() *testStore { return &testStore{inside: rootkey.NewMemoryStore()} }

// set changes how the store behaves.
func (s *testStore) set(change func(*testStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *testStore) count() (loads, swaps int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads, s.swaps
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *testStore) Load(ctx context.Context, known string) (map[string][]byte, string, bool, error) {
	s.mu.Lock()
	s.loads++
	fail, hang, deaf, slow, answer, hook := s.fail, s.hang, s.deaf, s.slow, s.answer, s.onLoad
	s.mu.Unlock()
	switch {
	case deaf != nil:
		<-deaf
	case hang:
		<-ctx.Done()
		return nil, "", false, ctx.Err()
	case slow > 0:
		if err := sleep(ctx, slow); err != nil {
			return nil, "", false, err
		}
	}
	if fail != nil {
		return nil, "", false, fail
	}
	records, version, found, err := s.inside.Load(ctx, known)
	if hook != nil {
		hook()
	}
	if answer > 0 {
		if err := sleep(ctx, answer); err != nil {
			return nil, "", false, err
		}
	}
	return records, version, found, err
}

func (s *testStore) Swap(ctx context.Context, known string, records map[string][]byte) (string, bool, error) {
	s.mu.Lock()
	s.swaps++
	fail, failSwap, hang, hook := s.fail, s.failSwap, s.hang, s.onSwap
	s.mu.Unlock()
	if hook != nil {
		hook()
	}
	switch {
	case hang:
		<-ctx.Done()
		return "", false, ctx.Err()
	case fail != nil:
		return "", false, fail
	}
	version, swapped, err := s.inside.Swap(ctx, known, records)
	if failSwap != nil {
		return "", false, failSwap
	}
	return version, swapped, err
}

func open(t testing.TB, store rootkey.Store, options rootkey.Options) *rootkey.Keyring {
	t.Helper()
	k, err := rootkey.Open(t.Context(), store, options)
	require.NoError(t, err)
	return k
}

var onlyReads = rootkey.Options{RotateEvery: -1}

// mint gives the identifier of a fresh token.
func mint(t testing.TB, k *rootkey.Keyring) string {
	t.Helper()
	m, err := k.Mint(t.Context(), macaroon.Grant{}, soon)
	require.NoError(t, err)
	return m.Identifier()
}

func keyID(t testing.TB, identifier string) string {
	t.Helper()
	id, ok := macaroon.KeyID(identifier)
	require.True(t, ok)
	return id
}

// identifier is one that names a key.
func identifier(t testing.TB, keyID string) string {
	t.Helper()
	b, err := macaroon.Identifier{KeyID: keyID, IssuedAt: time.Unix(1, 0)}.MarshalBinary()
	require.NoError(t, err)
	return string(b)
}

func knows(t testing.TB, k *rootkey.Keyring, identifier string) bool {
	t.Helper()
	sig, found, err := k.RootSignature(t.Context(), identifier)
	require.NoError(t, err)
	require.Equal(t, found, sig != [32]byte{})
	return found
}

func epoch(t testing.TB, k *rootkey.Keyring) uint64 {
	t.Helper()
	e, err := k.Epoch()
	require.NoError(t, err)
	return e
}

func list(t testing.TB, k *rootkey.Keyring) []rootkey.Key {
	t.Helper()
	keys, err := k.Keys(t.Context())
	require.NoError(t, err)
	return keys
}

// find gives a key of a fresh list.
func find(t testing.TB, k *rootkey.Keyring, id string) rootkey.Key {
	t.Helper()
	for _, key := range list(t, k) {
		if key.ID == id {
			return key
		}
	}
	require.Fail(t, "no key "+id)
	return rootkey.Key{}
}

func states(keys []rootkey.Key) []rootkey.State {
	var all []rootkey.State
	for _, key := range keys {
		all = append(all, key.State)
	}
	return all
}

// record is what stands in a store, in the order in which it stands there.
type record struct {
	Format  int        `json:"format"`
	Key     []byte     `json:"key"`
	Label   string     `json:"label,omitempty"`
	Created time.Time  `json:"created"`
	Mints   time.Time  `json:"mints"`
	Stops   *time.Time `json:"stops,omitempty"`
	Retires *time.Time `json:"retires,omitempty"`
}

func newRecord(mints time.Time) record {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(7*i + 200)
	}
	return record{Format: 1, Key: key, Created: mints.UTC(), Mints: mints.UTC()}
}

func (r record) text(t testing.TB) []byte {
	t.Helper()
	text, err := json.Marshal(r)
	require.NoError(t, err)
	return text
}

// write puts records in the place of what is in a store.
func write(t testing.TB, store rootkey.Store, records map[string][]byte) {
	t.Helper()
	_, version, _, err := store.Load(t.Context(), "none")
	require.NoError(t, err)
	_, swapped, err := store.Swap(t.Context(), version, records)
	require.NoError(t, err)
	require.True(t, swapped)
}
