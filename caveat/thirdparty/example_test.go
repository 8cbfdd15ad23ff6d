package thirdparty_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
)

// A token that is good only for members of acme. The identity service knows them, and tells who it is.
func Example() {
	ctx := context.Background()

	// The identity service has a key, and knows its members.
	keys, err := thirdparty.NewKeys(thirdparty.GenerateKey())
	if err != nil {
		panic(err)
	}
	discharger, err := thirdparty.NewDischarger(keys, thirdparty.Options{})
	if err != nil {
		panic(err)
	}
	members := thirdparty.Conditions{
		"member-of": func(_ context.Context, q thirdparty.Question) (thirdparty.Answer, error) {
			if q.Argument != "acme" || q.Caller != "ann" {
				return thirdparty.Answer{}, errors.New("not a member")
			}
			return thirdparty.Answer{Declared: map[string]string{"user": "ann"}}, nil
		},
	}

	// The orders service mints a token with a caveat for the identity service.
	identity := thirdparty.Party{Location: "https://id.example", Key: keys.Advertised()}
	orders := rootkey.InMemory()
	token, err := orders.Mint(ctx, macaroon.Grant{Subject: "web"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"),
		thirdparty.NewCaveat(identity, "member-of acme").Attesting("user"))
	if err != nil {
		panic(err)
	}

	// Whoever holds it asks for a discharge, and presents both.
	wallet, err := macaroon.NewWallet(token)
	if err != nil {
		panic(err)
	}
	missing := wallet.Missing()[0]
	_, err = discharger.Discharge(ctx, thirdparty.Request{CaveatID: missing.CaveatID, Caller: "bob"}, members)
	fmt.Println("bob:", err)
	discharge, err := discharger.Discharge(ctx, thirdparty.Request{CaveatID: missing.CaveatID, Caller: "ann"}, members)
	fmt.Println("ann:", err)
	wallet, err = wallet.With(discharge)
	if err != nil {
		panic(err)
	}
	text, err := wallet.Encode()
	if err != nil {
		panic(err)
	}

	v, err := verifier.New(orders, "orders", verifier.Options{})
	if err != nil {
		panic(err)
	}
	who, err := v.VerifyText(ctx, text, "orders.read", caveat.Facts{})
	if err != nil {
		panic(err)
	}
	user, found := who.Attribute("user")
	fmt.Println(who.Subject(), user, found)
	// Output:
	// bob: thirdparty: not a member
	// ann: <nil>
	// web ann true
}
