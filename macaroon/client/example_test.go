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
	"github.com/amaretti-go/amaretti/verifier"
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
	// 3 http-method GET
	// 4 http-path /orders/7
	// 5 time-before …
}

// A token with discharges can't be narrowed on its way, so whoever holds the wallet
// makes a token for each service before sending any.
func Example_siblings() {
	ctx := context.Background()
	keys := rootkey.InMemory()
	shared := []byte("a key that the third party has too") // package thirdparty seals one to its public key
	token, err := keys.Mint(ctx, macaroon.Grant{Subject: "alice"}, caveat.ExpiresIn(time.Hour),
		caveat.Audience("orders", "inventory"), caveat.Operations("orders.read", "stock.read"),
		macaroon.ThirdParty(shared, "is a member", "https://id.example"))
	if err != nil {
		panic(err)
	}
	discharge, err := macaroon.New(shared, "is a member", "")
	if err != nil {
		panic(err)
	}
	wallet, err := macaroon.NewWallet(token, discharge)
	if err != nil {
		panic(err)
	}

	for _, service := range []string{"orders", "inventory"} {
		sibling, err := wallet.Attenuate(caveat.Audience(service))
		if err != nil {
			panic(err)
		}
		text, err := sibling.Encode() // binds the discharge to this one
		if err != nil {
			panic(err)
		}
		for _, name := range []string{"orders", "inventory"} {
			v, err := verifier.New(keys, name, verifier.Options{})
			if err != nil {
				panic(err)
			}
			_, err = v.VerifyText(ctx, text, map[string]string{"orders": "orders.read", "inventory": "stock.read"}[name], caveat.Facts{})
			fmt.Println("the token for", service, "at", name, "is good:", err == nil)
		}

		// What arrived is what it is.
		arrived, err := macaroon.Parse(text)
		if err != nil {
			panic(err)
		}
		_, err = client.Forward(macaroon.NewContext(ctx, arrived), caveat.Audience("inventory"))
		fmt.Println(err)
	}
	// Output:
	// the token for orders at orders is good: true
	// the token for orders at inventory is good: false
	// client: forward: macaroon: credential has bound discharges and can't be narrowed: its sender has to make one for the next hop as well
	// the token for inventory at orders is good: false
	// the token for inventory at inventory is good: true
	// client: forward: macaroon: credential has bound discharges and can't be narrowed: its sender has to make one for the next hop as well
}
