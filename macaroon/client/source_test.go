package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
)

// wallet makes one that expires in d, or never. Its identifier tells it from others.
func wallet(t testing.TB, identifier string, d time.Duration) macaroon.Wallet {
	t.Helper()
	m, err := macaroon.New(bytes.Repeat([]byte{3}, 32), identifier, "")
	require.NoError(t, err)
	if d != 0 {
		m, err = m.Attenuate(caveat.ExpiresAt(time.Now().Add(d)))
		require.NoError(t, err)
	}
	w, err := macaroon.NewWallet(m)
	require.NoError(t, err)
	return w
}

func identifier(w macaroon.Wallet) string { return w.Primary().Identifier() }

func write(t testing.TB, path string, w macaroon.Wallet) {
	t.Helper()
	text, err := w.MarshalText()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(text, '\n'), 0o600))
}

func TestFileFollowsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) { // for its clock
		write(t, path, wallet(t, "one", time.Hour))
		source, err := client.File(path)
		require.NoError(t, err)
		is := func(want string) {
			t.Helper()
			time.Sleep(time.Second)
			w, err := source.Wallet(t.Context(), "")
			require.NoError(t, err)
			require.Equal(t, want, identifier(w))
		}
		is("one")
		write(t, path, wallet(t, "two", time.Hour))
		is("two")
		for name, content := range map[string][]byte{
			"cut":       []byte("AgED"),
			"empty":     nil,
			"garbage":   {0, 1, 2},
			"too large": bytes.Repeat([]byte{'A'}, 1<<20),
		} {
			require.NoError(t, os.WriteFile(path, content, 0o600), name)
			is("two")
		}
		require.NoError(t, os.Remove(path))
		is("two")
		write(t, path, wallet(t, "three", time.Hour))
		is("three")

		// One that has expired does not serve for ever.
		write(t, path, wallet(t, "short", 10*time.Second))
		is("short")
		require.NoError(t, os.WriteFile(path, []byte("AgED"), 0o600))
		is("short")
		time.Sleep(10 * time.Second)
		_, err = source.Wallet(t.Context(), "")
		require.ErrorContains(t, err, "client: token file: "+path+": ")
		require.ErrorIs(t, err, macaroon.ErrMalformed)
		require.NoError(t, os.Remove(path))
		time.Sleep(time.Second)
		_, err = source.Wallet(t.Context(), "")
		require.ErrorIs(t, err, os.ErrNotExist)
		write(t, path, wallet(t, "late", -time.Second)) // it can be read: the service says what is wrong with it
		is("late")

		// A wallet with discharges is kept in the stored form.
		d, err := macaroon.New([]byte("k"), "cid", "")
		require.NoError(t, err)
		with, err := wallet(t, "four", 0).Attenuate(macaroon.ThirdParty([]byte("k"), "cid", ""))
		require.NoError(t, err)
		with, err = with.With(d)
		require.NoError(t, err)
		write(t, path, with)
		is("four")

		// Within a second the file is not looked at again.
		write(t, path, wallet(t, "five", time.Hour))
		w, err := source.Wallet(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, "four", identifier(w))
		is("five")
	})
}

func TestFileRefuses(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	require.NoError(t, os.WriteFile(bad, []byte("secret-looking"), 0o600))
	pipe := filepath.Join(dir, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	for _, path := range []string{bad, pipe, dir, filepath.Join(dir, "missing"), ""} {
		source, err := client.File(path)
		require.Error(t, err, path)
		require.Nil(t, source, path)
		require.NotContains(t, err.Error(), "secret-looking")
	}
}

// TestFileRotates: as Kubernetes writes secrets, a folder of data behind a link is
// replaced while requests are made; each is authorised by one token or the other.
func TestFileRotates(t *testing.T) {
	o := newOrders(t, 0)
	dir := t.TempDir()
	put := func(version int) {
		data := fmt.Sprintf("..data-%d", version)
		require.NoError(t, os.Mkdir(filepath.Join(dir, data), 0o700))
		write(t, filepath.Join(dir, data, "token"), o.mint(t))
		link := filepath.Join(dir, "..data_tmp")
		require.NoError(t, os.Symlink(data, link))
		require.NoError(t, os.Rename(link, filepath.Join(dir, "..data")))
		if version > 0 {
			require.NoError(t, os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..data-%d", version-1))))
		}
	}
	put(0)
	path := filepath.Join(dir, "token")
	require.NoError(t, os.Symlink(filepath.Join("..data", "token"), path))
	source, err := client.File(path)
	require.NoError(t, err)
	first, err := source.Wallet(t.Context(), "")
	require.NoError(t, err)

	c := o.client(t, source, client.Options{})
	c.Transport.(*client.Transport).CloseIdleConnections()
	stop := make(chan struct{})
	var requests atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				response, err := c.Get(o.URL)
				if err != nil {
					t.Error(err)
					return
				}
				response.Body.Close()
				if response.StatusCode != http.StatusOK {
					t.Error(response.Status)
					return
				}
				requests.Add(1)
			}
		})
	}
	for version := 1; version <= 20; version++ {
		put(version)
		for before := requests.Load(); requests.Load() < before+64 && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
	}
	// The last token is read within the second.
	require.Eventually(t, func() bool {
		now, err := source.Wallet(t.Context(), "")
		require.NoError(t, err)
		return identifier(now) != identifier(first)
	}, 30*time.Second, 10*time.Millisecond)
	close(stop)
	wg.Wait()
}

func TestRefreshAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		source, err := client.Refresh(client.SourceFunc(func(ctx context.Context, target string) (macaroon.Wallet, error) {
			n := asked.Add(1)
			time.Sleep(time.Second)
			return wallet(t, fmt.Sprint(target, n), time.Minute), nil
		}), time.Hour)
		require.NoError(t, err)
		get := func(target string) string {
			w, err := source.Wallet(t.Context(), target)
			require.NoError(t, err)
			return identifier(w)
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { require.Equal(t, "a1", get("a")) })
		}
		wg.Wait()
		require.Equal(t, int64(1), asked.Load())
		require.Equal(t, "b2", get("b"), "another target, another wallet")

		// Before two thirds of its time nobody asks; later one does, in the background.
		time.Sleep(37 * time.Second)
		require.Equal(t, "a1", get("a"))
		synctest.Wait()
		require.Equal(t, int64(2), asked.Load())
		time.Sleep(14 * time.Second)
		for range 50 {
			require.Equal(t, "a1", get("a"), "the old one serves meanwhile")
		}
		synctest.Wait()
		require.Equal(t, int64(3), asked.Load())
		time.Sleep(2 * time.Second)
		require.Equal(t, "a3", get("a"))

		// Expired: requests wait.
		time.Sleep(2 * time.Minute)
		require.Equal(t, "a4", get("a"))
	})
}

// TestRefreshDiffers: many processes that started at once don't ask at once again.
func TestRefreshDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const processes = 100
		start := time.Now()
		asked := make([][]time.Duration, processes)
		var wg sync.WaitGroup
		for i := range processes {
			source, err := client.Refresh(client.SourceFunc(func(context.Context, string) (macaroon.Wallet, error) {
				asked[i] = append(asked[i], time.Since(start))
				return wallet(t, "x", time.Minute), nil
			}), time.Hour)
			require.NoError(t, err)
			wg.Go(func() {
				for time.Since(start) < 55*time.Second {
					_, err := source.Wallet(t.Context(), "")
					assert.NoError(t, err)
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		moments := map[time.Duration]bool{}
		for _, when := range asked {
			require.Len(t, when, 2)
			require.GreaterOrEqual(t, when[1], 40*time.Second)
			require.LessOrEqual(t, when[1], 51*time.Second)
			moments[when[1]] = true
		}
		require.Greater(t, len(moments), processes/4, "of about a hundred possible ones")
	})
}

// TestRefreshSurvives a source that ends the goroutine that asks it.
func TestRefreshSurvives(t *testing.T) {
	source, err := client.Refresh(client.SourceFunc(func(context.Context, string) (macaroon.Wallet, error) {
		runtime.Goexit()
		return macaroon.Wallet{}, nil
	}), time.Hour)
	require.NoError(t, err)
	_, err = source.Wallet(t.Context(), "")
	require.ErrorContains(t, err, "did not return")
}

// TestRefreshDoesNotWaitForEver for a source that would.
func TestRefreshDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, err := client.Refresh(client.SourceFunc(func(ctx context.Context, _ string) (macaroon.Wallet, error) {
			<-ctx.Done()
			return macaroon.Wallet{}, ctx.Err()
		}), time.Hour)
		require.NoError(t, err)
		start := time.Now()
		_, err = source.Wallet(t.Context(), "")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 30*time.Second, time.Since(start))
	})
}

// TestRefreshOutlivesWhoAsked: the first caller goes away, and the second gets the
// answer to the first one's question.
func TestRefreshOutlivesWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		asked := 0
		source, err := client.Refresh(client.SourceFunc(func(ctx context.Context, _ string) (macaroon.Wallet, error) {
			asked++
			require.Equal(t, "first", ctx.Value(key{}))
			select {
			case <-time.After(10 * time.Second):
				return wallet(t, "x", time.Hour), nil
			case <-ctx.Done():
				return macaroon.Wallet{}, ctx.Err()
			}
		}), time.Hour)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "first"))
		first := make(chan error)
		go func() {
			_, err := source.Wallet(ctx, "")
			first <- err
		}()
		synctest.Wait()
		second := make(chan error)
		go func() {
			_, err := source.Wallet(t.Context(), "")
			second <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-first, context.Canceled)
		require.NoError(t, <-second)
		require.Equal(t, 1, asked)
	})
}

// TestRefreshForwardsNothing: what is kept is given to whoever asks next, so nobody's
// token may be among it.
func TestRefreshForwardsNothing(t *testing.T) {
	source, err := client.Refresh(client.Forwarding(), time.Hour)
	require.NoError(t, err)
	credential, err := wallet(t, "ann", time.Hour).Credential()
	require.NoError(t, err)
	_, err = source.Wallet(macaroon.NewContext(t.Context(), credential), "")
	require.ErrorIs(t, err, client.ErrNothingToForward)
}

func TestRefreshFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		var asked int
		var answer func() (macaroon.Wallet, error)
		source, err := client.Refresh(client.SourceFunc(func(context.Context, string) (macaroon.Wallet, error) {
			asked++
			return answer()
		}), time.Minute)
		require.NoError(t, err)
		get := func() (string, error) {
			w, err := source.Wallet(t.Context(), "")
			synctest.Wait()
			return identifier(w), err
		}

		answer = func() (macaroon.Wallet, error) { return macaroon.Wallet{}, boom }
		for range 10 {
			_, err = get()
			require.ErrorIs(t, err, boom)
		}
		require.Equal(t, 1, asked, "not asked again within the second")
		time.Sleep(time.Second)
		answer = func() (macaroon.Wallet, error) { return wallet(t, "good", 0), nil }
		name, err := get()
		require.NoError(t, err)
		require.Equal(t, "good", name)

		// While a new one can't be had the old one serves, to its end.
		answer = func() (macaroon.Wallet, error) { panic("secret") }
		asked = 0
		for range 59 {
			name, err = get()
			require.NoError(t, err)
			require.Equal(t, "good", name)
			time.Sleep(time.Second)
		}
		require.Greater(t, asked, 5)
		time.Sleep(time.Second)
		_, err = get()
		require.ErrorContains(t, err, "panicked")
		require.NotContains(t, err.Error(), "secret")

		for want, wrong := range map[string]macaroon.Wallet{"zero value": {}, "expired": wallet(t, "old", -time.Second)} {
			time.Sleep(2 * time.Second)
			answer = func() (macaroon.Wallet, error) { return wrong, nil }
			_, err = get()
			require.ErrorContains(t, err, want)
		}

		// Who can't wait need not.
		time.Sleep(2 * time.Second)
		answer = func() (macaroon.Wallet, error) { time.Sleep(10 * time.Second); return wallet(t, "slow", 0), nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = source.Wallet(ctx, "")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		name, err = get()
		require.NoError(t, err, "the question goes on without who asked it")
		require.Equal(t, "slow", name)
	})
}

func TestRefreshKeepsFewTargets(t *testing.T) {
	asked := 0
	source, err := client.Refresh(client.SourceFunc(func(_ context.Context, target string) (macaroon.Wallet, error) {
		asked++
		return wallet(t, target, 0), nil
	}), time.Hour)
	require.NoError(t, err)
	for i := range 1000 {
		w, err := source.Wallet(t.Context(), fmt.Sprint(i))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), identifier(w))
	}
	require.Equal(t, 1000, asked)
	for i := range 1000 {
		_, err := source.Wallet(t.Context(), fmt.Sprint(i))
		require.NoError(t, err)
	}
	require.GreaterOrEqual(t, asked, 2000-256, "most were not kept")

	_, err = client.Refresh(nil, time.Hour)
	require.Error(t, err)
	_, err = client.Refresh(source, 0)
	require.Error(t, err)
}

func TestTarget(t *testing.T) {
	target, err := client.Target("HTTPS://Orders.Internal/")
	require.NoError(t, err)
	require.Equal(t, "https://orders.internal:443", target)
	again, err := client.Target(target)
	require.NoError(t, err)
	require.Equal(t, target, again)
	for _, text := range []string{"", "orders.internal", "https://orders.internal/7", "https://u@orders.internal", "ftp://orders.internal"} {
		target, err := client.Target(text)
		require.Error(t, err, text)
		require.Empty(t, target)
	}
}

func TestZeroWallet(t *testing.T) {
	_, err := client.Static(macaroon.Wallet{}).Wallet(t.Context(), "")
	require.ErrorIs(t, err, macaroon.ErrInvalid)
}

// TestRefreshLooksAtEachExpiry: the earliest counts, of whichever macaroon, at the very
// instant, and one that can't be read has passed.
func TestRefreshLooksAtEachExpiry(t *testing.T) {
	key := bytes.Repeat([]byte{1}, 32)
	at := func(d time.Duration) macaroon.Caveat { return caveat.ExpiresAt(time.Now().Add(d)) }
	for name, row := range map[string]struct {
		caveats func() []macaroon.Caveat
		life    time.Duration // 0: refused
	}{
		"earliest first":   {func() []macaroon.Caveat { return []macaroon.Caveat{at(30 * time.Second), at(time.Hour)} }, 30 * time.Second},
		"earliest last":    {func() []macaroon.Caveat { return []macaroon.Caveat{at(time.Hour), at(30 * time.Second)} }, 30 * time.Second},
		"of the discharge": {func() []macaroon.Caveat { return []macaroon.Caveat{at(time.Hour), macaroon.ThirdParty(key, "cid", "")} }, 20 * time.Second},
		"none":             {func() []macaroon.Caveat { return nil }, time.Minute},
		"now":              {func() []macaroon.Caveat { return []macaroon.Caveat{at(0)} }, 0},
		"unreadable":       {func() []macaroon.Caveat { return []macaroon.Caveat{macaroon.Condition("time-before tea")} }, 0},
		"a caveat id":      {func() []macaroon.Caveat { return []macaroon.Caveat{macaroon.ThirdParty(key, "time-before tea", "")} }, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, err := wallet(t, "x", 0).Attenuate(row.caveats()...)
				require.NoError(t, err)
				for _, missing := range w.Missing() {
					d, err := macaroon.New(key, missing.CaveatID, "")
					require.NoError(t, err)
					d, err = d.Attenuate(at(20 * time.Second))
					require.NoError(t, err)
					w, err = w.With(d)
					require.NoError(t, err)
				}
				asked := 0
				source, err := client.Refresh(client.SourceFunc(func(context.Context, string) (macaroon.Wallet, error) {
					if asked++; asked > 1 {
						return macaroon.Wallet{}, errors.New("no more")
					}
					return w, nil
				}), time.Minute)
				require.NoError(t, err)
				start := time.Now()
				for {
					if _, err := source.Wallet(t.Context(), ""); err != nil {
						break
					}
					time.Sleep(time.Second)
				}
				require.Equal(t, row.life, time.Since(start))
			})
		})
	}
}

func TestForward(t *testing.T) {
	ctx := t.Context()
	_, err := client.Forward(ctx)
	require.ErrorIs(t, err, client.ErrNothingToForward)

	credential, err := wallet(t, "in", time.Hour).Credential()
	require.NoError(t, err)
	in := macaroon.NewContext(ctx, credential)
	w, err := client.Forward(in, caveat.Methods("GET"))
	require.NoError(t, err)
	require.Equal(t, "in", identifier(w))
	require.Equal(t, 2, w.Inspect().At(0).Caveats().Len())
	list := []macaroon.Caveat{caveat.Methods("GET")}
	forwarding := client.Forwarding(list...)
	list[0] = caveat.Methods("PUT")
	w, err = forwarding.Wallet(in, "")
	require.NoError(t, err)
	require.Equal(t, 2, w.Inspect().At(0).Caveats().Len())
	require.Equal(t, "http-method GET", w.Inspect().At(0).Caveats().At(1).ID, "the list is copied")
	_, err = client.Forward(in, caveat.Methods())
	require.Error(t, err)

	// With discharges it is sealed, and the error says so.
	key := bytes.Repeat([]byte{9}, 32)
	d, err := macaroon.New(key, "cid", "")
	require.NoError(t, err)
	with, err := wallet(t, "in", 0).Attenuate(macaroon.ThirdParty(key, "cid", ""))
	require.NoError(t, err)
	with, err = with.With(d)
	require.NoError(t, err)
	sealed, err := with.Credential()
	require.NoError(t, err)
	_, err = client.Forward(macaroon.NewContext(ctx, sealed))
	require.ErrorIs(t, err, macaroon.ErrSealed)
}
