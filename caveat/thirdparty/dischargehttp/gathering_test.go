package dischargehttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
)

// doors is a third party that answers about each caveat when the test lets it.
type doors struct {
	http.Handler
	mu    sync.Mutex
	asked []string
	gone  []string // asked for, and nobody waits any more
	open  map[string]chan struct{}
}

func newDoors(t testing.TB) *doors {
	return &doors{
		Handler: discharges(t, func(id string) (macaroon.Macaroon, map[string]string) { return newMacaroon(t, id), nil }),
		open:    make(map[string]chan struct{}),
	}
}

func (d *doors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := caveatID(r)
	open := d.of(id)
	d.note(&d.asked, id)
	select {
	case <-open:
		d.Handler.ServeHTTP(w, r)
	case <-r.Context().Done():
		d.note(&d.gone, id)
	}
}

func (d *doors) note(list *[]string, id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*list = append(*list, id)
	slices.Sort(*list)
}

func (d *doors) of(id string) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[id] == nil {
		d.open[id] = make(chan struct{})
	}
	return d.open[id]
}

func (d *doors) answer(ids ...string) {
	for _, id := range ids {
		close(d.of(id))
	}
}

// outcome is what a client gave.
type outcome struct {
	wallet macaroon.Wallet
	err    error
}

// begin has a client get discharges for these caveats, which all are the same third party's, and gives what comes of it
// once the test has nothing else to do.
func (d *doors) begin(ctx context.Context, t testing.TB, c *dischargehttp.Client, ids ...string) <-chan outcome {
	var list []macaroon.Caveat
	for _, id := range ids {
		list = append(list, plain(id, home))
	}
	w := newOrders(t).wallet(t, list...)
	done := make(chan outcome, 1)
	go func() {
		w, err := c.Discharge(ctx, w)
		done <- outcome{w, err}
	}()
	synctest.Wait()
	return done
}

func identifiers(w macaroon.Wallet) (list []string) {
	for _, d := range w.Discharges() {
		list = append(list, d.Identifier())
	}
	return list
}

// No third party waits for another one, and their discharges verify. Nobody answers here before all have been asked.
func TestAtTheSameTime(t *testing.T) {
	const parties = 3
	var all sync.WaitGroup
	all.Add(parties)
	asked := make(chan struct{})
	go func() {
		all.Wait()
		close(asked)
	}()
	var locations []string
	var caveats []macaroon.Caveat
	for i := range parties {
		s := newService(t, members, dischargehttp.ServiceOptions{Caller: byHeader})
		server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			all.Done()
			select {
			case <-asked:
				s.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		}))
		c := thirdparty.NewCaveat(s.Party(server.URL), isMember)
		if i == 1 {
			c = c.Attesting("user")
		}
		locations, caveats = append(locations, server.URL), append(caveats, c)
	}
	c, o := newClient(t, dischargehttp.ClientOptions{Identity: as("ann")}, locations...), newOrders(t)
	w, err := c.Discharge(soon(t), o.wallet(t, caveats...))
	require.NoError(t, err)
	require.Equal(t, "ann", o.user(t, w))
}

// What one caveat id stands for is not sent for another, though both are asked for at the same time.
func TestPayloadsAtTheSameTime(t *testing.T) {
	s := newService(t, members, dischargehttp.ServiceOptions{Caller: byHeader})
	server := serve(t, s)
	payloads := make(map[string]string)
	var caveats []macaroon.Caveat
	for _, id := range []string{"\x03\x00", "\x03\x01", "\x03\x02"} {
		rootKey, payload, _, err := thirdparty.NewCaveat(s.Party(server.URL), isMember).ThirdParty()
		require.NoError(t, err)
		caveats = append(caveats, macaroon.ThirdParty(rootKey, id, server.URL))
		payloads[id] = payload
	}
	c, o := newClient(t, dischargehttp.ClientOptions{Identity: as("ann")}, server.URL), newOrders(t)
	w, err := c.DischargeBakery(soon(t), dischargehttp.BakeryMacaroon{Macaroon: o.wallet(t, caveats...).Primary(), Payloads: payloads})
	require.NoError(t, err)
	require.Empty(t, o.user(t, w), "and it verifies")
}

// What Identity gives for one third party does not reach another, though it uses one header for all of them and is asked
// about the next one at once.
func TestIdentitiesAtTheSameTime(t *testing.T) {
	var mu sync.Mutex
	sent := make(map[string]string)
	answers := inProcess(discharges(t, func(id string) (macaroon.Macaroon, map[string]string) { return newMacaroon(t, id), nil }))
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		sent["https://"+r.URL.Host] = r.Header.Get("Authorization")
		mu.Unlock()
		return answers.RoundTrip(r)
	})
	want := make(map[string]string)
	var locations []string
	var caveats []macaroon.Caveat
	for i := range 8 {
		location := fmt.Sprintf("https://id%d.example", i)
		want[location] = "for " + location
		locations, caveats = append(locations, location), append(caveats, plain(location, location))
	}
	one := make(http.Header)
	c := newClient(t, dischargehttp.ClientOptions{Base: base, Identity: func(_ context.Context, location string) (dischargehttp.Identity, error) {
		one.Set("Authorization", want[location])
		return dischargehttp.Identity{Header: one}, nil
	}}, locations...)
	_, err := c.Discharge(soon(t), newOrders(t).wallet(t, caveats...))
	require.NoError(t, err)
	require.Equal(t, want, sent)
	require.Len(t, one, 1, "and it is not changed")
}

// A third party that is asked in vain, since another one refuses, notices that nobody waits any more.
func TestRefusedAtTheSameTime(t *testing.T) {
	asked, gone := make(chan struct{}), make(chan struct{})
	refusing := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-asked:
			w.WriteHeader(http.StatusForbidden)
		case <-r.Context().Done():
		}
	}))
	silent := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(asked)
		<-r.Context().Done()
		close(gone)
	}))
	c := newClient(t, dischargehttp.ClientOptions{Timeout: patience}, refusing.URL, silent.URL)
	_, err := c.Discharge(soon(t), newOrders(t).wallet(t, plain("a", refusing.URL), plain("b", silent.URL)))
	var at *dischargehttp.Error
	require.ErrorAs(t, err, &at)
	require.Equal(t, refusing.URL, at.Location)
	received(t, gone)
}

// Eight at a time, in the order of the caveats, and all that is needed.
func TestAtMostEightAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoors(t)
		var ids []string
		for i := range 15 {
			ids = append(ids, fmt.Sprintf("%02d", i))
		}
		done := d.begin(t.Context(), t, newClient(t, dischargehttp.ClientOptions{Base: inProcess(d)}, home), ids...)
		require.Equal(t, ids[:8], d.asked)
		d.answer(ids[1:8]...)
		synctest.Wait()
		require.Equal(t, ids[:8], d.asked, "the first is still asked for")
		d.answer(ids[0])
		synctest.Wait()
		require.Equal(t, ids, d.asked, "the last seven")
		for i := range 7 {
			d.answer(ids[14-i])
			synctest.Wait()
		}
		got := received(t, done)
		require.NoError(t, got.err)
		require.Equal(t, ids, identifiers(got.wallet), "in the order of the caveats, whoever answered first")
	})
}

// The error is that of the first caveat which fails, whoever failed first, and then nobody is asked any longer.
func TestFirstErrorInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoors(t)
		fails := map[string]bool{"b": true, "c": true}
		good := d.Handler
		d.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if id := caveatID(r); fails[id] {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusForbidden)
				io.WriteString(w, `{"Message":"`+id+`"}`)
				return
			}
			good.ServeHTTP(w, r)
		})
		c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(d)}, home)
		done := d.begin(t.Context(), t, c, "a", "b", "c", "d", "e")
		require.Equal(t, []string{"a", "b", "c", "d", "e"}, d.asked)
		for _, id := range []string{"d", "c", "b"} {
			d.answer(id)
			synctest.Wait()
			require.Empty(t, done)
		}
		d.answer("a")
		got := received(t, done)
		var refusal *dischargehttp.Refusal
		require.ErrorAs(t, got.err, &refusal)
		require.Equal(t, "b", refusal.Message)
		var at *dischargehttp.Error
		require.ErrorAs(t, got.err, &at)
		require.Equal(t, home, at.Location)
		require.Equal(t, macaroon.CaveatReference("b"), at.Reference)
		require.True(t, got.wallet.IsZero())
		synctest.Wait()
		require.Equal(t, []string{"e"}, d.gone)

		// What was got is kept.
		clear(fails)
		d.answer("e")
		got = received(t, d.begin(t.Context(), t, c, "a", "b", "c", "d", "e"))
		require.NoError(t, got.err)
		require.Equal(t, []string{"a", "b", "b", "c", "c", "d", "e", "e"}, d.asked)
	})
}

// Whoever gives up leaves nobody asked, and nothing running: a test that did would not end.
func TestGivingUpAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoors(t)
		c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(d)}, home)
		ctx, cancel := context.WithCancel(t.Context())
		done := d.begin(ctx, t, c, "a", "b", "c")
		cancel()
		require.ErrorIs(t, received(t, done).err, context.Canceled)
		synctest.Wait()
		require.Equal(t, []string{"a", "b", "c"}, d.gone)
		require.ErrorIs(t, received(t, d.begin(ctx, t, c, "a", "b", "c")).err, context.Canceled)
		require.Equal(t, []string{"a", "b", "c"}, d.asked, "nobody anew")
	})
}

// Whoever fails leaves alone what others wait for too, whichever of them asked for it.
func TestFailingTakesNobodyAlong(t *testing.T) {
	for name, first := range map[string][]string{"who fails asked first": {"bad", "shared"}, "who fails asked last": {"shared"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoors(t)
				good := d.Handler
				d.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if caveatID(r) == "bad" {
						w.WriteHeader(http.StatusForbidden)
						return
					}
					good.ServeHTTP(w, r)
				})
				c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(d)}, home)
				failing := d.begin(t.Context(), t, c, first...)
				other := d.begin(t.Context(), t, c, "shared")
				if len(first) == 1 {
					other, failing = failing, d.begin(t.Context(), t, c, "bad", "shared")
				}
				d.answer("bad")
				require.Error(t, received(t, failing).err)
				synctest.Wait()
				require.Empty(t, d.gone)
				d.answer("shared")
				require.NoError(t, received(t, other).err)
				require.Equal(t, []string{"bad", "shared"}, d.asked)
			})
		})
	}
}

// Where it is known at once that one can't be got, those after it are not asked for.
func TestNobodyIsAskedInVain(t *testing.T) {
	lost := errors.New("no session")
	const other = "https://other.example"
	for name, row := range map[string]struct {
		second string // location
		want   error
	}{
		"not an allowed location": {"https://evil.example", dischargehttp.ErrNotAllowed},
		"no identity":             {other, lost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoors(t)
				c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(d), Identity: func(_ context.Context, location string) (dischargehttp.Identity, error) {
					if location == other {
						return dischargehttp.Identity{}, lost
					}
					return dischargehttp.Identity{}, nil
				}}, home, other)
				w := newOrders(t).wallet(t, plain("a", home), plain("b", row.second), plain("c", home))
				done := make(chan error, 1)
				go func() {
					_, err := c.Discharge(t.Context(), w)
					done <- err
				}()
				synctest.Wait()
				require.Empty(t, done, "the first may fail, too")
				d.answer("a")
				err := received(t, done)
				require.ErrorIs(t, err, row.want)
				var at *dischargehttp.Error
				require.ErrorAs(t, err, &at)
				require.Equal(t, row.second, at.Location)
				require.Equal(t, []string{"a"}, d.asked)
			})
		})
	}
}

// A panic fails the one discharge if it comes from where nobody could recover it, and else it is the caller's; and the
// other questions end.
func TestPanicsAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoors(t)
		c := newClient(t, dischargehttp.ClientOptions{Base: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "other.example" {
				panic("secret")
			}
			return inProcess(d).RoundTrip(r)
		})}, home, "https://other.example")
		_, err := c.Discharge(t.Context(), newOrders(t).wallet(t, plain("a", "https://other.example"), plain("b", home)))
		require.ErrorContains(t, err, "panicked with a string")
		require.NotContains(t, err.Error(), "secret")
		synctest.Wait()
		require.Equal(t, d.asked, d.gone)

		c = newClient(t, dischargehttp.ClientOptions{Base: inProcess(d), Identity: func(_ context.Context, location string) (dischargehttp.Identity, error) {
			if location == home {
				return dischargehttp.Identity{}, nil
			}
			synctest.Wait()
			panic("secret")
		}}, home, "https://other.example")
		w := newOrders(t).wallet(t, plain("c", home), plain("d", "https://other.example"))
		require.PanicsWithValue(t, "secret", func() { c.Discharge(t.Context(), w) })
		synctest.Wait()
		require.Contains(t, d.asked, "c")
		require.Contains(t, d.gone, "c")
	})
}

// Nobody has to look at two windows at once: the next one opens when the one before has been seen to.
func TestWindowsOpenOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flows := newFlows(t, "login", dischargehttp.FlowOptions{})
		s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows})
		opened := make(chan string, 3)
		browser, err := dischargehttp.Browser(func(_ context.Context, at string) error { opened <- at; return nil })
		require.NoError(t, err)
		c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(s), Interactors: []dischargehttp.Interactor{browser}}, home)
		o := newOrders(t)
		w := o.wallet(t, thirdparty.NewCaveat(s.Party(home), isMember), thirdparty.NewCaveat(s.Party(home), isMember).Attesting("user"))
		done := make(chan outcome, 1)
		go func() {
			w, err := c.Discharge(t.Context(), w)
			done <- outcome{w, err}
		}()
		for range 2 {
			at := received(t, opened)
			synctest.Wait()
			require.Empty(t, opened)
			require.NoError(t, flows.Complete(flowOf(t, at), "ann"))
		}
		got := received(t, done)
		require.NoError(t, got.err)
		require.Equal(t, "ann", o.user(t, got.wallet))
	})
}

// Those who are asked by third parties themselves need not wait for each other.
func TestOthersActAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := make(chan string, 3)
		flows := newFlows(t, "", dischargehttp.FlowOptions{Began: func(_ context.Context, f dischargehttp.Flow) error { begun <- f.ID; return nil }})
		s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows})
		c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(s)}, home)
		o := newOrders(t)
		w := o.wallet(t, thirdparty.NewCaveat(s.Party(home), isMember), thirdparty.NewCaveat(s.Party(home), isMember).Attesting("user"))
		done := make(chan outcome, 1)
		go func() {
			w, err := c.Discharge(t.Context(), w)
			done <- outcome{w, err}
		}()
		for _, id := range []string{received(t, begun), received(t, begun)} {
			require.NoError(t, flows.Complete(id, "ann"))
		}
		got := received(t, done)
		require.NoError(t, got.err)
		require.Equal(t, "ann", o.user(t, got.wallet))
	})
}
