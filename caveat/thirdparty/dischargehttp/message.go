package dischargehttp

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"

	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
)

// The versions of the bakery's protocol that are spoken here.
const (
	minVersion = 2
	maxVersion = 3
)

// versionHeader says which version a client speaks.
const versionHeader = "Bakery-Protocol-Version"

// The codes of error bodies.
const (
	codeBadRequest  = "bad request"
	codeDenied      = "permission denied"
	codeInteraction = "interaction required"
)

// errorBody is what every answer holds that is not a success. encoding/json reads names in any letter case, as peers
// write them.
type errorBody struct {
	Code    string     `json:",omitempty"`
	Message string     `json:",omitempty"`
	Info    *errorInfo `json:",omitempty"`
}

type errorInfo struct {
	InteractionMethods map[string]json.RawMessage `json:",omitempty"`

	// VisitURL and WaitURL are for clients that know one kind of interaction and have no name for it.
	VisitURL string `json:",omitempty"`
	WaitURL  string `json:",omitempty"`
}

// partyBody answers /discharge/info, and without Version /publickey.
type partyBody struct {
	PublicKey string
	Version   int `json:",omitempty"`
}

// dischargeBody answers /discharge.
type dischargeBody struct{ Macaroon BakeryMacaroon }

// tokenBody answers the URL at which a client waits for a token.
type tokenBody struct {
	Kind    string `json:"kind"`
	Token   string `json:"token,omitempty"`
	Token64 string `json:"token64,omitempty"`
}

// BakeryMacaroon is a macaroon in the JSON of the bakery, which is what travels in this protocol. Since its version 3
// that has, beside the macaroon, what its caveat ids stand for. It marshals and unmarshals itself.
type BakeryMacaroon struct {
	Macaroon macaroon.Macaroon

	// Version is how it is written: 2 is the v2 JSON of the macaroon, 3 wraps that, and 1 is the v1 JSON. Zero
	// means 3. Read from JSON, it is how it was written.
	Version int

	// Payloads are what third parties are to be given for the caveats whose ids do not hold that themselves, by
	// caveat id. Before version 3 there are none.
	Payloads map[string]string
}

// LogValue describes m without its signature, which log/slog would otherwise have MarshalJSON write.
func (m BakeryMacaroon) LogValue() slog.Value { return m.Macaroon.LogValue() }

// wrapped is the JSON of version 3.
type wrapped struct {
	Macaroon  json.RawMessage   `json:"m"`
	Version   int               `json:"v"`
	Payloads  map[string]string `json:"cdata,omitempty"`
	Namespace *string           `json:"ns"`
}

// namespace says that this library's conditions mean what the bakery's of the same names do.
const namespace = "std:"

// MarshalJSON writes the version that m has. It fails for the zero macaroon, and where the version can't hold what is
// in it.
func (m BakeryMacaroon) MarshalJSON() ([]byte, error) {
	if m.Version > 0 && m.Version < maxVersion && len(m.Payloads) > 0 {
		return nil, errors.New(prefix + "macaroon: payloads need version 3")
	}
	switch m.Version {
	case 1:
		return legacy.ExportV1JSON(m.Macaroon)
	case 2:
		return legacy.ExportV2JSON(m.Macaroon)
	case 0, maxVersion:
	default:
		return nil, errors.New(prefix + "macaroon: no such version")
	}
	inside, err := legacy.ExportV2JSON(m.Macaroon)
	if err != nil {
		return nil, err
	}
	out := wrapped{Macaroon: inside, Version: maxVersion, Namespace: new(string(namespace))}
	for id, payload := range m.Payloads {
		if out.Payloads == nil {
			out.Payloads = make(map[string]string, len(m.Payloads))
		}
		out.Payloads[encode64(id)] = encode64(payload)
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads every version, and the base64 of the binary form. With an error it leaves m alone.
func (m *BakeryMacaroon) UnmarshalJSON(data []byte) error {
	read := BakeryMacaroon{Version: maxVersion}
	var outer wrapped
	// What is no object fails here and is read below.
	if err := json.Unmarshal(data, &outer); err != nil || outer.Macaroon == nil {
		token, version, err := importMacaroon(data)
		if err != nil {
			return err
		}
		*m = BakeryMacaroon{Macaroon: token, Version: version}
		return nil
	}
	if outer.Version != maxVersion {
		return errors.New(prefix + "macaroon: unknown version of the bakery")
	}
	token, version, err := importMacaroon(outer.Macaroon)
	if err != nil {
		return err
	}
	if version != 2 {
		return errors.New(prefix + "macaroon: of another version than what is around it")
	}
	read.Macaroon = token
	for id64, payload64 := range outer.Payloads {
		id, okID := decode64(id64)
		payload, okPayload := decode64(payload64)
		if !okID || !okPayload || id == "" || payload == "" {
			return errors.New(prefix + "macaroon: cdata: not base64, or empty")
		}
		if read.Payloads == nil {
			read.Payloads = make(map[string]string, len(outer.Payloads))
		}
		if _, twice := read.Payloads[id]; twice {
			return errors.New(prefix + "macaroon: cdata: a caveat id twice")
		}
		read.Payloads[id] = payload
	}
	*m = read
	return nil
}

// importMacaroon reads one macaroon, which may be a discharge, and tells the version of its encoding.
func importMacaroon(data []byte) (m macaroon.Macaroon, version int, err error) {
	credential, form, err := legacy.ImportWith(data, macaroon.Limits{Identifier: macaroon.Limits{}.WithDefaults().Condition})
	if err != nil {
		return macaroon.Macaroon{}, 0, err
	}
	if form.Wrapping == legacy.JSONArray {
		return macaroon.Macaroon{}, 0, errors.New(prefix + "macaroon: an array")
	}
	wallet, err := credential.Wallet()
	if err != nil {
		return macaroon.Macaroon{}, 0, err
	}
	version = 2
	if form.Encoding == legacy.V1JSON || form.Encoding == legacy.V1Binary {
		version = 1
	}
	return wallet.Primary(), version, nil
}

// encode64 is how values that are not text are written: peers read any base64.
func encode64(value string) string { return base64.RawURLEncoding.EncodeToString([]byte(value)) }

// decode64 reads the base64 of any peer: either alphabet, padded or not. encoding/base64 would skip line breaks.
func decode64(text string) (value string, ok bool) {
	if strings.ContainsAny(text, "\r\n") {
		return "", false
	}
	text = strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(text), "=")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	return string(raw), err == nil
}
