package wire

import (
	"encoding/base64"
	"encoding/binary"
	"unsafe"
)

// Strict refuses unused bits that are not zero, so that no two texts decode to the
// same bytes.
var encoding = base64.RawURLEncoding.Strict()

// sextets gives the six bits that a character of the alphabet stands for, where they
// belong among the 24 of four characters, by the place of the character. All others
// have noSextet. It is never written to.
var sextets = func() (table [4][256]uint32) {
	for place := range table {
		for c := range table[place] {
			table[place][c] = noSextet
		}
		for value := range 64 {
			c := encoding.EncodeToString([]byte{byte(value << 2)})[0]
			table[place][c] = uint32(value) << (18 - 6*place)
		}
	}
	return table
}()

const noSextet = 1 << 31

// DecodeText decodes unpadded base64url (RFC 4648 §5). There is one text for
// each sequence of bytes.
//
// Every request passes here, and encoding/base64 takes nearly twice as long. So it has
// only the end, with the unused bits that must be zero.
func DecodeText(text string) (string, error) {
	data := make([]byte, encoding.DecodedLen(len(text)))
	rest, room := text, data
	for len(rest) >= 8 && len(room) >= 8 { // two bytes more than are meant to stay
		a := sextets[0][rest[0]] | sextets[1][rest[1]] | sextets[2][rest[2]] | sextets[3][rest[3]]
		b := sextets[0][rest[4]] | sextets[1][rest[5]] | sextets[2][rest[6]] | sextets[3][rest[7]]
		if (a|b)&noSextet != 0 {
			return "", ErrNotMacaroon
		}
		binary.BigEndian.PutUint64(room, uint64(a)<<40|uint64(b)<<16)
		rest, room = rest[8:], room[6:]
	}
	var end [16]byte
	n, err := encoding.Decode(room, end[:copy(end[:], rest)])
	if err != nil || n != len(room) { // it skips line breaks
		return "", ErrNotMacaroon // the error is not wrapped: it quotes the input
	}
	// data is written no more and nobody else has it, so it may serve as the one
	// immutable string that everything decoded from it points into.
	return unsafe.String(unsafe.SliceData(data), len(data)), nil
}

// EncodeText gives the text of data.
func EncodeText(data []byte) string {
	text := AppendText(make([]byte, 0, encoding.EncodedLen(len(data))), data)
	return unsafe.String(unsafe.SliceData(text), len(text)) // as in DecodeText
}

// AppendText appends the text of data to dst.
func AppendText(dst, data []byte) []byte {
	return encoding.AppendEncode(dst, data)
}
