// Quickstart: a token is minted, narrowed twice, and presented to a real HTTP
// server, which allows what the token is for and refuses the rest.
//
//	go run ./examples/quickstart
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

func main() {
	ctx := context.Background()

	// The orders service: it has the root key, and three statements protect a handler.
	keys := rootkey.InMemory()
	v := must(verifier.New(keys, "orders", verifier.Options{}))
	auth := must(httpauth.New(v, httpauth.Options{}))
	mux := http.NewServeMux()
	mux.Handle("/orders/{id}", auth.RequireFunc("orders.read", order))
	mux.Handle("DELETE /orders/{id}", auth.RequireFunc("orders.delete", order))
	url := serve(mux)

	// It mints a token for the billing service.
	token := must(keys.Mint(ctx, macaroon.Grant{Subject: "billing", Location: "https://orders.internal"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read", "orders.list")))
	fmt.Println("Orders mints a token for billing. Anybody who holds it can read what it says:")
	fmt.Println(indent(token.Inspect().String()))

	// Holders narrow it offline, without asking anyone.
	worker := must(token.Attenuate(caveat.Methods("GET"), caveat.Path("/orders/*")))
	once := must(worker.Attenuate(caveat.ExactPath("/orders/7"), caveat.ExpiresIn(5*time.Second)))
	fmt.Println("Billing narrows it for a worker: only GET, only single orders.")
	fmt.Println("The worker narrows that for one request: only order 7, only for 5 seconds. It now says:")
	fmt.Println(indent(once.Inspect().String()))

	fmt.Println("Each token is allowed what it is for:")
	ask(url, "GET", "/orders/7", &once, "the token for one request")
	ask(url, "GET", "/orders/8", &worker, "the worker's token")
	ask(url, "POST", "/orders/8", &token, "billing's own token")

	fmt.Println()
	fmt.Println("And nothing else: 403 is for a token that does not allow this, 401 for one that proves nothing.")
	ask(url, "POST", "/orders/7", &once, "the token for one request, which says GET")
	ask(url, "GET", "/orders/8", &once, "the token for one request, which says order 7")
	ask(url, "DELETE", "/orders/7", &token, "billing's token, which was granted no such operation")

	expired := must(token.Attenuate(caveat.ExpiresAt(time.Now().Add(-time.Second))))
	ask(url, "GET", "/orders/7", &expired, "a token that expired a second ago")

	tampered := tamper(once)
	ask(url, "GET", "/orders/7", &tampered, "a token of which one bit was changed")

	forged := must(rootkey.InMemory().Mint(ctx, macaroon.Grant{Subject: "billing"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("*")))
	ask(url, "GET", "/orders/7", &forged, "a token that somebody minted with a key of his own")

	ask(url, "GET", "/orders/7", nil, "no token")
}

// order is a handler that knows who is asking.
func order(w http.ResponseWriter, r *http.Request) {
	who, _ := httpauth.FromContext(r.Context())
	fmt.Fprintf(w, "order %s for %s", r.PathValue("id"), who.Subject())
}

// serve starts a server on loopback and gives its URL.
func serve(h http.Handler) string {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	go func() { log.Fatal(server.Serve(listener)) }()
	return "http://" + listener.Addr().String()
}

// ask sends a request and prints a sentence about the answer.
func ask(url, method, path string, token *macaroon.Macaroon, with string) {
	r := must(http.NewRequest(method, url+path, nil))
	if token != nil {
		r.Header.Set("Authorization", "Bearer "+must(token.Encode()))
	}
	answer := must(http.DefaultClient.Do(r))
	defer answer.Body.Close()
	body := must(io.ReadAll(answer.Body))
	fmt.Printf("  %s %s with %s: %s", method, path, with, answer.Status)
	if answer.StatusCode == http.StatusOK {
		fmt.Printf(", %s", body)
	}
	fmt.Println()
}

// tamper changes one bit of a token's signature.
func tamper(m macaroon.Macaroon) macaroon.Macaroon {
	binary := must(m.MarshalBinary())
	binary[len(binary)-1] ^= 1
	var changed macaroon.Macaroon
	if err := changed.UnmarshalBinary(binary); err != nil {
		log.Fatal(err)
	}
	return changed
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
