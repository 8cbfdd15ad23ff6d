package caveat_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
)

var reserved = []string{"time-before", "time-after", "allow", "deny", "audience", "branch", "declared", "error"}

func TestStandardNames(t *testing.T) {
	want := []string{"allow", "audience", "branch", "cert-sha256", "client-ip", "content-digest", "deny", "error", "grpc-method",
		"http-host", "http-method", "http-path", "http:client-ip-addr", "http:origin", "resource", "spki-sha256", "time-after",
		"time-before"}
	require.Equal(t, want, caveat.Standard().Names())
	require.Equal(t, want, caveat.Registry{}.Names())

	caveat.Standard().Names()[0] = "changed"
	require.Equal(t, want, caveat.Standard().Names())
}

func TestZeroRegistryIsStandard(t *testing.T) {
	for _, c := range met {
		requireBoth(t, caveat.Registry{}, request(), c.condition, nil)
	}
	requireBoth(t, caveat.Registry{}, request(), "region eu", caveat.ErrUnknown)
}

func TestWithRefusesNamesThatAreTaken(t *testing.T) {
	for _, name := range append(slices.Clone(reserved), caveat.Standard().Names()...) {
		registry, err := caveat.Standard().With(define(name, nil))
		require.Error(t, err, name)
		require.Equal(t, caveat.Registry{}, registry)
	}
	_, err := caveat.Standard().With(define("region", nil), define("region", nil))
	require.ErrorContains(t, err, `kind 1: the name "region" is taken`)

	region, err := caveat.Standard().With(define("region", nil))
	require.NoError(t, err)
	_, err = region.With(define("region", nil))
	require.ErrorContains(t, err, `kind 0: the name "region" is taken`)
}

func TestWithReportsAllProblems(t *testing.T) {
	_, err := caveat.Standard().With(define("allow", nil), nil, define("Bad", nil), define("fine", nil), define("http-path", nil))
	require.Error(t, err)
	for _, want := range []string{`kind 0: the name "allow" is reserved`, "kind 1 is nil", `kind 2: "Bad": not a name`, `kind 4: the name "http-path" is taken`} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "kind 3")
	require.Equal(t, 1, strings.Count(err.Error(), "caveat: "))
}

func TestRegistryIsImmutable(t *testing.T) {
	one, err := caveat.Standard().With(define("one", nil))
	require.NoError(t, err)
	two, err := one.With(define("two", nil))
	require.NoError(t, err)
	other, err := one.With(define("two", caveat.ErrNotMet))
	require.NoError(t, err)

	requireBoth(t, caveat.Standard(), request(), "one x", caveat.ErrUnknown)
	requireBoth(t, one, request(), "two x", caveat.ErrUnknown)
	requireBoth(t, two, request(), "one x", nil)
	requireBoth(t, two, request(), "two x", nil)
	requireBoth(t, other, request(), "two x", caveat.ErrNotMet)
	require.Len(t, two.Names(), len(caveat.Standard().Names())+2)
	require.True(t, slices.IsSorted(two.Names()))
}

// renamed is a kind that says it has another name than the one that Define looked at.
type renamed struct{ caveat.Definition }

func (renamed) Name() string { return "time-before" }

// TestWithTakesTheKindItself: not what points to one or is built around one, which could be changed, or say something
// else, once it is in the registry.
func TestWithTakesTheKindItself(t *testing.T) {
	kind := define("region", caveat.ErrNotMet)
	registry, err := caveat.Standard().With(&kind)
	require.NoError(t, err)
	kind = define("region", nil)
	requireBoth(t, registry, request(), "region x", caveat.ErrNotMet)
	kind = caveat.Kind[string]{}
	requireBoth(t, registry, request(), "region x", caveat.ErrNotMet)

	changed := &struct{ caveat.Kind[string] }{define("zone", caveat.ErrNotMet)}
	registry, err = caveat.Standard().With(changed, renamed{define("fine", nil)})
	require.NoError(t, err)
	changed.Kind = define("zone", nil)
	requireBoth(t, registry, request(), "zone x", caveat.ErrNotMet)
	requireBoth(t, registry, request(), "fine x", nil)
	requireBoth(t, registry, request(), "time-before x", caveat.ErrMalformed)
	require.Len(t, registry.Names(), len(caveat.Standard().Names())+2)

	_, err = caveat.Standard().With(renamed{define("allow", nil)})
	require.ErrorContains(t, err, `the name "allow" is reserved`)

	for name, none := range map[string]caveat.Definition{
		"nil":                     nil,
		"nil pointer":             (*caveat.Kind[string])(nil),
		"around nil":              renamed{},
		"around a nil pointer":    struct{ *caveat.Kind[string] }{},
		"nil pointer to a struct": (*renamed)(nil),
	} {
		t.Run(name, func(t *testing.T) {
			registry, err := caveat.Standard().With(none)
			require.ErrorContains(t, err, "kind 0 is nil")
			require.Equal(t, caveat.Registry{}, registry)
		})
	}
}

// declared is the verifier's; to a registry it means nothing.
func TestDeclaredIsUnknown(t *testing.T) {
	requireBoth(t, caveat.Standard(), request(), "declared user ann", caveat.ErrUnknown)
	requireBoth(t, caveat.Standard(), request(), "declared user ", caveat.ErrUnknown)
}

func TestZeroPredicateDenies(t *testing.T) {
	require.Error(t, caveat.Predicate{}.Check(t.Context(), request()))
}

func TestCheckNeedsContextAndRequest(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range met {
		predicate, err := caveat.Standard().Compile(c.condition)
		require.NoError(t, err)
		for _, check := range []func(context.Context, *caveat.Request) error{
			predicate.Check,
			func(ctx context.Context, r *caveat.Request) error {
				return caveat.Standard().Check(ctx, r, c.condition)
			},
		} {
			err := check(ended, request())
			require.ErrorIs(t, err, context.Canceled)
			require.True(t, caveat.IsUndecided(err))
			require.ErrorIs(t, check(t.Context(), nil), caveat.ErrAbsent)
			require.ErrorIs(t, check(nil, request()), caveat.ErrAbsent)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	registry, err := caveat.Standard().With(define("region", nil))
	require.NoError(t, err)
	req, facts := request(), caveat.Facts{}.With(zone.Is("eu"))
	predicates := make([]caveat.Predicate, len(met))
	for i, c := range met {
		predicates[i], err = registry.Compile(c.condition)
		require.NoError(t, err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i, c := range met {
				if registry.Check(t.Context(), req, c.condition) != nil || predicates[i].Check(t.Context(), req) != nil {
					t.Error(c.condition)
				}
			}
			more, err := registry.With(define("more", nil))
			if err != nil || len(more.Names()) != len(registry.Names())+1 {
				t.Error("With")
			}
			if got, ok := zone.Get(&caveat.Request{Facts: facts.With(floor.Is(3))}); !ok || got != "eu" {
				t.Error("Facts")
			}
			if _, err := caveat.ExpiresIn(1).Condition(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
