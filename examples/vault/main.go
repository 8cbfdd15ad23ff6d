// Vault: the root key of a service moves into HashiCorp Vault and never comes back. From
// then on Vault's Transit engine computes the one HMAC that needs it. Everything else goes
// on here: narrowing, the rest of the chain, caveats.
//
//	go run ./examples/vault
//
// It talks plain HTTP to a fake of Vault, in fake.go. What would be used with a real one
// is in transit.go.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
)

func main() {
	ctx := context.Background()
	grant := macaroon.Grant{Subject: "billing"}
	caveats := []macaroon.Caveat{caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read")}

	// Until today the root key of orders was a file, and its first token is from then.
	rootKey := make([]byte, 32)
	rand.Read(rootKey)
	before := must(rootkey.NewRemote(file{rootKey}, rootkey.RemoteOptions{MintUnder: file{}.mintUnder}))
	old := must(before.Mint(ctx, grant, caveats...))

	// It moves. What Vault gets is the derived key. With the root key itself, Vault would
	// sign something else, and every token of before would be refused.
	vault := newFakeVault()
	vault.imports("orders", derive(rootKey))
	vault.imports("mistake", rootKey)
	for _, key := range []string{"orders", "mistake"} {
		// Whoever has this token can mint. Give each service a key, and access to that alone.
		vault.policy("token of "+key, "POST transit/hmac/"+key+"/sha2-256", "GET transit/keys/"+key)
	}
	vault.policy("token of an operator", "POST transit/keys/orders/rotate", "POST transit/keys/orders/config")
	engine := serve(vault) + "/v1/transit"

	signer := newTransit(engine, "orders", "token of orders")
	keys := must(rootkey.NewRemote(signer, rootkey.RemoteOptions{MintUnder: signer.mintUnder}))
	v := must(verifier.New(keys, "orders", verifier.Options{}))

	fmt.Println("The root key has moved into Vault.")
	try(ctx, v, "a token from before", old)
	mistake := must(rootkey.NewRemote(newTransit(engine, "mistake", "token of mistake"), rootkey.RemoteOptions{}))
	try(ctx, must(verifier.New(mistake, "orders", verifier.Options{})), "the same, had the root key been imported and not the derived one", old)
	first := must(keys.Mint(ctx, grant, caveats...))
	try(ctx, v, "a token that Vault signed", first)
	narrow := must(first.Attenuate(caveat.ExpiresIn(5 * time.Second)))
	try(ctx, v, "the same, narrowed by its holder, who needs no Vault", narrow)

	fmt.Println("\nAn operator rotates the key.")
	operator := newTransit(engine, "orders", "token of an operator")
	check(operator.call(ctx, http.MethodPost, "/keys/orders/rotate", map[string]any{}, &transitKey{}))
	second := must(keys.Mint(ctx, grant, caveats...))
	try(ctx, v, "a token of version 1", first)
	try(ctx, v, "a token of version 2", second)

	fmt.Println("\nA day later, when the last token of version 1 has expired, it is retired.")
	check(operator.call(ctx, http.MethodPost, "/keys/orders/config", map[string]any{"min_encryption_version": 2}, &transitKey{}))
	try(ctx, v, "a token of version 1", first)
	try(ctx, v, "a token of version 2", second)

	fmt.Println("\nBilling has a Vault token of its own. It can verify, and so mint, nothing that is orders'.")
	vault.policy("token of billing", "POST transit/hmac/billing/sha2-256", "GET transit/keys/billing")
	thief := newTransit(engine, "orders", "token of billing")
	_, err := must(rootkey.NewRemote(thief, rootkey.RemoteOptions{MintUnder: thief.mintUnder})).Mint(ctx, grant, caveats...)
	fmt.Println("  mint as orders:", err)

	fmt.Println("\nVerifying asks Vault each time. Somebody who prefers speed keeps signatures for a while:")
	cached := must(verifier.New(must(rootkey.NewRemote(signer, rootkey.RemoteOptions{CacheFor: 10 * time.Second})), "orders", verifier.Options{}))
	for _, row := range []struct {
		name string
		v    *verifier.Verifier
	}{{"without a cache", v}, {"with a cache", cached}} {
		asked := vault.count()
		for range 100 {
			must(row.v.VerifyText(ctx, must(second.Encode()), "orders.read", caveat.Facts{}))
		}
		fmt.Printf("  100 decisions %s: %d requests to Vault\n", row.name, vault.count()-asked)
	}

	fmt.Println("\nVault is sealed. That is nobody's fault who asks: 503, and not 401.")
	vault.set(func() { vault.sealed = true })
	try(ctx, v, "without a cache", second)
	try(ctx, cached, "with a cache, for ten seconds", second)
	vault.set(func() { vault.sealed = false })
	fmt.Println("And it is back.")
	try(ctx, v, "without a cache", second)
}

// derive gives the derived key of a root key: what macaroons are really signed with, and
// what a key management service has to be given.
func derive(rootKey []byte) []byte {
	h := hmac.New(sha256.New, []byte("macaroons-key-generator"))
	h.Write(rootKey)
	return h.Sum(nil)
}

// file is a signer with one root key at hand, as it was before.
type file struct{ rootKey []byte }

func (f file) Sign(_ context.Context, keyID, identifier string) (sig [32]byte, found bool, err error) {
	h := hmac.New(sha256.New, derive(f.rootKey))
	h.Write([]byte(identifier))
	return [32]byte(h.Sum(nil)), keyID == "v1", nil
}

func (file) mintUnder(context.Context) (keyID string, retires time.Time, err error) {
	return "v1", time.Time{}, nil
}

// try verifies a token and tells what came of it.
func try(ctx context.Context, v *verifier.Verifier, name string, token macaroon.Macaroon) {
	_, err := v.VerifyText(ctx, must(token.Encode()), "orders.read", caveat.Facts{})
	verdict := "allowed"
	if refusal := new(verifier.Error); errors.As(err, &refusal) {
		verdict = fmt.Sprintf("%v (%v)", refusal.Class(), refusal.Reason)
	}
	fmt.Printf("  %s: %s\n", name, verdict)
}

func serve(handler http.Handler) (url string) {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() { log.Fatal(server.Serve(listener)) }()
	return "http://" + listener.Addr().String()
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
