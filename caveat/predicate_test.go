package caveat_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
)

// A condition that is compiled decides as one that is not, whatever the facts: those with two words in them, empty
// ones, patterns in the place of what they match.
func TestCompiledDecidesTheSame(t *testing.T) {
	ctx := context.Background()
	registry := caveat.Standard()
	texts := []string{"", "GET", "POST", "GET POST", "get", "orders", "orders stock", "orders.read", "orders.*", "*", "orders.read orders.list",
		"orders internal", "orders.internal", "/orders/7", "/orders/*", "/orders", "/orders/", "/Orders/7", "/orders/%37", "/orders/7/lines", "/orders/**",
		"/orders/7 /stock/7", "/stock/7", " ", "\x00"}
	glances := []string{"allow", "audience", "http-method", "http-host", "http-path"}
	allowed, held := 0, 0
	for _, name := range []string{"allow", "deny", "audience", "http-method", "http-host", "http-path", "grpc-method", "resource"} {
		for _, first := range texts {
			for _, second := range []string{"", " GET", " POST", " orders.*", " *", " /stock/*", " orders", "  ", " \x00"} {
				condition := name + " " + first + second
				predicate, compileErr := registry.Compile(condition)
				for _, fact := range texts {
					req := &caveat.Request{Facts: caveat.Facts{Method: fact, Host: fact, Path: fact, GRPCMethod: fact, Resource: fact},
						Now: time.Now(), Operation: fact, Audience: fact}
					want := registry.Check(ctx, req, condition)
					require.Equal(t, want == nil && slices.Contains(glances, name), registry.Holds(req, condition), "%q for %q", condition, fact)
					if compileErr != nil {
						require.Error(t, want, "%q for %q", condition, fact)
						continue
					}
					err := predicate.Check(ctx, req)
					if predicate.Holds(req) {
						require.NoError(t, want, "%q for %q", condition, fact)
						held++
					}
					require.Equal(t, fmt.Sprint(want), fmt.Sprint(err), "%q for %q", condition, fact)
					if err == nil {
						allowed++
					}
				}
			}
		}
	}
	require.Greater(t, allowed, 200)
	require.Greater(t, held, 100)
	require.False(t, registry.Holds(nil, "http-method GET"))
	require.False(t, registry.Holds(request(), "shop-tier gold"))
}

func TestPredicateSize(t *testing.T) {
	type deep struct {
		names []string
		count int
	}
	never := func(context.Context, *caveat.Request, deep) error { return nil }
	nested := caveat.Define("nested", codecOf[deep]{func(s string) deep { return deep{[]string{s, s + s}, 1} }}, never)
	pointing := caveat.Define("pointing", codecOf[*deep]{func(string) *deep { return new(deep) }}, func(context.Context, *caveat.Request, *deep) error { return nil })
	anything := caveat.Define("anything", codecOf[any]{func(string) any { return 1 }}, func(context.Context, *caveat.Request, any) error { return nil })
	registry, err := caveat.Standard().With(nested, pointing, anything)
	require.NoError(t, err)
	for condition, row := range map[string]struct {
		least, most int
		known       bool
	}{
		"audience orders":                          {30, 100, true},
		"time-before 2030-01-01T00:00:00Z":         {50, 120, true},
		"client-ip 10.0.0.0/8 192.168.0.0/16":      {80, 220, true},
		"nested " + fmt.Sprintf("%0100d", 0):       {107 + 300 + 32, 600, true},
		"pointing x":                               {0, 0, false},
		"anything x":                               {0, 0, false},
		"http:client-ip-addr 2001:db8::1":          {40, 120, true},
		"http-method " + fmt.Sprintf("%01000d", 0): {2000, 2200, true},
	} {
		p, err := registry.Compile(condition)
		require.NoError(t, err, condition)
		require.False(t, p.IsZero())
		bytes, known := p.Size()
		require.Equal(t, row.known, known, condition)
		require.GreaterOrEqual(t, bytes, row.least, condition)
		require.LessOrEqual(t, bytes, row.most, condition)
	}
	require.True(t, caveat.Predicate{}.IsZero())
}

// codecOf reads anything as it is told.
type codecOf[T any] struct{ parse func(string) T }

func (c codecOf[T]) Parse(s string) (T, error)    { return c.parse(s), nil }
func (codecOf[T]) Format(value T) (string, error) { return "x", nil }
