// Package wire reads and writes the v2 binary format of macaroons, in its one
// canonical form, and the text that carries it.
//
//	macaroon  = 0x02 header { caveat } EOS signature
//	header    = [ location ] identifier EOS
//	caveat    = identifier EOS                                ; first party
//	          | [ location ] identifier verification-id EOS   ; third party
//
//	location        = 0x01 length 1*OCTET
//	identifier      = 0x02 length *OCTET
//	verification-id = 0x04 0x48 72OCTET
//	signature       = 0x06 0x20 32OCTET
//	EOS             = 0x00
//	length          = the base-128 varint of Protocol Buffers, as short as can be
//
// Every macaroon has exactly one encoding, so what decodes encodes to the same
// bytes: caches, revocation and logs need not ask which spelling they hold.
// Other readers accept more than they write, such as longer varints, empty
// locations or bytes after the end; nothing of that is read here.
//
// Decoding copies nothing: the parts of a macaroon are substrings of the input.
// Memory is taken as fields are met, at most a constant for each input byte, and
// never because of a length that the input claims.
package wire

import (
	"errors"
	"fmt"
)

// Macaroon is one decoded macaroon, or one about to be encoded.
type Macaroon struct {
	Location   string // a hint, not authenticated; may be empty
	Identifier string
	Caveats    []Caveat
	Signature  [SignatureSize]byte
}

// Caveat is one caveat. It is third-party if and only if VerificationID is not
// empty.
type Caveat struct {
	ID             string // the condition, or the caveat id
	VerificationID string
	Location       string // a hint, not authenticated; third-party only
}

// Fixed sizes in bytes.
const (
	SignatureSize      = 32
	VerificationIDSize = 72
)

const (
	version = 0x02

	fieldEOS            = 0
	fieldLocation       = 1
	fieldIdentifier     = 2
	fieldVerificationID = 4
	fieldSignature      = 6
)

// Limits bound what is read. They are compared as each count or length is met,
// before it costs anything. Every field counts as it stands: zero allows none.
type Limits struct {
	Text       int // bytes of credential text
	Macaroons  int // in one credential
	Caveats    int // in one macaroon
	AllCaveats int // in one credential
	Depth      int // of discharges; not looked at here
	Identifier int // bytes of the primary macaroon's identifier
	Condition  int // bytes of a condition, a caveat id or a discharge's identifier
	Location   int // bytes
}

// The classes of errors. They carry the prefix of package macaroon, through
// which all of them leave.
var (
	ErrNotMacaroon = errors.New("macaroon: not a macaroon")
	ErrMalformed   = errors.New("macaroon: malformed")
	ErrLimit       = errors.New("macaroon: over a limit")

	// What of it is not a macaroon: somebody may have forgotten to strip a scheme or
	// padding, or to import another form.
	errText   = fmt.Errorf("%w: text other than unpadded base64url", ErrNotMacaroon)
	errBinary = fmt.Errorf("%w: bytes other than v2 binary", ErrNotMacaroon)

	// ErrVerificationID says, beside ErrMalformed, what is malformed.
	ErrVerificationID = errors.New("verification id that can't be decrypted")
)

// CheckVerificationID refuses a verification id that nothing can be decrypted from,
// because of its size.
func CheckVerificationID(id string) error {
	if len(id) != VerificationIDSize {
		return malformed("%w: %d bytes", ErrVerificationID, len(id))
	}
	return nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
}

// OverLimit describes a value that a limit forbids.
func OverLimit(what string, limit int) error {
	return fmt.Errorf("%w: %s: more than %d", ErrLimit, what, limit)
}
