package rootkey_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

// unhurried are options with which months pass quickly.
var unhurried = rootkey.Options{RefreshEvery: 2 * time.Hour, StaleAfter: 4 * time.Hour, PublishFor: 4 * time.Hour}

// Several processes that open an empty store at once make one key, and of all that see a
// rotation due, one makes it.
func TestManyProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		rings := make([]*rootkey.Keyring, 5)
		var opening sync.WaitGroup
		for i := range rings {
			opening.Go(func() { rings[i] = open(t, store, unhurried) })
		}
		opening.Wait()
		require.Len(t, list(t, rings[0]), 1)

		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, k := range rings {
			running.Go(func() { require.ErrorIs(t, k.Run(ctx), context.Canceled) })
		}
		_, before := store.count()
		time.Sleep(rotateEvery + unhurried.PublishFor + unhurried.RefreshEvery)
		keys := list(t, rings[0])
		require.Equal(t, []rootkey.State{rootkey.Verifying, rootkey.Minting}, states(keys))
		_, after := store.count()
		require.LessOrEqual(t, after-before, len(rings), "each tried once at most")

		time.Sleep(4 * rotateEvery)
		keys = list(t, rings[0])
		require.LessOrEqual(t, len(keys), 3, "old keys are removed")
		keys = slices.DeleteFunc(keys, func(k rootkey.Key) bool { return k.State != rootkey.Minting })
		require.Len(t, keys, 1)
		cancel()
		running.Wait()
	})
}

// Tokens are minted and verified by all processes all the time, while keys come and go.
func TestNobodyIsRefusedWhileKeysRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		options := rootkey.Options{MaxLifetime: 10 * time.Minute, RotateEvery: 5 * time.Minute}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		rings := make([]*rootkey.Keyring, 3)
		for i := range rings {
			rings[i] = open(t, store, options)
			running.Go(func() { rings[i].Run(ctx) })
		}
		type token struct {
			identifier string
			ends       time.Time
		}
		var tokens []token
		minters := make(map[string]bool)
		for range 480 {
			for _, k := range rings {
				m := mint(t, k)
				minters[keyID(t, m)] = true
				tokens = append(tokens, token{m, time.Now().Add(time.Minute)})
			}
			for len(tokens) > 0 && time.Now().After(tokens[0].ends) {
				tokens = tokens[1:]
			}
			for _, token := range tokens {
				for _, k := range rings {
					require.True(t, knows(t, k, token.identifier))
				}
			}
			time.Sleep(5 * time.Second)
		}
		require.Greater(t, len(minters), 5)
		cancel()
		running.Wait()
	})
}

// Run makes a key where none mints any more, and replaces one that is to retire early
// enough for tokens of full lifetime.
func TestRunReplaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := open(t, newStore(), rootkey.Options{RefreshEvery: time.Minute})
		first := list(t, k)[0].ID
		retires := time.Now().Add(72 * time.Hour)
		require.NoError(t, k.Retire(t.Context(), first, retires))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { k.Run(ctx) })
		for time.Now().Before(retires.Add(time.Hour)) {
			_, err := k.Mint(t.Context(), macaroon.Grant{}, caveat.ExpiresIn(maxLifetime))
			require.NoError(t, err)
			time.Sleep(time.Minute)
		}
		require.Equal(t, rootkey.Retired, find(t, k, first).State)
		cancel()
		running.Wait()
	})
}

// What an operator does by hand leaves Run something to do: whatever that is, somebody mints all the time but for what
// it takes Run to read, and what has been good for nothing for long is removed without a rotation.
func TestRunAfterAnOperator(t *testing.T) {
	for name, does := range map[string]func(t *testing.T, k *rootkey.Keyring, minting string){
		"retires the key that mints": func(t *testing.T, k *rootkey.Keyring, minting string) {
			require.NoError(t, k.Retire(t.Context(), minting, time.Now()))
			_, err := k.Mint(t.Context(), macaroon.Grant{}, soon)
			require.ErrorIs(t, err, rootkey.ErrNoKey)
			time.Sleep(refreshEvery)
		},
		"retires the one that will": func(t *testing.T, k *rootkey.Keyring, minting string) {
			next, err := k.Rotate(t.Context())
			require.NoError(t, err)
			require.NoError(t, k.Retire(t.Context(), next.ID, time.Now()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := open(t, newStore(), rootkey.Options{})
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { k.Run(ctx) })
				synctest.Wait() // until its first look is over, which would mend at once what comes before
				does(t, k, list(t, k)[0].ID)
				for range int(2 * publishFor / time.Second) {
					require.True(t, knows(t, k, mint(t, k)))
					time.Sleep(time.Second)
				}
				time.Sleep(2*overlap + publishFor + refreshEvery)
				require.Equal(t, []rootkey.State{rootkey.Minting}, states(list(t, k)))
				cancel()
				running.Wait()
			})
		})
	}
}

// Errors of the store end nothing, and one that can't be written is read on.
func TestRunGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store := newStore()
		options := unhurried
		options.Log = slog.New(slog.NewTextHandler(&log, nil))
		k := open(t, store, options)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { k.Run(ctx) })
		store.set(func(s *testStore) { s.fail = errDown })
		time.Sleep(rotateEvery + options.PublishFor)
		_, err := k.Epoch()
		require.ErrorIs(t, err, rootkey.ErrStale)
		store.set(func(s *testStore) { s.fail = nil })
		time.Sleep(options.PublishFor + options.RefreshEvery)
		require.True(t, knows(t, k, mint(t, k)))
		require.Len(t, list(t, k), 2, "the rotation was made up for")

		store.set(func(s *testStore) { s.inside = unwritable{s.inside} })
		time.Sleep(2 * rotateEvery)
		require.Len(t, list(t, k), 2)
		require.True(t, knows(t, k, mint(t, k)))
		cancel()
		running.Wait()
		synctest.Wait()
		require.Equal(t, 1, strings.Count(log.String(), "readonly=true"), "said once")
	})
}

// A store that has lost everything is one that fails: nobody's token is refused for it.
func TestStoreLosesItsKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		k := open(t, store, rootkey.Options{})
		token := mint(t, k)
		store.set(func(s *testStore) { s.inside = rootkey.NewMemoryStore() })
		_, err := k.Keys(t.Context())
		require.ErrorContains(t, err, "lost")
		_, err = k.Rotate(t.Context())
		require.ErrorContains(t, err, "lost", "nor is it filled with others")
		for range 29 {
			time.Sleep(refreshEvery)
			require.True(t, knows(t, k, token))
		}
		time.Sleep(refreshEvery)
		_, _, err = k.RootSignature(t.Context(), token)
		require.ErrorIs(t, err, rootkey.ErrStale)

		// An operator decides that the keys are gone: a new process makes others.
		fresh := open(t, store, rootkey.Options{})
		require.NoError(t, fresh.Label(t.Context(), list(t, fresh)[0].ID, "the new ones")) // memory counts versions from 1
		time.Sleep(refreshEvery)
		require.True(t, knows(t, k, mint(t, fresh)))
		require.False(t, knows(t, k, token))
	})
}

// Without Run no key is ever replaced, and all goes on: the log is where that shows.
func TestForgottenRun(t *testing.T) {
	const reminder = "nobody rotates"
	for name, row := range map[string]struct {
		rotateEvery time.Duration
		run         bool
		elsewhere   bool // another process runs
		readOnly    bool // the store
		reminders   int
	}{
		"forgotten":          {reminders: 1},
		"only verifies":      {rotateEvery: -1},
		"called":             {run: true},
		"called in vain":     {run: true, readOnly: true},
		"called elsewhere":   {elsewhere: true},
		"not due for longer": {rotateEvery: 3 * rotateEvery},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var store rootkey.Store = newStore()
				options := unhurried
				other := open(t, store, options)
				if row.readOnly {
					store = unwritable{store}
				}
				var log bytes.Buffer
				options.RotateEvery, options.Log = row.rotateEvery, slog.New(slog.NewTextHandler(&log, nil))
				k := open(t, store, options)
				if row.run {
					go k.Run(t.Context())
				}
				if row.elsewhere {
					go other.Run(t.Context())
				}
				var before int
				for elapsed := time.Duration(0); elapsed < 2*rotateEvery; elapsed += options.RefreshEvery {
					if elapsed < rotateEvery {
						before = strings.Count(log.String(), reminder)
					}
					mint(t, k)
					time.Sleep(options.RefreshEvery)
				}
				require.Zero(t, before, "before a key is due")
				require.Equal(t, row.reminders, strings.Count(log.String(), reminder), log.String())
			})
		})
	}
}

// A keyring in memory ends with its process, and needs no Run.
func TestInMemoryNeedsNoRun(t *testing.T) {
	defer slog.SetDefault(slog.Default())
	var log bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	synctest.Test(t, func(t *testing.T) {
		k := rootkey.InMemory()
		for range 4 {
			mint(t, k)
			time.Sleep(rotateEvery)
		}
	})
	require.Empty(t, log.String())
}

// A store in which all keys have been deleted has not lost them.
func TestEmptySet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := rootkey.NewMemoryStore()
		k := open(t, store, rootkey.Options{})
		token := mint(t, k)
		write(t, store, nil)
		time.Sleep(refreshEvery)
		require.False(t, knows(t, k, token))
		_, err := k.Mint(t.Context(), macaroon.Grant{}, soon)
		require.ErrorIs(t, err, rootkey.ErrNoKey)
		require.False(t, errors.Is(err, rootkey.ErrStale))
	})
}

// A store whose Swap panics ends no process: Run has a goroutine of its own, in which nobody would
// recover, and what such a panic prints may be a key.
func TestRunBesideAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store := newStore()
		k := open(t, store, rootkey.Options{RotateEvery: time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil))})
		store.set(func(s *testStore) { s.onSwap = func() { panic("0123456789abcdef0123456789abcdef") } })
		ctx, cancel := context.WithCancel(t.Context())
		running := make(chan error)
		go func() { running <- k.Run(ctx) }()
		time.Sleep(2 * time.Hour)
		mint(t, k)
		_, err := k.Rotate(t.Context())
		require.ErrorContains(t, err, "write: the store panicked with a string")
		store.set(func(s *testStore) { s.onSwap = nil })
		time.Sleep(refreshEvery)
		require.Len(t, list(t, k), 2)
		cancel()
		require.ErrorIs(t, <-running, context.Canceled)
		require.Contains(t, log.String(), "can't be maintained")
		require.NotContains(t, log.String(), "0123456789abcdef")
	})
}
