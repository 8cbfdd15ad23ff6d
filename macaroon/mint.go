package macaroon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/internal/wire"
)

// A Source gives the signatures of identifiers: what signing and verifying need
// of a root key, so that the key itself can stay in a keyring, a key management
// service or an isolated process.
//
// RootSignature gives HMAC-SHA256 of identifier under the key derived from the
// root key that the identifier names; found is false if there is no such key,
// and err is not nil if that could not be found out. With found false or an
// error, sig is not looked at. It must be safe for concurrent use, must not
// block without regard to ctx, and must give the same signature for the same
// identifier as long as the key lives.
//
// Whoever may call it can mint: the signature of an identifier is all the
// authority there is.
type Source interface {
	RootSignature(ctx context.Context, identifier string) (sig [32]byte, found bool, err error)
}

// Grant is what a minter says of a token besides its caveats.
type Grant struct {
	// Subject is who the token is for; see [Identifier].
	Subject string

	// Label is for the minter's own inventory of tokens; package rootkey hands it to
	// its Recorder. It is not written into the token, so no holder sees it.
	Label string

	// Location is a hint where the token is of use. It is not authenticated: any
	// holder can change it.
	Location string

	// IssuedAt is the time of minting. This package has no clock; package
	// rootkey fills it in.
	IssuedAt time.Time

	// Limits are those that the token is held to, now and when it is attenuated.
	// The zero value means the defaults. Verifiers have limits of their own.
	Limits Limits
}

// Mint makes a token under the root key that keyID names in source. Its
// [Identifier] holds the key id, a fresh random token id, what grant says, the
// number of caveats, and what each of them asks a third party to attest.
//
// These caveats, and no others, are the minter's: they are what grants
// operations and ends the token. A verifier wants at least a time-before, an
// audience and an allow among them.
//
// Mint fails, without a token, if a caveat can't be written, if two of them ask
// for the same attribute, if a limit is exceeded, or if the source does not know
// the key (ErrUnknownKey) or fails.
func Mint(ctx context.Context, source Source, keyID string, grant Grant, caveats ...Caveat) (Macaroon, error) {
	m, err := mint(ctx, source, keyID, grant, caveats)
	if err != nil {
		return Macaroon{}, fmt.Errorf("macaroon: mint: %w", err)
	}
	return m, nil
}

func mint(ctx context.Context, source Source, keyID string, grant Grant, caveats []Caveat) (Macaroon, error) {
	if source == nil {
		return Macaroon{}, errors.New("no source")
	}
	if grant.IssuedAt.IsZero() {
		return Macaroon{}, errors.New("no time of issue")
	}
	id := Identifier{KeyID: keyID, IssuedAt: grant.IssuedAt, Subject: grant.Subject, Caveats: len(caveats)}
	rand.Read(id.TokenID[:]) // never fails: crypto/rand ends the program instead

	limits := grant.Limits.WithDefaults()
	list := make([]written, len(caveats))
	for i, c := range caveats {
		w, err := write(c, &limits)
		if err != nil {
			return Macaroon{}, fmt.Errorf("caveat %d: %w", i, err)
		}
		if len(w.attests) > 0 {
			id.Attests = append(id.Attests, Attestation{Caveat: i, Keys: w.attests})
		}
		list[i] = w
	}
	signed, err := id.MarshalBinary()
	if err != nil {
		return Macaroon{}, err
	}
	identifier := string(signed)
	if len(identifier) > limits.Identifier {
		return Macaroon{}, wire.OverLimit("bytes of identifier", limits.Identifier)
	}

	sig, found, err := source.RootSignature(ctx, identifier)
	if err != nil {
		return Macaroon{}, err
	}
	if !found {
		return Macaroon{}, ErrUnknownKey
	}
	b, t := single(wire.Macaroon{
		Location:   grant.Location,
		Identifier: identifier,
		Signature:  sig,
	}, grant.Limits.raised(), len(list))
	var h chain.Hasher
	for i := range list {
		list[i].appendTo(&t.list[0], &h)
	}
	if err := t.check(); err != nil {
		return Macaroon{}, err
	}
	return Macaroon{box: b}, nil
}
