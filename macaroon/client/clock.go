package client

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
)

// clock is the clock of one service, as far as its answers tell.
type clock struct {
	most   time.Duration // by which it may be off
	offset atomic.Int64
}

// now is what the service's clock shows.
func (c *clock) now() time.Time {
	return time.Now().Add(time.Duration(c.offset.Load()))
}

// observe learns from the Date of an answer (RFC 9110 section 6.6.1). It tells the
// second in which the answer was made, some time between when the request was sent and
// when the answer arrived; of the offsets that agree with that, the one nearest to none
// is taken. An answer that has an Age comes from a cache and tells nothing.
func (c *clock) observe(response *http.Response, sent, received time.Time) {
	if response.Header.Get("Age") != "" {
		return
	}
	date, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return
	}
	least, most := date.Sub(received), date.Add(time.Second).Sub(sent)
	offset := min(max(0, least), most)
	if offset < -c.most || offset > c.most {
		offset = 0 // whoever says that may want tokens that live longer
	}
	c.offset.Store(int64(offset))
}

// term is the caveat by which a token expires, some time after it is written, by the
// clock of the service that it is for.
type term struct {
	clock *clock
	life  time.Duration
	end   time.Time // once it is written
}

func (t *term) Condition() (string, error) {
	t.end = t.clock.now().Add(t.life)
	return caveat.ExpiresAt(t.end).Condition()
}
