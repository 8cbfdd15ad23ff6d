package verifier

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/internal/redact"
	"github.com/amaretti-go/amaretti/macaroon"
)

// A Source gives root signatures of this library's own identifiers; see
// [macaroon.Source] for the rules. A *rootkey.Keyring is one.
//
// A source may also have the method
//
//	Epoch() (uint64, error)
//
// whose value changes with the state of any key at that instant, also when a
// state changes merely because time passes, and never returns to a value used
// before. It is read at each decision. An error makes the decision undecided. What
// such a source gives for an identifier is kept while the value stays the same, so it
// must not depend on anything else, such as what a context carries. A
// method of this name with another signature is not noticed; and a type that
// embeds a source inherits its Epoch, which may know less than the outer type does.
type Source = macaroon.Source

// A ForeignSource gives root signatures of identifiers that another system
// wrote, and what its minter granted, from authenticated knowledge: that a token
// is foreign is a property of its source and never guessed from its bytes. The
// rules of [macaroon.Source] hold, and it may have an Epoch likewise. The grant is
// only read, and not beyond the decision but as a copy; the source must not change its
// slices meanwhile.
type ForeignSource interface {
	ForeignRootSignature(ctx context.Context, identifier string) (sig [32]byte, grant ForeignGrant, found bool, err error)
}

// ForeignGrant is what is known of a foreign token besides its caveats. Its zero
// value grants nothing.
type ForeignGrant struct {
	// MinterCaveats is how many caveats, from the first on, the minter wrote. Only
	// these count as its expiry and audience. It must not be more than the minter
	// wrote in any token that the source knows the key of: what is counted too
	// much is the holder's, who could then supply an expiry or audience that the
	// minter left out. Zero is safe where it is unknown; then a verifier that
	// takes the tokens needs the Insecure options.
	MinterCaveats int

	// Operations is what the token grants: operations, "orders.*" for all below
	// one, "*" for all. An allow caveat only restricts them. None grants nothing.
	Operations []string
}

func (g ForeignGrant) check() error {
	if g.MinterCaveats < 0 {
		return errors.New("foreign grant: negative number of minter's caveats")
	}
	return nil
}

func (g ForeignGrant) covers(operation string) bool {
	return slices.ContainsFunc(g.Operations, func(pattern string) bool {
		return caveat.OperationCovers(pattern, operation)
	})
}

type epoch interface{ Epoch() (uint64, error) }

const minForeignKey = 16

// FixedKey is a source with one root key, which every identifier is signed
// under: for foreign tokens of one minter. One grant serves all of them, so its
// MinterCaveats is the smallest number of caveats that the minter writes. The key
// has at least 16 bytes; it is used, not kept.
func FixedKey(rootKey []byte, grant ForeignGrant) (ForeignSource, error) {
	if len(rootKey) < minForeignKey {
		return nil, fmt.Errorf("verifier: fixed key: want at least %d bytes", minForeignKey)
	}
	return InsecureFixedKey(rootKey, grant)
}

// InsecureFixedKey is FixedKey for a root key of any length, for migration and
// tests: whoever guesses a short key can mint.
func InsecureFixedKey(rootKey []byte, grant ForeignGrant) (ForeignSource, error) {
	if err := grant.check(); err != nil {
		return nil, fmt.Errorf("verifier: fixed key: %w", err)
	}
	grant.Operations = slices.Clone(grant.Operations)
	return &fixedKey{redact.Hide(chain.DeriveKey(rootKey)), grant}, nil
}

type fixedKey struct {
	derived redact.Box[[chain.Size]byte]
	grant   ForeignGrant
}

func (k *fixedKey) ForeignRootSignature(_ context.Context, identifier string) (sig [32]byte, grant ForeignGrant, found bool, err error) {
	grant = k.grant
	grant.Operations = slices.Clone(grant.Operations) // the caller's
	return new(chain.Hasher).Root(k.derived.Value(), identifier), grant, true, nil
}

// Epoch never changes, since the key does not.
func (k *fixedKey) Epoch() (uint64, error) { return 1, nil }

// KeyFunc is a source that looks up the root key of each identifier, such as in
// the store of a system that minted before. A key has at least 16 bytes; a
// shorter one makes the decision undecided. lookup must be safe for concurrent
// use.
func KeyFunc(lookup func(ctx context.Context, identifier string) (rootKey []byte, grant ForeignGrant, found bool, err error)) ForeignSource {
	return keyFunc(lookup)
}

type keyFunc func(ctx context.Context, identifier string) ([]byte, ForeignGrant, bool, error)

func (lookup keyFunc) ForeignRootSignature(ctx context.Context, identifier string) (sig [32]byte, grant ForeignGrant, found bool, err error) {
	rootKey, grant, found, err := lookup(ctx, identifier)
	if err != nil || !found {
		return sig, ForeignGrant{}, false, err
	}
	if len(rootKey) < minForeignKey {
		return sig, ForeignGrant{}, false, fmt.Errorf("verifier: root key: want at least %d bytes", minForeignKey)
	}
	derived := chain.DeriveKey(rootKey)
	return new(chain.Hasher).Root(&derived, identifier), grant, true, nil
}
