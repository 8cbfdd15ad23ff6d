package dischargehttp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer. A macaroon that a wallet can hold is far below that.
const maxAnswer = 64 << 10

// exchanger sends requests to third parties: without cookies, and not to where a redirect leads.
type exchanger struct {
	http    http.Client
	timeout time.Duration // of each request
}

func newExchanger(base http.RoundTripper, timeout time.Duration) exchanger {
	return exchanger{
		http: http.Client{
			Transport:     base,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		timeout: timeout,
	}
}

// answer is what a third party said, within limits.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send sends a request, with a form if that is not nil.
func (x *exchanger) send(ctx context.Context, method, to string, form url.Values, header http.Header) (*answer, error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, to, body)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Accept", "application/json")
	response, err := x.http.Do(r)
	if err != nil {
		// What http.Client puts around it quotes the URL, which may have a secret of a flow in it.
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode/100 == 3 {
		return nil, badResponse("a redirect")
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxAnswer {
		return nil, badResponse("longer than %d bytes", maxAnswer)
	}
	return &answer{response.StatusCode, response.Header, text}, nil
}

// decode reads the answer as JSON.
func (a *answer) decode(to any) error {
	if kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type")); err != nil || kind != "application/json" {
		return badResponse("status %d, and not JSON", a.status)
	}
	if err := json.Unmarshal(a.body, to); err != nil {
		return badResponse("JSON that can't be read") // the error may quote
	}
	return nil
}

// retryAfter gives how long to wait until the next question, within reason.
func (a *answer) retryAfter() time.Duration {
	const least, most = time.Second, time.Minute
	seconds, err := strconv.ParseUint(a.header.Get("Retry-After"), 10, 31)
	if err != nil {
		return least
	}
	return min(max(time.Duration(seconds)*time.Second, least), most)
}

// sleep waits, or less if ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
