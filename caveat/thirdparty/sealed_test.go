package thirdparty_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
)

func TestOpenVectors(t *testing.T) {
	v := load(t)
	keys := keySet(t, v.thirdParty(t))
	for version, id := range v.ids(t) {
		opened, ok := keys.Open(id)
		require.True(t, ok, version)
		want := thirdparty.Opened{
			RootKey: string(unhex(t, v.RootKey)), Namespace: "std:", Condition: v.Condition,
			FirstParty: v.firstParty(t).Public(), Version: version,
		}
		if version == 3 {
			want.Namespace = v.Namespace
		}
		require.Equal(t, want, opened)
	}
}

func TestSealVectors(t *testing.T) {
	v := load(t)
	for version, id := range v.ids(t) {
		if version == 1 {
			continue
		}
		require.Equal(t, id, thirdparty.Seal(thirdparty.Opened{
			RootKey: string(unhex(t, v.RootKey)), Namespace: v.Namespace, Condition: v.Condition, Version: version,
		}, v.thirdParty(t).Public(), v.firstParty(t), v.nonce(t)))
	}
}

// These are from the tests of the bakery in Python.
func TestOpenVectorsFromPython(t *testing.T) {
	keys := keySet(t, parseKey(t, "TSpvLpQkRj+T3JXnsW2n43n5zP/0X4zn0RvDiWC3IJ0="))
	first := parseKey(t, "KXpsoJ9ujZYi/O2Cca6kaWh65MSawzy79LWkrjOfzcs=").Public()
	binaryID := func(text string) string {
		id, err := base64.RawURLEncoding.DecodeString(text)
		require.NoError(t, err)
		return string(id)
	}
	for version, row := range map[int]struct{ id, rootKey, condition string }{
		1: {"eyJUaGlyZFBhcnR5UHVibGljS2V5IjoiOFA3R1ZZc3BlWlN4c3hFdmJsSVFFSTFqdTBTSWl0WlIrRFdhWE40cmxocz0iLCJGaXJzdFBhcnR5UHVibGljS2V5IjoiSDlqSFJqSUxidXppa1VKd2o5VGtDWk9qeW5oVmtTdHVsaUFRT2d6Y0NoZz0iLCJOb25jZSI6Ii9lWTRTTWR6TGFxbDlsRFc3bHUyZTZuSzJnVG9veVl0IiwiSWQiOiJra0ZuOGJEaEt4RUxtUjd0NkJxTU0vdHhMMFVqaEZjR1BORldUUExGdjVla1dWUjA4Uk1sbGJhc3c4VGdFbkhzM0laeVo0V2lEOHhRUWdjU3ljOHY4eUt4dEhxejVEczJOYmh1ZDJhUFdtUTVMcVlNWitmZ2FNaTAxdE9DIn0=",
			"bc3c4499664492088d105949fbcaee5dedea0d22dfd47fa8", "caveat condition"},
		2: {binaryID("AvD-xlUf2MdGMgtu7OKRQnCP1OQJk6PKeFWRK26WIBA6DNwKGIHq9xGcHS9IZLh0cL6D9qpeKI0mXmCPfnwRQDuVYC8y5gVWd-oCGZaj5TGtk3byp2Vnw6ojmtsULDhY59YA_J_Y0ATkERO5T9ajoRWBxU2OXBoX6bImXA"),
			"c21d0748ceb9c161ce231a068e0249385bd02a7da3245842", "third party condition"},
		3: {binaryID("A_D-xlUf2MdGMgtu7OKRQnCP1OQJk6PKeFWRK26WIBA6DNwKGNLeFSkD2M-8AEYvmgVH95GWu7T7caKxKhhOQFcEKgnXKJvYXxz1zin4cZc4Q6C7gVqA-J4_j31LX4VKxymqG62UGPo78wOv0_fKjr3OI6PPJOYOQgBMclemlRF2"),
			"a2a397237fcccffa4a8c2b853add9e6316fb9dd2eaeba198", "third party condition"},
	} {
		opened, ok := keys.Open(row.id)
		require.True(t, ok, version)
		require.Equal(t, thirdparty.Opened{
			RootKey: string(unhex(t, row.rootKey)), Namespace: "std:", Condition: row.condition, FirstParty: first, Version: version,
		}, opened)
	}
}

// Every byte counts: nothing opens that was changed, cut or lengthened.
func TestDamagedCaveatIDs(t *testing.T) {
	v := load(t)
	keys := keySet(t, v.thirdParty(t), thirdparty.GenerateKey())
	ids := v.ids(t)
	ids[30] = base64.RawURLEncoding.EncodeToString([]byte(ids[3])) // as text
	_, ok := keys.Open(ids[30])
	require.True(t, ok)
	for version, id := range ids {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			refused := func(bad, how string, at int) {
				t.Helper()
				if _, ok := keys.Open(bad); ok {
					t.Errorf("%s at %d: opened", how, at)
				}
			}
			for i := range len(id) {
				for bit := range 8 {
					refused(id[:i]+string([]byte{id[i] ^ 1<<bit})+id[i+1:], fmt.Sprintf("bit %d flipped", bit), i)
				}
				refused(id[:i], "cut", i)
				refused(id[:i]+id[i+1:], "byte left out", i)
				refused(id[:i]+"\n"+id[i:], "line end", i)
				refused(id[:i]+"\x00"+id[i:], "zero byte", i)
			}
			refused(id+"=", "lengthened", len(id))
			refused(id+"\n", "lengthened", len(id))
			refused(id+id, "twice", len(id))
		})
	}
}

// Text is that of versions 2 and 3, in one spelling, and text of text is none.
func TestTextIDs(t *testing.T) {
	v := load(t)
	keys := keySet(t, v.thirdParty(t))
	for version, id := range v.ids(t) {
		text := base64.RawURLEncoding.EncodeToString([]byte(id))
		opened, ok := keys.Open(text)
		require.Equal(t, version > 1, ok)
		if ok {
			want, _ := keys.Open(id)
			require.Equal(t, want, opened)
		}
		_, ok = keys.Open(base64.RawURLEncoding.EncodeToString([]byte(text)))
		require.False(t, ok)
		if padded := base64.URLEncoding.EncodeToString([]byte(id)); padded != text {
			_, ok = keys.Open(padded)
			require.False(t, ok)
		}
		if standard := base64.RawStdEncoding.EncodeToString([]byte(id)); standard != text {
			_, ok = keys.Open(standard)
			require.False(t, ok)
		}
	}
	// A version that has no text.
	for _, version := range []byte{0, 1, 4} {
		id := thirdparty.SealPlain(version, string([]byte{version, 1, 'k', 'c'}), v.thirdParty(t).Public(), v.firstParty(t), v.nonce(t))
		_, ok := keys.Open(base64.RawURLEncoding.EncodeToString([]byte(id)))
		require.False(t, ok, version)
	}
}

// In version 1, only the names that the bakery writes are names, and nothing stands beside them.
func TestVersion1Names(t *testing.T) {
	v := load(t)
	keys := keySet(t, v.thirdParty(t))
	wrapper, err := base64.StdEncoding.DecodeString(v.V1)
	require.NoError(t, err)
	rewritten := func(replacements ...string) string {
		changed := strings.NewReplacer(replacements...).Replace(string(wrapper))
		require.NotEqual(t, string(wrapper), changed)
		return base64.StdEncoding.EncodeToString([]byte(changed))
	}
	_, ok := keys.Open(rewritten(`":"`, `": "`, `","`, `", "`))
	require.True(t, ok, "as Python spaces it")
	for name, id := range map[string]string{
		"other case":     rewritten(`"Nonce"`, `"nonce"`),
		"one more":       rewritten(`{"`, `{"More":"","`),
		"one less":       rewritten(`"Nonce":"gIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaX",`, ""),
		"no object":      base64.StdEncoding.EncodeToString([]byte("{")),
		"not of strings": base64.StdEncoding.EncodeToString([]byte(`{"ThirdPartyPublicKey":[[]]}`)),
		"empty object":   "e30=",
		"null":           rewritten(`"gIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaX"`, "null"),
		"key cut":        rewritten(`B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHw=`, `B6N8vA==`),
		"line end":       rewritten(`"gIGC`, `"gI\nGC`),
		"deep":           base64.StdEncoding.EncodeToString([]byte("{" + strings.Repeat("[", 1000))),
	} {
		_, ok := keys.Open(id)
		require.False(t, ok, name)
	}
}

// Whoever knows the public key can seal anything, so what is inside is as hostile as what is outside.
func TestHostileInside(t *testing.T) {
	key := thirdparty.GenerateKey()
	keys := keySet(t, key)
	field := func(s string) string { return string(binary.AppendUvarint(nil, uint64(len(s)))) + s }
	var rootKey = strings.Repeat("k", 24)
	for name, row := range map[string]struct {
		version byte
		plain   string
		ok      bool
	}{
		"version 2":                     {2, "\x02" + field(rootKey) + "x", true},
		"version 3":                     {3, "\x03" + field(rootKey) + field("std:") + "x", true},
		"long key":                      {2, "\x02" + field(strings.Repeat("k", 200)) + "x", true},
		"empty":                         {2, "", false},
		"version only":                  {2, "\x02", false},
		"another version inside":        {2, "\x03" + field(rootKey) + field("std:") + "x", false},
		"another version inside too":    {3, "\x02" + field(rootKey) + "x", false},
		"no root key":                   {2, "\x02\x00x", false},
		"length beyond the end":         {2, "\x02\x19" + rootKey, false},
		"length of 2^63-1":              {2, "\x02\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + rootKey, false},
		"length of 2^64-1":              {2, "\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + rootKey, false},
		"length over 64 bits":           {2, "\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + rootKey, false},
		"endless length":                {2, "\x02" + strings.Repeat("\xff", 20), false},
		"length cut":                    {2, "\x02\x80", false},
		"longer spelling of a length":   {2, "\x02\x98\x00" + rootKey + "x", false},
		"no namespace":                  {3, "\x03" + field(rootKey), false},
		"namespace beyond the end":      {3, "\x03" + field(rootKey) + "\x05std:", false},
		"namespace of 2^63-1":           {3, "\x03" + field(rootKey) + "\xff\xff\xff\xff\xff\xff\xff\xff\x7fstd:", false},
		"empty namespace, no condition": {3, "\x03" + field(rootKey) + "\x00", true},
	} {
		t.Run(name, func(t *testing.T) {
			_, ok := keys.Open(thirdparty.SealPlain(row.version, row.plain, key.Public(), thirdparty.GenerateKey(), [24]byte{1}))
			require.Equal(t, row.ok, ok)
		})
	}
}

func TestHostileInsideOfVersion1(t *testing.T) {
	key, first := thirdparty.GenerateKey(), thirdparty.GenerateKey()
	keys := keySet(t, key)
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, row := range map[string]struct {
		plain string
		ok    bool
	}{
		"good":           {`{"RootKey":"a2tr","Condition":"x"}`, true},
		"spaced":         {`{ "Condition": "\u0078", "RootKey": "a2tr" }`, true},
		"other case":     {`{"rootKey":"a2tr","Condition":"x"}`, false},
		"one more":       {`{"RootKey":"a2tr","Condition":"x","More":""}`, false},
		"no condition":   {`{"RootKey":"a2tr","Other":"x"}`, false},
		"no root key":    {`{"Condition":"x"}`, false},
		"empty root key": {`{"RootKey":"","Condition":"x"}`, false},
		"not base64":     {`{"RootKey":"a2t","Condition":"x"}`, false},
		"number":         {`{"RootKey":"a2tr","Condition":1}`, false},
		"after the end":  {`{"RootKey":"a2tr","Condition":"x"}{}`, false},
		"empty":          {``, false},
		"null":           {`null`, false},
	} {
		t.Run(name, func(t *testing.T) {
			// The box is the same in all versions.
			id := thirdparty.SealPlain(2, row.plain, key.Public(), first, [24]byte{1})
			opened, ok := keys.Open(b64(fmt.Sprintf(`{"ThirdPartyPublicKey":%q,"FirstPartyPublicKey":%q,"Nonce":%q,"Id":%q}`,
				key.Public(), first.Public(), b64(id[37:61]), b64(id[61:]))))
			require.Equal(t, row.ok, ok)
			if ok {
				require.Equal(t, thirdparty.Opened{
					RootKey: "kkk", Namespace: "std:", Condition: "x", FirstParty: first.Public(), Version: 1}, opened)
			}
		})
	}
}

func TestRotation(t *testing.T) {
	old, young, other := thirdparty.GenerateKey(), thirdparty.GenerateKey(), thirdparty.GenerateKey()
	toOld, _ := sealed(t, thirdparty.NewCaveat(party(old), "x"))
	toYoung, _ := sealed(t, thirdparty.NewCaveat(party(young), "x"))
	for name, row := range map[string]struct {
		keys       thirdparty.Keys
		old, young bool
	}{
		"before":     {keySet(t, old), true, false},
		"opened":     {keySet(t, old, young), true, true},
		"advertised": {keySet(t, young, old), true, true},
		"after":      {keySet(t, young), false, true},
		"others":     {keySet(t, other), false, false},
		"none":       {thirdparty.Keys{}, false, false},
	} {
		_, ok := row.keys.Open(toOld)
		require.Equal(t, row.old, ok, name)
		_, ok = row.keys.Open(toYoung)
		require.Equal(t, row.young, ok, name)
	}
}

// Four bytes of the key stand in the caveat id to find it by. Keys that share them, as these two do, are both tried.
func TestKeysThatBeginAlike(t *testing.T) {
	first := parseKey(t, "MEXAg9/7MjdRlLibJ9QTnc22E9LQyTlTUdO/yJ6KnqY=")
	second := parseKey(t, "A7meTJm9TXzLz+iG5HjzZbOV0NkRcPsw5pBtiZtkSqM=")
	require.Equal(t, first.Public().String()[:5], second.Public().String()[:5])
	for _, key := range []thirdparty.PrivateKey{first, second} {
		id, _ := sealed(t, thirdparty.NewCaveat(party(key), "x"))
		_, ok := keySet(t, first, second).Open(id)
		require.True(t, ok)
		_, ok = keySet(t, second, first).Open(id)
		require.True(t, ok)
	}
}

// The high bit of an X25519 key is not looked at by X25519, so a caveat id that has it set would still open. A first
// party of low order agrees with everybody on the same secret.
func TestFirstPartyMustBeAGoodKey(t *testing.T) {
	key := thirdparty.GenerateKey()
	id, _ := sealed(t, thirdparty.NewCaveat(party(key), "x"))
	keys := keySet(t, key)
	_, ok := keys.Open(id)
	require.True(t, ok)
	_, ok = keys.Open(id[:36] + string([]byte{id[36] | 0x80}) + id[37:])
	require.False(t, ok)
	_, ok = keys.Open(id[:5] + strings.Repeat("\x00", 32) + id[37:])
	require.False(t, ok)
}

func FuzzOpen(f *testing.F) {
	v := load(f)
	key := v.thirdParty(f)
	keys := keySet(f, key, v.firstParty(f))
	for _, id := range v.ids(f) {
		f.Add([]byte(id), false)
		f.Add([]byte(id[:len(id)/2]), false)
	}
	f.Add([]byte(base64.RawURLEncoding.EncodeToString([]byte(v.ids(f)[3]))), false)
	f.Add([]byte("\x02\x18"+strings.Repeat("k", 24)+"x"), true)
	f.Add([]byte("\x03\x18"+strings.Repeat("k", 24)+"\x04std:need-declared a,b x"), true)
	f.Add([]byte("\x03\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), true)
	f.Fuzz(func(t *testing.T, data []byte, inside bool) {
		id := string(data)
		if inside { // the fuzzer can't seal
			if len(data) == 0 {
				return
			}
			id = thirdparty.SealPlain(data[0], string(data), key.Public(), v.firstParty(t), [24]byte{7})
		}
		opened, ok := keys.Open(id)
		if !ok {
			if opened != (thirdparty.Opened{}) {
				t.Fatal("refused, and something besides")
			}
			return
		}
		if opened.Version == 1 {
			return
		}
		// There is one spelling: what opens is what is sealed again.
		if id[0] == 'A' {
			raw, err := base64.RawURLEncoding.DecodeString(id)
			require.NoError(t, err)
			require.Equal(t, id, base64.RawURLEncoding.EncodeToString(raw))
			id = string(raw)
		}
		to, nonce := key.Public(), [24]byte([]byte(id[37:61]))
		if opened.FirstParty != v.firstParty(t).Public() {
			return // only its holder can seal it again
		}
		if again := thirdparty.Seal(opened, to, v.firstParty(t), nonce); again != id {
			t.Fatalf("%x opens and is written as %x", id, again)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	v := load(b)
	keys := keySet(b, v.thirdParty(b))
	id := v.ids(b)[3]
	for b.Loop() {
		keys.Open(id)
	}
}
