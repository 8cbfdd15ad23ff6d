package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/internal/origin"
	"github.com/amaretti-go/amaretti/macaroon"
)

// Errors of a request that was not sent, or not sent again.
var (
	// ErrOrigin: the request leads to an origin that no token is for, or a redirect
	// led it away from the one it was made for.
	ErrOrigin = errors.New("client: no token is for this origin")

	// ErrAuthorization: the request has an Authorization header already.
	ErrAuthorization = errors.New("client: the request has an Authorization header already")

	// ErrBody: the body is needed a second time, and can't be had.
	ErrBody = errors.New("client: the body can't be sent again: Request.GetBody is not set")

	// ErrBodyTooLarge: a body has more bytes than may be held in memory.
	ErrBodyTooLarge = errors.New("client: the body is larger than MaxBody")
)

// Transport is an [http.RoundTripper] that authorises each request with a token made
// for it. It is safe for concurrent use. It does not change the requests that it is
// given, and what it adds is not in Response.Request.
type Transport struct {
	clocks  map[origin.Origin]*clock // of the services that tokens are for
	source  Source
	options Options
}

// New makes a transport that sends tokens from source to these origins, such as
// "https://orders.internal" or "http://localhost:8080", and to no others. They must be
// https, but for loopback. All problems are joined.
func New(origins []string, source Source, options Options) (*Transport, error) {
	problems := []error{options.complete()} // of this copy
	targets, err := origin.NewList(origins, options.InsecureHTTP)
	problems = append(problems, err)
	if source == nil {
		problems = append(problems, errors.New("no source"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	t := &Transport{clocks: map[origin.Origin]*clock{}, source: source, options: options}
	for o := range targets.All() {
		t.clocks[o] = &clock{most: options.MaxSkew}
	}
	return t, nil
}

// RoundTrip authorises the request and sends it. It is sent once more, with another
// token, if the service asks for discharges, or if the token or one of its discharges had expired
// by the service's clock; if the body can't be had once more, that is [ErrBody]. Whatever
// happens, the body is closed.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	target, err := t.target(r)
	if err != nil {
		if t.options.PassOthers && errors.Is(err, ErrOrigin) {
			return t.options.Base.RoundTrip(r)
		}
		closeBody(r)
		return nil, err
	}
	b, err := t.body(r)
	if err != nil {
		return nil, err
	}
	response, sent, err := t.send(r, target, b, t.source)
	if err != nil {
		return nil, err
	}
	source := t.source
	why, anew := t.again(response, sent, t.clocks[target])
	if why == "" {
		return response, nil
	}
	discard(response)
	if !b.again() {
		return nil, fmt.Errorf("%w, and %s", ErrBody, why)
	}
	if anew {
		if d, ok := t.options.Discharger.(forgetter); ok {
			d.Forget(sent.wallet)
		}
		source = bare(source)
	}
	response, _, err = t.send(r, target, b, source)
	return response, err
}

// CloseIdleConnections does what [http.Client.CloseIdleConnections] asks for.
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.options.Base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// target gives the origin that the request leads to, if a token may be sent there.
func (t *Transport) target(r *http.Request) (origin.Origin, error) {
	if r.URL == nil || r.URL.Opaque != "" {
		return "", fmt.Errorf("%w: no plain URL", ErrOrigin)
	}
	target, err := origin.Of(r.URL)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrOrigin, err)
	}
	if t.clocks[target] == nil {
		return "", ErrOrigin
	}
	if r.Host != "" && r.Host != r.URL.Host {
		// Behind one address there may be many hosts.
		return "", fmt.Errorf("%w: Host is another", ErrOrigin)
	}
	for at := r; at.Response != nil; {
		if at = at.Response.Request; at == nil || at.URL == nil {
			return "", fmt.Errorf("%w: a redirect led here from nowhere", ErrOrigin)
		}
		if before, err := origin.Of(at.URL); err != nil || before != target {
			return "", fmt.Errorf("%w: a redirect led here", ErrOrigin)
		}
	}
	if !t.options.ReplaceAuthorization && len(authorizations(r.Header)) > 0 {
		return "", ErrAuthorization
	}
	return target, nil
}

// authorizations gives the names of the Authorization headers: who sets them past
// [http.Header.Set] can spell them in several ways, and all are sent.
func authorizations(h http.Header) (names []string) {
	for name := range h {
		if strings.EqualFold(name, "Authorization") {
			names = append(names, name)
		}
	}
	return names
}

// attempt is a request that was sent.
type attempt struct {
	wallet macaroon.Wallet // with its discharges
	end    time.Time       // when the token expires, by the service's clock
}

// send authorises a request and sends it. Whatever happens, the body will be closed.
func (t *Transport) send(r *http.Request, target origin.Origin, b *body, source Source) (*http.Response, attempt, error) {
	out := r.WithContext(r.Context()) // a shallow copy
	if err := b.put(out); err != nil {
		return nil, attempt{}, err
	}
	clock := t.clocks[target]
	expiry := &term{clock: clock, time: t.options.Lifetime}
	w, text, err := t.token(r, target, b, source, expiry)
	if err != nil {
		closeBody(out)
		return nil, attempt{}, err
	}
	if out.Header = r.Header.Clone(); out.Header == nil {
		out.Header = http.Header{}
	}
	for _, name := range authorizations(out.Header) {
		delete(out.Header, name)
	}
	out.Header.Set("Authorization", "Bearer "+text)

	sent := time.Now()
	response, err := t.options.Base.RoundTrip(out)
	if err != nil {
		return nil, attempt{}, err
	}
	clock.observe(response, sent, time.Now())
	response.Request = r // and not the one that holds a token
	return response, attempt{w, expiry.end}, nil
}

// token gives the wallet for one request, and what is sent of it.
func (t *Transport) token(r *http.Request, target origin.Origin, b *body, source Source, expiry *term) (macaroon.Wallet, string, error) {
	caveats, err := t.caveats(r, b, expiry)
	if err != nil {
		return macaroon.Wallet{}, "", err
	}
	w, err := Prepare(r.Context(), source, string(target), t.options.Discharger, caveats...)
	if err != nil {
		return macaroon.Wallet{}, "", err
	}
	text, err := w.Encode()
	return w, text, err
}

// again tells why a request that was answered is worth a second attempt, or "", and
// whether that needs other discharges.
func (t *Transport) again(response *http.Response, sent attempt, c *clock) (why string, anew bool) {
	if response.StatusCode != http.StatusUnauthorized {
		return "", false
	}
	challenge := strings.Join(response.Header.Values("WWW-Authenticate"), ", ")
	discharged := t.options.Discharger != nil && sent.wallet.Inspect().Len() > 1
	now := c.now().Add(time.Second) // Date has no fractions
	switch {
	case strings.Contains(challenge, `error="insufficient_user_authentication"`):
		if discharged {
			return "the service asks for a discharge", true
		}
	case strings.Contains(challenge, `error="invalid_token"`):
		if discharged && expired(sent.wallet, 1, now) {
			return "a discharge had expired by the service's clock", true
		}
		if !now.Before(sent.end) {
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

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

// hostOf is a host as http-host caveats spell it.
func hostOf(u *url.URL) string { return strings.ToLower(u.Hostname()) }
