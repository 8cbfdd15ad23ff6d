package rootkey

import "errors"

// Errors that callers may tell apart with errors.Is. They come wrapped: what was done
// stands before them. A key id that names no key is [macaroon.ErrUnknownKey].
var (
	// ErrStale is returned when the store could not be read for Options.StaleAfter. A
	// verifier calls that undecided.
	ErrStale = errors.New("the keys have not been read for too long")

	// ErrNoKey is returned by [Keyring.Mint] when no key mints, nor will.
	ErrNoKey = errors.New("no key mints")

	// ErrNoExpiry is returned by [Keyring.Mint] when there is no time-before among
	// the caveats.
	ErrNoExpiry = errors.New("no time-before among the caveats")

	// ErrOutlivesKey is returned by [Keyring.Mint] when the token would still be good
	// after its key has been retired.
	ErrOutlivesKey = errors.New("the token would outlive its key")
)

var (
	errZero = errors.New("rootkey: zero Keyring: use Open, InMemory or FromKeys")
	errLost = errors.New("read: the store has lost its keys")
	errSlow = errors.New("the store does not answer")
)
