package revocation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/internal/wire"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

func TestWhatIsRevoked(t *testing.T) {
	ctx := t.Context()
	branch, sibling := [16]byte{1}, [16]byte{2}
	for name, row := range map[string]struct {
		what func(m macaroon.Identifier) revocation.What
		dead []string
	}{
		"token":         {func(id macaroon.Identifier) revocation.What { return revocation.Token(id.TokenID) }, []string{"token", "child", "branch", "grandchild", "sibling"}},
		"branch":        {func(macaroon.Identifier) revocation.What { return revocation.Branch(branch) }, []string{"branch", "grandchild"}},
		"key":           {func(id macaroon.Identifier) revocation.What { return revocation.Key(id.KeyID) }, []string{"token", "child", "branch", "grandchild", "sibling", "other token", "other subject"}},
		"subject":       {func(macaroon.Identifier) revocation.What { return revocation.Subject("billing") }, []string{"token", "child", "branch", "grandchild", "sibling", "other token"}},
		"key until":     {func(id macaroon.Identifier) revocation.What { return revocation.KeyUntil(id.KeyID, id.IssuedAt) }, []string{"token", "child", "branch", "grandchild", "sibling", "other token", "other subject"}},
		"subject until": {func(id macaroon.Identifier) revocation.What { return revocation.SubjectUntil("billing", id.IssuedAt) }, []string{"token", "child", "branch", "grandchild", "sibling", "other token"}},
		"long before": {func(id macaroon.Identifier) revocation.What {
			return revocation.SubjectUntil("billing", id.IssuedAt.Add(-time.Minute))
		}, nil},
		"another token":  {func(macaroon.Identifier) revocation.What { return revocation.Token(macaroon.TokenID{9}) }, nil},
		"another key":    {func(macaroon.Identifier) revocation.What { return revocation.Key("aaaaaaaaaaaaa") }, nil},
		"another name":   {func(macaroon.Identifier) revocation.What { return revocation.Subject("billin") }, nil},
		"foreign":        {func(macaroon.Identifier) revocation.What { return revocation.Foreign("billing") }, nil},
		"another branch": {func(macaroon.Identifier) revocation.What { return revocation.Branch([16]byte{3}) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			memory := revocation.NewMemory(nil)
			s := filled(t, now{memory})
			token := s.mint(t, "billing")
			family := map[string]macaroon.Macaroon{
				"token":         token,
				"child":         attenuate(t, token, caveat.ExpiresIn(time.Minute)),
				"branch":        attenuate(t, token, caveat.Branch(branch)),
				"grandchild":    attenuate(t, token, caveat.Branch(branch), caveat.ExpiresIn(time.Minute), caveat.Branch([16]byte{7})),
				"sibling":       attenuate(t, token, caveat.Branch(sibling)),
				"other token":   s.mint(t, "billing"),
				"other subject": s.mint(t, "shipping"),
				"no subject":    s.mint(t, ""),
			}
			what := row.what(identifier(t, token))
			require.NoError(t, memory.Revoke(ctx, what, time.Time{}, "test"))
			for member, m := range family {
				require.Empty(t, s.decide(t, m), "%s, before it is known", member)
			}
			s.refresh(t)
			dead := map[string]bool{}
			for _, member := range row.dead {
				dead[member] = true
			}
			if name == "key" || name == "key until" {
				dead["no subject"] = true
			}
			for member, m := range family {
				want := ""
				if dead[member] {
					want = "revoked"
				}
				require.Equal(t, want, s.decide(t, m), member)
			}
			// The record says which entry it was, as it is written, also once it is in the large table.
			fresh := newService(t, s.keys, now{memory}, revocation.Options{})
			fresh.refresh(t)
			for member := range dead {
				require.Equal(t, "revoked: "+what.String(), s.detail(t, family[member]), member)
				require.Equal(t, "revoked: "+what.String(), fresh.detail(t, family[member]), member)
			}

			found, err := memory.Unrevoke(ctx, what)
			require.NoError(t, err)
			require.True(t, found)
			s.refresh(t)
			for member, m := range family {
				require.Empty(t, s.decide(t, m), "%s, again", member)
			}
		})
	}
}

// TestIssuedUntil: to the second, with the skew of minters' clocks.
func TestIssuedUntil(t *testing.T) {
	memory := revocation.NewMemory(nil)
	s := filled(t, now{memory})
	at := time.Now().Add(-time.Minute).Truncate(time.Second)
	mint := func(at time.Time) macaroon.Macaroon {
		m, err := s.keys.Mint(t.Context(), macaroon.Grant{Subject: "billing", IssuedAt: at},
			caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
		require.NoError(t, err)
		return m
	}
	require.NoError(t, memory.Revoke(t.Context(), revocation.SubjectUntil("billing", at.Add(999*time.Millisecond)), time.Time{}, ""))
	require.NoError(t, memory.Revoke(t.Context(), revocation.SubjectUntil("billing", at.Add(-time.Hour)), time.Time{}, ""))
	s.refresh(t)
	require.Equal(t, "revoked", s.decide(t, mint(at.Add(-time.Hour))))
	require.Equal(t, "revoked", s.decide(t, mint(at)))
	require.Equal(t, "revoked", s.decide(t, mint(at.Add(5*time.Second))))
	require.Empty(t, s.decide(t, mint(at.Add(6*time.Second))))

	// The later one taken back, the earlier one holds.
	_, err := memory.Unrevoke(t.Context(), revocation.SubjectUntil("billing", at))
	require.NoError(t, err)
	s.refresh(t)
	require.Empty(t, s.decide(t, mint(at)))
	require.Equal(t, "revoked", s.decide(t, mint(at.Add(-time.Hour))))
}

// TestRevokedAs: of several entries one is told, and the next once that is taken back.
func TestRevokedAs(t *testing.T) {
	memory := revocation.NewMemory(nil)
	s := filled(t, now{memory})
	m := attenuate(t, s.mint(t, "billing"), caveat.Branch([16]byte{1}))
	id := identifier(t, m)
	entries := []revocation.What{
		revocation.Branch([16]byte{1}), revocation.Token(id.TokenID),
		revocation.KeyUntil(id.KeyID, id.IssuedAt.Add(time.Second)), revocation.KeyUntil(id.KeyID, id.IssuedAt.Add(time.Minute)), revocation.Key(id.KeyID),
		revocation.SubjectUntil("billing", id.IssuedAt), revocation.Subject("billing"),
	}
	for _, what := range entries {
		require.NoError(t, memory.Revoke(t.Context(), what, time.Time{}, ""))
	}
	require.NoError(t, memory.Revoke(t.Context(), revocation.SubjectUntil("billing", id.IssuedAt.Add(-time.Hour)), time.Time{}, "long before"))
	s.refresh(t)
	for _, what := range entries {
		require.Equal(t, "revoked: "+what.String(), s.detail(t, m))
		_, err := memory.Unrevoke(t.Context(), what)
		require.NoError(t, err)
		s.refresh(t)
	}
	require.Empty(t, s.decide(t, m))

	empty, err := revocation.NewList(memory, bound, revocation.Options{})
	require.NoError(t, err)
	require.Empty(t, empty.RevokedAs(verifier.Revocable{KeyID: id.KeyID}))
	require.Empty(t, new(revocation.List).RevokedAs(verifier.Revocable{}))
}

// TestSkew: what counts is how far the option says that minters' clocks differ.
func TestSkew(t *testing.T) {
	memory := revocation.NewMemory(nil)
	s := newService(t, rootkey.InMemory(), now{memory}, revocation.Options{Skew: time.Minute})
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	require.NoError(t, memory.Revoke(t.Context(), revocation.KeyUntil("k", at), time.Time{}, ""))
	s.refresh(t)
	issued := func(at time.Time) verifier.Revocable { return verifier.Revocable{KeyID: "k", IssuedAt: at} }
	require.True(t, must(s.list.Revoked(issued(at.Add(time.Minute)))))
	require.False(t, must(s.list.Revoked(issued(at.Add(time.Minute+time.Second)))))
}

func TestForeignTokens(t *testing.T) {
	m, v, memory, list := foreignToken(t, "session 42")
	check := func(m macaroon.Macaroon) string {
		text, err := m.Encode()
		require.NoError(t, err)
		return reason(v.VerifyText(t.Context(), text, "orders.read", caveat.Facts{}))
	}
	require.NoError(t, list.Refresh(t.Context()))
	require.Empty(t, check(m))
	require.NoError(t, memory.Revoke(t.Context(), revocation.Subject("session 42"), time.Time{}, "of other tokens"))
	require.NoError(t, list.Refresh(t.Context()))
	require.Empty(t, check(m))
	require.NoError(t, memory.Revoke(t.Context(), revocation.Foreign("session 42"), time.Time{}, ""))
	require.NoError(t, list.Refresh(t.Context()))
	require.Equal(t, "revoked", check(m))
	require.Equal(t, "revoked", check(attenuate(t, m, caveat.Methods("GET"))))
	text, err := m.Encode()
	require.NoError(t, err)
	_, err = v.VerifyText(t.Context(), text, "orders.read", caveat.Facts{})
	refusal, _ := verifier.RefusalOf(err)
	require.Equal(t, "revoked: "+revocation.Foreign("session 42").String(), refusal.Detail())

	_, err = memory.Unrevoke(t.Context(), revocation.Foreign("session 42"))
	require.NoError(t, err)
	require.NoError(t, memory.Revoke(t.Context(), revocation.Branch([16]byte{1}), time.Time{}, ""))
	require.NoError(t, list.Refresh(t.Context()))
	require.Empty(t, check(m))
	require.Equal(t, "revoked", check(attenuate(t, m, caveat.Branch([16]byte{1}))))
}

// TestBranchOfADischarge: a branch counts in any macaroon presented.
func TestBranchOfADischarge(t *testing.T) {
	memory := revocation.NewMemory(nil)
	s := filled(t, now{memory})
	key := bytes.Repeat([]byte{5}, 32)
	d, err := macaroon.New(key, "cid", "")
	require.NoError(t, err)
	w, err := macaroon.NewWallet(s.mint(t, "billing", macaroon.ThirdParty(key, "cid", "")), attenuate(t, d, caveat.Branch([16]byte{1})))
	require.NoError(t, err)
	text, err := w.Encode()
	require.NoError(t, err)
	require.Empty(t, reason(s.VerifyText(t.Context(), text, "orders.read", caveat.Facts{})))
	require.NoError(t, memory.Revoke(t.Context(), revocation.Branch([16]byte{1}), time.Time{}, ""))
	s.refresh(t)
	require.Equal(t, "revoked", reason(s.VerifyText(t.Context(), text, "orders.read", caveat.Facts{})))
}

// TestWhatHoldersCanChange makes no difference: what nobody signed, and what may be appended.
func TestWhatHoldersCanChange(t *testing.T) {
	memory := revocation.NewMemory(nil)
	s := filled(t, now{memory})
	first, second := bytes.Repeat([]byte{5}, 32), bytes.Repeat([]byte{6}, 32)
	token := s.mint(t, "billing", macaroon.ThirdParty(first, "1", "https://idp.internal"), macaroon.ThirdParty(second, "2", ""))
	present := func(token macaroon.Macaroon, change func([]wire.Macaroon)) string {
		w, err := macaroon.NewWallet(token, must(macaroon.New(first, "1", "")), must(macaroon.New(second, "2", "")))
		require.NoError(t, err)
		text := must(must(w.Credential()).MarshalBinary())
		list := must(wire.Decode(nil, nil, string(text), new(wire.Limits(macaroon.Limits{}.WithDefaults()))))
		change(list)
		text = nil
		for i := range list {
			text = wire.Append(text, &list[i])
		}
		var c macaroon.Credential
		require.NoError(t, c.UnmarshalBinary(text))
		return reason(s.Verify(t.Context(), c, "orders.read", caveat.Facts{}))
	}
	for _, want := range []string{"", "revoked"} {
		for name, change := range map[string]func([]wire.Macaroon){
			"nothing":                 func([]wire.Macaroon) {},
			"location":                func(list []wire.Macaroon) { list[0].Location = "https://elsewhere" },
			"location of a caveat":    func(list []wire.Macaroon) { list[0].Caveats[3].Location = "" },
			"location of a discharge": func(list []wire.Macaroon) { list[2].Location = "https://elsewhere" },
			"order of discharges":     func(list []wire.Macaroon) { list[1], list[2] = list[2], list[1] },
		} {
			require.Equal(t, want, present(token, change), name)
			require.Equal(t, want, present(attenuate(t, token, caveat.ExpiresIn(time.Minute)), change), "%s, narrowed", name)
		}
		require.NoError(t, memory.Revoke(t.Context(), revocation.Token(identifier(t, token).TokenID), time.Time{}, ""))
		s.refresh(t)
	}
}

// TestOnlyAuthenticTokensAreRevoked: what is revoked is not told to who forged a token, and
// a token that is both revoked and expired, or lacks a discharge, is revoked.
func TestOnlyAuthenticTokensAreRevoked(t *testing.T) {
	memory := revocation.NewMemory(nil)
	s := filled(t, now{memory})
	token := s.mint(t, "billing")
	require.NoError(t, memory.Revoke(t.Context(), revocation.Token(identifier(t, token).TokenID), time.Time{}, ""))
	s.refresh(t)

	forged, err := macaroon.New([]byte("a key of his own"), token.Identifier(), "")
	require.NoError(t, err)
	require.Equal(t, "signature-mismatch", s.decide(t, attenuate(t, forged, caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("*"))))
	require.Equal(t, "revoked", s.decide(t, attenuate(t, token, caveat.ExpiresAt(time.Now().Add(-time.Second)))))
	require.Equal(t, "revoked", s.decide(t, attenuate(t, token, macaroon.ThirdParty([]byte("k"), "c", "https://idp.internal"))))
}

// TestBound: what is revoked is refused in every process when the bound has passed,
// and when the feed is cut nothing is decided from then on, until it answers again.
func TestBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		memory := revocation.NewMemory(nil)
		keys := rootkey.InMemory()
		cut := &faulty{Feed: memory}
		var services []*service
		for range 3 {
			s := newService(t, keys, cut, revocation.Options{})
			services = append(services, s)
		}
		reckless := newService(t, keys, cut, revocation.Options{InsecureServeStale: true})
		services = append(services, reckless)
		token := services[0].mint(t, "billing")
		other := services[0].mint(t, "shipping")
		for _, s := range services {
			require.Equal(t, "revocation-unknown", s.decide(t, token), "nothing is known yet")
			_, known := s.list.Age()
			require.False(t, known)
			go s.list.Run(ctx)
		}
		time.Sleep(10 * time.Minute)
		for _, s := range services {
			require.Empty(t, s.decide(t, token))
			age, known := s.list.Age()
			require.True(t, known)
			require.LessOrEqual(t, age, bound/2)
		}
		require.NoError(t, memory.Revoke(ctx, revocation.Token(identifier(t, token).TokenID), time.Time{}, ""))
		time.Sleep(bound)
		for _, s := range services {
			require.Equal(t, "revoked", s.decide(t, token))
			require.Empty(t, s.decide(t, other))
		}

		for name, fault := range map[string]func(context.Context, revocation.Batch) (revocation.Batch, error){
			"fails": func(context.Context, revocation.Batch) (revocation.Batch, error) {
				return revocation.Batch{}, errors.New("cut")
			},
			"hangs": func(ctx context.Context, _ revocation.Batch) (revocation.Batch, error) {
				<-ctx.Done()
				return revocation.Batch{}, ctx.Err()
			},
			"hangs and lies": func(ctx context.Context, b revocation.Batch) (revocation.Batch, error) {
				<-ctx.Done()
				return b, nil
			},
			"talks nonsense": func(_ context.Context, b revocation.Batch) (revocation.Batch, error) {
				return revocation.Batch{}, nil
			},
		} {
			cut.fault.Store(&fault)
			late := services[0].mint(t, "late")
			require.NoError(t, memory.Revoke(ctx, revocation.Token(identifier(t, late).TokenID), time.Time{}, ""))
			time.Sleep(2*bound + time.Second)
			for i, s := range services {
				want := "revocation-unknown"
				if s == reckless {
					want = ""
				}
				if name != "hangs and lies" { // whose answers are as good as any, and late
					require.Equal(t, want, s.decide(t, other), "%s: %d", name, i)
				}
				require.NotEqual(t, "", s.decide(t, token), name)
			}
			cut.fault.Store(nil)
			time.Sleep(8 * bound)
			for _, s := range services {
				require.Empty(t, s.decide(t, other), name)
				require.Equal(t, "revoked", s.decide(t, late), name)
			}
		}
		stop()
		synctest.Wait()
		time.Sleep(bound + time.Second)
		require.Equal(t, "revocation-unknown", services[0].decide(t, other))
	})
}

// TestFaultyFeed: whatever a feed does to its answers, a list that says that it is fresh is
// right: changes left out, doubled, out of order, the log reset.
func TestFaultyFeed(t *testing.T) {
	rounds := 300
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		memory := revocation.NewMemory(nil)
		f := &faulty{Feed: now{memory}}
		s := newService(t, rootkey.InMemory(), f, revocation.Options{})
		var family []macaroon.Macaroon
		for i := range 20 {
			family = append(family, s.mint(t, fmt.Sprint("subject ", i%7)))
		}
		truth := map[revocation.What]bool{}
		// Of everything about as much is revoked as is not, or else a change that is left out
		// would make no difference.
		what := func() (w revocation.What, revoke bool) {
			id := identifier(t, family[random.IntN(len(family))])
			switch random.IntN(6) {
			case 0:
				return revocation.Subject(id.Subject), random.IntN(5) == 0
			case 1:
				return revocation.SubjectUntil(id.Subject, id.IssuedAt.Add(time.Duration(random.IntN(3)-6)*time.Second)), random.IntN(5) == 0
			}
			return revocation.Token(id.TokenID), random.IntN(2) == 0
		}
		reset := func() {
			fresh := revocation.NewMemory(nil)
			list, err := memory.List(t.Context())
			require.NoError(t, err)
			for _, e := range list {
				require.NoError(t, fresh.Revoke(t.Context(), e.What, e.Until, ""))
			}
			memory = fresh
			f.Feed = now{memory}
		}
		faults := []func(context.Context, revocation.Batch) (revocation.Batch, error){
			func(_ context.Context, b revocation.Batch) (revocation.Batch, error) { // left out
				if len(b.Changes) > 0 && !b.Full {
					b.Changes = b.Changes[1:]
				}
				return b, nil
			},
			func(_ context.Context, b revocation.Batch) (revocation.Batch, error) { // doubled
				if !b.Full {
					b.Changes = append(b.Changes, b.Changes...)
				}
				return b, nil
			},
			func(_ context.Context, b revocation.Batch) (revocation.Batch, error) { // another one's
				b.From.Seq++
				return b, nil
			},
			func(_ context.Context, b revocation.Batch) (revocation.Batch, error) {
				return revocation.Batch{}, errors.New("cut")
			},
			func(_ context.Context, b revocation.Batch) (revocation.Batch, error) { // of a log that is not known
				b.To.Log = "another"
				return b, nil
			},
		}
		good := 0
		for range rounds {
			for range random.IntN(5) {
				if w, revoke := what(); revoke {
					require.NoError(t, memory.Revoke(t.Context(), w, time.Time{}, ""))
					truth[w] = true
				} else {
					found, err := memory.Unrevoke(t.Context(), w)
					require.NoError(t, err)
					require.Equal(t, truth[w], found)
					delete(truth, w)
				}
			}
			if random.IntN(20) == 0 {
				reset()
			}
			f.fault.Store(nil)
			if random.IntN(2) == 0 {
				f.fault.Store(&faults[random.IntN(len(faults))])
			}
			if err := s.list.Refresh(t.Context()); err != nil {
				continue
			}
			if f.fault.Load() != nil {
				continue // a full load may have been damaged in ways that can't be seen; the next one is whole
			}
			good++
			for _, m := range family {
				id := identifier(t, m)
				dead := truth[revocation.Token(id.TokenID)] || truth[revocation.Subject(id.Subject)]
				for d := -30; d < 30; d++ {
					at := id.IssuedAt.Add(time.Duration(d) * time.Second)
					dead = dead || d >= -5 && truth[revocation.SubjectUntil(id.Subject, at)]
				}
				want := ""
				if dead {
					want = "revoked"
				}
				require.Equal(t, want, s.decide(t, m))
			}
		}
		require.Greater(t, good, rounds/10)
	})
}

// TestManyChanges: the small table of what is recent is folded into the large one, again and
// again, and whoever is far behind gets everything.
func TestManyChanges(t *testing.T) {
	memory := revocation.NewMemory(nil)
	s := filled(t, now{memory})
	behind := filled(t, now{memory})
	behind.keys = s.keys
	token := s.mint(t, "billing")
	what := revocation.Token(identifier(t, token).TokenID)
	first := must(memory.Changes(t.Context(), revocation.Cursor{}, 0)).To
	for i := range 40_000 {
		id := macaroon.TokenID{1, byte(i), byte(i >> 8), byte(i >> 16)}
		require.NoError(t, memory.Revoke(t.Context(), revocation.Token(id), time.Time{}, ""))
		if i%1000 == 0 {
			s.refresh(t)
			require.Empty(t, s.decide(t, token))
		}
	}
	require.NoError(t, memory.Revoke(t.Context(), what, time.Time{}, ""))
	s.refresh(t)
	behind.refresh(t)
	require.True(t, must(memory.Changes(t.Context(), first, 0)).Full)
	require.Equal(t, "revoked", s.decide(t, token))
	list, err := memory.List(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 40_001)
	found, err := memory.Unrevoke(t.Context(), what)
	require.NoError(t, err)
	require.True(t, found)
	s.refresh(t)
	require.Empty(t, s.decide(t, token))
}

// TestListIsTheStore: after many thousand changes to few things, so that what is recent and
// what is folded in speak of the same ones, a list says what the store says.
func TestListIsTheStore(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	memory := revocation.NewMemory(nil)
	followers := []*service{filled(t, now{memory}), filled(t, now{memory})}
	keys := followers[0].keys
	followers[1].Verifier = must(verifier.New(keys, "orders", verifier.Options{Revocations: followers[1].list}))
	const seconds = 2000
	first := time.Now().Add(-2 * seconds * time.Second).Truncate(time.Second)
	latest := map[string]map[int]bool{"a": {}, "b": {}, "c": {}} // seconds up to which each is revoked
	whole := map[string]bool{}
	for round := range 60 {
		for range 400 {
			subject := string("abc"[random.IntN(3)])
			if second := random.IntN(seconds); second == 0 {
				whole[subject] = !whole[subject]
				if whole[subject] {
					require.NoError(t, memory.Revoke(t.Context(), revocation.Subject(subject), time.Time{}, ""))
				} else {
					require.True(t, must(memory.Unrevoke(t.Context(), revocation.Subject(subject))))
				}
			} else if what := revocation.SubjectUntil(subject, first.Add(time.Duration(second)*time.Second)); random.IntN(3) > 0 && second < seconds/2 || round%10 < 4 {
				require.NoError(t, memory.Revoke(t.Context(), what, time.Time{}, ""))
				latest[subject][second] = true
			} else {
				require.Equal(t, latest[subject][second], must(memory.Unrevoke(t.Context(), what)))
				delete(latest[subject], second)
			}
		}
		if round%10 == 9 { // nearly nothing is left
			for subject, all := range latest {
				for second := range all {
					if second%100 != 0 {
						require.True(t, must(memory.Unrevoke(t.Context(), revocation.SubjectUntil(subject, first.Add(time.Duration(second)*time.Second)))))
						delete(all, second)
					}
				}
			}
		}
		followers[0].refresh(t)
		if round%7 == 0 {
			followers[1].refresh(t) // further behind
		}
		fresh, err := revocation.NewList(now{memory}, bound, revocation.Options{})
		require.NoError(t, err)
		require.NoError(t, fresh.Refresh(t.Context()))
		for subject, all := range latest {
			last := -1
			for second := range all {
				last = max(last, second)
			}
			for _, second := range []int{0, last, last + 5, last + 6, seconds + 10} {
				asked := verifier.Revocable{KeyID: "k", Subject: subject, IssuedAt: first.Add(time.Duration(second) * time.Second)}
				want := whole[subject] || second <= last+5 && last >= 0
				require.Equal(t, want, must(fresh.Revoked(asked)), "%s %d, loaded anew", subject, second)
				require.Equal(t, want, must(followers[0].list.Revoked(asked)), "%s %d, round %d", subject, second, round)
				if round%7 == 0 {
					require.Equal(t, want, must(followers[1].list.Revoked(asked)), "%s %d, behind", subject, second)
				}
			}
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestZeroValues refuse and do not panic.
func TestZeroValues(t *testing.T) {
	var list revocation.List
	require.Error(t, list.Refresh(t.Context()))
	_, err := list.Revoked(verifier.Revocable{})
	require.ErrorIs(t, err, revocation.ErrStale)
	require.ErrorContains(t, err, "not been filled yet, by Run or Refresh")
	_, filled := list.Age()
	require.False(t, filled)
	require.NotNil(t, list.Changed())

	var memory revocation.Memory
	require.NoError(t, memory.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""))
	b, err := memory.Changes(t.Context(), revocation.Cursor{}, 0)
	require.NoError(t, err)
	require.Len(t, b.Changes, 1)

	var store revocation.SQL
	require.Error(t, store.Revoke(t.Context(), revocation.Key("k"), time.Time{}, ""))
	_, err = store.Changes(t.Context(), revocation.Cursor{}, 0)
	require.Error(t, err)
}

// TestFeedThatPanics: its code is other people's, and nobody is above Run.
func TestFeedThatPanics(t *testing.T) {
	f := &faulty{Feed: revocation.NewMemory(nil)}
	s := filled(t, f)
	fault := func(context.Context, revocation.Batch) (revocation.Batch, error) { panic("secret") }
	f.fault.Store(&fault)
	err := s.list.Refresh(t.Context())
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
	f.fault.Store(nil)
	s.refresh(t)
}

// TestLostQuestion: one answer that never comes leaves time for another within the bound, so
// that no decision is undecided for it.
func TestLostQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		f := &faulty{Feed: revocation.NewMemory(nil)}
		s := filled(t, f)
		go s.list.Run(ctx)
		token := s.mint(t, "billing")
		for range 20 {
			lost := false
			fault := func(ctx context.Context, b revocation.Batch) (revocation.Batch, error) {
				if !lost {
					lost = true
					<-ctx.Done()
				}
				return b, ctx.Err()
			}
			f.fault.Store(&fault)
			for range 100 {
				time.Sleep(bound / 50)
				require.Empty(t, s.decide(t, token))
			}
			require.True(t, lost)
			f.fault.Store(nil)
			time.Sleep(3 * bound)
		}
	})
}

// TestFeedThatDoesNotWait is not asked without end.
func TestFeedThatDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		asked := 0
		f := &faulty{Feed: now{revocation.NewMemory(nil)}}
		count := func(_ context.Context, b revocation.Batch) (revocation.Batch, error) { asked++; return b, nil }
		f.fault.Store(&count)
		s := newService(t, rootkey.InMemory(), f, revocation.Options{})
		go s.list.Run(ctx)
		time.Sleep(100 * bound)
		stop()
		synctest.Wait()
		require.Less(t, asked, 2000)
		require.Greater(t, asked, 400)
	})
}

func TestNewListRefuses(t *testing.T) {
	memory := revocation.NewMemory(nil)
	for name, make := range map[string]func() (*revocation.List, error){
		"no feed":  func() (*revocation.List, error) { return revocation.NewList(nil, bound, revocation.Options{}) },
		"no bound": func() (*revocation.List, error) { return revocation.NewList(memory, 0, revocation.Options{}) },
		"negative skew": func() (*revocation.List, error) {
			return revocation.NewList(memory, bound, revocation.Options{Skew: -1})
		},
	} {
		list, err := make()
		require.Error(t, err, name)
		require.Nil(t, list, name)
	}
}

// TestConcurrentUse has one memory changed and one list asked by many at once.
func TestConcurrentUse(t *testing.T) {
	memory := new(revocation.Memory)
	list, err := revocation.NewList(now{memory}, time.Hour, revocation.Options{})
	require.NoError(t, err)
	require.NoError(t, list.Refresh(t.Context()))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			key := fmt.Sprint("k", i)
			for range 20 {
				err := memory.Revoke(t.Context(), revocation.Key(key), time.Time{}, "")
				err = errors.Join(err, list.Refresh(t.Context()))
				revoked, err2 := list.Revoked(verifier.Revocable{KeyID: key})
				_, err3 := memory.List(t.Context())
				_, err4 := memory.Prune(t.Context())
				found, err5 := memory.Unrevoke(t.Context(), revocation.Key(key))
				if err := errors.Join(err, err2, err3, err4, err5); err != nil || !revoked || !found {
					t.Error(err, revoked, found)
				}
			}
		})
	}
	all.Wait()
}
