//go:build !race

package caveat_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
)

func requireAllocs(t *testing.T, want int, f func()) {
	t.Helper()
	require.Equal(t, float64(want), testing.AllocsPerRun(100, f))
}

func TestDecidingAllocatesNothing(t *testing.T) {
	ctx, req := t.Context(), request()
	for _, c := range met {
		t.Run(c.name, func(t *testing.T) {
			predicate, err := caveat.Standard().Compile(c.condition)
			require.NoError(t, err)
			requireAllocs(t, 0, func() {
				if caveat.Standard().Check(ctx, req, c.condition) != nil || predicate.Check(ctx, req) != nil {
					panic("refused")
				}
			})
		})
	}
}

func TestPathsAllocateNothing(t *testing.T) {
	pattern, path := caveat.Pattern("/a/*/%2A/**"), "/a/"+strings.Repeat("b", 1000)+"/%2A/c"
	requireAllocs(t, 0, func() {
		canonical, ok := caveat.CanonicalPath(path)
		if !ok || canonical != path || !pattern.Match(path) || caveat.EscapeSegment("segment") != "segment" {
			panic("not canonical")
		}
	})
}

// A refusal costs a few small allocations, however long the condition is.
func TestRefusalIsCheap(t *testing.T) {
	const runs, most = 10, 4096
	ctx, req := t.Context(), request()
	for _, start := range []string{"unknown ", "time-before ", "allow ", "audience \n", "client-ip ", "cert-sha256 ", "http-path ", "\xff"} {
		condition := start + strings.Repeat("!", 1<<20)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			require.Error(t, caveat.Standard().Check(ctx, req, condition))
		}
		runtime.ReadMemStats(&after)
		require.Less(t, (after.TotalAlloc-before.TotalAlloc)/runs, uint64(most), start)
	}
}
