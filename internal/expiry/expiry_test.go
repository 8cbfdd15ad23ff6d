package expiry_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/internal/expiry"
	"github.com/amaretti-go/amaretti/macaroon"
)

func TestOf(t *testing.T) {
	const first, second = "time-before 2030-01-01T00:00:00Z", "time-before 2031-01-01T00:00:00Z"
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, row := range map[string]struct {
		conditions []string
		end        time.Time
		expires    bool
	}{
		"none":        {nil, time.Time{}, false},
		"others":      {[]string{"time-after 2030-01-01T00:00:00Z", "time-before", "time-beforehand 2030-01-01T00:00:00Z"}, time.Time{}, false},
		"one":         {[]string{"allow *", first}, at, true},
		"rising":      {[]string{first, second}, at, true},
		"falling":     {[]string{second, first}, at, true},
		"unreadable":  {[]string{first, "time-before soon"}, time.Time{}, true},
		"no argument": {[]string{"time-before "}, time.Time{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := macaroon.New([]byte("key"), "id", "")
			require.NoError(t, err)
			for _, condition := range row.conditions {
				m, err = m.Attenuate(macaroon.Condition(condition))
				require.NoError(t, err)
			}
			// The id of a third party's caveat says nothing about this macaroon.
			m, err = m.Attenuate(macaroon.ThirdParty([]byte("key"), "time-before 2000-01-01T00:00:00Z", ""))
			require.NoError(t, err)
			end, expires := expiry.Of(m.Inspect())
			require.True(t, row.end.Equal(end), end)
			require.Equal(t, row.expires, expires)
		})
	}
}
