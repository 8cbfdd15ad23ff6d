package verifier_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/internal/wire"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
)

var get = caveat.Facts{Method: "GET", Path: "/orders/7"}

// counts is what happened to a cache between two looks at it.
type counts struct{ hits, partial, misses uint64 }

// counting gives a function that tells what happened since it was called last.
func counting(v *verifier.Verifier) func() counts {
	var last verifier.Stats
	return func() counts {
		now := v.Stats()
		c := counts{now.Hits - last.Hits, now.PartialHits - last.PartialHits, now.Misses - last.Misses}
		last = now
		return c
	}
}

var (
	hit     = counts{hits: 1}
	partial = counts{partial: 1}
	miss    = counts{misses: 1}
)

// decode takes a credential apart, as those can who have no key.
func decode(t testing.TB, c macaroon.Credential) []wire.Macaroon {
	t.Helper()
	return must(wire.Decode(nil, nil, string(binary(t, c)), new(wire.Limits(macaroon.Limits{}.WithDefaults()))))(t)
}

func encode(t testing.TB, list ...wire.Macaroon) (c macaroon.Credential) {
	t.Helper()
	var data []byte
	for i := range list {
		data = wire.Append(data, &list[i])
	}
	require.NoError(t, c.UnmarshalBinary(data))
	return c
}

func (s service) allow(t testing.TB, c macaroon.Credential) *verifier.Verified {
	t.Helper()
	return must(s.Verify(ctx, c, read, get))(t)
}

// What was seen is not computed again, and only that. A link of a first-party caveat is
// one HMAC, of a third-party one three; so is binding.
func TestCacheCounts(t *testing.T) {
	s := newService(t, verifier.Options{})
	since := counting(s.Verifier)
	work := func(c macaroon.Credential) int {
		links, ok := s.Work(ctx, c)
		require.True(t, ok)
		return links
	}
	token := s.mint(t, caveat.Methods("GET"), caveat.Path("/orders/*"))
	c := present(t, token)
	require.Equal(t, 5, work(c))
	s.allow(t, c)
	require.Equal(t, miss, since())
	require.Zero(t, work(c))
	for range 3 {
		s.allow(t, c)
		require.Equal(t, hit, since())
	}
	text := must(c.Encode())(t)
	for range 3 {
		_, err := s.VerifyText(ctx, text, read, get)
		require.NoError(t, err)
		require.Equal(t, hit, since())
	}

	narrowed := narrow(t, token, caveat.Methods("GET"), caveat.Path("/orders/7"))
	require.Equal(t, 2, work(present(t, narrowed)))
	s.allow(t, present(t, narrowed))
	require.Equal(t, partial, since())
	s.allow(t, present(t, narrowed))
	require.Equal(t, hit, since())
	require.Equal(t, 1, work(present(t, narrow(t, narrowed, caveat.Methods("GET")))))
	cut := decode(t, present(t, s.mint(t)))
	cut[0].Caveats = cut[0].Caveats[:1]
	_, ok := s.Work(ctx, encode(t, cut...))
	require.False(t, ok)

	// Discharges: the key in the verification id, the discharge, its binding.
	asks := narrow(t, token, thirdParty("a"))
	d := discharge(t, "a", caveat.Path("/orders/*"), caveat.ExpiresIn(time.Hour))
	both := present(t, asks, d)
	require.Equal(t, 3+1+2+3, work(both))
	s.allow(t, both)
	require.Equal(t, partial, since())
	require.Zero(t, work(both))
	s.allow(t, both)
	require.Equal(t, hit, since())
	require.Equal(t, 1+3, work(present(t, asks, narrow(t, d, caveat.Methods("GET")))), "a discharge that was narrowed")
	require.Equal(t, 1+3, work(present(t, narrow(t, asks, caveat.Methods("GET")), d)), "a discharge bound to another")
	require.Equal(t, 2+3, work(present(t, asks, discharge(t, "a", caveat.ExpiresIn(time.Minute), caveat.Methods("GET")))), "another discharge")

	other := s.mint(t)
	s.allow(t, present(t, other))
	require.Equal(t, miss, since())
}

// Nothing is authenticated about a location, nor about the order of discharges: whoever
// changes them changes nothing else.
func TestCacheSharesWhatIsNotAuthenticated(t *testing.T) {
	s := newService(t, verifier.Options{})
	since := counting(s.Verifier)
	c := present(t, s.mint(t, thirdParty("a"), thirdParty("b")), discharge(t, "a", caveat.Methods("GET")), discharge(t, "b", caveat.Path("/orders/*")))
	s.allow(t, c)
	require.Equal(t, miss, since())
	plain := must(verifier.New(s.keys, "orders", verifier.Options{CacheBytes: -1}))(t)
	for name, change := range map[string]func(list []wire.Macaroon){
		"location":                func(list []wire.Macaroon) { list[0].Location = "https://elsewhere" },
		"location of a caveat":    func(list []wire.Macaroon) { list[0].Caveats[3].Location = "https://elsewhere" },
		"location of a discharge": func(list []wire.Macaroon) { list[2].Location = "https://elsewhere" },
		"order of discharges":     func(list []wire.Macaroon) { list[1], list[2] = list[2], list[1] },
	} {
		list := decode(t, c)
		change(list)
		for range 3 { // also once it can be found by its text
			changed := must(must(s.Parse(ctx, must(encode(t, list...).Encode())(t), nil))(t).MarshalBinary())(t)
			require.Equal(t, binary(t, encode(t, list...)), changed, "%s: what is presented stays what it is", name)
			known := s.allow(t, encode(t, list...))
			require.Equal(t, hit, since(), name)
			require.Equal(t, must(plain.Verify(ctx, encode(t, list...), read, get))(t).Conditions(), known.Conditions(), "%s: in the order presented", name)
		}
	}
	// Without one of them it says where to go, as the caveat has it now.
	list := decode(t, c)
	list[0].Caveats[3].Location = "https://elsewhere"
	_, err := s.Verify(ctx, encode(t, list[0], list[2]), read, get)
	require.ErrorIs(t, err, verifier.ErrMissingDischarge)
	require.Equal(t, "https://elsewhere", refused(t, verifier.MissingDischarge, nil, err).Missing[0].Location)
}

// Whatever is put together from what was seen, without a key, is refused as if nothing
// had been seen.
func TestCacheAdversary(t *testing.T) {
	t.Parallel()
	registry, calls := counted(t)
	source := newFakeSource()
	s := must(verifier.New(withEpoch{source}, "orders", verifier.Options{Registry: registry}))(t)
	cold := must(verifier.New(withEpoch{source}, "orders", verifier.Options{Registry: registry, CacheBytes: -1}))(t)
	count := macaroon.Condition("counted 1")
	token := mintFrom(t, source, count, thirdParty("a"), thirdParty("b"), macaroon.Condition("counted "+strings.Repeat("2", wire.VerificationIDSize)))
	a, b := discharge(t, "a", count, thirdParty("c")), discharge(t, "b", count)
	nested := discharge(t, "c", count)
	short := mintFrom(t, source)
	seen := []macaroon.Credential{
		present(t, token, a, b, nested), present(t, narrow(t, token, count), a, b, nested), present(t, token, narrow(t, a, count), b, nested),
		present(t, short), present(t, narrow(t, short, count)), present(t, narrow(t, short, count, count)),
	}
	for range 3 {
		for _, c := range seen {
			require.NoError(t, verifyErr(s, c))
		}
	}
	var all []wire.Macaroon
	for _, c := range seen {
		all = append(all, decode(t, c)...)
	}
	since := counting(s)
	since()

	tried := 0
	try := func(list ...wire.Macaroon) {
		var data []byte
		for i := range list {
			data = wire.Append(data, &list[i])
		}
		var c macaroon.Credential
		if err := c.UnmarshalBinary(data); err != nil {
			return
		}
		tried++
		calls.Store(0)
		wantErr := verifyErr(cold, c)
		wanted := calls.Swap(0)
		err := verifyErr(s, c)
		require.Equal(t, wantErr == nil, err == nil)
		require.Equal(t, wanted, calls.Load(), "conditions are looked at each time")
		if wantErr != nil {
			requireSameError(t, err, wantErr)
			require.Zero(t, wanted)
		}
	}
	for _, c := range seen {
		for i := range decode(t, c) {
			change := func(f func(m *wire.Macaroon)) {
				list := decode(t, c)
				f(&list[i])
				try(list...)
			}
			for j := range decode(t, c)[i].Caveats {
				change(func(m *wire.Macaroon) { m.Caveats = slices.Delete(m.Caveats, j, j+1) })
				change(func(m *wire.Macaroon) { m.Caveats = m.Caveats[:j] })
				change(func(m *wire.Macaroon) { m.Caveats = slices.Insert(m.Caveats, j, wire.Caveat{ID: "counted 1"}) })
				change(func(m *wire.Macaroon) { m.Caveats = slices.Insert(m.Caveats, j, m.Caveats[j]) })
				for k := range decode(t, c)[i].Caveats {
					change(func(m *wire.Macaroon) { m.Caveats[j], m.Caveats[k] = m.Caveats[k], m.Caveats[j] })
				}
				for _, other := range all {
					for _, theirs := range other.Caveats {
						change(func(m *wire.Macaroon) { m.Caveats[j] = theirs })
						change(func(m *wire.Macaroon) { m.Caveats[j].VerificationID = theirs.VerificationID })
						change(func(m *wire.Macaroon) { m.Caveats[j].ID = theirs.ID })
					}
				}
				change(func(m *wire.Macaroon) { m.Caveats[j].VerificationID, m.Caveats[j].Location = "", "" })
				change(func(m *wire.Macaroon) { moveBoundary(&m.Caveats[j]) })
				change(func(m *wire.Macaroon) { m.Caveats[j].VerificationID = strings.Repeat("x", wire.VerificationIDSize) })
			}
			for _, other := range all {
				change(func(m *wire.Macaroon) { m.Signature = other.Signature })
				change(func(m *wire.Macaroon) { m.Identifier = other.Identifier })
				change(func(m *wire.Macaroon) { m.Caveats = other.Caveats })
				change(func(m *wire.Macaroon) { *m = other })
				change(func(m *wire.Macaroon) { m.Identifier, m.Caveats = other.Identifier, other.Caveats })
				try(append(decode(t, c), other)...)
			}
			list := decode(t, c)
			try(slices.Delete(list, i, i+1)...)
		}
	}
	require.Greater(t, tried, 1000)

	// Every bit of what is authenticated.
	good := binary(t, seen[0])
	unlocated := withoutLocations(t, good)
	for i := range good {
		for bit := range 8 {
			data := bytes.Clone(good)
			data[i] ^= 1 << bit
			var c macaroon.Credential
			if err := c.UnmarshalBinary(data); err != nil || slices.Equal(withoutLocations(t, data), unlocated) {
				continue
			}
			require.ErrorIs(t, verifyErr(s, c), verifier.ErrUnauthenticated, "byte %d, bit %d", i, bit)
		}
	}
}

// moveBoundary makes a third-party caveat of a condition, or the other way round, of the same
// bytes in the same order.
func moveBoundary(c *wire.Caveat) {
	all := c.ID + c.VerificationID
	end := len(all)
	if c.VerificationID == "" {
		end = max(0, end-wire.VerificationIDSize)
	}
	*c = wire.Caveat{ID: all[:end], VerificationID: all[end:]}
}

func verifyErr(v *verifier.Verifier, c macaroon.Credential) error {
	_, err := v.Verify(ctx, c, read, get)
	return err
}

// A holder appends a caveat with the id of the minter's, sealed under a key of his own.
// What discharges his is no discharge of the minter's, however well it is known.
func TestCacheCaveatIDs(t *testing.T) {
	s := newService(t, verifier.Options{})
	own := macaroon.ThirdParty([]byte("my own key"), "a", "")
	forged := must(macaroon.New([]byte("my own key"), "a", ""))(t)
	real := discharge(t, "a")
	plain := s.mint(t)
	token := narrow(t, plain, thirdParty("a"))
	both, nested := narrow(t, token, thirdParty("b")), narrow(t, real, thirdParty("b"))
	for range 3 {
		s.allow(t, present(t, token, real))
		s.allow(t, present(t, both, real, discharge(t, "b")))
		s.allow(t, present(t, token, nested, discharge(t, "b")))
		s.allow(t, present(t, narrow(t, plain, own), forged))
		for _, c := range []macaroon.Credential{
			present(t, token, forged),
			present(t, narrow(t, token, own), forged),
			present(t, narrow(t, token, own), real),
			present(t, narrow(t, plain, own), real),
			present(t, narrow(t, plain, own, thirdParty("a")), forged),
			present(t, token, narrow(t, real, own)),
			present(t, both, nested, discharge(t, "b")), // one for two, each of which is known
		} {
			require.ErrorIs(t, verifyErr(s.Verifier, c), verifier.ErrUnauthenticated)
		}
	}
}

// fickle is the codec of an application that reads what it read before no more.
type fickle struct{ reads *int }

func (f fickle) Parse(argument string) (string, error) {
	if *f.reads++; *f.reads > 1 {
		return "", errDown
	}
	return argument, nil
}

func (f fickle) Format(value string) (string, error) { return value, nil }

// A condition that was met before, and can't be read any more, denies.
func TestCacheConditionUnreadable(t *testing.T) {
	reads := 0
	kind := caveat.Define("fickle", fickle{&reads}, func(context.Context, *caveat.Request, string) error { return nil })
	s := newService(t, verifier.Options{Registry: must(caveat.Standard().With(kind))(t)})
	c := present(t, s.mint(t, macaroon.Condition("fickle x")))
	s.allow(t, c)
	for range 3 {
		verified, err := s.Verify(ctx, c, read, get)
		refused(t, verifier.CaveatFailed, verified, err)
	}
}

// Only what was allowed is kept. An expired token, one that is denied, one that lacks a
// discharge, one of an unknown key: all of them may be had in any number.
func TestCacheKeepsOnlyWhatWasAllowed(t *testing.T) {
	s := newService(t, verifier.Options{})
	stranger := newService(t, verifier.Options{})
	before := s.Stats().Bytes
	for name, c := range map[string]macaroon.Credential{
		"denied":            present(t, s.mint(t, caveat.Methods("POST"))),
		"expired":           present(t, s.mint(t, caveat.ExpiresAt(time.Now().Add(-time.Second)))),
		"missing discharge": present(t, s.mint(t, thirdParty("a"))),
		"forged discharge":  present(t, s.mint(t, thirdParty("a")), narrow(t, must(macaroon.New([]byte("guessed"), "a", ""))(t))),
		"unknown key":       present(t, stranger.mint(t)),
	} {
		for range 3 {
			require.Error(t, verifyErr(s.Verifier, c), name)
		}
		require.Equal(t, before, s.Stats().Bytes, name)
		require.Zero(t, s.Stats().Hits, name)
	}
	a := must(s.Authenticate(ctx, present(t, s.mint(t))))(t)
	require.Equal(t, before, s.Stats().Bytes, "authentic, and nothing decided")
	_, err := a.Check(ctx, "stock.read", get)
	require.ErrorIs(t, err, verifier.ErrDenied)
	require.Equal(t, before, s.Stats().Bytes, "denied")
	for range 3 {
		_, err = a.Check(ctx, read, get)
		require.NoError(t, err)
	}
	after := s.Stats().Bytes
	require.Greater(t, after, before)

	audit := must(verifier.New(s.keys, "orders", verifier.Options{Revocations: &revoked{down: true}}))(t)
	before = audit.Stats().Bytes
	require.ErrorIs(t, verifyErr(audit, present(t, s.mint(t))), verifier.ErrUndecided)
	require.Equal(t, before, audit.Stats().Bytes, "undecided")
}

// What takes away a token takes it away on the next request, however warm it is.
func TestCacheRevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := must(rootkey.Open(ctx, rootkey.NewMemoryStore(), rootkey.Options{}))(t)
		list := &revoked{tokens: map[string]bool{}, branches: map[[16]byte]bool{}}
		v := must(verifier.New(keys, "orders", verifier.Options{Revocations: list}))(t)
		s := service{v, keys}
		warm := func(caveats ...macaroon.Caveat) macaroon.Credential {
			needed := []macaroon.Caveat{caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations(read)}
			token := must(keys.Mint(ctx, macaroon.Grant{}, append(needed, caveats...)...))(t)
			c := present(t, token)
			since := counting(v)
			since()
			for range 3 {
				s.allow(t, c)
			}
			require.Equal(t, counts{hits: 2, misses: 1}, since())
			return c
		}
		require.NoError(t, verifyErr(v, warm()))

		c := warm()
		list.set(func() { list.tokens[c.Inspect().At(0).Identifier()] = true })
		require.ErrorIs(t, verifyErr(v, c), verifier.ErrRevoked)
		list.set(func() { clear(list.tokens) })
		require.NoError(t, verifyErr(v, c))

		c = warm(caveat.Branch([16]byte{9}))
		list.set(func() { list.branches[[16]byte{9}] = true })
		require.ErrorIs(t, verifyErr(v, c), verifier.ErrRevoked)
		list.set(func() { list.down = true })
		require.ErrorIs(t, verifyErr(v, c), verifier.ErrUndecided)
		list.set(func() { list.down = false })

		c = warm(caveat.ExpiresIn(time.Minute))
		time.Sleep(time.Minute)
		require.ErrorIs(t, verifyErr(v, c), verifier.ErrExpired)

		c = warm(caveat.NotBefore(time.Now()))
		id := must(keys.Rotate(ctx))(t).ID
		require.NoError(t, verifyErr(v, c), "another key is no news for this one")
		time.Sleep(2 * time.Minute) // until the new one mints
		old := c
		c = warm()
		require.NoError(t, keys.Retire(ctx, keyIDOf(t, old), time.Now().Add(5*time.Second)))
		require.NoError(t, verifyErr(v, old))
		time.Sleep(5 * time.Second)
		require.Equal(t, verifier.UnknownKey, reasonOf(t, verifyErr(v, old)), "retired by time passing alone")

		require.Equal(t, id, keyIDOf(t, c))
		must(keys.Rotate(ctx))(t)
		time.Sleep(2 * time.Minute)
		require.NoError(t, verifyErr(v, c))
		require.NoError(t, keys.Delete(ctx, id))
		require.Equal(t, verifier.UnknownKey, reasonOf(t, verifyErr(v, c)), "deleted")
	})
}

func keyIDOf(t testing.TB, c macaroon.Credential) string {
	t.Helper()
	return must(macaroon.ParseIdentifier(c.Inspect().At(0).Identifier()))(t).KeyID
}

func reasonOf(t testing.TB, err error) verifier.Reason {
	t.Helper()
	var refusal *verifier.Error
	require.ErrorAs(t, err, &refusal)
	return refusal.Reason
}

// order tells in which order a source was asked.
type order struct {
	*fakeSource
	calls []string
}

func (s *order) RootSignature(ctx context.Context, identifier string) ([32]byte, bool, error) {
	s.calls = append(s.calls, "sign")
	return s.fakeSource.RootSignature(ctx, identifier)
}

func (s *order) Epoch() (uint64, error) {
	s.calls = append(s.calls, "epoch")
	return withEpoch{s.fakeSource}.Epoch()
}

// The epoch is read first, and once; what an answer was good for is the epoch from
// before it. A key that is replaced while it is asked for is not kept beyond that.
func TestCacheEpoch(t *testing.T) {
	source := &order{fakeSource: newFakeSource()}
	v := must(verifier.New(source, "orders", verifier.Options{}))(t)
	c := present(t, mintFrom(t, source.fakeSource))
	calls := func() []string { return slices.Clip(source.calls) }
	do := func() error { source.calls = nil; return verifyErr(v, c) }

	require.NoError(t, do())
	require.Equal(t, []string{"epoch", "sign"}, calls())
	require.NoError(t, do())
	require.Equal(t, []string{"epoch"}, calls())
	source.epoch.Add(1)
	require.NoError(t, do())
	require.Equal(t, []string{"epoch", "sign"}, calls(), "asked again")
	require.NoError(t, do())
	require.Equal(t, []string{"epoch"}, calls())

	text := must(c.Encode())(t)
	require.True(t, v.Remembers(text))
	doText := func() error { source.calls = nil; _, err := v.VerifyText(ctx, text, read, get); return err }
	require.NoError(t, doText())
	require.Equal(t, []string{"epoch"}, calls())
	source.epoch.Add(1)
	require.NoError(t, doText())
	require.Equal(t, []string{"epoch", "sign"}, calls(), "asked again, by its text too")
	source.broken.Store(true)
	require.ErrorIs(t, doText(), verifier.ErrUndecided)
	require.Equal(t, []string{"epoch"}, calls())
	require.ErrorIs(t, do(), verifier.ErrUndecided)
	source.broken.Store(false)
	source.gone.Store(true)
	require.NoError(t, do(), "a source has to tell")
	source.epoch.Add(1)
	require.Equal(t, verifier.UnknownKey, reasonOf(t, do()))
	source.gone.Store(false)
	source.key = func() []byte { return []byte("another key of thirty-two bytes.") }
	require.Equal(t, verifier.SignatureMismatch, reasonOf(t, do()))
	source.key = newFakeSource().key
	source.epoch.Add(1)
	require.NoError(t, do())

	// The key is replaced between the two questions.
	late := &replacing{fakeSource: newFakeSource()}
	v = must(verifier.New(late, "orders", verifier.Options{}))(t)
	c = present(t, mintFrom(t, newFakeSource()))
	require.NoError(t, verifyErr(v, c))
	require.Equal(t, verifier.UnknownKey, reasonOf(t, verifyErr(v, c)))
}

// replacing is a source whose key goes as soon as it was asked for its epoch.
type replacing struct {
	*fakeSource
	asks int
}

func (s *replacing) Epoch() (uint64, error) { return s.epoch.Add(1), nil }

func (s *replacing) RootSignature(ctx context.Context, identifier string) ([32]byte, bool, error) {
	if s.asks++; s.asks > 1 {
		return [32]byte{}, false, nil
	}
	return s.fakeSource.RootSignature(ctx, identifier)
}

// A token whose key was replaced by another of the same name goes, and one under the new
// key comes in its place, though both have the same identifier.
func TestCacheTwoKeysOneIdentifier(t *testing.T) {
	source := newFakeSource()
	v := must(verifier.New(withEpoch{source}, "orders", verifier.Options{}))(t)
	since := counting(v)
	id := string(must(macaroon.Identifier{KeyID: "k", IssuedAt: time.Now(), Caveats: 3}.MarshalBinary())(t))
	mint := func() macaroon.Credential {
		m := must(macaroon.New(source.key(), id, ""))(t)
		return present(t, narrow(t, m, caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations(read)))
	}
	first := mint()
	require.NoError(t, verifyErr(v, first))
	require.NoError(t, verifyErr(v, first))
	require.Equal(t, counts{hits: 1, misses: 1}, since())
	bytes := v.Stats().Bytes

	source.key = func() []byte { return []byte("another key of thirty-two bytes.") }
	source.epoch.Add(1)
	second := mint()
	require.NoError(t, verifyErr(v, second))
	require.Equal(t, verifier.SignatureMismatch, reasonOf(t, verifyErr(v, first)))
	require.NoError(t, verifyErr(v, second))
	require.Equal(t, counts{hits: 1, misses: 1}, since())
	require.Equal(t, bytes, v.Stats().Bytes, "in the place of the first")
}

// Tokens of one identifier, which a foreign minter may give to many, have nothing in
// common but what they begin with.
func TestCacheOneIdentifier(t *testing.T) {
	v := foreignVerifier(t, verifier.Options{})
	token := must(macaroon.New(foreignKey, "identifier", ""))(t)
	since := counting(v)
	for i := range 40 {
		c := present(t, narrow(t, token, macaroon.Condition(fmt.Sprint("http-method GET M", i)), caveat.Methods("GET")))
		other := decode(t, c)
		other[0].Caveats[0].ID = fmt.Sprint("http-method GET M", i+1)
		for range 3 {
			require.NoError(t, verifyErr(v, c))
			require.Equal(t, verifier.SignatureMismatch, reasonOf(t, verifyErr(v, encode(t, other...))))
		}
	}
	got := since()
	require.EqualValues(t, 1, got.misses)
	require.Greater(t, got.hits, uint64(40))
}

// What a discharge says is not the minter's word, also where another token of the same
// identifier has it from its minter.
func TestCacheDischargeIsNotTheMinters(t *testing.T) {
	source := newFakeSource()
	v := must(verifier.New(withEpoch{source}, "orders", verifier.Options{}))(t)
	id := string(must(macaroon.Identifier{KeyID: "k", IssuedAt: time.Now(), Caveats: 4}.MarshalBinary())(t))
	both := narrow(t, must(macaroon.New(source.key(), id, ""))(t), thirdParty("idp"), caveat.Operations(read))
	whole := narrow(t, both, caveat.ExpiresIn(time.Hour), caveat.Audience("orders"))
	d := discharge(t, "idp", caveat.ExpiresIn(time.Hour), caveat.Audience("orders"))
	for range 3 {
		require.NoError(t, verifyErr(v, present(t, whole, d)))
	}
	require.EqualValues(t, 2, v.Stats().Hits)
	for reason, lacking := range map[verifier.Reason]macaroon.Macaroon{
		verifier.NoExpiry:   narrow(t, both, caveat.Audience("orders"), caveat.Methods("GET")),
		verifier.NoAudience: narrow(t, both, caveat.ExpiresIn(time.Hour), caveat.Methods("GET")),
	} {
		require.Equal(t, reason, reasonOf(t, verifyErr(v, present(t, lacking, d))))
	}
	require.EqualValues(t, 2, v.Stats().PartialHits)
}

// A grant from elsewhere goes when the source says something else.
func TestCacheForeignGrant(t *testing.T) {
	source := &foreignSource{newFakeSource(), verifier.ForeignGrant{MinterCaveats: 2, Operations: []string{read}}}
	v := must(verifier.NewForeign(source, "orders", verifier.Options{}))(t)
	token := must(macaroon.New(source.fake.key(), "identifier", ""))(t)
	c := present(t, narrow(t, token, caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Methods("GET")))
	since := counting(v)
	require.NoError(t, verifyErr(v, c))
	require.NoError(t, verifyErr(v, c))
	require.Equal(t, counts{hits: 1, misses: 1}, since())
	source.grant.Operations[0] = "stock.read" // which it must not: what is kept is a copy
	require.NoError(t, verifyErr(v, c))

	for _, row := range []struct {
		grant  verifier.ForeignGrant
		reason verifier.Reason
	}{
		{verifier.ForeignGrant{MinterCaveats: 2, Operations: []string{"stock.read"}}, verifier.NotGranted},
		{verifier.ForeignGrant{MinterCaveats: 2}, verifier.NotGranted},
		{verifier.ForeignGrant{MinterCaveats: 1, Operations: []string{read}}, verifier.NoAudience},
		{verifier.ForeignGrant{MinterCaveats: 1, Operations: []string{read, "stock.read"}}, verifier.NoAudience},
		{verifier.ForeignGrant{MinterCaveats: 4, Operations: []string{read}}, verifier.Malformed},
	} {
		source.grant = row.grant
		source.fake.epoch.Add(1)
		require.Equal(t, row.reason, reasonOf(t, verifyErr(v, c)))
		source.grant = verifier.ForeignGrant{MinterCaveats: 2, Operations: []string{read, "stock.read"}}
		source.fake.epoch.Add(1)
		require.NoError(t, verifyErr(v, c))
	}
}

// A grant that changes between [Verifier.Authenticate] and [Authentic.Check] takes the place
// of the one that was kept, with all the memory that it takes, or none if that is too much.
func TestCacheGrantOfStream(t *testing.T) {
	source := &foreignSource{newFakeSource(), verifier.ForeignGrant{MinterCaveats: 2, Operations: []string{read}}}
	v := must(verifier.NewForeign(source, "orders", verifier.Options{}))(t)
	token := must(macaroon.New(source.fake.key(), "identifier", ""))(t)
	c := present(t, narrow(t, token, caveat.ExpiresIn(time.Hour), caveat.Audience("orders")))
	empty := v.Stats().Bytes
	require.NoError(t, verifyErr(v, c))
	before := v.Stats().Bytes
	check := func(operations int) {
		a := must(v.Authenticate(ctx, c))(t)
		list := []string{read}
		for i := range operations {
			list = append(list, fmt.Sprintf("stock.%01000d", i))
		}
		source.grant = verifier.ForeignGrant{MinterCaveats: 2, Operations: list}
		source.fake.epoch.Add(1)
		_, err := a.Check(ctx, read, get)
		require.NoError(t, err)
	}
	check(20)
	require.GreaterOrEqual(t, v.Stats().Bytes-before, 20*1000)
	check(0)
	require.Equal(t, before, v.Stats().Bytes)
	since := counting(v)
	since()
	require.NoError(t, verifyErr(v, c))
	require.Equal(t, hit, since())
	check(200) // more than the share of an identifier
	require.LessOrEqual(t, v.Stats().Bytes-empty, 4<<20/64)
	require.NoError(t, verifyErr(v, c))
}

// Without an epoch nothing is kept, unless somebody says for how long.
func TestCacheFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource()
		never := must(verifier.New(source, "orders", verifier.Options{}))(t)
		v := must(verifier.New(source, "orders", verifier.Options{CacheFor: time.Minute}))(t)
		c := present(t, mintFrom(t, source))
		asked := func() int64 { return source.asked.Swap(0) }
		asked()
		for range 3 {
			require.NoError(t, verifyErr(never, c))
			require.EqualValues(t, 1, asked())
		}
		require.Zero(t, never.Stats())

		require.NoError(t, verifyErr(v, c))
		require.EqualValues(t, 1, asked())
		time.Sleep(time.Minute - time.Nanosecond)
		require.NoError(t, verifyErr(v, c))
		require.Zero(t, asked())
		time.Sleep(time.Nanosecond)
		require.NoError(t, verifyErr(v, c))
		require.EqualValues(t, 1, asked(), "a minute after it was asked")
		source.gone.Store(true)
		time.Sleep(time.Minute - time.Nanosecond)
		require.NoError(t, verifyErr(v, c), "what was said before")
		time.Sleep(time.Nanosecond)
		require.Equal(t, verifier.UnknownKey, reasonOf(t, verifyErr(v, c)))
	})
}

func TestCacheOptions(t *testing.T) {
	_, err := verifier.New(newFakeSource(), "orders", verifier.Options{CacheFor: -1})
	require.ErrorContains(t, err, "cache for")
	s := newService(t, verifier.Options{CacheBytes: -1})
	c := present(t, s.mint(t))
	for range 3 {
		s.allow(t, c)
	}
	require.Zero(t, s.Stats())
	require.Zero(t, (&verifier.Verifier{}).Stats())
	tables := func(size int) int { return newService(t, verifier.Options{CacheBytes: size}).Stats().Bytes }
	require.Equal(t, tables(4<<20), tables(0))
	require.NotEqual(t, tables(4<<20-1), tables(0), "the smallest that has such tables")
	require.NotEqual(t, tables(8<<20), tables(0))
	for _, size := range []int{1, 100, 1 << 12, 1 << 16, 1 << 18, 1<<20 + 1} { // however small
		s := newService(t, verifier.Options{CacheBytes: size})
		for range 100 {
			c := present(t, s.mint(t))
			s.allow(t, c)
			s.allow(t, c)
		}
		if size >= 1<<14 {
			require.LessOrEqual(t, s.Stats().Bytes, size)
		}
		if size >= 1<<18 {
			require.Positive(t, s.Stats().Hits, size)
		}
	}
}

func amount(n int) int {
	if long {
		return n
	}
	return n / 50
}

// Tokens that are nobody's leave no trace, whatever of the good ones they repeat.
func TestCacheGarbage(t *testing.T) {
	t.Parallel()
	s := newService(t, verifier.Options{CacheBytes: 1 << 20})
	stranger := newService(t, verifier.Options{})
	var good []macaroon.Credential
	for range 100 {
		good = append(good, present(t, s.mint(t, caveat.Methods("GET"))))
	}
	for range 2 {
		for _, c := range good {
			s.allow(t, c)
		}
	}
	before := s.Stats()
	random := rand.New(rand.NewPCG(1, 2))
	foreign := decode(t, present(t, stranger.mint(t)))
	for i := range amount(1_000_000) {
		m := decode(t, good[i%len(good)])
		switch i % 4 {
		case 0:
			m[0].Signature[random.IntN(32)] ^= 1
		case 1:
			m[0].Caveats = append(m[0].Caveats, wire.Caveat{ID: fmt.Sprint("http-method GET ", i)})
		case 2:
			m = slices.Clone(foreign)
			m[0].Signature[random.IntN(32)] ^= 1
		case 3:
			id := []byte(m[0].Identifier)
			id[len(id)-20] ^= byte(1 + random.IntN(255))
			m[0].Identifier = string(id)
		}
		require.ErrorIs(t, verifyErr(s.Verifier, encode(t, m...)), verifier.ErrUnauthenticated)
	}
	require.Equal(t, before, s.Stats())
	since := counting(s.Verifier)
	since()
	for _, c := range good {
		s.allow(t, c)
	}
	require.Equal(t, counts{hits: 100}, since())
}

// Whoever holds one token can make as many of it as he likes, narrower and with
// discharges of his own, and present each as often as he likes. Nobody else's is
// forgotten for that.
func TestCacheVariants(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	s := newService(t, verifier.Options{CacheBytes: size})
	mine := s.mint(t)
	s.allow(t, present(t, mine))
	var others []macaroon.Credential
	for s.Stats().Evictions == 0 { // until it is full
		others = append(others, present(t, s.mint(t, caveat.Methods("GET"))))
		s.allow(t, others[len(others)-1])
	}
	since := counting(s.Verifier)
	since()
	for range 2 {
		for _, c := range others {
			s.allow(t, c)
		}
	}
	require.Positive(t, since().hits)
	s.allow(t, present(t, mine)) // if the others cost it its place, now it costs one of them his

	// Those that are there now are there afterwards.
	var there []macaroon.Credential
	for _, c := range others {
		if links, ok := s.Work(ctx, c); ok && links == 0 {
			there = append(there, c)
		}
	}
	require.Greater(t, len(there), 100)
	own := narrow(t, mine, thirdParty("own"))
	for i := range amount(1_000_000) {
		distinct := macaroon.Condition(fmt.Sprintf("http-method GET M%d x%s", i, strings.Repeat("x", i%300)))
		c := present(t, narrow(t, mine, distinct))
		if i%3 == 0 {
			c = present(t, narrow(t, own, distinct), discharge(t, "own", distinct))
		}
		for range 2 {
			s.allow(t, c)
		}
	}
	for _, c := range there {
		links, ok := s.Work(ctx, c)
		require.True(t, ok)
		require.Zero(t, links)
	}
	require.LessOrEqual(t, s.Stats().Bytes, size)
}

// Many holders with many variants each take no room from those who come for the first
// time.
func TestCacheVariantsOfMany(t *testing.T) {
	t.Parallel()
	const holders = 40
	fit := func(variants int) (tokens int) {
		s := newService(t, verifier.Options{CacheBytes: 1 << 20})
		for range holders {
			token := s.mint(t)
			s.allow(t, present(t, token))
			for i := range variants {
				c := present(t, narrow(t, token, macaroon.Condition(fmt.Sprintf("http-method GET M%d %0800d", i, i))))
				for range 3 {
					s.allow(t, c)
				}
			}
		}
		for before := s.Stats().Evictions; s.Stats().Evictions == before; tokens++ {
			s.allow(t, present(t, s.mint(t)))
		}
		return tokens
	}
	require.Greater(t, fit(40), fit(0)/2) // where a set of the table fills up first is a matter of luck
}

// Nor do variants cost those anything who have not come for a while, in a cache that has
// room and in one that has none.
func TestCacheVariantsAndIdle(t *testing.T) {
	t.Parallel()
	for _, many := range []int{20, 200} {
		var now atomic.Int64
		s := newService(t, verifier.Options{CacheBytes: 1 << 20, Now: func() time.Time { return time.Now().Add(time.Duration(now.Load())) }})
		mine := s.mint(t)
		s.allow(t, present(t, mine))
		var texts []string
		for range many {
			token := s.mint(t)
			for range 3 {
				for _, c := range []macaroon.Credential{present(t, token), present(t, narrow(t, token, caveat.Methods("GET")))} {
					s.allow(t, c)
					if text := must(c.Encode())(t); s.Remembers(text) {
						texts = append(texts, text)
					}
				}
			}
		}
		require.Equal(t, many == 20, s.Remembers(texts[0]) && len(texts) == 4*many, "whether there is room")

		now.Store(int64(11 * time.Minute))
		s.allow(t, present(t, mine)) // he comes back, which may cost some of them theirs
		texts = slices.DeleteFunc(texts, func(text string) bool { return !s.Remembers(text) })
		require.Greater(t, len(texts), 60)
		for i := range 500 {
			c := present(t, narrow(t, mine, macaroon.Condition(fmt.Sprintf("http-method GET M%d x%s", i, strings.Repeat("x", i)))))
			for range 3 {
				s.allow(t, c)
			}
		}
		for _, text := range texts {
			require.True(t, s.Remembers(text))
		}
	}
}

// Those who came first and have not been seen for a while leave what they have besides
// their first credential, though their tokens are good for a long time: texts, and what
// was narrowed. Their place is still theirs.
func TestCacheIdle(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	s := newService(t, verifier.Options{CacheBytes: 1 << 20, Now: func() time.Time { return time.Now().Add(time.Duration(now.Load())) }})
	come := func(times int) (c macaroon.Credential, text string) {
		token := s.mint(t, caveat.Methods("GET"))
		c = present(t, token)
		for range times {
			s.allow(t, c)
			s.allow(t, present(t, narrow(t, token, caveat.Methods("GET"))))
		}
		return c, must(c.Encode())(t)
	}
	var early []macaroon.Credential
	var texts []string
	for { // until there is no room for one more
		c, text := come(3)
		if !s.Remembers(text) {
			break
		}
		early, texts = append(early, c), append(texts, text)
	}
	require.Greater(t, len(early), 30)
	evictions := s.Stats().Evictions
	for range 50 {
		_, text := come(40)
		require.False(t, s.Remembers(text), "nobody gives way to those who come often")
	}
	require.Equal(t, evictions, s.Stats().Evictions)

	now.Store(int64(9 * time.Minute))
	s.allow(t, early[0])
	now.Store(int64(11 * time.Minute))
	came := 0
	for range 50 {
		if _, text := come(40); s.Remembers(text) {
			came++
		}
	}
	require.Greater(t, came, 15)
	require.True(t, s.Remembers(texts[0]), "it was seen lately")
	var back []int
	for i, c := range early {
		links, ok := s.Work(ctx, c)
		require.True(t, ok)
		require.Zero(t, links, "its first credential")
		if !s.Remembers(texts[i]) {
			back = append(back, i)
		}
	}
	require.NotEmpty(t, back)
	now.Store(int64(30 * time.Minute))
	again := 0
	for _, i := range back {
		if s.allow(t, early[i]); s.Remembers(texts[i]) {
			again++
		}
	}
	require.Greater(t, again, len(back)/2, "who comes back is as one who is new")
}

// Who has pushed out his own first credential by large ones does not keep their room for
// as long as he is away.
func TestCacheIdleWithoutFirst(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	s := newService(t, verifier.Options{CacheBytes: 1 << 20, Now: func() time.Time { return time.Now().Add(time.Duration(now.Load())) }})
	for range 200 {
		token := s.mint(t)
		s.allow(t, present(t, narrow(t, token, caveat.Methods("GET"))))
		for i := range 6 {
			c := present(t, narrow(t, token, macaroon.Condition(fmt.Sprintf("http-method GET M%d %s", i, strings.Repeat("x", 4000)))))
			for range 3 {
				s.allow(t, c)
			}
		}
	}
	comes := func() bool {
		c := present(t, s.mint(t))
		for range 40 {
			s.allow(t, c)
		}
		return s.Remembers(must(c.Encode())(t))
	}
	now.Store(int64(11 * time.Minute))
	came := 0
	for range 50 {
		if comes() {
			came++
		}
	}
	require.Greater(t, came, 20)
}

// Whose first credential has expired, and who then came with a larger one for which there was
// no room, has nothing left. That is no trouble for those who come after him.
func TestCacheIdleWithNothing(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(now.Load())) }
	s := newService(t, verifier.Options{CacheBytes: 1 << 20, Now: clock})
	large := func(i, size int) macaroon.Condition {
		return macaroon.Condition(fmt.Sprintf("http-method GET M%d %s", i, strings.Repeat("x", size)))
	}
	var tokens []macaroon.Macaroon
	for range 100 {
		token := s.mint(t)
		s.allow(t, present(t, narrow(t, token, caveat.ExpiresAt(clock().Add(30*time.Second)))))
		tokens = append(tokens, token)
	}
	var others []macaroon.Credential
	for range 30 { // they take the room that all share, and stay
		token := s.mint(t)
		for i := range 8 {
			others = append(others, present(t, narrow(t, token, large(i, 1000))))
			s.allow(t, others[len(others)-1])
		}
	}
	now.Store(int64(2 * time.Minute))
	for _, token := range tokens {
		s.allow(t, present(t, narrow(t, token, large(0, 2000))))
	}
	for _, minutes := range []int{8, 13} {
		now.Store(int64(minutes) * int64(time.Minute))
		for _, c := range others {
			s.allow(t, c)
		}
	}
	for range 300 {
		s.allow(t, present(t, s.mint(t)))
	}
	require.LessOrEqual(t, s.Stats().Bytes, 1<<20)
}

// Whose credentials have all expired when he comes with one for which there was no room is
// forgotten himself. Nothing is added to what is no longer found, and he begins anew.
func TestCacheForgetsWhoComes(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(now.Load())) }
	// In so small a cache, whoever looks for what has expired looks at all that may be.
	s := newService(t, verifier.Options{CacheBytes: 500 << 10, Now: clock})
	empty := s.Stats().Bytes
	token := s.mint(t)
	soon := clock().Add(30 * time.Second)
	for i := range 16 { // his whole share
		c := present(t, narrow(t, token, caveat.ExpiresAt(soon.Add(time.Duration(i)))))
		for range 3 {
			s.allow(t, c)
		}
	}
	require.Greater(t, s.Stats().Bytes, empty)
	since := counting(s.Verifier)
	since()
	large := present(t, narrow(t, token, macaroon.Condition("http-method GET "+strings.Repeat("X", 1500))))
	now.Store(int64(2 * time.Minute))
	s.allow(t, large)
	s.allow(t, large) // it has come again, so that it is worth room
	require.Equal(t, counts{partial: 2}, since())
	require.Equal(t, empty, s.Stats().Bytes)
	s.allow(t, large)
	require.Equal(t, miss, since())
	s.allow(t, large)
	require.Equal(t, hit, since())
}

// In a cache that has room, one identifier takes its share and no more.
func TestCacheShareOfIdentifier(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	s := newService(t, verifier.Options{})
	empty := s.Stats().Bytes
	mine := s.mint(t)
	for i := range 2000 {
		c := present(t, narrow(t, mine, macaroon.Condition(fmt.Sprintf("http-method GET M%d %s", i, strings.Repeat("x", 4000-i)))))
		for range 3 {
			s.allow(t, c)
		}
		require.LessOrEqual(t, s.Stats().Bytes-empty, size/64)
	}
	require.Positive(t, s.Stats().Evictions)

	few := s.mint(t)
	var list []macaroon.Credential
	for i := range 100 {
		list = append(list, present(t, narrow(t, few, macaroon.Condition(fmt.Sprint("http-method GET M", i)))))
		for range 3 {
			s.allow(t, list[i])
		}
	}
	known := 0
	for _, c := range list {
		if links, ok := s.Work(ctx, c); ok && links == 0 {
			known++
		}
	}
	require.LessOrEqual(t, known, 16)
	require.GreaterOrEqual(t, known, 15)
}

// Texts that end alike, with one discharge that is everybody's, are still told apart, also
// when they are more than there are places for them.
func TestCacheTextsThatEndAlike(t *testing.T) {
	s := newService(t, verifier.Options{})
	token, last := s.mint(t, thirdParty("a"), thirdParty("b")), discharge(t, "b", caveat.ExpiresIn(time.Hour))
	text := func(method int) string {
		a := discharge(t, "a", caveat.Methods(fmt.Sprintf("M%02d", method)))
		return must(present(t, token, a, last).Encode())(t)
	}
	first := text(0)
	for range 5 {
		for i := range 16 {
			text := text(i)
			require.Len(t, text, len(first))
			require.Equal(t, first[len(first)-64:], text[len(text)-64:])
			for _, method := range []int{i, i + 1, i, i - 1, i} {
				_, err := s.VerifyText(ctx, text, read, caveat.Facts{Method: fmt.Sprintf("M%02d", method)})
				require.Equal(t, method == i, err == nil)
			}
		}
	}
	require.Greater(t, s.Stats().Hits, uint64(300))
}

// What is used stays, what is not used goes.
func TestCacheEvictsByUse(t *testing.T) {
	t.Parallel()
	s := newService(t, verifier.Options{CacheBytes: 1 << 20})
	var used []macaroon.Credential
	for range 60 {
		used = append(used, present(t, s.mint(t)))
	}
	since := counting(s.Verifier)
	for i := range 5000 {
		s.allow(t, used[i%len(used)])
		s.allow(t, present(t, s.mint(t))) // never comes again
	}
	require.Greater(t, s.Stats().Evictions, uint64(3000))
	require.Greater(t, since().hits, uint64(4800))

	// And so within one identifier: the way on which new ones branch off is used.
	base := s.mint(t)
	delegate := narrow(t, base, caveat.Methods("GET"), caveat.Path("/orders/*"))
	s.allow(t, present(t, base))
	since()
	for i := range 500 {
		s.allow(t, present(t, narrow(t, delegate, caveat.ExpiresIn(time.Hour+time.Duration(i)))))
		s.allow(t, present(t, base))
	}
	links, ok := s.Work(ctx, present(t, narrow(t, delegate, caveat.ExpiresIn(time.Minute))))
	require.True(t, ok)
	require.Equal(t, 1, links)
	require.Equal(t, counts{hits: 500, partial: 500}, since())
}

// Of the branches of an entry only those go that were not used, whichever stand before them.
func TestCacheEvictsBranchesByUse(t *testing.T) {
	t.Parallel()
	const rounds = 20
	lost, gone := uint64(0), uint64(0)
	for range 5 { // now and then an entry's place is one that few others come near
		s := newService(t, verifier.Options{CacheBytes: 1 << 19})
		token := s.mint(t)
		var used []macaroon.Credential
		for i := range 2 {
			used = append(used, present(t, narrow(t, token, caveat.Branch([16]byte{1, byte(i)}))))
		}
		idle := present(t, narrow(t, token, caveat.Branch([16]byte{2})))
		since := counting(s.Verifier)
		lost, gone = 0, 0
		for range rounds {
			s.allow(t, idle)
			gone += since().partial
			for range 700 { // more than there is room for
				for _, c := range used {
					s.allow(t, c)
				}
				lost += since().partial
				s.allow(t, present(t, s.mint(t)))
				since()
			}
		}
		if gone > rounds/4 {
			break
		}
	}
	require.Greater(t, gone, uint64(rounds/4))
	require.Less(t, lost, uint64(rounds/2)) // luck has its share, since all of an entry may go
}

// Bytes is what is really taken, or more.
func TestCacheCountsItsMemory(t *testing.T) {
	heap := func() int {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	for name, present := range map[string]func(s service) string{
		"few caveats": func(s service) string {
			return must(narrow(t, s.mint(t), caveat.Methods("GET"), caveat.Path("/orders/*")).Encode())(t)
		},
		"many caveats": func(s service) string {
			many := slices.Repeat([]macaroon.Caveat{caveat.Methods("GET", "A", "B", "C", "D", "E", "F", "G")}, 40)
			return must(s.mint(t, many...).Encode())(t)
		},
		"discharges": func(s service) string {
			return must(present(t, s.mint(t, thirdParty("a"), thirdParty("b")), discharge(t, "a", caveat.Methods("GET")), discharge(t, "b")).Encode())(t)
		},
		"expiries": func(s service) string {
			return must(s.mint(t, slices.Repeat([]macaroon.Caveat{caveat.ExpiresIn(time.Hour)}, 50)...).Encode())(t)
		},
		"long conditions": func(s service) string {
			return must(s.mint(t, macaroon.Condition("http-method GET"+strings.Repeat(" X", 1500))).Encode())(t)
		},
	} {
		keys := rootkey.InMemory()
		before := heap()
		s := service{must(verifier.New(keys, "orders", verifier.Options{CacheBytes: 2 << 20}))(t), keys}
		for s.Stats().Evictions < 300 { // what is forgotten is gone
			text := present(s)
			for range 4 {
				must(s.VerifyText(ctx, text, read, get))(t)
			}
			// Where one expiry can't be read, the others are conditions like any other.
			if w, err := must(macaroon.Parse(text))(t).Wallet(); err == nil {
				c := must(must(w.Attenuate(macaroon.Condition("time-before x")))(t).Credential())(t)
				require.ErrorIs(t, verifyErr(s.Verifier, c), verifier.ErrDenied)
			}
		}
		taken := heap() - before
		counted := s.Stats().Bytes
		require.LessOrEqual(t, taken, counted+counted/50, name)
		require.GreaterOrEqual(t, taken, counted/3, "%s: and not much less", name)
		runtime.KeepAlive(s)
	}
}

// Nothing of what a warm cache holds prints.
func TestCacheDoesNotPrint(t *testing.T) {
	source := newFakeSource()
	v := must(verifier.New(withEpoch{source}, "orders", verifier.Options{}))(t)
	m := mintFrom(t, source, thirdParty("a"))
	c := present(t, m, discharge(t, "a"))
	for range 4 {
		require.NoError(t, verifyErr(v, c))
	}
	var secrets [][]byte
	for _, part := range decode(t, c) {
		secrets = append(secrets, part.Signature[:])
	}
	derived, caveatKey := chain.DeriveKey(source.key()), chain.DeriveKey([]byte("key of a"))
	secrets = append(secrets, derived[:], caveatKey[:])
	type holder struct{ inside *verifier.Verifier }
	a := must(v.Authenticate(ctx, c))(t)
	for _, value := range []any{v, *v, holder{v}, &holder{v}, []*verifier.Verifier{v}, map[string]any{"": v}, a, []any{a}} { //nolint:govet
		for verb := rune('A'); verb <= 'z'; verb++ {
			for _, flags := range []string{"%", "%+", "%#"} {
				out := fmt.Sprintf(flags+string(verb), value)
				for _, secret := range secrets {
					require.NotContains(t, out, string(secret))
					require.NotContains(t, strings.ToLower(out), hex.EncodeToString(secret))
					require.NotContains(t, out, strings.Trim(fmt.Sprint(secret), "[]"))
				}
				require.NotContains(t, out, "time-before")
			}
		}
	}
}

// Many at once, in a cache that is too small for them: each decision is the right one.
func TestCacheConcurrently(t *testing.T) {
	t.Parallel()
	keys := rootkey.InMemory()
	for _, size := range []int{0, 1 << 18} {
		s := service{must(verifier.New(keys, "orders", verifier.Options{CacheBytes: size}))(t), keys}
		var bases []macaroon.Macaroon
		for range 40 {
			bases = append(bases, s.mint(t, thirdParty("a")))
		}
		var all sync.WaitGroup
		for worker := range 6 {
			all.Go(func() {
				random := rand.New(rand.NewPCG(uint64(worker), 3))
				for range amount(20_000) {
					base := bases[random.IntN(len(bases))]
					d := discharge(t, "a", macaroon.Condition(fmt.Sprint("http-method GET M", random.IntN(4))))
					method := []string{"GET", "GET", "POST"}[random.IntN(3)]
					token := base
					if random.IntN(2) == 0 {
						token = narrow(t, token, caveat.Methods(method), macaroon.Condition(fmt.Sprint("http-method GET M", random.IntN(30))))
					} else {
						method = "GET"
					}
					c := present(t, token, d)
					text := must(c.Encode())(t)
					if random.IntN(4) == 0 {
						list := decode(t, c)
						list[random.IntN(2)].Signature[random.IntN(32)] ^= 1
						_, err := s.Verify(ctx, encode(t, list...), read, get)
						if !errors.Is(err, verifier.ErrUnauthenticated) {
							t.Error("forged, and not refused as such")
						}
					}
					for range 2 {
						_, err := s.VerifyText(ctx, text, read, get)
						if (err == nil) != (method == "GET") {
							t.Errorf("method %s: %v", method, err)
						}
					}
				}
			})
		}
		all.Wait()
		if size > 0 {
			require.LessOrEqual(t, s.Stats().Bytes, size)
			require.Positive(t, s.Stats().Evictions)
		}
		require.Positive(t, s.Stats().Hits)
	}
}

// A context that ends while conditions are looked at ends the decision, also where the
// next ones need no checker.
func TestCacheContextEnds(t *testing.T) {
	type key struct{}
	ends := caveat.Define("ends", caveat.Text, func(ctx context.Context, _ *caveat.Request, _ string) error {
		if end, ok := ctx.Value(key{}).(context.CancelFunc); ok {
			end()
		}
		return nil
	})
	registry := must(caveat.Standard().With(ends))(t)
	for name, bytes := range map[string]int{"warm": 0, "cold": -1} {
		s := newService(t, verifier.Options{Registry: registry, CacheBytes: bytes})
		text := must(s.mint(t, ends.Of("now"), caveat.Methods("GET")).Encode())(t)
		for range 4 {
			must(s.VerifyText(ctx, text, read, caveat.Facts{Method: "GET"}))(t)
		}
		ending, cancel := context.WithCancel(ctx)
		_, err := s.VerifyText(context.WithValue(ending, key{}, cancel), text, read, caveat.Facts{Method: "GET"})
		var refused *verifier.Error
		require.ErrorAs(t, err, &refused, name)
		require.Equal(t, verifier.ContextDone, refused.Reason, name)
		require.Equal(t, 4, refused.Caveat, name)
	}
}
