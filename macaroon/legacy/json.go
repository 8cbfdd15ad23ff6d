package legacy

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/amaretti-go/amaretti/internal/wire"
)

// The JSON forms are read token by token. Decoding into structs would match keys of
// other letter case, let the last of two equal keys win, and skip what they don't
// have: each a way to make two readers see two macaroons. Here every token is one
// that the form has at its place, so no value is skipped, and nesting is as deep as
// the forms are.

func startsJSON(data string) bool {
	text := strings.TrimLeft(data, whiteSpace)
	return text != "" && strings.Contains(`{["`, text[:1])
}

// json reads one JSON value to the end: an object, an array or a string.
func (r *reader) json(data string) (w Wrapping, err error) {
	if !utf8.ValidString(data) {
		return 0, malformed("JSON: not UTF-8")
	}
	t := newJSONText(data)
	value, err := t.next()
	if err != nil {
		return 0, err
	}
	if text, isString := value.(string); isString {
		w, err = JSONString, r.jsonString(text)
	} else if value == json.Delim('[') {
		w, err = JSONArray, t.until(']', func(value json.Token) error { return r.jsonElement(t, value) })
	} else {
		err = r.jsonMacaroon(t, value)
	}
	if err == nil {
		err = t.end()
	}
	return w, err
}

func (r *reader) jsonElement(t *jsonText, value json.Token) error {
	text, isString := value.(string)
	if !isString {
		return r.jsonMacaroon(t, value)
	}
	before := r.macaroons
	err := r.jsonString(text)
	if err == nil && r.macaroons != before+1 {
		err = malformed("JSON: several macaroons in one element")
	}
	return err
}

// jsonString reads a string that holds base64 of the binary form.
func (r *reader) jsonString(text string) error {
	binary, err := decodeBase64(text)
	if err != nil {
		return err
	}
	return r.binary(binary)
}

// A slot is what a key gives, as errors call it. Several keys may give the same, in
// other versions or spellings, and each may be given once.
type slot string

const (
	slotVersion        slot = "version"
	slotLocation       slot = "location"
	slotIdentifier     slot = "identifier" // of the macaroon, or the condition or caveat id
	slotCaveats        slot = "caveats"
	slotSignature      slot = "signature"
	slotVerificationID slot = "verification id"
)

type jsonKey struct {
	encoding Encoding
	slot     slot
	decode   func(text string) (string, error) // of a string, what it stands for
}

var macaroonKeys = map[string]jsonKey{
	"location":   {V1JSON, slotLocation, plain},
	"identifier": {V1JSON, slotIdentifier, plain},
	"caveats":    {V1JSON, slotCaveats, nil},
	"signature":  {V1JSON, slotSignature, decodeHex},

	"v":   {V2JSON, slotVersion, nil},
	"l":   {V2JSON, slotLocation, plain},
	"l64": {V2JSON, slotLocation, decodeField},
	"i":   {V2JSON, slotIdentifier, plain},
	"i64": {V2JSON, slotIdentifier, decodeField},
	"c":   {V2JSON, slotCaveats, nil},
	"s":   {V2JSON, slotSignature, plain},
	"s64": {V2JSON, slotSignature, decodeField},
}

var caveatKeys = map[string]jsonKey{
	"cid": {V1JSON, slotIdentifier, plain},
	"vid": {V1JSON, slotVerificationID, decodeField},
	"cl":  {V1JSON, slotLocation, plain},

	"i":   {V2JSON, slotIdentifier, plain},
	"i64": {V2JSON, slotIdentifier, decodeField},
	"v":   {V2JSON, slotVerificationID, plain},
	"v64": {V2JSON, slotVerificationID, decodeField},
	"l":   {V2JSON, slotLocation, plain},
	"l64": {V2JSON, slotLocation, decodeField},
}

func plain(text string) (string, error) { return text, nil }

// decodeField decodes a value in base64. Unused bits, which encoders leave zero,
// may be anything: JSON has many texts for one macaroon as it is, and what others
// read here is refused for what it says, not for how.
func decodeField(text string) (string, error) {
	encoding, err := alphabet(text)
	if err != nil {
		return "", err
	}
	data, err := encoding.DecodeString(text)
	return string(data), err
}

// decodeHex takes both letter cases, as the format asks.
func decodeHex(text string) (string, error) {
	data, err := hex.DecodeString(text)
	return string(data), err
}

// value gives what a token stands for, which is to be a string.
func (k jsonKey) value(token json.Token) (string, error) {
	text, isString := token.(string)
	if !isString {
		return "", malformed("JSON: %s: not a string", k.slot)
	}
	value, err := k.decode(text)
	if err != nil { // not wrapped: it may quote
		return "", malformed("JSON: %s: not in its encoding", k.slot)
	}
	return value, nil
}

// jsonObject reads an object whose first token is given. Its keys are all in keys,
// all of one version, and give each slot once. An encoding of zero is set by the
// first key. member gets the first token of each value, and reads the rest of it.
func jsonObject(
	t *jsonText, first json.Token, encoding *Encoding, keys map[string]jsonKey,
	member func(k jsonKey, value json.Token) error,
) (given []slot, err error) {
	if first != json.Delim('{') {
		return nil, malformed("JSON: no object where one belongs")
	}
	err = t.until('}', func(token json.Token) error {
		key, _ := token.(string) // nothing else comes where a key belongs
		k, known := keys[key]
		if *encoding == 0 {
			*encoding = k.encoding
		}
		switch {
		case !known:
			return malformed("JSON: unknown key %q", key[:min(len(key), 64)])
		case k.encoding != *encoding:
			return malformed("JSON: key %q is not of %v", key, *encoding)
		case slices.Contains(given, k.slot):
			return malformed("JSON: %s given twice", k.slot)
		}
		given = append(given, k.slot)
		value, err := t.next()
		if err != nil {
			return err
		}
		return member(k, value)
	})
	return given, err
}

func (r *reader) jsonMacaroon(t *jsonText, first json.Token) error {
	var m wire.Macaroon
	var encoding Encoding
	given, err := jsonObject(t, first, &encoding, macaroonKeys, func(k jsonKey, value json.Token) (err error) {
		switch k.slot {
		case slotVersion:
			// Everybody writes the number; the description of the format asks for the string.
			if t.spelling != `2` && t.spelling != `"2"` {
				err = malformed("JSON: version other than 2")
			}
		case slotCaveats:
			if value != json.Delim('[') {
				return malformed("JSON: caveats: not an array")
			}
			err = t.until(']', func(value json.Token) error { return r.jsonCaveat(t, value, encoding, &m) })
		case slotLocation:
			if value != nil {
				m.Location, err = k.value(value)
			}
		case slotIdentifier:
			m.Identifier, err = k.value(value)
		case slotSignature:
			var sig string
			if sig, err = k.value(value); err == nil {
				m.Signature, err = signature(sig)
			}
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case !slices.Contains(given, slotSignature):
		return malformed("JSON: no signature")
	case !slices.Contains(given, slotIdentifier) && encoding == V1JSON:
		return malformed("JSON: no identifier")
	}
	if err := r.begin(encoding); err != nil {
		return err
	}
	r.out = wire.Append(r.out, &m)
	return nil
}

// jsonCaveat reads a caveat of m, which is of an encoding.
func (r *reader) jsonCaveat(t *jsonText, first json.Token, encoding Encoding, m *wire.Macaroon) error {
	c, err := r.caveat(m)
	if err != nil {
		return err
	}
	given, err := jsonObject(t, first, &encoding, caveatKeys, func(k jsonKey, value json.Token) (err error) {
		switch k.slot {
		case slotIdentifier:
			c.ID, err = k.value(value)
		case slotVerificationID:
			if value == nil && encoding == V1JSON { // as pymacaroons writes it
				return nil
			}
			// An empty one, dropped on the way, would turn a third-party caveat into
			// a condition.
			if c.VerificationID, err = k.value(value); err == nil {
				err = wire.CheckVerificationID(c.VerificationID)
			}
		case slotLocation:
			if value != nil {
				c.Location, err = k.value(value)
			}
		}
		return err
	})
	if err == nil && !slices.Contains(given, slotIdentifier) && encoding == V1JSON {
		err = malformed("JSON: no condition or caveat id")
	}
	return err
}
