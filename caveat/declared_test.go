package caveat_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
)

func TestParseDeclared(t *testing.T) {
	for _, row := range []struct{ name, argument, key, value string }{
		{"plain", "user ann", "user", "ann"},
		{"empty value", "user ", "user", ""},
		{"spaces belong to the value", "name  Ann  Lee ", "name", " Ann  Lee "},
		{"any text", "größe ∞ 1:2", "größe", "∞ 1:2"},
		{"long", "k " + strings.Repeat("v", 4<<10), "k", strings.Repeat("v", 4<<10)},
	} {
		t.Run(row.name, func(t *testing.T) {
			key, value, err := caveat.ParseDeclared(row.argument)
			require.NoError(t, err)
			require.Equal(t, []string{row.key, row.value}, []string{key, value})
		})
	}
	for _, row := range []struct{ name, argument string }{
		{"nothing", ""},
		{"no key", " ann"},
		{"a space alone", " "},
		{"no value, not even an empty one", "user"},
		{"control character in the value", "user ann\n"},
		{"control character in the key", "us\x00er ann-the-value"},
		{"upper control character", "user \u0085"},
		{"not UTF-8", "user \xff"},
	} {
		t.Run(row.name, func(t *testing.T) {
			key, value, err := caveat.ParseDeclared(row.argument)
			require.ErrorIs(t, err, caveat.ErrMalformed)
			require.NotContains(t, err.Error(), "ann")
			require.Empty(t, key+value)
		})
	}
}

// What is read can be written again, to the byte.
func FuzzParseDeclared(f *testing.F) {
	for _, argument := range []string{"", " ", "user", "user ", "user ann", " ann", "a  b", "a \x00", "a \xff", "k,l v"} {
		f.Add(argument)
	}
	f.Fuzz(func(t *testing.T, argument string) {
		key, value, err := caveat.ParseDeclared(argument)
		if err != nil {
			require.ErrorIs(t, err, caveat.ErrMalformed)
			require.Empty(t, key+value)
			return
		}
		require.NotEmpty(t, key)
		require.NotContains(t, key, " ")
		require.Equal(t, argument, key+" "+value)
		_, _, err = caveat.ParseCondition("declared " + argument)
		require.NoError(t, err)
	})
}
