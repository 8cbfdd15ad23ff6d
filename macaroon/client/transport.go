package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/amaretti-go/amaretti/internal/origin"
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
	clocks  map[origin.Origin]*Clock // of the services that tokens are for
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
	t := &Transport{clocks: map[origin.Origin]*Clock{}, source: source, options: options}
	for o := range targets.All() {
		t.clocks[o] = new(Clock)
	}
	return t, nil
}

// RoundTrip authorises the request and sends it. It is sent once more, with another
// token, if the service asks for discharges, or if the token or one of its discharges
// had expired by the service's clock; if the body can't be had once more, that is
// [ErrBody]. Whatever happens, the body is closed.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	target, err := t.target(r)
	if err != nil {
		if t.options.PassOthers && errors.Is(err, ErrOrigin) {
			return t.options.Base.RoundTrip(r)
		}
		closeBody(r)
		return nil, err
	}
	b := newBody(r)
	defer b.close() // also if code that is not ours panics
	if t.options.ContentDigest {
		if err := b.digest(r, t.options.MaxBody); err != nil {
			return nil, err
		}
	}
	e := &exchange{options: &t.options, request: r, body: b, attempts: Attempts{Source: t.source, Target: string(target),
		Discharger: t.options.Discharger, Clock: t.clocks[target], Lifetime: t.options.Lifetime}}
	response, err := e.send()
	if err != nil {
		return nil, err
	}
	why := e.again(response)
	if why == "" {
		return response, nil
	}
	discard(response)
	if !b.again() {
		return nil, fmt.Errorf("%w, and %s", ErrBody, why)
	}
	return e.send()
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
		return "", fmt.Errorf("%w: %s", ErrOrigin, target)
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

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}
