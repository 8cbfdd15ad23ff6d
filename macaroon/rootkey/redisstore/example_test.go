package redisstore_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/redisstore"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
)

func Example() {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", ContextTimeoutEnabled: true})
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
	fmt.Println(token)
}
