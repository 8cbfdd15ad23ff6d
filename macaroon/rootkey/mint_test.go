package rootkey_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

// written gives the caveats of a token, and how many of them its identifier counts.
func written(t testing.TB, m macaroon.Macaroon) (conditions []string, counted int) {
	t.Helper()
	id, err := macaroon.ParseIdentifier(m.Identifier())
	require.NoError(t, err)
	caveats := m.Inspect().Caveats()
	for i := range caveats.Len() {
		condition, _ := caveats.Condition(i)
		conditions = append(conditions, condition)
	}
	return conditions, id.Caveats
}

// Every token ends: within MaxLifetime, whatever its minter asked for.
func TestMintEndsTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := rootkey.InMemory()
		end := func(d time.Duration) string {
			condition, err := caveat.ExpiresIn(d).Condition()
			require.NoError(t, err)
			return condition
		}
		most := end(maxLifetime)
		for name, row := range map[string]struct {
			caveats []macaroon.Caveat
			want    []string
		}{
			"in time":                    {[]macaroon.Caveat{caveat.ExpiresIn(time.Hour)}, []string{end(time.Hour)}},
			"as late as can be":          {[]macaroon.Caveat{caveat.ExpiresIn(maxLifetime)}, []string{most}},
			"too late":                   {[]macaroon.Caveat{caveat.ExpiresIn(maxLifetime + 1)}, []string{end(maxLifetime + 1), most}},
			"too late, by far":           {[]macaroon.Caveat{caveat.ExpiresAt(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))}, []string{"time-before 9999-01-01T00:00:00Z", most}},
			"the earliest counts":        {[]macaroon.Caveat{caveat.ExpiresIn(48 * time.Hour), caveat.ExpiresIn(time.Hour)}, []string{end(48 * time.Hour), end(time.Hour)}},
			"wherever it stands":         {[]macaroon.Caveat{caveat.ExpiresIn(time.Hour), caveat.ExpiresIn(48 * time.Hour)}, []string{end(time.Hour), end(48 * time.Hour)}},
			"over already":               {[]macaroon.Caveat{caveat.ExpiresAt(time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC))}, []string{"time-before 1999-01-01T00:00:00Z"}},
			"others stay where they are": {[]macaroon.Caveat{macaroon.Condition("a"), caveat.ExpiresIn(48 * time.Hour), macaroon.Condition("b")}, []string{"a", end(48 * time.Hour), "b", most}},
		} {
			given := append([]macaroon.Caveat{}, row.caveats...)
			m, err := keys.Mint(t.Context(), macaroon.Grant{}, row.caveats...)
			require.NoError(t, err, name)
			conditions, counted := written(t, m)
			require.Equal(t, row.want, conditions, name)
			require.Equal(t, len(row.want), counted, "%s: all of them are the minter's", name)
			require.Equal(t, given, row.caveats, "%s: the caller's list", name)
		}
	})
}

// What Mint can't read as an end is none, and it says what is wrong.
func TestMintWantsAnEnd(t *testing.T) {
	keys := rootkey.InMemory()
	third := macaroon.ThirdParty([]byte(strings.Repeat("k", 32)), "time-before 2999-01-01T00:00:00Z", "https://id.example")
	for name, caveats := range map[string][]macaroon.Caveat{
		"nothing":               nil,
		"other conditions":      {caveat.Audience("orders"), caveat.NotBefore(time.Now())},
		"a name like it":        {macaroon.Condition("time-before-x 2999-01-01T00:00:00Z")},
		"another case":          {macaroon.Condition("Time-Before 2999-01-01T00:00:00Z")},
		"a third party's":       {third},
		"the bakery's spelling": {macaroon.Condition("std:time-before 2999-01-01T00:00:00Z")},
	} {
		_, err := keys.Mint(t.Context(), macaroon.Grant{}, caveats...)
		require.ErrorIs(t, err, rootkey.ErrNoExpiry, name)
	}
	for _, argument := range []string{"", " ", "tomorrow", "2999-01-01", "2999-01-01T00:00:00", " 2999-01-01T00:00:00Z"} {
		_, err := keys.Mint(t.Context(), macaroon.Grant{}, soon, macaroon.Condition("time-before "+argument))
		require.ErrorContains(t, err, "caveat 1: time-before: ", argument)
	}
	_, err := keys.Mint(t.Context(), macaroon.Grant{}, soon, nil)
	require.Error(t, err)
	_, err = keys.Mint(t.Context(), macaroon.Grant{}, soon, third)
	require.NoError(t, err)
}

// asks counts how often it is asked for its condition, and gives another each time.
type asks struct{ count int }

func (a *asks) Condition() (string, error) {
	a.count++
	return "time-before 2000-01-0" + string(rune('0'+a.count)) + "T00:00:00Z", nil
}

// What Mint has looked at is what it writes, also of a caveat that changes its mind.
func TestMintAsksOnce(t *testing.T) {
	c := new(asks)
	m, err := rootkey.InMemory().Mint(t.Context(), macaroon.Grant{}, c)
	require.NoError(t, err)
	require.Equal(t, 1, c.count)
	conditions, _ := written(t, m)
	require.Equal(t, []string{"time-before 2000-01-01T00:00:00Z"}, conditions)
}

// fails gives a condition beside an error.
type fails struct{ error }

func (f fails) Condition() (string, error) { return "audience orders", f.error }

// Of a caveat that could not be written nothing is taken.
func TestMintOfABadCaveat(t *testing.T) {
	bad := errors.New("no audience")
	m, err := rootkey.InMemory().Mint(t.Context(), macaroon.Grant{}, soon, fails{bad})
	require.ErrorIs(t, err, bad)
	require.ErrorContains(t, err, "caveat 1: ")
	require.True(t, m.IsZero())
}

// A key that is to retire mints what ends before, and nothing else.
func TestMintOutlivesNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := rootkey.InMemory()
		id := list(t, keys)[0].ID
		require.NoError(t, keys.Retire(t.Context(), id, time.Now().Add(2*time.Hour)))
		_, err := keys.Mint(t.Context(), macaroon.Grant{}, caveat.ExpiresIn(2*time.Hour))
		require.NoError(t, err)
		_, err = keys.Mint(t.Context(), macaroon.Grant{}, caveat.ExpiresIn(2*time.Hour+1))
		require.ErrorIs(t, err, rootkey.ErrOutlivesKey)
		require.ErrorContains(t, err, id)
		_, err = keys.Mint(t.Context(), macaroon.Grant{}, caveat.ExpiresIn(maxLifetime+1), caveat.ExpiresIn(time.Hour))
		require.NoError(t, err, "the earliest counts")
		time.Sleep(90 * time.Minute)
		_, err = keys.Mint(t.Context(), macaroon.Grant{}, caveat.ExpiresIn(time.Hour))
		require.ErrorIs(t, err, rootkey.ErrOutlivesKey)
	})
}

// inventory records what it is told, unless it is to fail.
type inventory struct {
	entries []entry
	fail    error
}

type entry struct {
	tokenID               [16]byte
	subject, label, keyID string
	expiry                time.Time
}

func (i *inventory) RecordMint(_ context.Context, tokenID [16]byte, subject, label, keyID string, expiry time.Time) error {
	if i.fail != nil {
		return i.fail
	}
	i.entries = append(i.entries, entry{tokenID, subject, label, keyID, expiry})
	return nil
}

// The recorder is told of each token that a caller gets, and a caller gets none that it
// was not told of.
func TestRecorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inventory := new(inventory)
		keys := open(t, rootkey.NewMemoryStore(), rootkey.Options{Recorder: inventory})
		m, err := keys.Mint(t.Context(), macaroon.Grant{Subject: "billing", Label: "nightly job"}, caveat.ExpiresIn(72*time.Hour))
		require.NoError(t, err)
		id, err := macaroon.ParseIdentifier(m.Identifier())
		require.NoError(t, err)
		want := entry{id.TokenID, "billing", "nightly job", id.KeyID, time.Now().Add(maxLifetime).Round(0)}
		require.Equal(t, []entry{want}, inventory.entries)

		_, err = keys.Mint(t.Context(), macaroon.Grant{}, caveat.Audience("orders"))
		require.ErrorIs(t, err, rootkey.ErrNoExpiry)
		_, err = keys.Mint(t.Context(), macaroon.Grant{Label: "two\nlines"}, soon)
		require.ErrorContains(t, err, "label")
		_, err = keys.Mint(t.Context(), macaroon.Grant{Subject: strings.Repeat("x", 2000)}, soon)
		require.Error(t, err)
		require.Len(t, inventory.entries, 1, "those were no tokens")

		inventory.fail = errors.New("the disk is full")
		m, err = keys.Mint(t.Context(), macaroon.Grant{}, soon)
		require.ErrorIs(t, err, inventory.fail)
		require.True(t, m.IsZero())
	})
}

// deletes is a caveat during whose writing a key is deleted.
type deletes struct {
	keys *rootkey.Keyring
	id   string
}

func (d deletes) Condition() (string, error) {
	return "audience orders", d.keys.Delete(context.Background(), d.id)
}

// A mint rests on what was the key when it began, whatever happens meanwhile; what it gives
// is refused like all of that key.
func TestMintWhileItsKeyIsDeleted(t *testing.T) {
	keys := rootkey.InMemory()
	id := list(t, keys)[0].ID
	m, err := keys.Mint(t.Context(), macaroon.Grant{}, soon, deletes{keys, id})
	require.NoError(t, err)
	require.Equal(t, id, keyID(t, m.Identifier()))
	require.False(t, knows(t, keys, m.Identifier()))
	require.NotEqual(t, id, keyID(t, mint(t, keys)))
}
