package chain

import (
	"crypto/rand"

	"golang.org/x/crypto/nacl/secretbox"
)

const nonceSize = 24

// SealedSize is the length in bytes of a verification id.
const SealedSize = nonceSize + secretbox.Overhead + Size

// Seal gives the verification id of a third-party caveat: the derived caveat
// root key in XSalsa20-Poly1305 under the signature before that caveat, behind
// its random nonce. Only somebody who can compute that signature can open it.
func Seal(sig, derived *[Size]byte) string {
	var nonce [nonceSize]byte
	rand.Read(nonce[:]) // never fails: crypto/rand ends the program instead
	return seal(sig, derived, nonce)
}

func seal(sig, derived *[Size]byte, nonce [nonceSize]byte) string {
	return string(secretbox.Seal(nonce[:], derived[:], &nonce, sig))
}

// Open gives the derived caveat root key in a verification id, and whether the
// verification id was sealed under sig.
func Open(sig *[Size]byte, verificationID string) (derived [Size]byte, ok bool) {
	if len(verificationID) != SealedSize {
		return derived, false
	}
	var nonce [nonceSize]byte
	var box [SealedSize - nonceSize]byte
	copy(nonce[:], verificationID)
	copy(box[:], verificationID[nonceSize:])
	plain, ok := secretbox.Open(derived[:0], box[:], &nonce, sig)
	if !ok || len(plain) != Size {
		return [Size]byte{}, false
	}
	return derived, true
}
