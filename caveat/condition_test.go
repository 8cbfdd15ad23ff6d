package caveat_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
)

func TestParseCondition(t *testing.T) {
	for _, row := range []struct{ name, condition, wantName, wantArgument string }{
		{"name alone", "read-only", "read-only", ""},
		{"name and space", "read-only ", "read-only", ""},
		{"name and argument", "audience orders", "audience", "orders"},
		{"spaces belong to the argument", "declared user  ann ", "declared", "user  ann "},
		{"equals sign", "account = 42", "account", "= 42"},
		{"all sorts of characters", "0a.b_c-d.: x", "", ""},
		{"prefix", "http:client-ip-addr 192.0.2.1", "http:client-ip-addr", "192.0.2.1"},
		{"one character each", "a:b c", "a:b", "c"},
		{"digits first", "2fa:0.x y", "2fa:0.x", "y"},
		{"marks inside", "a.-_:b_-. c", "a.-_:b_-.", "c"},
		{"Unicode in the argument", "region Zürich–東京", "region", "Zürich–東京"},
		{"long argument", "x " + strings.Repeat("y", 5000), "x", strings.Repeat("y", 5000)},

		{"empty", "", "", ""},
		{"space first", " audience orders", "", ""},
		{"upper case", "Audience orders", "", ""},
		{"upper case inside", "audiencE orders", "", ""},
		{"Unicode in the name", "audienсe orders", "", ""},
		{"mark first", "-audience orders", "", ""},
		{"dot first", ".audience orders", "", ""},
		{"mark after the prefix", "http:-x y", "", ""},
		{"two prefixes", "a:b:c d", "", ""},
		{"empty prefix", ":b c", "", ""},
		{"nothing after the prefix", "a: c", "", ""},
		{"tab", "audience\torders", "", ""},
		{"tab in the argument", "audience orders\tbilling", "", ""},
		{"line feed at the end", "audience orders\n", "", ""},
		{"line feed in the middle", "audience orders-and-more\nallow *", "", ""},
		{"carriage return", "audience orders\r", "", ""},
		{"NUL", "audience orders\x00", "", ""},
		{"delete", "audience orders\x7f", "", ""},
		{"delete in a long argument", "audience 01234567\x7f0123456", "", ""},
		{"unit separator in a long argument", "audience 0123\x1f56701234567", "", ""},
		{"C1 control", "audience orders\u0085", "", ""},
		{"C1 control after eight", "audience 0123456\u00857", "", ""},
		{"not UTF-8", "audience orders\xff", "", ""},
		{"not UTF-8 first in a long argument", "audience \xff01234567", "", ""},
		{"not UTF-8 in a long argument", "audience \xc3(orders0123456", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			name, argument, err := caveat.ParseCondition(row.condition)
			require.Equal(t, row.wantName, name)
			require.Equal(t, row.wantArgument, argument)
			if row.wantName == "" {
				require.ErrorIs(t, err, caveat.ErrMalformed)
				require.ErrorIs(t, caveat.Standard().Check(t.Context(), request(), row.condition), caveat.ErrMalformed)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

func TestEveryControlCharacterAtEveryPlace(t *testing.T) {
	for _, c := range met {
		for _, control := range []string{"\x00", "\t", "\n", "\r", "\x1b", "\x1f", "\x7f", "\u0080", "\u009f", "\xff"} {
			for i := range len(c.condition) + 1 {
				condition := c.condition[:i] + control + c.condition[i:]
				require.ErrorIs(t, caveat.Standard().Check(t.Context(), request(), condition), caveat.ErrMalformed, "%q", condition)
			}
		}
	}
}

// A name is looked up whole: neither a beginning of a name nor a longer name is that name.
func TestNamesThatBeginAlike(t *testing.T) {
	yes, no := define("region", nil), define("region-of", caveat.ErrNotMet)
	registry, err := caveat.Standard().With(yes, no, define("http:region", caveat.ErrNotMet))
	require.NoError(t, err)
	requireBoth(t, registry, request(), "region x", nil)
	requireBoth(t, registry, request(), "region -of x", nil)
	requireBoth(t, registry, request(), "region-of x", caveat.ErrNotMet)
	requireBoth(t, registry, request(), "http:region x", caveat.ErrNotMet)

	for _, name := range registry.Names() {
		require.NoError(t, func() error { _, _, err := caveat.ParseCondition(name); return err }())
		for _, near := range []string{name[:len(name)-1], name + "s", name + "-", name + ".", "x:" + name} {
			if near == "region-of" || near == "http:region" {
				continue
			}
			err := registry.Check(t.Context(), request(), near+" x")
			require.Error(t, err)
			require.NotErrorIs(t, err, caveat.ErrNotMet, near)
			if !strings.HasPrefix(near, "x:http:") {
				require.ErrorIs(t, err, caveat.ErrUnknown, near)
			}
		}
	}
}
