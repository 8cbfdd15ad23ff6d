package thirdparty

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/amaretti-go/amaretti/internal/redact"
)

const keySize = 32 // of X25519, both keys

// keyText is how the bakery writes keys. Strict refuses the spellings that differ only in unused bits.
var keyText = base64.StdEncoding.Strict()

// PublicKey is an X25519 public key, to which caveat ids are sealed. It is comparable; the zero PublicKey is
// invalid, and whatever needs a key refuses it.
type PublicKey struct{ bytes [keySize]byte }

var errPublicKey = errors.New(prefix + "public key: want 32 bytes of X25519 in padded base64")

// ParsePublicKey reads the text form: 32 bytes in padded standard base64 (RFC 4648 §4). It refuses the points of
// low order, for which the secret that two parties agree on is one that everybody knows, and the second spellings
// that some points have (RFC 7748 §5).
func ParsePublicKey(text string) (PublicKey, error) {
	raw, ok := decodeExactly(text, keySize)
	if !ok {
		return PublicKey{}, errPublicKey
	}
	key, ok := publicKey([keySize]byte(raw))
	if !ok {
		return PublicKey{}, errPublicKey
	}
	return key, nil
}

// publicKey is the key with these bytes, if it is a good one.
func publicKey(raw [keySize]byte) (PublicKey, bool) {
	if !canonical(&raw) {
		return PublicKey{}, false
	}
	point, err := ecdh.X25519().NewPublicKey(raw[:])
	if err != nil {
		return PublicKey{}, false
	}
	// A scalar is a multiple of the cofactor, whatever it is made from, so any of them shows a low order.
	if _, err := probe.ECDH(point); err != nil {
		return PublicKey{}, false
	}
	return PublicKey{raw}, true
}

// probe is never written to.
var probe = func() *ecdh.PrivateKey {
	key, err := ecdh.X25519().NewPrivateKey(make([]byte, keySize))
	if err != nil {
		panic(err) // any 32 bytes are one
	}
	return key
}()

// canonical reports whether the number is below 2^255-19. Above it, X25519 reads another spelling of a smaller
// number, and so it does with the highest bit set: a caveat id that was changed there would still open.
func canonical(raw *[keySize]byte) bool {
	if raw[keySize-1] != 0x7f {
		return raw[keySize-1] < 0x7f
	}
	for _, b := range raw[1 : keySize-1] {
		if b != 0xff {
			return true
		}
	}
	return raw[0] < 0xed
}

// IsZero reports whether k is the zero PublicKey, which is invalid.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// String gives the text form; it is empty for the zero PublicKey.
func (k PublicKey) String() string {
	if k.IsZero() {
		return ""
	}
	return keyText.EncodeToString(k.bytes[:])
}

// MarshalText gives the text form. It fails for the zero PublicKey.
func (k PublicKey) MarshalText() ([]byte, error) {
	if k.IsZero() {
		return nil, errPublicKey
	}
	return []byte(k.String()), nil
}

// UnmarshalText reads the text form, as [ParsePublicKey] does. With an error it leaves k alone.
func (k *PublicKey) UnmarshalText(text []byte) error {
	read, err := ParsePublicKey(string(text))
	if err == nil {
		*k = read
	}
	return err
}

// PrivateKey is an X25519 private key, with which a third party opens caveat ids. It prints as its public key, and
// no Marshal method gives it away: [PrivateKey.Reveal] does. The zero PrivateKey is invalid, and whatever needs a
// key refuses it.
type PrivateKey struct {
	_   [0]func() // not comparable: == would compare addresses
	box redact.Box[keyPair]
}

type keyPair struct {
	private [keySize]byte
	public  PublicKey
}

// GenerateKey makes a fresh random key.
func GenerateKey() PrivateKey {
	var raw [keySize]byte
	rand.Read(raw[:]) // never fails: crypto/rand ends the program instead
	key, err := privateKey(raw)
	if err != nil {
		panic(err) // as likely as guessing a key
	}
	return key
}

var errPrivateKey = errors.New(prefix + "private key: want 32 random bytes in padded base64")

// ParsePrivateKey reads what [PrivateKey.Reveal] gave, which is also how the bakery writes private keys: 32 bytes
// in padded standard base64. Its error does not quote the text.
func ParsePrivateKey(text string) (PrivateKey, error) {
	raw, ok := decodeExactly(text, keySize)
	if !ok {
		return PrivateKey{}, errPrivateKey
	}
	return privateKey([keySize]byte(raw))
}

func privateKey(raw [keySize]byte) (PrivateKey, error) {
	// Random bytes are not all alike; a key that was never filled in is.
	if bytes.Count(raw[:], raw[:1]) == keySize {
		return PrivateKey{}, errPrivateKey
	}
	key, err := ecdh.X25519().NewPrivateKey(raw[:])
	if err != nil {
		return PrivateKey{}, errPrivateKey
	}
	return PrivateKey{box: redact.Hide(keyPair{raw, PublicKey{[keySize]byte(key.PublicKey().Bytes())}})}, nil
}

// IsZero reports whether k is the zero PrivateKey, which is invalid.
func (k PrivateKey) IsZero() bool { return k.box.Value() == nil }

// Public gives the public key, which is zero if k is.
func (k PrivateKey) Public() PublicKey {
	if k.IsZero() {
		return PublicKey{}
	}
	return k.box.Value().public
}

// Reveal gives the secret itself, in padded standard base64, to be stored where secrets are. It fails for the zero
// PrivateKey.
func (k PrivateKey) Reveal() (string, error) {
	if k.IsZero() {
		return "", errPrivateKey
	}
	return keyText.EncodeToString(k.box.Value().private[:]), nil
}

// String describes k without its secret.
func (k PrivateKey) String() string {
	if k.IsZero() {
		return "private key (zero)"
	}
	return "private key (public " + k.Public().String() + ")"
}

// Format writes what String gives, whatever the verb.
func (k PrivateKey) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue gives what String gives.
func (k PrivateKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText always fails: an encoder must neither write a private key unasked nor drop it without a word.
func (k PrivateKey) MarshalText() ([]byte, error) {
	return nil, errors.New(prefix + "a private key is not marshaled: see Reveal")
}

// decodeExactly reads text as that many bytes in the one spelling that they have. The decoder skips line ends even
// when it is strict; the length finds these out, since it is exact on both sides.
func decodeExactly(text string, size int) ([]byte, bool) {
	if len(text) != keyText.EncodedLen(size) {
		return nil, false
	}
	raw, err := keyText.DecodeString(text)
	return raw, err == nil && len(raw) == size
}
