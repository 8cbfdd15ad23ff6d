package legacy

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/amaretti-go/amaretti/internal/wire"
	"github.com/amaretti-go/amaretti/macaroon"
)

// Import reads a credential in any form, under the default limits, and says
// which form it was. Several macaroons are the primary one and its bound
// discharges, in that order. The credential behaves as if it had come in
// canonical form: it encodes to that.
//
// A single macaroon, to be narrowed or kept, is Credential.Wallet and then
// Wallet.Primary.
//
// The form is guessed from the bytes. Whoever knows what its clients send compares
// form with that and refuses the rest.
//
// The error is [macaroon.ErrNotMacaroon], [macaroon.ErrMalformed] or
// [macaroon.ErrLimit] under errors.Is. data is neither kept nor changed.
func Import(data []byte) (credential macaroon.Credential, form Form, err error) {
	return ImportWith(data, macaroon.Limits{})
}

// ImportWith is [Import] under limits. Limits.Text bounds data itself, in
// whatever form, as well as the canonical text of what is in it. The identifier
// of a discharge that comes alone counts as that of a primary macaroon.
func ImportWith(data []byte, limits macaroon.Limits) (credential macaroon.Credential, form Form, err error) {
	r := reader{limits: limits.WithDefaults()}
	if len(data) > r.limits.Text {
		return macaroon.Credential{}, Form{}, wire.OverLimit("bytes", r.limits.Text)
	}
	form.Wrapping, err = r.read(string(data))
	if err == nil {
		credential, err = canonical(r.out, r.limits)
	}
	if err != nil {
		return macaroon.Credential{}, Form{}, err
	}
	form.Encoding = r.encoding
	return credential, form, nil
}

// canonical parses the v2 binary forms that the readers have written. It is the
// one judge of sizes, limits and whatever else a macaroon must be, so that no form
// gets in what another could not.
func canonical(binary []byte, limits macaroon.Limits) (macaroon.Credential, error) {
	return macaroon.ParseWith(string(wire.AppendText(nil, binary)), limits)
}

// A reader turns any form into the v2 binary forms of the macaroons in it, one
// behind the other. It counts macaroons and caveats as it meets them.
type reader struct {
	limits    macaroon.Limits
	out       []byte
	macaroons int
	caveats   int
	encoding  Encoding
}

// read takes off what is around the macaroons and reads them.
func (r *reader) read(data string) (Wrapping, error) {
	switch {
	case data == "":
		return 0, macaroon.ErrNotMacaroon
	case data[0] == versionV2 || startsV1(data):
		return Bare, r.binary(data)
	case startsJSON(data):
		return r.json(data)
	case startsHex(data):
		binary, err := hex.DecodeString(data)
		if err != nil {
			return 0, malformed("hex: cut off, or another character in it")
		}
		return Hex, r.binary(string(binary))
	}
	binary, err := decodeBase64(data)
	if err != nil {
		if strings.TrimSpace(data) != data {
			return 0, fmt.Errorf("%w: white space around it", macaroon.ErrNotMacaroon)
		}
		return 0, macaroon.ErrNotMacaroon
	}
	return Base64, r.binary(binary)
}

// binary reads macaroons in binary form, v1 or v2 each, to the end.
func (r *reader) binary(data string) (err error) {
	for first := true; first || data != ""; first = false {
		switch {
		case data != "" && data[0] == versionV2:
			data, err = r.v2Binary(data)
		case startsV1(data):
			data, err = r.v1Binary(data)
		case first:
			err = macaroon.ErrNotMacaroon
		default:
			err = malformed("bytes after the end")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// begin counts a macaroon.
func (r *reader) begin(e Encoding) error {
	if r.macaroons >= r.limits.Macaroons {
		return wire.OverLimit("macaroons", r.limits.Macaroons)
	}
	r.macaroons++
	if r.encoding == 0 {
		r.encoding = e
	} else if r.encoding != e {
		r.encoding = Mixed
	}
	return nil
}

// count counts a caveat of a macaroon that has so many already.
func (r *reader) count(already int) error {
	if already >= r.limits.Caveats {
		return wire.OverLimit("caveats of one macaroon", r.limits.Caveats)
	}
	if r.caveats >= r.limits.AllCaveats {
		return wire.OverLimit("caveats", r.limits.AllCaveats)
	}
	r.caveats++
	return nil
}

// caveat counts a caveat of m and makes room for it.
func (r *reader) caveat(m *wire.Macaroon) (*wire.Caveat, error) {
	if err := r.count(len(m.Caveats)); err != nil {
		return nil, err
	}
	m.Caveats = append(m.Caveats, wire.Caveat{})
	return &m.Caveats[len(m.Caveats)-1], nil
}

func startsHex(data string) bool {
	return strings.HasPrefix(data, "02") || strings.HasPrefix(data, "30")
}

// decodeBase64 decodes either alphabet, padded or not, but no mixture: each
// sequence of bytes has four texts, or one. The errors of encoding/base64 are not
// passed on: they quote.
func decodeBase64(text string) (string, error) {
	encoding, err := alphabet(text)
	if err != nil {
		return "", err
	}
	data, err := encoding.Strict().DecodeString(text)
	if err != nil {
		return "", malformed("base64: not one of its texts")
	}
	return string(data), nil
}

// alphabet tells which base64 a text is in, if it is in any. encoding/base64 would
// skip line breaks, so they are refused first.
func alphabet(text string) (*base64.Encoding, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, malformed("base64: line break")
	}
	switch padded, standard := strings.HasSuffix(text, "="), strings.ContainsAny(text, "+/"); {
	case padded && standard:
		return base64.StdEncoding, nil
	case padded:
		return base64.URLEncoding, nil
	case standard:
		return base64.RawStdEncoding, nil
	}
	return base64.RawURLEncoding, nil
}

func signature(value string) (sig [wire.SignatureSize]byte, err error) {
	if len(value) != len(sig) {
		return sig, malformed("signature: %d bytes", len(value))
	}
	copy(sig[:], value)
	return sig, nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", macaroon.ErrMalformed, fmt.Errorf(format, args...))
}
