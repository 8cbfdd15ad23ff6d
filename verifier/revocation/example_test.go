package revocation_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
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

// A service without a database follows over HTTP, with a token that allows it nothing else.
func ExampleHandler() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	// Who revokes, and has root keys of its own.
	own := rootkey.InMemory()
	v, err := verifier.New(own, "minter", verifier.Options{})
	if err != nil {
		log.Fatal(err)
	}
	auth, err := httpauth.New(v, httpauth.Options{})
	if err != nil {
		log.Fatal(err)
	}
	revoked := revocation.NewMemory(nil)
	handler, err := revocation.Handler(revoked, func(r *http.Request) error {
		_, err := auth.Check(r, "revocations.read")
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	minter := httptest.NewServer(handler)
	defer minter.Close()
	token, err := own.Mint(ctx, macaroon.Grant{Subject: "orders"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("minter"), caveat.Operations("revocations.read"))
	if err != nil {
		log.Fatal(err)
	}

	// Who follows. A service that runs for longer than its token has client.File in the place of Static.
	wallet, err := macaroon.NewWallet(token)
	if err != nil {
		log.Fatal(err)
	}
	transport, err := client.New([]string{minter.URL}, client.Static(wallet), client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	feed, err := revocation.HTTP(&http.Client{Transport: transport}, minter.URL+"/revocations", revocation.HTTPOptions{})
	if err != nil {
		log.Fatal(err)
	}
	list, err := revocation.NewList(feed, 10*time.Second, revocation.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := list.Refresh(ctx); err != nil {
		log.Fatal(err)
	}

	changes := list.Watch(ctx)
	go list.Run(ctx)
	if err := revoked.Revoke(ctx, revocation.Subject("billing"), time.Time{}, "left the company"); err != nil {
		log.Fatal(err)
	}
	for batch := range changes {
		for _, change := range batch {
			fmt.Println(change.What)
		}
		break
	}
	// Output:
	// subject billing
}
