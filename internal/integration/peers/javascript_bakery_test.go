package peers_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/macaroon"
)

// npm's client takes our caveat ids if they are text, and brings back what our third party attests.
func TestJavaScriptTakesTextIDs(t *testing.T) {
	javascript.need(t)
	for name, identity := range map[string]*third{"at once": listen(t, false), "after a login": listen(t, true)} {
		t.Run(name, func(t *testing.T) {
			service := newOrders(t, func() macaroon.Caveat {
				return thirdparty.NewCaveat(identity.party, isMember).Attesting("user").AsText()
			})
			var got response
			require.NoError(t, javascript.ask(t, "request", arguments{"client": service.url, "url": service.url + "/orders"}, &got))
			require.Equal(t, response{http.StatusOK, `orders of "ann"`, nil}, got)
		})
	}
}
