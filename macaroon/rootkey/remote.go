package rootkey

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/amaretti-go/amaretti/internal/redact"
	"github.com/amaretti-go/amaretti/macaroon"
)

// A Signer signs with root keys that are kept elsewhere and don't come here: in a key
// management service, a hardware module, a service of its own. [NewRemote] makes of it
// what mints and verifies.
//
// Sign gives HMAC-SHA256 of identifier under the derived key of the root key that
// keyID names. The derived key is
//
//	HMAC-SHA256(key: "macaroons-key-generator", message: root key)
//
// so where a root key exists already, this and not the root key is what has to be imported
// there. A key of 32 random bytes that was made there needs no root key: it is a
// derived one.
//
// found is false if, and only if, it is certain that there is no such key, or that it is good for
// nothing any more: then the token is refused. Whatever else goes wrong is an error, and so is that
// access was denied: then nobody can tell. Errors must not show key material.
//
// Whoever may have Sign done can mint: the signature of an identifier is all the
// authority there is. Access to the key is to be guarded like the key, and each service that
// verifies needs a key of its own.
//
// keyID and identifier may come from anybody who can send a request. keyID is 1 to 64 printable
// ASCII characters, which may be / or ? or %: compare it with what there is, or parse it strictly, before
// it becomes part of a path. Sign must be safe for concurrent use and heed ctx.
type Signer interface {
	Sign(ctx context.Context, keyID, identifier string) (sig [32]byte, found bool, err error)
}

// RemoteOptions tune a Remote. The zero value is the safe default, with which it only
// verifies.
type RemoteOptions struct {
	_ [0]func() // fields are to be named

	// MintUnder tells the id of the key to mint under now, and from when on the signer will
	// not know that any more: zero if that is not decided. It is asked for each token,
	// must be safe for concurrent use and heed ctx. Nil means that nothing is minted.
	MintUnder func(ctx context.Context) (keyID string, retires time.Time, err error)

	// MaxLifetime is how long a token lives at most. Zero means 24 hours. A key has to be
	// there for so long after the last token was minted under it.
	MaxLifetime time.Duration

	// Recorder is told of every token. Nil means nobody is.
	Recorder Recorder

	// Timeout bounds each call to the signer and to MintUnder, besides the caller's context.
	// Zero means 5 seconds.
	Timeout time.Duration

	// CacheFor is how long a signature is kept, of 1000 identifiers at most: for so long its
	// tokens are good after their key was deleted, and without the signer. Zero means that
	// the signer is asked in each decision.
	CacheFor time.Duration
}

// Remote mints and verifies with root keys that are elsewhere. It is a
// [macaroon.Source], and safe for concurrent use. It does not print what it holds. The zero Remote has
// no keys: it neither mints nor knows any token.
type Remote struct {
	remote *remote // behind a pointer, where fmt does not look
}

type remote struct {
	signer  Signer
	options RemoteOptions
	cache   signatureCache
}

// NewRemote makes a Remote. All problems with what it is given are reported together. It calls nobody.
func NewRemote(signer Signer, options RemoteOptions) (*Remote, error) {
	var problems []error
	if signer == nil {
		problems = append(problems, errors.New("no signer"))
	}
	problems = append(problems, completeSpans([]span{
		{"MaxLifetime", &options.MaxLifetime, 24 * time.Hour, false},
		{"Timeout", &options.Timeout, 5 * time.Second, false},
		{"CacheFor", &options.CacheFor, 0, false},
	})...)
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("rootkey: %w", err)
	}
	return &Remote{&remote{signer: signer, options: options}}, nil
}

// Mint makes a token under the key that MintUnder names, by the rules of
// [Keyring.Mint].
func (r *Remote) Mint(ctx context.Context, grant macaroon.Grant, caveats ...macaroon.Caveat) (macaroon.Macaroon, error) {
	if r.remote == nil {
		return macaroon.Macaroon{}, errors.New("rootkey: zero Remote: use NewRemote")
	}
	o := &r.remote.options
	if o.MintUnder == nil {
		return macaroon.Macaroon{}, fmt.Errorf("rootkey: mint: %w: MintUnder is nil", ErrNoKey)
	}
	keyID, retires, err := o.mintUnder(ctx)
	if err != nil {
		return macaroon.Macaroon{}, fmt.Errorf("rootkey: mint: key to mint under: %w", err)
	}
	return mintRules{time.Now, o.MaxLifetime, o.Recorder}.mint(ctx, r, keyID, retires, grant, caveats)
}

func (o *RemoteOptions) mintUnder(ctx context.Context) (keyID string, retires time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	return o.MintUnder(ctx)
}

// RootSignature gives the signature of an identifier, by the signer or from the cache;
// see [macaroon.Source]. Whoever may call it can mint. The signer sees nothing that is not
// an identifier of this library, whole and well-formed.
func (r *Remote) RootSignature(ctx context.Context, identifier string) (sig [32]byte, found bool, err error) {
	if r.remote == nil {
		return sig, false, nil
	}
	id, err := macaroon.ParseIdentifier(identifier)
	if err != nil {
		return sig, false, nil
	}
	if sig, found, err = r.remote.sign(ctx, id.KeyID, identifier); err != nil {
		return [32]byte{}, false, fmt.Errorf("rootkey: signer: %w", err)
	}
	return sig, found, nil
}

func (r *remote) sign(ctx context.Context, keyID, identifier string) (sig [32]byte, found bool, err error) {
	began := time.Now() // what the signer says holds from then on, and not from when it arrives
	if sig, found = r.cache.get(identifier, began); found {
		return sig, true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	sig, found, err = r.signer.Sign(ctx, keyID, identifier)
	switch {
	case err != nil || !found:
		return [32]byte{}, false, err
	case sig == [32]byte{}: // which no key gives: something was left out
		return sig, false, errors.New("an empty signature")
	}
	if r.options.CacheFor > 0 {
		r.cache.put(identifier, sig, began.Add(r.options.CacheFor), time.Now())
	}
	return sig, true, nil
}

// String tells nothing of what is cached.
func (r *Remote) String() string { return "remote root keys" }

// Format writes what String gives, whatever the verb.
func (r *Remote) Format(f fmt.State, _ rune) { io.WriteString(f, r.String()) }

// maxCached is how many signatures are kept. Strangers can fill the cache: that costs them
// a request each, and others no more than asking the signer again.
const maxCached = 1000

// signatureCache keeps signatures by identifier. Its zero value is empty.
type signatureCache struct {
	mu   sync.Mutex
	kept map[string]cached
}

type cached struct {
	sig  redact.Box[[32]byte]
	ends time.Time
}

func (c *signatureCache) get(identifier string, now time.Time) (sig [32]byte, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, found := c.kept[identifier]
	if !found || !now.Before(entry.ends) {
		return sig, false
	}
	return *entry.sig.Value(), true
}

func (c *signatureCache) put(identifier string, sig [32]byte, ends, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = make(map[string]cached)
	}
	if len(c.kept) >= maxCached {
		for other, entry := range c.kept {
			if !now.Before(entry.ends) {
				delete(c.kept, other)
			}
		}
		for other := range c.kept { // one of any
			if len(c.kept) < maxCached {
				break
			}
			delete(c.kept, other)
		}
	}
	c.kept[identifier] = cached{redact.Hide(sig), ends}
}
