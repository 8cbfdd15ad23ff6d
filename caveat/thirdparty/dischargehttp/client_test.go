package dischargehttp_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
)

// What package client wants of a discharger.
var _ interface {
	client.Discharger
	Renew(context.Context, macaroon.Wallet) (macaroon.Wallet, error)
} = (*dischargehttp.Client)(nil)

// A person logs in with a browser: here the browser is another goroutine.
func TestBrowserFlow(t *testing.T) {
	flows, err := dischargehttp.NewFlows("login", dischargehttp.FlowOptions{})
	require.NoError(t, err)
	service := newService(t, afterInteraction, dischargehttp.ServiceOptions{Flows: flows})
	mux := http.NewServeMux()
	mux.Handle("/", service)
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		flow, found := flows.Find(r.FormValue("flow"))
		if !found {
			http.Error(w, "no such flow", http.StatusNotFound)
			return
		}
		io.WriteString(w, flow.Question.Condition)
		if err := flows.Complete(flow.ID, "ann"); err != nil {
			t.Error(err)
		}
	})
	server := serve(t, mux)

	visited := make(chan string, 1)
	browser, err := dischargehttp.Browser(func(_ context.Context, at string) error {
		go func() {
			response, err := http.Get(at)
			if err != nil {
				visited <- err.Error()
				return
			}
			defer response.Body.Close()
			page, _ := io.ReadAll(response.Body)
			u, _ := url.Parse(at)
			visited <- u.Path + " " + string(page)
		}()
		return nil
	})
	require.NoError(t, err)
	c := newClient(t, dischargehttp.ClientOptions{Interactors: []dischargehttp.Interactor{browser}}, server.URL)
	o := newOrders(t)
	w := o.wallet(t, thirdparty.NewCaveat(service.Party(server.URL), isMember).Attesting("user"))
	w, err = c.Discharge(soon(t), w)
	require.NoError(t, err)
	require.Equal(t, "/login "+isMember, received(t, visited))
	require.Equal(t, "ann", o.user(t, w))
}

// What was got for one identity is not given to another.
func TestIdentitiesAreKeptApart(t *testing.T) {
	var told records
	service := newService(t, members, dischargehttp.ServiceOptions{Caller: byHeader, Audit: told.audit})
	server := serve(t, service)
	type user struct{}
	c := newClient(t, dischargehttp.ClientOptions{Identity: func(ctx context.Context, location string) (dischargehttp.Identity, error) {
		require.Equal(t, server.URL, location)
		return as(ctx.Value(user{}).(string))(ctx, location)
	}}, server.URL)
	o := newOrders(t)
	w := o.wallet(t, thirdparty.NewCaveat(service.Party(server.URL), isMember).Attesting("user"))
	for _, name := range []string{"ann", "bob", "ann", "bob"} {
		discharged, err := c.Discharge(context.WithValue(soon(t), user{}, name), w)
		require.NoError(t, err)
		require.Equal(t, name, o.user(t, discharged))
	}
	require.Len(t, told.all(), 2)

	c.Forget("ann")
	for _, name := range []string{"ann", "bob"} {
		_, err := c.Discharge(context.WithValue(soon(t), user{}, name), w)
		require.NoError(t, err)
	}
	require.Len(t, told.all(), 3)
}

// What one third party gave does not stand for what another is asked, though anybody can write a
// caveat of the same id for both.
func TestLocationsAreKeptApart(t *testing.T) {
	var told records
	service := newService(t, members, dischargehttp.ServiceOptions{Caller: byHeader, Audit: told.audit})
	locations := []string{serve(t, service).URL, serve(t, service).URL}
	rootKey, id, _, err := thirdparty.NewCaveat(service.Party(locations[0]), isMember).ThirdParty()
	require.NoError(t, err)
	c, o := newClient(t, dischargehttp.ClientOptions{Identity: as("ann")}, locations...), newOrders(t)
	for _, location := range locations {
		_, err := c.Discharge(soon(t), o.wallet(t, macaroon.ThirdParty(rootKey, id, location)))
		require.NoError(t, err)
	}
	require.Len(t, told.all(), 2)
}

// TestConcurrentUse has one service, one locator and one client used by many at once.
func TestConcurrentUse(t *testing.T) {
	base := inProcess(newService(t, members, dischargehttp.ServiceOptions{Caller: byHeader}))
	l := newLocator(t, dischargehttp.LocatorOptions{Base: base, Keep: 1}, home)
	c := newClient(t, dischargehttp.ClientOptions{Base: base, Identity: as("ann")}, home)
	o := newOrders(t)
	ctx := soon(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				party, _, err := l.ThirdParty(ctx, home)
				if err == nil {
					var w macaroon.Wallet
					if w, err = c.Discharge(ctx, o.wallet(t, thirdparty.NewCaveat(party, isMember).Attesting("user"))); err == nil {
						require.Equal(t, "ann", o.user(t, w))
					}
				}
				if err != nil {
					t.Error(err)
				}
			}
			c.Forget("ann")
		})
	}
	all.Wait()
}
