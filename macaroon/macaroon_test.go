package macaroon_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	v2 "gopkg.in/macaroon.v2"

	"github.com/amaretti-go/amaretti/macaroon"
)

// The first vector of libmacaroons' README.
func TestKnownAnswer(t *testing.T) {
	m := mustNew(t, "this is our super secret key; only we should know it", "we used our secret key", "http://mybank/",
		macaroon.Condition("account = 3735928559"), macaroon.Condition("time < 2020-01-01T00:00"), macaroon.Condition("email = alice@example.org"))
	data, err := m.MarshalBinary()
	require.NoError(t, err)
	require.Equal(t, "02010e687474703a2f2f6d7962616e6b2f021677652075736564206f757220736563726574206b65790002146163636f756e74203d203337333539323835353900021774696d65203c20323032302d30312d30315430303a3030000219656d61696c203d20616c696365406578616d706c652e6f726700000620ddf553e46083e55b8d71ab822be3d8fcf21d6bf19c40d617bb9fb438934474b6", hex.EncodeToString(data))
	require.Equal(t, "http://mybank/", m.Location())
	require.Equal(t, "we used our secret key", m.Identifier())
}

func TestAttenuateLeavesTheParentAlone(t *testing.T) {
	for size := range 12 { // with room for more caveats, and without
		t.Run(fmt.Sprint(size), func(t *testing.T) { attenuateLeavesAlone(t, size) })
	}
}

func attenuateLeavesAlone(t *testing.T, size int) {
	parent := mustNew(t, "key", "id", "", many(size)...)
	before := text(t, parent)
	var children sync.Map
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			child, err := parent.Attenuate(macaroon.Condition(strings.Repeat("c", i+1)))
			if err == nil {
				children.Store(i, child)
			}
		})
	}
	wg.Wait()
	require.Equal(t, before, text(t, parent))
	for i := range 32 {
		child, ok := children.Load(i)
		require.True(t, ok)
		require.Equal(t, strings.Repeat("c", i+1), child.(macaroon.Macaroon).Inspect().Caveats().At(size).ID)
		require.NoError(t, asV2(t, child.(macaroon.Macaroon)).Verify([]byte("key"), anything, nil))
	}
}

func TestAttenuateByNothing(t *testing.T) {
	m := mustNew(t, "key", "id", "")
	same, err := m.Attenuate()
	require.NoError(t, err)
	require.Equal(t, text(t, m), text(t, same))
}

// failingCaveat can't be written.
type failingCaveat struct{}

var errCaveat = errors.New("can't be written")

func (failingCaveat) Condition() (string, error) { return "fallback", errCaveat }

// counting counts how often it is asked.
type counting struct {
	macaroon.ThirdPartyCaveat
	conditions, thirdParties, attests int
	keys                              []string
}

func (c *counting) Condition() (string, error) { c.conditions++; return c.ThirdPartyCaveat.Condition() }
func (c *counting) Attests() []string          { c.attests++; return c.keys }
func (c *counting) ThirdParty() (rootKey []byte, caveatID, location string, err error) {
	c.thirdParties++
	return c.ThirdPartyCaveat.ThirdParty()
}

// hiding wraps a third-party caveat and loses what makes it one.
type hiding struct{ macaroon.Caveat }

func (h hiding) Condition() (string, error) { return h.Caveat.Condition() }

func TestAttenuateNeverFailsSilently(t *testing.T) {
	m := mustNew(t, "key", "id", "")
	third := macaroon.ThirdParty([]byte("caveat key"), "caveat id", "http://auth/")
	asking := &counting{ThirdPartyCaveat: third, keys: []string{"user"}}
	for name, c := range map[string]macaroon.Caveat{
		"a caveat that can't be written": failingCaveat{},
		"nil":                            nil,
		"third party without root key":   macaroon.ThirdParty(nil, "id", ""),
		"third party behind a wrapper":   hiding{third},
		"asks for attributes":            asking,
		"condition too long":             macaroon.Condition(strings.Repeat("x", 4<<10+1)),
		"caveat id too long":             macaroon.ThirdParty([]byte("k"), strings.Repeat("x", 4<<10+1), ""),
		"location too long":              macaroon.ThirdParty([]byte("k"), "id", strings.Repeat("x", 513)),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := m.Attenuate(macaroon.Condition("first"), c)
			require.Error(t, err)
			require.True(t, got.IsZero())
			require.True(t, strings.HasPrefix(err.Error(), "macaroon: "), err)
		})
	}
	_, err := m.Attenuate(failingCaveat{})
	require.ErrorIs(t, err, errCaveat)
	_, err = m.Attenuate(macaroon.Condition(strings.Repeat("x", 4<<10+1)))
	require.ErrorIs(t, err, macaroon.ErrLimit)
}

func TestAttenuateStopsAtTheLimit(t *testing.T) {
	m := mustNew(t, "key", "id", "")
	var err error
	for range 64 {
		m, err = m.Attenuate(macaroon.Condition("x"))
		require.NoError(t, err)
	}
	_, err = m.Attenuate(macaroon.Condition("x"))
	require.ErrorIs(t, err, macaroon.ErrLimit)
}

// The caller's root key is copied: what becomes of it changes no caveat.
func TestThirdPartyKeepsItsOwnKey(t *testing.T) {
	key := []byte("a caveat root key of 32 bytes ..")
	c := macaroon.ThirdParty(key, "caveat id", "")
	clear(key)
	given, _, _, err := c.ThirdParty()
	require.NoError(t, err)
	clear(given)
	given, _, _, err = c.ThirdParty()
	require.NoError(t, err)
	require.Equal(t, "a caveat root key of 32 bytes ..", string(given))
}

func TestThirdPartyIsAskedOnce(t *testing.T) {
	m := mustNew(t, "key", "id", "")
	c := &counting{ThirdPartyCaveat: macaroon.ThirdParty([]byte("caveat key"), "caveat id", "http://auth/")}
	m, err := m.Attenuate(c)
	require.NoError(t, err)
	require.Equal(t, [3]int{0, 1, 1}, [3]int{c.conditions, c.thirdParties, c.attests})

	got := m.Inspect().Caveats().At(0)
	require.True(t, got.ThirdParty())
	require.Equal(t, "caveat id", got.ID)
	require.Equal(t, "http://auth/", got.Location)

	again, err := mustNew(t, "key", "id", "").Attenuate(c)
	require.NoError(t, err)
	require.NotEqual(t, got.VerificationID, again.Inspect().Caveats().At(0).VerificationID, "sealed under a fresh nonce")
}

func TestZeroValues(t *testing.T) {
	var m macaroon.Macaroon
	require.True(t, m.IsZero())
	require.Empty(t, m.Location())
	require.Empty(t, m.Identifier())
	require.Zero(t, m.Inspect().Caveats().Len())
	require.False(t, m.Inspect().SignedBy([32]byte{}))
	require.Empty(t, m.Inspect().String())
	var w macaroon.Wallet
	require.True(t, w.IsZero())
	require.True(t, w.Primary().IsZero())
	require.Empty(t, w.Missing())
	require.Empty(t, w.Discharges())
	require.Zero(t, w.Inspect().Len())
	var c macaroon.Credential
	require.True(t, c.IsZero())
	require.Zero(t, c.Inspect().Len())
	require.Empty(t, c.Inspect().String())
	for name, do := range map[string]func() error{
		"attenuate":         func() error { _, err := m.Attenuate(); return err },
		"encode":            func() error { _, err := m.Encode(); return err },
		"marshal":           func() error { _, err := m.MarshalBinary(); return err },
		"append":            func() error { _, err := m.AppendBinary(nil); return err },
		"text":              func() error { _, err := m.MarshalText(); return err },
		"new wallet":        func() error { _, err := macaroon.NewWallet(m); return err },
		"wallet with":       func() error { _, err := w.With(m); return err },
		"wallet attenuate":  func() error { _, err := w.Attenuate(); return err },
		"wallet encode":     func() error { _, err := w.Encode(); return err },
		"wallet marshal":    func() error { _, err := w.MarshalBinary(); return err },
		"wallet text":       func() error { _, err := w.MarshalText(); return err },
		"zero discharge":    func() error { _, err := macaroon.NewWallet(mustNew(t, "k", "i", ""), m); return err },
		"credential encode": func() error { _, err := c.Encode(); return err },
		"credential binary": func() error { _, err := c.MarshalBinary(); return err },
		"credential wallet": func() error { _, err := c.Wallet(); return err },
	} {
		require.ErrorIs(t, do(), macaroon.ErrInvalid, name)
	}
}

func TestNewRefuses(t *testing.T) {
	_, err := macaroon.New(nil, "id", "")
	require.Error(t, err)
	_, err = macaroon.New(rootKey, strings.Repeat("i", 4<<10+1), "")
	require.ErrorIs(t, err, macaroon.ErrLimit)
	_, err = macaroon.New(rootKey, "id", strings.Repeat("l", 513))
	require.ErrorIs(t, err, macaroon.ErrLimit)
	_, err = macaroon.New(rootKey, "", "")
	require.NoError(t, err, "others write empty identifiers")
}

// FuzzOracle builds a macaroon with a discharge by both libraries and requires that they
// agree to the byte, and that the oracle verifies ours.
func FuzzOracle(f *testing.F) {
	f.Add([]byte("key"), "id", "location", "condition", []byte("caveat key"), "caveat id", "third party", "more")
	f.Add([]byte{0}, "", "", "", []byte{0}, "", "", "")
	f.Add([]byte("k"), strings.Repeat("i", 1<<10+1), "", "", []byte("k"), "id", "", "")
	f.Add([]byte("k"), "id", "", strings.Repeat("c", 4<<10), []byte("k"), strings.Repeat("d", 4<<10), "", strings.Repeat("e", 4<<10))
	f.Add([]byte("k"), "\xff\x00", "\xff", "\n", []byte("k"), "\xff\x00", "x", "time-before")
	f.Fuzz(func(t *testing.T, key []byte, id, location, condition string, caveatKey []byte, caveatID, thirdParty, more string) {
		if len(key) == 0 || len(caveatKey) == 0 {
			return
		}
		m, err := macaroon.New(key, id, location)
		if err != nil {
			return
		}
		m, err = m.Attenuate(macaroon.Condition(condition))
		if err != nil {
			return
		}
		theirs, err := v2.New(key, []byte(id), location, v2.V2)
		require.NoError(t, err)
		require.NoError(t, theirs.AddFirstPartyCaveat([]byte(condition)))
		data, err := theirs.MarshalBinary()
		require.NoError(t, err)
		ours, err := m.MarshalBinary()
		require.NoError(t, err)
		require.Equal(t, data, ours)

		m, err = m.Attenuate(macaroon.ThirdParty(caveatKey, caveatID, thirdParty), macaroon.Condition(more))
		if err != nil {
			return
		}
		discharge, err := macaroon.New(caveatKey, caveatID, "")
		require.NoError(t, err)
		discharge, err = discharge.Attenuate(macaroon.Condition(more))
		require.NoError(t, err)
		wallet, err := macaroon.NewWallet(m, discharge)
		if errors.Is(err, macaroon.ErrLimit) { // an identifier for a discharge only
			return
		}
		require.NoError(t, err)
		require.Empty(t, wallet.Missing())
		credential, err := wallet.Credential()
		if errors.Is(err, macaroon.ErrLimit) { // all together are too long
			return
		}
		require.NoError(t, err)
		data, err = credential.MarshalBinary()
		require.NoError(t, err)
		var slice v2.Slice
		require.NoError(t, slice.UnmarshalBinary(data))
		require.NoError(t, slice[0].Verify(key, anything, slice[1:]))
	})
}

// The id of a third party's caveat, which may be any text, is nobody's condition, also if the
// caveat has no location.
func TestConditionOfEachCaveat(t *testing.T) {
	caveats := mustNew(t, "key", "id", "", macaroon.Condition("allow *"), thirdParty("time-before 2000-01-01T00:00:00Z"),
		macaroon.ThirdParty([]byte("key"), "allow *", "")).Inspect().Caveats()
	condition, ok := caveats.Condition(0)
	require.True(t, ok)
	require.Equal(t, "allow *", condition)
	for i := 1; i < caveats.Len(); i++ {
		condition, ok = caveats.Condition(i)
		require.False(t, ok)
		require.Empty(t, condition)
		require.True(t, caveats.At(i).ThirdParty())
	}
}
