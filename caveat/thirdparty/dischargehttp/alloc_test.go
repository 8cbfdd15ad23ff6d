//go:build !race

package dischargehttp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
)

// What is kept costs little: a client is asked for every request that is sent.
func TestAllocationsOfWhatIsKept(t *testing.T) {
	s := newService(t, says(thirdparty.Answer{}), dischargehttp.ServiceOptions{})
	c := newClient(t, dischargehttp.ClientOptions{Base: inProcess(s)}, home)
	w := newOrders(t).wallet(t, thirdparty.NewCaveat(s.Party(home), isMember))
	ctx := soon(t)
	get := func() {
		if _, err := c.Discharge(ctx, w); err != nil {
			t.Fatal(err)
		}
	}
	get()
	require.LessOrEqual(t, testing.AllocsPerRun(100, get), 7.0)
}
