package verifier_test

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
)

var ctx = context.Background()

const read = "orders.read"

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		require.NoError(t, err)
		return v
	}
}

// tell is to be deferred: if the test has failed by then, it tells what with.
func tell(t testing.TB, format string, args ...any) {
	if t.Failed() {
		t.Logf(format, args...)
	}
}

// requireSameIdentity compares what decisions say of who presented a token.
func requireSameIdentity(t testing.TB, got, want *verifier.Verified) {
	t.Helper()
	require.Equal(t, want.Subject(), got.Subject())
	require.Equal(t, want.KeyID(), got.KeyID())
	require.Equal(t, want.TokenID(), got.TokenID())
	require.Equal(t, want.IssuedAt(), got.IssuedAt())
	require.Equal(t, want.Foreign(), got.Foreign())
	require.Equal(t, attributes(want), attributes(got))
}

// service is a verifier with its keys, for tokens that are good in every respect
// until a test spoils one.
type service struct {
	*verifier.Verifier
	keys *rootkey.Keyring
}

func newService(t testing.TB, options verifier.Options) service {
	t.Helper()
	keys := rootkey.InMemory()
	return service{must(verifier.New(keys, "orders", options))(t), keys}
}

// mint makes a token with what every token needs and more.
func (s service) mint(t testing.TB, more ...macaroon.Caveat) macaroon.Macaroon {
	t.Helper()
	needed := []macaroon.Caveat{caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations(read, "orders.list")}
	return s.mintOnly(t, append(needed, more...)...)
}

// mintOnly makes a token that the keyring itself might refuse to make.
func (s service) mintOnly(t testing.TB, caveats ...macaroon.Caveat) macaroon.Macaroon {
	t.Helper()
	keyID := must(s.keys.Keys(ctx))(t)[0].ID
	grant := macaroon.Grant{Subject: "billing", Location: "https://orders.internal", IssuedAt: time.Now()}
	return must(macaroon.Mint(ctx, s.keys, keyID, grant, caveats...))(t)
}

func narrow(t testing.TB, m macaroon.Macaroon, caveats ...macaroon.Caveat) macaroon.Macaroon {
	t.Helper()
	return must(m.Attenuate(caveats...))(t)
}

// present is what a service receives of a macaroon and its discharges.
func present(t testing.TB, m macaroon.Macaroon, discharges ...macaroon.Macaroon) macaroon.Credential {
	t.Helper()
	return must(must(macaroon.NewWallet(m, discharges...))(t).Credential())(t)
}

// unbound is a credential of these macaroons as they are.
func unbound(t testing.TB, list ...macaroon.Macaroon) (c macaroon.Credential) {
	t.Helper()
	var data []byte
	for _, m := range list {
		data = must(m.AppendBinary(data))(t)
	}
	require.NoError(t, c.UnmarshalBinary(data))
	return c
}

func binary(t testing.TB, c macaroon.Credential) []byte {
	t.Helper()
	return must(c.MarshalBinary())(t)
}

func thirdParty(name string) macaroon.Caveat {
	return macaroon.ThirdParty([]byte("key of "+name), name, "https://"+name+"/")
}

func discharge(t testing.TB, name string, caveats ...macaroon.Caveat) macaroon.Macaroon {
	t.Helper()
	return narrow(t, must(macaroon.New([]byte("key of "+name), name, ""))(t), caveats...)
}

// refused requires a refusal for this reason and gives it.
func refused(t testing.TB, reason verifier.Reason, verified *verifier.Verified, err error) *verifier.Error {
	t.Helper()
	require.Nil(t, verified)
	var refusal *verifier.Error
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, reason.String(), refusal.Reason.String(), refusal.Detail())
	requireOneClass(t, err, reason.Class())
	return refusal
}

func requireOneClass(t testing.TB, err error, class verifier.Class) {
	t.Helper()
	for c, sentinel := range map[verifier.Class]error{
		verifier.Unauthenticated: verifier.ErrUnauthenticated,
		verifier.Denied:          verifier.ErrDenied,
		verifier.Undecided:       verifier.ErrUndecided,
	} {
		require.Equal(t, c == class, errors.Is(err, sentinel), "%v is %v", err, sentinel)
	}
	require.Equal(t, "verifier: "+class.String(), err.Error(), "one text for each class")
}

// fakeSource is a source whose every answer a test decides.
type fakeSource struct {
	epoch  atomic.Uint64
	broken atomic.Bool // the store is down
	gone   atomic.Bool // the key is deleted
	asked  atomic.Int64
	key    func() []byte // does not print
}

var errDown = errors.New("store is down")

func (s *fakeSource) RootSignature(ctx context.Context, identifier string) (sig [32]byte, found bool, err error) {
	s.asked.Add(1)
	if s.broken.Load() {
		return sig, false, errDown
	}
	if s.gone.Load() {
		return [32]byte{1}, false, nil // what stands beside found must not matter
	}
	derived := chain.DeriveKey(s.key())
	var h chain.Hasher
	return h.Root(&derived, identifier), true, nil
}

// withEpoch is a fakeSource that tells when keys change.
type withEpoch struct{ *fakeSource }

func (s withEpoch) Epoch() (uint64, error) {
	if s.broken.Load() {
		return 0, errDown
	}
	return s.epoch.Load(), nil
}

func newFakeSource() *fakeSource {
	return &fakeSource{key: func() []byte { return []byte("0123456789abcdef0123456789abcdef") }}
}

func mintFrom(t testing.TB, source macaroon.Source, caveats ...macaroon.Caveat) macaroon.Macaroon {
	t.Helper()
	needed := []macaroon.Caveat{caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations(read)}
	return must(macaroon.Mint(ctx, source, "k1", macaroon.Grant{IssuedAt: time.Now()}, append(needed, caveats...)...))(t)
}

// counted is a registry whose kind "counted" counts its calls and always holds.
func counted(t testing.TB) (registry caveat.Registry, calls *atomic.Int64) {
	t.Helper()
	calls = new(atomic.Int64)
	kind := caveat.Define("counted", caveat.Text, func(context.Context, *caveat.Request, string) error {
		calls.Add(1)
		return nil
	})
	return must(caveat.Standard().With(kind))(t), calls
}

var noFacts caveat.Facts

// long asks for the tests at their full size.
var long = os.Getenv("AMARETTI_LONG") != ""

// foreignVerifier takes whatever is signed under foreignKey.
func foreignVerifier(t testing.TB, options verifier.Options) *verifier.Verifier {
	t.Helper()
	options.InsecureNoExpiry, options.InsecureNoAudience = true, true
	source := must(verifier.FixedKey(foreignKey, verifier.ForeignGrant{Operations: []string{"*"}}))(t)
	return must(verifier.NewForeign(source, "orders", options))(t)
}
