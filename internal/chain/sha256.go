package chain

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
)

const minPadding = 9 // of SHA-256: one byte and the length

// padded is how many bytes n bytes are with their padding, which are whole blocks.
func padded(n int) int { return (n + minPadding + blockSize - 1) &^ (blockSize - 1) }

// sum256 is sha256.Sum256 of a message that has room for its padding behind it.
//
// SHA-256 is nothing but its state after the last block. Sum256 moves the end of a message
// and adds the padding elsewhere, to a copy of its state, which for the few blocks of a link
// is a quarter of its time. Here the padding is added in place, all blocks are hashed where
// they are, and the state is read off as crypto/sha256 writes it down. Where that can't be
// read, it is Sum256.
func sum256(message []byte) [Size]byte {
	h := sha256.New() // not given to anybody, so that it stays on the stack
	state, ok := h.(encoding.BinaryAppender)
	if !ok { // toolchains that have another library hash may lack it
		return sha256.Sum256(message)
	}
	blocks := pad(message)
	h.Write(blocks) // never fails
	var room [stateSize]byte
	written, _ := state.AppendBinary(room[:0])
	sum, ok := readState(written, len(blocks))
	if !ok {
		return sha256.Sum256(message)
	}
	return sum
}

// pad writes a message's padding behind it (FIPS 180-4, section 5.1.1), and gives both.
func pad(message []byte) (blocks []byte) {
	n := len(message)
	blocks = message[:padded(n)]
	blocks[n] = 0x80
	clear(blocks[n+1 : len(blocks)-8])
	binary.BigEndian.PutUint64(blocks[len(blocks)-8:], uint64(n)*8)
	return blocks
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
