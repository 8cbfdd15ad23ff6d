package redact_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/internal/redact"
)

func TestNothingPrints(t *testing.T) {
	type key [4]byte
	type deep struct{ text string }
	type holder struct {
		a redact.Box[key]
		b *redact.Box[deep]
		c []redact.Box[[]byte]
		d any
	}
	box := redact.Hide(deep{"secret"})
	h := holder{redact.Hide(key{'s', 'e', 'c', 'r'}), &box, []redact.Box[[]byte]{redact.Hide([]byte("secret"))}, &box}
	for _, v := range []any{h, &h, box, &box, []any{h, box}, map[string]any{"": h}} {
		for verb := rune('A'); verb <= 'z'; verb++ {
			for _, flags := range []string{"%", "%+", "%#", "% ", "%20.3"} {
				out := fmt.Sprintf(flags+string(verb), v)
				require.NotContains(t, out, "secret")
				require.NotContains(t, out, "736563726574")
				require.NotContains(t, out, "115 101 99 114")
			}
		}
	}
}

func TestValue(t *testing.T) {
	require.Nil(t, redact.Box[int]{}.Value())
	b := redact.Hide(42)
	copied := b
	*copied.Value() = 43
	require.Equal(t, 43, *b.Value())
	require.Equal(t, 1.0, testing.AllocsPerRun(100, func() { b = redact.New[int]() }))
}
