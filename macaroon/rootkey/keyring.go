package rootkey

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/internal/redact"
	"github.com/amaretti-go/amaretti/macaroon"
)

// Keyring is a set of root keys. It is safe for concurrent use. It does not
// print what it holds. The zero Keyring has no keys: it neither mints nor knows any
// token.
type Keyring struct {
	ring *ring // behind a pointer, where fmt does not look
}

// ring is what a Keyring is made of.
type ring struct {
	store   guarded
	options Options
	decoy   redact.Box[[chain.Size]byte] // what unknown keys cost, nobody's
	writing chan struct{}                // has room for one writer of this process
	minded  atomic.Bool                  // somebody sees to rotation, or has been told that nobody does
	reading
}

// Open makes a keyring over a store, which it reads first. If no key mints there nor
// will, as in an empty store, it makes one, which mints at once; of several processes
// that open one empty store, one does. Options.RotateEvery can forbid that.
//
// Open fails if the store or an option is not as it must be (all problems are reported
// together), if the store can't be read, or if there should be a key and the store
// can't be written. It starts no goroutine. The keyring reads the store again when it is
// used; see [Keyring.Run].
func Open(ctx context.Context, store Store, options Options) (*Keyring, error) {
	var problems []error
	if store == nil {
		problems = append(problems, errors.New("no store"))
	}
	problems = append(problems, options.complete())
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("rootkey: %w", err)
	}
	r := newRing(store, options)
	s, err := r.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("rootkey: open: %w", err)
	}
	if d := s.draft(&r.options, r.wall()); d.lacking() && options.RotateEvery > 0 {
		if _, err := r.change(ctx, func(d *draft) error { d.begin(); return nil }); err != nil {
			return nil, fmt.Errorf("rootkey: open: no key mints: %w", err)
		}
	}
	return &Keyring{r}, nil
}

func newRing(store Store, options Options) *ring {
	var nobodys [chain.Size]byte
	rand.Read(nobodys[:]) // never fails: crypto/rand ends the program instead
	return &ring{
		store:   guarded{store},
		options: options,
		decoy:   redact.Hide(nobodys),
		writing: make(chan struct{}, 1),
		reading: reading{base: time.Now(), wall: time.Now, asked: -options.RefreshEvery},
	}
}

// InMemory makes a keyring with one fresh random key of 32 bytes, which is gone
// when the process ends and its tokens with it. It needs no [Keyring.Run].
func InMemory() *Keyring {
	k, err := Open(context.Background(), NewMemoryStore(), Options{})
	if err != nil {
		panic(err) // nothing there can fail
	}
	k.ring.minded.Store(true) // what ends with the process may do without rotation
	return k
}

// RootSignature gives the signature of an identifier that names one of the
// keyring's keys; see [macaroon.Source]. Whoever may call it can mint.
//
// It waits for the store only as the package documentation says, and no longer than ctx
// allows. A key that is not known costs the same hash as one that is, so that a clock
// can't tell them apart by it; that the store is asked about it now and then can be seen.
func (k *Keyring) RootSignature(ctx context.Context, identifier string) (sig [32]byte, found bool, err error) {
	keyID, ok := macaroon.KeyID(identifier)
	if !ok || k.ring == nil { // not ours; or no keys, in the zero Keyring
		return sig, false, nil
	}
	derived := k.ring.decoy
	if isKeyID(keyID) { // else no refresh can find it
		box, known, err := k.ring.derived(ctx, keyID)
		if err != nil {
			return sig, false, fmt.Errorf("rootkey: %w", err)
		}
		if known {
			derived, found = box, true
		}
	}
	if sig = new(chain.Hasher).Root(derived.Value(), identifier); !found {
		return [chain.Size]byte{}, false, nil
	}
	return sig, true, nil
}

// derived gives what a key derives, if it is one that verifies.
func (r *ring) derived(ctx context.Context, keyID string) (box redact.Box[[chain.Size]byte], known bool, err error) {
	arrived := r.begun.Load()
	v, err := r.current(ctx)
	if err != nil {
		return box, false, err
	}
	if box, known = v.verify[keyID]; known || v.set.find(keyID) >= 0 {
		return box, known, nil
	}
	if v, err = r.ask(ctx, keyID, arrived); err != nil {
		return box, false, err
	}
	box, known = v.verify[keyID]
	return box, known, nil
}

// Epoch gives a number that changes whenever the state of any key does, also by time
// alone, and that is never used again: what RootSignature gave since a call of Epoch
// holds as long as Epoch gives the same. It does not wait: if the keys have to be read
// before anything can be said, the number is a new one and RootSignature waits. Its error
// is [ErrStale].
func (k *Keyring) Epoch() (uint64, error) {
	r := k.ring
	if r == nil {
		return 0, nil
	}
	if v := r.view.Load(); time.Since(r.base) < v.until {
		return v.epoch, nil
	}
	v, _, err := r.judge()
	if err != nil {
		return 0, fmt.Errorf("rootkey: epoch: %w", err)
	}
	return v.epoch, nil
}

// String tells the id of the key that Mint uses, by what is known.
func (k *Keyring) String() string {
	if k.ring == nil {
		return "keyring (zero)"
	}
	minting := k.ring.view.Load().mint()
	if minting == nil {
		return "keyring (no key mints)"
	}
	return fmt.Sprintf("keyring (key %s)", minting.id)
}

// Format writes what String gives, whatever the verb.
func (k *Keyring) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }
