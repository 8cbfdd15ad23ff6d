package dischargehttp_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
)

// Failures are counted for each client: who has had too many waits, and others do not.
func TestFailuresAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told records
		s := newService(t, members, dischargehttp.ServiceOptions{Caller: byHeader, Failures: 3, Audit: told.audit})
		id := caveatFor(t, s, 3, isMember)
		from := func(remote, caller string) *http.Response {
			c := asked(id)
			c.remote, c.caller = remote, caller
			return do(s, c)
		}
		for range 3 {
			require.Equal(t, http.StatusOK, from("192.0.2.1:2", "ann").StatusCode, "what does not fail is not counted")
			require.Equal(t, http.StatusUnauthorized, from("192.0.2.1:1", "").StatusCode)
		}
		time.Sleep(20 * time.Second)
		response := from("192.0.2.1:3", "ann")
		require.Equal(t, http.StatusTooManyRequests, response.StatusCode)
		require.Equal(t, "40", response.Header.Get("Retry-After"))
		require.Equal(t, "application/json", response.Header.Get("Content-Type"))
		require.Equal(t, `{"Message":"too many requests have failed"}`, text(t, response))
		all := told.all()
		require.ErrorContains(t, all[len(all)-1].Err, "too many")

		require.Equal(t, http.StatusOK, from("192.0.2.2:1", "ann").StatusCode)
		require.Equal(t, http.StatusOK, from("[2001:db8::1]:1", "ann").StatusCode)
		time.Sleep(40 * time.Second)
		require.Equal(t, http.StatusOK, from("192.0.2.1:1", "ann").StatusCode)
		require.Equal(t, http.StatusUnauthorized, from("192.0.2.1:1", "").StatusCode, "and counting begins anew")
	})
}

// However long what tells a client apart is, little of it is kept, and it still does.
func TestLongClients(t *testing.T) {
	var told records
	s := newService(t, members, dischargehttp.ServiceOptions{
		Client: func(r *http.Request) string { return strings.Repeat("x", 1<<14) + r.RemoteAddr }, Failures: 1, Audit: told.audit,
	})
	fail := func(remote string) int {
		c := asked(caveatFor(t, s, 3, isMember))
		c.remote = remote
		return do(s, c).StatusCode
	}
	require.Equal(t, http.StatusUnauthorized, fail("192.0.2.1:1"))
	require.Equal(t, http.StatusTooManyRequests, fail("192.0.2.1:1"))
	require.Equal(t, http.StatusUnauthorized, fail("192.0.2.2:1"))
	for _, record := range told.all() {
		require.LessOrEqual(t, len(record.Client), 128)
	}
}

// Clients that guess where others wait fail too. An address of IPv6 is not one client's alone.
func TestGuessingIsLimited(t *testing.T) {
	var told records
	s := newService(t, afterInteraction, dischargehttp.ServiceOptions{
		Flows: newFlows(t, "login", dischargehttp.FlowOptions{}), Failures: 2, Audit: told.audit,
	})
	guess := func(remote string) int {
		c := waitAt("/discharge/wait-token", "guess")
		c.remote = remote
		return do(s, c).StatusCode
	}
	require.Equal(t, http.StatusNotFound, guess("[2001:db8::1]:1"))
	require.Equal(t, http.StatusNotFound, guess("[2001:db8::2]:1"))
	require.Equal(t, http.StatusTooManyRequests, guess("[2001:db8::3]:1"))
	require.Equal(t, http.StatusNotFound, guess("[2001:db8:0:1::3]:1"))
	require.Equal(t, http.StatusNotFound, guess("@"))
	all := told.all()
	require.Len(t, all, 5)
	require.ErrorContains(t, all[2].Err, "too many")
}

// However many clients there are, what is remembered of them does not grow.
func TestFailuresAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, members, dischargehttp.ServiceOptions{
			Client: func(r *http.Request) string { return r.Header.Get("X-Client") },
		})
		fail := func(from, to int) {
			for i := from; i < to; i++ {
				do(s, call{version: "3", header: http.Header{"X-Client": {fmt.Sprintf("%0100d", i)}}})
			}
		}
		const most = 1 << 14
		fail(0, most+most/2)
		require.Equal(t, most, dischargehttp.Clients(s))
		time.Sleep(time.Minute)
		fail(0, 1)
		require.Equal(t, 1, dischargehttp.Clients(s))
	})
}

func TestManyFailuresOfOne(t *testing.T) {
	s := newService(t, members, dischargehttp.ServiceOptions{})
	statuses := map[string]int{}
	for range 100 {
		statuses[strconv.Itoa(do(s, call{version: "3"}).StatusCode)]++
	}
	require.Equal(t, map[string]int{"400": 60, "429": 40}, statuses)
}
