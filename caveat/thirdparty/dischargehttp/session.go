package dischargehttp

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/internal/expiry"
	"github.com/amaretti-go/amaretti/internal/origin"
	"github.com/amaretti-go/amaretti/macaroon"
)

// session is the exchange with one third party about one caveat.
type session struct {
	client  *Client
	place   place
	header  http.Header
	request request
}

// obtain asks for the discharge, and tells how long it can be kept.
func (s *session) obtain(ctx context.Context) (BakeryMacaroon, time.Time, error) {
	asked := time.Now()
	d, challenge, err := s.ask(ctx)
	if challenge != nil {
		asked = time.Now()
		if err = s.interact(ctx, challenge); err == nil {
			if d, challenge, err = s.ask(ctx); challenge != nil {
				err = badResponse("an interaction is required after there was one")
			}
		}
	}
	if err != nil {
		return BakeryMacaroon{}, time.Time{}, err
	}
	if d.Macaroon.Identifier() != s.request.caveatID {
		return BakeryMacaroon{}, time.Time{}, badResponse("a discharge of another caveat")
	}
	return d, keepUntil(d.Macaroon, asked), nil
}

// ask asks once. If somebody has to act first there is a challenge and no discharge.
func (s *session) ask(ctx context.Context) (d BakeryMacaroon, challenge *errorInfo, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.client.exchanger.timeout)
	defer cancel()
	form := url.Values{"id64": {encode64(s.request.caveatID)}}
	if s.request.payload != "" {
		form.Set("caveat64", encode64(s.request.payload))
	}
	if s.request.kind != "" {
		form.Set("token-kind", s.request.kind)
		form.Set("token64", encode64(s.request.token))
	}
	a, err := s.client.exchanger.send(ctx, http.MethodPost, s.place.at("/discharge"), form, s.header)
	if err != nil {
		return BakeryMacaroon{}, nil, err
	}
	if a.status == http.StatusOK {
		var body struct{ Macaroon *BakeryMacaroon }
		if err := a.decode(&body); err != nil {
			return BakeryMacaroon{}, nil, err
		}
		if body.Macaroon == nil || body.Macaroon.Macaroon.IsZero() {
			return BakeryMacaroon{}, nil, badResponse("no macaroon")
		}
		return *body.Macaroon, nil, nil
	}
	refusal, info := a.refusal()
	if refusal.Code == codeInteraction {
		return BakeryMacaroon{}, info, nil
	}
	return BakeryMacaroon{}, nil, refused(refusal)
}

// refusal reads what is said instead of a discharge. There need not be a body.
func (a *answer) refusal() (*Refusal, *errorInfo) {
	var body errorBody
	if a.decode(&body) != nil {
		body = errorBody{}
	}
	if body.Info == nil {
		body.Info = &errorInfo{}
	}
	return &Refusal{Status: a.status, Code: body.Code, Message: body.Message}, body.Info
}

// refused tells the refusals that may be otherwise when asked again.
func refused(r *Refusal) error {
	switch r.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return caveat.Undecided(r)
	}
	return r
}

// keepUntil tells how long a discharge is given to others who ask for it: until shortly before it expires, so that
// what is sent then arrives in time.
func keepUntil(m macaroon.Macaroon, asked time.Time) time.Time {
	until := asked.Add(maxKept)
	end, expires := expiry.Of(m.Inspect())
	if !expires {
		return until
	}
	if life := end.Sub(asked); life > 0 {
		end = end.Add(-min(life/4, maxMargin))
	}
	if end.Before(until) {
		return end
	}
	return until
}

// maxMargin is more than a request takes and clocks differ.
const maxMargin = 30 * time.Second

// interact has one of the interactors get a token.
func (s *session) interact(ctx context.Context, challenge *errorInfo) error {
	ctx, cancel := context.WithTimeout(ctx, s.client.options.InteractionTimeout)
	defer cancel()
	for _, interactor := range s.client.options.Interactors {
		kind := interactor.Kind()
		info, offered := challenge.InteractionMethods[kind]
		if !offered {
			continue
		}
		token, err := interactor.Interact(ctx, Challenge{s, info})
		if err != nil {
			return err
		}
		if token.Kind == "" || token.Value == "" {
			return badResponse("an empty token")
		}
		s.request.kind, s.request.token = token.Kind, token.Value
		return nil
	}
	return ErrInteraction
}

// allowed reports whether a URL leads to the third party itself.
func (s *session) allowed(u *url.URL) bool {
	o, err := origin.Of(u)
	return err == nil && o == s.place.origin
}
