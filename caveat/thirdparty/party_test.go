package thirdparty_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
)

func TestStaticLocator(t *testing.T) {
	first, second := thirdparty.GenerateKey().Public(), thirdparty.GenerateKey().Public()
	a := thirdparty.Party{Location: "https://a.example/", Key: first, Version: 2}
	b := thirdparty.Party{Location: "https://b.example/id", Key: second}
	locator, err := thirdparty.StaticLocator(a, b)
	require.NoError(t, err)
	for location, want := range map[string]thirdparty.Party{
		"https://a.example": a, "https://a.example/": a, "https://b.example/id": b, "https://b.example/id/": b,
	} {
		got, found, err := locator.ThirdParty(t.Context(), location)
		require.NoError(t, err)
		require.True(t, found, location)
		require.Equal(t, want, got)
	}
	for _, location := range []string{"", "/", "https://a.example//", "https://b.example", "http://a.example", "https://A.example", "https://a.example:443"} {
		got, found, err := locator.ThirdParty(t.Context(), location)
		require.NoError(t, err)
		require.False(t, found, location)
		require.Zero(t, got)
	}

	again := a
	again.Location = "https://a.example"
	for name, parties := range map[string][]thirdparty.Party{
		"same location": {a, b, again},
		"no key":        {{Location: "https://a.example"}},
		"no location":   {{Key: first}},
		"version 1":     {{Location: "https://a.example", Key: first, Version: 1}},
		"only a slash":  {{Location: "/", Key: first}},
	} {
		t.Run(name, func(t *testing.T) {
			locator, err := thirdparty.StaticLocator(parties...)
			require.Error(t, err)
			require.Nil(t, locator)
		})
	}
	none, err := thirdparty.StaticLocator()
	require.NoError(t, err)
	_, found, err := none.ThirdParty(t.Context(), "https://a.example")
	require.NoError(t, err)
	require.False(t, found)
}
