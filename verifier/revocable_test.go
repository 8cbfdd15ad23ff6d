package verifier_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// revocations answer as a test says.
type revocations func(verifier.Revocable) (bool, error)

func (r revocations) Revoked(t verifier.Revocable) (bool, error) { return r(t) }

// telling also tells when.
type telling struct {
	revocations
	changed chan struct{}
}

func (r telling) Changed() <-chan struct{} { return r.changed }

// naming also tells what was revoked.
type naming struct {
	revocations
	what func(verifier.Revocable) string
}

func (r naming) RevokedAs(t verifier.Revocable) string { return r.what(t) }

// TestRevokedAs: what was revoked stands in the record and the log, and nowhere else. It makes no
// decision: nothing that is not revoked becomes so, nor the other way round.
func TestRevokedAs(t *testing.T) {
	for name, row := range map[string]struct {
		revoked bool
		what    func(verifier.Revocable) string
		reason  verifier.Reason
		detail  string
	}{
		"told":        {true, func(r verifier.Revocable) string { return "subject " + r.Subject }, verifier.Revoked, "revoked: subject billing"},
		"not known":   {true, func(verifier.Revocable) string { return "" }, verifier.Revoked, "revoked"},
		"panics":      {true, func(verifier.Revocable) string { panic("a secret") }, verifier.Revoked, "revoked: verifier: revocations panicked with a string"},
		"not revoked": {false, func(verifier.Revocable) string { panic("asked") }, verifier.ReasonUnset, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			var record verifier.Record
			log := verifier.AuditLog(slog.New(slog.NewJSONHandler(&out, nil)))
			s := newService(t, verifier.Options{
				Revocations: naming{func(verifier.Revocable) (bool, error) { return row.revoked, nil }, row.what},
				Audit: func(ctx context.Context, r verifier.Record) {
					record = r
					log(ctx, r)
				},
			})
			_, err := s.Verify(ctx, present(t, s.mint(t)), read, noFacts)
			if row.reason == verifier.ReasonUnset {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, verifier.ErrRevoked)
			require.EqualError(t, err, "verifier: unauthenticated")
			require.Equal(t, row.detail, record.Err.Detail())
			require.Contains(t, out.String(), `"reason":"revoked","detail":"`+row.detail+`"`)
		})
	}
}

func TestRevocable(t *testing.T) {
	var asked verifier.Revocable
	s := newService(t, verifier.Options{Revocations: revocations(func(r verifier.Revocable) (bool, error) { asked = r; return false, nil })})
	token := narrow(t, s.mint(t), caveat.Branch([16]byte{1}), macaroon.Condition("branch x"),
		macaroon.Condition("branch"), macaroon.Condition("branch-AAAAAAAAAAAAAAAAAAAAAA"), caveat.Branch([16]byte{2}))
	id := must(macaroon.ParseIdentifier(token.Identifier()))(t)
	_, err := s.Verify(ctx, present(t, token), read, noFacts)
	require.ErrorIs(t, err, verifier.ErrDenied, "a branch that can't be read")
	require.Equal(t, id.KeyID, asked.KeyID)
	require.Equal(t, id.TokenID, asked.TokenID)
	require.Equal(t, "billing", asked.Subject)
	require.Equal(t, id.IssuedAt, asked.IssuedAt)
	require.Equal(t, token.Identifier(), asked.Identifier())
	require.False(t, asked.Foreign())
	var branches [][16]byte
	for b := range asked.Branches() {
		branches = append(branches, b)
	}
	require.Equal(t, [][16]byte{{1}, {2}}, branches)
	for range asked.Branches() {
		break
	}

	var zero verifier.Revocable
	require.Empty(t, zero.Identifier())
	for range zero.Branches() {
		t.Fatal("a branch of nothing")
	}
}

// TestRevocationsThatFail leave decisions undecided.
func TestRevocationsThatFail(t *testing.T) {
	down := errors.New("down")
	for name, row := range map[string]struct {
		answer revocations
		want   error
	}{
		"revoked": {func(verifier.Revocable) (bool, error) { return true, nil }, verifier.ErrRevoked},
		"error":   {func(verifier.Revocable) (bool, error) { return false, down }, verifier.ErrUndecided},
		"both":    {func(verifier.Revocable) (bool, error) { return true, down }, verifier.ErrUndecided},
		"panic":   {func(verifier.Revocable) (bool, error) { panic("x") }, verifier.ErrUndecided},
	} {
		t.Run(name, func(t *testing.T) {
			answer := revocations(func(verifier.Revocable) (bool, error) { return false, nil })
			var records []verifier.Record
			s := newService(t, verifier.Options{
				Revocations: revocations(func(r verifier.Revocable) (bool, error) { return answer(r) }),
				Audit:       func(_ context.Context, r verifier.Record) { records = append(records, r) },
			})
			credential := present(t, s.mint(t))
			authentic := must(s.Authenticate(ctx, credential))(t)
			require.NoError(t, authentic.Reauthenticate(ctx))
			require.Empty(t, records)

			answer = row.answer
			_, err := s.Verify(ctx, credential, read, noFacts)
			require.ErrorIs(t, err, row.want)
			_, err = s.Authenticate(ctx, credential)
			require.ErrorIs(t, err, row.want)
			_, err = authentic.Check(ctx, read, noFacts)
			require.ErrorIs(t, err, row.want)
			records = nil
			err = authentic.Reauthenticate(ctx)
			require.ErrorIs(t, err, row.want)
			require.Len(t, records, 1)
			require.Same(t, err, records[0].Err)
			require.NotEmpty(t, records[0].Reference)
		})
	}
}

// TestReauthenticate looks at the root key too, and at nothing that the token says.
func TestReauthenticate(t *testing.T) {
	s := newService(t, verifier.Options{})
	authentic := must(s.Authenticate(ctx, present(t, s.mint(t, caveat.ExpiresAt(time.Now().Add(-time.Hour))))))(t)
	require.NoError(t, authentic.Reauthenticate(ctx))
	done, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, authentic.Reauthenticate(done), verifier.ErrUndecided)
	require.NoError(t, s.keys.Delete(ctx, must(s.keys.Keys(ctx))(t)[0].ID))
	require.ErrorIs(t, authentic.Reauthenticate(ctx), verifier.ErrUnauthenticated)
	require.ErrorIs(t, new(verifier.Authentic).Reauthenticate(ctx), verifier.ErrUnauthenticated)
}

// TestUnexpired looks at every expiry, the discharges' too, and at nothing else.
func TestUnexpired(t *testing.T) {
	for _, cache := range []int{-1, 0} {
		var records []verifier.Record
		s := newService(t, verifier.Options{CacheBytes: cache, Leeway: time.Second, Audit: func(_ context.Context, r verifier.Record) { records = append(records, r) }})
		late := caveat.ExpiresAt(time.Now().Add(-time.Minute))
		for _, row := range []struct {
			credential macaroon.Credential
			expired    bool
		}{
			{present(t, s.mint(t, caveat.Audience("stock"), caveat.Methods("GET"), macaroon.Condition("unknown x"))), false},
			{present(t, s.mint(t, macaroon.Condition("time-before tomorrow"))), false},
			{present(t, s.mint(t, caveat.ExpiresAt(time.Now().Add(-time.Second/2)))), false},
			{present(t, s.mint(t, late)), true},
			{present(t, narrow(t, s.mint(t), late)), true},
			{present(t, s.mint(t, thirdParty("a")), discharge(t, "a", late)), true},
		} {
			records = nil
			deadline, err := must(s.Authenticate(ctx, row.credential))(t).Unexpired(ctx)
			if !row.expired {
				require.NoError(t, err)
				require.Empty(t, records)
				continue
			}
			require.Zero(t, deadline)
			require.Equal(t, verifier.Expired, reasonOf(t, err))
			require.Len(t, records, 1)
		}
	}
	_, err := new(verifier.Authentic).Unexpired(ctx)
	require.ErrorIs(t, err, verifier.ErrUnauthenticated)
}

// TestUnexpiredUntil: its deadline is that of the decision.
func TestUnexpiredUntil(t *testing.T) {
	s := newService(t, verifier.Options{Leeway: time.Second, InsecureNoExpiry: true})
	soon := caveat.ExpiresIn(time.Minute)
	for _, c := range []macaroon.Credential{
		present(t, s.mint(t)),
		present(t, narrow(t, s.mint(t), soon)),
		present(t, s.mint(t, thirdParty("a")), discharge(t, "a", soon)),
		present(t, s.mintOnly(t, caveat.Audience("orders"), caveat.Operations(read))),
	} {
		for range 3 {
			authentic := must(s.Authenticate(ctx, c))(t)
			until := must(authentic.Unexpired(ctx))(t)
			deadline, ok := must(authentic.Check(ctx, read, get))(t).Deadline()
			require.Equal(t, deadline, until)
			require.Equal(t, ok, !until.IsZero())
		}
	}
}

func TestRevocationsChanged(t *testing.T) {
	require.Nil(t, newService(t, verifier.Options{}).RevocationsChanged())
	never := revocations(func(verifier.Revocable) (bool, error) { return false, nil })
	require.Nil(t, newService(t, verifier.Options{Revocations: never}).RevocationsChanged())
	tell := telling{never, make(chan struct{})}
	changed := newService(t, verifier.Options{Revocations: tell}).RevocationsChanged()
	require.NotNil(t, changed)
	select {
	case <-changed:
		t.Fatal("nothing changed")
	default:
	}
	close(tell.changed)
	<-changed
	require.Nil(t, new(verifier.Verifier).RevocationsChanged())
}
