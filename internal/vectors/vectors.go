// Package vectors holds macaroons written and checked by five libraries in four
// languages, for the tests of other packages. Nothing else imports it.
//
//   - [Valid]: macaroons that must verify, each in every encoding that its writer
//     knows.
//   - [Invalid]: what must be refused, and in which of the classes of error.
//   - [Policy]: what no rule settles. Package legacy documents where we stand.
//   - [Upstream]: the vectors of other libraries' own tests, of several kinds.
//
// They are about half of a larger set. Binary values are hex in names that end in
// _hex and standard base64 in names that end in _b64. Conditions count as met: the
// cases are about bytes, signatures and discharges.
package vectors

import (
	"embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"testing"
)

//go:embed testdata/*.json
var files embed.FS

// Bytes are binary data, written as hex.
type Bytes []byte

// UnmarshalText decodes hex.
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// Macaroon is one macaroon, by its parts and in some encodings.
type Macaroon struct {
	Location   string    `json:"location"`
	Identifier Bytes     `json:"identifier_hex"`
	Caveats    []Caveat  `json:"caveats"`
	Signature  Bytes     `json:"signature_hex"`
	Encodings  Encodings `json:"encodings"`
}

// Caveat is one caveat. Type is "first" or "third".
type Caveat struct {
	Type           string `json:"type"`
	Condition      Bytes  `json:"condition_hex"`
	Location       string `json:"location"`
	Identifier     Bytes  `json:"identifier_hex"`
	VerificationID Bytes  `json:"vid_hex"`
}

// Encodings maps the name of an encoding, such as "v1_binary", to the encoded
// macaroon, as bytes.
type Encodings map[string][]byte

// UnmarshalJSON undoes the base64 of binary encodings. Text is left as it is.
func (e *Encodings) UnmarshalJSON(data []byte) error {
	var raw map[string]string
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*e = Encodings{}
	for name, text := range raw {
		switch name {
		case "v1_binary_b64", "v2_binary_b64":
			binary, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return err
			}
			(*e)[name[:len("v1_binary")]] = binary
		default:
			(*e)[name] = []byte(text)
		}
	}
	return nil
}

// ValidCase must verify, with its discharges, which are bound to it and have the
// same encodings, unless each has but one.
type ValidCase struct {
	Macaroon
	Name           string     `json:"name"`
	Category       string     `json:"category"`
	Producer       string     `json:"producer"` // the library that wrote the encodings
	RootKey        Bytes      `json:"root_key_hex"`
	Discharges     []Macaroon `json:"discharges"`
	SliceEncodings Encodings  `json:"slice_encodings"` // all of them in one piece
	CannotEncode   []string   `json:"cannot_encode"`
}

// Encoded is a macaroon of which nothing is known but its bytes. Encoding is
// v1_binary, v2_binary, v1_json, v2_json, or v1_text and v2_text, which are base64.
type Encoded struct {
	Encoding string `json:"encoding"`
	Data     []byte // in any case
}

// UnmarshalJSON takes the data from whichever field holds it.
func (e *Encoded) UnmarshalJSON(data []byte) error {
	var raw struct {
		Encoding string  `json:"encoding"`
		Binary   []byte  `json:"data_b64"` // encoding/json undoes the base64
		JSON     *string `json:"json"`
		Text     *string `json:"text"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	e.Encoding, e.Data = raw.Encoding, raw.Binary
	if raw.JSON != nil {
		e.Data = []byte(*raw.JSON)
	} else if raw.Text != nil {
		e.Data = []byte(*raw.Text)
	}
	return nil
}

// EncodedCase is a case of [Invalid] or [Policy].
type EncodedCase struct {
	Encoded
	Name       string
	Issue      string // what is in dispute, if several libraries differ
	RootKey    Bytes
	Discharges []Encoded
	Expect     []string // the classes of error that are right; of policy, empty
	Recommend  string   // of policy: what the authors of the set suggest
	Accepted   []string // the libraries that accept it
}

// UnmarshalJSON joins the fields of both kinds.
func (c *EncodedCase) UnmarshalJSON(data []byte) error {
	var raw struct {
		Name       string    `json:"name"`
		Issue      string    `json:"issue"`
		RootKey    Bytes     `json:"root_key_hex"`
		Discharges []Encoded `json:"discharges"`
		Expect     string    `json:"expect"`
		ExpectAny  []string  `json:"expect_any"`
		Recommend  string    `json:"recommend"`
		Peers      map[string]struct {
			Result string `json:"result"`
		} `json:"peers"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*c = EncodedCase{Name: raw.Name, Issue: raw.Issue, RootKey: raw.RootKey, Discharges: raw.Discharges, Recommend: raw.Recommend}
	if raw.Expect != "policy" {
		c.Expect = append(raw.ExpectAny, raw.Expect)
	}
	for peer, p := range raw.Peers {
		if p.Result == "accept" {
			c.Accepted = append(c.Accepted, peer)
		}
	}
	return c.Encoded.UnmarshalJSON(data)
}

// UpstreamCase is a case of [Upstream]. Which fields it has depends on its kind:
// "macaroon" has those of a ValidCase, "parse" has Encoded, "logical" has
// Macaroons to be minted and their Outcomes, the others have Values.
type UpstreamCase struct {
	ValidCase
	Encoded       Encoded           `json:"-"`
	Kind          string            `json:"kind"`
	Expect        string            `json:"expect"`
	KeyDerivation string            `json:"key_derivation"` // "none": the root key is used as it is
	Satisfied     []Bytes           `json:"satisfied_exact_hex"`
	Macaroons     []LogicalMacaroon `json:"macaroons"`
	Outcomes      []Outcome         `json:"outcomes"`
	Values        []Value           `json:"values"`
}

// UnmarshalJSON reads Encoded from the same object.
func (c *UpstreamCase) UnmarshalJSON(data []byte) error {
	type fields UpstreamCase
	if err := json.Unmarshal(data, (*fields)(c)); err != nil {
		return err
	}
	return c.Encoded.UnmarshalJSON(data)
}

// LogicalMacaroon is to be minted: the first of a case is the primary one, the
// rest are discharges.
type LogicalMacaroon struct {
	RootKey    string `json:"root_key"`
	Identifier string `json:"id"`
	Location   string `json:"location"`
	Caveats    []struct {
		First    string `json:"first"`
		Third    string `json:"third"`
		Location string `json:"location"`
		RootKey  string `json:"root_key"`
	} `json:"caveats"`
}

// Outcome is what verifying must give when some conditions are true. RootKey, if
// given, is used in place of that of the primary macaroon.
type Outcome struct {
	RootKey        *string  `json:"root_key"`
	TrueConditions []string `json:"true_conditions"`
	Expect         string   `json:"expect"`
}

// Value is one row of a table of a kind with values.
type Value struct {
	Hex        Bytes    `json:"hex"`
	Number     string   `json:"value"`
	Fields     [][2]any `json:"fields"` // type, and data in hex
	Identifier Bytes    `json:"identifier_hex"`
	WrittenAs  string   `json:"written_as"`
	Expect     string   `json:"expect"`
}

// Valid loads the cases that must verify.
func Valid(t testing.TB) []ValidCase { return load[ValidCase](t, "valid") }

// Invalid loads the cases that must be refused.
func Invalid(t testing.TB) []EncodedCase { return load[EncodedCase](t, "invalid") }

// Policy loads the cases that no rule settles.
func Policy(t testing.TB) []EncodedCase { return load[EncodedCase](t, "policy") }

// Upstream loads the vectors of other libraries.
func Upstream(t testing.TB) []UpstreamCase { return load[UpstreamCase](t, "upstream") }

func load[T any](t testing.TB, name string) (cases []T) {
	t.Helper()
	data, err := files.ReadFile("testdata/" + name + ".json")
	if err == nil {
		err = json.Unmarshal(data, &cases)
	}
	if err != nil || len(cases) == 0 {
		t.Fatalf("vectors: %s: %d cases, %v", name, len(cases), err)
	}
	return cases
}
