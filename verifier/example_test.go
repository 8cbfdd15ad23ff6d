package verifier_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
)

func Example() {
	ctx := context.Background()
	keys := rootkey.InMemory()
	token, err := keys.Mint(ctx, macaroon.Grant{Subject: "billing"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"), caveat.Path("/orders/*"))
	if err != nil {
		panic(err)
	}
	text, err := token.Encode()
	if err != nil {
		panic(err)
	}

	v, err := verifier.New(keys, "orders", verifier.Options{})
	if err != nil {
		panic(err)
	}
	who, err := v.VerifyText(ctx, text, "orders.read", caveat.Facts{Method: "GET", Path: "/orders/7"})
	fmt.Println(who.Subject(), err)

	_, err = v.VerifyText(ctx, text, "orders.write", caveat.Facts{Method: "PUT", Path: "/orders/7"})
	fmt.Println(err, errors.Is(err, verifier.ErrDenied))
	stranger, err := verifier.New(rootkey.InMemory(), "orders", verifier.Options{}) // has other keys
	if err != nil {
		panic(err)
	}
	_, err = stranger.VerifyText(ctx, text, "orders.read", caveat.Facts{Method: "GET", Path: "/orders/7"})
	fmt.Println(err, errors.Is(err, verifier.ErrUnauthenticated))
	// Output:
	// billing <nil>
	// verifier: denied true
	// verifier: unauthenticated true
}

// Each message of a stream is checked; the chain is walked once.
func ExampleAuthentic_Check() {
	ctx := context.Background()
	keys := rootkey.InMemory()
	token, err := keys.Mint(ctx, macaroon.Grant{Subject: "reports"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.*"), caveat.Resources("orders/eu/**"))
	if err != nil {
		panic(err)
	}
	credential, err := wallet(token)
	if err != nil {
		panic(err)
	}
	v, err := verifier.New(keys, "orders", verifier.Options{})
	if err != nil {
		panic(err)
	}
	authentic, err := v.Authenticate(ctx, credential)
	if err != nil {
		panic(err)
	}
	for _, order := range []string{"orders/eu/7", "orders/us/8"} {
		_, err := authentic.Check(ctx, "orders.read", caveat.Facts{Resource: order})
		fmt.Println(order, err)
	}
	// Output:
	// orders/eu/7 <nil>
	// orders/us/8 verifier: denied
}

func wallet(m macaroon.Macaroon) (macaroon.Credential, error) {
	w, err := macaroon.NewWallet(m)
	if err != nil {
		return macaroon.Credential{}, err
	}
	return w.Credential()
}

// Tokens that another library minted, under one key that both know.
func ExampleNewForeign() {
	source, err := verifier.FixedKey([]byte("a root key of 32 random bytes..."), verifier.ForeignGrant{
		MinterCaveats: 2, // known of this minter: it always writes expiry and audience first
		Operations:    []string{"orders.read"},
	})
	if err != nil {
		panic(err)
	}
	v, err := verifier.NewForeign(source, "orders", verifier.Options{})
	if err != nil {
		panic(err)
	}
	m, err := macaroon.New([]byte("a root key of 32 random bytes..."), "their identifier", "")
	if err != nil {
		panic(err)
	}
	m, err = m.Attenuate(caveat.ExpiresIn(time.Hour), caveat.Audience("orders"))
	if err != nil {
		panic(err)
	}
	text, err := m.Encode()
	if err != nil {
		panic(err)
	}
	who, err := v.VerifyText(context.Background(), text, "orders.read", caveat.Facts{})
	fmt.Println(who.Foreign(), err)
	// Output: true <nil>
}
