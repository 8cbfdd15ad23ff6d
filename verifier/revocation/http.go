package revocation

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/amaretti-go/amaretti/internal/origin"
)

// HTTPOptions tune [HTTP]. The zero value is the safe default.
type HTTPOptions struct {
	_ [0]func() // fields are to be named

	// MaxBytes is how large an answer may be. Zero means 256 MiB, which holds four million
	// entries; negative is an error.
	MaxBytes int64

	// InsecureHTTP allows a URL of plain HTTP beyond loopback: whoever is on the way can
	// leave out what was revoked.
	InsecureHTTP bool
}

const defaultMaxBytes = 256 << 20

// HTTP is the feed that a [Handler] serves at a URL, asked through client; nil means
// [http.DefaultClient]. Redirects are not followed. What authorises the requests is the
// client's business: its transport may be that of package client, with a source that has a
// new token in time, such as client.File, since a list whose questions are refused leaves
// all decisions undecided a bound later. If the client has a Timeout, all there is must
// arrive within it.
func HTTP(client *http.Client, address string, options HTTPOptions) (Feed, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("revocation: the feed's address is not a URL")
	}
	if u.Host == "" {
		return nil, errors.New("revocation: the feed's address: no host: want a URL such as https://minter.internal/revocations")
	}
	if u.User != nil {
		return nil, errors.New("revocation: the feed's address: a user in the URL")
	}
	if _, err := origin.NewList([]string{u.Scheme + "://" + u.Host}, options.InsecureHTTP); err != nil {
		return nil, fmt.Errorf("revocation: the feed's address: %w", err)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("revocation: the feed's address has a query or a fragment")
	}
	if options.MaxBytes < 0 {
		return nil, errors.New("revocation: negative MaxBytes")
	}
	options.MaxBytes = cmp.Or(options.MaxBytes, defaultMaxBytes)
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
	b, err := f.changes(ctx, after, wait)
	if err != nil {
		return Batch{}, fmt.Errorf("revocation: feed %s: %w", f.address, err)
	}
	return b, nil
}

func (f *httpFeed) changes(ctx context.Context, after Cursor, wait time.Duration) (Batch, error) {
	wait = min(wait, maxWait) // as handlers do: an answer that is lost is not waited for as long as the bound allows
	if f.client.Timeout > 0 { // a client that gives up sooner would never hear that nothing is new
		wait = min(wait, f.client.Timeout/2)
	}
	ctx, cancel := context.WithTimeout(ctx, wait+answerIn)
	defer cancel()
	ask := rand.Text()
	u := *f.address
	u.RawQuery = query(ask, after, wait)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Batch{}, err
	}
	response, err := f.client.Do(r)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err // without the question, which makes each line of a log another one
	}
	if err != nil {
		return Batch{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return Batch{}, fmt.Errorf("answered %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	}
	return readBatch(http.MaxBytesReader(nil, response.Body, f.maxBytes), ask)
}

var (
	errNotBatch  = errors.New("the answer is not a batch of changes")
	errNotChange = errors.New("one of the changes is none")
)

// readBatch reads what writeBatch wrote, strictly: a revocation that is not understood must
// not be left out. It holds each change against that as it comes, so that what is kept is
// never much more than was sent.
func readBatch(body io.Reader, ask string) (b Batch, err error) {
	var answers string
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if !next(d, json.Delim('{')) {
		return Batch{}, errNotBatch
	}
	for read := map[string]bool{}; d.More(); {
		token, err := d.Token()
		if err != nil {
			return Batch{}, err
		}
		field, _ := token.(string)
		if read[field] {
			return Batch{}, errNotBatch
		}
		read[field] = true
		switch field {
		case "ask":
			err = d.Decode(&answers)
		case "full":
			err = d.Decode(&b.Full)
		case "from":
			err = d.Decode(&b.From)
		case "to":
			err = d.Decode(&b.To)
		case "changes":
			b.Changes, err = readChanges(d)
		default:
			err = errNotBatch
		}
		if err != nil {
			return Batch{}, err
		}
	}
	if !next(d, json.Delim('}')) || answers != ask || b.Changes == nil || b.To.Log == "" || len(b.To.Log) > maxLog {
		return Batch{}, errNotBatch
	}
	if _, err := d.Token(); err != io.EOF {
		return Batch{}, errNotBatch
	}
	return b, nil
}

func readChanges(d *json.Decoder) ([]Change, error) {
	if !next(d, json.Delim('[')) {
		return nil, errNotBatch
	}
	changes := []Change{}
	for d.More() {
		var c Change
		if err := d.Decode(&c); err != nil {
			return nil, err
		}
		if c.What.IsZero() {
			return nil, errNotChange
		}
		changes = append(changes, c)
	}
	if !next(d, json.Delim(']')) {
		return nil, errNotBatch
	}
	return changes, nil
}

// next reads one token, and reports whether it is the one wanted.
func next(d *json.Decoder, want json.Delim) bool {
	token, err := d.Token()
	return err == nil && token == want
}
