package wire

import (
	"encoding/base64"
	"encoding/binary"
	"unsafe"
)

var encoding = base64.RawURLEncoding

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

// four gives the 24 bits of four characters, with noSextet if one is not in the
// alphabet.
func four(s string) uint32 {
	return sextets[0][s[0]] | sextets[1][s[1]] | sextets[2][s[2]] | sextets[3][s[3]]
}

// DecodeText decodes unpadded base64url (RFC 4648 §5). There is one text for
// each sequence of bytes: unused bits are zero, and no line break is skipped.
//
// Every request passes here, and encoding/base64 takes twice as long.
func DecodeText(text string) (string, error) {
	size := encoding.DecodedLen(len(text))
	data := make([]byte, size+2) // eight bytes are written where six are meant
	rest, room := text, data
	for ; len(rest) >= 8; rest, room = rest[8:], room[6:] {
		a, b := four(rest), four(rest[4:])
		if (a|b)&noSextet != 0 {
			return "", errText
		}
		binary.BigEndian.PutUint64(room, uint64(a)<<40|uint64(b)<<16)
	}
	if rest != "" {
		end, size := []byte("AAAAAAAA"), len(room)-2 // the rest, and zeros behind it
		copy(end, rest)
		a, b := four(string(end)), four(string(end[4:]))
		bits := uint64(a)<<40 | uint64(b)<<16
		if (a|b)&noSextet != 0 || len(rest)%4 == 1 || bits<<(8*size) != 0 {
			return "", errText
		}
		binary.BigEndian.PutUint64(end, bits)
		copy(room, end[:size])
	}
	// data is written no more and nobody else has it, so it may serve as the one
	// immutable string that everything decoded from it points into.
	return unsafe.String(unsafe.SliceData(data), size), nil
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
