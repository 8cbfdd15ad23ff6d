package macaroon

import (
	"errors"

	"github.com/amaretti-go/amaretti/internal/wire"
)

// Errors that callers may tell apart with errors.Is.
var (
	// ErrNotMacaroon is returned for input that is not a macaroon at all: text
	// outside the base64url alphabet, or bytes that are not of the v2 binary
	// format. It lets a caller try another scheme.
	ErrNotMacaroon = wire.ErrNotMacaroon

	// ErrMalformed is returned for input that begins as a macaroon and is none,
	// or is not in canonical form.
	ErrMalformed = wire.ErrMalformed

	// ErrVerificationID is returned, together with ErrMalformed, for a third-party
	// caveat whose verification id no key can be decrypted from, since it does not
	// have 72 bytes. Other libraries read it, and fail when they decrypt.
	ErrVerificationID = wire.ErrVerificationID

	// ErrLimit is returned when one of the [Limits] is exceeded.
	ErrLimit = wire.ErrLimit

	// ErrInvalid is returned by the methods of zero values.
	ErrInvalid = errors.New("macaroon: zero value")

	// ErrSealed is returned by [Credential.Wallet] when the credential has
	// discharges: they are bound to the primary macaroon as it is, so that it can
	// be narrowed no more.
	ErrSealed = errors.New("macaroon: credential has bound discharges and can't be narrowed")

	// ErrUnknownKey is returned by [Mint] when the source has no such root key.
	ErrUnknownKey = errors.New("macaroon: unknown root key")
)
