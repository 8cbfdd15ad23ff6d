package wire_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	v2 "gopkg.in/macaroon.v2"

	"github.com/amaretti-go/amaretti/internal/wire"
)

var generous = wire.Limits{
	Text: 1 << 30, Macaroons: 1 << 20, Caveats: 1 << 20, AllCaveats: 1 << 20,
	Identifier: 1 << 20, Condition: 1 << 20, Location: 1 << 20,
}

func decode(data string) ([]wire.Macaroon, error) { return wire.Decode(nil, nil, data, &generous) }

// example has every sort of field.
func example() wire.Macaroon {
	return wire.Macaroon{
		Location:   "http://mybank/",
		Identifier: "id",
		Caveats: []wire.Caveat{
			{ID: "account = 42"},
			{ID: ""},
			{ID: "caveat id", VerificationID: strings.Repeat("v", 72), Location: "http://auth/"},
			{ID: strings.Repeat("c", 200), VerificationID: strings.Repeat("w", 72)},
			{ID: "short", VerificationID: strings.Repeat("x", 72)},
			{ID: strings.Repeat("c", 127) + "\x00"}, // its length read as one byte ends before that zero
		},
		Signature: [32]byte{1, 2, 3},
	}
}

func encoded(list ...wire.Macaroon) string {
	var b []byte
	for i := range list {
		b = wire.Append(b, &list[i])
	}
	return string(b)
}

// The vectors of libmacaroons and of macaroon.v2.
func TestKnownAnswers(t *testing.T) {
	const first = "02010e687474703a2f2f6d7962616e6b2f021677652075736564206f757220736563726574206b65790002146163636f756e74203d203337333539323835353900021774696d65203c20323032302d30312d30315430303a3030000219656d61696c203d20616c696365406578616d706c652e6f726700000620ddf553e46083e55b8d71ab822be3d8fcf21d6bf19c40d617bb9fb438934474b6"
	data, err := hex.DecodeString(first)
	require.NoError(t, err)
	list, err := decode(string(data))
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, "http://mybank/", list[0].Location)
	require.Equal(t, "we used our secret key", list[0].Identifier)
	require.Equal(t, []wire.Caveat{{ID: "account = 3735928559"}, {ID: "time < 2020-01-01T00:00"}, {ID: "email = alice@example.org"}}, list[0].Caveats)
	require.Equal(t, string(data), encoded(list...))

	const second = "AgEOaHR0cDovL215YmFuay8CHHdlIHVzZWQgb3VyIG90aGVyIHNlY3JldCBrZXkAAhRhY2NvdW50ID0gMzczNTkyODU1OQABE2h0dHA6Ly9hdXRoLm15YmFuay8CJ3RoaXMgd2FzIGhvdyB3ZSByZW1pbmQgYXV0aCBvZiBrZXkvcHJlZARIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA027FAuBYhtHwJ58FX6UlVNFtFsGxQHS7uD_w_dedwv4Jjw7UorCREw5rXbRqIKhrAAAGINJ9sv0fInYOTD2ugTfi2Pwd9sB0HBiu1LlyVr940fVc"
	text, err := wire.DecodeText(second)
	require.NoError(t, err)
	list, err = decode(text)
	require.NoError(t, err)
	require.Equal(t, "this was how we remind auth of key/pred", list[0].Caveats[1].ID)
	require.Equal(t, "http://auth.mybank/", list[0].Caveats[1].Location)
	require.Len(t, list[0].Caveats[1].VerificationID, wire.VerificationIDSize)
	require.Equal(t, second, string(wire.AppendText(nil, []byte(encoded(list...)))))
}

func TestSeveral(t *testing.T) {
	all := encoded(example(), example(), wire.Macaroon{Identifier: "plain"})
	list, err := decode(all)
	require.NoError(t, err)
	require.Equal(t, []wire.Macaroon{example(), example(), {Identifier: "plain", Caveats: []wire.Caveat{}}}, list)
	require.Equal(t, all, encoded(list...))

	// Appending to one macaroon's caveats must not reach into the next one's.
	_ = append(list[0].Caveats, wire.Caveat{ID: "intruder"})
	require.Equal(t, "account = 42", list[1].Caveats[0].ID)
}

func TestTruncatedAnywhere(t *testing.T) {
	whole := encoded(example())
	for n := range len(whole) {
		_, err := decode(whole[:n])
		require.Error(t, err, n)
	}
	for n := len(whole) + 1; n < 2*len(whole); n++ {
		_, err := decode((whole + whole)[:n])
		require.Error(t, err, n)
	}
}

func TestMalformed(t *testing.T) {
	const (
		id  = "\x02\x02id"
		eos = "\x00"
		sig = "\x06\x20" + "0123456789abcdef0123456789abcdef"
	)
	vid := "\x04\x48" + strings.Repeat("v", 72)
	long := func(n int) string { return string(binary.AppendUvarint(nil, uint64(n))) }
	_, err := decode("\x02" + id + eos + eos + sig)
	require.NoError(t, err, "the base of all that follows")

	for name, data := range map[string]string{
		"caveats without end":                "\x02" + id + eos + sig,
		"no identifier":                      "\x02" + eos + eos + sig,
		"no signature":                       "\x02" + id + eos + eos,
		"one byte behind the signature":      "\x02" + id + eos + eos + sig + "\x00",
		"a v1 packet behind the signature":   "\x02" + id + eos + eos + sig + "0011cid x\n",
		"EOS behind the signature":           "\x02" + id + eos + eos + sig + eos,
		"empty location":                     "\x02\x01\x00" + id + eos + eos + sig,
		"location behind identifier":         "\x02" + id + "\x01\x01l" + eos + eos + sig,
		"location twice":                     "\x02\x01\x01l\x01\x01l" + id + eos + eos + sig,
		"identifier twice":                   "\x02" + id + id + eos + eos + sig,
		"verification id in the header":      "\x02" + id + vid + eos + eos + sig,
		"unknown even type":                  "\x02" + id + "\x08\x01x" + eos + eos + sig,
		"unknown odd type":                   "\x02" + id + "\x03\x01x" + eos + eos + sig,
		"type in two bytes":                  "\x02\x82\x00\x02id" + eos + eos + sig,
		"EOS in two bytes":                   "\x02" + id + "\x80\x00" + eos + sig,
		"type zero with a length":            "\x02" + id + "\x00\x01x" + eos + sig,
		"length in two bytes":                "\x02\x02\x82\x00id" + eos + eos + sig,
		"length in ten bytes":                "\x02\x02\x82\x80\x80\x80\x80\x80\x80\x80\x80\x00id" + eos + eos + sig,
		"length without end":                 "\x02\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"length 2^64-1":                      "\x02\x02" + string(binary.AppendUvarint(nil, math.MaxUint64)) + "id",
		"length 2^63":                        "\x02\x02" + string(binary.AppendUvarint(nil, 1<<63)) + "id",
		"length 2^63-1":                      "\x02\x02" + string(binary.AppendUvarint(nil, 1<<63-1)) + "id",
		"length 2^32+2":                      "\x02\x02" + long(1<<32+2) + "id" + eos + eos + sig,
		"location on a first-party caveat":   "\x02" + id + eos + "\x01\x01l" + id + eos + eos + sig,
		"empty verification id":              "\x02" + id + eos + id + "\x04\x00" + eos + eos + sig,
		"verification id of 71 bytes":        "\x02" + id + eos + id + "\x04\x47" + vid[3:] + eos + eos + sig,
		"verification id of 73 bytes":        "\x02" + id + eos + id + "\x04\x49v" + vid[2:] + eos + eos + sig,
		"verification id before caveat id":   "\x02" + id + eos + vid + id + eos + eos + sig,
		"caveat without identifier":          "\x02" + id + eos + vid + eos + eos + sig,
		"signature of 31 bytes":              "\x02" + id + eos + eos + "\x06\x1f" + sig[3:],
		"signature of 33 bytes":              "\x02" + id + eos + eos + "\x06\x21" + sig[2:] + "x",
		"empty signature":                    "\x02" + id + eos + eos + "\x06\x00",
		"signature in a caveat":              "\x02" + id + eos + id + sig + eos + eos + sig,
		"second macaroon of another version": "\x02" + id + eos + eos + sig + "\x01" + id + eos + eos + sig,
	} {
		t.Run(name, func(t *testing.T) {
			list, err := decode(data)
			require.Error(t, err)
			require.Nil(t, list)
			require.True(t, strings.HasPrefix(err.Error(), "macaroon: "), err)
			require.NotErrorIs(t, err, wire.ErrNotMacaroon)
		})
	}
	for name, data := range map[string]string{
		"empty": "", "v1": "0011location \n", "json": `{"v":2}`, "version 3": "\x03", "version 0": "\x00",
	} {
		_, err := decode(data)
		require.ErrorIs(t, err, wire.ErrNotMacaroon, name)
	}
}

func TestLimits(t *testing.T) {
	m := example()
	tight := wire.Limits{
		Macaroons: 2, Caveats: 6, AllCaveats: 12, Identifier: 2, Condition: 200, Location: 14,
	}
	two := encoded(m, m)
	_, err := wire.Decode(nil, nil, two, &tight)
	require.NoError(t, err, "exactly at every limit")
	for name, lower := range map[string]func(*wire.Limits){
		"macaroons":   func(l *wire.Limits) { l.Macaroons-- },
		"caveats":     func(l *wire.Limits) { l.Caveats-- },
		"all caveats": func(l *wire.Limits) { l.AllCaveats-- },
		"identifier":  func(l *wire.Limits) { l.Identifier-- },
		"condition":   func(l *wire.Limits) { l.Condition-- },
		"location":    func(l *wire.Limits) { l.Location-- },
		"negative":    func(l *wire.Limits) { l.Identifier = -1 },
		"none":        func(l *wire.Limits) { *l = wire.Limits{} },
	} {
		limits := tight
		lower(&limits)
		_, err := wire.Decode(nil, nil, two, &limits)
		require.ErrorIs(t, err, wire.ErrLimit, name)
	}

	// One too many is refused when it is met: what follows, which is cut off here, is not read.
	caveats := encoded(m)[:len(encoded(m))-len("\x00\x06\x20")-wire.SignatureSize]
	more := tight
	more.Caveats++
	for name, row := range map[string]struct {
		data   string
		limits wire.Limits
	}{
		"macaroons":   {two + "\x02", tight},
		"caveats":     {caveats + "\x02", tight},
		"all caveats": {encoded(m) + caveats + "\x02", more},
	} {
		_, err := wire.Decode(nil, nil, row.data, &row.limits)
		require.ErrorIs(t, err, wire.ErrLimit, name)
		_, err = decode(row.data)
		require.ErrorIs(t, err, wire.ErrMalformed, name)
	}

	brief := wire.Macaroon{Identifier: "id", Caveats: []wire.Caveat{{ID: "brief"}}}
	tight.Condition = len("brief")
	_, err = wire.Decode(nil, nil, encoded(brief), &tight)
	require.NoError(t, err)
	tight.Condition--
	_, err = wire.Decode(nil, nil, encoded(brief), &tight)
	require.ErrorIs(t, err, wire.ErrLimit)
}

func TestText(t *testing.T) {
	text := string(wire.AppendText(nil, []byte(encoded(example())+"x"))) // of a length with unused bits
	require.NotZero(t, len(text)%4)
	_, err := wire.DecodeText(text)
	require.NoError(t, err)
	last := len(text) - 1
	for name, other := range map[string]string{
		"padded":             text + strings.Repeat("=", 4-len(text)%4),
		"line end":           text + "\n",
		"line end inside":    text[:8] + "\r\n" + text[8:],
		"blank":              " " + text,
		"standard alphabet":  strings.NewReplacer("-", "+", "_", "/").Replace(text[:last-3]) + "+/" + text[last-3:],
		"unused bits set":    text[:last] + string(text[last]+1),
		"one character less": text[:len(text)-len(text)%4+1],
		"comma":              text + ",",
		"not ASCII":          text + "ä",
		"NUL":                text + "\x00",
	} {
		_, err := wire.DecodeText(other)
		require.ErrorIs(t, err, wire.ErrNotMacaroon, name)
		require.EqualError(t, err, "macaroon: not a macaroon: text other than unpadded base64url", "the input must not be quoted")
	}
}

// At every place every byte is read as encoding/base64 reads it, or refused.
func TestTextByteByByte(t *testing.T) {
	slow := base64.RawURLEncoding.Strict()
	for size := range 36 {
		text := []byte(wire.EncodeText([]byte(strings.Repeat("\x5a\xa5\xff", 12)[:size])))
		for i, was := range text {
			for c := range 256 {
				text[i] = byte(c)
				want, err := slow.DecodeString(string(text))
				got, refused := wire.DecodeText(string(text))
				if err != nil || c == '\n' || c == '\r' { // which encoding/base64 skips
					require.ErrorIs(t, refused, wire.ErrNotMacaroon)
					require.Empty(t, got)
				} else if refused != nil || got != string(want) {
					t.Fatalf("%q: %q, %v", text, got, refused)
				}
			}
			text[i] = was
		}
	}
}

// A claimed length or a long list must not make the decoder take more memory than a
// constant for each byte that is really there.
func TestMemoryIsLinear(t *testing.T) {
	claims := "\x02\x02" + string(binary.AppendUvarint(nil, 1<<40)) + "x"
	dense := "\x02\x02\x00\x00" + strings.Repeat("\x02\x00\x00", 1<<16) // the smallest caveats there are
	many := strings.Repeat("\x02\x02\x00\x00\x00\x06\x20"+strings.Repeat("s", 32), 1<<12)
	for name, data := range map[string]string{"claims": claims, "dense": dense, "many": many} {
		t.Run(name, func(t *testing.T) { decodeFrugally(t, data) })
	}
}

func decodeFrugally(t *testing.T, data string) ([]wire.Macaroon, error) {
	t.Helper()
	const perByte = 128     // a caveat of three bytes takes 48, and the list grows by steps
	const others = 64 << 10 // what the rest of the process may take meanwhile
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	list, err := decode(data)
	runtime.ReadMemStats(&after)
	require.LessOrEqual(t, after.TotalAlloc-before.TotalAlloc, uint64(perByte*len(data)+others))
	return list, err
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(encoded(example())))
	f.Add([]byte(encoded(example(), example())))
	f.Add([]byte(encoded(wire.Macaroon{})))
	f.Add([]byte("\x02\x02\x82\x00id\x00\x00\x06\x20"))
	f.Add([]byte("\x02\x02\xff\xff\xff\x7fid"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := decodeFrugally(t, string(data))
		if err != nil {
			require.Nil(t, list)
			return
		}
		again := encoded(list...)
		require.Equal(t, string(data), again, "what decodes encodes to the same bytes")
		size := 0
		for i := range list {
			size += wire.MaxSize(&list[i])
		}
		require.LessOrEqual(t, len(again), size)

		// The oracle reads more than we do, and must read what we do alike.
		var slow v2.Slice
		require.NoError(t, slow.UnmarshalBinary(data))
		require.Len(t, slow, len(list))
		for i, m := range slow {
			require.Equal(t, list[i].Location, m.Location())
			require.Equal(t, list[i].Identifier, string(m.Id()))
			require.Equal(t, list[i].Signature[:], m.Signature())
			require.Len(t, m.Caveats(), len(list[i].Caveats))
			for j, c := range m.Caveats() {
				require.Equal(t, list[i].Caveats[j], wire.Caveat{ID: string(c.Id), VerificationID: string(c.VerificationId), Location: c.Location})
			}
		}
	})
}

func FuzzText(f *testing.F) {
	f.Add("AgEOaHR0cDovL215YmFuay8")
	f.Add("A")
	f.Add("AA\n")
	f.Add("AB")
	f.Add("AgEOaHR0cDov-215YmFuay8_-__A")
	f.Add("AgEOaHR0cDov\n215YmFuay8_-__A")
	f.Fuzz(func(t *testing.T, text string) {
		data, err := wire.DecodeText(text)
		if err != nil {
			return
		}
		require.Equal(t, text, string(wire.AppendText(nil, []byte(data))))
		want, err := base64.RawURLEncoding.DecodeString(text)
		require.NoError(t, err)
		require.Equal(t, string(want), data)
	})
}
