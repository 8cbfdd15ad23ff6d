package chain_test

import (
	"fmt"

	"github.com/amaretti-go/amaretti/internal/chain"
)

// The first lines of the tutorial of libmacaroons.
func Example() {
	key := chain.DeriveKey([]byte("this is our super secret key; only we should know it"))
	var h chain.Hasher
	sig := h.Root(&key, "we used our secret key")
	fmt.Printf("%x\n", sig)
	h.FirstParty(&sig, "account = 3735928559")
	fmt.Printf("%x\n", sig)
	// Output:
	// e3d9e02908526c4c0039ae15114115d97fdd68bf2ba379b342aaf0f617d0552f
	// 1efe4763f290dbce0c1d08477367e11f4eee456a64933cf662d79772dbb82128
}
