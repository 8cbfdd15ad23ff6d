package verifier_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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
)

// revoked are revocations that a test makes.
type revoked struct {
	mu       sync.Mutex
	tokens   map[string]bool // identifiers
	branches map[[16]byte]bool
	down     bool
}

func (r *revoked) Revoked(t verifier.Revocable) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return false, errDown
	}
	for branch := range t.Branches() {
		if r.branches[branch] {
			return true, nil
		}
	}
	return r.tokens[t.Identifier()], nil
}

func (r *revoked) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// requireSame requires two decisions to be the same in all that they tell.
func requireSame(t testing.TB, who, want *verifier.Verified, err, wantErr error) {
	t.Helper()
	if wantErr != nil {
		require.Nil(t, want)
		require.Nil(t, who, "allowed, where it is not: %v", wantErr)
		requireSameError(t, err, wantErr)
		return
	}
	require.NoError(t, err)
	requireSameIdentity(t, who, want)
	require.Equal(t, want.Expiry(), who.Expiry())
	require.Equal(t, want.Conditions(), who.Conditions())
	require.Equal(t, want.Reference(), who.Reference())
	deadline, ok := who.Deadline()
	wantDeadline, wantOK := want.Deadline()
	require.Equal(t, wantDeadline, deadline)
	require.Equal(t, wantOK, ok)
}

func requireSameError(t testing.TB, err, want error) {
	t.Helper()
	var refusal, wanted *verifier.Error
	require.ErrorAs(t, want, &wanted)
	require.ErrorAs(t, err, &refusal, "%s", wanted.Detail())
	require.Equal(t, wanted.Detail(), refusal.Detail())
	require.Equal(t, wanted.Missing, refusal.Missing)
	for _, sentinel := range []error{verifier.ErrExpired, verifier.ErrRevoked, verifier.ErrMissingDischarge, caveat.ErrUnknown, caveat.ErrMalformed,
		caveat.ErrAbsent, caveat.ErrNotMet, errDown} {
		require.Equal(t, errors.Is(want, sentinel), errors.Is(err, sentinel), sentinel)
	}
}

// model is a world in which everything happens to tokens and keys, and two verifiers in
// it that differ only in that one has a cache.
type model struct {
	t              testing.TB
	rand           *rand.Rand
	mildness       int // one in so many things is bad
	cached, plain  *verifier.Verifier
	revoked        *revoked
	mint           func(caveats ...macaroon.Caveat) macaroon.Macaroon
	asking         macaroon.Caveat // of a minter: for a discharge
	keys           func()          // changes something about keys
	wallets        []macaroon.Wallet
	presented      []macaroon.Credential
	streams        [][2]*verifier.Authentic
	third          int
	allowed, total int
}

func (m *model) one(n int) bool { return m.rand.IntN(n) == 0 }

func pick[T any](m *model, list []T) T { return list[m.rand.IntN(len(list))] }

// keep adds to a list that does not grow for ever.
func keep[T any](m *model, list *[]T, v T) {
	if len(*list) < 24 {
		*list = append(*list, v)
		return
	}
	(*list)[m.rand.IntN(len(*list))] = v
}

// condition is what anybody might append.
func (m *model) condition() macaroon.Caveat {
	if m.bad() {
		return pick(m, append(conditions("unknown x", "allow", "allow orders read", "time-before tomorrow", "time-before", "audience stock", "",
			"error x", "declared user bob", "declared", "declared tenant acme", "http-method get"),
			caveat.NotBefore(time.Now().Add(30*time.Second)), caveat.Operations("stock.read"), caveat.Path("/stock/*"), caveat.Methods("POST"),
			caveat.ExpiresIn(time.Duration(1+m.rand.Int64N(60e9)))))
	}
	return pick(m, []macaroon.Caveat{caveat.ExpiresIn(time.Hour + time.Duration(m.rand.IntN(5))), caveat.NotBefore(time.Now().Add(-time.Minute)),
		caveat.Branch([16]byte{1 + byte(m.rand.IntN(6))}), caveat.Operations(pick(m, []string{read, "orders.*", "*"})), caveat.Deny("stock.*"),
		caveat.Path(pick(m, []string{"/orders/*", "/orders/**", "/**"})), macaroon.Condition(fmt.Sprintf("counted %d", m.rand.IntN(5))),
		caveat.Methods("GET"), caveat.Methods("GET", "POST")})
}

// bad tells whether something is to go wrong here.
func (m *model) bad() bool { return m.one(m.mildness) }

// narrowed gives a wallet of one that is held, with more caveats, and sometimes with
// somebody to ask.
func (m *model) narrowed(w macaroon.Wallet) macaroon.Wallet {
	if w.Primary().Inspect().Caveats().Len() > 50 { // soon there is no room for more
		return w
	}
	var more []macaroon.Caveat
	for range 1 + m.rand.IntN(3) {
		more = append(more, m.condition())
	}
	if m.one(6) {
		m.third++
		name := fmt.Sprint("own", m.third)
		w = m.discharged(w, name)
		more = append(more, thirdParty(name))
	}
	return must(w.Attenuate(more...))(m.t)
}

// discharged adds a discharge, which may need another.
func (m *model) discharged(w macaroon.Wallet, name string) macaroon.Wallet {
	if len(w.Discharges()) > 8 {
		return w
	}
	d := discharge(m.t, name)
	if m.one(2) {
		d = narrow(m.t, d, pick(m, conditions("declared user ann", "declared user ", "declared user ann")), caveat.ExpiresIn(time.Hour))
	}
	if m.one(4) {
		d = narrow(m.t, d, m.condition())
	}
	if m.one(6) {
		m.third++
		nested := fmt.Sprint("nested", m.third)
		d = narrow(m.t, d, thirdParty(nested))
		w = m.discharged(w, nested)
	}
	return must(w.With(d))(m.t)
}

// damaged is a credential after somebody had his hands on it who has no key.
func (m *model) damaged(c macaroon.Credential) (damaged macaroon.Credential) {
	list := must(wire.Decode(nil, nil, string(binary(m.t, c)), new(wire.Limits(macaroon.Limits{}.WithDefaults()))))(m.t)
	i := m.rand.IntN(len(list))
	target := &list[i]
	target.Caveats = slices.Clone(target.Caveats)
	n := len(target.Caveats)
	at := 0
	if n > 0 {
		at = m.rand.IntN(n)
	}
	switch m.rand.IntN(12) {
	case 0:
		target.Caveats = target.Caveats[:at]
	case 1:
		if n > 0 {
			target.Caveats = slices.Delete(target.Caveats, at, at+1)
		}
	case 2:
		if n > 0 {
			other := m.rand.IntN(n)
			target.Caveats[at], target.Caveats[other] = target.Caveats[other], target.Caveats[at]
		}
	case 3:
		target.Caveats = slices.Insert(target.Caveats, at, wire.Caveat{ID: "counted 1"})
	case 4:
		if n > 0 {
			target.Caveats[at].ID = "counted 1"
		}
	case 5:
		target.Signature[m.rand.IntN(32)] ^= 1
	case 6: // locations are anybody's
		target.Location = fmt.Sprint("https://elsewhere/", m.rand.IntN(9))
		for j := range target.Caveats {
			if target.Caveats[j].VerificationID != "" {
				target.Caveats[j].Location = fmt.Sprint("https://elsewhere/", m.rand.IntN(9))
			}
		}
	case 7: // and so is the order of discharges
		m.rand.Shuffle(len(list)-1, func(i, j int) { list[i+1], list[j+1] = list[j+1], list[i+1] })
	case 8:
		if i > 0 {
			list = slices.Delete(list, i, i+1)
		}
	case 9: // parts of two credentials
		other := must(wire.Decode(nil, nil, string(binary(m.t, pick(m, m.presented))), new(wire.Limits(macaroon.Limits{}.WithDefaults()))))(m.t)
		switch m.rand.IntN(4) {
		case 0:
			target.Signature = other[0].Signature
		case 1:
			target.Caveats = append(target.Caveats, other[0].Caveats...)
		case 2:
			list = append(list[:1:1], other[1:]...)
		case 3:
			target.Identifier = other[0].Identifier
		}
	case 10:
		if n > 0 {
			c := &target.Caveats[at]
			if c.VerificationID != "" {
				c.VerificationID = ""
				c.Location = ""
			} else {
				c.VerificationID = string(make([]byte, wire.VerificationIDSize))
			}
		}
	case 11:
		list = append(list, list[len(list)-1])
	}
	var data []byte
	for i := range list {
		data = wire.Append(data, &list[i])
	}
	if err := damaged.UnmarshalBinary(data); err != nil {
		return c
	}
	return damaged
}

func (m *model) facts() (operation string, facts caveat.Facts) {
	operation, facts = read, caveat.Facts{Method: "GET", Path: "/orders/7"}
	if m.bad() {
		operation = pick(m, []string{"orders.list", "stock.read", verifier.AnyOperation, ""})
	}
	if m.bad() {
		facts = caveat.Facts{Method: pick(m, []string{"GET", "POST", ""}), Path: pick(m, []string{"/orders/7", "/stock/7", ""})}
	}
	return operation, facts
}

func (m *model) verify(c macaroon.Credential) {
	m.t.Helper()
	operation, facts := m.facts()
	want, wantErr := m.plain.Verify(ctx, c, operation, facts)
	m.total++
	if wantErr == nil {
		m.allowed++
	}
	who, err := m.cached.Verify(ctx, c, operation, facts)
	requireSame(m.t, who, want, err, wantErr)

	text := must(c.Encode())(m.t)
	who, err = m.cached.VerifyText(ctx, text, operation, facts)
	want, wantErr = m.plain.VerifyText(ctx, text, operation, facts)
	requireSame(m.t, who, want, err, wantErr)
}

// step does one thing, whatever it is.
func (m *model) step() {
	switch n := m.rand.IntN(100); {
	case n < 6 || len(m.wallets) == 0:
		var caveats []macaroon.Caveat
		for range m.rand.IntN(3) {
			caveats = append(caveats, m.condition())
		}
		asks := m.one(3)
		if asks {
			caveats = append(caveats, m.asking)
		}
		w := must(macaroon.NewWallet(m.mint(caveats...)))(m.t)
		if asks && !m.one(5) {
			w = m.discharged(w, "idp")
		}
		keep(m, &m.wallets, w)
	case n < 25:
		keep(m, &m.wallets, m.narrowed(pick(m, m.wallets)))
	case n < 45:
		w := pick(m, m.wallets)
		c, err := w.Credential()
		if err != nil { // a discharge is left over
			c = must(must(macaroon.NewWallet(w.Primary()))(m.t).Credential())(m.t)
		}
		keep(m, &m.presented, c)
		m.verify(c)
	case len(m.presented) == 0:
	case n < 75:
		m.verify(pick(m, m.presented))
	case n < 83:
		m.verify(m.damaged(pick(m, m.presented)))
	case n < 86:
		c := pick(m, m.presented)
		cached, err := m.cached.Authenticate(ctx, c)
		plain, wantErr := m.plain.Authenticate(ctx, c)
		if wantErr != nil {
			requireSameError(m.t, err, wantErr)
			return
		}
		require.NoError(m.t, err)
		keep(m, &m.streams, [2]*verifier.Authentic{cached, plain})
	case n < 91 && len(m.streams) > 0:
		both := pick(m, m.streams)
		operation, facts := m.facts()
		who, err := both[0].Check(ctx, operation, facts)
		want, wantErr := both[1].Check(ctx, operation, facts)
		requireSame(m.t, who, want, err, wantErr)
	case n < 95:
		time.Sleep(time.Duration(m.rand.Int64N(int64(15 * time.Second))))
	case !m.bad():
		m.verify(pick(m, m.presented))
	case n < 96:
		time.Sleep(time.Duration(m.rand.Int64N(int64(20 * time.Minute))))
	case n < 98:
		identifier, branch := pick(m, m.presented).Inspect().At(0).Identifier(), [16]byte{1 + byte(m.rand.IntN(4))}
		down := m.one(8)
		m.revoked.set(func() {
			switch m.rand.IntN(4) {
			case 0:
				m.revoked.tokens[identifier] = true
			case 1:
				m.revoked.branches[branch] = true
			default:
				clear(m.revoked.branches)
			}
			m.revoked.down = down
		})
	default:
		m.keys()
	}
}

// A verifier with a cache and one without agree, whatever happens.
func TestCacheModel(t *testing.T) {
	t.Parallel()
	runs, steps := 9, 600 // each size with each mildness
	if long {
		runs, steps = 400, 3000
	}
	var hits, partial, evictions uint64
	var allowed, total int
	for run := range runs {
		for name, world := range map[string]func(m *model, cached, plain verifier.Options){
			"keyring": keyringWorld, "foreign": foreignWorld, "no epoch": timedWorld,
		} {
			synctest.Test(t, func(t *testing.T) {
				seed := uint64(run)
				m := &model{t: t, mildness: []int{3, 10, 40}[run/3%3], asking: asking("idp", "user"), rand: rand.New(rand.NewPCG(seed, 1)), revoked: &revoked{tokens: map[string]bool{}, branches: map[[16]byte]bool{}}}
				registry, _ := counted(t)
				plain := verifier.Options{Registry: registry, Revocations: m.revoked, CacheBytes: -1, Leeway: time.Duration(run%2) * time.Second}
				cached := plain
				cached.CacheBytes = []int{0, 1 << 19, 1 << 18}[run%3]
				world(m, cached, plain)
				step := 0
				defer func() {
					if t.Failed() {
						t.Logf("%s, seed %d, step %d", name, seed, step)
					}
				}()
				for step = range steps {
					m.step()
					synctest.Wait()
				}
				stats := m.cached.Stats()
				hits, partial, evictions = hits+stats.Hits, partial+stats.PartialHits, evictions+stats.Evictions
				allowed, total = allowed+m.allowed, total+m.total
				require.Zero(t, m.plain.Stats())
				if cached.CacheBytes > 0 {
					require.LessOrEqual(t, stats.Bytes, cached.CacheBytes)
				}
			})
		}
	}
	// It was about something.
	require.Greater(t, hits, uint64(total/8))
	require.Greater(t, partial, uint64(total/50))
	require.Positive(t, evictions)
	require.Greater(t, allowed, total/8)
	require.Less(t, allowed, total*7/8)
}

func keyringWorld(m *model, cached, plain verifier.Options) {
	t := m.t
	keys := must(rootkey.Open(ctx, rootkey.NewMemoryStore(), rootkey.Options{}))(t)
	m.cached, m.plain = must(verifier.New(keys, "orders", cached))(t), must(verifier.New(keys, "orders", plain))(t)
	m.mint = func(caveats ...macaroon.Caveat) macaroon.Macaroon {
		needed := []macaroon.Caveat{caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations(read, "orders.list")}
		grant := macaroon.Grant{Subject: pick(m, []string{"billing", "ann", ""}), IssuedAt: time.Now()}
		for {
			for _, key := range must(keys.Keys(ctx))(t) {
				if key.State == rootkey.Minting {
					return must(macaroon.Mint(ctx, keys, key.ID, grant, append(needed, caveats...)...))(t)
				}
			}
			must(keys.Rotate(ctx))(t)
			time.Sleep(2 * time.Minute)
		}
	}
	m.keys = func() {
		list := must(keys.Keys(ctx))(t)
		switch key := pick(m, list); m.rand.IntN(4) {
		case 0, 1:
			must(keys.Rotate(ctx))(t)
		case 2:
			// Refused where no key would mint.
			_ = keys.Retire(ctx, key.ID, time.Now().Add(time.Duration(m.rand.IntN(60))*time.Second))
		case 3:
			_ = keys.Delete(ctx, key.ID)
		}
	}
}

// foreignSource is a source of one key, of which a test decides what it grants.
type foreignSource struct {
	fake  *fakeSource
	grant verifier.ForeignGrant
}

func (s *foreignSource) ForeignRootSignature(ctx context.Context, identifier string) (sig [32]byte, grant verifier.ForeignGrant, found bool, err error) {
	sig, found, err = s.fake.RootSignature(ctx, identifier)
	return sig, s.grant, found, err
}

func (s *foreignSource) Epoch() (uint64, error) { return withEpoch{s.fake}.Epoch() }

func foreignWorld(m *model, cached, plain verifier.Options) {
	t := m.t
	source := &foreignSource{newFakeSource(), verifier.ForeignGrant{MinterCaveats: 2, Operations: []string{"*"}}}
	m.cached, m.plain = must(verifier.NewForeign(source, "orders", cached))(t), must(verifier.NewForeign(source, "orders", plain))(t)
	m.asking = thirdParty("idp")
	key := byte('0')
	source.fake.key = func() []byte { return bytes.Repeat([]byte{'k', key}, 16) }
	m.mint = func(caveats ...macaroon.Caveat) macaroon.Macaroon {
		// Few identifiers, so that many tokens share one.
		token := must(macaroon.New(source.fake.key(), fmt.Sprint("identifier ", m.rand.IntN(5)), ""))(t)
		return narrow(t, token, append([]macaroon.Caveat{caveat.ExpiresIn(time.Hour), caveat.Audience("orders")}, caveats...)...)
	}
	m.keys = func() {
		switch m.rand.IntN(5) {
		case 0:
			key = '0' + byte(m.rand.IntN(2))
		case 1:
			source.grant.MinterCaveats = m.rand.IntN(4) - 1
		case 2, 3:
			source.grant.Operations = pick(m, [][]string{{"*"}, {"orders.*"}, {"orders.*", "stock.*"}, nil})
		case 4:
			source.fake.gone.Store(m.one(2))
		}
		source.fake.epoch.Add(1)
		source.fake.broken.Store(m.one(10))
	}
}

// timedWorld has a source without an epoch, whose changes are looked at once nobody
// relies on what it said before.
func timedWorld(m *model, cached, plain verifier.Options) {
	t := m.t
	source := newFakeSource()
	cached.CacheFor = 10 * time.Second
	m.cached, m.plain = must(verifier.New(source, "orders", cached))(t), must(verifier.New(source, "orders", plain))(t)
	key := byte('0')
	source.key = func() []byte { return bytes.Repeat([]byte{'k', key}, 16) }
	m.mint = func(caveats ...macaroon.Caveat) macaroon.Macaroon {
		source.gone.Store(false)
		time.Sleep(cached.CacheFor)
		return mintFrom(t, source, caveats...)
	}
	m.keys = func() {
		if m.one(2) {
			key = '0' + byte(m.rand.IntN(2))
		} else {
			source.gone.Store(m.one(2))
		}
		time.Sleep(cached.CacheFor)
	}
}
