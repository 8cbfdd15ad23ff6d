package legacy

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/amaretti-go/amaretti/internal/wire"
	"github.com/amaretti-go/amaretti/macaroon"
)

// Token is what can be exported: a macaroon, or a credential with its bound
// discharges. A wallet is neither: its discharges must be bound before they are
// sent, and they can be exported one by one.
type Token interface {
	macaroon.Macaroon | macaroon.Credential
	MarshalBinary() ([]byte, error)
}

// ExportV1Binary gives the v1 binary form; of a credential, the macaroons one
// behind the other. It fails if a part is too long for a packet: a condition of
// more than 65526 bytes, for example.
//
// Libraries that read v1 expect text in it. Bytes that are no UTF-8 are written
// all the same, as libmacaroons does, but not all of them read those.
func ExportV1Binary[T Token](token T) ([]byte, error) {
	list, err := decode(token)
	if err != nil {
		return nil, err
	}
	var b []byte
	for i := range list {
		if b, err = appendV1(b, &list[i]); err != nil {
			return nil, fmt.Errorf("legacy: v1 binary: %w", err)
		}
	}
	return b, nil
}

// ExportV1Text gives the unpadded base64url (RFC 4648 §5) of [ExportV1Binary],
// which is what libmacaroons calls a serialized macaroon. The text of the v2
// binary form is what Encode gives.
func ExportV1Text[T Token](token T) (string, error) {
	b, err := ExportV1Binary(token)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// ExportV1JSON gives the v1 JSON object; of a credential with discharges, an
// array of them. It fails if a part is not UTF-8, since the form has no way to
// write that.
func ExportV1JSON[T Token](token T) ([]byte, error) {
	list, err := decode(token)
	if err != nil {
		return nil, err
	}
	objects := make([]v1JSON, len(list))
	for i := range list {
		if objects[i], err = toV1JSON(&list[i]); err != nil {
			return nil, fmt.Errorf("legacy: v1 JSON: %w", err)
		}
	}
	return marshal(objects)
}

// ExportV2JSON gives the v2 JSON object; of a credential with discharges, an
// array of them. It can represent every macaroon. What all readers want is always
// written: "v", and "c" also when it is empty.
func ExportV2JSON[T Token](token T) ([]byte, error) {
	list, err := decode(token)
	if err != nil {
		return nil, err
	}
	objects := make([]v2JSON, len(list))
	for i := range list {
		objects[i] = toV2JSON(&list[i])
	}
	return marshal(objects)
}

func marshal[J any](objects []J) ([]byte, error) {
	if len(objects) == 1 {
		return json.Marshal(objects[0])
	}
	return json.Marshal(objects)
}

// decode gives the parts of a token. It was held to its limits when it was made.
func decode[T Token](token T) ([]wire.Macaroon, error) {
	binary, err := token.MarshalBinary()
	if err != nil {
		return nil, err
	}
	const most = math.MaxInt
	return wire.Decode(nil, nil, string(binary), &wire.Limits{
		Macaroons: most, Caveats: most, AllCaveats: most, Identifier: most, Condition: most, Location: most,
	})
}

// The order of keys, and what is left out when empty, is that of macaroon.v2.

type v1JSON struct {
	Caveats    []v1JSONCaveat `json:"caveats"`
	Location   string         `json:"location"`
	Identifier string         `json:"identifier"`
	Signature  string         `json:"signature"` // hex
}

type v1JSONCaveat struct {
	ID             string `json:"cid"`
	VerificationID string `json:"vid,omitempty"` // base64
	Location       string `json:"cl,omitempty"`
}

func toV1JSON(m *wire.Macaroon) (v1JSON, error) {
	j := v1JSON{
		Caveats:    make([]v1JSONCaveat, len(m.Caveats)),
		Location:   m.Location,
		Identifier: m.Identifier,
		Signature:  hex.EncodeToString(m.Signature[:]),
	}
	// encoding/json would put U+FFFD in place of what is not UTF-8.
	if !utf8.ValidString(m.Location) || !utf8.ValidString(m.Identifier) {
		return v1JSON{}, errors.New("location or identifier: not UTF-8")
	}
	for i, c := range m.Caveats {
		if !utf8.ValidString(c.ID) || !utf8.ValidString(c.Location) {
			return v1JSON{}, fmt.Errorf("caveat %d: not UTF-8", i)
		}
		j.Caveats[i] = v1JSONCaveat{
			ID:             c.ID,
			VerificationID: base64.RawURLEncoding.EncodeToString([]byte(c.VerificationID)),
			Location:       c.Location,
		}
	}
	return j, nil
}

type v2JSON struct {
	Version      int            `json:"v"`
	Caveats      []v2JSONCaveat `json:"c"`
	Location     string         `json:"l,omitempty"`
	Location64   string         `json:"l64,omitempty"`
	Identifier   *string        `json:"i,omitempty"` // a pointer, since an empty one is written
	Identifier64 string         `json:"i64,omitempty"`
	Signature64  string         `json:"s64"`
}

type v2JSONCaveat struct {
	ID               *string `json:"i,omitempty"`
	ID64             string  `json:"i64,omitempty"`
	VerificationID64 string  `json:"v64,omitempty"`
	Location         string  `json:"l,omitempty"`
	Location64       string  `json:"l64,omitempty"`
}

func toV2JSON(m *wire.Macaroon) v2JSON {
	j := v2JSON{
		Version:     2,
		Caveats:     make([]v2JSONCaveat, len(m.Caveats)),
		Signature64: base64.RawURLEncoding.EncodeToString(m.Signature[:]),
	}
	j.Location, j.Location64 = textOr64(m.Location)
	j.Identifier, j.Identifier64 = shorter(m.Identifier)
	for i, c := range m.Caveats {
		w := &j.Caveats[i]
		w.ID, w.ID64 = shorter(c.ID)
		w.VerificationID64 = base64.RawURLEncoding.EncodeToString([]byte(c.VerificationID))
		w.Location, w.Location64 = textOr64(c.Location)
	}
	return j
}

// textOr64 gives value as text if it is some, else in base64.
func textOr64(value string) (text, text64 string) {
	if utf8.ValidString(value) {
		return value, ""
	}
	return "", base64.RawURLEncoding.EncodeToString([]byte(value))
}

// shorter gives value in the spelling that makes the shorter JSON, text before
// base64, which is how macaroon.v2 chooses. One result is nil or empty.
func shorter(value string) (text *string, text64 string) {
	plain, text64 := textOr64(value)
	if text64 != "" {
		return nil, text64
	}
	const quotes, suffix = len(`""`), len("64")
	encoded, _ := json.Marshal(plain) // of a string it can't fail
	if len(encoded)-quotes <= base64.RawURLEncoding.EncodedLen(len(plain))+suffix {
		return &plain, ""
	}
	return nil, base64.RawURLEncoding.EncodeToString([]byte(plain))
}
