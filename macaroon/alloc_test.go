//go:build !race

package macaroon_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon"
)

func TestAllocations(t *testing.T) {
	m := mustNew(t, "key", "id", "location", many(5)...)
	crowded := mustNew(t, "key", "id", "location", many(20)...)
	encoded, long := text(t, m), macaroon.Caveat(macaroon.Condition(strings.Repeat("x", 4<<10)))
	sink := 0
	for _, row := range []struct {
		name string
		most float64
		do   func()
	}{
		{"attenuate by one", 2, func() {
			next, _ := m.Attenuate(macaroon.Condition("time-before 2030-01-01T00:00:00Z"))
			sink += next.Inspect().Caveats().Len()
		}},
		{"attenuate by three", 2, func() {
			next, _ := m.Attenuate(macaroon.Condition("a"), macaroon.Condition("b"), macaroon.Condition("c"))
			sink += next.Inspect().Caveats().Len()
		}},
		{"attenuate what has many", 2, func() {
			next, _ := crowded.Attenuate(macaroon.Condition("a"))
			sink += next.Inspect().Caveats().Len()
		}},
		{"attenuate that by a long one", 2, func() {
			next, _ := crowded.Attenuate(long)
			sink += next.Inspect().Caveats().Len()
		}},
		{"encode", 1, func() { s, _ := m.Encode(); sink += len(s) }},
		{"parse", 2, func() { c, _ := macaroon.Parse(encoded); sink += c.Inspect().Len() }},
		{"inspect", 0, func() { sink += len(m.Inspect().Caveats().At(3).ID) }},
		{"refuse text", 1, func() { c, _ := macaroon.Parse("not a macaroon!"); sink += c.Inspect().Len() }},
	} {
		require.LessOrEqual(t, testing.AllocsPerRun(200, row.do), row.most, row.name)
	}
	require.NotZero(t, sink)
}

func TestAllocationsOfIdentifiers(t *testing.T) {
	id := macaroon.Identifier{KeyID: "abcdefghijklm", IssuedAt: issued, Subject: "billing", Caveats: 3}
	require.Equal(t, 1.0, testing.AllocsPerRun(200, func() {
		if _, err := id.MarshalBinary(); err != nil {
			t.Fatal(err)
		}
	}))
	data, err := id.MarshalBinary()
	require.NoError(t, err)
	identifier := string(data)
	require.Zero(t, testing.AllocsPerRun(200, func() {
		if _, err := macaroon.ParseIdentifier(identifier); err != nil {
			t.Fatal(err)
		}
	}))
}
