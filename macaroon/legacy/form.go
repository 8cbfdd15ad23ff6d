package legacy

import "fmt"

// Form says how a credential was written: what its macaroons are encoded in, and
// what is around them. It can be compared and used as a key of a map. The zero
// Form is of nothing that was read.
type Form struct {
	Encoding Encoding
	Wrapping Wrapping
}

// Encoding is what a macaroon is encoded in.
type Encoding int

// The encodings. [Mixed] stands for several macaroons of which not all are alike.
const (
	V1Binary Encoding = iota + 1
	V2Binary
	V1JSON
	V2JSON
	Mixed
)

// Wrapping is what is around the encoded macaroons.
type Wrapping int

// The wrappings. A [JSONString] holds base64 of binary. A [JSONArray] holds the
// primary macaroon and its discharges, each an object or such a string.
const (
	Bare Wrapping = iota
	Base64
	Hex
	JSONString
	JSONArray
)

// String names the encoding for people.
func (e Encoding) String() string {
	switch e {
	case V1Binary:
		return "v1 binary"
	case V2Binary:
		return "v2 binary"
	case V1JSON:
		return "v1 JSON"
	case V2JSON:
		return "v2 JSON"
	case Mixed:
		return "mixed encodings"
	}
	return fmt.Sprintf("Encoding(%d)", int(e))
}

// String names the wrapping for people. Of [Bare] it is empty.
func (w Wrapping) String() string {
	switch w {
	case Bare:
		return ""
	case Base64:
		return "base64"
	case Hex:
		return "hex"
	case JSONString:
		return "JSON string"
	case JSONArray:
		return "JSON array"
	}
	return fmt.Sprintf("Wrapping(%d)", int(w))
}

// String names the form for people, such as "base64 of v1 binary".
func (f Form) String() string {
	if f.Wrapping == Bare {
		return f.Encoding.String()
	}
	return f.Wrapping.String() + " of " + f.Encoding.String()
}
