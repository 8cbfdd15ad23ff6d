package client

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
)

// Clock is the clock of one service, as far as its answers tell. The zero value shows the
// time of this machine. It is safe for concurrent use.
type Clock struct{ offset atomic.Int64 }

// now is what the service's clock shows.
func (c *Clock) now() time.Time {
	if c == nil {
		return time.Now()
	}
	return time.Now().Add(time.Duration(c.offset.Load()))
}

// Observe learns from an answer which tells the second in which it was made. That was some
// time between when the request was sent and when the answer was received; of the offsets
// that agree with that, the one nearest to what was believed before is taken. A clock that is
// off by more than most is not believed: tokens then live by this machine's. A nil Clock learns
// nothing.
func (c *Clock) Observe(date, sent, received time.Time, most time.Duration) {
	if c == nil {
		return
	}
	from, to := date.Sub(received), date.Add(time.Second).Sub(sent)
	offset := min(max(time.Duration(c.offset.Load()), from), to)
	if offset < -most || offset > most {
		offset = 0 // whoever says that may want tokens that live longer
	}
	c.offset.Store(int64(offset))
}

// dateOf gives the time that an answer was made (RFC 9110 section 6.6.1). One that has an
// Age comes from a cache and tells nothing.
func dateOf(response *http.Response) (date time.Time, found bool) {
	if response.Header.Get("Age") != "" {
		return time.Time{}, false
	}
	date, err := http.ParseTime(response.Header.Get("Date"))
	return date, err == nil
}

// term is the caveat by which a token expires, some time after it is written, by the
// clock of the service that it is for.
type term struct {
	clock *Clock
	life  time.Duration
	end   time.Time // once it is written
}

func (t *term) Condition() (string, error) {
	t.end = t.clock.now().Add(t.life)
	return caveat.ExpiresAt(t.end).Condition()
}
