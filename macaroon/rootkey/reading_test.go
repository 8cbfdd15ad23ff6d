package rootkey_test

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

// unknownID gives the n-th of many ids that no key has.
func unknownID(n int) string {
	id := binary.BigEndian.AppendUint64(nil, uint64(n))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(id))
}

// Who reads waits for no lock, so that a thousand who read are not one after the other; also while the store is being
// read.
func TestReadingTakesNoLock(t *testing.T) {
	for name, row := range map[string]struct {
		refreshing bool
		retires    time.Duration // the key, if not zero
	}{
		"between":           {},
		"meanwhile":         {refreshing: true},
		"that retires":      {retires: time.Hour},
		"that retires late": {retires: math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore()
				k := open(t, store, rootkey.Options{})
				time.Sleep(time.Second) // since when it counts
				token := mint(t, k)
				if row.retires > 0 {
					require.NoError(t, k.Retire(t.Context(), keyID(t, token), time.Now().Add(row.retires)))
				}
				ears := make(chan struct{})
				store.set(func(s *testStore) { s.deaf = ears })
				if row.refreshing {
					time.Sleep(refreshEvery / 2)
				}
				require.True(t, knows(t, k, token)) // the first after a change, or who begins to read
				rootkey.WhileLocked(k, func() {
					var done, ok atomic.Bool
					go func() {
						_, found, err := k.RootSignature(context.Background(), token)
						_, epochErr := k.Epoch()
						_, mintErr := k.Mint(context.Background(), macaroon.Grant{}, soon)
						ok.Store(found && errors.Join(err, epochErr, mintErr) == nil)
						done.Store(true)
					}()
					for i := 0; !done.Load() && i < 1e8; i++ { // so often that only who waits for the lock is not done
						runtime.Gosched()
					}
					require.True(t, ok.Load())
				})
				close(ears)
			})
		})
	}
}

// With a store that takes its time, nobody waits as long as somebody asks now and then.
func TestReadsInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		k := open(t, store, rootkey.Options{})
		token := mint(t, k)
		store.set(func(s *testStore) { s.slow, s.loads = refreshEvery/4, 0 })
		start := time.Now()
		for range 100 {
			before := time.Now()
			require.True(t, knows(t, k, token))
			require.Zero(t, time.Since(before))
			time.Sleep(refreshEvery / 10)
		}
		loads, _ := store.count()
		require.InDelta(t, 2*int(time.Since(start)/refreshEvery), loads, 1)
	})
}

// After a pause a decision rests on what the store says then.
func TestReadsAfterAPause(t *testing.T) {
	for _, pause := range []time.Duration{refreshEvery, staleAfter - 1, staleAfter, 1000 * time.Hour} {
		t.Run(pause.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore()
				k, other := open(t, store, rootkey.Options{}), open(t, store.inside, rootkey.Options{})
				old := mint(t, k)
				require.NoError(t, other.Delete(t.Context(), keyID(t, old)))
				store.set(func(s *testStore) { s.slow, s.loads = time.Second, 0 })
				time.Sleep(pause)
				start := time.Now()
				require.False(t, knows(t, k, old))
				require.Equal(t, time.Second, time.Since(start))
				require.True(t, knows(t, k, mint(t, other)))
				loads, _ := store.count()
				require.Equal(t, 1, loads)
			})
		})
	}
}

// Whenever a key is deleted elsewhere: it is refused within RefreshEvery, even if the
// keyring asks in the most unlucky moments.
func TestDeletedElsewhere(t *testing.T) {
	for step := range 40 {
		synctest.Test(t, func(t *testing.T) {
			store := newStore()
			k, other := open(t, store, rootkey.Options{}), open(t, store.inside, rootkey.Options{})
			old := mint(t, k)
			if step%2 == 0 {
				store.set(func(s *testStore) { s.answer = 3*refreshEvery/8 - 1 })
			}
			for range step {
				require.True(t, knows(t, k, old))
				time.Sleep(refreshEvery / 13)
			}
			require.NoError(t, other.Delete(t.Context(), keyID(t, old)))
			deleted := time.Now()
			for time.Since(deleted) < refreshEvery {
				_, _, err := k.RootSignature(t.Context(), old)
				require.NoError(t, err)
				time.Sleep(refreshEvery / 13)
			}
			require.False(t, knows(t, k, old))
		})
	}
}

// A read that was on its way when a key was deleted here does not bring it back.
func TestDeletedHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		k := open(t, store, rootkey.Options{})
		old := mint(t, k)
		time.Sleep(refreshEvery / 2)
		store.set(func(s *testStore) { s.answer = refreshEvery / 4 })
		// Something new to read, so that the read gives a set.
		require.NoError(t, open(t, store.inside, onlyReads).Label(t.Context(), keyID(t, old), "new"))
		require.True(t, knows(t, k, old)) // begins to read
		synctest.Wait()
		store.set(func(s *testStore) { s.answer = 0 })
		require.NoError(t, k.Delete(t.Context(), keyID(t, old)))
		for range 20 {
			require.False(t, knows(t, k, old))
			time.Sleep(refreshEvery / 20)
		}
	})
}

func stale(t *testing.T, k *rootkey.Keyring, token string) {
	t.Helper()
	_, err := k.Epoch()
	require.ErrorIs(t, err, rootkey.ErrStale)
	sig, found, err := k.RootSignature(t.Context(), token)
	require.ErrorIs(t, err, rootkey.ErrStale)
	require.False(t, found)
	require.Zero(t, sig)
	_, err = k.Mint(t.Context(), macaroon.Grant{}, soon)
	require.ErrorIs(t, err, rootkey.ErrStale)
}

// The store fails in one way or another, while somebody asks every second.
func TestStoreFails(t *testing.T) {
	for name, fail := range map[string]func(*testStore){
		"error":  func(s *testStore) { s.fail = errDown },
		"hangs":  func(s *testStore) { s.hang = true },
		"panics": func(s *testStore) { s.onLoad = func() { panic("0123456789abcdef0123456789abcdef") } },
		"bad record": func(s *testStore) {
			records, version, _, _ := s.inside.Load(context.Background(), "none")
			records["aaaaaaaaaaaaa"] = []byte("{}") // beside a good one
			s.inside.Swap(context.Background(), version, records)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				store := newStore()
				k := open(t, store, rootkey.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
				token := mint(t, k)
				before, records := epoch(t, k), load(t, store.inside)
				store.set(fail)
				start := time.Now()
				for time.Since(start) < staleAfter {
					asked := time.Now()
					require.True(t, knows(t, k, token))
					mint(t, k)
					require.Equal(t, before, epoch(t, k))
					if time.Since(start) > refreshEvery {
						_, found, err := k.RootSignature(t.Context(), identifier(t, unknownID(1)))
						require.Error(t, err, "it may have come meanwhile")
						require.NotErrorIs(t, err, rootkey.ErrStale)
						require.False(t, found)
					}
					require.LessOrEqual(t, time.Since(asked), refreshEvery/2)
					for _, other := range []string{"", "we used our secret key", identifier(t, "short"), identifier(t, "AAAAAAAAAAAAA")} {
						require.False(t, knows(t, k, other), "no refresh can find these")
					}
					time.Sleep(time.Second)
				}
				stale(t, k, token)
				_, _, err := k.RootSignature(t.Context(), identifier(t, unknownID(1)))
				require.ErrorIs(t, err, rootkey.ErrStale)
				require.NotContains(t, err.Error(), "0123456789abcdef")
				require.False(t, knows(t, k, "we used our secret key"))
				loads, _ := store.count()
				require.Less(t, loads, int(4*staleAfter/refreshEvery), "it goes on trying, and not too often")

				// The store is back.
				store.set(func(s *testStore) { s.fail, s.hang, s.onLoad = nil, false, nil })
				if name == "bad record" {
					write(t, store.inside, records)
				}
				time.Sleep(refreshEvery)
				require.True(t, knows(t, k, token))
				require.True(t, knows(t, k, mint(t, k)))
				require.False(t, knows(t, k, identifier(t, unknownID(1))))
				synctest.Wait() // log is nobody's any more
				require.Regexp(t, `can't be read" .* age=.* stale_after=`+staleAfter.String(), log.String())
				require.Contains(t, log.String(), "can be read again")
				require.NotContains(t, log.String(), "0123456789abcdef")
			})
		})
	}
}

func load(t *testing.T, store rootkey.Store) map[string][]byte {
	t.Helper()
	records, _, _, err := store.Load(t.Context(), "none")
	require.NoError(t, err)
	return records
}

// When the store is down and nobody has asked for long, the first who does waits for one
// try, and all others are served or refused at once.
func TestStoreFailsAfterAPause(t *testing.T) {
	for _, row := range []struct {
		pause time.Duration
		stale bool
	}{{staleAfter / 2, false}, {2 * staleAfter, true}} {
		t.Run(row.pause.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore()
				k := open(t, store, rootkey.Options{})
				token := mint(t, k)
				time.Sleep(row.pause)
				store.set(func(s *testStore) { s.hang = true })
				before := epoch(t, k)
				for _, want := range []time.Duration{3 * refreshEvery / 8, 0, 0} {
					start := time.Now()
					if row.stale {
						_, _, err := k.RootSignature(t.Context(), token)
						require.ErrorIs(t, err, rootkey.ErrStale)
						_, err = k.Epoch()
						require.ErrorIs(t, err, rootkey.ErrStale)
					} else {
						require.True(t, knows(t, k, token))
						require.Equal(t, before, epoch(t, k))
					}
					require.Equal(t, want, time.Since(start))
				}
			})
		})
	}
}

// A store that heeds no context, against its contract, can't pile up goroutines, nor delay
// decisions for longer.
func TestDeafStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		k := open(t, store, rootkey.Options{})
		token := mint(t, k)
		ears := make(chan struct{})
		store.set(func(s *testStore) { s.deaf, s.loads = ears, 0 })
		start := time.Now()
		for time.Since(start) < staleAfter-refreshEvery {
			asked := time.Now()
			require.True(t, knows(t, k, token))
			require.LessOrEqual(t, time.Since(asked), refreshEvery/2)
			if time.Since(start) > refreshEvery {
				require.Equal(t, asked, time.Now())
				_, _, err := k.RootSignature(t.Context(), identifier(t, unknownID(1)))
				require.Error(t, err)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(2 * refreshEvery)
		stale(t, k, token)
		loads, _ := store.count()
		require.Equal(t, 1, loads)
		store.set(func(s *testStore) { s.deaf = nil })
		close(ears)
		time.Sleep(refreshEvery)
		require.True(t, knows(t, k, token))
	})
}

func TestRequestsHeedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		k := open(t, store, rootkey.Options{})
		token := mint(t, k)
		time.Sleep(refreshEvery)
		store.set(func(s *testStore) { s.slow, s.loads = refreshEvery/4, 0 })
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		for _, id := range []string{token, identifier(t, unknownID(1))} {
			_, _, err := k.RootSignature(ctx, id)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		_, err := k.Mint(ctx, macaroon.Grant{}, soon)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		// The read goes on: it belongs to nobody.
		require.True(t, knows(t, k, token))
		loads, _ := store.count()
		require.Equal(t, 1, loads)
	})
}

// However many ids, however many ask: one read in each interval beyond those that there are
// anyway.
func TestUnknownKeyFlood(t *testing.T) {
	const intervals = 20
	run := func(t *testing.T, flood bool) (loads int) {
		synctest.Test(t, func(t *testing.T) {
			store := newStore()
			k := open(t, store, rootkey.Options{})
			token := mint(t, k)
			store.set(func(s *testStore) { s.slow, s.loads = time.Second, 0 })
			start := time.Now()
			var wg sync.WaitGroup
			var next atomic.Int64
			for i := range 16 {
				wg.Go(func() {
					for time.Since(start) < intervals*refreshEvery {
						if i == 0 {
							require.True(t, knows(t, k, token))
						} else if flood {
							require.False(t, knows(t, k, identifier(t, unknownID(int(next.Add(1))))))
						}
						time.Sleep(time.Second / 10)
					}
				})
			}
			wg.Wait()
			loads, _ = store.count()
			require.Len(t, list(t, k), 1, "no key was made")
		})
		return loads
	}
	quiet := run(t, false)
	require.LessOrEqual(t, run(t, true), quiet+intervals)

	// Nobody else asks: then it is no more than that in all.
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		k := open(t, store, rootkey.Options{})
		store.set(func(s *testStore) { s.loads = 0 })
		for n := range 1000 {
			require.False(t, knows(t, k, identifier(t, unknownID(n))))
		}
		loads, _ := store.count()
		require.Equal(t, 1, loads)
		time.Sleep(refreshEvery - 1)
		for n := range 1000 {
			require.False(t, knows(t, k, identifier(t, unknownID(n))))
		}
		loads, _ = store.count()
		require.Equal(t, 2, loads, "which was due")
		time.Sleep(time.Nanosecond)
		for n := range 1000 {
			require.False(t, knows(t, k, identifier(t, unknownID(n))))
		}
		loads, _ = store.count()
		require.Equal(t, 3, loads)
	})
}

// A fresh key that mints at once, after its predecessor has been deleted, is found by who
// asks for it, also while a read is on its way that has missed it.
func TestUnknownKeyIsFound(t *testing.T) {
	for name, onItsWay := range map[string]bool{"first": false, "second": true} {
		t.Run(name+" read", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore()
				k, other := open(t, store, rootkey.Options{}), open(t, store.inside, rootkey.Options{})
				old := mint(t, k)
				if onItsWay {
					store.set(func(s *testStore) { s.answer = time.Second })
					time.Sleep(refreshEvery / 2)
					require.True(t, knows(t, k, old))
					synctest.Wait()
				}
				require.NoError(t, other.Delete(t.Context(), keyID(t, old)))
				fresh := mint(t, other)
				require.True(t, knows(t, k, fresh))
				require.False(t, knows(t, k, old))
			})
		})
	}
}

// A key that is published ahead is known to all before the first token carries its id, in
// whatever moments they read, and with a flood of unknown ids that leaves no read to
// spare.
func TestPublishedFirst(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			store := rootkey.NewMemoryStore()
			options := rootkey.Options{PublishFor: refreshEvery}
			minter := open(t, store, options)
			reading := &testStore{inside: store}
			verifier := open(t, reading, onlyReads)
			reading.set(func(s *testStore) { s.answer = time.Duration(random.Int64N(int64(3 * refreshEvery / 8))) })
			done := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-done:
						return
					case <-time.After(time.Duration(random.Int64N(int64(refreshEvery / 7)))):
					}
					if seed%3 > 0 {
						require.False(t, knows(t, verifier, identifier(t, unknownID(n))))
					}
				}
			})
			for range 3 {
				fresh, err := minter.Rotate(t.Context())
				require.NoError(t, err)
				time.Sleep(time.Until(fresh.Mints))
				for range 20 {
					token := mint(t, minter)
					require.Equal(t, fresh.ID, keyID(t, token))
					require.True(t, knows(t, verifier, token))
					time.Sleep(refreshEvery / 20)
				}
			}
			close(done)
			wg.Wait()
			time.Sleep(refreshEvery) // for the read that may be on its way
		})
	}
}

func TestEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		k, other := open(t, store, rootkey.Options{}), open(t, store.inside, rootkey.Options{})
		token := mint(t, k)
		_, err := k.Epoch()
		require.NoError(t, err)
		seen := map[uint64]bool{}
		last := epoch(t, k)
		seen[last] = true
		changes := func(what string) {
			t.Helper()
			now := epoch(t, k)
			require.False(t, seen[now], what)
			seen[now] = true
			last = now
		}
		// Reads that find nothing change nothing.
		for range 100 {
			time.Sleep(refreshEvery / 2)
			require.Equal(t, last, epoch(t, k))
			synctest.Wait()
		}
		require.NoError(t, k.Label(t.Context(), keyID(t, token), "x"))
		changes("written here")
		require.NoError(t, other.Label(t.Context(), keyID(t, token), "y"))
		time.Sleep(refreshEvery / 2)
		require.Equal(t, last, epoch(t, k), "which began to read")
		synctest.Wait()
		changes("written elsewhere")

		fresh, err := k.Rotate(t.Context())
		require.NoError(t, err)
		changes("a key has come")
		follow := func(until time.Time) {
			t.Helper()
			for time.Until(until) > 1 {
				require.Equal(t, last, epoch(t, k))
				synctest.Wait()
				time.Sleep(min(refreshEvery/2, time.Until(until)-1))
			}
			require.Equal(t, last, epoch(t, k))
			time.Sleep(time.Nanosecond)
		}
		follow(fresh.Mints)
		changes("it mints")
		follow(find(t, k, keyID(t, token)).Retires)
		changes("the old one has retired")
		require.NoError(t, k.Delete(t.Context(), keyID(t, token)))
		changes("deleted")

		// After a pause it vouches for nothing that it said before, nor does it wait.
		for _, pause := range []time.Duration{refreshEvery, staleAfter, 1000 * time.Hour} {
			token = mint(t, k)
			epoch(t, k)
			store.set(func(s *testStore) { s.slow = time.Second })
			time.Sleep(pause)
			start := time.Now()
			changes("long ago")
			require.Equal(t, last, epoch(t, k))
			require.Equal(t, start, time.Now())
			require.True(t, knows(t, k, token))
			require.Equal(t, time.Second, time.Since(start))
			require.Equal(t, last, epoch(t, k), "nothing has changed")
			store.set(func(s *testStore) { s.slow = 0 })
		}
	})
}

// Each pause is one, also after one in which the store failed: what was said before it counts no more.
func TestEpochAfterEachPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		k, other := open(t, store, rootkey.Options{}), open(t, store.inside, rootkey.Options{})
		token := mint(t, k)
		seen := map[uint64]bool{epoch(t, k): true}
		store.set(func(s *testStore) { s.fail = errDown })
		for range 3 {
			time.Sleep(refreshEvery)
			now := epoch(t, k)
			require.False(t, seen[now])
			seen[now] = true
			require.True(t, knows(t, k, token))
			require.Equal(t, now, epoch(t, k))
		}
		store.set(func(s *testStore) { s.fail = nil })
		require.NoError(t, other.Delete(t.Context(), keyID(t, token)))
		time.Sleep(refreshEvery)
		require.False(t, seen[epoch(t, k)])
		require.False(t, knows(t, k, token))
	})
}

// Keys retire at their instants, whatever the order in which they were made, and without a read in between.
func TestEpochAtEachInstant(t *testing.T) {
	for name, hours := range map[string][3]time.Duration{
		"in order":        {1, 2, 3},
		"the other way":   {3, 2, 1},
		"the first last":  {3, 1, 2},
		"the last first":  {2, 3, 1},
		"the middle last": {1, 3, 2},
		"the middle one":  {2, 1, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				store := rootkey.NewMemoryStore()
				records := make(map[string][]byte)
				for i, after := range hours {
					r, retires := newRecord(start.Add(time.Duration(i-10)*time.Hour)), start.Add(after*time.Hour).UTC()
					r.Retires = &retires
					records[unknownID(i)] = r.text(t)
				}
				write(t, store, records)
				k := open(t, store, rootkey.Options{RefreshEvery: 100 * time.Hour, StaleAfter: 100 * time.Hour, PublishFor: 100 * time.Hour})
				for hour := range time.Duration(3) {
					before := epoch(t, k)
					time.Sleep(time.Hour - 1)
					require.Equal(t, before, epoch(t, k))
					time.Sleep(time.Nanosecond)
					require.NotEqual(t, before, epoch(t, k))
					for i, after := range hours {
						require.Equal(t, after > hour+1, knows(t, k, identifier(t, unknownID(i))))
					}
				}
			})
		})
	}
}

// A bad answer of a store is an error, whatever it is.
func TestBadVersions(t *testing.T) {
	good := map[string][]byte{"aaaaaaaaaaaaa": newRecord(time.Now()).text(t)}
	for name, store := range map[string]rootkey.Store{
		"too long":          answers{good, strings.Repeat("x", 65)},
		"none with records": answers{good, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rootkey.Open(t.Context(), store, onlyReads)
			require.ErrorContains(t, err, "version")
		})
	}
	k, err := rootkey.Open(t.Context(), answers{good, strings.Repeat("x", 64)}, onlyReads)
	require.NoError(t, err)
	require.Len(t, list(t, k), 1)
	_, err = k.Rotate(t.Context())
	require.ErrorContains(t, err, "version")
}

// answers is a store that gives always the same.
type answers struct {
	records map[string][]byte
	version string
}

func (a answers) Load(context.Context, string) (map[string][]byte, string, bool, error) {
	return a.records, a.version, true, nil
}

func (a answers) Swap(context.Context, string, map[string][]byte) (string, bool, error) {
	return "", true, nil
}
