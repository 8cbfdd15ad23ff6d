package chain

// SealWithNonce lets known-answer tests choose the nonce.
var SealWithNonce = seal

// ReadState lets a test show it other layouts.
var ReadState = readState

// KeyWithoutStates is a key as where crypto/sha256 writes its state in another layout.
func KeyWithoutStates(derived [Size]byte) Key { return Key{derived: derived} }

// SumOfSum shows whether states can be read, which no result tells: links fall back on Sum256.
func SumOfSum(key *Key, inner string) (sum [Size]byte, ok bool) {
	room := append(make([]byte, blockSize, 4*blockSize), inner...)
	ok = sumOfSum(&sum, key, pad(room[:cap(room)], len(room)), pad(make([]byte, 2*blockSize), blockSize+Size))
	return sum, ok
}

// SumApart is one link as where states can't be read.
func SumApart(h *Hasher, out, key *[Size]byte, message string) {
	room, n := h.behindBlock(message)
	mask((*[blockSize]byte)(room), key, innerMask)
	mask((*[blockSize]byte)(h.outer[:]), key, outerMask)
	pad(room, n)
	pad(h.outer[:], blockSize+Size)
	h.sumApart(out, room, n)
}
