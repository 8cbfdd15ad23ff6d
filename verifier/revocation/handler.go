package revocation

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The protocol: GET with the query parameters ask, log, seq, mark and wait (in milliseconds)
// is answered by one JSON object:
//
//	{"ask": ASK, "full": true, "from": CURSOR, "to": CURSOR, "changes": [CHANGE, …]}
//
// with the fields of Batch. Who waits is answered when something changes, or when the time
// is over. ASK is that of the question, which is new each time: an answer that was kept on
// the way, and says that nothing is new, is not the answer.

const (
	maxWait = 30 * time.Second // less than proxies let a request wait
	maxLog  = 64

	// answerIn is how long writing an answer may take.
	answerIn = 5 * time.Minute
)

// Handler serves a feed over HTTP, for [HTTP]. What has been revoked is nobody's business
// but the verifiers': authorize says, by nil, that a request may see it, and for anything
// else it is answered 403. A nil authorize is an error, and so is a nil feed. The token that
// httpauth.Auth.Check looks at will do; see the example.
//
// It extends the server's own deadlines, which are for ordinary requests.
func Handler(feed Feed, authorize func(*http.Request) error) (http.Handler, error) {
	if feed == nil || authorize == nil {
		return nil, errors.New("revocation: handler: no feed, or no authorize")
	}
	return &handler{feed, authorize}, nil
}

type handler struct {
	feed      Feed
	authorize func(*http.Request) error
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if err := h.authorize(r); err != nil {
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	ask, after, wait, err := readQuery(r.URL.Query())
	if err != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	// Not all writers have a deadline.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait + answerIn))
	b, err := h.feed.Changes(r.Context(), after, wait)
	if err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "unavailable", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	writeBatch(w, ask, b)
}

// query is the other end of readQuery.
func query(ask string, after Cursor, wait time.Duration) string {
	return url.Values{
		"ask":  {ask},
		"log":  {after.Log},
		"seq":  {strconv.FormatUint(after.Seq, 10)},
		"mark": {strconv.FormatUint(after.Mark, 10)},
		"wait": {strconv.FormatInt(max(0, wait).Milliseconds(), 10)},
	}.Encode()
}

func readQuery(q url.Values) (ask string, after Cursor, wait time.Duration, err error) {
	ask, after.Log = q.Get("ask"), q.Get("log")
	var seq, mark error
	after.Seq, seq = strconv.ParseUint(q.Get("seq"), 10, 64)
	after.Mark, mark = strconv.ParseUint(q.Get("mark"), 10, 64)
	n, ms := strconv.ParseUint(q.Get("wait"), 10, 32)
	if err := errors.Join(seq, mark, ms); err != nil || len(ask) > maxLog || len(after.Log) > maxLog {
		return "", Cursor{}, 0, errors.New("not a question")
	}
	return ask, after, min(time.Duration(n)*time.Millisecond, maxWait), nil
}

// head is what stands before the changes.
type head struct {
	Ask  string `json:"ask"`
	Full bool   `json:"full,omitempty"`
	From Cursor `json:"from"`
	To   Cursor `json:"to"`
}

// writeBatch writes one change at a time: there may be a million. What fails leaves JSON
// that does not end, which no client takes.
func writeBatch(w io.Writer, ask string, b Batch) {
	out := bufio.NewWriter(w)
	text, _ := json.Marshal(head{ask, b.Full, b.From, b.To}) // it can't fail
	out.Write(text[:len(text)-len("}")])
	separator := `,"changes":[`
	for _, c := range b.Changes {
		text, err := json.Marshal(c)
		if err != nil {
			return // a feed that gives what can't be revoked
		}
		out.WriteString(separator)
		out.Write(text)
		separator = ","
	}
	if len(b.Changes) == 0 {
		out.WriteString(separator)
	}
	out.WriteString("]}")
	out.Flush()
}
