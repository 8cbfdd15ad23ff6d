package wire

import (
	"math"
	"math/bits"
	"slices"
)

// Decode reads one or more macaroons that stand one behind the other and fill
// data. The first is the primary one, the others are discharges, whose identifiers
// are caveat ids and may be as long as these. list and caveats are empty: they give
// room that costs the caller nothing, and is used as far as it goes. Of limits nothing is kept.
func Decode(list []Macaroon, caveats []Caveat, data string, limits *Limits) ([]Macaroon, error) {
	if data == "" || data[0] != version {
		return nil, errBinary
	}
	var counts [4]int
	ends := counts[:0] // of each macaroon's caveats, which move while they are read
	d := decoder{data, limits}
	for idLimit := limits.Identifier; d.data != ""; idLimit = limits.Condition {
		if len(ends) >= limits.Macaroons {
			return nil, OverLimit("macaroons", limits.Macaroons)
		}
		list = append(list, Macaroon{})
		m := &list[len(list)-1]
		if err := d.header(m, idLimit); err != nil {
			return nil, err
		}
		for start := len(caveats); d.more(); {
			if len(caveats)-start >= limits.Caveats {
				return nil, OverLimit("caveats of one macaroon", limits.Caveats)
			}
			if len(caveats) >= limits.AllCaveats {
				return nil, OverLimit("caveats", limits.AllCaveats)
			}
			if len(caveats) == cap(caveats) { // once, and then for all that there are
				caveats = slices.Grow(caveats, d.ahead(min(limits.Caveats, limits.AllCaveats)))
			}
			caveats = append(caveats, Caveat{})
			if err := d.caveat(&caveats[len(caveats)-1]); err != nil {
				return nil, err
			}
		}
		if err := d.signature(m); err != nil {
			return nil, err
		}
		ends = append(ends, len(caveats))
	}
	start := 0
	for i, end := range ends {
		list[i].Caveats = caveats[start:end:end]
		start = end
	}
	return list, nil
}

type decoder struct {
	data   string // what is left
	limits *Limits
}

func (d *decoder) header(m *Macaroon, idLimit int) (err error) {
	if d.data[0] != version {
		return malformed("version byte 0x%02x", d.data[0])
	}
	d.data = d.data[1:]
	if m.Location, err = d.optional(fieldLocation, "location", d.limits.Location); err != nil {
		return err
	}
	if m.Identifier, err = d.required(fieldIdentifier, "identifier", idLimit); err != nil {
		return err
	}
	return d.end("header")
}

// more reports whether a caveat follows. At the end of the input none does, and
// what is read next finds out.
func (d *decoder) more() bool { return d.data != "" && d.data[0] != fieldEOS }

// ahead counts the caveats that this macaroon has yet to come, as far as its fields
// can be told apart, and no further than a limit: each takes three bytes at least,
// whatever it claims.
func (d *decoder) ahead(limit int) (caveats int) {
	for data := d.data; data != "" && data[0] != fieldEOS && caveats < limit; caveats++ {
		for data != "" && data[0] != fieldEOS {
			var ok bool
			if _, data, ok = Field(data, data[0]); !ok {
				return caveats
			}
		}
		if data != "" {
			data = data[1:]
		}
	}
	return caveats
}

func (d *decoder) signature(m *Macaroon) error {
	if err := d.end("caveats"); err != nil {
		return err
	}
	sig, err := d.required(fieldSignature, "signature", math.MaxInt) // its size is checked below
	if err != nil {
		return err
	}
	if len(sig) != SignatureSize {
		return malformed("signature: %d bytes", len(sig))
	}
	copy(m.Signature[:], sig)
	return nil
}

func (d *decoder) caveat(c *Caveat) (err error) {
	if d.short(c) {
		return nil
	}
	if c.Location, err = d.optional(fieldLocation, "caveat location", d.limits.Location); err != nil {
		return err
	}
	if c.ID, err = d.required(fieldIdentifier, "condition or caveat id", d.limits.Condition); err != nil {
		return err
	}
	if c.VerificationID, err = d.optional(fieldVerificationID, "verification id", math.MaxInt); err != nil {
		return err
	}
	if c.VerificationID != "" {
		if err := CheckVerificationID(c.VerificationID); err != nil {
			return err
		}
	} else if c.Location != "" {
		return malformed("location on a first-party caveat")
	}
	return d.end("caveat")
}

// short reads what nearly all caveats are: a condition whose length is one byte. It
// leaves all others, and whatever is wrong with one, to be read field by field.
func (d *decoder) short(c *Caveat) bool {
	s := d.data
	if len(s) < 2 || s[0] != fieldIdentifier || s[1] >= 0x80 {
		return false
	}
	n := int(s[1])
	if n > d.limits.Condition || len(s) < 2+n+1 || s[2+n] != fieldEOS {
		return false
	}
	c.ID, d.data = s[2:2+n], s[2+n+1:]
	return true
}

func (d *decoder) end(section string) error {
	if d.data == "" {
		return malformed("%s: cut off", section)
	}
	if d.data[0] != fieldEOS {
		return malformed("%s: unexpected field type 0x%02x", section, d.data[0])
	}
	d.data = d.data[1:]
	return nil
}

// optional reads a field that is absent rather than empty.
func (d *decoder) optional(fieldType byte, name string, limit int) (string, error) {
	if d.data == "" || d.data[0] != fieldType {
		return "", nil
	}
	value, err := d.required(fieldType, name, limit)
	if err == nil && value == "" {
		return "", malformed("%s: present, but empty", name)
	}
	return value, err
}

func (d *decoder) required(fieldType byte, name string, limit int) (string, error) {
	value, rest, ok := Field(d.data, fieldType)
	if !ok {
		return "", d.complain(fieldType, name)
	}
	if len(value) > limit {
		return "", OverLimit("bytes of "+name, limit)
	}
	d.data = rest
	return value, nil
}

// complain says why a field can't be read.
func (d *decoder) complain(fieldType byte, name string) error {
	if d.data == "" {
		return malformed("%s: cut off", name)
	}
	if d.data[0] != fieldType {
		return malformed("%s: field type 0x%02x in its place", name, d.data[0])
	}
	if _, size := Uvarint(d.data[1:]); size == 0 {
		return malformed("%s: bad length", name)
	}
	return malformed("%s: cut off", name)
}

// Field reads one field: its type, its length, its value. Types are below 0x80, so
// one byte is the only canonical way to write one.
func Field(s string, fieldType byte) (value, rest string, ok bool) {
	if len(s) < 2 || s[0] != fieldType {
		return "", s, false
	}
	length, size := uint64(s[1]), 1
	if length >= 0x80 {
		if length, size = Uvarint(s[1:]); size == 0 {
			return "", s, false
		}
	}
	if length > uint64(len(s)-1-size) {
		return "", s, false
	}
	end := 1 + size + int(length)
	return s[1+size : end], s[end:], true
}

// Uvarint reads a base-128 varint in its shortest form. It returns the number of
// bytes read, or 0 if s does not begin with one.
func Uvarint(s string) (value uint64, size int) {
	for i := 0; i < len(s) && i < maxVarint; i++ {
		b := s[i]
		value |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			if bits.Len64(value) <= 7*i && i > 0 {
				return 0, 0 // a longer spelling of a smaller number
			}
			return value, i + 1
		}
	}
	return 0, 0
}

// maxVarint is the most bytes a length may take: 2^63 and above can't be one.
const maxVarint = 9
