package macaroon

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/amaretti-go/amaretti/internal/wire"
)

// ParseIdentifier reads an identifier that [Mint] wrote. It refuses whatever is
// not in canonical form: what is parsed encodes to the same bytes. The strings
// of the result are parts of the input.
//
// An identifier proves nothing before the macaroon that begins with it has been
// verified.
func ParseIdentifier(identifier string) (id Identifier, err error) {
	if err := id.parse(identifier); err != nil {
		return Identifier{}, fmt.Errorf("%w: identifier: %w", ErrMalformed, err)
	}
	return id, nil
}

// KeyID gives the key id of an identifier and nothing else, for sources of root
// signatures: whether the rest is as it should be, the verifier finds out. ok is
// false if identifier does not begin as one of this library's with a key id as in
// [Identifier].
func KeyID(identifier string) (keyID string, ok bool) {
	if identifier == "" || identifier[0] != identifierVersion {
		return "", false
	}
	r := reader{rest: identifier[1:]}
	keyID = r.field(fieldKeyID)
	if r.err != nil || checkKeyID(keyID) != nil {
		return "", false
	}
	return keyID, true
}

func (id *Identifier) parse(s string) error {
	if len(s) > maxIdentifier {
		return fmt.Errorf("more than %d bytes", maxIdentifier)
	}
	if s == "" || s[0] != identifierVersion {
		return errors.New("not one of this library's")
	}
	r := reader{rest: s[1:]}
	id.KeyID = r.field(fieldKeyID)
	copy(id.TokenID[:], r.sized(fieldTokenID, len(id.TokenID)))
	id.IssuedAt = time.Unix(int64(r.number(fieldIssuedAt, maxUnix)), 0).UTC()
	if r.next(fieldSubject) {
		id.Subject = r.field(fieldSubject)
	}
	if r.next(fieldCaveats) {
		id.Caveats = int(r.number(fieldCaveats, maxMinterCaveats))
		if id.Caveats == 0 {
			r.fail("no caveats, but written down")
		}
	}
	if r.next(fieldAttests) {
		id.Attests = parseAttestations(r.field(fieldAttests), &r)
	}
	if r.rest != "" {
		r.fail("unknown field, or out of order")
	}
	if r.err != nil {
		return r.err
	}
	return id.check()
}

func parseAttestations(s string, outer *reader) (list []Attestation) {
	r := reader{rest: s}
	for r.rest != "" && r.err == nil {
		a := Attestation{Caveat: int(r.uvarint(maxMinterCaveats))}
		// Not allocated from the claimed number: each key takes two bytes at least.
		for range r.uvarint(uint64(len(r.rest))) {
			key := r.bytes(r.uvarint(math.MaxInt32))
			if r.err != nil {
				break
			}
			a.Keys = append(a.Keys, key)
		}
		list = append(list, a)
	}
	if r.err != nil {
		outer.fail("attests")
		return nil
	}
	return list
}

// reader reads fields until something is wrong, and remembers what.
type reader struct {
	rest string
	err  error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = errors.New(what)
	}
	r.rest = ""
}

func (r *reader) next(fieldType byte) bool {
	return r.rest != "" && r.rest[0] == fieldType
}

// field reads a field, which is never empty.
func (r *reader) field(fieldType byte) string {
	value, rest, ok := wire.Field(r.rest, fieldType)
	if !ok || value == "" {
		r.fail("field missing, empty, cut off, or out of order")
		return ""
	}
	r.rest = rest
	return value
}

func (r *reader) sized(fieldType byte, size int) string {
	value := r.field(fieldType)
	if len(value) != size {
		r.fail("field of the wrong size")
		return ""
	}
	return value
}

// number reads a field that holds one varint.
func (r *reader) number(fieldType byte, limit uint64) uint64 {
	value := r.field(fieldType)
	v, n := wire.Uvarint(value)
	if n != len(value) || v > limit { // an empty value has failed already
		r.fail("bad number")
		return 0
	}
	return v
}

func (r *reader) bytes(n uint64) string {
	if n > uint64(len(r.rest)) {
		r.fail("cut off")
		return ""
	}
	value := r.rest[:n]
	r.rest = r.rest[n:]
	return value
}

func (r *reader) uvarint(limit uint64) uint64 {
	v, n := wire.Uvarint(r.rest)
	if n == 0 || v > limit {
		r.fail("bad number")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}
