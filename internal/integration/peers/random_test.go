package peers_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/legacy"
)

// TestRandomJourneys sends tokens of all shapes through the hands of all libraries. In the end each must accept
// what came out, and refuse what lacks a part of it or differs in a bit.
func TestRandomJourneys(t *testing.T) {
	journeys := 100
	if os.Getenv("AMARETTI_LONG") != "" {
		journeys = 4000
	}
	for seed := range uint64(journeys) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 5))
			journey := journey{Rand: r, t: t, version: 1 + min(1, r.IntN(3)), met: []string{extra}}
			journey.run()
		})
	}
}

// extra is a condition that counts as met, for who adds it without signing it. (One that is not met would be no
// test: pymacaroons leaves it out of the chain, and so decides about the token that was signed.)
const extra = "account = 42"

// A journey is what happens to one token and its discharges.
type journey struct {
	*rand.Rand
	t       *testing.T
	version int
	met     []string      // every condition, and extra
	open    []restriction // third-party caveats that have no discharge yet
	parties int           // third-party caveats so far, of which there are few enough for the limit on nesting
}

func (j *journey) run() {
	key := []byte(j.of(text))
	token := j.token(key, []byte(j.id()))
	var discharges []string
	for len(j.open) > 0 {
		caveat := j.open[0]
		j.open = j.open[1:]
		discharges = append(discharges, j.token(caveat.RootKey, caveat.ID))
	}
	presented := []string{token}
	if len(discharges) > 0 {
		sender, as := j.readerOf(append(discharges, token)...)
		presented = append(presented, sender.bind(j.t, token, as, discharges...)...)
	}
	elsewhere := make([]string, len(presented))
	for i, token := range presented {
		if !(theirs{javascript}).reads(formOf(j.t, token)) {
			presented[i] = export(j.t, single(j.t, token), form{j.version, true})
		}
		elsewhere[i] = j.changed(token, func(parts map[string]any) { parts["l"] = "elsewhere" })
	}
	changes := j.changes(presented)
	for _, l := range libraries {
		require.NoError(j.t, l.verify(j.t, key, presented, j.met), l)
		require.NoError(j.t, l.verify(j.t, key, elsewhere, j.met), "%s: a location is not authenticated", l)
		for why, tokens := range changes {
			requireRefused(j.t, l.verify(j.t, key, tokens, j.met), l, why)
		}
	}
}

// token mints a macaroon and passes it on a few times.
func (j *journey) token(key, id []byte) string {
	by, as := j.writer()
	token := by.mint(j.t, key, string(id), j.location(), as)
	for range j.IntN(4) {
		by, as = j.readerOf(token)
		var caveats []restriction
		for range 1 + j.IntN(3) {
			caveats = append(caveats, j.restriction())
		}
		token = by.attenuate(j.t, token, as, caveats...)
	}
	return token
}

func (j *journey) restriction() restriction {
	if j.parties < 4 && j.IntN(4) == 0 {
		j.parties++
		// Each has a number, since discharges are found by their identifier.
		c := restriction{ID: fmt.Appendf(nil, "%d %s", j.parties, j.id()), RootKey: []byte(j.of(text)), Location: j.location()}
		j.open = append(j.open, c)
		return c
	}
	condition := []string{"account", "note"}[j.IntN(2)] + " =" + j.of(text)
	j.met = append(j.met, condition)
	return restriction{ID: []byte(condition)}
}

// writer chooses who does the next step, and the form.
func (j *journey) writer() (library, form) {
	for {
		l, as := libraries[j.IntN(len(libraries))], form{j.version, j.IntN(2) == 0}
		if l.writes(as) {
			return l, as
		}
	}
}

// readerOf is writer among those who read these tokens.
func (j *journey) readerOf(tokens ...string) (library, form) {
	for {
		l, as := j.writer()
		if !slices.ContainsFunc(tokens, func(token string) bool { return !l.reads(formOf(j.t, token)) }) {
			return l, as
		}
	}
}

const (
	ascii = "abcXYZ0189 _-+/=.,:;'\"\\<>&{}[]%"
	text  = ascii + "\u00e9\u2264\u2028\ufffd\U0001f642"
)

// of is some text, not empty, of the characters in pool, which are those that encodings like to get wrong.
func (j *journey) of(pool string) string {
	runes := []rune(pool)
	out := make([]rune, 1+j.IntN(1<<j.IntN(7)))
	for i := range out {
		out[i] = runes[j.IntN(len(runes))]
	}
	return string(out)
}

// name is what may stand in an identifier or location: pymacaroons counts the letters of those, and not the bytes,
// when it writes v1.
func (j *journey) name() string {
	if j.version == 1 {
		return j.of(ascii)
	}
	return j.of(text)
}

// id is an identifier: in version 2 bytes as often as text.
func (j *journey) id() string {
	if j.version == 1 || j.IntN(2) == 0 {
		return j.name()
	}
	id := make([]byte, 1+j.IntN(100))
	for i := range id {
		id[i] = byte(j.Uint32())
	}
	return string(id)
}

// location may be empty: not so in v1, in which pymacaroons then writes a third-party caveat as one of the first party.
func (j *journey) location() string {
	if j.version == 2 && j.IntN(3) == 0 {
		return ""
	}
	return "https://id.example/" + j.name()
}

// changes are presentations that must be refused, by what is wrong with them.
func (j *journey) changes(presented []string) map[string][]string {
	with := func(i int, token string) []string {
		list := append([]string(nil), presented...)
		list[i] = token
		return list
	}
	changes := make(map[string][]string)
	i := j.IntN(len(presented))
	changes["a bit of the signature"] = with(i, j.flipped(presented[i]))
	changes["another identifier"] = with(i, j.changed(presented[i], func(parts map[string]any) {
		delete(parts, "i64")
		parts["i"] = "somebody else's"
	}))
	changes["one caveat more"] = with(i, j.changed(presented[i], func(parts map[string]any) {
		caveats, _ := parts["c"].([]any)
		parts["c"] = append(caveats, map[string]any{"i": extra})
	}))
	if caveats := single(j.t, presented[i]).Inspect().Caveats().Len(); caveats > 0 {
		which := j.IntN(caveats)
		changes["one caveat less"] = with(i, j.changed(presented[i], func(parts map[string]any) {
			list := parts["c"].([]any)
			parts["c"] = append(list[:which:which], list[which+1:]...)
		}))
	}
	if n := len(presented); n > 1 {
		changes["one discharge less"] = presented[:n-1]
	}
	return changes
}

// changed does something to the v2 JSON of a token.
func (j *journey) changed(token string, change func(parts map[string]any)) string {
	data, err := legacy.ExportV2JSON(single(j.t, token))
	require.NoError(j.t, err)
	var parts map[string]any
	require.NoError(j.t, json.Unmarshal(data, &parts))
	change(parts)
	data, err = json.Marshal(parts)
	require.NoError(j.t, err)
	return string(data)
}

// flipped is the token with one bit of its signature flipped.
func (j *journey) flipped(token string) string {
	data, err := single(j.t, token).MarshalBinary()
	require.NoError(j.t, err)
	data[len(data)-1-j.IntN(32)] ^= 1 << j.IntN(8)
	return base64.RawURLEncoding.EncodeToString(data)
}

func formOf(t testing.TB, token string) form {
	t.Helper()
	_, got, err := legacy.Import([]byte(token))
	require.NoError(t, err, token)
	for _, f := range forms {
		if f.legacyForm() == got {
			return f
		}
	}
	t.Fatalf("%s: %s", got, token)
	return form{}
}
