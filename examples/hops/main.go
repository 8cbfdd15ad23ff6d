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
	"net/url"
	"os"
	"strings"
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

	// The services are parts of one platform, and here of one program, that trust each other
	// with its root keys. Those that don't would ask a key service for signatures, which can be the
	// source of a verifier just as well.
	keys := rootkey.InMemory()
	stolen := &thief{}

	inventory := serve(keys, stolen, "inventory", httpauth.Options{}, "GET /stock/{item}", "stock.read",
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
	}), client.Options{})
	orders := serve(keys, stolen, "orders", httpauth.Options{}, "GET /orders/{id}", "orders.read",
		func(w http.ResponseWriter, r *http.Request) {
			who, _ := httpauth.FromContext(r.Context())
			ctx := context.WithValue(r.Context(), onwardKey{}, r.Header.Get(onward))
			stock, err := get(ctx, toInventory, inventory+"/stock/eggs", "")
			if err != nil {
				stock = "nothing"
			}
			fmt.Fprintf(w, "order %s of %s: eggs; inventory says: %s", r.PathValue("id"), who.Subject(), stock)
		})

	// The gateway makes two siblings of the token that came in: one for orders to check, and
	// one for orders to spend at inventory.
	toOrders := httpClient(orders, client.Forwarding(caveat.Audience("orders"), caveat.Operations("orders.read")), client.Options{})
	gateway := serve(keys, stolen, "gateway", httpauth.Options{Forward: true}, "GET /orders/{id}", "orders.read",
		func(w http.ResponseWriter, r *http.Request) {
			forInventory, err := client.Forward(r.Context(),
				caveat.Audience("inventory"), caveat.Operations("stock.read"), caveat.ExpiresIn(seconds))
			if err != nil {
				http.Error(w, "can't forward", http.StatusInternalServerError)
				return
			}
			answer, err := get(r.Context(), toOrders, orders+"/orders/"+url.PathEscape(r.PathValue("id")), must(forInventory.Encode()))
			if err != nil {
				http.Error(w, "no answer from orders", http.StatusBadGateway)
				return
			}
			io.WriteString(w, answer)
		})

	// Alice's client holds the token of her session. It may not narrow it to method and path, since these
	// differ at each hop and caveats add up.
	session := must(keys.Mint(ctx, macaroon.Grant{Subject: "alice"}, caveat.ExpiresIn(time.Hour),
		caveat.Audience("gateway", "orders", "inventory"), caveat.Operations("orders.*", "stock.*")))
	alice := httpClient(gateway, client.Static(must(macaroon.NewWallet(session))), client.Options{AnyMethod: true, AnyPath: true})

	fmt.Println("Alice asks the gateway for order 7, the gateway asks orders, orders asks inventory:")
	fmt.Println(" ", must(get(ctx, alice, gateway+"/orders/7", "")))
	fmt.Println()

	fmt.Println("What a thief could have done with each token:")
	fmt.Println()
	stolen.table(orders, inventory, []row{
		{"the session, which stays with Alice", must(session.Encode())},
		{"Alice to gateway", stolen.token("gateway")},
		{"gateway to orders", stolen.token("orders")},
		{"gateway to orders, for inventory", stolen.onward("orders")},
		{"orders to inventory", stolen.token("inventory")},
	})

	fmt.Println()
	fmt.Println("Why siblings? Audiences intersect: a token narrowed to orders and then to inventory")
	fmt.Println("is good for neither, whoever narrows it.")
	both := must(session.Attenuate(caveat.Audience("orders"), caveat.Audience("inventory")))
	fmt.Println("  at orders:   ", try(orders+"/orders/7", must(both.Encode())))
	fmt.Println("  at inventory:", try(inventory+"/stock/eggs", must(both.Encode())))
}

// seconds is how long a token lives that was on the wire.
const seconds = 5 * time.Second

type onwardKey struct{}

// serve starts a service of one protected route and gives its URL.
func serve(keys *rootkey.Keyring, watch *thief, name string, options httpauth.Options, pattern, operation string, handler http.HandlerFunc) string {
	v := must(verifier.New(keys, name, verifier.Options{Now: watch.now}))
	auth := must(httpauth.New(v, options))
	mux := http.NewServeMux()
	mux.Handle(pattern, watch.see(name, auth.RequireFunc(operation, handler)))
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { log.Fatal(server.Serve(listener)) }()
	return "http://" + listener.Addr().String()
}

// httpClient authorises what it sends to a service: each request by a token made for it.
func httpClient(url string, source client.Source, options client.Options) *http.Client {
	options.Lifetime = seconds
	return &http.Client{Transport: must(client.New([]string{url}, source, options))}
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
	seen map[string]http.Header // of the first request, by service
}

func (t *thief) now() time.Time { return time.Now().Add(time.Duration(t.ahead.Load())) }

func (t *thief) see(service string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.mu.Lock()
		if t.seen == nil {
			t.seen = map[string]http.Header{}
		}
		if t.seen[service] == nil {
			t.seen[service] = r.Header.Clone()
		}
		t.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

func (t *thief) token(service string) string {
	return strings.TrimPrefix(t.header(service).Get("Authorization"), "Bearer ")
}

func (t *thief) onward(service string) string { return t.header(service).Get(onward) }

func (t *thief) header(service string) http.Header {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen[service]
}

// row is a stolen token.
type row struct{ name, token string }

// table tries each token at each service, now and a while later.
func (t *thief) table(orders, inventory string, rows []row) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "stolen\torder 7\torder 8\teggs\tham\t6 s later")
	for _, row := range rows {
		fmt.Fprint(w, row.name)
		later := "nothing"
		for _, url := range []string{orders + "/orders/7", orders + "/orders/8", inventory + "/stock/eggs", inventory + "/stock/ham"} {
			fmt.Fprint(w, "\t", try(url, row.token))
			t.ahead.Store(int64(seconds + time.Second))
			if try(url, row.token) == "yes" {
				later = "the same"
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
	r.Header.Set(onward, token) // for inventory, if orders gets that far
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
