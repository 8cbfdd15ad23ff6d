package revocation_test

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

const bound = 10 * time.Second

// service is a verifier with a list that follows a feed.
type service struct {
	*verifier.Verifier
	list *revocation.List
	keys *rootkey.Keyring
}

func newService(t testing.TB, keys *rootkey.Keyring, feed revocation.Feed, options revocation.Options) *service {
	t.Helper()
	return newServiceWithin(t, bound, keys, feed, options)
}

// newServiceWithin is for what takes real time: a slow machine must not pass the bound.
func newServiceWithin(t testing.TB, bound time.Duration, keys *rootkey.Keyring, feed revocation.Feed, options revocation.Options) *service {
	t.Helper()
	list, err := revocation.NewList(feed, bound, options)
	require.NoError(t, err)
	v, err := verifier.New(keys, "orders", verifier.Options{Revocations: list})
	require.NoError(t, err)
	return &service{v, list, keys}
}

// filled gives a service whose list has been filled.
func filled(t testing.TB, feed revocation.Feed) *service {
	t.Helper()
	s := newService(t, rootkey.InMemory(), feed, revocation.Options{})
	require.NoError(t, s.list.Refresh(t.Context()))
	return s
}

func (s *service) mint(t testing.TB, subject string, caveats ...macaroon.Caveat) macaroon.Macaroon {
	t.Helper()
	m, err := s.keys.Mint(t.Context(), macaroon.Grant{Subject: subject}, append([]macaroon.Caveat{
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read")}, caveats...)...)
	require.NoError(t, err)
	return m
}

// decide gives the reason of a refusal, or "" if the token is allowed.
func (s *service) decide(t testing.TB, m macaroon.Macaroon) string {
	t.Helper()
	text, err := m.Encode()
	require.NoError(t, err)
	return reason(s.VerifyText(t.Context(), text, "orders.read", caveat.Facts{}))
}

// detail gives what the log says of a refusal.
func (s *service) detail(t testing.TB, m macaroon.Macaroon) string {
	t.Helper()
	text, err := m.Encode()
	require.NoError(t, err)
	_, err = s.VerifyText(t.Context(), text, "orders.read", caveat.Facts{})
	refusal, _ := verifier.RefusalOf(err)
	return refusal.Detail()
}

func reason(_ *verifier.Verified, err error) string {
	var refusal *verifier.Error
	if errors.As(err, &refusal) {
		return refusal.Reason.String()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func (s *service) refresh(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	require.NoError(t, s.list.Refresh(ctx))
}

func identifier(t testing.TB, m macaroon.Macaroon) macaroon.Identifier {
	t.Helper()
	id, err := macaroon.ParseIdentifier(m.Identifier())
	require.NoError(t, err)
	return id
}

func attenuate(t testing.TB, m macaroon.Macaroon, caveats ...macaroon.Caveat) macaroon.Macaroon {
	t.Helper()
	next, err := m.Attenuate(caveats...)
	require.NoError(t, err)
	return next
}

// now is a feed that does not wait, so that tests need not.
type now struct{ revocation.Feed }

func (f now) Changes(ctx context.Context, after revocation.Cursor, _ time.Duration) (revocation.Batch, error) {
	return f.Feed.Changes(ctx, after, 0)
}

func foreignToken(t testing.TB, id string) (macaroon.Macaroon, *verifier.Verifier, *revocation.Memory, *revocation.List) {
	t.Helper()
	key := bytes.Repeat([]byte("0123456789abcdef"), 2)
	key[0] = 0xff
	source, err := verifier.FixedKey(key, verifier.ForeignGrant{Operations: []string{"*"}})
	require.NoError(t, err)
	memory := revocation.NewMemory(nil)
	list, err := revocation.NewList(now{memory}, bound, revocation.Options{})
	require.NoError(t, err)
	v, err := verifier.NewForeign(source, "orders", verifier.Options{Revocations: list, InsecureNoExpiry: true, InsecureNoAudience: true})
	require.NoError(t, err)
	m, err := macaroon.New(key, id, "")
	require.NoError(t, err)
	return m, v, memory, list
}

// faulty is a feed whose answers pass through a fault, if there is one.
type faulty struct {
	revocation.Feed
	fault atomic.Pointer[func(context.Context, revocation.Batch) (revocation.Batch, error)]
}

func (f *faulty) Changes(ctx context.Context, after revocation.Cursor, wait time.Duration) (revocation.Batch, error) {
	fault := f.fault.Load()
	if fault == nil {
		return f.Feed.Changes(ctx, after, wait)
	}
	b, err := f.Feed.Changes(ctx, after, 0)
	if err != nil {
		return b, err
	}
	return (*fault)(ctx, b)
}
