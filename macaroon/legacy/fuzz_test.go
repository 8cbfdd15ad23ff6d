package legacy_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	v2 "gopkg.in/macaroon.v2"

	"github.com/amaretti-go/amaretti/internal/vectors"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
)

// FuzzImport: whatever comes in, there is no panic, every error has a class, and memory is
// linear in it.
// What is imported macaroon.v2 reads as the same macaroons, and it comes back the
// same from every form that it is exported to.
func FuzzImport(f *testing.F) {
	for _, data := range samples(f) {
		f.Add([]byte(data))
	}
	for _, c := range vectors.Policy(f) {
		f.Add(c.Data)
	}
	f.Add([]byte(startV2 + "\x01\x00\x02\x01c\x04\x48" + vid + "\x00" + endV2))
	f.Add([]byte(twiceLocated))
	f.Add([]byte(twiceLocatedCaveat))
	f.Add([]byte(startV1 + v1Cid + v1Vid + sigV1))
	f.Add([]byte(inV2JSON(`"l64":"__8","i":"\ud83d\ude00","c":[{"i64":"_w","v":"` + vid + `","l":null}]`)))
	f.Add([]byte("[" + inV1JSON(`"identifier":""`) + `,"` + text64(startV2+endV2) + `"]`))

	f.Fuzz(func(t *testing.T, data []byte) {
		var c macaroon.Credential
		var form legacy.Form
		var err error
		require.LessOrEqual(t, allocated(func() { c, form, err = legacy.Import(data) }), 8<<10+perByte*len(data))
		if err != nil {
			requireClass(t, err)
			require.True(t, c.IsZero())
			require.Zero(t, form)
			return
		}
		require.NotZero(t, form)
		want := wireForm(t, c)
		requireV2Agrees(t, data, form, c)

		text, err := c.Encode()
		require.NoError(t, err)
		parsed, err := macaroon.Parse(text)
		require.NoError(t, err)
		require.Equal(t, want, wireForm(t, parsed))

		exports := map[legacy.Encoding][]byte{}
		exports[legacy.V2JSON], err = legacy.ExportV2JSON(c)
		require.NoError(t, err)
		exports[legacy.V1Binary], err = legacy.ExportV1Binary(c)
		require.NoError(t, err)
		if exported, err := legacy.ExportV1JSON(c); err == nil {
			exports[legacy.V1JSON] = exported
		} else {
			require.False(t, utf8.Valid(want), "%v", err)
		}
		for encoding, exported := range exports {
			again, form, err := legacy.ImportWith(exported, raised)
			require.NoError(t, err)
			require.Equal(t, encoding, form.Encoding)
			require.Equal(t, want, wireForm(t, again))
		}
	})
}

// requireV2Agrees compares with what macaroon.v2 reads. Of a JSON string it reads
// the first macaroon only, and it does not know l64.
func requireV2Agrees(t *testing.T, data []byte, form legacy.Form, c macaroon.Credential) {
	t.Helper()
	list, err := readByV2(data, form)
	require.NoError(t, err)
	view := c.Inspect()
	if form.Wrapping != legacy.JSONString {
		require.Len(t, list, view.Len())
	}
	knowsAll := !strings.Contains(string(data), `64"`) && !strings.Contains(string(data), `\`)
	for i, theirs := range list {
		ours := view.At(i)
		require.Equal(t, string(theirs.Id()), ours.Identifier())
		require.True(t, ours.SignedBy([32]byte(theirs.Signature())))
		require.Equal(t, len(theirs.Caveats()), ours.Caveats().Len())
		if knowsAll {
			require.Equal(t, theirs.Location(), ours.Location())
		}
		for j, caveat := range theirs.Caveats() {
			got := ours.Caveats().At(j)
			require.Equal(t, string(caveat.Id), got.ID)
			require.Equal(t, string(caveat.VerificationId), got.VerificationID)
			if knowsAll {
				require.Equal(t, caveat.Location, got.Location)
			}
		}
	}
}

// FuzzJSON: what macaroon.v2 writes is imported as what it wrote, and what is
// exported it reads, for any parts.
func FuzzJSON(f *testing.F) {
	f.Add("https://a.example", "identifier", "condition", "caveat id", "https://b.example", true)
	f.Add("", "", "", "", "", false)
	f.Add("<&>", "\"\\/\b\f\n\r\t\x00", "\u2028\u2029\U0001f600", "\ufeff", "\u007f", true)
	f.Add("é", "\xff", "\xed\xa0\x80", "\xc0\xaf", "\ufffd", false)
	f.Add("{}", `"},{"i":"injected`, `\ud800`, `\u0041`, "null", true)
	f.Add("", "\x01abcdefgh", "\x01abcdefghi", "\x01abcdefg", "", false)
	f.Fuzz(func(t *testing.T, location, identifier, condition, caveatID, caveatLocation string, v1 bool) {
		version := v2.V2
		if v1 {
			version = v2.V1
		}
		// Locations that are not text its JSON would replace.
		if !utf8.ValidString(location) || !utf8.ValidString(caveatLocation) {
			return
		}
		m, err := v2.New([]byte("root key"), []byte(identifier), location, version)
		if err != nil {
			return
		}
		if m.AddFirstPartyCaveat([]byte(condition)) != nil || m.AddThirdPartyCaveat([]byte("key"), []byte(caveatID), caveatLocation) != nil {
			return
		}
		ours, err := legacy.FromV2(m)
		if err != nil {
			require.ErrorIs(t, err, macaroon.ErrLimit)
			return
		}
		want, err := ours.MarshalBinary()
		require.NoError(t, err)

		written, err := m.MarshalJSON()
		if err != nil {
			require.True(t, v1)
			return
		}
		imported, form, err := legacy.ImportWith(written, raised)
		require.NoError(t, err)
		require.Equal(t, v1, form.Encoding == legacy.V1JSON)
		require.Equal(t, want, wireForm(t, imported))
		if v1 {
			exported, err := legacy.ExportV1JSON(ours)
			require.NoError(t, err)
			require.Equal(t, string(written), string(exported))
		}

		exported, err := legacy.ExportV2JSON(ours)
		require.NoError(t, err)
		if !v1 && identifier != "" && condition != "" && caveatID != "" {
			// The same spelling is chosen, of each value.
			require.Equal(t, strings.Count(string(written), `"i64":`), strings.Count(string(exported), `"i64":`))
		}
		read := new(v2.Macaroon)
		require.NoError(t, read.UnmarshalJSON(exported))
		back, err := legacy.FromV2(read)
		require.NoError(t, err)
		got, err := back.MarshalBinary()
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}
