package legacy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	v2 "gopkg.in/macaroon.v2"

	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
)

func newV2(t *testing.T, version v2.Version) *v2.Macaroon {
	m, err := v2.New([]byte("root key"), []byte("identifier"), "https://a.example", version)
	require.NoError(t, err)
	require.NoError(t, m.AddFirstPartyCaveat([]byte("condition")))
	require.NoError(t, m.AddThirdPartyCaveat([]byte("caveat root key"), []byte("caveat id"), ""))
	return m
}

// decodedV2 is a macaroon that its own library has read.
func decodedV2(t *testing.T, data string) *v2.Macaroon {
	m := new(v2.Macaroon)
	var err error
	if strings.HasPrefix(data, "{") {
		err = json.Unmarshal([]byte(data), m)
	} else {
		err = m.UnmarshalBinary([]byte(data))
	}
	require.NoError(t, err)
	return m
}

func TestBridge(t *testing.T) {
	for _, version := range []v2.Version{v2.V1, v2.V2} {
		t.Run(version.String(), func(t *testing.T) {
			m := newV2(t, version)
			ours, err := legacy.FromV2(m)
			require.NoError(t, err)
			require.Equal(t, "identifier", ours.Identifier())
			require.Equal(t, "https://a.example", ours.Location())

			narrow, err := ours.Attenuate(macaroon.Condition("narrow"))
			require.NoError(t, err)
			theirs, err := legacy.ToV2(narrow)
			require.NoError(t, err)
			require.NoError(t, m.AddFirstPartyCaveat([]byte("narrow")))
			require.Equal(t, m.Signature(), theirs.Signature())
			require.Equal(t, v2.V2, theirs.Version())

			// Changing the one leaves the other.
			before, err := narrow.MarshalBinary()
			require.NoError(t, err)
			require.NoError(t, theirs.AddFirstPartyCaveat([]byte("later")))
			theirs.Caveats()[0].Id[0] ^= 1
			after, err := narrow.MarshalBinary()
			require.NoError(t, err)
			require.Equal(t, before, after)
		})
	}
}

func TestBridgeRefuses(t *testing.T) {
	many, err := v2.New([]byte("k"), []byte("id"), "", v2.V2)
	require.NoError(t, err)
	for range 65 {
		require.NoError(t, many.AddFirstPartyCaveat([]byte("c")))
	}
	long, err := v2.New([]byte("k"), make([]byte, 5000), "", v2.V2)
	require.NoError(t, err)

	for name, m := range map[string]*v2.Macaroon{
		"nil":                              nil,
		"zero":                             {},
		"a copy of nothing":                new(v2.Macaroon).Clone(),
		"location of a first-party caveat": decodedV2(t, inV2JSON(`"i":"id","c":[{"i":"c","l":"x"}]`)),
		"empty verification id":            decodedV2(t, startV1+v1Cid+v1("vid", "")+sigV1),
		"short verification id":            decodedV2(t, startV2+"\x02\x01c\x04\x01v\x00"+endV2),
		"long verification id":             decodedV2(t, startV2+"\x02\x01c\x04\x49v"+vid+"\x00"+endV2),
		"many caveats":                     many,
		"long identifier":                  long,
	} {
		t.Run(name, func(t *testing.T) {
			ours, err := legacy.FromV2(m)
			require.Error(t, err)
			require.True(t, ours.IsZero())
		})
	}
	_, err = legacy.FromV2(many)
	require.ErrorIs(t, err, macaroon.ErrLimit)

	theirs, err := legacy.ToV2(macaroon.Macaroon{})
	require.ErrorIs(t, err, macaroon.ErrInvalid)
	require.Nil(t, theirs)
}

func TestExportRefuses(t *testing.T) {
	zero := macaroon.Macaroon{}
	_, err := legacy.ExportV1Binary(zero)
	require.ErrorIs(t, err, macaroon.ErrInvalid)
	_, err = legacy.ExportV1Text(macaroon.Credential{})
	require.ErrorIs(t, err, macaroon.ErrInvalid)
	_, err = legacy.ExportV1JSON(macaroon.Credential{})
	require.ErrorIs(t, err, macaroon.ErrInvalid)
	_, err = legacy.ExportV2JSON(zero)
	require.ErrorIs(t, err, macaroon.ErrInvalid)

	importV2 := func(binary string) macaroon.Credential {
		c, _, err := legacy.ImportWith([]byte(binary), raised)
		require.NoError(t, err)
		return c
	}
	t.Run("packets end at 65535 bytes", func(t *testing.T) {
		const most = 0xffff - len("0000cid \n")
		c := importV2(startV1 + v1("cid", strings.Repeat("x", most)) + sigV1)
		data, err := legacy.ExportV1Binary(c)
		require.NoError(t, err)
		require.Contains(t, string(data), "ffffcid x")

		c = importV2(inV2JSON(`"i":"id","c":[{"i":"` + strings.Repeat("x", most+1) + `"}]`))
		data, err = legacy.ExportV1Binary(c)
		require.EqualError(t, err, "legacy: v1 binary: cid of 65527 bytes: too long for a packet")
		require.Nil(t, data)
		text, err := legacy.ExportV1Text(c)
		require.Error(t, err)
		require.Empty(t, text)
	})
	for name, binary := range map[string]string{
		"location":        "\x02\x01\x01\xff\x02\x02id\x00" + endV2,
		"identifier":      "\x02\x02\x01\xff\x00" + endV2,
		"condition":       startV2 + "\x02\x01\xff\x00" + endV2,
		"caveat location": startV2 + "\x01\x01\xff\x02\x01c\x04\x48" + vid + "\x00" + endV2,
	} {
		t.Run("not UTF-8: "+name, func(t *testing.T) {
			c := importV2(binary)
			data, err := legacy.ExportV1JSON(c)
			require.ErrorContains(t, err, "legacy: v1 JSON: ")
			require.ErrorContains(t, err, "not UTF-8")
			require.Nil(t, data)

			data, err = legacy.ExportV2JSON(c)
			require.NoError(t, err)
			require.Equal(t, binary, string(wireForm(t, importV2(string(data)))))
			data, err = legacy.ExportV1Binary(c)
			require.NoError(t, err)
			require.Equal(t, binary, string(wireForm(t, importV2(string(data)))))
		})
	}
}
