// Package rootkey keeps the root keys that tokens are minted and verified with.
//
//	keys := rootkey.InMemory()
//	token, err := keys.Mint(ctx, macaroon.Grant{Subject: "billing"},
//		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
//	v, err := verifier.New(keys, "orders", verifier.Options{})
//
// A [Keyring] both mints and verifies: whoever has it can do both. Give each
// service root keys of its own, so that none can mint for another; all that
// another service needs is a token.
package rootkey

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/internal/redact"
	"github.com/amaretti-go/amaretti/macaroon"
)

// Keyring is a set of root keys. It is safe for concurrent use. It does not
// print what it holds. The zero Keyring has no keys: it neither mints nor knows any
// token.
type Keyring struct {
	keyID   string
	derived redact.Box[[chain.Size]byte]
}

// InMemory makes a keyring with one fresh random key of 32 bytes, which is gone
// when the process ends and its tokens with it.
func InMemory() *Keyring {
	var id [8]byte
	var key [32]byte
	rand.Read(id[:]) // never fails: crypto/rand ends the program instead
	rand.Read(key[:])
	return &Keyring{
		keyID:   strings.ToLower(keyIDs.EncodeToString(id[:])),
		derived: redact.Hide(chain.DeriveKey(key[:])),
	}
}

var keyIDs = base32.StdEncoding.WithPadding(base32.NoPadding)

// Mint makes a token under the keyring's key, as [macaroon.Mint] does. Where
// grant has no time of issue it is now. Verifiers refuse a token whose minter wrote
// no time-before, no audience or no allow, so these are what caveats should have.
func (k *Keyring) Mint(ctx context.Context, grant macaroon.Grant, caveats ...macaroon.Caveat) (macaroon.Macaroon, error) {
	if grant.IssuedAt.IsZero() {
		grant.IssuedAt = time.Now()
	}
	return macaroon.Mint(ctx, k, k.keyID, grant, caveats...)
}

// RootSignature gives the signature of an identifier that names one of the
// keyring's keys; see [macaroon.Source]. Whoever may call it can mint.
func (k *Keyring) RootSignature(_ context.Context, identifier string) (sig [32]byte, found bool, err error) {
	keyID, ok := macaroon.KeyID(identifier)
	if !ok || k.keyID == "" { // not ours; or no keys, in the zero Keyring
		return sig, false, nil
	}
	// An unknown key costs the same hash, so that a clock can't tell which are
	// known.
	var h chain.Hasher
	sig = h.Root(k.derived.Value(), identifier)
	if keyID != k.keyID {
		return [chain.Size]byte{}, false, nil
	}
	return sig, true, nil
}

// Epoch never changes, since the one key never does.
func (k *Keyring) Epoch() (uint64, error) { return 1, nil }

// String tells the key's id.
func (k *Keyring) String() string { return fmt.Sprintf("keyring (key %s)", k.keyID) }

// Format writes what String gives, whatever the verb.
func (k *Keyring) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }
