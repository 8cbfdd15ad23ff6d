package client_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
)

// TestAttempts: what a transport does for a request that is refused, for others to do.
func TestAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		party := newParty(t)
		party.keep, party.life = true, time.Minute
		plain := wallet(t, "x", time.Hour)
		third, err := plain.Attenuate(party.caveat("who"))
		require.NoError(t, err)
		complete, err := party.Discharge(t.Context(), third)
		require.NoError(t, err)
		now := time.Now()

		for name, row := range map[string]struct {
			wallet     macaroon.Wallet
			discharger client.Discharger
			skew       time.Duration
			refusal    client.Refusal
			why        string
			asked      int
		}{
			"valid":                         {plain, party, 0, client.RefusedToken, "", 0},
			"expired":                       {plain, party, 30 * time.Second, client.RefusedToken, "the token had expired by the service's clock", 0},
			"expired, for no known reason":  {plain, party, 30 * time.Second, 0, "", 0},
			"with a discharge":              {third, party, 0, client.RefusedToken, "", 0},
			"whose discharge has expired":   {third, party, time.Minute, client.RefusedToken, "a discharge had expired by the service's clock", 1},
			"which nobody can get anew":     {complete, nil, time.Minute + time.Second, client.RefusedToken, "the token had expired by the service's clock", 0},
			"whose discharge is not enough": {third, party, 0, client.RefusedDischarge, "the service asks for a discharge", 1},
			"and nobody can get another":    {complete, nil, 0, client.RefusedDischarge, "", 0},
			"that asks for nobody's":        {plain, party, 0, client.RefusedDischarge, "", 0},
			"with one that the source gave": {complete, party, 0, client.RefusedDischarge, "the service asks for a discharge", 1},
			"with one, for no known reason": {complete, party, 0, 0, "", 0},
		} {
			clock := &client.Clock{}
			a := client.Attempts{Source: client.Static(row.wallet), Target: "https://orders.internal:443", Discharger: row.discharger,
				Clock: clock, Lifetime: 30 * time.Second}
			require.Empty(t, a.Again(client.RefusedToken), "nothing was sent")
			list := append(make([]macaroon.Caveat, 0, 8), caveat.Methods("GET"))
			first, err := a.Wallet(t.Context(), list...)
			require.NoError(t, err, name)
			require.Nil(t, list[:2][1], "the caller's array is his")
			require.Equal(t, "time-before "+now.Add(30*time.Second).UTC().Format(time.RFC3339), last(first), name)

			party.asked = 0
			clock.Observe(now.Add(row.skew), now, now, time.Hour)
			require.Equal(t, row.why, a.Again(row.refusal), name)
			second, err := a.Wallet(t.Context(), list...)
			require.NoError(t, err, name)
			require.Equal(t, row.asked, party.asked, name)
			require.Equal(t, "time-before "+now.Add(row.skew+30*time.Second).UTC().Format(time.RFC3339), last(second), name)
		}

		a := client.Attempts{Source: client.Static(plain), Lifetime: time.Second}
		_, err = a.Wallet(t.Context())
		require.NoError(t, err)
		require.Empty(t, a.Again(client.RefusedDischarge))
		time.Sleep(time.Second)
		require.NotEmpty(t, a.Again(client.RefusedToken), "by this machine's clock")
		a.Clock.Observe(time.Now().Add(time.Minute), time.Now(), time.Now(), time.Hour)

		// A discharge that is known to have expired is not sent at all.
		clock := &client.Clock{}
		clock.Observe(time.Now().Add(time.Hour), time.Now(), time.Now(), time.Hour)
		a = client.Attempts{Source: client.Static(third), Discharger: party, Clock: clock, Lifetime: time.Second}
		party.asked = 0
		_, err = a.Wallet(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, party.asked)

		// An answer that was long in coming tells no more than that nothing has changed.
		now = time.Now()
		clock.Observe(now.Add(time.Hour+40*time.Minute), now, now.Add(time.Hour), 2*time.Hour)
		w, err := a.Wallet(t.Context())
		require.NoError(t, err)
		require.Equal(t, "time-before "+now.Add(time.Hour+time.Second).UTC().Format(time.RFC3339), last(w))

		_, err = (&client.Attempts{Source: client.Static(plain)}).Wallet(t.Context())
		require.ErrorContains(t, err, "lifetime")
		_, err = (&client.Attempts{Lifetime: time.Second}).Wallet(t.Context())
		require.ErrorContains(t, err, "no source")
	})
}

// last gives the last condition of a wallet's macaroon.
func last(w macaroon.Wallet) string {
	caveats := w.Inspect().At(0).Caveats()
	return caveats.At(caveats.Len() - 1).ID
}
