package redisstore_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/redisstore"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
)

func Example() {
	ctx := context.Background()
	server, err := miniredis.Run() // in a test; else Redis or Valkey
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
	defer client.Close()
	sealer, err := seal.NewPassphrase([]byte("from a secrets manager, in practice"))
	if err != nil {
		log.Fatal(err)
	}
	store, err := redisstore.New(client, sealer, redisstore.Options{Name: "orders"})
	if err != nil {
		log.Fatal(err)
	}
	keys, err := rootkey.Open(ctx, store, rootkey.Options{})
	if err != nil {
		log.Fatal(err)
	}
	token, err := keys.Mint(ctx, macaroon.Grant{Subject: "billing"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
	if err != nil {
		log.Fatal(err)
	}

	// Another process, which shares the keys.
	verifying, err := redisstore.New(client, sealer, redisstore.Options{Name: "orders"})
	if err != nil {
		log.Fatal(err)
	}
	same, err := rootkey.Open(ctx, verifying, rootkey.Options{})
	if err != nil {
		log.Fatal(err)
	}
	_, found, err := same.RootSignature(ctx, token.Identifier())
	fmt.Println(found, err)
	// Output: true <nil>
}
