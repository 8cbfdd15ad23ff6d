package caveat_test

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
)

// requireCodec reads and writes what is canonical, and refuses the rest.
func requireCodec[T any](t *testing.T, codec caveat.Codec[T], canonical map[string]T, malformed []string, unwritable []T) {
	t.Helper()
	for text, value := range canonical {
		got, err := codec.Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, value, got)
		written, err := codec.Format(value)
		require.NoError(t, err)
		require.Equal(t, text, written)
	}
	var zero T
	for _, text := range malformed {
		got, err := codec.Parse(text)
		require.ErrorIs(t, err, caveat.ErrMalformed, "%q", text)
		require.Equal(t, zero, got)
	}
	for _, value := range unwritable {
		text, err := codec.Format(value)
		require.Error(t, err)
		require.Empty(t, text)
	}
}

func TestText(t *testing.T) {
	requireCodec(t, caveat.Text,
		map[string]string{"a": "a", " a  b ": " a  b ", "Zürich": "Zürich"},
		[]string{"", "a\n", "\x00", "\u0085", "\xff"},
		[]string{"", "a\n", "\xff"})
}

func TestList(t *testing.T) {
	requireCodec(t, caveat.List,
		map[string][]string{"a": {"a"}, "a b a": {"a", "b", "a"}, "Zürich": {"Zürich"}},
		[]string{"", " ", " a", "a ", "a  b", "a\tb", "a\u00a0b", "a\u200bb", "a\u2028b", "\xff"},
		[][]string{nil, {}, {""}, {"a", ""}, {"a b"}, {"a\n"}})
}

func TestInt(t *testing.T) {
	requireCodec(t, caveat.Int,
		map[string]int64{"0": 0, "7": 7, "-7": -7, "9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64},
		[]string{"", "+7", "07", "-0", "-", "7 ", " 7", "0x7", "7_0", "7.0", "7e1", "٧", "9223372036854775808", strings.Repeat("9", 1<<16)},
		nil)
}

func TestPrefixes(t *testing.T) {
	p := netip.MustParsePrefix
	requireCodec(t, caveat.Prefixes,
		map[string][]netip.Prefix{"192.0.2.0/24 ::/0": {p("192.0.2.0/24"), p("::/0")}, "2001:db8::/32": {p("2001:db8::/32")}},
		[]string{"", "192.0.2.1", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/-1", "192.0.2.0/+24", "192.0.02.0/24", "2001:DB8::/32",
			"2001:db8:0::/32", "fe80::%1/64", "192.0.2.0/24  ::/0", "192.0.2.0/24,::/0", "garbage"},
		[][]netip.Prefix{nil, {}, {netip.Prefix{}}, {p("192.0.2.1/24")}})

	got, err := caveat.Prefixes.Parse("::ffff:192.0.2.0/120 ::ffff:0.0.0.0/96 ::fffe:0:0/95")
	require.NoError(t, err)
	require.Equal(t, []netip.Prefix{p("192.0.2.0/24"), p("0.0.0.0/0"), p("::fffe:0:0/95")}, got)
	for bits := range 96 {
		require.False(t, netip.PrefixFrom(netip.MustParseAddr("::ffff:192.0.2.1"), bits).Masked().Addr().Is4In6(), "%d bits", bits)
	}
}

func TestPatterns(t *testing.T) {
	requireCodec(t, caveat.Patterns,
		map[string][]caveat.Pattern{"/a/* b/**": {"/a/*", "b/**"}},
		[]string{"", "/a//", "/a /b*", " /a"},
		[][]caveat.Pattern{nil, {""}, {"/a b"}, {"/a", "/b*"}})
}

func TestTime(t *testing.T) {
	utc := func(year int, month time.Month, day, hour, minute, second, nanosecond int) time.Time {
		return time.Date(year, month, day, hour, minute, second, nanosecond, time.UTC)
	}
	requireCodec(t, caveat.Time,
		map[string]time.Time{
			"2030-01-02T03:04:05Z":           utc(2030, 1, 2, 3, 4, 5, 0),
			"2030-01-02T03:04:05.6Z":         utc(2030, 1, 2, 3, 4, 5, 600_000_000),
			"2030-01-02T03:04:05.000000006Z": utc(2030, 1, 2, 3, 4, 5, 6),
			"2028-02-29T23:59:59.999999999Z": utc(2028, 2, 29, 23, 59, 59, 999_999_999),
			"0000-01-01T00:00:00Z":           utc(0, 1, 1, 0, 0, 0, 0),
			"0001-01-01T00:00:00.000000001Z": utc(1, 1, 1, 0, 0, 0, 1),
			"9999-12-31T23:59:59Z":           utc(9999, 12, 31, 23, 59, 59, 0),
		},
		[]string{
			"", "Z", "2030", "2030-01-02", "1893456000",
			"2030-01-02T03:04:05",             // no zone
			"2030-01-02T03:04:05.5",           // no zone, behind a fraction
			"2030-01-02 03:04:05Z",            // space
			"2030-01-02t03:04:05z",            // lower case
			"2030-01-02T03:04:05.Z",           // empty fraction
			"2030-01-02T03:04:05,6Z",          // comma
			"2030-01-02T03:04:05.0000000001Z", // finer than a nanosecond
			"2030-01-02T3:04:05Z",             // one digit
			"2030-1-02T03:04:05Z",
			"2030/01-02T03:04:05Z",
			"2030-01/02T03:04:05Z",
			"2030-01-02T03.04:05Z",
			"2030-01-02T03:04.05Z",
			"2030-01-02T03:04:05+02.00",
			"x030-01-02T03:04:05Z",
			"2030-01-0xT03:04:05Z",
			"2030-01-02T03:0:a05Z",
			"2030-01-02T03:04:0/Z",
			"2030-01-02T03:0::05Z",
			"2030-01-02T03:04:05+0x:00",
			"02030-01-02T03:04:05Z",
			"+2030-01-02T03:04:05Z",
			"12030-01-02T03:04:05Z",
			"2030-00-02T03:04:05Z",
			"2030-13-02T03:04:05Z",
			"2030-01-00T03:04:05Z",
			"2030-02-29T03:04:05Z", // not a leap year
			"2100-02-29T03:04:05Z", // not one either
			"2030-04-31T03:04:05Z",
			"2030-01-32T03:04:05Z",
			"2030-01-02T24:00:00Z",
			"2030-01-02T03:60:05Z",
			"2030-12-31T23:59:60Z", // leap second
			"2030-01-02T03:04:05+2:00",
			"2030-01-02T03:04:05+0200",
			"2030-01-02T03:04:05+02",
			"2030-01-02T03:04:05+24:00",
			"2030-01-02T03:04:05+02:60",
			"2030-01-02T03:04:05 02:00",
			"2030-01-02T03:04:05Z+02:00",
			"2030-01-02T03:04:05UTC",
			"2030-01-02T03:04:05ZZ",
			" 2030-01-02T03:04:05Z",
			"2030-01-02T03:04:05Z ",
			"0001-01-01T00:00:00Z",      // the zero time
			"0001-01-01T02:00:00+02:00", // as well
			"0000-01-01T00:00:00+00:01", // before the year 0 in UTC
			"9999-12-31T23:59:59-00:01", // after the year 9999 in UTC
			"２０３０-01-02T03:04:05Z",
			strings.Repeat("2", 5000),
		},
		[]time.Time{{}, utc(-1, 12, 31, 23, 59, 59, 0), utc(10000, 1, 1, 0, 0, 0, 0)})

	// Other spellings of one instant, as other libraries write them.
	for _, text := range []string{"2030-01-02T03:04:05Z", "2030-01-02T03:04:05.000Z", "2030-01-02T03:04:05.000000000Z", "2030-01-02T03:04:05+00:00",
		"2030-01-02T03:04:05-00:00", "2030-01-02T05:04:05+02:00", "2030-01-01T21:34:05-05:30", "2030-01-03T03:03:05+23:59"} {
		got, err := caveat.Time.Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, utc(2030, 1, 2, 3, 4, 5, 0), got, text)
	}
}

// The first and the last day of every month that can be written is the one that the standard library knows, to the
// last bit, and there is no day after it.
func TestTimeKnowsTheCalendar(t *testing.T) {
	read := func(year, month, day int) (time.Time, error) {
		return caveat.Time.Parse(fmt.Sprintf("%04d-%02d-%02dT12:34:56.000000789Z", year, month, day))
	}
	for year := range 10000 {
		for month := 1; month <= 12; month++ {
			last := time.Date(year, time.Month(month+1), 0, 0, 0, 0, 0, time.UTC).Day()
			for _, day := range []int{1, last} {
				got, err := read(year, month, day)
				if want := time.Date(year, time.Month(month), day, 12, 34, 56, 789, time.UTC); err != nil || got != want {
					t.Fatalf("got %v, %v, want %v", got, err, want)
				}
			}
			if _, err := read(year, month, last+1); err == nil {
				t.Fatalf("%04d-%02d has no day %d", year, month, last+1)
			}
		}
	}
}
