package wire

import (
	"encoding/base64"
	"unsafe"
)

// Strict refuses unused bits that are not zero, so that no two texts decode to the
// same bytes.
var encoding = base64.RawURLEncoding.Strict()

// DecodeText decodes unpadded base64url (RFC 4648 §5). There is one text for
// each sequence of bytes: encoding/base64 skips line breaks, which shows in the
// length.
func DecodeText(text string) (string, error) {
	data, err := encoding.DecodeString(text)
	if err != nil || encoding.EncodedLen(len(data)) != len(text) {
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
