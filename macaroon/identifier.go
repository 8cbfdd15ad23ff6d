package macaroon

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/amaretti-go/amaretti/internal/wire"
)

// Identifier is what a minter signs first, under the root key. All authority and
// identity in a token comes from it and from the caveats that it counts.
//
// Its encoding is a version byte and then fields in the manner of v2 binary: a
// type, a length, the bytes; each type at most once, in increasing order, none
// empty, none unknown.
//
//	identifier  = 0xa1 key-id token-id issued-at [ subject ] [ caveats ] [ attests ]
//	key-id      = 0x01 length 1*64VCHAR
//	token-id    = 0x02 0x10 16OCTET
//	issued-at   = 0x03 length varint           ; Unix time in seconds
//	subject     = 0x04 length 1*OCTET          ; UTF-8
//	caveats     = 0x05 length varint           ; absent: 0
//	attests     = 0x06 length 1*attestation
//	attestation = varint varint 1*( length 1*OCTET ) ; caveat, number of keys, keys
//
// No text begins with the version byte, since 0xa1 can't begin a character in
// UTF-8, nor do the binary identifiers of other systems, which begin with 0, 2
// or 3.
type Identifier struct {
	// KeyID names the root key: 1 to 64 printable ASCII characters without
	// blanks.
	KeyID string

	// TokenID is what the token and all that was ever attenuated from it share.
	TokenID TokenID

	// IssuedAt is when the token was minted, in whole seconds, not before 1970.
	IssuedAt time.Time

	// Subject is who the token is for, in the minter's own terms: UTF-8 without
	// control characters. It may be empty.
	Subject string

	// Caveats is how many of the token's caveats, from the first on, are the
	// minter's.
	Caveats int

	// Attests tells which of the minter's caveats ask a third party for
	// attributes, in the order of the caveats.
	Attests []Attestation
}

// Attestation says that the third party of one caveat is asked for attributes.
type Attestation struct {
	Caveat int      // index of the caveat in the token
	Keys   []string // the attributes' names, none empty, no two of a token alike
}

// TokenID is the random part of an identifier.
type TokenID [16]byte

// String gives the id in lower-case hexadecimal.
func (id TokenID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText gives the id in lower-case hexadecimal.
func (id TokenID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *TokenID) UnmarshalText(text []byte) error {
	var read TokenID
	if hex.DecodedLen(len(text)) != len(read) || strings.ToLower(string(text)) != string(text) {
		return errTokenID
	}
	if n, err := hex.Decode(read[:], text); err != nil || n != len(read) {
		return errTokenID
	}
	*id = read
	return nil
}

var errTokenID = errors.New("macaroon: token id: want 32 lower-case hexadecimal digits")

const (
	identifierVersion = 0xa1
	maxIdentifier     = 1 << 10
	maxKeyID          = 64
	maxMinterCaveats  = 1 << 16

	fieldKeyID    = 1
	fieldTokenID  = 2
	fieldIssuedAt = 3
	fieldSubject  = 4
	fieldCaveats  = 5
	fieldAttests  = 6
)

// MarshalBinary gives the encoding. It fails for an identifier that
// [ParseIdentifier] would refuse.
func (id Identifier) MarshalBinary() ([]byte, error) {
	const typical = 64 // bytes
	return id.AppendBinary(make([]byte, 0, typical))
}

// AppendBinary appends the encoding to b.
func (id Identifier) AppendBinary(b []byte) ([]byte, error) {
	if err := id.check(); err != nil {
		return nil, fmt.Errorf("macaroon: identifier: %w", err)
	}
	start := len(b)
	b = append(b, identifierVersion)
	b = wire.AppendField(b, fieldKeyID, id.KeyID)
	b = wire.AppendField(b, fieldTokenID, string(id.TokenID[:]))
	b = wire.AppendField(b, fieldIssuedAt, uvarint(uint64(id.IssuedAt.Unix())))
	if id.Subject != "" {
		b = wire.AppendField(b, fieldSubject, id.Subject)
	}
	if id.Caveats != 0 {
		b = wire.AppendField(b, fieldCaveats, uvarint(uint64(id.Caveats)))
	}
	if len(id.Attests) != 0 {
		b = wire.AppendField(b, fieldAttests, attestations(id.Attests))
	}
	if n := len(b) - start; n > maxIdentifier {
		return nil, fmt.Errorf("macaroon: identifier: %d bytes, more than %d", n, maxIdentifier)
	}
	return b, nil
}

func uvarint(v uint64) string { return string(binary.AppendUvarint(nil, v)) }

func attestations(list []Attestation) string {
	var b []byte
	for _, a := range list {
		b = binary.AppendUvarint(b, uint64(a.Caveat))
		b = binary.AppendUvarint(b, uint64(len(a.Keys)))
		for _, key := range a.Keys {
			b = binary.AppendUvarint(b, uint64(len(key)))
			b = append(b, key...)
		}
	}
	return string(b)
}

// check holds for whatever is written and for whatever was read.
func (id *Identifier) check() error {
	if err := checkKeyID(id.KeyID); err != nil {
		return err
	}
	if id.IssuedAt.Unix() < 0 || id.IssuedAt.Unix() > maxUnix {
		return errors.New("issued at: out of range")
	}
	if !plainText(id.Subject) {
		return errors.New("subject: want UTF-8 without control characters")
	}
	if id.Caveats < 0 || id.Caveats > maxMinterCaveats {
		return errors.New("caveats: out of range")
	}
	return id.checkAttests()
}

func checkKeyID(keyID string) error {
	if keyID == "" || len(keyID) > maxKeyID || !printable(keyID) {
		return fmt.Errorf("key id: want 1 to %d printable ASCII characters", maxKeyID)
	}
	return nil
}

func (id *Identifier) checkAttests() error {
	if len(id.Attests) == 0 {
		return nil
	}
	seen := make(map[string]bool)
	last := -1
	for _, a := range id.Attests {
		if a.Caveat <= last || a.Caveat >= id.Caveats {
			return fmt.Errorf("attests: caveat %d: not the minter's, or not in order", a.Caveat)
		}
		last = a.Caveat
		if len(a.Keys) == 0 {
			return fmt.Errorf("attests: caveat %d: no keys", a.Caveat)
		}
		for _, key := range a.Keys {
			if key == "" || !plainText(key) || strings.ContainsRune(key, ' ') {
				return fmt.Errorf("attests: caveat %d: bad key", a.Caveat)
			}
			if seen[key] {
				return fmt.Errorf("attests: caveat %d: key asked for twice", a.Caveat)
			}
			seen[key] = true
		}
	}
	return nil
}

// maxUnix is the end of the year 9999, as in RFC 3339.
const maxUnix = 253402300799

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func plainText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' { // rare: what most subjects are made of is settled here
			return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
		}
	}
	return true
}
