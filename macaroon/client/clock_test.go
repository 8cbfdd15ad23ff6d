package client_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
)

// TestClockSkew: the first answer tells the service's clock, and a token that was
// expired by it is replaced at once.
func TestClockSkew(t *testing.T) {
	for _, skew := range []time.Duration{-90 * time.Second, -29 * time.Second, 0, 29 * time.Second, 90 * time.Second} {
		t.Run(skew.String(), func(t *testing.T) {
			o := newUnstartedOrders(t, skew)
			var connections atomic.Int64
			o.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			o.Start()
			c := o.client(t, client.Static(o.mint(t)), client.Options{Base: &http.Transport{}})
			for range 3 {
				response, err := c.Post(o.URL, "", strings.NewReader("again"))
				require.Equal(t, http.StatusOK, status(t, response, err))
			}
			require.Equal(t, int64(1), connections.Load(), "one connection serves, after a refusal too")
			sent := o.sent()
			if skew > 30*time.Second {
				require.Len(t, sent, 4, "one was refused")
			} else {
				require.Len(t, sent, 3)
			}
			end, err := caveat.Time.Parse(strings.TrimPrefix(conditions(t, sent[len(sent)-1])[5], "time-before "))
			require.NoError(t, err)
			require.WithinDuration(t, time.Now().Add(skew+30*time.Second), end, 15*time.Second)
		})
	}

	t.Run("a body that can't be rewound", func(t *testing.T) {
		o := newOrders(t, 90*time.Second)
		r, err := http.NewRequest("POST", o.URL, &closing{Reader: strings.NewReader("once")})
		require.NoError(t, err)
		c := o.client(t, client.Static(o.mint(t)), client.Options{})
		_, err = c.Do(r)
		require.ErrorIs(t, err, client.ErrBody)
		require.Len(t, o.sent(), 1)
		response, err := c.Get(o.URL)
		require.Equal(t, http.StatusOK, status(t, response, err), "the clock is known now")
		require.Len(t, o.sent(), 2)
	})
}

// TestDateIsBelievedWithinBounds: whatever a service says of its clock, by the client's own
// clock no token is good for longer than Lifetime and MaxSkew.
func TestDateIsBelievedWithinBounds(t *testing.T) {
	date := func(d time.Duration) http.Header {
		return http.Header{"Date": {time.Now().Add(d).UTC().Format(http.TimeFormat)}}
	}
	with := func(h http.Header, key, value string) http.Header {
		h.Set(key, value)
		return h
	}
	synctest.Test(t, func(t *testing.T) { // so that the clock stands on a full second
		for name, row := range map[string]struct {
			header  http.Header
			options client.Options
			want    time.Duration
		}{
			"ahead":             {date(90 * time.Second), client.Options{}, 120 * time.Second},
			"behind":            {date(-90 * time.Second), client.Options{}, -59 * time.Second}, // the second has not ended
			"the most ahead":    {date(2 * time.Minute), client.Options{}, 150 * time.Second},
			"more":              {date(2*time.Minute + time.Second), client.Options{}, 30 * time.Second},
			"far more":          {date(1000 * time.Hour), client.Options{}, 30 * time.Second},
			"far behind":        {date(-time.Hour), client.Options{}, 30 * time.Second},
			"allowed":           {date(time.Hour), client.Options{MaxSkew: time.Hour, Lifetime: time.Second}, time.Hour + time.Second},
			"not allowed":       {date(5 * time.Second), client.Options{MaxSkew: 1}, 30 * time.Second},
			"the end of time":   {http.Header{"Date": {"Fri, 31 Dec 9999 23:59:59 GMT"}}, client.Options{MaxSkew: 1 << 62}, 30 * time.Second},
			"the beginning":     {http.Header{"Date": {"Sat, 01 Jan 0000 00:00:00 GMT"}}, client.Options{}, 30 * time.Second},
			"from a cache":      {with(date(time.Minute), "Age", "0"), client.Options{}, 30 * time.Second},
			"not a date":        {http.Header{"Date": {"yesterday"}}, client.Options{}, 30 * time.Second},
			"none":              {http.Header{}, client.Options{}, 30 * time.Second},
			"right":             {date(0), client.Options{}, 30 * time.Second},
			"within the second": {date(-time.Second), client.Options{}, 30 * time.Second},
		} {
			var last string
			row.options.Base = baseFunc(func(r *http.Request) (*http.Response, error) {
				last = r.Header.Get("Authorization")
				return &http.Response{StatusCode: 200, Header: row.header, Body: http.NoBody}, nil
			})
			transport, err := client.New([]string{"https://orders.internal"}, client.Static(wallet(t, "x", 0)), row.options)
			require.NoError(t, err)
			for range 2 {
				response, err := (&http.Client{Transport: transport}).Get("https://orders.internal")
				require.Equal(t, 200, status(t, response, err))
			}
			end, err := caveat.Time.Parse(strings.TrimPrefix(conditions(t, last)[2], "time-before "))
			require.NoError(t, err)
			require.Equal(t, row.want, time.Until(end), name)
		}
	})
}

// TestTimeBeginsWhenTheTokenIsSent, and not while it is waited for.
func TestTimeBeginsWhenTheTokenIsSent(t *testing.T) {
	key := bytes.Repeat([]byte{1}, 32)
	third := macaroon.ThirdParty(key, "cid", "")
	for name, row := range map[string]struct {
		of      []macaroon.Caveat // the token
		request []macaroon.Caveat // that are added to it
	}{
		"a third party of the token":   {[]macaroon.Caveat{third}, nil},
		"a third party of the request": {nil, []macaroon.Caveat{caveat.Operations("*"), third, caveat.ExpiresIn(time.Second)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := client.SourceFunc(func(context.Context, string) (macaroon.Wallet, error) {
					time.Sleep(time.Minute)
					return wallet(t, "slow", 0).Attenuate(row.of...)
				})
				asked := 0
				discharger := dischargerFunc(func(_ context.Context, w macaroon.Wallet) (macaroon.Wallet, error) {
					asked++
					time.Sleep(time.Minute) // somebody types a password
					d, err := macaroon.New(key, "cid", "")
					require.NoError(t, err)
					return w.With(d)
				})
				sent := 0
				base := baseFunc(func(r *http.Request) (*http.Response, error) {
					sent++
					var left []time.Duration
					for _, condition := range conditions(t, r.Header.Get("Authorization")) {
						if text, found := strings.CutPrefix(condition, "time-before "); found {
							end, err := caveat.Time.Parse(text)
							require.NoError(t, err)
							left = append(left, time.Until(end))
						}
					}
					want := []time.Duration{30 * time.Second}
					if row.request != nil {
						want = []time.Duration{time.Second, 30 * time.Second}
					}
					require.Equal(t, want, left)
					return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
				})
				transport, err := client.New([]string{"https://orders.internal"}, source, client.Options{Discharger: discharger, Base: base,
					Caveats: func(*http.Request) ([]macaroon.Caveat, error) { return row.request, nil }})
				require.NoError(t, err)
				response, err := (&http.Client{Transport: transport}).Get("https://orders.internal")
				require.Equal(t, 200, status(t, response, err))
				require.Equal(t, 1, sent)
				require.Equal(t, 1, asked)
			})
		})
	}
}
