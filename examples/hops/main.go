// Hops: a gateway calls orders, and orders calls inventory, each with a token that is
// good for that one call. At the end every token is stolen, and a table shows what the
// thief gets.
//
//	go run ./examples/hops
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

// onward is the header in which a token for the next hop travels beside the token for
// this one.
const onward = "Onward-Token"

func main() {
	ctx := context.Background()

	// Orders and inventory verify with the same keys, as parts of one platform that trust
	// each other to mint. Services that don't have keys of their own, and the gateway holds
	// a token of each.
	keys := rootkey.InMemory()
	stolen := &thief{}

	inventory := serve(keys, "inventory", "stock.read", "GET /stock/{item}", stolen,
		func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "12 %s in stock", r.PathValue("item"))
		})

	// Orders asks inventory with the token that came along for that, narrowed once more:
	// the gateway did not know which item it would be.
	toInventory := httpClient(inventory, client.SourceFunc(func(ctx context.Context, _ string) (macaroon.Wallet, error) {
		credential, err := macaroon.Parse(ctx.Value(onwardKey{}).(string))
		if err != nil {
			return macaroon.Wallet{}, err
		}
		return credential.Wallet()
	}))
	orders := serve(keys, "orders", "orders.read", "GET /orders/{id}", stolen,
		func(w http.ResponseWriter, r *http.Request) {
			who, _ := httpauth.FromContext(r.Context())
			ctx := context.WithValue(r.Context(), onwardKey{}, r.Header.Get(onward))
			answer, err := get(ctx, toInventory, inventory+"/stock/eggs", "")
			if err != nil {
				answer = "nothing"
			}
			fmt.Fprintf(w, "order %s of %s: eggs; inventory says: %s", r.PathValue("id"), who.Subject(), answer)
		})

	// The gateway holds the token of a user's session. It makes two siblings of it,
	// before anything is sent: one for each service that will check one.
	session := must(keys.Mint(ctx, macaroon.Grant{Subject: "alice"}, caveat.ExpiresIn(time.Hour),
		caveat.Audience("orders", "inventory"), caveat.Operations("orders.*", "stock.*")))
	forOrders := must(session.Attenuate(caveat.Audience("orders"), caveat.Operations("orders.read")))
	forInventory := must(session.Attenuate(caveat.Audience("inventory"), caveat.Operations("stock.read"), caveat.ExpiresIn(5*time.Second)))
	toOrders := httpClient(orders, client.Static(must(macaroon.NewWallet(forOrders))))

	fmt.Println("Alice asks the gateway for order 7. The gateway asks orders, orders asks inventory:")
	fmt.Println(" ", must(get(ctx, toOrders, orders+"/orders/7", must(forInventory.Encode()))))
	fmt.Println()

	fmt.Println("Every token that was on the wire, and what a thief could have done with it:")
	fmt.Println()
	stolen.table(orders, inventory, []row{
		{"the session, which never left the gateway", must(session.Encode())},
		{"gateway to orders", stolen.token("orders")},
		{"gateway to orders, for inventory", must(forInventory.Encode())},
		{"orders to inventory", stolen.token("inventory")},
	})

	fmt.Println()
	fmt.Println("Why siblings? Audiences intersect: a token narrowed to orders and then to inventory")
	fmt.Println("is good for neither, whoever narrows it.")
	both := must(forOrders.Attenuate(caveat.Audience("inventory")))
	fmt.Println("  at orders:   ", try(orders+"/orders/7", must(both.Encode())))
	fmt.Println("  at inventory:", try(inventory+"/stock/eggs", must(both.Encode())))
}

type onwardKey struct{}

// serve starts a service of one protected route and gives its URL.
func serve(keys *rootkey.Keyring, name, operation, pattern string, watch *thief, handler http.HandlerFunc) string {
	v := must(verifier.New(keys, name, verifier.Options{Now: watch.now}))
	auth := must(httpauth.New(v, httpauth.Options{}))
	mux := http.NewServeMux()
	mux.Handle(pattern, watch.see(name, auth.RequireFunc(operation, handler)))
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { log.Fatal(server.Serve(listener)) }()
	return "http://" + listener.Addr().String()
}

// httpClient authorises what it sends to a service: each request by a token for its
// method and path, and for five seconds.
func httpClient(url string, source client.Source) *http.Client {
	return &http.Client{Transport: must(client.New([]string{url}, source, client.Options{Lifetime: 5 * time.Second}))}
}

// get asks a service, and hands it a token for the next hop if there is one.
func get(ctx context.Context, c *http.Client, url, next string) (string, error) {
	r := must(http.NewRequestWithContext(ctx, http.MethodGet, url, nil))
	if next != "" {
		r.Header.Set(onward, next)
	}
	response, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// thief sees what is on the wire, and can wait.
type thief struct {
	ahead atomic.Int64 // nanoseconds that the services' clocks are ahead: nobody else wants to wait

	mu   sync.Mutex
	seen map[string]string // the first Authorization header, by service
}

func (t *thief) now() time.Time { return time.Now().Add(time.Duration(t.ahead.Load())) }

func (t *thief) see(service string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.mu.Lock()
		if t.seen == nil {
			t.seen = map[string]string{}
		}
		if _, seen := t.seen[service]; !seen {
			t.seen[service] = r.Header.Get("Authorization")
		}
		t.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

func (t *thief) token(service string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen[service][len("Bearer "):]
}

// row is a stolen token.
type row struct{ name, token string }

// table tries each token at each service, now and when five seconds have passed.
func (t *thief) table(orders, inventory string, rows []row) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "stolen\torder 7\torder 8\teggs\tham\tany of these 5 s later")
	for _, row := range rows {
		fmt.Fprint(w, row.name)
		later := "no"
		for _, url := range []string{orders + "/orders/7", orders + "/orders/8", inventory + "/stock/eggs", inventory + "/stock/ham"} {
			fmt.Fprint(w, "\t", try(url, row.token))
			t.ahead.Store(int64(6 * time.Second))
			if try(url, row.token) == "yes" {
				later = "yes"
			}
			t.ahead.Store(0)
		}
		fmt.Fprintln(w, "\t"+later)
	}
	w.Flush()
}

// try tells whether a service does what is asked with a token.
func try(url, token string) string {
	r := must(http.NewRequest(http.MethodGet, url, nil))
	r.Header.Set("Authorization", "Bearer "+token)
	// Orders needs a token for inventory too; the thief does not have one, or he has: it
	// makes no difference for what orders decides.
	r.Header.Set(onward, token)
	response := must(http.DefaultClient.Do(r))
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		return "yes"
	case http.StatusForbidden:
		return "no (403)"
	case http.StatusUnauthorized:
		return "no (401)"
	}
	return response.Status
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
