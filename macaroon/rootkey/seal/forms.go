package seal

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/amaretti-go/amaretti/internal/redact"
)

// Each format has a byte of its own, which is also part of the associated data. A form
// opens its own format only, so that no record can be brought down to plaintext.
const (
	formatPlain      = 1
	formatKey        = 2
	formatPassphrase = 3
)

const (
	keySize   = chacha20poly1305.KeySize
	nonceSize = chacha20poly1305.NonceSizeX
	saltSize  = 16
)

// place is the associated data. The lengths make it injective: no other format, store and
// key id give the same bytes.
func place(format byte, store, keyID string) []byte {
	b := make([]byte, 0, 1+8+len(store)+8+len(keyID))
	b = append(b, format)
	b = binary.BigEndian.AppendUint64(b, uint64(len(store)))
	b = append(b, store...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(keyID)))
	return append(b, keyID...)
}

// encrypt appends nonce and ciphertext to header.
func encrypt(key *[keySize]byte, header, plaintext, place []byte) []byte {
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic(err) // the length is right
	}
	var nonce [nonceSize]byte
	rand.Read(nonce[:]) // never fails: crypto/rand ends the program instead
	out := slices.Grow(header, nonceSize+len(plaintext)+aead.Overhead())
	return aead.Seal(append(out, nonce[:]...), nonce[:], plaintext, place)
}

func decrypt(key *[keySize]byte, sealed, place []byte) (plaintext []byte, ok bool) {
	if len(sealed) < nonceSize+chacha20poly1305.Overhead {
		return nil, false
	}
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic(err) // the length is right
	}
	plaintext, err = aead.Open(nil, sealed[:nonceSize], sealed[nonceSize:], place)
	return plaintext, err == nil
}

// keyed seals under a key-encryption key.
type keyed struct{ key redact.Box[[keySize]byte] }

func newKeyed(key [keySize]byte) keyed { return keyed{redact.Hide(key)} }

func (k keyed) seal(store, keyID string, plaintext []byte) []byte {
	return encrypt(k.key.Value(), []byte{formatKey}, plaintext, place(formatKey, store, keyID))
}

func (k keyed) open(store, keyID string, sealed []byte) ([]byte, bool) {
	if len(sealed) == 0 || sealed[0] != formatKey {
		return nil, false
	}
	return decrypt(k.key.Value(), sealed[1:], place(formatKey, store, keyID))
}

// argon2id has the parameters of formatPassphrase.
func argon2id(passphrase []byte, salt [saltSize]byte) [keySize]byte {
	return [keySize]byte(argon2.IDKey(passphrase, salt[:], 3, 64<<10, 4, keySize))
}

// maxKept is how many derived keys are kept. There are as many salts in a store as
// processes wrote to it without having read from it before, so mostly one.
const maxKept = 8

// passphrase seals under keys that are derived from a passphrase.
type passphrase struct{ state redact.Box[passphraseState] }

type passphraseState struct {
	passphrase []byte
	derive     func(passphrase []byte, salt [saltSize]byte) [keySize]byte

	// deriving is held during a derivation: one at a time, and whoever waited finds
	// the key that another derived meanwhile. Who has his key already does not wait.
	deriving sync.Mutex

	mu sync.Mutex // guards what follows

	// kept are keys of which a record opened or was sealed: only a holder of the
	// passphrase can have chosen their salts. The first of them seals.
	kept []derived

	// latest is the key that was derived last, of whatever salt, or nil. It makes one
	// derivation of many where all records are under one salt and another passphrase, as
	// they are between two passphrases.
	latest *derived
}

type derived struct {
	salt [saltSize]byte
	key  [keySize]byte
}

func newPassphrase(text []byte, derive func([]byte, [saltSize]byte) [keySize]byte) passphrase {
	p := passphrase{redact.New[passphraseState]()}
	s := p.state.Value()
	s.passphrase, s.derive = text, derive
	return p
}

func (p passphrase) seal(store, keyID string, plaintext []byte) []byte {
	d := p.state.Value().sealing()
	return encrypt(&d.key, append([]byte{formatPassphrase}, d.salt[:]...), plaintext, place(formatPassphrase, store, keyID))
}

func (p passphrase) open(store, keyID string, sealed []byte) ([]byte, bool) {
	const header = 1 + saltSize
	// The shortest record is looked at here too, since a derivation is dear.
	if len(sealed) < header+nonceSize+chacha20poly1305.Overhead || sealed[0] != formatPassphrase {
		return nil, false
	}
	salt, sealed := [saltSize]byte(sealed[1:header]), sealed[header:]

	s := p.state.Value()
	d := s.key(salt)
	plaintext, ok := decrypt(&d.key, sealed, place(formatPassphrase, store, keyID))
	if ok {
		s.keep(d)
	}
	return plaintext, ok
}

// key gives the key of a salt.
func (s *passphraseState) key(salt [saltSize]byte) derived {
	if d, ok := s.known(salt); ok {
		return d
	}
	s.deriving.Lock()
	defer s.deriving.Unlock()
	if d, ok := s.known(salt); ok {
		return d
	}
	d := derived{salt, s.derive(s.passphrase, salt)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest = &d
	return d
}

// sealing gives the key to seal under: the first that was kept, or one of a new salt.
func (s *passphraseState) sealing() derived {
	if d, ok := s.first(); ok {
		return d
	}
	s.deriving.Lock()
	defer s.deriving.Unlock()
	if d, ok := s.first(); ok {
		return d
	}
	var d derived
	rand.Read(d.salt[:]) // never fails: crypto/rand ends the program instead
	d.key = s.derive(s.passphrase, d.salt)
	s.keep(d)
	return d
}

func (s *passphraseState) first() (derived, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) == 0 {
		return derived{}, false
	}
	return s.kept[0], true
}

func (s *passphraseState) known(salt [saltSize]byte) (derived, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.kept {
		if d.salt == salt {
			return d, true
		}
	}
	if s.latest != nil && s.latest.salt == salt {
		return *s.latest, true
	}
	return derived{}, false
}

// keep adds a key that is not there yet. If there are too many, the oldest goes, but
// not the one that seals.
func (s *passphraseState) keep(d derived) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.kept, func(have derived) bool { return have.salt == d.salt }) {
		return
	}
	if len(s.kept) == maxKept {
		s.kept = slices.Delete(s.kept, 1, 2)
	}
	s.kept = append(s.kept, d)
}

// plain does not seal. Its checksum is against accidents.
type plain struct{}

func (plain) seal(store, keyID string, plaintext []byte) []byte {
	sum := checksum(store, keyID, plaintext)
	out := append(make([]byte, 0, 1+len(sum)+len(plaintext)), formatPlain)
	return append(append(out, sum[:]...), plaintext...)
}

func (plain) open(store, keyID string, sealed []byte) ([]byte, bool) {
	const header = 1 + sha256.Size
	if len(sealed) < header || sealed[0] != formatPlain {
		return nil, false
	}
	plaintext := bytes.Clone(sealed[header:])
	if checksum(store, keyID, plaintext) != [sha256.Size]byte(sealed[1:header]) {
		return nil, false
	}
	return plaintext, true
}

func checksum(store, keyID string, plaintext []byte) [sha256.Size]byte {
	return sha256.Sum256(append(place(formatPlain, store, keyID), plaintext...))
}
