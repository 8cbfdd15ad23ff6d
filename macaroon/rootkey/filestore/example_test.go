//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package filestore_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/filestore"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
)

// A token of one run of the program is still good in the next.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "filestore")
	check(err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "keys")
	kek := make([]byte, 32) // it comes from a secrets manager, in real life
	rand.Read(kek)

	start := func() *rootkey.Keyring {
		sealer, err := seal.NewKey(kek)
		check(err)
		store, err := filestore.New(path, sealer, filestore.Options{})
		check(err)
		keys, err := rootkey.Open(ctx, store, rootkey.Options{})
		check(err)
		return keys
	}

	token, err := start().Mint(ctx, macaroon.Grant{Subject: "billing"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
	check(err)
	_, found, err := start().RootSignature(ctx, token.Identifier())
	fmt.Println("known in the next run:", found, err)
	// Output: known in the next run: true <nil>
}

// To change the passphrase, every process is first given both, with the old one in
// front; then one of them seals the file anew; then the old one goes.
func ExampleStore_Rewrap() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "filestore")
	check(err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "keys")

	former, err := seal.NewPassphrase([]byte("Who plants a tree thinks of others"))
	check(err)
	next, err := seal.NewPassphrase([]byte("A year has thirteen moons, not twelve"))
	check(err)

	store, err := filestore.New(path, former.AlsoOpens(next), filestore.Options{})
	check(err)
	_, err = rootkey.Open(ctx, store, rootkey.Options{})
	check(err)
	check(store.Rewrap(ctx, next))

	for _, sealer := range []*seal.Sealer{former, next} {
		store, err := filestore.New(path, sealer, filestore.Options{})
		check(err)
		_, _, found, err := store.Load(ctx, "")
		fmt.Println(found, err != nil)
	}
	// Output:
	// false true
	// true false
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
