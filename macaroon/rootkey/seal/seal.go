package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

const prefix = "seal: "

// ErrOpen says that a record doesn't open: it was sealed under another key or
// passphrase, or for another place, or it is damaged. Which of these can't be told.
var ErrOpen = errors.New(prefix + "record does not open: another key, another place, or damage")

var errNone = errors.New(prefix + "no key: a Sealer comes from NewKey or NewPassphrase")

// Sealer seals and opens records. It is immutable, safe for concurrent use, and does
// not print what it holds. A nil or zero Sealer refuses to do either.
type Sealer struct {
	forms []form // the first of them seals, each of them opens
}

// A form is one way of sealing, with its key.
type form interface {
	seal(store, keyID string, plaintext []byte) []byte
	open(store, keyID string, sealed []byte) (plaintext []byte, ok bool)
}

// NewKey makes a Sealer of a key-encryption key: 32 random bytes, as from
//
//	openssl rand 32
//
// It refuses any other length, one repeated byte, and bytes that are all printable
// ASCII, spaces and newlines: those are a text, in hex or base64 perhaps, that somebody forgot to
// decode, or a passphrase, which needs [NewPassphrase]. It keeps a copy of kek.
func NewKey(kek []byte) (*Sealer, error) {
	switch {
	case len(kek) != keySize:
		return nil, fmt.Errorf(prefix+"key: %d bytes, want %d", len(kek), keySize)
	case repeated(kek):
		return nil, errors.New(prefix + "key: one repeated byte, want random ones")
	case printable(kek):
		return nil, errors.New(prefix + "key: all printable text, want random bytes; decode it, or use NewPassphrase")
	}
	return &Sealer{[]form{newKeyed([keySize]byte(kek))}}, nil
}

// MinPassphrase is the least length of a passphrase, in bytes.
const MinPassphrase = 16

// NewPassphrase makes a Sealer of a passphrase. It refuses one that is shorter than
// [MinPassphrase], or one repeated byte. Length is not strength: who has the store may
// guess for as long as he likes, so take six or more words drawn by lot, or
//
//	openssl rand -base64 24
//
// The passphrase is taken byte for byte, so the newline at the end of a file is part
// of it. NewPassphrase keeps a copy.
//
// Its key is derived when it is first needed, which takes 64 MiB and a good tenth of a
// second. Keys of up to 8 salts are kept, and a Sealer seals under one salt, that of the first record
// it opened if there is one, so that this is rare. Records with strange salts cost
// that time each, but one after the other, so never more memory, and don't drive
// out the keys of those that opened.
func NewPassphrase(passphrase []byte) (*Sealer, error) {
	switch {
	case len(passphrase) < MinPassphrase:
		return nil, fmt.Errorf(prefix+"passphrase: %d bytes, want %d or more", len(passphrase), MinPassphrase)
	case repeated(passphrase):
		return nil, errors.New(prefix + "passphrase: one repeated byte")
	}
	return &Sealer{[]form{newPassphrase(bytes.Clone(passphrase), argon2id)}}, nil
}

// InsecurePlaintext makes a Sealer that does not seal: who can read the store has the root
// keys and can mint, and who can write to it can put in keys of his own. It is for tests, and for stores
// that are encrypted and guarded by other means. Damage, and a record in another's place, are still
// noticed where they happen by accident.
//
// It opens nothing that was sealed, and other Sealers don't open what it wrote.
func InsecurePlaintext() *Sealer { return &Sealer{[]form{plain{}}} }

// AlsoOpens gives a Sealer that seals as s does, and opens what s or any of others
// opens. It is for the time between two keys; see the package documentation. Where one of others is
// [InsecurePlaintext], for that time anybody who can write to the store can put in keys of his own.
func (s *Sealer) AlsoOpens(others ...*Sealer) *Sealer {
	if s == nil || len(s.forms) == 0 {
		return new(Sealer) // and not one that seals as the first of others
	}
	all := Sealer{slices.Clone(s.forms)}
	for _, other := range others {
		if other != nil {
			all.forms = append(all.forms, other.forms...)
		}
	}
	return &all
}

// Seal gives plaintext sealed for its place: the key keyID in the store of that name.
// Neither is written into the result. It fails for a nil or zero Sealer only.
func (s *Sealer) Seal(store, keyID string, plaintext []byte) ([]byte, error) {
	if s == nil || len(s.forms) == 0 {
		return nil, errNone
	}
	return s.forms[0].seal(store, keyID, plaintext), nil
}

// Open gives the plaintext of what was sealed for that place. The error is [ErrOpen],
// but for a nil or zero Sealer. The plaintext is the caller's.
func (s *Sealer) Open(store, keyID string, sealed []byte) ([]byte, error) {
	if s == nil || len(s.forms) == 0 {
		return nil, errNone
	}
	for _, f := range s.forms {
		if plaintext, ok := f.open(store, keyID, sealed); ok {
			return plaintext, nil
		}
	}
	return nil, ErrOpen
}

// String tells nothing of the key.
func (s *Sealer) String() string { return "sealer" }

// Format writes what String gives, whatever the verb.
func (s *Sealer) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

func repeated(b []byte) bool { return bytes.Count(b, b[:1]) == len(b) }

func printable(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && (c < '\t' || c > '\r') { // with the newline of its file
			return false
		}
	}
	return true
}
