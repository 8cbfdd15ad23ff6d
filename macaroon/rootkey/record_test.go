package rootkey_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

// TestFreshKeysAreRandom: no byte of a key, nor of its id, is always the same.
func TestFreshKeysAreRandom(t *testing.T) {
	var list []string
	for range 8 {
		store := rootkey.NewMemoryStore()
		_, err := rootkey.Open(t.Context(), store, rootkey.Options{})
		require.NoError(t, err)
		records, _, _, err := store.Load(t.Context(), "")
		require.NoError(t, err)
		for id, text := range records {
			var r record
			require.NoError(t, json.Unmarshal(text, &r))
			list = append(list, id+string(r.Key))
		}
	}
	require.Len(t, list, 8)
	for i := range list[0] {
		require.True(t, slices.ContainsFunc(list, func(s string) bool { return s[i] != list[0][i] }), "byte %d", i)
	}
}

// A record in any form but the one that is written is refused, with an error that tells
// nothing of the key.
func TestBadRecords(t *testing.T) {
	good := newRecord(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))
	text := string(good.text(t))
	with := func(change func(*record)) string {
		r := good
		change(&r)
		return string(r.text(t))
	}
	for name, bad := range map[string]string{
		"nothing":          "",
		"no JSON":          "x",
		"null":             "null",
		"a list":           "[]",
		"an empty object":  "{}",
		"cut":              text[:len(text)-1],
		"something behind": text + "{}",
		"a line break":     text + "\n",
		"a space":          strings.Replace(text, ":", ": ", 1),
		"another case":     strings.Replace(text, `"key"`, `"Key"`, 1),
		"twice":            strings.Replace(text, `{"format":1`, `{"format":1,"format":1`, 1),
		"an unknown field": strings.Replace(text, `{"format":1`, `{"format":1,"minted":true`, 1),
		"another format":   with(func(r *record) { r.Format = 2 }),
		"no format":        with(func(r *record) { r.Format = 0 }),
		"a short key":      with(func(r *record) { r.Key = r.Key[:31] }),
		"a long key":       with(func(r *record) { r.Key = append(r.Key[:32:32], 1) }),
		"no key":           with(func(r *record) { r.Key = nil }),
		"a key of zeros":   with(func(r *record) { r.Key = make([]byte, 32) }),
		"a key of text":    with(func(r *record) { r.Key = []byte("this is a passphrase and no key.") }),
		"a label of lines": with(func(r *record) { r.Label = "a\nb" }),
		"a long label":     with(func(r *record) { r.Label = strings.Repeat("x", 129) }),
		"not created":      with(func(r *record) { r.Created = time.Time{} }),
		"never minting":    with(func(r *record) { r.Mints = time.Time{} }),
		"another zone":     strings.Replace(text, "Z\"", "+00:00\"", 1),
		"very long":        text + strings.Repeat(" ", 1<<20),
	} {
		_, err := rootkey.Open(t.Context(), answers{map[string][]byte{"aaaaaaaaaaaaa": []byte(bad)}, "1"}, onlyReads)
		require.ErrorContains(t, err, "key \"aaaaaaaaaaaaa\": not a record", name)
		require.NotContains(t, err.Error(), "passphrase", name)
	}
	for _, id := range []string{"", "aaaaaaaaaaaa", "aaaaaaaaaaaaaa", "AAAAAAAAAAAAA", "aaaaaaaaaaaa1", "aaaaaaaaaaaa\n", strings.Repeat("a", 1<<20)} {
		_, err := rootkey.Open(t.Context(), answers{map[string][]byte{id: []byte(text)}, "1"}, onlyReads)
		require.ErrorContains(t, err, "not a record", "%.20q", id)
		require.Less(t, len(err.Error()), 200)
	}
	k, err := rootkey.Open(t.Context(), answers{map[string][]byte{"aaaaaaaaaaaaa": []byte(text)}, "1"}, onlyReads)
	require.NoError(t, err)
	require.Equal(t, []rootkey.State{rootkey.Minting}, states(list(t, k)))
}

// FuzzRecord opens stores with any one record: what can be read is in the form that is
// written, and nothing panics.
func FuzzRecord(f *testing.F) {
	good := newRecord(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))
	f.Add("aaaaaaaaaaaaa", good.text(f))
	stops := good.Mints.Add(time.Hour)
	good.Label, good.Stops, good.Retires = "a \"label\" <&>", &stops, &stops
	f.Add("aaaaaaaaaaaaa", good.text(f))
	f.Add("aaaaaaaaaaaaa", []byte(`{"format":1,"key":null}`))
	f.Fuzz(func(t *testing.T, id string, text []byte) {
		k, err := rootkey.Open(t.Context(), answers{map[string][]byte{id: text}, "1"}, onlyReads)
		if err != nil {
			return
		}
		var r record
		require.NoError(t, json.Unmarshal(text, &r))
		require.Len(t, r.Key, 32)
		require.Equal(t, id, list(t, k)[0].ID)
	})
}
