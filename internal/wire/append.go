package wire

import "encoding/binary"

// Append appends the encoding of m to dst. It is the caller's business that m can be
// encoded: a verification id is absent or has its size, and only a third-party
// caveat has a location.
func Append(dst []byte, m *Macaroon) []byte {
	dst = append(dst, version)
	dst = appendOptional(dst, fieldLocation, m.Location)
	dst = AppendField(dst, fieldIdentifier, m.Identifier)
	dst = append(dst, fieldEOS)
	for i := range m.Caveats {
		c := &m.Caveats[i]
		dst = appendOptional(dst, fieldLocation, c.Location)
		dst = AppendField(dst, fieldIdentifier, c.ID)
		dst = appendOptional(dst, fieldVerificationID, c.VerificationID)
		dst = append(dst, fieldEOS)
	}
	dst = append(dst, fieldEOS, fieldSignature, SignatureSize)
	return append(dst, m.Signature[:]...)
}

// MaxSize is enough room for the encoding of m.
func MaxSize(m *Macaroon) int {
	const perField = 1 + binary.MaxVarintLen32
	n := 1 + 2*perField + len(m.Location) + len(m.Identifier) + 4 + SignatureSize
	for i := range m.Caveats {
		c := &m.Caveats[i]
		n += 1 + perField + len(c.ID)
		if c.VerificationID != "" {
			n += 2*perField + len(c.Location) + len(c.VerificationID)
		}
	}
	return n
}

func appendOptional(dst []byte, fieldType byte, value string) []byte {
	if value == "" {
		return dst
	}
	return AppendField(dst, fieldType, value)
}

// AppendField appends one field: its type, which is below 0x80, its length, and value.
func AppendField(dst []byte, fieldType byte, value string) []byte {
	dst = append(dst, fieldType)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}
