package rootkey

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/internal/redact"
)

// FromKeys makes a keyring of root keys that come from elsewhere, such as a secret that all
// processes of a service are started with. The first of them mints, and all verify. It
// has no store and never changes: to rotate, start every process with the fresh key behind
// the present one, then with the fresh one in front, and a MaxLifetime later without the
// old one. Its Rotate, Delete, Retire and Label fail with errors.ErrUnsupported.
//
// A key is at least 32 random bytes, as from
//
//	openssl rand 32
//
// FromKeys refuses shorter ones, one repeated byte, and bytes that are all printable ASCII, spaces and
// newlines: a text, in hex or base64 perhaps, that somebody forgot to decode. It refuses a key that is there
// twice, and to make a keyring of none. The keys are used, not kept. Of options, MaxLifetime
// and Recorder matter. All problems are reported together.
//
// The id of a key, which every token shows, is a hash of it, so that all processes agree.
func FromKeys(keys [][]byte, options Options) (*Keyring, error) {
	problems := []error{options.complete()}
	if len(keys) == 0 {
		problems = append(problems, errors.New("no keys"))
	}
	now := time.Now().Round(0).UTC()
	set := &keySet{version: "given"}
	for i, material := range keys {
		k, err := givenKey(material, now)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("key %d: %w", i, err))
			continue
		case set.find(k.id) >= 0:
			problems = append(problems, fmt.Errorf("key %d: it is there twice", i))
		case i > 0:
			k.stops = ever
		}
		set.keys = append(set.keys, k)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("rootkey: %w", err)
	}
	set.sort()
	options.RefreshEvery, options.StaleAfter, options.RotateEvery = maxSpan, maxSpan, -1 // there is nothing to read
	r := newRing(given{}, options)
	r.place(set, 0)
	return &Keyring{r}, nil
}

// ever is when a given key began to mint, or stopped: before any instant to which a clock may be set
// back, since what was given stays as it is.
var ever = time.Unix(0, 0).UTC()

func givenKey(material []byte, now time.Time) (*key, error) {
	if len(material) < materialSize {
		return nil, fmt.Errorf("%d bytes, want at least %d", len(material), materialSize)
	}
	if weak(material) {
		return nil, errors.New("one repeated byte, or all printable text, want random bytes")
	}
	derived := chain.DeriveKey(material)
	// Of the derived key, which can't be had from its hash, under a name of its own.
	id := sha256.Sum256(append([]byte("amaretti root key id\x00"), derived[:]...))
	return &key{
		id:       strings.ToLower(keyIDs.EncodeToString(id[:8])),
		created:  now,
		mints:    ever,
		material: redact.New[[materialSize]byte](), // which is for stores
		derived:  redact.Hide(derived),
	}, nil
}

// given is the store of a keyring that was given its keys: there is never anything new in it.
type given struct{}

func (given) Load(context.Context, string) (map[string][]byte, string, bool, error) {
	return nil, "", false, nil
}

func (given) Swap(context.Context, string, map[string][]byte) (string, bool, error) {
	return "", false, fmt.Errorf("the keys were given: %w", errors.ErrUnsupported)
}
