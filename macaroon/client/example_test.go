package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

// A service that shows what it is sent, and a client that is told to send no more
// than it must.
func Example() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := macaroon.Parse(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		for i, c := range token.Inspect().At(0).Caveats().All() {
			name, argument, _ := strings.Cut(c.ID, " ")
			if name == "time-before" {
				argument = "…"
			}
			fmt.Fprintln(w, i, name, argument)
		}
	}))
	defer service.Close()
	keys := rootkey.InMemory()
	token, err := keys.Mint(context.Background(), macaroon.Grant{Subject: "billing"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.*"))
	if err != nil {
		panic(err)
	}
	wallet, err := macaroon.NewWallet(token)
	if err != nil {
		panic(err)
	}

	transport, err := client.New([]string{service.URL}, client.Static(wallet), client.Options{})
	if err != nil {
		panic(err)
	}
	orders := &http.Client{Transport: transport}
	response, err := orders.Get(service.URL + "/orders/7")
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	sent, _ := io.ReadAll(response.Body)
	fmt.Print(string(sent))
	// Output:
	// 0 time-before …
	// 1 audience orders
	// 2 allow orders.*
	// 3 time-before …
	// 4 http-method GET
	// 5 http-path /orders/7
}
