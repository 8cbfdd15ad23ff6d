package chain

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
)

const (
	blockSize  = 64 // of SHA-256, RFC 2104's B
	minPadding = 9  // of SHA-256: one byte and the length
)

// padded is how many bytes n bytes are with their padding.
func padded(n int) int { return (n + minPadding + blockSize - 1) &^ (blockSize - 1) }

// sha256Of gives the SHA-256 of the first n bytes of room. It overwrites what is behind
// them, up to padded(n), with the padding (FIPS 180-4, section 5.1.1).
//
// SHA-256 is nothing but its state after the last block. With the padding already in
// place all blocks are hashed in one go, and the state is read off as the package writes it
// down, which takes three quarters of the time that Sum256 does for the few blocks of a
// link: Sum256 copies the rest of the message and the state to add the padding itself.
func sha256Of(room []byte, n int) [Size]byte {
	blocks := room[:padded(n)]
	blocks[n] = 0x80
	clear(blocks[n+1 : len(blocks)-8])
	binary.BigEndian.PutUint64(blocks[len(blocks)-8:], uint64(n)*8)

	h := sha256.New() // not given to anybody, so that all this stays on the stack
	h.Write(blocks)   // never fails
	var written [stateSize]byte
	state, _ := h.(encoding.BinaryAppender).AppendBinary(written[:0])
	sum, ok := readState(state, len(blocks))
	if !ok {
		return sha256.Sum256(room[:n])
	}
	return sum
}

// A state is written as a magic, the eight words, what is there of the next block, and
// how many bytes were hashed. The magic names this layout: UnmarshalBinary has read
// whatever begins with it since Go 1.10.
const (
	stateMagic = "sha\x03"
	stateSize  = len(stateMagic) + Size + blockSize + 8
)

// readState reads a state after so many bytes, if it is in the layout that is known here.
func readState(state []byte, hashed int) (sum [Size]byte, ok bool) {
	if len(state) != stateSize || string(state[:len(stateMagic)]) != stateMagic ||
		binary.BigEndian.Uint64(state[stateSize-8:]) != uint64(hashed) {
		return sum, false
	}
	return [Size]byte(state[len(stateMagic):]), true
}
