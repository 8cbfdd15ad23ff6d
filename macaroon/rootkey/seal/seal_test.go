package seal_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
)

func Example() {
	kek := sha256.Sum256([]byte("of course it comes from a secrets manager"))
	sealer, err := seal.NewKey(kek[:])
	if err != nil {
		panic(err)
	}
	sealed, err := sealer.Seal("orders", "mfrggzdfmztwq", []byte("root key"))
	if err != nil {
		panic(err)
	}
	plaintext, err := sealer.Open("orders", "mfrggzdfmztwq", sealed)
	fmt.Printf("%s %v\n", plaintext, err)
	_, err = sealer.Open("billing", "mfrggzdfmztwq", sealed)
	fmt.Println(errors.Is(err, seal.ErrOpen))
	// Output:
	// root key <nil>
	// true
}

// Between two keys: in each step, processes that are a step further and others open what either seals.
func ExampleSealer_AlsoOpens() {
	before, _ := seal.NewPassphrase([]byte("what everybody has known for years"))
	kek := sha256.Sum256([]byte("of course it comes from a secrets manager"))
	after, _ := seal.NewKey(kek[:])

	steps := []*seal.Sealer{before, before.AlsoOpens(after), after.AlsoOpens(before), after}
	for i := range len(steps) - 1 {
		former, next := steps[i], steps[i+1]
		sealed, _ := next.Seal("orders", "mfrggzdfmztwq", []byte("root key"))
		plaintext, err := former.Open("orders", "mfrggzdfmztwq", sealed)
		fmt.Printf("%s %v, ", plaintext, err)
		sealed, _ = former.Seal("orders", "mfrggzdfmztwq", []byte("root key"))
		plaintext, err = next.Open("orders", "mfrggzdfmztwq", sealed)
		fmt.Printf("%s %v\n", plaintext, err)
	}
	// Output:
	// root key <nil>, root key <nil>
	// root key <nil>, root key <nil>
	// root key <nil>, root key <nil>
}

// key makes a sealer of a key, one for each n.
func key(t testing.TB, n byte) *seal.Sealer {
	t.Helper()
	kek := sha256.Sum256([]byte{n})
	s, err := seal.NewKey(kek[:])
	require.NoError(t, err)
	return s
}

// cheap derives as a test can afford it.
func cheap(passphrase []byte, salt [16]byte) [32]byte {
	return sha256.Sum256(append(salt[:], passphrase...))
}

// counting makes a passphrase sealer that counts its derivations.
func counting(text string) (*seal.Sealer, *atomic.Int64) {
	var n atomic.Int64
	return seal.NewCheapPassphrase(text, func(passphrase []byte, salt [16]byte) [32]byte {
		n.Add(1)
		return cheap(passphrase, salt)
	}), &n
}

func forms(t testing.TB) map[string]*seal.Sealer {
	return map[string]*seal.Sealer{
		"key":        key(t, 1),
		"passphrase": seal.NewCheapPassphrase("one", cheap),
		"plaintext":  seal.InsecurePlaintext(),
	}
}

func TestConstructorsRefuse(t *testing.T) {
	good := sha256.Sum256(nil)
	for name, kek := range map[string][]byte{
		"nil":             nil,
		"short":           good[:31],
		"long":            append(good[:], 1),
		"zeros":           make([]byte, 32),
		"one byte":        bytes.Repeat([]byte{0xa7}, 32),
		"printable":       []byte("0123456789abcdef0123456789abcdef"),
		"hex of the key":  []byte(hex.EncodeToString(good[:])),
		"printable edges": []byte(strings.Repeat(" ~", 16)),
		"with a newline":  []byte("0123456789abcdef0123456789abcd\r\n"),
	} {
		s, err := seal.NewKey(kek)
		require.ErrorContains(t, err, "seal: key: ", name)
		require.Nil(t, s, name)
	}
	for _, c := range []byte{0, '\t' - 1, '\r' + 1, ' ' - 1, '~' + 1} {
		_, err := seal.NewKey(append([]byte("0123456789abcdef0123456789abcde"), c))
		require.NoError(t, err)
	}

	for name, text := range map[string]string{
		"empty": "", "short": "fifteen bytes..", "one byte": strings.Repeat("x", 40),
	} {
		s, err := seal.NewPassphrase([]byte(text))
		require.ErrorContains(t, err, "seal: passphrase: ", name)
		require.Nil(t, s, name)
	}
	_, err := seal.NewPassphrase([]byte("sixteen bytes..."))
	require.NoError(t, err)
}

// What others wrote by the description in doc.go opens, so the formats stay what they are.
func TestGolden(t *testing.T) {
	data, err := os.ReadFile("testdata/golden.json")
	require.NoError(t, err)
	var golden struct {
		Key, Passphrase string
		Records         []struct {
			Form, Store, Plaintext, Sealed string
			KeyID                          string `json:"key_id"`
		}
	}
	require.NoError(t, json.Unmarshal(data, &golden))
	require.Len(t, golden.Records, 9)

	kek, text := unhex(t, golden.Key), unhex(t, golden.Passphrase)
	k, err := seal.NewKey(kek)
	require.NoError(t, err)
	p, err := seal.NewPassphrase(text)
	require.NoError(t, err)
	clear(kek) // which were copied
	clear(text)
	sealers := map[string]*seal.Sealer{"key": k, "passphrase": p, "plaintext": seal.InsecurePlaintext()}
	for _, r := range golden.Records {
		for form, s := range sealers {
			plaintext, err := s.Open(r.Store, r.KeyID, unhex(t, r.Sealed))
			if form != r.Form {
				require.ErrorIs(t, err, seal.ErrOpen)
				continue
			}
			require.NoError(t, err, r.Form)
			require.Equal(t, r.Plaintext, hex.EncodeToString(plaintext))

			anew, err := s.Seal(r.Store, r.KeyID, plaintext)
			require.NoError(t, err)
			require.Len(t, anew, len(r.Sealed)/2)
			require.Equal(t, r.Sealed[:2], hex.EncodeToString(anew[:1]))
		}
	}
}

func unhex(t *testing.T, text string) []byte {
	b, err := hex.DecodeString(text)
	require.NoError(t, err)
	return b
}

// TestNoncesAreRandom, and so are the salts of passphrases: no byte of them is always the same.
func TestNoncesAreRandom(t *testing.T) {
	sealers := map[string]func() *seal.Sealer{
		"key":        func() *seal.Sealer { return key(t, 1) },
		"passphrase": func() *seal.Sealer { return seal.NewCheapPassphrase("one", cheap) },
	}
	for name, size := range map[string]int{"key": 24, "passphrase": 16 + 24} {
		var list [][]byte
		for range 8 {
			sealed, err := sealers[name]().Seal("store", "key", nil)
			require.NoError(t, err)
			list = append(list, sealed[1:1+size])
		}
		for i := range size {
			require.True(t, slices.ContainsFunc(list, func(b []byte) bool { return b[i] != list[0][i] }), "%s, byte %d", name, i)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for name, s := range forms(t) {
		for _, size := range []int{0, 1, 32, 70_000} {
			plaintext := bytes.Repeat([]byte{0, 0xff, 'x'}, size)[:size]
			sealed, err := s.Seal("store", "key", plaintext)
			require.NoError(t, err, name)
			got, err := s.Open("store", "key", bytes.Clone(sealed))
			require.NoError(t, err, name)
			require.True(t, bytes.Equal(plaintext, got), name)

			// What is returned shares nothing with what was given.
			clear(got)
			again, err := s.Open("store", "key", sealed)
			require.NoError(t, err, name)
			require.True(t, bytes.Equal(plaintext, again), name)

			if name != "plaintext" {
				require.False(t, size > 1 && bytes.Contains(sealed, plaintext), name)
				other, err := s.Seal("store", "key", plaintext)
				require.NoError(t, err)
				require.NotEqual(t, sealed, other, "a nonce of its own")
			}
		}
	}
}

func TestDamage(t *testing.T) {
	for name, s := range forms(t) {
		sealed, err := s.Seal("store", "key", []byte("thirty-two bytes of a root key.."))
		require.NoError(t, err)
		for i := range sealed {
			for bit := range 8 {
				bad := bytes.Clone(sealed)
				bad[i] ^= 1 << bit
				refused(t, s, bad, "%s: byte %d, bit %d", name, i, bit)
			}
			refused(t, s, sealed[:i], "%s: cut to %d bytes", name, i)
			refused(t, s, sealed[i+1:], "%s: without the first %d", name, i+1)
		}
		refused(t, s, append(bytes.Clone(sealed), 0), "%s: longer", name)
		refused(t, s, nil, "%s: nil", name)
	}
}

func refused(t *testing.T, s *seal.Sealer, sealed []byte, format string, args ...any) {
	t.Helper()
	plaintext, err := s.Open("store", "key", sealed)
	if err != seal.ErrOpen || plaintext != nil {
		require.Fail(t, "opened", format, args)
	}
}

func TestPlaces(t *testing.T) {
	for name, s := range forms(t) {
		sealed, err := s.Seal("store", "key", []byte("root key"))
		require.NoError(t, err)
		for _, place := range [][2]string{
			{"store", "kez"}, {"storf", "key"}, {"key", "store"}, {"", ""}, {"storekey", ""}, {"", "storekey"},
			{"storek", "ey"}, {"stor", "ekey"}, {"store", "key\x00"}, {"store\x00", "key"}, {"Store", "key"},
			{"store\x00\x00\x00\x00\x00\x00\x00\x03key", ""},
		} {
			_, err := s.Open(place[0], place[1], sealed)
			require.ErrorIs(t, err, seal.ErrOpen, "%s: %q", name, place)
		}
	}
}

// Nobody opens what another sealed, least of all plaintext.
func TestOthers(t *testing.T) {
	sealers := forms(t)
	sealers["another key"] = key(t, 2)
	sealers["another passphrase"] = seal.NewCheapPassphrase("two", cheap)
	for from, s := range sealers {
		sealed, err := s.Seal("store", "key", []byte("root key"))
		require.NoError(t, err)
		for to, other := range sealers {
			_, err := other.Open("store", "key", sealed)
			if from == to {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, seal.ErrOpen, "%s to %s", from, to)
			}
		}
	}
}

func TestAlsoOpens(t *testing.T) {
	a, b, c := key(t, 1), seal.NewCheapPassphrase("two", cheap), seal.InsecurePlaintext()
	all := a.AlsoOpens(b.AlsoOpens(c), nil, new(seal.Sealer))
	for _, s := range []*seal.Sealer{a, b, c, all} {
		sealed, err := s.Seal("store", "key", []byte("root key"))
		require.NoError(t, err)
		_, err = all.Open("store", "key", sealed)
		require.NoError(t, err)
		refused(t, all, sealed[1:], "damaged")
	}
	sealed, err := all.Seal("store", "key", []byte("root key"))
	require.NoError(t, err)
	_, err = a.Open("store", "key", sealed)
	require.NoError(t, err, "seals as the receiver")
	_, err = b.Open("store", "key", sealed)
	require.ErrorIs(t, err, seal.ErrOpen)
	sealed, err = c.Seal("store", "key", []byte("root key"))
	require.NoError(t, err)
	_, err = a.Open("store", "key", sealed)
	require.ErrorIs(t, err, seal.ErrOpen, "the receiver itself is as it was")

	// Two made of one don't write over each other.
	one := a.AlsoOpens(b, key(t, 3)) // three of them, in room for four
	two, three := one.AlsoOpens(c), one.AlsoOpens(key(t, 2))
	_, err = two.Open("store", "key", sealed)
	require.NoError(t, err)
	_, err = three.Open("store", "key", sealed)
	require.ErrorIs(t, err, seal.ErrOpen)
}

func TestZeroRefuses(t *testing.T) {
	good := key(t, 1)
	sealed, err := good.Seal("store", "key", nil)
	require.NoError(t, err)
	for name, s := range map[string]*seal.Sealer{
		"nil": nil, "zero": {}, "of nil": (*seal.Sealer)(nil).AlsoOpens(good), "of zero": new(seal.Sealer).AlsoOpens(good),
	} {
		_, err := s.Seal("store", "key", []byte("root key"))
		require.ErrorContains(t, err, "no key", name)
		_, err = s.Open("store", "key", sealed)
		require.ErrorContains(t, err, "no key", name)
	}
}

func TestDerivesOnce(t *testing.T) {
	writer, n := counting("one")
	records := make([][]byte, 20)
	var wg sync.WaitGroup
	for i := range records {
		wg.Go(func() { records[i], _ = writer.Seal("store", "key", []byte("root key")) })
	}
	wg.Wait()
	for _, sealed := range records {
		require.Equal(t, records[0][1:17], sealed[1:17], "one salt")
	}
	for _, sealed := range records {
		_, err := writer.Open("store", "key", sealed)
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, n.Load())

	// Another process: one derivation, however many come at once, and it seals under
	// the salt that it found.
	reader, n := counting("one")
	for _, sealed := range records {
		wg.Go(func() {
			_, err := reader.Open("store", "key", sealed)
			require.NoError(t, err)
		})
	}
	wg.Wait()
	sealed, err := reader.Seal("store", "key", nil)
	require.NoError(t, err)
	require.Equal(t, records[0][1:17], sealed[1:17])
	require.EqualValues(t, 1, n.Load())

	// With another passphrase: one derivation for all records of the salt, though none opens.
	stranger, n := counting("two")
	for _, sealed := range records {
		_, err := stranger.Open("store", "key", sealed)
		require.ErrorIs(t, err, seal.ErrOpen)
	}
	require.EqualValues(t, 1, n.Load())
	sealed, err = stranger.Seal("store", "key", nil)
	require.NoError(t, err)
	require.NotEqual(t, records[0][1:17], sealed[1:17], "a salt is taken over only with a record that opens")
}

func TestStrangeSalts(t *testing.T) {
	s, n := counting("one")
	sealed, err := s.Seal("store", "key", []byte("root key"))
	require.NoError(t, err)
	require.EqualValues(t, 1, n.Load())
	for i := range 100 {
		flood := bytes.Clone(sealed)
		flood[1], flood[2] = flood[1]+1, byte(i)
		refused(t, s, flood, "salt %d", i)
	}
	require.EqualValues(t, 101, n.Load())
	_, err = s.Open("store", "key", sealed)
	require.NoError(t, err)
	require.EqualValues(t, 101, n.Load(), "the flood drove nothing out")

	// A record that is too short to be one costs no derivation at all.
	refused(t, s, bytes.Repeat([]byte{3}, 1+16+24+15), "short")
	require.EqualValues(t, 101, n.Load())
}

func TestManySalts(t *testing.T) {
	reader, n := counting("one")
	var records [][]byte
	for range seal.MaxKept + 1 {
		writer, _ := counting("one")
		sealed, err := writer.Seal("store", "key", []byte("root key"))
		require.NoError(t, err)
		records = append(records, sealed)
	}
	open := func(i int) {
		_, err := reader.Open("store", "key", records[i])
		require.NoError(t, err)
	}
	for range 3 {
		for i := range seal.MaxKept {
			open(i)
		}
	}
	require.EqualValues(t, seal.MaxKept, n.Load(), "all of them are kept")
	open(seal.MaxKept) // drives out the oldest but the one that seals
	open(seal.MaxKept)
	open(0)
	require.EqualValues(t, seal.MaxKept+1, n.Load())
	open(1)
	require.EqualValues(t, seal.MaxKept+2, n.Load())
	sealed, err := reader.Seal("store", "key", nil)
	require.NoError(t, err)
	require.Equal(t, records[0][1:17], sealed[1:17])
}

// Derivations are one at a time, and don't hold up those who have their key.
func TestOneDerivationAtATime(t *testing.T) {
	var running, most atomic.Int64
	started, release := make(chan struct{}, 100), make(chan struct{})
	var slow atomic.Bool
	s := seal.NewCheapPassphrase("one", func(passphrase []byte, salt [16]byte) [32]byte {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		if slow.Load() {
			started <- struct{}{}
			<-release
		}
		return cheap(passphrase, salt)
	})
	sealed, err := s.Seal("store", "key", []byte("root key"))
	require.NoError(t, err)
	slow.Store(true)
	var wg sync.WaitGroup
	for i := range 10 {
		flood := bytes.Clone(sealed)
		flood[1] ^= byte(i + 1)
		wg.Go(func() { s.Open("store", "key", flood) })
	}
	<-started
	_, err = s.Open("store", "key", sealed)
	require.NoError(t, err)
	close(release)
	wg.Wait()
	require.EqualValues(t, 1, most.Load())
}

func TestNothingPrints(t *testing.T) {
	kek := sha256.Sum256([]byte{1})
	const text = "correct horse battery staple"
	derivedKey := cheap([]byte(text), [16]byte{})
	p := seal.NewCheapPassphrase(text, func([]byte, [16]byte) [32]byte { return derivedKey })
	_, err := p.Seal("store", "key", nil)
	require.NoError(t, err)
	type holder struct {
		s *seal.Sealer
		v seal.Sealer
	}
	for _, s := range []*seal.Sealer{key(t, 1), p, p.AlsoOpens(key(t, 1))} {
		require.Equal(t, "sealer", s.String())
		for _, v := range []any{s, *s, holder{s, *s}, &holder{s, *s}, seal.NewHolder(s), struct{ h *seal.Holder }{seal.NewHolder(s)}} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%p", "%t"} {
				out := strings.ToLower(fmt.Sprintf(verb, v))
				for _, secret := range [][]byte{[]byte(text), kek[:4], derivedKey[:4]} {
					require.NotContains(t, out, string(secret))
					require.NotContains(t, out, hex.EncodeToString(secret))
					require.NotContains(t, out, strings.Trim(fmt.Sprint(secret), "[]"))
					require.NotContains(t, out, fmt.Sprintf("0x%x, 0x%x, 0x%x", secret[0], secret[1], secret[2]))
				}
			}
		}
		require.Equal(t, "sealer", fmt.Sprintf("%d", s))
	}
}

func FuzzOpen(f *testing.F) {
	sealers := forms(f)
	for _, s := range sealers {
		sealed, err := s.Seal("store", "key", []byte("root key"))
		require.NoError(f, err)
		f.Add(sealed, "store", "key")
		f.Add(sealed[:len(sealed)-1], "store", "key")
	}
	f.Add([]byte(nil), "", "")
	f.Add([]byte{3}, "store", "")
	all := key(f, 1).AlsoOpens(sealers["passphrase"], sealers["plaintext"])
	f.Fuzz(func(t *testing.T, data []byte, store, keyID string) {
		for _, s := range []*seal.Sealer{sealers["key"], sealers["passphrase"], sealers["plaintext"], all} {
			plaintext, err := s.Open(store, keyID, data)
			if err != nil {
				require.Equal(t, seal.ErrOpen, err)
				require.Nil(t, plaintext)
			}
			// Any bytes at all come back from their place, and from no other.
			sealed, err := s.Seal(store, keyID, data)
			require.NoError(t, err)
			back, err := s.Open(store, keyID, sealed)
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, back))
			_, err = s.Open(store+keyID, "", sealed)
			require.Equal(t, keyID == "", err == nil)
		}
	})
}
