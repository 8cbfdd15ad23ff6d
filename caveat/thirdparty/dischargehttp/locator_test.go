package dischargehttp_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
)

func newLocator(t testing.TB, options dischargehttp.LocatorOptions, locations ...string) *dischargehttp.Locator {
	l, err := dischargehttp.NewLocator(locations, options)
	require.NoError(t, err)
	return l
}

// A key is asked for when what is known is too old, so that a new one is found in time.
func TestLocatorKeepsAndForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, fresh := thirdparty.GenerateKey(), thirdparty.GenerateKey()
		keys, err := thirdparty.NewKeys(old, fresh)
		require.NoError(t, err)
		d, err := thirdparty.NewDischarger(keys, thirdparty.Options{})
		require.NoError(t, err)
		s, err := dischargehttp.NewService(d, members, dischargehttp.ServiceOptions{})
		require.NoError(t, err)
		requests := 0
		l := newLocator(t, dischargehttp.LocatorOptions{Keep: time.Minute, Base: roundTripper(func(r *http.Request) (*http.Response, error) {
			requests++
			require.Equal(t, "https://id.example/discharge/info", r.URL.String())
			return inProcess(s).RoundTrip(r)
		})}, home)
		find := func() thirdparty.PublicKey {
			party, found, err := l.ThirdParty(soon(t), home+"/")
			require.NoError(t, err)
			require.True(t, found)
			require.Equal(t, home, party.Location)
			require.Equal(t, 3, party.Version)
			return party.Key
		}
		require.Equal(t, old.Public(), find())
		keys, err = thirdparty.NewKeys(fresh, old)
		require.NoError(t, err)
		require.NoError(t, d.SetKeys(keys))
		time.Sleep(time.Minute - 1)
		require.Equal(t, old.Public(), find())
		require.Equal(t, 1, requests)
		time.Sleep(time.Nanosecond)
		require.Equal(t, fresh.Public(), find())
		require.Equal(t, 2, requests)
	})
}

// When nobody waits for a key any more, it is not asked for any longer.
func TestLocatorGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gated(nil)
		l := newLocator(t, dischargehttp.LocatorOptions{Base: inProcess(g)}, home)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, _, err := l.ThirdParty(ctx, home)
			done <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, received(t, done), context.Canceled)
		synctest.Wait()
		require.EqualValues(t, 1, g.gone.Load())
	})
}

// What is no third party, or one that reads only what is not written here, is not found.
func TestLocatorRefuses(t *testing.T) {
	key := thirdparty.GenerateKey().Public().String()
	for name, row := range map[string]struct {
		status int
		kind   string
		body   string
		want   error
	}{
		"none":               {404, "text/plain", "404 page not found", nil},
		"not JSON":           {200, "text/html", `{"PublicKey":"` + key + `","Version":3}`, dischargehttp.ErrResponse},
		"broken":             {200, "application/json", `{"PublicKey":`, dischargehttp.ErrResponse},
		"no key":             {200, "application/json", `{"Version":3}`, dischargehttp.ErrResponse},
		"a key of low order": {200, "application/json", `{"PublicKey":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","Version":3}`, dischargehttp.ErrResponse},
		"version 1":          {200, "application/json", `{"PublicKey":"` + key + `","Version":1}`, dischargehttp.ErrResponse},
		"no version":         {200, "application/json", `{"PublicKey":"` + key + `"}`, dischargehttp.ErrResponse},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLocator(t, dischargehttp.LocatorOptions{Base: inProcess(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", row.kind)
				w.WriteHeader(row.status)
				io.WriteString(w, row.body)
			}))}, home)
			party, found, err := l.ThirdParty(soon(t), home)
			require.Error(t, err)
			require.False(t, found)
			require.Zero(t, party)
			if row.want != nil {
				require.ErrorIs(t, err, row.want)
				return
			}
			var refusal *dischargehttp.Refusal
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, row.status, refusal.Status)
		})
	}
}

// The version that is told is the one that is written for.
func TestLocatorTellsTheVersion(t *testing.T) {
	l := newLocator(t, dischargehttp.LocatorOptions{Base: inProcess(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"publickey":"`+thirdparty.GenerateKey().Public().String()+`","version":2}`)
	}))}, home)
	party, found, err := l.ThirdParty(soon(t), home)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, 2, party.Version)
}
