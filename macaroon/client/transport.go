package client

import (
	"context"
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

	// ErrMissingDischarge: the wallet lacks discharges, and there is no Discharger.
	ErrMissingDischarge = errors.New("client: the wallet lacks a discharge")

	// ErrBody: the body is needed a second time, and can't be had.
	ErrBody = errors.New("client: the body can't be sent again: Request.GetBody is not set")

	// ErrBodyTooLarge: a body has more bytes than may be held in memory.
	ErrBodyTooLarge = errors.New("client: the body is larger than MaxBody")
)

// Transport is an [http.RoundTripper] that authorises each request with a token made
// for it. It is safe for concurrent use. It does not change the requests that it is
// given, and what it adds is not in Response.Request.
type Transport struct {
	targets origin.List
	clocks  map[origin.Origin]*clock
	source  Source
	options Options
}

// New makes a transport that sends tokens from source to these origins, such as
// "https://orders.internal" or "http://localhost:8080", and to no others. They must be
// https, but for loopback. All problems are joined.
func New(origins []string, source Source, options Options) (*Transport, error) {
	problems := []error{options.complete()}
	targets, err := origin.NewList(origins, options.InsecureHTTP)
	problems = append(problems, err)
	if source == nil {
		problems = append(problems, errors.New("no source"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	t := &Transport{targets: targets, clocks: map[origin.Origin]*clock{}, source: source, options: options}
	for o := range targets.All() {
		t.clocks[o] = new(clock)
	}
	return t, nil
}

// RoundTrip authorises the request and sends it. It is sent once more if the service
// asks for discharges, or if the token was expired by the service's clock.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	target, err := t.target(r)
	switch {
	case err == nil:
	case t.options.PassOthers && errors.Is(err, ErrOrigin):
		return t.options.Base.RoundTrip(r)
	default:
		closeBody(r)
		return nil, err
	}
	b, err := t.body(r)
	if err != nil {
		closeBody(r)
		return nil, err
	}
	response, sent, err := t.send(r, target, b)
	if err != nil {
		return nil, err
	}
	why := sent.refused(response, t.clocks[target])
	if why == "" {
		return response, nil
	}
	discard(response)
	if !b.again() {
		return nil, fmt.Errorf("%w, and %s", ErrBody, why)
	}
	response, _, err = t.send(r, target, b)
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
	if !t.targets.Has(target) {
		return "", ErrOrigin
	}
	if r.Host != "" && r.Host != r.URL.Host {
		// Behind one address there may be many hosts.
		return "", fmt.Errorf("%w: Host is another", ErrOrigin)
	}
	for at := r; at.Response != nil && at.Response.Request != nil; {
		at = at.Response.Request
		if before, err := origin.Of(at.URL); err != nil || before != target {
			return "", fmt.Errorf("%w: a redirect led here", ErrOrigin)
		}
	}
	if r.Header.Get("Authorization") != "" && !t.options.ReplaceAuthorization {
		return "", ErrAuthorization
	}
	return target, nil
}

// attempt is a request that was sent.
type attempt struct {
	at     time.Time
	expiry time.Time // of the token, by the service's clock
}

// send authorises a request and sends it. Whatever happens, the body will be closed.
func (t *Transport) send(r *http.Request, target origin.Origin, b *body) (*http.Response, attempt, error) {
	content, err := b.open()
	if err != nil {
		return nil, attempt{}, err
	}
	clock := t.clocks[target]
	a := attempt{expiry: clock.now().Add(t.options.Lifetime)}
	text, err := t.token(r, target, b, a.expiry)
	if err != nil {
		content.Close()
		return nil, attempt{}, err
	}
	out := r.WithContext(r.Context()) // a shallow copy
	out.Body = content
	if r.Body == nil {
		out.Body = nil
	}
	if out.Header = r.Header.Clone(); out.Header == nil {
		out.Header = http.Header{}
	}
	out.Header.Set("Authorization", "Bearer "+text)

	a.at = time.Now()
	response, err := t.options.Base.RoundTrip(out)
	if err != nil {
		return nil, attempt{}, err
	}
	clock.observe(response, a.at, time.Now())
	response.Request = r // and not the one that holds a token
	return response, a, nil
}

// token gives the text of a token for one request.
func (t *Transport) token(r *http.Request, target origin.Origin, b *body, expiry time.Time) (string, error) {
	ctx := r.Context()
	w, err := t.source.Wallet(ctx, string(target))
	if err != nil {
		return "", err
	}
	if len(w.Missing()) > 0 {
		if w, err = t.discharge(ctx, w); err != nil {
			return "", err
		}
	}
	caveats, err := t.caveats(r, b, expiry)
	if err != nil {
		return "", err
	}
	if w, err = w.Attenuate(caveats...); err != nil {
		return "", err
	}
	return w.Encode()
}

func (t *Transport) discharge(ctx context.Context, w macaroon.Wallet) (macaroon.Wallet, error) {
	if t.options.Discharger == nil {
		return macaroon.Wallet{}, ErrMissingDischarge
	}
	w, err := t.options.Discharger.Discharge(ctx, w)
	if err == nil && len(w.Missing()) > 0 {
		err = ErrMissingDischarge
	}
	return w, err
}

// refused tells why a request is worth a second attempt, or "".
func (a attempt) refused(response *http.Response, c *clock) string {
	if response.StatusCode != http.StatusUnauthorized {
		return ""
	}
	challenge := strings.Join(response.Header.Values("WWW-Authenticate"), ", ")
	switch {
	case strings.Contains(challenge, `error="insufficient_user_authentication"`):
		return "the service asks for a discharge"
	case strings.Contains(challenge, `error="invalid_token"`) && !c.now().Before(a.expiry):
		return "the token had expired by the service's clock"
	}
	return ""
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
