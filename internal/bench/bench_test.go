package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon"
)

// deciders are the contenders that decide anything.
func deciders() []entry {
	var all []entry
	for _, e := range entries() {
		if e.name != floorName {
			all = append(all, e)
		}
	}
	return all
}

func newContender(t *testing.T, e entry, g grant) contender {
	t.Helper()
	c, err := e.make(g)
	require.NoError(t, err)
	return c
}

func mintText(t *testing.T, c contender) string {
	t.Helper()
	text, err := c.mint()
	require.NoError(t, err)
	return text
}

var soon = time.Now().Add(time.Hour)

// Nobody may win by not looking: each contender allows the request that it should, and refuses each that
// differs in one point that its token restricts.
func TestContendersDecide(t *testing.T) {
	for _, e := range deciders() {
		for _, n := range caveats {
			t.Run(fmt.Sprintf("%s/%d", e.name, n), func(t *testing.T) {
				g := newGrant(n, soon)
				c := newContender(t, e, g)
				text := mintText(t, c)
				require.NotEqual(t, text, mintText(t, c), "two tokens are one")

				who, err := c.decide(scheme+text, newRequest())
				require.NoError(t, err)
				require.Equal(t, subject, who)

				refused := func(what, header string, r request) {
					t.Helper()
					who, err := c.decide(header, r)
					require.Error(t, err, what)
					require.Empty(t, who, what)
				}
				refused("no scheme", text, newRequest())
				refused("cut", scheme+text[:len(text)-1], newRequest())
				refused("another key", scheme+mintText(t, newContender(t, e, g)), newRequest())
				refused("expired", scheme+mintFor(t, e, c, newGrant(n, time.Now().Add(-time.Minute))), newRequest())
				if n == 1 {
					return
				}
				for what, change := range map[string]func(*request){
					"operation": func(r *request) { r.operation = "orders.delete" },
					"method":    func(r *request) { r.method = "POST" },
					"path":      func(r *request) { r.path = "/invoices/7" },
					"deeper":    func(r *request) { r.path = "/orders/7/lines" },
				} {
					r := newRequest()
					change(&r)
					refused(what, scheme+text, r)
				}
				// Each restriction counts, also those that come again.
				for i := range g.caveats {
					broken := newGrant(n, soon)
					switch broken.caveats[i].name {
					case "time-before":
						broken.caveats[i].until = time.Now().Add(-time.Minute)
					case "allow":
						broken.caveats[i].values = []string{"orders.list"}
					case "audience":
						broken.caveats[i].values = []string{"payments"}
					case "http-method":
						broken.caveats[i].values = []string{"DELETE"}
					case "http-path":
						broken.caveats[i].values = []string{"/invoices/*"}
					}
					refused(fmt.Sprintf("caveat %d: %s", i, g.caveats[i].name), scheme+mintFor(t, e, c, broken), newRequest())
				}
			})
		}
	}
}

// mintFor mints another grant under the key of c.
func mintFor(t *testing.T, e entry, c contender, g grant) string {
	t.Helper()
	switch c := c.(type) {
	case *cached:
		return mintFor(t, e, c.contender, g)
	case *amaretti:
		return mintText(t, &amaretti{g, c.keys, c.verifier})
	case *bareAmaretti:
		return mintText(t, &amaretti{g, c.keys, c.verifier})
	case *macaroonV2:
		return mintText(t, &macaroonV2{grant: g, keys: c.keys})
	case *bakery:
		return mintText(t, &bakery{g, c.oven, c.checker})
	case *jwt:
		other := *c
		other.grant = g
		return mintText(t, &other)
	case *paseto:
		other := *c
		other.grant = g
		return mintText(t, &other)
	}
	require.Fail(t, "unknown contender", e.name)
	return ""
}

// A character in the middle of each quarter of a token is changed. (Not the last ones: there, some
// encodings have bits that mean nothing.)
func TestContendersRefuseTampering(t *testing.T) {
	for _, e := range deciders() {
		t.Run(e.name, func(t *testing.T) {
			c := newContender(t, e, newGrant(detailed, soon))
			text := mintText(t, c)
			for quarter := range 4 {
				at := len(text) * (2*quarter + 1) / 8
				changed := []byte(text)
				changed[at] = 'A'
				if text[at] == 'A' {
					changed[at] = 'B'
				}
				_, err := c.decide(scheme+string(changed), newRequest())
				require.Error(t, err, "at %d of %d", at, len(text))
			}
		})
	}
}

// What a holder adds must reach the text that it gets.
func TestHoldersNarrow(t *testing.T) {
	count := 0
	for _, e := range deciders() {
		c := newContender(t, e, newGrant(1, soon))
		h, ok := c.(holder)
		if !ok {
			continue
		}
		count++
		t.Run(e.name, func(t *testing.T) {
			narrow, err := h.hold(mintText(t, c))
			require.NoError(t, err)
			for range 2 { // the second is made of the same token as the first
				text, err := narrow()
				require.NoError(t, err)
				_, err = c.decide(scheme+text, newRequest())
				require.NoError(t, err)
				other := newRequest()
				other.method = "POST"
				_, err = c.decide(scheme+text, other)
				require.Error(t, err)
			}
			_, err = h.hold("nonsense")
			require.Error(t, err)
		})
	}
	require.GreaterOrEqual(t, count, 2)
}

// What a sender adds must reach the text that it gets, anew for each request.
func TestSendersNarrow(t *testing.T) {
	count := 0
	for _, e := range deciders() {
		c := newContender(t, e, newGrant(detailed, soon))
		s, ok := c.(sender)
		if !ok {
			continue
		}
		count++
		t.Run(e.name, func(t *testing.T) {
			narrow, err := s.send(mintText(t, c))
			require.NoError(t, err)
			var before string
			for range 2 {
				text, err := narrow()
				require.NoError(t, err)
				require.NotEqual(t, before, text)
				before = text
				credential, err := macaroon.Parse(text)
				require.NoError(t, err)
				var names []string
				for _, written := range credential.Inspect().At(0).Caveats().All() {
					name, _, _ := strings.Cut(written.ID, " ")
					names = append(names, name)
				}
				require.Equal(t, []string{"time-before", "http-method", "http-path", "http-host"}, names[detailed:])
			}
			_, err = s.send("nonsense")
			require.Error(t, err)
		})
	}
	require.Positive(t, count)
}

func TestReadersRead(t *testing.T) {
	for _, e := range deciders() {
		c := newContender(t, e, newGrant(detailed, soon))
		if r, ok := c.(reader); ok {
			t.Run(e.name, func(t *testing.T) {
				require.NoError(t, r.read(mintText(t, c)))
				require.Error(t, r.read("nonsense"))
			})
		}
	}
}

func TestMatches(t *testing.T) {
	for _, row := range []struct {
		pattern, path string
		want          bool
	}{
		{"/orders/*", "/orders/7", true},
		{"/orders/*", "/orders", false},
		{"/orders/*", "/orders/7/lines", false},
		{"/orders/*/lines", "/orders/7/lines", true},
		{"/img", "/images", false},
		{"/a/", "/a", false},
		{"", "", true},
	} {
		t.Run(row.pattern+" "+row.path, func(t *testing.T) {
			require.Equal(t, row.want, matches(row.pattern, row.path))
		})
	}
}

// A short run goes all the way: every cell measured, every form of the report written.
func TestRunAndReport(t *testing.T) {
	cells, err := newCells(soon, sizes{requests: 1_000, revocations: 10_000})
	require.NoError(t, err)
	few := cells[:0]
	for _, c := range cells {
		if c.caveats == detailed {
			few = append(few, c)
		}
	}
	results, err := run(few, 0)
	require.NoError(t, err)
	require.Len(t, results, len(few))
	for _, r := range results {
		require.Positive(t, r.Nanoseconds, "%+v", r)
		require.Positive(t, r.AllCores, "%+v", r)
		switch {
		case r.Work == revocationsWork:
			require.Zero(t, r.Allocs)
		case r.Who != floorName:
			require.Positive(t, r.Allocs, "%+v", r)
			require.Positive(t, r.Bytes, "%+v", r)
		}
	}

	var out bytes.Buffer
	require.NoError(t, writeJSON(&out, results))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, len(results))
	var fields map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &fields))
	require.ElementsMatch(t, []string{"work", "caveats", "who", "ns", "allocs", "bytes", "ops_all_cores"}, keys(fields))

	file := filepath.Join(t.TempDir(), "chart.svg")
	require.NoError(t, writeChart(file, results))
	chart, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(chart), "</svg>")
	for _, e := range entries() {
		require.Contains(t, string(chart), e.name)
	}
	require.Error(t, writeChart(filepath.Join(file, "below", "a file"), results))
	require.NoError(t, writeTargets(io.Discard, results))
}

func keys(m map[string]any) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	return names
}

// The cache is measured at what it is for: all of the same token, none of those that are narrowed afresh, and
// of a replay no client's token is computed twice.
func TestCachedWorks(t *testing.T) {
	for _, n := range caveats {
		made, err := newCached(newGrant(n, soon))
		require.NoError(t, err)
		c := made.(*cached)
		ops, err := c.ops(10_000)
		require.NoError(t, err)
		v := underneath(t, c.contender).verifier
		for work, fresh := range map[string]bool{"decide-same": false, "decide-discharged": false, "decide-narrowed": true} {
			for range 3 {
				require.NoError(t, ops[work]())
			}
			before := v.Stats()
			for range 1000 {
				require.NoError(t, ops[work]())
			}
			after := v.Stats()
			if fresh {
				require.Greater(t, after.PartialHits-before.PartialHits, uint64(980), "%s with %d caveats", work, n)
			} else {
				require.EqualValues(t, 1000, after.Hits-before.Hits, "%s with %d caveats", work, n)
			}
		}
		if n == detailed {
			require.NoError(t, ops["replay"]())
			stats := c.replayer.verifier.Stats()
			require.EqualValues(t, 10_001, stats.Hits+stats.PartialHits+stats.Misses)
			require.Greater(t, stats.Misses, uint64(clients*9/10), "the first request of each client")
			require.LessOrEqual(t, stats.Misses, uint64(clients+200), "and hardly another")
			require.InDelta(t, 1-float64(stats.Misses)/10_001, c.hitRate(), 1e-9)
		} else {
			require.NotContains(t, ops, "replay")
		}
		require.NotContains(t, ops, "decide")
	}
}

// underneath is the library that a contender is, or is made of.
func underneath(t *testing.T, c contender) *amaretti {
	t.Helper()
	switch c := c.(type) {
	case *amaretti:
		return c
	case *bareAmaretti:
		return c.amaretti
	}
	require.Fail(t, "another contender")
	return nil
}

func TestReport(t *testing.T) {
	results := []result{
		{"decide", 1, floorName, 500, 0, 0, 2e6, 0},
		{"decide", 5, floorName, 2000, 0, 0, 5e5, 0},
		{"decide", 5, amarettiName, 4000, 8, 512, 2.5e5, 0},
	}
	var out bytes.Buffer
	require.NoError(t, writeTargets(&out, results))
	require.Equal(t, ""+
		"| amaretti's decision on five caveats | measured | target |        |\n"+
		"| ----------------------------------- | -------: | -----: | -----: |\n"+
		"| time, as a part of floor's          |    2.000 |   1.80 | MISSED |\n"+
		"| allocations                         |        8 |      8 |    met |\n\n", out.String())

	out.Reset()
	require.NoError(t, writeTargets(&out, append(results,
		result{"decide-same", 5, cachedName, 400, 2, 448, 3e6, 0},
		result{"replay", 5, cachedName, 2000, 6, 1500, 1e6, 0.97})))
	require.Contains(t, out.String(), "decision without     |    0.100 |   0.20 |    met |")
	require.Contains(t, out.String(), "|    1.200 |   0.90 |    met |")
	require.Contains(t, out.String(), "known in part        |    0.970 |   0.98 | MISSED |")

	out.Reset()
	require.NoError(t, writeTable(&out, results))
	require.Contains(t, out.String(), "| floor")
	require.Contains(t, out.String(), " 0.50 |")
	require.Contains(t, out.String(), " 2.00 |")
}

func TestMedian(t *testing.T) {
	xs := []float64{9, 1, 2}
	require.Equal(t, 2.0, median(xs))
	require.Equal(t, []float64{9, 1, 2}, xs)
	require.Equal(t, 1.5, median(xs[1:]))
}

// A contender that fails is named, not measured.
func TestRunFails(t *testing.T) {
	broken := &cell{work: "decide", caveats: 5, who: "nobody", op: func() error { return errDenied }}
	_, err := run([]*cell{broken}, time.Second)
	require.ErrorIs(t, err, errDenied)
	require.EqualError(t, err, "bench: nobody with 5 caveats: decide: denied")
}
