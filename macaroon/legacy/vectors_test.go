package legacy_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	v2 "gopkg.in/macaroon.v2"

	"github.com/amaretti-go/amaretti/internal/vectors"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
)

// raised are limits that no vector exceeds.
var raised = macaroon.Limits{
	Text: 1 << 20, Caveats: 1000, AllCaveats: 1000,
	Identifier: 1 << 17, Condition: 1 << 17, Location: 1 << 17,
}

// forms are what a peer that knows its encoding would take for it.
var forms = map[string]legacy.Form{
	"v1_binary":     {Encoding: legacy.V1Binary},
	"v2_binary":     {Encoding: legacy.V2Binary},
	"v1_json":       {Encoding: legacy.V1JSON},
	"v2_json":       {Encoding: legacy.V2JSON},
	"v1_text":       {Encoding: legacy.V1Binary, Wrapping: legacy.Base64},
	"v2_text":       {Encoding: legacy.V2Binary, Wrapping: legacy.Base64},
	"v1_json_array": {Encoding: legacy.V1JSON, Wrapping: legacy.JSONArray},
}

// importAs imports what is known to be in one encoding, as its documentation
// advises: the form is compared. wanted is how many macaroons there must be.
func importAs(encoding string, data []byte, wanted int) (macaroon.Credential, error) {
	c, form, err := legacy.ImportWith(data, raised)
	switch {
	case err != nil:
		return macaroon.Credential{}, err
	case form != forms[encoding]:
		return macaroon.Credential{}, fmt.Errorf("%w: %s, not %s", macaroon.ErrMalformed, form, encoding)
	case c.Inspect().Len() != wanted:
		return macaroon.Credential{}, fmt.Errorf("%w: %d macaroons", macaroon.ErrMalformed, c.Inspect().Len())
	}
	return c, nil
}

func requireSame(t *testing.T, want *vectors.Macaroon, got macaroon.UnverifiedMacaroon) {
	t.Helper()
	require.Equal(t, want.Location, got.Location())
	require.Equal(t, string(want.Identifier), got.Identifier())
	require.True(t, got.SignedBy([32]byte(want.Signature)), "signature")
	require.Equal(t, len(want.Caveats), got.Caveats().Len(), "caveats")
	for i, c := range want.Caveats {
		g := got.Caveats().At(i)
		if c.Type == "first" {
			require.Equal(t, macaroon.UnverifiedCaveat{ID: string(c.Condition)}, g)
			continue
		}
		require.Equal(t, macaroon.UnverifiedCaveat{
			ID: string(c.Identifier), VerificationID: string(c.VerificationID), Location: c.Location,
		}, g)
	}
}

func single(t *testing.T, c macaroon.Credential) macaroon.Macaroon {
	t.Helper()
	w, err := c.Wallet()
	require.NoError(t, err)
	return w.Primary()
}

func toV2(t *testing.T, c macaroon.Credential) *v2.Macaroon {
	t.Helper()
	m, err := legacy.ToV2(single(t, c))
	require.NoError(t, err)
	return m
}

// wireForm is the binary form in which a macaroon is kept, whatever it came in.
func wireForm(t *testing.T, c macaroon.Credential) []byte {
	t.Helper()
	b, err := c.MarshalBinary()
	require.NoError(t, err)
	return b
}

func TestValidVectors(t *testing.T) {
	overDefaults := map[string]bool{}
	encodings, slicesSeen := 0, 0
	for _, c := range vectors.Valid(t) {
		for encoding := range c.Encodings {
			encodings++
			t.Run(c.Name+"/"+encoding, func(t *testing.T) {
				root, err := importAs(encoding, c.Encodings[encoding], 1)
				require.NoError(t, err)
				requireSame(t, &c.Macaroon, root.Inspect().At(0))
				requireReencodes(t, &c, encoding, c.Encodings[encoding], root)

				var discharges []*v2.Macaroon
				all := wireForm(t, root)
				for i := range c.Discharges {
					d := &c.Discharges[i]
					of := encoding
					if d.Encodings[of] == nil {
						require.Len(t, d.Encodings, 1)
						for of = range d.Encodings {
						}
					}
					discharge, err := importAs(of, d.Encodings[of], 1)
					require.NoError(t, err)
					requireSame(t, d, discharge.Inspect().At(0))
					requireReencodes(t, &c, of, d.Encodings[of], discharge)
					discharges = append(discharges, toV2(t, discharge))
					all = append(all, wireForm(t, discharge)...)
				}
				_, err = toV2(t, root).VerifySignature(c.RootKey, discharges)
				require.NoError(t, err)

				if _, _, err := legacy.Import(c.Encodings[encoding]); err != nil {
					require.ErrorIs(t, err, macaroon.ErrLimit)
					overDefaults[c.Name] = true
				}
				if blob := c.SliceEncodings[encoding]; blob != nil {
					slicesSeen++
					requireSlice(t, encoding, blob, len(discharges)+1, all)
				}
			})
		}
	}
	require.Equal(t, 1070, encodings)
	require.Equal(t, 79, slicesSeen)

	// These and no others are over the default limits.
	var over []string
	for name := range overDefaults {
		over = append(over, name)
	}
	slices.Sort(over)
	require.Equal(t, []string{
		"cond-2x10000/pymacaroons",
		"cond-len-16383/macaroon.v2",
		"cond-len-65526-v1-max/macaroon.v2",
		"cond-len-65527-over-v1/macaroon.v2",
		"fp-100/js-macaroon",
		"fp-100/libmacaroons",
		"fp-100/macaroon.v2",
		"fp-100/macaroons.js",
		"fp-100/pymacaroons",
		"id-len-16384/pymacaroons",
		"location-len-1000/js-macaroon",
		"location-len-1000/libmacaroons",
		"location-len-1000/macaroon.v2",
		"location-len-1000/macaroons.js",
		"location-len-1000/pymacaroons",
	}, over)
}

// requireSlice: several macaroons in one piece are what they are one by one.
func requireSlice(t *testing.T, encoding string, blob []byte, count int, want []byte) {
	t.Helper()
	form := forms[encoding]
	if form.Encoding == legacy.V1JSON || form.Encoding == legacy.V2JSON {
		form.Wrapping = legacy.JSONArray
	}
	c, got, err := legacy.ImportWith(blob, raised)
	require.NoError(t, err)
	require.Equal(t, form, got)
	require.Equal(t, count, c.Inspect().Len())
	require.Equal(t, want, wireForm(t, c))

	var exported []byte
	switch form.Encoding {
	case legacy.V1Binary:
		exported, err = legacy.ExportV1Binary(c)
	case legacy.V1JSON:
		exported, err = legacy.ExportV1JSON(c)
	case legacy.V2Binary:
		exported, err = c.MarshalBinary()
	case legacy.V2JSON:
		exported, err = legacy.ExportV2JSON(c)
		require.NoError(t, err)
		c, got, err = legacy.ImportWith(exported, raised)
		require.NoError(t, err)
		require.Equal(t, form, got)
		require.Equal(t, want, wireForm(t, c))
		return
	}
	require.NoError(t, err)
	require.Equal(t, string(blob), string(exported))
}

// requireReencodes: what was imported is written in every form that can hold it,
// and comes back the same. Where the writer of the vector is canonical, the bytes
// are those of the vector.
func requireReencodes(t *testing.T, c *vectors.ValidCase, encoding string, data []byte, imported macaroon.Credential) {
	t.Helper()
	want := wireForm(t, imported)
	back := func(encoding string, exported []byte) {
		again, err := importAs(encoding, exported, 1)
		require.NoError(t, err, encoding)
		require.Equal(t, want, wireForm(t, again), encoding)
	}
	by := func(producers ...string) bool {
		return slices.ContainsFunc(producers, func(p string) bool { return strings.Contains(c.Producer, p) })
	}

	if encoding == "v2_binary" {
		// What others write is canonical but for locations of no bytes.
		text := base64.RawURLEncoding.EncodeToString(data)
		parsed, err := macaroon.ParseWith(text, raised)
		if bytes.Equal(data, want) {
			require.NoError(t, err)
			require.Equal(t, data, wireForm(t, parsed))
			encoded, err := imported.Encode()
			require.NoError(t, err)
			require.Equal(t, text, encoded)
		} else {
			require.ErrorIs(t, err, macaroon.ErrMalformed)
			require.Contains(t, string(data), "\x01\x00")
			require.Less(t, len(want), len(data))
		}
	}

	v1Binary, err := legacy.ExportV1Binary(imported)
	switch {
	case err != nil:
		require.Equal(t, []string{"v1_binary"}, c.CannotEncode)
	case encoding == "v1_binary" && !strings.HasPrefix(c.Producer, "derived (hand-made"):
		require.Equal(t, string(data), string(v1Binary))
	default:
		back("v1_binary", v1Binary)
	}
	if err == nil {
		text, err := legacy.ExportV1Text(imported)
		require.NoError(t, err)
		back("v1_text", []byte(text))
		back("v1_text", []byte(base64.StdEncoding.EncodeToString(v1Binary)))
	}

	v1JSON, err := legacy.ExportV1JSON(imported)
	switch {
	case err != nil:
		require.ErrorContains(t, err, "not UTF-8")
		require.Nil(t, v1JSON)
	case encoding == "v1_json" && by("macaroon.v2 v2.1.0"):
		require.Equal(t, string(data), string(v1JSON))
	default:
		back("v1_json", v1JSON)
	}

	v2JSON, err := legacy.ExportV2JSON(imported)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(v2JSON), `{"v":2,"c":[`))
	back("v2_json", v2JSON)

	hexed, form, err := legacy.ImportWith([]byte(hex.EncodeToString(want)), raised)
	require.NoError(t, err)
	require.Equal(t, legacy.Form{Encoding: legacy.V2Binary, Wrapping: legacy.Hex}, form)
	require.Equal(t, want, wireForm(t, hexed))

	quoted, form, err := legacy.ImportWith([]byte(`"`+base64.StdEncoding.EncodeToString(want)+`"`), raised)
	require.NoError(t, err)
	require.Equal(t, legacy.Form{Encoding: legacy.V2Binary, Wrapping: legacy.JSONString}, form)
	require.Equal(t, want, wireForm(t, quoted))
}

// TestInvalidVectors: each is refused, by the reader if it is no macaroon. What is
// one, but proves nothing, is for package verifier, whose test has the same cases;
// here macaroon.v2 refuses it, to show that import did not change it into another.
func TestInvalidVectors(t *testing.T) {
	byReader := 0
	for _, c := range vectors.Invalid(t) {
		t.Run(c.Name, func(t *testing.T) {
			root, err := importAs(c.Encoding, c.Data, 1)
			discharges := make([]*v2.Macaroon, len(c.Discharges))
			for i, d := range c.Discharges {
				imported, bad := importAs(d.Encoding, d.Data, 1)
				if bad != nil {
					err = bad
				} else {
					discharges[i] = toV2(t, imported)
				}
			}
			if err != nil {
				byReader++
				requireClass(t, err)
				class := "parse-error"
				if errors.Is(err, macaroon.ErrVerificationID) && !slices.Contains(c.Expect, class) {
					class = "cannot-decrypt" // what others find out later
				}
				require.Contains(t, c.Expect, class, "%v", err)
				return
			}
			require.NotEqual(t, []string{"parse-error"}, c.Expect)
			_, err = toV2(t, root).VerifySignature(c.RootKey, discharges)
			require.Error(t, err)
		})
	}
	require.Equal(t, 407, byReader)
}

func requireClass(t *testing.T, err error) {
	t.Helper()
	for _, class := range []error{macaroon.ErrMalformed, macaroon.ErrNotMacaroon, macaroon.ErrLimit} {
		if errors.Is(err, class) {
			return
		}
	}
	require.Fail(t, "no class", "%v", err)
}

// TestPolicyVectors holds us to the table in the package documentation: every
// issue has a row, and every row decides its cases.
func TestPolicyVectors(t *testing.T) {
	source, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	position := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^//\t([a-z0-9-]+) +(refused|read|in part) `).FindAllStringSubmatch(string(source), -1) {
		position[row[1]] = row[2]
	}
	inPart := map[string]bool{ // those that are read
		"j1/null/cav1-cl":                       true,
		"j1/null/location":                      true,
		"j2/b64/ci64-nonzero-trailing-bits":     true,
		"j2/b64/i64-nonzero-trailing-bits":      true,
		"j2/null/cav0-l":                        true,
		"producer/macaroon.v2/tp-cid-empty/v2j": true,
		"producer/pymacaroons/tp-cid-empty/v2j": true,
	}
	decided := map[string]bool{}
	for issue, data := range handmade {
		t.Run(issue, func(t *testing.T) {
			decided[issue] = true
			_, _, err := legacy.Import([]byte(data))
			if position[issue] == "refused" {
				require.Error(t, err)
				requireClass(t, err)
			} else {
				require.NoError(t, err)
			}
		})
	}
	for _, c := range vectors.Policy(t) {
		t.Run(c.Name, func(t *testing.T) {
			want := position[c.Issue]
			require.NotEmpty(t, want, "no row for %s", c.Issue)
			decided[c.Issue] = true
			credential, _, err := legacy.ImportWith(c.Data, raised)
			if want == "refused" || want == "in part" && !inPart[c.Name] {
				require.Error(t, err)
				requireClass(t, err)
				return
			}
			require.NoError(t, err)

			// What is read is the macaroon that those see who read it.
			discharges := make([]*v2.Macaroon, len(c.Discharges))
			for i, d := range c.Discharges {
				imported, err := importAs(d.Encoding, d.Data, 1)
				require.NoError(t, err)
				discharges[i] = toV2(t, imported)
			}
			_, err = toV2(t, credential).VerifySignature(c.RootKey, discharges)
			require.NoError(t, err)
		})
	}
	require.Len(t, decided, len(position), "every row has a case")
}

// handmade are cases for issues that our half of the vectors has none of.
var handmade = map[string]string{
	"json-lone-surrogate": `{"v":2,"i":"\ud800","c":[],"s64":"` + sig64 + `"}`,
	"v1-missing-location": v1("identifier", "id") + sigV1,
	"v1-cl-before-vid":    startV1 + v1Cid + v1Cl + v1Vid + sigV1,
	"v1-not-utf8":         startV1 + v1("cid", "\xff") + sigV1,
	"empty-vid":           startV2 + "\x02\x01c\x04\x00\x00" + endV2,
}
