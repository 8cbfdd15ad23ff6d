package revocation

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/amaretti-go/amaretti/internal/origin"
)

// The protocol: GET with the query parameters log, seq and wait (in milliseconds) is
// answered by one JSON object, a wireBatch. Who waits is answered when something
// changes, or when the time is over.

type wireBatch struct {
	Full    bool         `json:"full,omitempty"`
	From    wireCursor   `json:"from"`
	To      wireCursor   `json:"to"`
	Changes []wireChange `json:"changes"`
}

type wireCursor struct {
	Log string `json:"log"`
	Seq uint64 `json:"seq"`
}

type wireChange struct {
	What    What       `json:"what"`
	Until   *time.Time `json:"until,omitempty"` // nil: for ever
	Removed bool       `json:"removed,omitempty"`
}

const (
	maxWait = time.Minute
	maxLog  = 64

	// answerIn is how long writing an answer may take, and how much longer than it was
	// asked to wait a client waits.
	answerIn = 5 * time.Minute
)

// Handler serves a feed over HTTP, for [HTTP]. What has been revoked is nobody's
// business but the verifiers': authorize says, by nil, that a request may see it, and for
// anything else it is answered 403. A nil authorize is an error, and so is a nil feed.
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
	after, wait, err := readQuery(r.URL.Query())
	if err != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	// A server's own deadline is for ordinary requests; not all writers have one.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait + answerIn))
	b, err := h.feed.Changes(r.Context(), after, wait)
	if err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "unavailable", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	writeBatch(w, b)
}

func readQuery(q url.Values) (after Cursor, wait time.Duration, err error) {
	after.Log = q.Get("log")
	if len(after.Log) > maxLog {
		return Cursor{}, 0, errors.New("log: too long")
	}
	if after.Seq, err = strconv.ParseUint(q.Get("seq"), 10, 64); err != nil {
		return Cursor{}, 0, err
	}
	ms, err := strconv.ParseUint(q.Get("wait"), 10, 32)
	if err != nil {
		return Cursor{}, 0, err
	}
	return after, min(time.Duration(ms)*time.Millisecond, maxWait), nil
}

// writeBatch writes a wireBatch, one change at a time: there may be a million. What fails
// leaves JSON that does not end, which no client takes.
func writeBatch(w io.Writer, b Batch) {
	out := bufio.NewWriter(w)
	head, _ := json.Marshal(wireBatch{Full: b.Full, From: wireCursor(b.From), To: wireCursor(b.To)}) // it can't fail
	out.Write(head[:len(head)-len("null}")])
	out.WriteByte('[')
	for i, c := range b.Changes {
		change := wireChange{What: c.What, Removed: c.Removed}
		if !c.Until.IsZero() {
			change.Until = &c.Until
		}
		text, err := json.Marshal(change)
		if err != nil {
			return // a feed that gives what can't be revoked
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.Write(text)
	}
	out.WriteString("]}")
	out.Flush()
}

// HTTPOptions tune [HTTP]. The zero value is the safe default.
type HTTPOptions struct {
	_ [0]func() // fields are to be named

	// MaxBytes is how large an answer may be. Zero means 256 MiB, which holds two million
	// entries; negative is an error.
	MaxBytes int64

	// InsecureHTTP allows a URL of plain HTTP beyond loopback: whoever is on the way can
	// leave out what was revoked.
	InsecureHTTP bool
}

const defaultMaxBytes = 256 << 20

// HTTP is the feed that a [Handler] serves at a URL, asked through client; nil means
// [http.DefaultClient]. Redirects are not followed. What authorises the requests is the client's business: its
// transport may be that of package client.
func HTTP(client *http.Client, address string, options HTTPOptions) (Feed, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("revocation: the feed's address is not a URL")
	}
	if _, err := origin.NewList([]string{u.Scheme + "://" + u.Host}, options.InsecureHTTP); err != nil || u.User != nil {
		return nil, fmt.Errorf("revocation: the feed's address: %w", errors.Join(err, errors.New("want https, or loopback, and no user")))
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("revocation: the feed's address has a query or a fragment")
	}
	if options.MaxBytes < 0 {
		return nil, errors.New("revocation: negative MaxBytes")
	}
	if options.MaxBytes == 0 {
		options.MaxBytes = defaultMaxBytes
	}
	if client == nil {
		client = http.DefaultClient
	}
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &httpFeed{&own, u, options.MaxBytes}, nil
}

type httpFeed struct {
	client   *http.Client
	address  *url.URL
	maxBytes int64
}

func (f *httpFeed) Changes(ctx context.Context, after Cursor, wait time.Duration) (Batch, error) {
	u := *f.address
	wait = max(0, wait)
	u.RawQuery = url.Values{
		"log":  {after.Log},
		"seq":  {strconv.FormatUint(after.Seq, 10)},
		"wait": {strconv.FormatInt(wait.Milliseconds(), 10)},
	}.Encode()
	ctx, cancel := context.WithTimeout(ctx, wait+answerIn)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Batch{}, err
	}
	response, err := f.client.Do(r)
	if err != nil {
		return Batch{}, fmt.Errorf("revocation: feed: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return Batch{}, fmt.Errorf("revocation: feed: answered %s", http.StatusText(response.StatusCode))
	}
	b, err := readBatch(http.MaxBytesReader(nil, response.Body, f.maxBytes))
	if err != nil {
		return Batch{}, fmt.Errorf("revocation: feed: %w", err)
	}
	return b, nil
}

// readBatch reads a wireBatch, strictly: a revocation that is not understood must not
// be left out.
func readBatch(body io.Reader) (Batch, error) {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	var wire wireBatch
	if err := decoder.Decode(&wire); err != nil {
		return Batch{}, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return Batch{}, errors.New("something after the end")
	}
	if wire.To.Log == "" || len(wire.To.Log) > maxLog || wire.Changes == nil {
		return Batch{}, errors.New("not a batch")
	}
	b := Batch{Full: wire.Full, From: Cursor(wire.From), To: Cursor(wire.To), Changes: make([]Change, len(wire.Changes))}
	for i, c := range wire.Changes {
		b.Changes[i] = Change{What: c.What, Removed: c.Removed}
		if c.Until != nil {
			b.Changes[i].Until = *c.Until
		}
		if c.What.IsZero() || c.Until != nil && c.Until.IsZero() {
			return Batch{}, errors.New("not a change")
		}
	}
	return b, nil
}
