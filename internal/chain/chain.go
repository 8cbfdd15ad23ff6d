// Package chain computes the HMAC-SHA256 chain that signs a macaroon: the root
// signature, one link for each caveat, and the binding of discharges.
//
// The construction is the one that libmacaroons and all its relatives share,
// byte for byte (NDSS 2014, "Macaroons: Cookies with Contextual Caveats for
// Decentralized Authorization in the Cloud", figure 8, with the key derivation
// and the two kinds of links that deployed code adds):
//
//	derived     = HMAC("macaroons-key-generator", root key)
//	signature 0 = HMAC(derived, identifier)
//	first party   HMAC(sig, condition)
//	third party   HMAC(sig, HMAC(sig, verification id) || HMAC(sig, caveat id))
//	bind          HMAC(0, HMAC(0, primary sig) || HMAC(0, discharge sig))
//
// A third-party link hashes two digests, so no byte can move between the
// verification id and the caveat id without changing the signature.
package chain

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// Size is the length in bytes of a signature and of a derived key.
const Size = 32

// DeriveKey turns a root key of any length into the key under which
// identifiers are signed.
func DeriveKey(rootKey []byte) (key [Size]byte) {
	mac := hmac.New(sha256.New, []byte("macaroons-key-generator"))
	mac.Write(rootKey)
	mac.Sum(key[:0])
	return key
}

const (
	blockSize    = sha256.BlockSize // RFC 2104's B
	smallMessage = 192              // most conditions fit: little to clear
	largeMessage = 4 << 10          // the default limit of a condition
)

// A Hasher computes links. It owns the scratch space that they need, so that a
// walk over a whole chain allocates nothing for conditions of up to 4 KiB. The
// zero Hasher is ready; it must not be used concurrently, and it is left with
// key material in it, so it belongs on the stack.
//
// HMAC under a 32-byte key is SHA-256 twice, each time over a block made of key
// and padding followed by the message (RFC 2104). Every link has a new key, so
// there is no state worth keeping between links, and crypto/hmac, which is built
// for long-lived keys, would spend more on its set-up than on hashing.
type Hasher struct {
	inner [blockSize + smallMessage]byte // a block for the key, and a message behind it
	outer [blockSize + Size]byte         // a block for the key, and the sum of the above
	links int
}

// Links tells how many HMACs have been computed: the cost of all work so far.
func (h *Hasher) Links() int { return h.links }

// Root gives the signature of identifier under a derived key.
func (h *Hasher) Root(derived *[Size]byte, identifier string) (sig [Size]byte) {
	h.mac(&sig, derived, identifier)
	return sig
}

// FirstParty turns a signature into the one after a first-party caveat.
func (h *Hasher) FirstParty(sig *[Size]byte, condition string) { h.mac(sig, sig, condition) }

// ThirdParty turns a signature into the one after a third-party caveat.
func (h *Hasher) ThirdParty(sig *[Size]byte, verificationID, caveatID string) {
	var a, b [Size]byte
	h.mac(&a, sig, verificationID)
	h.mac(&b, sig, caveatID)
	h.macPair(sig, sig, &a, &b)
}

// Bind turns the signature of a discharge into the one under which it is presented
// together with the primary macaroon whose final signature is primary. Binding is
// what keeps a discharge that leaked from serving another token (NDSS 2014,
// §IV-B).
func (h *Hasher) Bind(primary, discharge *[Size]byte) {
	var zero, a, b [Size]byte
	h.mac(&a, &zero, string(primary[:]))
	h.mac(&b, &zero, string(discharge[:]))
	h.macPair(discharge, &zero, &a, &b)
}

func (h *Hasher) mac(out, key *[Size]byte, message string) {
	if len(message) > smallMessage {
		h.macLong(out, key, message)
		return
	}
	h.sum(out, key, append(h.inner[:blockSize], message...))
}

// macLong is mac with room of its own: on the stack, which only a long message takes and
// clears, or for one of more than 4 KiB on the heap.
//
//go:noinline
func (h *Hasher) macLong(out, key *[Size]byte, message string) {
	var room [blockSize + largeMessage]byte
	h.sum(out, key, append(room[:blockSize], message...))
}

func (h *Hasher) macPair(out, key, a, b *[Size]byte) {
	h.sum(out, key, append(append(h.inner[:blockSize], a[:]...), b[:]...))
}

// sum completes an HMAC, given a message behind a block for the key. out may be key.
func (h *Hasher) sum(out, key *[Size]byte, inner []byte) {
	h.links++
	mask((*[blockSize]byte)(inner), key, innerMask)
	mask((*[blockSize]byte)(h.outer[:]), key, outerMask)
	*(*[Size]byte)(h.outer[blockSize:]) = sha256.Sum256(inner)
	*out = sha256.Sum256(h.outer[:])
}

// What RFC 2104 fills its two blocks with.
const (
	innerMask = 0x3636363636363636
	outerMask = 0x5c5c5c5c5c5c5c5c
)

// mask writes the key, filled up with zeros to a block, XORed with a pattern.
func mask(block *[blockSize]byte, key *[Size]byte, pattern uint64) {
	for i := 0; i < Size; i += 8 {
		word := binary.NativeEndian.Uint64(key[i:]) ^ pattern
		binary.NativeEndian.PutUint64(block[i:], word)
		binary.NativeEndian.PutUint64(block[i+Size:], pattern)
	}
}
