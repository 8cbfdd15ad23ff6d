package client

import (
	"net/http"
	"sync/atomic"
	"time"
)

// maxOffset is the difference of clocks that is believed. A server that claims more
// gets tokens by the client's own clock.
const maxOffset = 10 * time.Minute

// clock is the clock of one server, as far as its answers tell.
type clock struct{ offset atomic.Int64 }

// now is what the server's clock shows.
func (c *clock) now() time.Time {
	return time.Now().Add(time.Duration(c.offset.Load()))
}

// observe learns from the Date of an answer (RFC 9110 section 6.6.1). It tells the
// second in which the answer was made, some time between when the request was sent and when the answer
// arrived; of the offsets that agree with that, the one nearest to none is taken. An answer that
// has an Age comes from a cache and tells nothing.
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
	if offset < -maxOffset || offset > maxOffset {
		offset = 0
	}
	c.offset.Store(int64(offset))
}
