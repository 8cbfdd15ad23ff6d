package macaroon_test

import (
	"encoding/binary"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon"
)

func full() macaroon.Identifier {
	return macaroon.Identifier{
		KeyID:    "key-1",
		TokenID:  macaroon.TokenID{1, 2, 3},
		IssuedAt: issued,
		Subject:  "billing",
		Caveats:  5,
		Attests:  []macaroon.Attestation{{Caveat: 1, Keys: []string{"user", "tenant"}}, {Caveat: 4, Keys: []string{"group"}}},
	}
}

func TestIdentifierBytes(t *testing.T) {
	data, err := full().MarshalBinary()
	require.NoError(t, err)
	require.Equal(t, "\xa1"+
		"\x01\x05key-1"+
		"\x02\x10\x01\x02\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"+
		"\x03\x05\xa5\xeb\xdc\xca\x06"+
		"\x04\x07billing"+
		"\x05\x01\x05"+
		"\x06\x16\x01\x02\x04user\x06tenant\x04\x01\x05group", string(data))
	id, err := macaroon.ParseIdentifier(string(data))
	require.NoError(t, err)
	require.Equal(t, full(), id)

	plain := macaroon.Identifier{KeyID: "abcdefghijklm", TokenID: macaroon.TokenID{1}, IssuedAt: issued, Subject: "inventory", Caveats: 5}
	data, err = plain.AppendBinary(nil)
	require.NoError(t, err)
	require.Less(t, len(data), 56, "fits one block of SHA-256")
}

func TestIdentifierWontBeWritten(t *testing.T) {
	for name, change := range map[string]func(*macaroon.Identifier){
		"no key id":             func(id *macaroon.Identifier) { id.KeyID = "" },
		"long key id":           func(id *macaroon.Identifier) { id.KeyID = strings.Repeat("k", 65) },
		"blank in key id":       func(id *macaroon.Identifier) { id.KeyID = "a b" },
		"binary key id":         func(id *macaroon.Identifier) { id.KeyID = "\x00" },
		"before 1970":           func(id *macaroon.Identifier) { id.IssuedAt = time.Unix(-1, 0) },
		"after 9999":            func(id *macaroon.Identifier) { id.IssuedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"line end in subject":   func(id *macaroon.Identifier) { id.Subject = "a\nb" },
		"subject not UTF-8":     func(id *macaroon.Identifier) { id.Subject = "\xff" },
		"C1 control in subject": func(id *macaroon.Identifier) { id.Subject = "\u0085" },
		"too long":              func(id *macaroon.Identifier) { id.Subject = strings.Repeat("s", 1<<10) },
		"negative caveats":      func(id *macaroon.Identifier) { id.Caveats = -1 },
		"attests not minter's":  func(id *macaroon.Identifier) { id.Attests[1].Caveat = 5 },
		"attests out of order":  func(id *macaroon.Identifier) { id.Attests[1].Caveat = 1 },
		"attests negative":      func(id *macaroon.Identifier) { id.Attests[0].Caveat = -1 },
		"attests nothing":       func(id *macaroon.Identifier) { id.Attests[0].Keys = nil },
		"attests empty key":     func(id *macaroon.Identifier) { id.Attests[0].Keys = []string{""} },
		"attests key twice":     func(id *macaroon.Identifier) { id.Attests[1].Keys = []string{"user"} },
		"attests key and blank": func(id *macaroon.Identifier) { id.Attests[1].Keys = []string{"a b"} },
	} {
		t.Run(name, func(t *testing.T) {
			id := full()
			change(&id)
			data, err := id.MarshalBinary()
			require.Error(t, err)
			require.Nil(t, data)
		})
	}
}

func TestIdentifierWontBeRead(t *testing.T) {
	data, err := full().MarshalBinary()
	require.NoError(t, err)
	good := string(data)
	for n := range len(good) {
		id, err := macaroon.ParseIdentifier(good[:n])
		if err == nil { // cut behind a field that need not be there
			again, err := id.MarshalBinary()
			require.NoError(t, err)
			require.Equal(t, good[:n], string(again))
			continue
		}
		require.Zero(t, id)
		require.ErrorIs(t, err, macaroon.ErrMalformed)
	}
	cut := func(old, replacement string) string {
		require.Contains(t, good, old)
		return strings.Replace(good, old, replacement, 1)
	}
	for name, identifier := range map[string]string{
		"bakery version 3":       "\x03\x0a\x10",
		"bakery version 2":       "\x02",
		"version 0":              "\x00",
		"text":                   "we used our secret key",
		"one byte more":          good + "\x00",
		"unknown field":          good + "\x07\x01x",
		"field twice":            cut("\x04\x07billing", "\x04\x07billing\x04\x07billing"),
		"fields out of order":    cut("\x04\x07billing\x05\x01\x05", "\x05\x01\x05\x04\x07billing"),
		"empty subject":          cut("\x04\x07billing", "\x04\x00"),
		"length in two bytes":    cut("\x04\x07billing", "\x04\x87\x00billing"),
		"length beyond the end":  cut("\x06\x16", "\x06\x17"),
		"length 2^64-1":          cut("\x04\x07billing", "\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
		"token id of 15 bytes":   cut("\x02\x10\x01", "\x02\x0f"),
		"time in a long form":    cut("\x03\x05\xa5\xeb\xdc\xca\x06", "\x03\x06\xa5\xeb\xdc\xca\x86\x00"),
		"time beyond 9999":       cut("\x03\x05\xa5\xeb\xdc\xca\x06", "\x03\x09\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
		"caveats 0 written down": cut("\x05\x01\x05\x06\x16\x01\x02\x04user\x06tenant\x04\x01\x05group", "\x05\x01\x00"),
		"caveats 2^40":           cut("\x05\x01\x05", "\x05\x06\x80\x80\x80\x80\x80\x20"),
		"claims 2^31 keys":       cut("\x06\x16\x01\x02\x04user\x06tenant\x04\x01\x05group", "\x06\x06\x01\x80\x80\x80\x80\x08"),
		"key beyond the end":     cut("\x05group", "\x06group"),
		"bytes behind a number":  cut("\x03\x05\xa5\xeb\xdc\xca\x06", "\x03\x06\xa5\xeb\xdc\xca\x06\x00"),
		"bytes behind a count":   cut("\x05\x01\x05", "\x05\x02\x05\x00"),
		"subject beyond 1 KiB":   "\xa1\x01\x01k\x02\x100123456789abcdef\x03\x01\x00\x04\x80\x08" + strings.Repeat("s", 1<<10),
		"longer than 1 KiB":      good + strings.Repeat("x", 1<<10),
	} {
		t.Run(name, func(t *testing.T) {
			id, err := macaroon.ParseIdentifier(identifier)
			require.ErrorIs(t, err, macaroon.ErrMalformed)
			require.Zero(t, id)
		})
	}
}

// TestIdentifierMemory: what an identifier claims to hold takes no memory.
func TestIdentifierMemory(t *testing.T) {
	good, err := full().MarshalBinary()
	require.NoError(t, err)
	before, _, found := strings.Cut(string(good), "\x06\x16")
	require.True(t, found)
	for _, claim := range []int{100, 1 << 14, 1 << 24} {
		attests := strings.Repeat("k", 100)
		attests = "\x01" + string(binary.AppendUvarint(nil, uint64(claim))) + attests
		identifier := before + "\x06" + string(binary.AppendUvarint(nil, uint64(len(attests)))) + attests
		var start, end runtime.MemStats
		runtime.ReadMemStats(&start)
		_, err := macaroon.ParseIdentifier(identifier)
		runtime.ReadMemStats(&end)
		require.ErrorIs(t, err, macaroon.ErrMalformed)
		const others = 64 << 10 // what the rest of the process may take meanwhile
		require.Less(t, end.TotalAlloc-start.TotalAlloc, uint64(32*len(identifier)+others))
	}
}

func TestKeyID(t *testing.T) {
	data, err := full().MarshalBinary()
	require.NoError(t, err)
	id, ok := macaroon.KeyID(string(data))
	require.True(t, ok)
	require.Equal(t, "key-1", id)
	for _, other := range []string{"", "\xa1", "\xa1\x01", "\xa1\x01\x00", "\xa1\x01\x09key", "\x03\x01\x03key", "key", "\xa1\x02\x03key", "\xa1\x01\x03a\x00\n", "\xa1\x01\x03a b", "\xa1\x01\x41" + strings.Repeat("k", 65)} {
		id, ok := macaroon.KeyID(other)
		require.False(t, ok, "%q", other)
		require.Empty(t, id)
	}
}

func TestTokenIDText(t *testing.T) {
	id := macaroon.TokenID{0xab, 15: 1}
	require.Equal(t, "ab000000000000000000000000000001", id.String())
	require.Equal(t, id.String(), text(t, id))
	var back macaroon.TokenID
	require.NoError(t, back.UnmarshalText([]byte(id.String())))
	require.Equal(t, id, back)
	for _, bad := range []string{"", "ab", strings.ToUpper(id.String()), id.String() + "00", id.String()[1:] + "g", id.String() + "\n"} {
		require.Error(t, back.UnmarshalText([]byte(bad)), "%q", bad)
		require.Equal(t, id, back, "left alone")
	}
}

func FuzzIdentifier(f *testing.F) {
	data, err := full().MarshalBinary()
	require.NoError(f, err)
	f.Add(string(data))
	f.Add("\xa1\x01\x01k\x02\x100123456789abcdef\x03\x01\x00")
	f.Add("\xa1\x01\x01k\x02\x100123456789abcdef\x03\x01\x00\x05\x01\x01\x06\x04\x00\x01\x01u")
	f.Fuzz(func(t *testing.T, identifier string) {
		id, err := macaroon.ParseIdentifier(identifier)
		if err != nil {
			require.Zero(t, id)
			return
		}
		again, err := id.MarshalBinary()
		require.NoError(t, err)
		require.Equal(t, identifier, string(again), "what is parsed encodes to the same bytes")
		keyID, ok := macaroon.KeyID(identifier)
		require.True(t, ok)
		require.Equal(t, id.KeyID, keyID)
	})
}
