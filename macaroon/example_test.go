package macaroon_test

import (
	"context"
	"fmt"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

// A service mints, and whoever holds the token narrows it, offline.
func Example() {
	ctx := context.Background()
	keys := rootkey.InMemory()
	token, err := keys.Mint(ctx, macaroon.Grant{Subject: "billing", Location: "https://orders.internal"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
	if err != nil {
		panic(err)
	}
	narrow, err := token.Attenuate(caveat.Methods("GET"), caveat.Path("/orders/*"))
	if err != nil {
		panic(err)
	}
	text, err := narrow.Encode() // for a header: "Authorization: Bearer " + text
	if err != nil {
		panic(err)
	}
	fmt.Println("begins with", text[:2])
	fmt.Println("prints as", narrow)
	for i, c := range narrow.Inspect().Caveats().All() {
		if i > 0 { // the first is the expiry
			fmt.Println(c.ID)
		}
	}
	// Output:
	// begins with Ag
	// prints as macaroon (5 caveats, redacted)
	// audience orders
	// allow orders.read
	// http-method GET
	// http-path /orders/*
}

// A third-party caveat is met by a discharge, which is an ordinary macaroon minted
// under the caveat's own root key.
func ExampleWallet() {
	rootKey := []byte("of the service: 32 random bytes.")
	caveatKey := []byte("of the caveat: 32 random bytes..")

	token, err := macaroon.New(rootKey, "token 1", "https://orders.internal")
	if err != nil {
		panic(err)
	}
	token, err = token.Attenuate(macaroon.ThirdParty(caveatKey, "is a member of acme", "https://login.internal"))
	if err != nil {
		panic(err)
	}
	wallet, err := macaroon.NewWallet(token)
	if err != nil {
		panic(err)
	}
	fmt.Println("missing:", wallet.Missing())

	discharge, err := macaroon.New(caveatKey, "is a member of acme", "") // at the third party
	if err != nil {
		panic(err)
	}
	wallet, err = wallet.With(discharge)
	if err != nil {
		panic(err)
	}
	fmt.Println("missing:", wallet.Missing())

	credential, err := wallet.Credential() // binds the discharge to the token
	if err != nil {
		panic(err)
	}
	_, err = credential.Wallet()
	fmt.Println(err)
	// Output:
	// missing: [{https://login.internal is a member of acme}]
	// missing: []
	// macaroon: credential has bound discharges and can't be narrowed
}

// A condition in the form of another system is plain text.
func ExampleCondition() {
	m, err := macaroon.New([]byte("this is our super secret key; only we should know it"), "we used our secret key", "http://mybank/")
	if err != nil {
		panic(err)
	}
	m, err = m.Attenuate(macaroon.Condition("account = 3735928559"))
	if err != nil {
		panic(err)
	}
	fmt.Print(m.Inspect())
	// Output:
	// location "http://mybank/"
	// identifier "we used our secret key"
	// caveat 0: "account = 3735928559"
}
