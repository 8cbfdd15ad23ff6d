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

func TestStates(t *testing.T) {
	require.Equal(t, "pending", rootkey.Pending.String())
	require.Equal(t, "minting", rootkey.Minting.String())
	require.Equal(t, "verifying", rootkey.Verifying.String())
	require.Equal(t, "retired", rootkey.Retired.String())
	require.Equal(t, "State(0)", rootkey.State(0).String())
}

// One key through its whole life, each boundary from both sides.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		k := open(t, store, rootkey.Options{})
		start := time.Now()
		old := mint(t, k)
		first := find(t, k, keyID(t, old))
		require.Equal(t, rootkey.Minting, first.State)
		require.True(t, first.Created.Equal(start))
		require.Zero(t, first.Stops)
		require.Zero(t, first.Retires)

		time.Sleep(time.Hour)
		fresh, err := k.Rotate(t.Context())
		require.NoError(t, err)
		require.Equal(t, rootkey.Pending, fresh.State)
		require.True(t, fresh.Created.Equal(start.Add(time.Hour)))
		require.True(t, fresh.Mints.Equal(time.Now().Add(publishFor)))
		require.NotEqual(t, first.ID, fresh.ID)
		_, swaps := store.count()
		again, err := k.Rotate(t.Context())
		require.NoError(t, err)
		require.Equal(t, fresh, again, "two rotations at once are one")
		_, after := store.count()
		require.Equal(t, swaps, after, "and nothing is written")

		first = find(t, k, first.ID)
		require.True(t, first.Stops.Equal(fresh.Mints))
		require.True(t, first.Retires.Equal(first.Stops.Add(overlap)))
		require.Equal(t, []rootkey.State{rootkey.Minting, rootkey.Pending}, states(list(t, k)))
		require.True(t, knows(t, k, identifier(t, fresh.ID)), "others may be ahead of us")

		time.Sleep(publishFor - 1)
		require.Equal(t, first.ID, keyID(t, mint(t, k)))
		require.Equal(t, []rootkey.State{rootkey.Minting, rootkey.Pending}, states(list(t, k)))
		time.Sleep(time.Nanosecond)
		require.Equal(t, fresh.ID, keyID(t, mint(t, k)))
		require.Equal(t, []rootkey.State{rootkey.Verifying, rootkey.Minting}, states(list(t, k)))
		require.True(t, knows(t, k, old))

		time.Sleep(overlap - 1)
		require.True(t, knows(t, k, old))
		require.Equal(t, rootkey.Verifying, find(t, k, first.ID).State)
		time.Sleep(time.Nanosecond)
		require.False(t, knows(t, k, old))
		require.Equal(t, []rootkey.State{rootkey.Retired, rootkey.Minting}, states(list(t, k)))

		// It stays in the list for as long again.
		require.Len(t, list(t, k), 2)
		time.Sleep(overlap - 1)
		_, err = k.Rotate(t.Context())
		require.NoError(t, err)
		require.Len(t, list(t, k), 3)
		time.Sleep(publishFor)
		_, err = k.Rotate(t.Context())
		require.NoError(t, err)
		require.Equal(t, []rootkey.State{rootkey.Verifying, rootkey.Minting, rootkey.Pending}, states(list(t, k)))
	})
}

// A minter that is cut off from the store goes on with the old key as long as it may. What
// it mints last must be good until it expires, at a verifier that knows of the rotation.
func TestCutOffMinter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := rootkey.NewMemoryStore()
		cut := &testStore{inside: shared}
		minter := open(t, cut, rootkey.Options{})
		others := open(t, shared, rootkey.Options{})
		cut.set(func(s *testStore) { s.fail = errDown })
		_, err := others.Rotate(t.Context())
		require.NoError(t, err)

		var last string
		var expires time.Time
		for range int(staleAfter/time.Second) + 60 {
			m, err := minter.Mint(t.Context(), macaroon.Grant{}, caveat.ExpiresIn(maxLifetime))
			if err != nil {
				require.ErrorIs(t, err, rootkey.ErrStale)
				break
			}
			last, expires = m.Identifier(), time.Now().Add(maxLifetime)
			time.Sleep(time.Second)
		}
		require.NotEmpty(t, last)
		_, err = minter.Mint(t.Context(), macaroon.Grant{}, soon)
		require.ErrorIs(t, err, rootkey.ErrStale)

		time.Sleep(time.Until(expires.Add(leeway - 1)))
		require.True(t, knows(t, others, last))
		time.Sleep(publishFor + 2*time.Second) // its slack is not more than the delay, which came before
		require.False(t, knows(t, others, last))
	})
}

// A process whose tokens live for less does not shorten the time for which a key verifies.
func TestOverlapIsNotShortened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := rootkey.NewMemoryStore()
		long, short := open(t, store, rootkey.Options{MaxLifetime: 2 * maxLifetime}), open(t, store, rootkey.Options{})
		old := mint(t, long)
		first, err := long.Rotate(t.Context())
		require.NoError(t, err)
		require.NoError(t, short.Delete(t.Context(), first.ID)) // and another is published, by its options
		key := find(t, short, keyID(t, old))
		require.True(t, key.Stops.Equal(first.Mints))
		require.True(t, key.Retires.Equal(first.Mints.Add(overlap+maxLifetime)))
	})
}

func TestDeletePutsAnotherInItsPlace(t *testing.T) {
	t.Run("minting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := open(t, newStore(), rootkey.Options{})
			old := mint(t, k)
			require.NoError(t, k.Delete(t.Context(), keyID(t, old)))
			require.False(t, knows(t, k, old))
			require.Equal(t, []rootkey.State{rootkey.Minting}, states(list(t, k)))
			fresh := mint(t, k)
			require.NotEqual(t, keyID(t, old), keyID(t, fresh))
			require.True(t, list(t, k)[0].Mints.Equal(time.Now().Add(-leeway)), "for clocks behind ours, too")
			require.True(t, knows(t, k, fresh))
		})
	})
	t.Run("minting while another is pending", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := open(t, newStore(), rootkey.Options{})
			old := mint(t, k)
			coming, err := k.Rotate(t.Context())
			require.NoError(t, err)
			time.Sleep(publishFor / 2)
			require.NoError(t, k.Delete(t.Context(), keyID(t, old)))
			between := find(t, k, keyID(t, mint(t, k)))
			require.NotEqual(t, coming.ID, between.ID)
			require.True(t, between.Stops.Equal(coming.Mints))
			require.True(t, between.Retires.Equal(coming.Mints.Add(overlap)))
			time.Sleep(publishFor / 2)
			require.Equal(t, coming.ID, keyID(t, mint(t, k)))
			require.Equal(t, rootkey.Verifying, find(t, k, between.ID).State)
		})
	})
	t.Run("pending", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := open(t, newStore(), rootkey.Options{})
			old := keyID(t, mint(t, k))
			gone, err := k.Rotate(t.Context())
			require.NoError(t, err)
			time.Sleep(publishFor / 2)
			require.NoError(t, k.Delete(t.Context(), gone.ID))
			keys := list(t, k)
			require.Equal(t, []rootkey.State{rootkey.Minting, rootkey.Pending}, states(keys))
			require.NotEqual(t, gone.ID, keys[1].ID)
			require.True(t, keys[1].Mints.Equal(time.Now().Add(publishFor)), "with a delay of its own")
			require.True(t, keys[0].Stops.Equal(keys[1].Mints))
			require.True(t, keys[0].Retires.Equal(keys[1].Mints.Add(overlap)))
			time.Sleep(publishFor - 1)
			require.Equal(t, old, keyID(t, mint(t, k)))
			time.Sleep(time.Nanosecond)
			require.Equal(t, keys[1].ID, keyID(t, mint(t, k)))
		})
	})
	t.Run("verifying", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := open(t, newStore(), rootkey.Options{})
			old := mint(t, k)
			fresh, err := k.Rotate(t.Context())
			require.NoError(t, err)
			time.Sleep(publishFor)
			require.NoError(t, k.Delete(t.Context(), keyID(t, old)))
			require.False(t, knows(t, k, old))
			require.Len(t, list(t, k), 1)
			require.Equal(t, fresh.ID, keyID(t, mint(t, k)))
		})
	})
}

func TestUnknownKeyIDs(t *testing.T) {
	k := open(t, newStore(), rootkey.Options{})
	for _, id := range []string{"", "aaaaaaaaaaaaa", "\x00", strings.Repeat("x", 1000)} {
		for what, err := range map[string]error{
			"delete": k.Delete(t.Context(), id),
			"retire": k.Retire(t.Context(), id, time.Now()),
			"label":  k.Label(t.Context(), id, "x"),
		} {
			require.ErrorIs(t, err, macaroon.ErrUnknownKey, what)
			require.Less(t, len(err.Error()), 150)
		}
	}
}

func TestRetire(t *testing.T) {
	t.Run("no time", func(t *testing.T) {
		k := open(t, newStore(), rootkey.Options{})
		require.Error(t, k.Retire(t.Context(), list(t, k)[0].ID, time.Time{}))
		require.Error(t, k.Retire(t.Context(), list(t, k)[0].ID, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)))
		require.Zero(t, list(t, k)[0].Retires)
	})
	t.Run("at an instant", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := open(t, newStore(), rootkey.Options{})
			old := mint(t, k)
			at := time.Now().Add(time.Hour)
			require.NoError(t, k.Retire(t.Context(), keyID(t, old), at.In(time.FixedZone("", 3600))))
			require.True(t, list(t, k)[0].Retires.Equal(at))
			time.Sleep(time.Hour - 1)
			require.True(t, knows(t, k, old))
			before := epoch(t, k)
			time.Sleep(time.Nanosecond)
			require.NotEqual(t, before, epoch(t, k))
			require.False(t, knows(t, k, old))
			_, err := k.Mint(t.Context(), macaroon.Grant{}, soon)
			require.ErrorIs(t, err, rootkey.ErrNoKey)
			require.NotContains(t, err.Error(), "RotateEvery")
			require.Equal(t, "keyring (no key mints)", k.String())

			fresh, err := k.Rotate(t.Context())
			require.NoError(t, err)
			require.Equal(t, rootkey.Minting, fresh.State, "nothing minted")
			require.True(t, fresh.Mints.Equal(time.Now().Add(-leeway)), "nor will clocks behind ours wait")
			require.True(t, knows(t, k, mint(t, k)))
			require.NoError(t, k.Retire(t.Context(), keyID(t, old), time.Now().Add(time.Hour)))
			require.True(t, knows(t, k, old), "it is back")
		})
	})
	t.Run("in the past", func(t *testing.T) {
		k := open(t, newStore(), rootkey.Options{})
		old := mint(t, k)
		require.NoError(t, k.Retire(t.Context(), keyID(t, old), time.Unix(1, 0)))
		require.False(t, knows(t, k, old))
		require.Equal(t, []rootkey.State{rootkey.Retired}, states(list(t, k)))
	})
	// What an operator said holds if it is earlier than what rotation would say.
	for name, row := range map[string]struct{ asked, want time.Duration }{
		"earlier": {time.Hour, time.Hour},
		"later":   {100 * 24 * time.Hour, publishFor + overlap},
	} {
		t.Run(name+" than rotation says", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := open(t, newStore(), rootkey.Options{})
				id := list(t, k)[0].ID
				start := time.Now()
				require.NoError(t, k.Retire(t.Context(), id, start.Add(row.asked)))
				fresh, err := k.Rotate(t.Context())
				require.NoError(t, err)
				require.True(t, find(t, k, id).Retires.Equal(start.Add(row.want)))
				// Also when the pending key is replaced.
				time.Sleep(publishFor / 2)
				require.NoError(t, k.Delete(t.Context(), fresh.ID))
				if row.asked > row.want {
					row.want += publishFor / 2
				}
				require.True(t, find(t, k, id).Retires.Equal(start.Add(row.want)))
			})
		})
	}
	// A pending key that retires before it would mint is none that will: another takes its place.
	for name, doom := range map[string]func(rootkey.Key) time.Time{
		"at once":                 func(rootkey.Key) time.Time { return time.Now() },
		"shortly before it mints": func(k rootkey.Key) time.Time { return k.Mints.Add(-1) },
		"as it would mint":        func(k rootkey.Key) time.Time { return k.Mints },
	} {
		t.Run("a pending one, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := open(t, newStore(), rootkey.Options{})
				old := list(t, k)[0].ID
				doomed, err := k.Rotate(t.Context())
				require.NoError(t, err)
				require.NoError(t, k.Retire(t.Context(), doomed.ID, doom(doomed)))
				time.Sleep(publishFor / 2)
				fresh, err := k.Rotate(t.Context())
				require.NoError(t, err)
				require.NotEqual(t, doomed.ID, fresh.ID)
				require.True(t, find(t, k, old).Stops.Equal(fresh.Mints), "so that there is no gap")
				require.True(t, find(t, k, old).Retires.Equal(fresh.Mints.Add(overlap)))
				for range int(2 * publishFor / time.Second) {
					mint(t, k)
					time.Sleep(time.Second)
				}
			})
		})
	}
}

func TestLabel(t *testing.T) {
	k := open(t, newStore(), rootkey.Options{})
	id := list(t, k)[0].ID
	for name, row := range map[string]struct {
		label string
		ok    bool
	}{
		"plain":        {"after the leak <of May> & \"more\"", true},
		"other script": {"クッキー", true},
		"none":         {"", true},
		"longest":      {strings.Repeat("<", 128), true},
		"too long":     {strings.Repeat("x", 129), false},
		"a line end":   {"a\nb", false},
		"not UTF-8":    {"a\xffb", false},
		"invisible":    {"a\u202eb", false},
		"line sep":     {"a\u2028b", false},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, k.Label(t.Context(), id, "before"))
			err := k.Label(t.Context(), id, row.label)
			if !row.ok {
				require.Error(t, err)
				row.label = "before"
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, row.label, list(t, k)[0].Label)
			require.True(t, knows(t, k, mint(t, k)))
		})
	}
}

// Two keyrings over one store act on what is in it and not on what they remember.
func TestLostRaces(t *testing.T) {
	store := rootkey.NewMemoryStore()
	racing := &testStore{inside: store}
	a, b := open(t, racing, rootkey.Options{}), open(t, store, rootkey.Options{})
	var theirs rootkey.Key
	racing.set(func(s *testStore) {
		s.onSwap = func() {
			racing.set(func(s *testStore) { s.onSwap = nil })
			var err error
			theirs, err = b.Rotate(context.Background())
			require.NoError(t, err)
		}
	})
	ours, err := a.Rotate(t.Context())
	require.NoError(t, err)
	require.Equal(t, theirs.ID, ours.ID)
	require.Len(t, list(t, a), 2)

	// A label that is set meanwhile is not lost.
	racing.set(func(s *testStore) {
		s.onSwap = func() {
			racing.set(func(s *testStore) { s.onSwap = nil })
			require.NoError(t, b.Label(context.Background(), theirs.ID, "theirs"))
		}
	})
	require.NoError(t, a.Retire(t.Context(), theirs.ID, time.Now().Add(time.Hour)))
	require.Equal(t, "theirs", find(t, a, theirs.ID).Label)
	require.NotZero(t, find(t, a, theirs.ID).Retires)
}

// Of two that open an empty store at once, the second finds that there is a key by now and makes none.
func TestOpenLosesARace(t *testing.T) {
	store := rootkey.NewMemoryStore()
	racing := &testStore{inside: store}
	var first *rootkey.Keyring
	racing.onSwap = func() {
		racing.set(func(s *testStore) { s.onSwap = nil })
		first = open(t, store, rootkey.Options{})
	}
	second := open(t, racing, rootkey.Options{})
	require.NotNil(t, first)
	require.Equal(t, []rootkey.State{rootkey.Minting}, states(list(t, second)))
	require.True(t, knows(t, second, mint(t, first)))
	require.True(t, knows(t, first, mint(t, second)))
}

// A store that never swaps is an error and no endless loop.
func TestNeverSwapped(t *testing.T) {
	store := newStore()
	k := open(t, store, rootkey.Options{})
	store.set(func(s *testStore) {
		s.onSwap = func() {
			records, version, _, err := s.inside.Load(context.Background(), "none")
			require.NoError(t, err)
			_, swapped, err := s.inside.Swap(context.Background(), version, records)
			require.NoError(t, err)
			require.True(t, swapped)
		}
	})
	_, err := k.Rotate(t.Context())
	require.ErrorContains(t, err, "faster")
}

// After an error of Swap it is not known whether it was done; to do it again is right.
func TestSwapFailsAfterwards(t *testing.T) {
	store := newStore()
	k := open(t, store, rootkey.Options{})
	store.set(func(s *testStore) { s.failSwap = errDown })
	_, err := k.Rotate(t.Context())
	require.ErrorIs(t, err, errDown)
	store.set(func(s *testStore) { s.failSwap = nil })
	_, err = k.Rotate(t.Context())
	require.NoError(t, err)
	require.Len(t, list(t, k), 2)
}

func TestWritersHeedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		k := open(t, store, rootkey.Options{})
		store.set(func(s *testStore) { s.hang = true })
		go k.Rotate(t.Context()) // in the way of the next
		synctest.Wait()
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			start := time.Now()
			_, err := k.Rotate(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, time.Second, time.Since(start))
			_, err = k.Keys(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
		}
	})
}

// The wall clock is set back and forth; keys follow, but never in more than a refresh.
func TestWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := open(t, newStore(), rootkey.Options{})
		var step time.Duration
		rootkey.SetWall(k, func() time.Time { return time.Now().Add(step) })
		old := mint(t, k)
		require.NoError(t, k.Retire(t.Context(), keyID(t, old), time.Now().Add(time.Hour)))
		require.True(t, knows(t, k, old))

		step = 2 * time.Hour
		time.Sleep(refreshEvery)
		before := epoch(t, k)
		require.False(t, knows(t, k, old))
		step = 0
		time.Sleep(refreshEvery)
		require.NotEqual(t, before, epoch(t, k))
		require.True(t, knows(t, k, old))
		step = -2 * time.Hour
		time.Sleep(refreshEvery)
		require.True(t, knows(t, k, old))
		time.Sleep(2 * time.Hour)
		require.True(t, knows(t, k, old), "an hour is left by that clock")
		time.Sleep(time.Hour - 4*refreshEvery)
		require.True(t, knows(t, k, old))
		time.Sleep(2 * refreshEvery)
		require.False(t, knows(t, k, old))
	})
}

// A process whose clock is behind mints nonetheless under a key that was made at once.
func TestClockBehind(t *testing.T) {
	store := rootkey.NewMemoryStore()
	open(t, store, rootkey.Options{})
	k := open(t, store, rootkey.Options{RefreshEvery: time.Millisecond})
	rootkey.SetWall(k, func() time.Time { return time.Now().Add(time.Second - leeway) })
	time.Sleep(2 * time.Millisecond) // so that it looks again
	mint(t, k)
	require.Len(t, list(t, k), 1)
}

// What no keyring writes is read in the same way by all.
func TestSeveralMint(t *testing.T) {
	now := time.Now()
	late := newRecord(now.Add(-time.Hour))
	late.Created = now.Add(-time.Second).UTC() // the last that was made, and not the last that began
	store := rootkey.NewMemoryStore()
	write(t, store, map[string][]byte{
		"aaaaaaaaaaaaa": newRecord(now.Add(-time.Hour)).text(t),
		"bbbbbbbbbbbbb": newRecord(now.Add(-time.Minute)).text(t),
		"ccccccccccccc": newRecord(now.Add(-time.Minute)).text(t),
		"ddddddddddddd": newRecord(now.Add(-time.Hour)).text(t),
		"eeeeeeeeeeeee": late.text(t),
	})
	k := open(t, store, rootkey.Options{})
	require.Equal(t, "ccccccccccccc", keyID(t, mint(t, k)))
	require.Equal(t, []rootkey.State{rootkey.Verifying, rootkey.Verifying, rootkey.Verifying, rootkey.Minting, rootkey.Verifying}, states(list(t, k)))
	_, err := k.Rotate(t.Context())
	require.NoError(t, err)
	for _, key := range list(t, k)[:5] {
		require.NotZero(t, key.Stops, key.ID)
		require.NotZero(t, key.Retires, key.ID)
	}
}

func TestOpenFails(t *testing.T) {
	down, readOnly := newStore(), &testStore{inside: rootkey.NewMemoryStore()}
	down.fail, readOnly.fail = errDown, nil
	readOnly.failSwap = errors.ErrUnsupported
	for name, row := range map[string]struct {
		store   rootkey.Store
		options rootkey.Options
		want    []string
	}{
		"no store":            {nil, rootkey.Options{}, []string{"no store"}},
		"store down":          {down, rootkey.Options{}, []string{errDown.Error()}},
		"read-only and empty": {&unwritable{rootkey.NewMemoryStore()}, rootkey.Options{}, []string{"no key mints", "unsupported"}},
		"all at once": {nil, rootkey.Options{
			RefreshEvery: -1, StaleAfter: -1, PublishFor: -1, MaxLifetime: -1, Leeway: 60 * 365 * 24 * time.Hour, RotateEvery: 60 * 365 * 24 * time.Hour,
		}, []string{"no store", "RefreshEvery: negative", "StaleAfter: negative", "PublishFor: negative", "MaxLifetime: negative", "Leeway: more", "RotateEvery: more"}},
		"too fast":         {newStore(), rootkey.Options{RefreshEvery: 1}, []string{"millisecond"}},
		"stale before old": {newStore(), rootkey.Options{StaleAfter: refreshEvery - 1}, []string{"StaleAfter"}},
		"published late":   {newStore(), rootkey.Options{RefreshEvery: publishFor + 1}, []string{"PublishFor"}},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := rootkey.Open(t.Context(), row.store, row.options)
			require.Nil(t, k)
			for _, want := range row.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
	_, err := rootkey.Open(t.Context(), newStore(), rootkey.Options{RefreshEvery: publishFor, StaleAfter: publishFor, RotateEvery: -1})
	require.NoError(t, err, "the limits themselves are right")
}

// unwritable is a store that can't be written.
type unwritable struct{ rootkey.Store }

func (unwritable) Swap(context.Context, string, map[string][]byte) (string, bool, error) {
	return "", false, errors.ErrUnsupported
}

func TestOnlyVerifies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := rootkey.NewMemoryStore()
		reader := open(t, unwritable{store}, onlyReads)
		_, err := reader.Mint(t.Context(), macaroon.Grant{}, soon)
		require.ErrorIs(t, err, rootkey.ErrNoKey)
		require.ErrorContains(t, err, "RotateEvery is negative", "and says why nobody has made one")
		_, _, found, err := store.Load(t.Context(), "")
		require.NoError(t, err)
		require.False(t, found, "nothing was written")

		minter := open(t, store, rootkey.Options{})
		require.True(t, knows(t, reader, mint(t, minter)), "it asks for a key that it does not know")
		_, err = reader.Rotate(t.Context())
		require.ErrorIs(t, err, errors.ErrUnsupported)
	})
}

// A clock that is set back does not end minting: where no key mints, the one that will does already.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := rootkey.InMemory()
		before := mint(t, k)
		rootkey.SetWall(k, func() time.Time { return time.Now().Add(-time.Hour) })
		time.Sleep(2 * refreshEvery)
		require.Equal(t, keyID(t, before), keyID(t, mint(t, k)))
		require.True(t, knows(t, k, before))

		// Nor does retiring the key that mints while the next is being published.
		k = rootkey.InMemory()
		next, err := k.Rotate(t.Context())
		require.NoError(t, err)
		require.NotEqual(t, next.ID, keyID(t, mint(t, k)))
		require.NoError(t, k.Retire(t.Context(), keyID(t, mint(t, k)), time.Now()))
		require.Equal(t, next.ID, keyID(t, mint(t, k)))
	})
}
