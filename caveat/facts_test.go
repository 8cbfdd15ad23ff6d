package caveat_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
)

var (
	zone  = caveat.NewFact[string]("zone")
	floor = caveat.NewFact[int]("floor")
)

func TestFacts(t *testing.T) {
	get := func(f caveat.Facts) (string, bool) { return zone.Get(&caveat.Request{Facts: f}) }
	empty := caveat.Facts{Method: "GET"}
	eu := empty.With(zone.Is("eu"), floor.Is(3))
	require.Equal(t, "zone", zone.Name())

	for _, row := range []struct {
		name  string
		facts caveat.Facts
		want  string
		ok    bool
	}{
		{"nothing stated", empty, "", false},
		{"stated", eu, "eu", true},
		{"something else stated", empty.With(floor.Is(3)), "", false},
		{"a zero value is a value", empty.With(zone.Is("")), "", true},
		{"stated twice", eu.With(zone.Is("us")), "", false},
		{"stated twice alike", eu.With(zone.Is("eu")), "", false},
		{"stated three times", eu.With(zone.Is("us"), zone.Is("eu")), "", false},
		{"another fact of that name and type", empty.With(caveat.NewFact[string]("zone").Is("eu")), "", false},
		{"the zero fact", empty.With(caveat.Fact[string]{}.Is("eu")), "", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, ok := get(row.facts)
			require.Equal(t, row.ok, ok)
			require.Equal(t, row.want, got)
			require.Equal(t, "GET", row.facts.Method)
		})
	}

	_, ok := zone.Get(nil)
	require.False(t, ok)
	_, ok = caveat.Fact[string]{}.Get(&caveat.Request{Facts: empty.With(caveat.Fact[string]{}.Is("eu"))})
	require.False(t, ok, "the zero fact is absent even if it was stated")
	require.Empty(t, caveat.Fact[string]{}.Name())
}

func TestFactsOfAnInterfaceType(t *testing.T) {
	failure := caveat.NewFact[error]("failure")
	got, ok := failure.Get(&caveat.Request{Facts: caveat.Facts{}.With(failure.Is(nil))})
	require.True(t, ok)
	require.NoError(t, got)
	got, ok = failure.Get(&caveat.Request{Facts: caveat.Facts{}.With(failure.Is(context.Canceled))})
	require.True(t, ok)
	require.ErrorIs(t, got, context.Canceled)
}

// Two that grow from the same facts do not see each other.
func TestFactsDoNotAlias(t *testing.T) {
	shared := caveat.Facts{}
	for i := range 3 { // so that a slice that merely grows would have room for one more
		shared = shared.With(caveat.NewFact[int]("filler").Is(i))
	}
	values := []caveat.FactValue{zone.Is("eu")}
	eu, us := shared.With(values...), shared.With(zone.Is("us"))
	values[0] = zone.Is("changed")
	for want, facts := range map[string]caveat.Facts{"eu": eu, "us": us} {
		got, ok := zone.Get(&caveat.Request{Facts: facts})
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	_, ok := zone.Get(&caveat.Request{Facts: shared})
	require.False(t, ok)
}

func TestContentDigestIsLazy(t *testing.T) {
	calls := 0
	var answer error
	req := with(func(r *caveat.Request) {
		sum := r.ContentDigest
		r.ContentDigest = func(ctx context.Context) ([32]byte, error) {
			calls++
			if answer != nil {
				return [32]byte{}, answer
			}
			return sum(ctx)
		}
	})
	registry, condition := caveat.Standard(), "content-digest "+digest(body)
	for _, c := range met {
		if c.condition != condition {
			require.NoError(t, registry.Check(t.Context(), req, c.condition))
		}
	}
	require.Error(t, registry.Check(t.Context(), req, "content-digest nonsense"))
	require.Zero(t, calls, "nobody asked for the digest yet")
	require.NoError(t, registry.Check(t.Context(), req, condition))
	require.Equal(t, 1, calls)

	answer = errors.New("body too large")
	err := registry.Check(t.Context(), req, condition)
	require.ErrorIs(t, err, answer)
	require.False(t, caveat.IsUndecided(err))
	for _, answer = range []error{caveat.Undecided(errors.New("disk")), context.DeadlineExceeded} {
		err := registry.Check(t.Context(), req, condition)
		require.ErrorIs(t, err, answer)
		require.True(t, caveat.IsUndecided(err))
	}
}

// What is compared with every pattern in a token is limited, since both may be long.
func TestFactsAreLimited(t *testing.T) {
	const most = 8 << 10
	for name, row := range map[string]struct {
		condition string
		request   func(length int) *caveat.Request
	}{
		"path": {"http-path /x /*", func(n int) *caveat.Request {
			return &caveat.Request{Facts: caveat.Facts{Path: "/" + strings.Repeat("a", n-1)}}
		}},
		"path that is to be rewritten": {"http-path /x /*", func(n int) *caveat.Request {
			return &caveat.Request{Facts: caveat.Facts{Path: "/" + strings.Repeat("~", n-2) + "!"}}
		}},
		"resource": {"resource x *", func(n int) *caveat.Request {
			return &caveat.Request{Facts: caveat.Facts{Resource: strings.Repeat("a", n)}}
		}},
		"gRPC method": {"grpc-method /x/x /a/*", func(n int) *caveat.Request {
			return &caveat.Request{Facts: caveat.Facts{GRPCMethod: "/a/" + strings.Repeat("a", n-3)}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			requireBoth(t, caveat.Standard(), row.request(most), row.condition, nil)
			requireBoth(t, caveat.Standard(), row.request(most+1), row.condition, caveat.ErrAbsent)
			requireBoth(t, caveat.Standard(), row.request(most+1), row.condition+" ", caveat.ErrMalformed)
		})
	}
}
