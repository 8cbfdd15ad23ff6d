package revocation_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

// A token is taken back, with all that was narrowed from it.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	keys := rootkey.InMemory()
	revoked := revocation.NewMemory(nil)
	list, err := revocation.NewList(revoked, 10*time.Second, revocation.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := list.Refresh(ctx); err != nil { // before the first request
		log.Fatal(err)
	}
	go list.Run(ctx)
	v, err := verifier.New(keys, "orders", verifier.Options{Revocations: list})
	if err != nil {
		log.Fatal(err)
	}

	expiry := time.Now().Add(time.Hour)
	token, err := keys.Mint(ctx, macaroon.Grant{Subject: "billing"},
		caveat.ExpiresAt(expiry), caveat.Audience("orders"), caveat.Operations("orders.read"))
	if err != nil {
		log.Fatal(err)
	}
	narrow, err := token.Attenuate(caveat.ExpiresIn(time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	text, err := narrow.Encode()
	if err != nil {
		log.Fatal(err)
	}
	who, err := v.VerifyText(ctx, text, "orders.read", caveat.Facts{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(who.Subject(), "may read")

	changed := list.Changed()
	until := expiry.Add(time.Minute) // past it, nobody need remember: clocks differ by less
	if err := revoked.Revoke(ctx, revocation.Token(who.TokenID()), until, "leaked in a log"); err != nil {
		log.Fatal(err)
	}
	<-changed
	_, err = v.VerifyText(ctx, text, "orders.read", caveat.Facts{})
	fmt.Println("revoked:", errors.Is(err, verifier.ErrRevoked))
	// Output:
	// billing may read
	// revoked: true
}
