package rootkey_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
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
	"github.com/amaretti-go/amaretti/verifier"
)

// isolated is a service that keeps derived keys by id, as a signer sees it.
type isolated struct {
	derived map[string][]byte

	mu     sync.Mutex
	calls  int
	answer func() (sig [32]byte, found bool, err error) // if not nil, instead of signing
	hang   bool                                         // until the context is done
}

func sum(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}

// newIsolated imports root keys as Signer says that they are to be.
func newIsolated(rootKeys map[string][]byte) *isolated {
	s := &isolated{derived: make(map[string][]byte)}
	for id, key := range rootKeys {
		s.derived[id] = sum([]byte("macaroons-key-generator"), string(key))
	}
	return s
}

func (s *isolated) Sign(ctx context.Context, keyID, identifier string) (sig [32]byte, found bool, err error) {
	s.mu.Lock()
	s.calls++
	answer, hang := s.answer, s.hang
	key, found := s.derived[keyID]
	s.mu.Unlock()
	switch {
	case hang:
		<-ctx.Done()
		return sig, false, ctx.Err()
	case answer != nil:
		return answer()
	case !found:
		return sig, false, nil
	}
	return [32]byte(sum(key, identifier)), true, nil
}

func (s *isolated) set(change func(*isolated)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *isolated) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func under(keyID string) func(context.Context) (string, time.Time, error) {
	return func(context.Context) (string, time.Time, error) { return keyID, time.Time{}, nil }
}

func remote(t testing.TB, signer rootkey.Signer, options rootkey.RemoteOptions) *rootkey.Remote {
	t.Helper()
	r, err := rootkey.NewRemote(signer, options)
	require.NoError(t, err)
	return r
}

// A service of its own keeps the key; orders mints and verifies with it.
func ExampleNewRemote() {
	ctx := context.Background()
	service := newIsolated(map[string][]byte{"orders/1": []byte("32 random bytes, in real life ..")})
	keys, err := rootkey.NewRemote(service, rootkey.RemoteOptions{
		MintUnder: func(context.Context) (string, time.Time, error) { return "orders/1", time.Time{}, nil },
	})
	if err != nil {
		panic(err)
	}
	token, err := keys.Mint(ctx, macaroon.Grant{Subject: "billing"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
	if err != nil {
		panic(err)
	}
	text, err := token.Encode()
	if err != nil {
		panic(err)
	}
	v, err := verifier.New(keys, "orders", verifier.Options{})
	if err != nil {
		panic(err)
	}
	who, err := v.VerifyText(ctx, text, "orders.read", caveat.Facts{})
	fmt.Println(who.Subject(), err)
	// Output: billing <nil>
}

// A token minted with a key that is elsewhere is the one that its root key gives here.
func TestRemoteSignsAsTheRootKeyDoes(t *testing.T) {
	rootKey := []byte(strings.Repeat("root key ", 8))
	r := remote(t, newIsolated(map[string][]byte{"k": rootKey}), rootkey.RemoteOptions{MintUnder: under("k")})
	m, err := r.Mint(t.Context(), macaroon.Grant{Subject: "billing", Location: "here"}, soon, caveat.Audience("orders"))
	require.NoError(t, err)
	conditions, counted := written(t, m)
	require.Equal(t, 2, counted)

	same, err := macaroon.New(rootKey, m.Identifier(), "here")
	require.NoError(t, err)
	for _, condition := range conditions {
		same, err = same.Attenuate(macaroon.Condition(condition))
		require.NoError(t, err)
	}
	want, err := same.Encode()
	require.NoError(t, err)
	got, err := m.Encode()
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestNewRemoteRefuses(t *testing.T) {
	r, err := rootkey.NewRemote(nil, rootkey.RemoteOptions{MaxLifetime: -1, Timeout: -1, CacheFor: 60 * 365 * 24 * time.Hour})
	require.Nil(t, r)
	for _, problem := range []string{"no signer", "MaxLifetime: negative", "Timeout: negative", "CacheFor: more"} {
		require.ErrorContains(t, err, problem)
	}
}

// The rules of minting are those of a keyring.
func TestRemoteMints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newIsolated(map[string][]byte{"k": make([]byte, 32)})
		inventory := new(inventory)
		retires, failure := time.Now().Add(2*time.Hour), error(nil)
		r := remote(t, service, rootkey.RemoteOptions{
			MaxLifetime: time.Hour,
			Recorder:    inventory,
			MintUnder:   func(context.Context) (string, time.Time, error) { return "k", retires, failure },
		})
		m, err := r.Mint(t.Context(), macaroon.Grant{Label: "job"}, caveat.ExpiresIn(5*time.Hour))
		require.NoError(t, err)
		conditions, counted := written(t, m)
		end, err := caveat.ExpiresIn(time.Hour).Condition()
		require.NoError(t, err)
		require.Equal(t, end, conditions[1])
		require.Equal(t, 2, counted)
		require.Len(t, inventory.entries, 1)
		require.Equal(t, "k", inventory.entries[0].keyID)

		_, err = r.Mint(t.Context(), macaroon.Grant{}, caveat.Audience("orders"))
		require.ErrorIs(t, err, rootkey.ErrNoExpiry)
		time.Sleep(90 * time.Minute)
		_, err = r.Mint(t.Context(), macaroon.Grant{}, caveat.ExpiresIn(time.Hour))
		require.ErrorIs(t, err, rootkey.ErrOutlivesKey)
		failure = errDown
		m, err = r.Mint(t.Context(), macaroon.Grant{}, soon)
		require.ErrorIs(t, err, errDown)
		require.True(t, m.IsZero())
		require.Len(t, inventory.entries, 1)

		_, err = remote(t, service, rootkey.RemoteOptions{}).Mint(t.Context(), macaroon.Grant{}, soon)
		require.ErrorIs(t, err, rootkey.ErrNoKey, "unset means that it does not mint")
		_, err = remote(t, service, rootkey.RemoteOptions{MintUnder: under("gone")}).Mint(t.Context(), macaroon.Grant{}, soon)
		require.ErrorIs(t, err, macaroon.ErrUnknownKey)
	})
}

// What the signer says decides what a verifier says: unknown is no, and what is not known
// is not.
func TestRemoteAnswers(t *testing.T) {
	service := newIsolated(map[string][]byte{"k": make([]byte, 32)})
	r := remote(t, service, rootkey.RemoteOptions{MintUnder: under("k")})
	m, err := r.Mint(t.Context(), macaroon.Grant{}, soon, caveat.Audience("orders"), caveat.Operations("orders.read"))
	require.NoError(t, err)
	text, err := m.Encode()
	require.NoError(t, err)
	v, err := verifier.New(r, "orders", verifier.Options{})
	require.NoError(t, err)
	for name, row := range map[string]struct {
		answer func() ([32]byte, bool, error)
		want   error
	}{
		"signs":                    {nil, nil},
		"another key's signature":  {func() ([32]byte, bool, error) { return [32]byte{1}, true, nil }, verifier.ErrUnauthenticated},
		"does not know the key":    {func() ([32]byte, bool, error) { return [32]byte{1}, false, nil }, verifier.ErrUnauthenticated},
		"fails":                    {func() ([32]byte, bool, error) { return [32]byte{}, false, errDown }, verifier.ErrUndecided},
		"fails, and gives results": {func() ([32]byte, bool, error) { return [32]byte{1}, true, errDown }, verifier.ErrUndecided},
		"forgets the signature":    {func() ([32]byte, bool, error) { return [32]byte{}, true, nil }, verifier.ErrUndecided},
		"panics":                   {func() ([32]byte, bool, error) { panic("key") }, verifier.ErrUndecided},
	} {
		service.set(func(s *isolated) { s.answer = row.answer })
		_, err := v.VerifyText(t.Context(), text, "orders.read", caveat.Facts{})
		if row.want == nil {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorIs(t, err, row.want, name)
		if name == "panics" {
			continue
		}
		sig, found, err := r.RootSignature(t.Context(), m.Identifier())
		require.Equal(t, row.want == verifier.ErrUndecided, err != nil, name)
		require.Equal(t, found, sig != [32]byte{}, name)
	}
}

// Nobody has anything signed that is not an identifier.
func TestRemoteSignsIdentifiersOnly(t *testing.T) {
	service := newIsolated(map[string][]byte{"k": make([]byte, 32)})
	r := remote(t, service, rootkey.RemoteOptions{})
	good := identifier(t, "k")
	_, found, err := r.RootSignature(t.Context(), good)
	require.NoError(t, err)
	require.True(t, found)
	for name, bad := range map[string]string{
		"nothing": "", "foreign": "we used our secret key", "cut": good[:len(good)-1], "more": good + "x",
		"long": good + strings.Repeat("x", 2000), "another version": "\x01" + good[1:],
	} {
		sig, found, err := r.RootSignature(t.Context(), bad)
		require.NoError(t, err, name)
		require.False(t, found, name)
		require.Zero(t, sig, name)
	}
	require.Equal(t, 1, service.count())
}

func TestRemoteTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newIsolated(nil)
		service.hang = true
		r := remote(t, service, rootkey.RemoteOptions{Timeout: 3 * time.Second})
		start := time.Now()
		_, _, err := r.RootSignature(t.Context(), identifier(t, "k"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, time.Since(start))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err = r.RootSignature(ctx, identifier(t, "k"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 4*time.Second, time.Since(start))

		// Asking for the key to mint under is a call, too.
		r = remote(t, service, rootkey.RemoteOptions{Timeout: 3 * time.Second,
			MintUnder: func(ctx context.Context) (string, time.Time, error) {
				<-ctx.Done()
				return "", time.Time{}, ctx.Err()
			}})
		start = time.Now()
		_, err = r.Mint(t.Context(), macaroon.Grant{}, soon)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, time.Since(start))
	})
}

// A signature is kept for as long as was said, from when it was asked for; nothing else is.
func TestRemoteCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keep = time.Minute
		service := newIsolated(map[string][]byte{"k": make([]byte, 32)})
		r := remote(t, service, rootkey.RemoteOptions{CacheFor: keep})
		ask := func(keyID string) (bool, error) {
			sig, found, err := r.RootSignature(t.Context(), identifier(t, keyID))
			if found {
				require.Equal(t, [32]byte(sum(service.derived["k"], identifier(t, keyID))), sig)
			}
			return found, err
		}
		service.set(func(s *isolated) { s.answer = func() ([32]byte, bool, error) { return [32]byte{1}, true, errDown } })
		_, err := ask("k")
		require.ErrorIs(t, err, errDown, "and what stood beside the error is not kept")
		service.set(func(s *isolated) {
			s.calls = 0
			s.answer = func() ([32]byte, bool, error) {
				time.Sleep(time.Second)
				return [32]byte(sum(s.derived["k"], identifier(t, "k"))), true, nil
			}
		})
		start := time.Now()
		for range 3 {
			found, err := ask("k")
			require.NoError(t, err)
			require.True(t, found)
		}
		require.Equal(t, 1, service.count())
		service.set(func(s *isolated) { s.answer = func() ([32]byte, bool, error) { return [32]byte{}, false, nil } })
		time.Sleep(time.Until(start.Add(keep - 1)))
		found, err := ask("k")
		require.NoError(t, err)
		require.True(t, found, "deleted, but kept")
		time.Sleep(time.Nanosecond)
		for n := range 3 {
			found, err = ask("k")
			require.NoError(t, err)
			require.False(t, found)
			require.Equal(t, 2+n, service.count(), "that a key is not known is not kept")
		}
	})
}

// However many identifiers strangers make up, so many are kept.
func TestRemoteConcurrently(t *testing.T) {
	service := newIsolated(map[string][]byte{"k": make([]byte, 32), "other": []byte(strings.Repeat("x", 32))})
	r := remote(t, service, rootkey.RemoteOptions{CacheFor: time.Hour, MintUnder: under("k")})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				for _, keyID := range []string{"k", "other"} {
					sig, found, err := r.RootSignature(t.Context(), identifier(t, keyID))
					if err != nil || !found || sig != [32]byte(sum(service.derived[keyID], identifier(t, keyID))) {
						t.Error("not the signature of", keyID)
					}
				}
				if m, err := r.Mint(t.Context(), macaroon.Grant{}, soon); err != nil || m.IsZero() {
					t.Error("not minted:", err)
				}
			}
		})
	}
	all.Wait()
}

func TestRemoteCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newIsolated(map[string][]byte{"k": make([]byte, 32)})
		r := remote(t, service, rootkey.RemoteOptions{CacheFor: time.Hour})
		ids := make([]string, 1500)
		for i := range ids {
			b, err := macaroon.Identifier{KeyID: "k", IssuedAt: time.Unix(int64(1+i), 0)}.MarshalBinary()
			require.NoError(t, err)
			ids[i] = string(b)
		}
		all := func() (calls int) {
			before := service.count()
			for _, id := range ids {
				_, found, err := r.RootSignature(t.Context(), id)
				require.NoError(t, err)
				require.True(t, found)
			}
			return service.count() - before
		}
		require.Equal(t, 1500, all())
		require.GreaterOrEqual(t, all(), 500)
		require.Less(t, all(), 1500, "and some are")
		time.Sleep(time.Hour)
		ids = ids[:1000]
		require.Equal(t, 1000, all())
		require.Zero(t, all(), "what has ended makes room first")
	})
}

func TestRemoteDoesNotPrint(t *testing.T) {
	service := newIsolated(map[string][]byte{"k": make([]byte, 32)})
	r := remote(t, service, rootkey.RemoteOptions{CacheFor: time.Hour, MintUnder: under("k")})
	_, err := r.Mint(t.Context(), macaroon.Grant{}, soon)
	require.NoError(t, err)
	type holder struct{ keys *rootkey.Remote }
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		require.Equal(t, "remote root keys", fmt.Sprintf(verb, r))
		require.Less(t, len(fmt.Sprintf(verb, holder{r})), 100)
	}
}

func TestZeroRemote(t *testing.T) {
	var none rootkey.Remote
	_, err := none.Mint(t.Context(), macaroon.Grant{}, soon)
	require.Error(t, err)
	_, found, err := none.RootSignature(t.Context(), identifier(t, "k"))
	require.NoError(t, err)
	require.False(t, found)
}
