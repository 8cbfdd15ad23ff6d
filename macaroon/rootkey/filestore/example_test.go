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

// To change the passphrase, every process is first given both, the old one in front and then the new
// one; then one of them seals the file anew; then the old one goes. See package seal.
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

	start := func(sealer *seal.Sealer) *filestore.Store {
		store, err := filestore.New(path, sealer, filestore.Options{})
		check(err)
		_, err = rootkey.Open(ctx, store, rootkey.Options{})
		fmt.Println("opens:", err == nil)
		return store
	}
	start(former)
	start(former.AlsoOpens(next))
	store := start(next.AlsoOpens(former))
	check(store.Rewrap(ctx, next))
	start(next)
	start(former)
	// Output:
	// opens: true
	// opens: true
	// opens: true
	// opens: true
	// opens: false
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
