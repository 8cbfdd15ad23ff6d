package origin_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/internal/origin"
)

func TestOf(t *testing.T) {
	longest := strings.Repeat("a.", 126) + "a"
	for text, want := range map[string]origin.Origin{
		"https://orders.internal":              "https://orders.internal:443",
		"https://orders.internal/a?b#c":        "https://orders.internal:443",
		"HTTPS://Orders.Internal:443":          "https://orders.internal:443",
		"https://orders.internal:8443/":        "https://orders.internal:8443",
		"http://localhost":                     "http://localhost:80",
		"https://127.0.0.1":                    "https://127.0.0.1:443",
		"https://[::1]:8443":                   "https://[::1]:8443",
		"https://[0:0:0:0:0:0:0:1]":            "https://[::1]:443",
		"https://[::FFFF:10.0.0.1]":            "https://[::ffff:10.0.0.1]:443",
		"https://a_b.example":                  "https://a_b.example:443",
		"https://user@orders.internal":         "",
		"https://orders.internal@evil.example": "",
		"https://@orders.internal":             "",
		"https://orders.internal.":             "",
		"https://orders..internal":             "",
		"https://orders.internal:":             "",
		"https://orders.internal:0443":         "",
		"https://orders.internal:0":            "",
		"https://orders.internal:65536":        "",
		"https://[fe80::1%25eth0]":             "",
		"https://ordérs.internal":              "",
		"https://or%64ers.internal":            "",
		"https://a%2fb.internal":               "",
		"https://":                             "",
		"https://" + longest:                   origin.Origin("https://" + longest + ":443"),
		"https://" + longest + "a":             "",
		"ftp://orders.internal":                "",
		"file:///etc/passwd":                   "",
		"//orders.internal":                    "",
		"orders.internal":                      "",
		"https:orders.internal":                "",
	} {
		u, err := url.Parse(text)
		if err != nil {
			require.Empty(t, want, text)
			continue
		}
		got, err := origin.Of(u)
		require.Equal(t, want, got, text)
		require.Equal(t, want == "", err != nil, text)
	}
}

// Somebody who forgot the scheme is told so.
func TestParseWantsAScheme(t *testing.T) {
	for _, text := range []string{"orders.internal", "orders.internal:443", "localhost:8080", "//", "https://"} {
		_, err := origin.Parse(text)
		require.ErrorContains(t, err, "want a scheme and a host", text)
	}
}

func TestList(t *testing.T) {
	list, err := origin.NewList([]string{"https://orders.internal", "http://localhost:8080/", "http://127.0.0.9", "http://[::1]:1"}, false)
	require.NoError(t, err)
	require.True(t, list.Has("https://orders.internal:443"))
	require.True(t, list.Has("http://localhost:8080"))
	require.False(t, list.Has("http://localhost:80"))
	require.False(t, list.Has("http://orders.internal:443"))
	require.False(t, origin.List{}.Has(""))

	for name, bad := range map[string][]string{
		"none":        nil,
		"plain http":  {"http://orders.internal"},
		"path":        {"https://orders.internal/x"},
		"query":       {"https://orders.internal?x"},
		"empty query": {"https://orders.internal?"},
		"fragment":    {"https://orders.internal#"},
		"user":        {"https://a@orders.internal"},
		"wildcard":    {"https://*.internal"},
		"no scheme":   {"orders.internal"},
		"one of two":  {"https://orders.internal", "http://10.0.0.1"},
		"lookalike":   {"http://localhost.evil.example"},
	} {
		list, err := origin.NewList(bad, false)
		require.Error(t, err, name)
		require.False(t, list.Has("https://orders.internal:443"), name)
		require.False(t, list.Has(""), name)
	}
	list, err = origin.NewList([]string{"http://orders.internal"}, true)
	require.NoError(t, err)
	require.True(t, list.Has("http://orders.internal:80"))
}
