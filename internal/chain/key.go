package chain

// A Key is a derived key, ready to sign identifiers: the two blocks that HMAC makes of it
// (RFC 2104) are hashed already, which are two fifths of the work. It is immutable, and a
// secret.
type Key struct {
	derived      [Size]byte
	inner, outer [stateSize]byte // of SHA-256 after the key's block
}

// NewKey makes ready a derived key; see [DeriveKey].
func NewKey(derived [Size]byte) Key {
	k := Key{derived: derived}
	var block [blockSize]byte
	mask(&block, &derived, innerMask)
	k.inner = stateAfter(&block)
	mask(&block, &derived, outerMask)
	k.outer = stateAfter(&block)
	return k
}

// Root gives the signature of identifier.
func (k *Key) Root(identifier string) (sig [Size]byte) {
	var h Hasher
	room, n := h.behindBlock(identifier)
	if sumOfSum(&sig, k, pad(room, n), pad(h.outer[:], blockSize+Size)) {
		return sig
	}
	return h.Root(&k.derived, identifier)
}
