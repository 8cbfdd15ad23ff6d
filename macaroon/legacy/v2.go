package legacy

import (
	"strings"

	"github.com/amaretti-go/amaretti/internal/wire"
)

const versionV2 = 0x02

// v2Binary copies the macaroon at the start of data, which is to be in canonical
// form but for empty locations: some libraries always write the field. They are
// left out. That the rest is canonical shows when the copy is parsed; here it is
// only divided into sections and fields.
func (r *reader) v2Binary(data string) (rest string, err error) {
	const location, emptyLocation = "\x01", "\x01\x00"
	if err := r.begin(V2Binary); err != nil {
		return "", err
	}
	r.out, data = append(r.out, data[0]), data[1:]
	for caveats := -1; ; caveats++ { // the first section is the header
		section, dropped := strings.CutPrefix(data, emptyLocation)
		if dropped && strings.HasPrefix(section, location) {
			// Without the first the second would be the only one.
			return "", malformed("v2: location twice")
		}
		if data, err = skipSection(section); err != nil {
			return "", err
		}
		section = section[:len(section)-len(data)]
		last := len(section) == 1
		switch {
		case last && dropped:
			// Without its location it would be the mark that ends the caveats.
			return "", malformed("v2: nothing but a location in a section")
		case !last && caveats >= 0:
			if err := r.count(caveats); err != nil {
				return "", err
			}
		}
		r.out = append(r.out, section...)
		if last {
			break
		}
	}
	if rest, err = skipField(data); err != nil {
		return "", err
	}
	r.out = append(r.out, data[:len(data)-len(rest)]...)
	return rest, nil
}

// skipSection gives what is behind the fields and the mark that ends them.
func skipSection(data string) (rest string, err error) {
	const eos = 0x00
	for data != "" && data[0] != eos {
		if data, err = skipField(data); err != nil {
			return "", err
		}
	}
	if data == "" {
		return "", malformed("v2: cut off")
	}
	return data[1:], nil
}

// skipField gives what is behind a field: a type, a length, and that many bytes.
func skipField(data string) (rest string, err error) {
	if data == "" {
		return "", malformed("v2: cut off")
	}
	length, size := wire.Uvarint(data[1:])
	if size == 0 {
		return "", malformed("v2: bad length")
	}
	rest = data[1+size:]
	if length > uint64(len(rest)) {
		return "", malformed("v2: cut off")
	}
	return rest[length:], nil
}
