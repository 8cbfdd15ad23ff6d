package client

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/internal/origin"
	"github.com/amaretti-go/amaretti/macaroon"
)

// exchange is a request, and what it is authorised from: one goroutine's.
type exchange struct {
	options    *Options
	request    *http.Request // the caller's: it is not changed
	body       *body
	target     origin.Origin
	clock      *clock // of the target
	source     Source
	discharger Discharger // or nil

	// What was sent last.
	wallet macaroon.Wallet
	end    time.Time // when it expires, by the service's clock
}

// send authorises the request and sends it. Whatever happens, the body will be closed.
func (e *exchange) send() (*http.Response, error) {
	out := e.request.WithContext(e.request.Context()) // a shallow copy
	if err := e.body.put(out); err != nil {
		return nil, err
	}
	text, err := e.token()
	if err != nil {
		closeBody(out)
		return nil, err
	}
	if out.Header = out.Header.Clone(); out.Header == nil {
		out.Header = http.Header{}
	}
	for _, name := range authorizations(out.Header) {
		delete(out.Header, name)
	}
	out.Header.Set("Authorization", "Bearer "+text)

	sent := time.Now()
	response, err := e.options.Base.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	e.clock.observe(response, sent, time.Now())
	response.Request = e.request // and not the one that holds a token
	return response, nil
}

// token gives the text of a token for this request.
func (e *exchange) token() (string, error) {
	expiry := &term{clock: e.clock, life: e.options.Lifetime}
	caveats, err := e.caveats(expiry)
	if err != nil {
		return "", err
	}
	w, err := Prepare(e.request.Context(), e.source, string(e.target), e.discharger, caveats...)
	if err != nil {
		return "", err
	}
	e.wallet, e.end = w, expiry.end
	return w.Encode()
}

// errPath: services take such a path for no fact at all, so that the answer would be 403.
var errPath = errors.New("client: no token can be narrowed to a path that can be read in several ways, with encoded dots or slashes or empty segments, or that is longer than 8 KiB")

// caveats narrows a token to this request. What is the same for many requests comes first:
// a service that has seen it need not compute its signature again.
func (e *exchange) caveats(expiry *term) ([]macaroon.Caveat, error) {
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
	return append(list, expiry), nil
}

// again tells why the request, so answered, is worth a second attempt, or "", and
// whether that needs other discharges.
func (e *exchange) again(response *http.Response) (why string, anew bool) {
	if response.StatusCode != http.StatusUnauthorized {
		return "", false
	}
	challenge := strings.Join(response.Header.Values("WWW-Authenticate"), ", ")
	discharged := e.discharger != nil && e.wallet.Inspect().Len() > 1
	now := e.clock.now().Add(time.Second) // a Date has no fractions
	switch {
	case strings.Contains(challenge, `error="insufficient_user_authentication"`):
		if discharged {
			return "the service asks for a discharge", true
		}
	case strings.Contains(challenge, `error="invalid_token"`):
		if discharged && expired(e.wallet, 1, now) {
			return "a discharge had expired by the service's clock", true
		}
		if !now.Before(e.end) {
			return "the token had expired by the service's clock", false
		}
	}
	return "", false
}

// discard reads what is left of a short body, so that the connection can be used
// again.
func discard(response *http.Response) {
	io.CopyN(io.Discard, response.Body, 1<<14)
	response.Body.Close()
}
