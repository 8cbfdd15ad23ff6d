package legacy_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	v2 "gopkg.in/macaroon.v2"

	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
)

// Parts to write macaroons by hand with. No signature is ever verified here.
var (
	sigBytes = strings.Repeat("s", 32)
	sig64    = base64.RawURLEncoding.EncodeToString([]byte(sigBytes))
	sigHex   = hex.EncodeToString([]byte(sigBytes))
	vid      = strings.Repeat("v", 72)
	vid64    = base64.RawURLEncoding.EncodeToString([]byte(vid))

	startV1 = v1("location", "") + v1("identifier", "id")
	sigV1   = v1("signature", sigBytes)
	v1Cid   = v1("cid", "c")
	v1Vid   = v1("vid", vid)
	v1Cl    = v1("cl", "http")

	startV2 = "\x02\x02\x02id\x00"
	endV2   = "\x00\x06\x20" + sigBytes

	// An empty location, which is left out, and one that is not behind it.
	twiceLocated       = "\x02\x01\x00\x01\x04http\x02\x02id\x00" + endV2
	twiceLocatedCaveat = startV2 + "\x01\x00\x01\x04http\x02\x01c\x04\x48" + vid + "\x00" + endV2
)

func v1(key, value string) string {
	return fmt.Sprintf("%04x%s %s\n", 4+len(key)+1+len(value)+1, key, value)
}

func text64(binary string) string { return base64.StdEncoding.EncodeToString([]byte(binary)) }

// inV1JSON and inV2JSON give an object with members of a test's choice.
func inV1JSON(members string) string { return `{"signature":"` + sigHex + `",` + members + `}` }
func inV2JSON(members string) string { return `{"s64":"` + sig64 + `",` + members + `}` }

// readByV2 tells whether macaroon.v2 reads data, as the form says.
func readByV2(data []byte, form legacy.Form) (list v2.Slice, err error) {
	switch form.Wrapping {
	case legacy.Base64:
		if data, err = v2.Base64Decode(data); err != nil {
			return nil, err
		}
	case legacy.Hex:
		if data, err = hex.DecodeString(string(data)); err != nil {
			return nil, err
		}
	case legacy.JSONArray:
		err = json.Unmarshal(data, &list)
		return list, err
	case legacy.JSONString:
		list = v2.Slice{new(v2.Macaroon)}
		return list, json.Unmarshal(data, list[0])
	}
	if form.Encoding == legacy.V1JSON || form.Encoding == legacy.V2JSON {
		list = v2.Slice{new(v2.Macaroon)}
		return list, json.Unmarshal(data, list[0])
	}
	err = list.UnmarshalBinary(data)
	return list, err
}

// TestLaxity: what a well-known codec reads by mistake is refused. Each row is
// read by that codec, so that a row which is broken in some other way shows.
func TestLaxity(t *testing.T) {
	v1Binary := legacy.Form{Encoding: legacy.V1Binary}
	v2Binary := legacy.Form{Encoding: legacy.V2Binary}
	v1JSON := legacy.Form{Encoding: legacy.V1JSON}
	v2JSON := legacy.Form{Encoding: legacy.V2JSON}
	one := startV2 + endV2
	for _, row := range []struct {
		name string
		form legacy.Form
		data string
	}{
		{"v2: type in two bytes", v2Binary, "\x02\x82\x00\x02id\x00" + endV2},
		{"v2: length in two bytes", v2Binary, "\x02\x02\x82\x00id\x00" + endV2},
		{"v2: length in ten bytes", v2Binary, "\x02\x02\x82\x80\x80\x80\x80\x80\x80\x80\x80\x00id\x00" + endV2},
		{"v2: end of section in two bytes", v2Binary, "\x02\x02\x02id\x80\x00" + endV2},
		{"v2: empty verification id", v2Binary, startV2 + "\x02\x01c\x04\x00\x00" + endV2},
		{"v2: short verification id", v2Binary, startV2 + "\x02\x01c\x04\x01v\x00" + endV2},
		{"v2: long verification id", v2Binary, startV2 + "\x02\x01c\x04\x49v" + vid + "\x00" + endV2},
		{"v2: empty location of a first-party caveat, and vid in a later section", v2Binary,
			startV2 + "\x01\x00\x02\x01c\x04\x00\x00" + endV2},
		{"v1: vid before any cid", v1Binary, startV1 + v1Vid + v1Cid + sigV1},
		{"v1: vid without any cid", v1Binary, startV1 + v1Vid + sigV1},
		{"v1: cl without any cid", v1Binary, startV1 + v1Cl + sigV1},
		{"v1: cl of a first-party caveat", v1Binary, startV1 + v1Cid + v1Cl + sigV1},
		{"v1: cl before vid", v1Binary, startV1 + v1Cid + v1Cl + v1Vid + sigV1},
		{"v1: empty cl, then another", v1Binary, startV1 + v1Cid + v1Vid + v1("cl", "") + v1Cl + sigV1},
		{"v1: empty vid", v1Binary, startV1 + v1Cid + v1("vid", "") + sigV1},
		{"v1: short vid", v1Binary, startV1 + v1Cid + v1("vid", "v") + sigV1},
		{"v1 JSON: no identifier", v1JSON, inV1JSON(`"location":""`)},
		{"v1 JSON: no condition", v1JSON, inV1JSON(`"identifier":"id","caveats":[{}]`)},
		{"v1 JSON: empty vid", v1JSON, inV1JSON(`"identifier":"id","caveats":[{"cid":"c","vid":""}]`)},
		{"v1 JSON: location of a first-party caveat", v1JSON, inV1JSON(`"identifier":"id","caveats":[{"cid":"c","cl":"x"}]`)},
		{"v1 JSON: a second array goes into the elements of the first", v1JSON,
			inV1JSON(`"identifier":"id","caveats":[{"cid":"a"}],"caveats":[{"vid":"` + vid64 + `"}]`)},
		{"v2 JSON: key twice", v2JSON, inV2JSON(`"i":"evil","i":"id"`)},
		{"v2 JSON: key twice, once escaped", v2JSON, inV2JSON(`"i":"evil","\u0069":"id"`)},
		{"v2 JSON: key of a caveat twice", v2JSON, inV2JSON(`"i":"id","c":[{"i":"evil","i":"c"}]`)},
		{"v2 JSON: key in upper case", v2JSON, inV2JSON(`"I":"id"`)},
		{"v2 JSON: key with a long s", v2JSON, `{"i":"id","ſ64":"` + sig64 + `"}`},
		{"v2 JSON: unknown key", v2JSON, inV2JSON(`"i":"id","x":[[[]]]`)},
		{"v2 JSON: unknown key before all others", v2JSON, `{"x":2,"i":"id","s64":"` + sig64 + `"}`},
		{"v2 JSON: both spellings, one empty", v2JSON, inV2JSON(`"i":"id","i64":""`)},
		{"v2 JSON: version 3", v2JSON, inV2JSON(`"i":"id","v":3`)},
		{"v2 JSON: version null", v2JSON, inV2JSON(`"i":"id","v":null`)},
		{"v2 JSON: version 2.0", v2JSON, inV2JSON(`"i":"id","v":2.0`)},
		{"v2 JSON: version 2 and more digits", v2JSON, inV2JSON(`"i":"id","v":22`)},
		{"v2 JSON: version 2 in an escape", v2JSON, inV2JSON(`"i":"id","v":"\u0032"`)},
		{"v2 JSON: caveats null", v2JSON, inV2JSON(`"i":"id","c":null`)},
		{"v2 JSON: caveat null", v2JSON, inV2JSON(`"i":"id","c":[null]`)},
		{"v1 JSON: vid null, and a location", v1JSON, inV1JSON(`"identifier":"id","caveats":[{"cid":"c","vid":null,"cl":"x"}]`)},
		{"v2 JSON: vid null", v2JSON, inV2JSON(`"i":"id","c":[{"i":"c","v":null}]`)},
		{"v2 JSON: vid null, given again", v2JSON, inV2JSON(`"i":"id","c":[{"i":"c","v64":null,"v64":"` + vid64 + `"}]`)},
		{"v2 JSON: identifier null", v2JSON, inV2JSON(`"i":null`)},
		{"v2 JSON: not UTF-8", v2JSON, inV2JSON(`"i":"` + "\xff" + `"`)},
		{"v2 JSON: not UTF-8 behind an escape", v2JSON, inV2JSON(`"i":"\n` + "\xff" + `"`)},
		{"v2 JSON: first half of a pair", v2JSON, inV2JSON(`"i":"\ud83d"`)},
		{"v2 JSON: second half of a pair", v2JSON, inV2JSON(`"i":"\ude00"`)},
		{"v2 JSON: halves the wrong way round", v2JSON, inV2JSON(`"i":"\ude00\ud83d"`)},
		{"v2 JSON: half of a pair and a letter", v2JSON, inV2JSON(`"i":"\ud83d\u0041"`)},
		{"v2 JSON: half of a pair behind a replacement character", v2JSON, inV2JSON(`"i":"\uFFFD` + "\ufffd" + `\ud83d"`)},
		{"v2 JSON: half of a pair behind what looks like an escape", v2JSON, inV2JSON(`"i":"\\ufffd\ud83d"`)},
		{"v2 JSON: half of a pair in a location", v2JSON, inV2JSON(`"i":"id","l":"\ud83d"`)},
		{"v2 JSON: location of a first-party caveat", v2JSON, inV2JSON(`"i":"id","c":[{"i":"c","l":"x"}]`)},
		{"v2 JSON: short vid", v2JSON, inV2JSON(`"i":"id","c":[{"i":"c","v":"x"}]`)},
		{"v2 JSON: empty vid", v2JSON, inV2JSON(`"i":"id","c":[{"i":"c","v64":""}]`)},
		{"v2 JSON: line break in base64", v2JSON, inV2JSON(`"i64":"aW\nQ"`)},
		{"JSON string: unused bits", legacy.Form{Wrapping: legacy.JSONString}, `"` + unusedBits(startV2+endV2) + `"`},
		{"base64: line break at the end", legacy.Form{Wrapping: legacy.Base64}, strings.TrimRight(text64(one), "=") + "\n"},
		{"base64: unused bits", legacy.Form{Wrapping: legacy.Base64}, unusedBits(startV2 + endV2)},
		{"JSON string: bytes after the end", legacy.Form{Wrapping: legacy.JSONString}, `"` + text64(one+"x") + `"`},
		{"JSON array: null for a macaroon", legacy.Form{Wrapping: legacy.JSONArray}, `[null]`},
		{"JSON array: empty", legacy.Form{Wrapping: legacy.JSONArray}, `[]`},
		{"JSON array: several macaroons in one element", legacy.Form{Wrapping: legacy.JSONArray}, `["` + text64(one+one) + `"]`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := readByV2([]byte(row.data), row.form)
			require.NoError(t, err, "the row is broken in another way")
			refuses(t, row.data)
		})
	}
}

// unusedBits gives text whose last character has unused bits set.
func unusedBits(binary string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(binary))
	if len(binary)%3 != 1 && len(binary)%3 != 2 {
		panic("no unused bits")
	}
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", text[len(text)-1])
	return text[:len(text)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last|1])
}

func refuses(t *testing.T, data string) {
	t.Helper()
	c, form, err := legacy.ImportWith([]byte(data), raised)
	require.Error(t, err)
	requireClass(t, err)
	require.True(t, c.IsZero())
	require.Zero(t, form)
	require.NotContains(t, err.Error(), sigBytes)
	require.NotContains(t, err.Error(), sig64)
	require.NotContains(t, err.Error(), sigHex)
}

func TestRefused(t *testing.T) {
	one := startV2 + endV2
	for name, data := range map[string]string{
		"nothing":                           "",
		"version alone":                     "\x02",
		"version and end":                   "\x02\x00",
		"v2: location and nothing else":     startV2 + "\x01\x00\x00" + endV2,
		"v2: empty location before the end": startV2 + "\x01\x00" + endV2,
		"v2: header of an empty location":   "\x02\x01\x00\x00" + endV2,
		"v2: empty location twice":          startV2 + "\x01\x00\x01\x00\x02\x01c\x04\x48" + vid + "\x00" + endV2,
		"v2: location twice, one empty":     twiceLocated,
		"v2: caveat's location twice":       twiceLocatedCaveat,
		"v2: another version behind":        one + "\x03",
		"v2: version 1":                     "\x01" + one[1:],
		"v2: length of all bits":            "\x02\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01id\x00" + endV2,
		"v2: length over 2^63":              "\x02\x02\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01id\x00" + endV2,
		"v1: length 0000":                   "0000location \n" + v1("identifier", "id") + sigV1,
		"v1: length 0005":                   startV1 + "0005cid c\n" + sigV1,
		"v1: length with a sign":            startV1 + "+00acid c\n" + sigV1,
		"v1: length with a blank":           startV1 + " 00acid c\n" + sigV1,
		"v1: length in upper case":          startV1 + "000Acid c\n" + sigV1,
		"v1: length with a NUL":             startV1 + "\x0000acid c\n" + sigV1,
		"v1: length one less":               startV1 + "0009cid c\n" + sigV1,
		"v1: length one more":               startV1 + "000bcid c\n" + sigV1,
		"v1: no line feed":                  startV1 + "000acid cc" + sigV1,
		"v1: no blank":                      startV1 + "000acid.c\n" + sigV1,
		"v1: key alone":                     startV1 + "0008cid\n" + sigV1,
		"v1: key that begins like one":      startV1 + v1("cids", "c") + sigV1,
		"v1: location twice":                v1("location", "") + startV1 + sigV1,
		"v1: identifier first":              v1("identifier", "id") + sigV1,
		"v1: no identifier":                 v1("location", "") + sigV1,
		"v1: caveat before the identifier":  v1("location", "") + v1Cid + v1("identifier", "id") + sigV1,
		"v1: identifier twice":              startV1 + v1("identifier", "id") + sigV1,
		"v1: vid twice":                     startV1 + v1Cid + v1Vid + v1Vid + sigV1,
		"v1: vid behind cl":                 startV1 + v1Cid + v1Vid + v1Cl + v1Vid + sigV1,
		"v1: cl twice":                      startV1 + v1Cid + v1Vid + v1Cl + v1Cl + sigV1,
		"v1: signature twice":               startV1 + sigV1 + sigV1,
		"v1: cid behind the signature":      startV1 + sigV1 + v1Cid,
		"v1: short signature":               startV1 + v1("signature", "s"),
		"v1: long signature":                startV1 + v1("signature", "s"+sigBytes),
		"v1: no signature":                  startV1 + v1Cid,
		"hex: odd":                          hex.EncodeToString([]byte(one)) + "0",
		"hex: another character":            hex.EncodeToString([]byte(one)) + "zz",
		"hex: of JSON":                      hex.EncodeToString([]byte(inV2JSON(`"i":"id"`))),
		"base64: of JSON":                   text64(inV2JSON(`"i":"id"`)),
		"base64: of base64":                 text64(text64(one)),
		"base64: both alphabets":            "-_+/",
		"base64: blank before":              " " + text64(one),
		"JSON: two values":                  inV2JSON(`"i":"id"`) + inV2JSON(`"i":"id"`),
		"JSON: NUL behind the end":          inV2JSON(`"i":"id"`) + "\x00",
		"JSON: NUL before another value":    inV2JSON(`"i":"id"`) + "\x00{}",
		"JSON: array not closed":            `[` + inV2JSON(`"i":"id"`),
		"JSON: array closed as an object":   `[` + inV2JSON(`"i":"id"`) + `}`,
		"JSON: half a pair in a key":        inV2JSON(`"i":"id","\ud83d":""`),
		"JSON: half a pair in an element":   `["\ud83d"]`,
		"JSON: comma at the end":            inV2JSON(`"i":"id",`),
		"JSON: comma at the start":          `{,` + inV2JSON(`"i":"id"`)[1:],
		"JSON: no comma":                    inV2JSON(`"i":"id" "l":"x"`),
		"JSON: no colon":                    inV2JSON(`"i" "id"`),
		"JSON: control character":           inV2JSON(`"i":"` + "\x01" + `"`),
		"JSON: bad escape":                  inV2JSON(`"i":"\x"`),
		"JSON: short escape":                inV2JSON(`"i":"\u00"`),
		"JSON: escape with a sign":          inV2JSON(`"i":"\u+041"`),
		"JSON: byte order mark":             "\ufeff" + inV2JSON(`"i":"id"`),
		"JSON: number":                      inV2JSON(`"i":5`),
		"JSON: number too great":            inV2JSON(`"i":1e999`),
		"JSON: array for a string":          inV2JSON(`"i":["id"]`),
		"JSON: object for an array":         inV2JSON(`"i":"id","c":{}`),
		"JSON: string for an object":        inV2JSON(`"i":"id","c":["c"]`),
		"JSON: array for an object":         inV2JSON(`"i":"id","c":[[]]`),
		"JSON: version and string":          inV2JSON(`"i":"id","v":2"2"`),
		"JSON: version behind a zero":       inV2JSON(`"i":"id","v":02`),
		"JSON: version in v1":               inV1JSON(`"identifier":"id","v":2`),
		"JSON: both versions":               inV2JSON(`"identifier":"id"`),
		"JSON: both versions in a caveat":   inV2JSON(`"i":"id","c":[{"cid":"c"}]`),
		"JSON: no signature":                `{"v":2,"i":"id","c":[]}`,
		"JSON: no members":                  `{}`,
		"JSON: short signature":             `{"i":"id","s":"s"}`,
		"JSON: signature with 0x":           `{"identifier":"id","signature":"0x` + sigHex + `"}`,
		"JSON: signature with a blank":      `{"identifier":"id","signature":"` + sigHex + ` "}`,
		"JSON: array in an array":           `[[` + inV2JSON(`"i":"id"`) + `]]`,
		"JSON: hex in a string":             `"` + hex.EncodeToString([]byte(one)) + `"`,
		"JSON: JSON in a string":            `"{}"`,
		"JSON: depth":                       strings.Repeat("[", 100_000),
		"JSON: depth below an object":       `{"c":` + strings.Repeat("[", 100_000),
	} {
		t.Run(name, func(t *testing.T) { refuses(t, data) })
	}
}

// TestJSONErrors: an error says what is wrong, and quotes no more than a key.
func TestJSONErrors(t *testing.T) {
	for _, row := range []struct{ name, data, want string }{
		{"unknown key", inV2JSON(`"` + strings.Repeat("x", 65) + `":""`), `JSON: unknown key "` + strings.Repeat("x", 64) + `"`},
		{"key of the other version", inV2JSON(`"identifier":"id"`), `JSON: key "identifier" is not of v2 JSON`},
		{"given twice", inV2JSON(`"i":"id","i64":""`), `JSON: identifier given twice`},
		{"no string", inV2JSON(`"i":5`), `JSON: identifier: not a string`},
		{"no base64", inV2JSON(`"i64":"*"`), `JSON: identifier: not in its encoding`},
		{"no array", inV2JSON(`"i":"id","c":null`), `JSON: caveats: not an array`},
		{"no object", inV2JSON(`"i":"id","c":[null]`), `JSON: no object where one belongs`},
		{"bad syntax", `{"i":"id" "l"`, `JSON: bad syntax, or cut off, behind byte 9`},
		{"cut off", `{"i":"id`, `JSON: bad syntax, or cut off, behind byte 4`},
		{"after the end", inV2JSON(`"i":"id"`) + "}", `JSON: something after the end`},
		{"half of a pair", inV2JSON(`"i":"\ud83d"`), `JSON: half of a surrogate pair`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, _, err := legacy.Import([]byte(row.data))
			require.EqualError(t, err, macaroon.ErrMalformed.Error()+": "+row.want)
		})
	}
}

// samples are a macaroon with caveats of both parties in every form.
func samples(t testing.TB) map[legacy.Form]string {
	m, err := macaroon.New([]byte("a root key of some bytes"), "an identifier", "https://a.example")
	require.NoError(t, err)
	m, err = m.Attenuate(
		macaroon.Condition("plain <&> \"quoted\" \\ \u2028 \u00e9\n\x00"),
		macaroon.ThirdParty([]byte("caveat root key"), "caveat id", "https://b.example"),
		macaroon.Condition(""),
	)
	require.NoError(t, err)
	binary, err := m.MarshalBinary()
	require.NoError(t, err)
	v1Binary, err := legacy.ExportV1Binary(m)
	require.NoError(t, err)
	v1JSON, err := legacy.ExportV1JSON(m)
	require.NoError(t, err)
	v2JSON, err := legacy.ExportV2JSON(m)
	require.NoError(t, err)
	form := func(e legacy.Encoding, w legacy.Wrapping) legacy.Form { return legacy.Form{Encoding: e, Wrapping: w} }
	return map[legacy.Form]string{
		form(legacy.V1Binary, legacy.Bare):       string(v1Binary),
		form(legacy.V2Binary, legacy.Bare):       string(binary),
		form(legacy.V1JSON, legacy.Bare):         string(v1JSON),
		form(legacy.V2JSON, legacy.Bare):         string(v2JSON),
		form(legacy.V1Binary, legacy.Base64):     text64(string(v1Binary)),
		form(legacy.V2Binary, legacy.Base64):     text64(string(binary)),
		form(legacy.V1Binary, legacy.Hex):        hex.EncodeToString(v1Binary),
		form(legacy.V2Binary, legacy.Hex):        strings.ToUpper(hex.EncodeToString(binary)),
		form(legacy.V1Binary, legacy.JSONString): `"` + text64(string(v1Binary)) + `"`,
		form(legacy.V2Binary, legacy.JSONString): ` "` + text64(string(binary)) + "\"\n",
		form(legacy.V1JSON, legacy.JSONArray):    `[` + string(v1JSON) + `]`,
		form(legacy.V2JSON, legacy.JSONArray):    ` [ ` + string(v2JSON) + "\t,\r\n" + string(v2JSON) + ` ] `,
		form(legacy.V2Binary, legacy.JSONArray):  `["` + text64(string(binary)) + `"]`,
		form(legacy.Mixed, legacy.JSONArray):     `[` + string(v2JSON) + `,"` + text64(string(v1Binary)) + `"]`,
		form(legacy.Mixed, legacy.Bare):          string(v1Binary) + string(binary),
		form(legacy.Mixed, legacy.Base64):        text64(string(binary) + string(v1Binary)),
	}
}

func TestForms(t *testing.T) {
	all := samples(t)
	one := all[legacy.Form{Encoding: legacy.V2Binary}]
	for want, data := range all {
		t.Run(want.String(), func(t *testing.T) {
			c, form, err := legacy.Import([]byte(data))
			require.NoError(t, err)
			require.Equal(t, want, form)
			require.Equal(t, strings.Repeat(one, c.Inspect().Len()), string(wireForm(t, c)))
			list, err := readByV2([]byte(data), form)
			require.NoError(t, err)
			require.NotEmpty(t, list)
		})
	}
	require.Equal(t, "base64 of v1 binary", legacy.Form{Encoding: legacy.V1Binary, Wrapping: legacy.Base64}.String())
	require.Equal(t, "v2 JSON", legacy.Form{Encoding: legacy.V2JSON}.String())
	require.Equal(t, "Wrapping(9) of Encoding(0)", legacy.Form{Wrapping: 9}.String())
}

// TestAccepted: what looks odd and is right.
func TestAccepted(t *testing.T) {
	for name, data := range map[string]string{
		"v1: third-party caveat without cl":   startV1 + v1Cid + v1Vid + sigV1,
		"v1: empty cl":                        startV1 + v1Cid + v1Vid + v1("cl", "") + sigV1,
		"v1: bytes that are not text":         startV1 + v1("cid", "\xff\n signature \x00") + sigV1,
		"v2: empty location":                  startV2 + "\x01\x00\x02\x01c\x04\x48" + vid + "\x00" + endV2,
		"v2: empty location of a condition":   startV2 + "\x01\x00\x02\x01c\x00" + endV2,
		"v2: empty location of the macaroon":  "\x02\x01\x00" + startV2[1:] + endV2,
		"v2 JSON: version as a string":        inV2JSON(`"i":"id","v":"2"`),
		"v2 JSON: blanks around the version":  inV2JSON(`"i":"id" , "v" : 2 `),
		"v2 JSON: no identifier":              `{"s64":"` + sig64 + `"}`,
		"v2 JSON: location null":              inV2JSON(`"i":"id","l":null`),
		"v2 JSON: location empty":             inV2JSON(`"i":"id","c":[{"i":"c","l":""}]`),
		"v2 JSON: location in base64":         inV2JSON(`"i":"id","l64":"_w"`),
		"v2 JSON: signature as text":          `{"i":"id","s":"` + sigBytes + `"}`,
		"v2 JSON: verification id as text":    inV2JSON(`"i":"id","c":[{"i":"c","v":"` + vid + `"}]`),
		"v2 JSON: escaped keys":               inV2JSON(`"\u0069":"id","\u0063":[]`),
		"v2 JSON: surrogate pair":             inV2JSON(`"i":"\ud83d\uDE00"`),
		"v2 JSON: replacement characters":     inV2JSON(`"i":"\ufffd\uFFFD\\\ufffd\\ufffd` + "\ufffd" + `"`),
		"v1 JSON: signature in upper case":    `{"identifier":"id","signature":"` + strings.ToUpper(sigHex) + `"}`,
		"v1 JSON: location and vid null":      inV1JSON(`"identifier":"id","caveats":[{"cid":"c","vid":null,"cl":null}]`),
		"base64: both paddings in one object": inV2JSON(`"i64":"aQ==","c":[{"i64":"aQ"}]`),
	} {
		t.Run(name, func(t *testing.T) {
			c, form, err := legacy.Import([]byte(data))
			require.NoError(t, err)
			requireV2Agrees(t, []byte(data), form, c)
		})
	}
}

// TestTruncation cuts every form at every byte.
func TestTruncation(t *testing.T) {
	for form, data := range samples(t) {
		t.Run(form.String(), func(t *testing.T) {
			for i := range len(data) {
				c, _, err := legacy.Import([]byte(data[:i]))
				if err != nil {
					requireClass(t, err)
					continue
				}
				// Several macaroons may be cut between two, white space and padding anywhere.
				between := form.Encoding == legacy.Mixed && c.Inspect().Len() == 1
				require.True(t, between || strings.Trim(data[i:], " \n=") == "", "%d of %d bytes", i, len(data))
			}
		})
	}
}

func TestLimits(t *testing.T) {
	many := func(n int, s string) string { return strings.TrimSuffix(strings.Repeat(s, n), ",") }
	oneV2 := startV2 + endV2
	roomy := macaroon.Limits{Text: 10 << 20}
	for _, row := range []struct{ name, allowed, refused string }{
		{"macaroons in v1", many(16, startV1+sigV1), many(17, startV1+sigV1)},
		{"macaroons in v2", many(16, oneV2), many(17, oneV2)},
		{"macaroons in an array", `[` + many(16, inV2JSON(`"i":"id"`)+",") + `]`, `[` + many(17, inV2JSON(`"i":"id"`)+",") + `]`},
		{"macaroons in strings", `[` + many(16, `"`+text64(oneV2)+`",`) + `]`, `[` + many(17, `"`+text64(oneV2)+`",`) + `]`},
		{"caveats in v1", startV1 + many(64, v1Cid) + sigV1, startV1 + many(65, v1Cid) + sigV1},
		{"caveats in v2", startV2 + many(64, "\x02\x01c\x00") + endV2, startV2 + many(65, "\x02\x01c\x00") + endV2},
		{"caveats in v1 JSON", inV1JSON(`"identifier":"id","caveats":[` + many(64, `{"cid":"c"},`) + `]`),
			inV1JSON(`"identifier":"id","caveats":[` + many(65, `{"cid":"c"},`) + `]`)},
		{"caveats in v2 JSON", inV2JSON(`"i":"id","c":[` + many(64, `{"i":"c"},`) + `]`),
			inV2JSON(`"i":"id","c":[` + many(65, `{"i":"c"},`) + `]`)},
		{"all caveats in v1", many(4, startV1+many(64, v1Cid)+sigV1), many(4, startV1+many(64, v1Cid)+sigV1) + startV1 + v1Cid + sigV1},
		{"identifier", "\x02\x02\x80\x08" + many(1024, "x") + "\x00" + endV2, "\x02\x02\x81\x08" + many(1025, "x") + "\x00" + endV2},
		{"condition", startV1 + v1("cid", many(4096, "x")) + sigV1,
			startV1 + v1("cid", many(4097, "x")) + sigV1},
		{"location", inV2JSON(`"i":"id","l":"` + many(512, "x") + `"`), inV2JSON(`"i":"id","l":"` + many(513, "x") + `"`)},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, _, err := legacy.ImportWith([]byte(row.allowed), roomy)
			require.NoError(t, err)
			_, _, err = legacy.ImportWith([]byte(row.refused), roomy)
			require.ErrorIs(t, err, macaroon.ErrLimit)
		})
	}

	t.Run("text", func(t *testing.T) {
		blanks := strings.Repeat(" ", 16<<10)
		object := inV2JSON(`"i":"id"`)
		_, _, err := legacy.Import([]byte(object + blanks[len(object):]))
		require.NoError(t, err)
		_, _, err = legacy.Import([]byte(object + blanks[len(object)-1:]))
		require.ErrorIs(t, err, macaroon.ErrLimit)
	})
	t.Run("negative allows nothing", func(t *testing.T) {
		for _, limits := range []macaroon.Limits{{Text: -1}, {Macaroons: -1}, {Caveats: -1}, {AllCaveats: -1}, {Identifier: -1}, {Condition: -1}} {
			for _, data := range []string{startV1 + v1Cid + sigV1, startV2 + "\x02\x01c\x00" + endV2, inV2JSON(`"i":"id","c":[{"i":"c"}]`)} {
				_, _, err := legacy.ImportWith([]byte(data), limits)
				require.ErrorIs(t, err, macaroon.ErrLimit, "%+v %q", limits, data)
			}
		}
	})
}

// TestRefusedEarly: a limit ends the work when it is met. Little is allocated but
// the copy of the input, however much more of the same there is.
func TestRefusedEarly(t *testing.T) {
	const size, base = 256 << 10, 64 << 10
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	many := macaroon.Limits{Text: 4 * size, Macaroons: size, Caveats: size, AllCaveats: size}
	with := func(set func(*macaroon.Limits)) macaroon.Limits {
		limits := many
		set(&limits)
		return limits
	}
	macaroons := with(func(l *macaroon.Limits) { l.Macaroons = 16 })
	caveats := with(func(l *macaroon.Limits) { l.Caveats = 64 })
	allCaveats := with(func(l *macaroon.Limits) { l.AllCaveats = 256 })
	for _, row := range []struct {
		name   string
		limits macaroon.Limits
		data   string
	}{
		{"macaroons in v1", macaroons, fill(startV1 + sigV1)},
		{"macaroons in v2", macaroons, fill(startV2 + endV2)},
		{"macaroons in JSON", macaroons, `[` + fill(inV2JSON(`"i":""`)+",")},
		{"caveats in v1", caveats, startV1 + fill(v1Cid) + sigV1},
		{"caveats in v2", caveats, startV2 + fill("\x02\x01c\x00") + endV2},
		{"caveats in JSON", caveats, inV2JSON(`"i":"id","c":[` + fill(`{},`) + `{}]`)},
		{"all caveats in v1", allCaveats, startV1 + fill(v1Cid) + sigV1},
		{"all caveats in v2", allCaveats, startV2 + fill("\x02\x01c\x00") + endV2},
		{"all caveats in JSON", allCaveats, inV2JSON(`"i":"id","c":[` + fill(`{},`) + `{}]`)},
	} {
		t.Run(row.name, func(t *testing.T) {
			input := []byte(row.data)
			var err error
			require.LessOrEqual(t, allocated(func() { _, _, err = legacy.ImportWith(input, row.limits) }), base+len(input))
			require.ErrorIs(t, err, macaroon.ErrLimit)
		})
	}
}

// perByte bounds what importing one byte may allocate. The worst is a caveat of three bytes,
// which becomes three strings in a slice that grows as they come.
const perByte = 200

// allocated counts the bytes that f allocates.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// TestMemory: what is allocated is linear in the input, whatever the input claims
// and whatever it repeats, also when limits let everything in.
func TestMemory(t *testing.T) {
	const size, base = 256 << 10, 64 << 10
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	unlimited := macaroon.Limits{Text: 4 * size, Macaroons: size, Caveats: size, AllCaveats: size, Identifier: size, Condition: size, Location: size}
	for name, data := range map[string]string{
		"v2: claimed length":  "\x02\x02\xff\xff\xff\xff\x07",
		"v1: claimed length":  "fffflocation ",
		"hex: claimed length": "0202ffffffff07",
		"v2: caveats":         startV2 + fill("\x02\x00\x00") + endV2,
		"v2: macaroons":       fill("\x02\x02\x00\x00\x00\x06\x20" + sigBytes),
		"v2: empty locations": startV2 + fill("\x01\x00\x02\x00\x00") + endV2,
		"v1: caveats":         startV1 + fill(v1("cid", "")) + sigV1,
		"v1: macaroons":       fill(startV1 + sigV1),
		"v2 JSON: caveats":    inV2JSON(`"i":"id","c":[` + fill(`{},`) + `{}]`),
		"v2 JSON: macaroons":  `[` + fill(inV2JSON(`"i":""`)+",") + inV2JSON(`"i":""`) + `]`,
		"v2 JSON: escapes":    inV2JSON(`"i":"` + fill(`\u0041`) + `"`),
		"v2 JSON: replaced":   inV2JSON(`"i":"` + fill(`\ufffd`) + `"`),
		"JSON: depth":         fill("["),
		"JSON: string":        `"` + fill("AAAA"),
		"base64":              fill("AAAA"),
		"hex":                 fill("02"),
	} {
		t.Run(name, func(t *testing.T) {
			input := []byte(data)
			require.LessOrEqual(t, allocated(func() { _, _, _ = legacy.ImportWith(input, unlimited) }), base+perByte*len(input))

			var err error
			require.LessOrEqual(t, allocated(func() { _, _, err = legacy.Import(input) }), base, "refused by its size alone")
			require.Error(t, err)
		})
	}
}
