package dischargehttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
)

// Who asks after an identity was forgotten does not get what somebody else asked before, and that
// is not kept.
func TestForgetWhileAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, members, dischargehttp.ServiceOptions{Caller: byHeader})
		g := gated(s)
		c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(g), Identity: as("ann")}, home)
		w := newOrders(t).wallet(t, thirdparty.NewCaveat(s.Party(home), isMember))
		var wait sync.WaitGroup
		defer wait.Wait()
		defer g.answer()
		ask := func() {
			wait.Go(func() {
				if _, err := c.Discharge(soon(t), w); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		ask()
		c.Forget("ann")
		ask()
		require.EqualValues(t, 2, g.requests.Load())
		c.Forget("ann")
		g.answer()
		wait.Wait()
		ask()
		wait.Wait()
		require.EqualValues(t, 3, g.requests.Load())
	})
}

// Who asked before an identity was forgotten, and is answered or gives up, keeps nobody from sharing what was asked since.
func TestForgottenLeavesOthersAlone(t *testing.T) {
	for name, givesUp := range map[string]bool{"answered": false, "gives up": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t, members, dischargehttp.ServiceOptions{Caller: byHeader})
				old, young := gated(s), gated(s)
				base := inProcess(old)
				c := newClient(t, dischargehttp.ClientOptions{Identity: as("ann"), Base: roundTripper(func(r *http.Request) (*http.Response, error) {
					return base.RoundTrip(r)
				})}, home)
				w := newOrders(t).wallet(t, thirdparty.NewCaveat(s.Party(home), isMember))
				ask := func(ctx context.Context) chan error {
					done := make(chan error, 1)
					go func() {
						_, err := c.Discharge(ctx, w)
						done <- err
					}()
					synctest.Wait()
					return done
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				before := ask(ctx)
				c.Forget("ann")
				base = inProcess(young)
				since := ask(t.Context())
				if givesUp {
					cancel()
					require.ErrorIs(t, received(t, before), context.Canceled)
				} else {
					old.answer()
					require.NoError(t, received(t, before))
				}
				synctest.Wait()
				sharing := ask(t.Context())
				young.answer()
				require.NoError(t, received(t, since))
				require.NoError(t, received(t, sharing))
				require.NoError(t, received(t, ask(t.Context())), "what is kept")
				require.EqualValues(t, 1, young.requests.Load())
			})
		})
	}
}

// gate is a third party that answers when the test lets it.
type gate struct {
	http.Handler
	requests atomic.Int64
	open     chan struct{}
	gone     atomic.Int64 // requests that were cancelled
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.requests.Add(1)
	select {
	case <-g.open:
		g.Handler.ServeHTTP(w, r)
	case <-r.Context().Done():
		g.gone.Add(1)
	}
}

func gated(h http.Handler) *gate { return &gate{Handler: h, open: make(chan struct{})} }

// answer lets it answer from now on. It is for the goroutine of the test, which may call it again when it fails.
func (g *gate) answer() {
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

const home = "https://id.example"

// Whoever asks for the same at the same time waits for one answer.
func TestSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, members, dischargehttp.ServiceOptions{Caller: byHeader})
		g := gated(s)
		c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(g), Identity: as("ann")}, home)
		o := newOrders(t)
		w := o.wallet(t, thirdparty.NewCaveat(s.Party(home), isMember).Attesting("user"))
		var wait sync.WaitGroup
		defer wait.Wait()
		defer g.answer()
		for range 50 {
			wait.Go(func() {
				discharged, err := c.Discharge(soon(t), w)
				if err != nil || len(discharged.Missing()) != 0 {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		require.EqualValues(t, 1, g.requests.Load())
		g.answer()
		wait.Wait()
		require.EqualValues(t, 1, g.requests.Load())
	})
}

// Who gives up does not take the others along, even who came first; and when nobody waits any more, the question is
// not asked on.
func TestSingleFlightOutlivesItsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, members, dischargehttp.ServiceOptions{Caller: byHeader})
		g := gated(s)
		c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(g), Identity: as("ann")}, home)
		w := newOrders(t).wallet(t, thirdparty.NewCaveat(s.Party(home), isMember))
		defer g.answer()
		ask := func(ctx context.Context) chan error {
			done := make(chan error, 1)
			go func() {
				_, err := c.Discharge(ctx, w)
				done <- err
			}()
			synctest.Wait()
			return done
		}
		ctx, cancel := context.WithCancel(t.Context())
		first, second := ask(ctx), ask(t.Context())
		cancel()
		require.ErrorIs(t, received(t, first), context.Canceled)
		g.answer()
		require.NoError(t, received(t, second))
		require.EqualValues(t, 1, g.requests.Load())
		require.Zero(t, g.gone.Load())

		c.Forget("ann")
		g.open = make(chan struct{})
		ctx, cancel = context.WithCancel(t.Context())
		first, second = ask(ctx), ask(ctx)
		cancel()
		require.ErrorIs(t, received(t, first), context.Canceled)
		require.ErrorIs(t, received(t, second), context.Canceled)
		synctest.Wait()
		require.EqualValues(t, 1, g.gone.Load())

		// Nobody joins what was given up.
		g.answer()
		require.NoError(t, received(t, ask(t.Context())))
		require.EqualValues(t, 3, g.requests.Load())
		require.ErrorIs(t, received(t, ask(ctx)), context.Canceled, "not even for what is kept")
	})
}

// Nobody joins a question that was given up, though the transport has not noticed yet.
func TestSingleFlightGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, members, dischargehttp.ServiceOptions{Caller: byHeader})
		stuck := make(chan struct{})
		free := sync.OnceFunc(func() { close(stuck) })
		defer free()
		requests := 0
		c := newClient(t, dischargehttp.ClientOptions{Identity: as("ann"), Base: roundTripper(func(r *http.Request) (*http.Response, error) {
			if requests++; requests == 1 {
				<-stuck
				return nil, io.EOF
			}
			return inProcess(s).RoundTrip(r)
		})}, home)
		w := newOrders(t).wallet(t, thirdparty.NewCaveat(s.Party(home), isMember))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := c.Discharge(ctx, w)
			done <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, received(t, done), context.Canceled)
		_, err := c.Discharge(soon(t), w)
		require.NoError(t, err)
		free()
		synctest.Wait()
		_, err = c.Discharge(soon(t), w)
		require.NoError(t, err)
		require.Equal(t, 2, requests)
	})
}

// A discharge is kept until shortly before it expires. Errors are not kept.
func TestKeptUntilExpiry(t *testing.T) {
	for name, row := range map[string]struct {
		caveats []macaroon.Caveat
		fresh   time.Duration // for so long it is kept
	}{
		"as the discharger has it":     {nil, 4*time.Minute + 30*time.Second},
		"an earlier expiry":            {[]macaroon.Caveat{macaroon.Condition("time-before 2000-01-01T00:00:40Z")}, 30 * time.Second},
		"expired":                      {[]macaroon.Caveat{macaroon.Condition("time-before 1999-12-31T23:59:59Z")}, 0},
		"one that nobody can read":     {[]macaroon.Caveat{macaroon.Condition("time-before soon")}, 0},
		"a later one changes nothing":  {[]macaroon.Caveat{macaroon.Condition("time-before 2001-01-01T00:00:00Z")}, 4*time.Minute + 30*time.Second},
		"another condition is no time": {[]macaroon.Caveat{macaroon.Condition("time-after 1999-01-01T00:00:00Z")}, 4*time.Minute + 30*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // its clock begins with the year 2000
				var told records
				s := newService(t, says(thirdparty.Answer{Caveats: row.caveats}), dischargehttp.ServiceOptions{Audit: told.audit})
				c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(s)}, home)
				w := newOrders(t).wallet(t, thirdparty.NewCaveat(s.Party(home), isMember))
				for i, sleep := range []time.Duration{0, row.fresh - 1, 1} {
					time.Sleep(max(sleep, 0))
					_, err := c.Discharge(soon(t), w)
					require.NoError(t, err)
					want := 1
					if row.fresh == 0 {
						want = i + 1
					} else if i == 2 {
						want = 2
					}
					require.Len(t, told.all(), want)
				}
			})
		})
	}
}

// Renewing makes no use of what was kept, unless that is new, and what it gets is kept.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told records
		s := newService(t, says(thirdparty.Answer{}), dischargehttp.ServiceOptions{Audit: told.audit})
		c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(s)}, home)
		w := newOrders(t).wallet(t, thirdparty.NewCaveat(s.Party(home), isMember))
		for _, row := range []struct {
			get  func(context.Context, macaroon.Wallet) (macaroon.Wallet, error)
			want int
		}{{c.Discharge, 1}, {c.Renew, 2}, {c.Discharge, 2}} {
			time.Sleep(3 * time.Second)
			_, err := row.get(soon(t), w)
			require.NoError(t, err)
			require.Len(t, told.all(), row.want)
		}
		_, err := c.Renew(soon(t), w)
		require.NoError(t, err)
		require.Len(t, told.all(), 3)
		_, err = c.Renew(soon(t), w)
		require.NoError(t, err)
		require.Len(t, told.all(), 3)
	})
}

// What never expires, or late, is kept for an hour.
func TestKeptForAnHour(t *testing.T) {
	for name, caveats := range map[string][]macaroon.Caveat{
		"never": nil,
		"late":  {macaroon.Condition("time-before 2999-01-01T00:00:00Z")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(discharges(t, func(id string) (macaroon.Macaroon, map[string]string) {
					requests++
					return newMacaroon(t, id, caveats...), nil
				}))}, home)
				w := newOrders(t).wallet(t, plain("x", home))
				for _, row := range []struct {
					sleep time.Duration
					want  int
				}{{0, 1}, {time.Hour - 1, 1}, {1, 2}} {
					time.Sleep(row.sleep)
					_, err := c.Discharge(soon(t), w)
					require.NoError(t, err)
					require.Equal(t, row.want, requests)
				}
			})
		})
	}
}

// So many are kept and no more, or none.
func TestKeptAreBounded(t *testing.T) {
	for cache, want := range map[int]int{-1: 2 * 40, 10: 2*40 - 10, 100: 40} {
		requests := 0
		c := newClient(t, dischargehttp.ClientOptions{Cache: cache, Base: inProcess(discharges(t, func(id string) (macaroon.Macaroon, map[string]string) {
			requests++
			return newMacaroon(t, id), nil
		}))}, home)
		o := newOrders(t)
		var wallets []macaroon.Wallet
		for i := range 40 {
			wallets = append(wallets, o.wallet(t, plain(string(rune('a'+i)), home)))
		}
		for _, w := range wallets {
			_, err := c.Discharge(soon(t), w)
			require.NoError(t, err)
		}
		require.Equal(t, 40, requests)
		for i := range wallets { // backwards, the ones that were asked for last
			_, err := c.Discharge(soon(t), wallets[len(wallets)-1-i])
			require.NoError(t, err)
		}
		if cache == 10 {
			// Which ones are dropped is left to chance, and asking again drops others: but never are more kept.
			require.GreaterOrEqual(t, requests, want)
			continue
		}
		require.Equal(t, want, requests)
	}
}

// External caveat ids are alike in many tokens: what is kept for one is not given for another.
func TestKeptByPayload(t *testing.T) {
	s := newService(t, members, dischargehttp.ServiceOptions{Caller: byHeader})
	c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(s), Identity: as("ann")}, home)
	for range 2 {
		party := s.Party(home)
		rootKey, payload, _, err := thirdparty.NewCaveat(party, isMember).ThirdParty()
		require.NoError(t, err)
		o := newOrders(t)
		primary := o.wallet(t, macaroon.ThirdParty(rootKey, "\x03\x00", home)).Primary()
		w, err := c.DischargeBakery(soon(t), dischargehttp.BakeryMacaroon{Macaroon: primary, Payloads: map[string]string{"\x03\x00": payload}})
		require.NoError(t, err)
		require.Empty(t, o.user(t, w), "and it verifies")
	}
}

func TestErrorsAreNotKept(t *testing.T) {
	fail := true
	s := newService(t, members, dischargehttp.ServiceOptions{Caller: byHeader})
	c := newClient(t, dischargehttp.ClientOptions{Identity: as("ann"), Base: roundTripper(func(r *http.Request) (*http.Response, error) {
		if fail {
			return nil, io.ErrUnexpectedEOF
		}
		return inProcess(s).RoundTrip(r)
	})}, home)
	w := newOrders(t).wallet(t, thirdparty.NewCaveat(s.Party(home), isMember))
	_, err := c.Discharge(soon(t), w)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	fail = false
	_, err = c.Discharge(soon(t), w)
	require.NoError(t, err)
}

// The application's code runs where nobody could recover its panics.
func TestPanicsOfTheApplication(t *testing.T) {
	s := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: newFlows(t, "login", dischargehttp.FlowOptions{})})
	browser, err := dischargehttp.Browser(func(context.Context, string) error { panic("secret") })
	require.NoError(t, err)
	c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(s), Interactors: []dischargehttp.Interactor{browser}}, home)
	_, err = c.Discharge(soon(t), newOrders(t).wallet(t, thirdparty.NewCaveat(s.Party(home), isMember)))
	require.ErrorContains(t, err, "panicked with a string")
	require.NotContains(t, err.Error(), "secret")
}

// Who asks as whom could not be found out: nothing is sent.
func TestIdentityFails(t *testing.T) {
	lost := errors.New("no session")
	c := newClient(t, dischargehttp.ClientOptions{
		Identity: func(context.Context, string) (dischargehttp.Identity, error) { return dischargehttp.Identity{}, lost },
		Base:     roundTripper(func(*http.Request) (*http.Response, error) { t.Error("sent"); return nil, lost }),
	}, home)
	_, err := c.Discharge(soon(t), newOrders(t).wallet(t, plain("x", home)))
	require.ErrorIs(t, err, lost)
}

// Nested discharges, of other third parties and of the same one, make a wallet that verifies.
func TestNestedDischarges(t *testing.T) {
	var outer, inner, innermost *dischargehttp.Service
	mux := http.NewServeMux()
	server := serve(t, mux)
	at := func(name string) string { return server.URL + "/" + name }
	innermost = newService(t, says(thirdparty.Answer{}), dischargehttp.ServiceOptions{})
	inner = newService(t, says(thirdparty.Answer{Caveats: []macaroon.Caveat{thirdparty.NewCaveat(innermost.Party(at("innermost")), "c")}}), dischargehttp.ServiceOptions{})
	outer = newService(t, says(thirdparty.Answer{Declared: map[string]string{"user": "ann"}, Caveats: []macaroon.Caveat{
		thirdparty.NewCaveat(inner.Party(at("inner")), "b"), thirdparty.NewCaveat(innermost.Party(at("innermost")), "d"),
	}}), dischargehttp.ServiceOptions{})
	for name, s := range map[string]*dischargehttp.Service{"outer": outer, "inner": inner, "innermost": innermost} {
		mux.Handle("/"+name+"/", http.StripPrefix("/"+name, s))
	}
	c := newClient(t, dischargehttp.ClientOptions{}, at("outer"), at("inner"), at("innermost"))
	o := newOrders(t)
	w, err := c.Discharge(soon(t), o.wallet(t, thirdparty.NewCaveat(outer.Party(at("outer")), "a").Attesting("user")))
	require.NoError(t, err)
	require.Len(t, w.Discharges(), 4)
	require.Equal(t, "ann", o.user(t, w))

	// What the wallet has already is not asked for again.
	again, err := newClient(t, dischargehttp.ClientOptions{Base: roundTripper(func(*http.Request) (*http.Response, error) {
		t.Error("asked")
		return nil, io.EOF
	})}, at("outer")).Discharge(soon(t), w)
	require.NoError(t, err)
	require.Len(t, again.Discharges(), 4)
}

// What a third party says is handed on, and what may be otherwise later can be told from a refusal.
func TestRefusalsReachTheCaller(t *testing.T) {
	for status, undecided := range map[int]bool{400: false, 401: false, 403: false, 404: false, 429: true, 500: false, 502: true, 503: true, 504: true} {
		c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			io.WriteString(w, `{"Code":"c","Message":"m"}`)
		}))}, home)
		_, err := c.Discharge(soon(t), newOrders(t).wallet(t, plain("x", home)))
		var refusal *dischargehttp.Refusal
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, dischargehttp.Refusal{Status: status, Code: "c", Message: "m"}, *refusal)
		require.Equal(t, undecided, caveat.IsUndecided(err), status)
	}
}

// says is a checker that always gives this answer.
func says(answer thirdparty.Answer) thirdparty.Checker {
	return thirdparty.CheckerFunc(func(context.Context, thirdparty.Question) (thirdparty.Answer, error) { return answer, nil })
}
