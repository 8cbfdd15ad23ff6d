package macaroon

import (
	"bytes"
	"errors"

	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/internal/redact"
	"github.com/amaretti-go/amaretti/internal/wire"
)

// A Caveat restricts a macaroon. Package caveat has a vocabulary of them;
// [Condition] is one in plain text.
type Caveat interface {
	// Condition gives the text that the verifier will check. It is called once
	// each time the caveat is appended; an error fails the whole operation.
	Condition() (string, error)
}

// A ThirdPartyCaveat is met by a discharge: a macaroon that a third party mints
// under the caveat's own root key. Package caveat/thirdparty makes them from a
// third party's public key; [ThirdParty] makes one from its parts.
//
// Its Condition method must return an error, so that a wrapper which hides the
// other methods fails, and doesn't append a first-party caveat in its place.
type ThirdPartyCaveat interface {
	Caveat

	// ThirdParty gives the caveat root key, fresh and random, the caveat id that
	// tells the third party what to check, and the location, an unauthenticated
	// hint where the third party is. It is called once each time.
	ThirdParty() (rootKey []byte, caveatID, location string, err error)

	// Attests names the attributes that the discharge must declare and that the
	// verifier will report. Only [Mint] accepts a caveat that names some.
	Attests() []string
}

// Condition is a first-party caveat in plain text, such as "account = 42". The
// text is taken as it is.
type Condition string

// Condition gives the text. It never fails.
func (c Condition) Condition() (string, error) { return string(c), nil }

// ThirdParty is a third-party caveat made of its parts. The root key must be
// random, used for this caveat alone, and known to the third party, which mints
// the discharge by New(rootKey, caveatID, …). The location is an unauthenticated
// hint and may be empty. The root key is copied.
//
// Most callers want package caveat/thirdparty, which seals the root key to the
// third party's public key.
func ThirdParty(rootKey []byte, caveatID, location string) ThirdPartyCaveat {
	return thirdParty{redact.Hide(bytes.Clone(rootKey)), caveatID, location}
}

type thirdParty struct {
	rootKey            redact.Box[[]byte]
	caveatID, location string
}

func (thirdParty) Condition() (string, error) { return "", errNotFirstParty }
func (thirdParty) Attests() []string          { return nil }
func (t thirdParty) ThirdParty() (rootKey []byte, caveatID, location string, err error) {
	return bytes.Clone(*t.rootKey.Value()), t.caveatID, t.location, nil
}

var (
	errNotFirstParty = errors.New("macaroon: a third-party caveat has no condition")
	errNilCaveat     = errors.New("nil caveat")
	errNoRootKey     = errors.New("third-party caveat without a root key")
	errAttests       = errors.New("only the minter can ask a third party to attest")
)

// written is a caveat after its methods have been called, each once.
type written struct {
	wire.Caveat // its verification id is not known before its place in the chain is
	derivedKey  *[chain.Size]byte
	attests     []string
}

func write(c Caveat, limits *Limits) (w written, err error) {
	switch c := c.(type) {
	case nil:
		return w, errNilCaveat
	case ThirdPartyCaveat:
		var rootKey []byte
		if rootKey, w.ID, w.Location, err = c.ThirdParty(); err != nil {
			return written{}, err
		}
		if len(rootKey) == 0 {
			return written{}, errNoRootKey
		}
		key := chain.DeriveKey(rootKey)
		w.derivedKey = &key
		w.attests = c.Attests()
	default:
		if w.ID, err = c.Condition(); err != nil {
			return written{}, err
		}
	}
	return w, limits.checkCaveat(&w.Caveat)
}

// appendTo appends the caveat to the chain: it seals what is to be sealed under the
// signature before, which becomes the signature after.
func (w *written) appendTo(m *wire.Macaroon, h *chain.Hasher) {
	if w.derivedKey == nil {
		h.FirstParty(&m.Signature, w.ID)
	} else {
		w.VerificationID = chain.Seal(&m.Signature, w.derivedKey)
		h.ThirdParty(&m.Signature, w.VerificationID, w.ID)
	}
	m.Caveats = append(m.Caveats, w.Caveat)
}
