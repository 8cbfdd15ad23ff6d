package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

// orders is the service that owns the orders. It has no list of people.
type orders struct {
	keys    *rootkey.Keyring
	member  thirdparty.Caveat
	handler http.Handler
}

func newOrders(identity thirdparty.Party, key thirdparty.PrivateKey) (*orders, error) {
	o := &orders{
		keys: rootkey.InMemory(),
		// The minter asks for the name: only then does the verifier report it, whatever a holder appends.
		member: thirdparty.NewCaveat(identity, "member-of acme").Attesting("user").From(key),
	}
	v, err := verifier.New(o.keys, "orders", verifier.Options{})
	if err != nil {
		return nil, err
	}
	auth, err := httpauth.New(v, httpauth.Options{})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /orders", auth.RequireFunc("orders.list", list))
	o.handler = mux
	return o, nil
}

func (o *orders) mint(ctx context.Context) (macaroon.Macaroon, error) {
	return o.keys.Mint(ctx, macaroon.Grant{Subject: "shop"},
		caveat.ExpiresIn(24*time.Hour), caveat.Audience("orders"), caveat.Operations("orders.list"), o.member)
}

var ordersOf = map[string][]string{"ann": {"12 amaretti", "1 espresso machine"}}

// list shows whoever the identity service vouched for that person's orders.
func list(w http.ResponseWriter, r *http.Request) {
	who, _ := httpauth.FromContext(r.Context())
	user, known := who.Attribute("user")
	if !known {
		http.Error(w, "nobody is known to be asking", http.StatusForbidden)
		return
	}
	fmt.Fprintf(w, "orders of %s: %s", user, strings.Join(ordersOf[user], ", "))
}
