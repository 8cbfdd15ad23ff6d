package client

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
)

// exchange is a request, and the tokens that it is sent with: one goroutine's.
type exchange struct {
	options  *Options
	request  *http.Request // the caller's: it is not changed
	body     *body
	attempts Attempts
}

// send authorises the request and sends it.
func (e *exchange) send() (*http.Response, error) {
	text, err := e.token()
	if err != nil {
		return nil, err
	}
	out := e.request.WithContext(e.request.Context()) // a shallow copy
	if out.Header = out.Header.Clone(); out.Header == nil {
		out.Header = http.Header{}
	}
	for _, name := range authorizations(out.Header) {
		delete(out.Header, name)
	}
	out.Header.Set("Authorization", "Bearer "+text)
	if err := e.body.put(out); err != nil { // last of all: Base closes it
		return nil, err
	}

	sent := time.Now()
	response, err := e.options.Base.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	if date, found := dateOf(response); found {
		e.attempts.Clock.Observe(date, sent, time.Now(), e.options.MaxSkew)
	}
	response.Request = e.request // and not the one that holds a token
	return response, nil
}

// token gives the text of a token for this request.
func (e *exchange) token() (string, error) {
	caveats, err := e.caveats()
	if err != nil {
		return "", err
	}
	w, err := e.attempts.Wallet(e.request.Context(), caveats...)
	if err != nil {
		return "", err
	}
	return w.Encode()
}

// errPath: services take such a path for no fact at all, so that the answer would be 403.
var errPath = errors.New("client: no token can be narrowed to a path that can be read in several ways, with encoded dots or slashes or empty segments, or that is longer than 8 KiB")

// caveats narrows a token to this request. What is the same for many requests comes first:
// a service that has seen it need not compute its signature again.
func (e *exchange) caveats() ([]macaroon.Caveat, error) {
	r, o := e.request, e.options
	list := make([]macaroon.Caveat, 0, 8)
	if o.Branch != [16]byte{} {
		list = append(list, caveat.Branch(o.Branch))
	}
	if o.Host {
		list = append(list, caveat.Hosts(strings.ToLower(r.URL.Hostname())))
	}
	if !o.AnyMethod {
		list = append(list, caveat.Methods(cmp.Or(r.Method, http.MethodGet)))
	}
	if !o.AnyPath {
		if _, ok := caveat.CanonicalPath(cmp.Or(r.URL.EscapedPath(), "/")); !ok {
			return nil, errPath
		}
		list = append(list, caveat.ExactPath(cmp.Or(r.URL.Path, "/")))
	}
	if o.Caveats != nil {
		more, err := o.Caveats(r)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	if o.ContentDigest {
		list = append(list, caveat.ContentDigest(e.body.sum))
	}
	return list, nil
}

// again tells why the request, so answered, is worth a second attempt, or "".
func (e *exchange) again(response *http.Response) (why string) {
	if response.StatusCode != http.StatusUnauthorized {
		return ""
	}
	challenge := strings.Join(response.Header.Values("WWW-Authenticate"), ", ")
	switch {
	case strings.Contains(challenge, `error="insufficient_user_authentication"`):
		return e.attempts.Again(RefusedDischarge)
	case strings.Contains(challenge, `error="invalid_token"`):
		return e.attempts.Again(RefusedToken)
	}
	return ""
}

// discard reads what is left of a short body, so that the connection can be used
// again.
func discard(response *http.Response) {
	io.CopyN(io.Discard, response.Body, 1<<14)
	response.Body.Close()
}
