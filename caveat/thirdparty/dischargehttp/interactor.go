package dischargehttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/amaretti-go/amaretti/internal/origin"
)

// Interactor takes part, for a [Client], in one kind of interaction: those that the [Interaction] of the same kind
// began. Its methods must be safe for concurrent use and heed ctx.
type Interactor interface {
	// Kind is the name of the kind.
	Kind() string

	// Interact gives the token that proves to the third party who asks. What the challenge says comes from the
	// third party. An error fails the discharge.
	Interact(ctx context.Context, challenge Challenge) (Token, error)
}

// Token is what an interaction ends with: a secret that prints as its kind.
type Token struct{ Kind, Value string }

// String tells the kind, and not the value.
func (t Token) String() string { return "token of kind " + quote(t.Kind) }

// Format writes what String gives, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// LogValue gives what String gives.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// Challenge is what a third party said about an interaction. It prints as where that is: the rest may hold secrets.
type Challenge struct {
	session *session
	info    json.RawMessage
}

// String tells where the third party is, and nothing that it said.
func (c Challenge) String() string {
	if c.session == nil {
		return "zero challenge"
	}
	return "challenge of " + quote(c.Location())
}

// Format writes what String gives, whatever the verb.
func (c Challenge) Format(f fmt.State, _ rune) { io.WriteString(f, c.String()) }

// LogValue gives what String gives.
func (c Challenge) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Location is where the third party is.
func (c Challenge) Location() string { return c.session.place.location }

// Decode reads what the third party said for this kind of interaction, as encoding/json does.
func (c Challenge) Decode(to any) error {
	if err := json.Unmarshal(c.info, to); err != nil {
		return badResponse("the description of an interaction can't be read")
	}
	return nil
}

// Send sends a request to the third party itself, at a URL that may be relative to its location, and gives the
// status and the body. A form is sent if it is not nil. It fails for other origins, for redirects, and for answers
// that are too long.
func (c Challenge) Send(ctx context.Context, method, to string, form url.Values) (status int, body []byte, err error) {
	a, err := c.send(ctx, method, to, form, c.session.header)
	if err != nil {
		return 0, nil, err
	}
	return a.status, a.body, nil
}

func (c Challenge) send(ctx context.Context, method, to string, form url.Values, header http.Header) (*answer, error) {
	u, err := c.session.place.resolve(to)
	if err != nil || !c.session.allowed(u) {
		return nil, fmt.Errorf("%w: %s, where to continue", ErrNotAllowed, quote(to))
	}
	return c.session.client.exchanger.send(ctx, method, u.String(), form, header)
}

// wait waits until somebody has acted, and gives the token.
func (c Challenge) wait(ctx context.Context, at string) (Token, error) {
	if at == "" {
		return Token{}, badResponse("an interaction without a URL to wait at")
	}
	header := c.session.header.Clone()
	header.Set(prefer, fmt.Sprintf("wait=%d", waitSeconds))
	for {
		a, err := c.send(ctx, http.MethodGet, at, nil, header)
		switch {
		case err != nil:
			return Token{}, err
		case a.status == http.StatusAccepted:
			if err := sleep(ctx, a.retryAfter()); err != nil {
				return Token{}, err
			}
			continue
		case a.status != http.StatusOK:
			refusal, _ := a.refusal()
			return Token{}, refused(refusal)
		}
		var body tokenBody
		if err := a.decode(&body); err != nil {
			return Token{}, err
		}
		if body.Token64 != "" {
			value, ok := decode64(body.Token64)
			if !ok {
				return Token{}, badResponse("a token that is not base64")
			}
			body.Token = value
		}
		return Token{body.Kind, body.Token}, nil
	}
}

// waitSeconds is how long a client of this package waits for one answer: less than proxies do.
const waitSeconds = 20

// poll waits until somebody has acted whom the third party asked itself.
type poll struct{}

func (poll) Kind() string { return kindPoll }

func (poll) Interact(ctx context.Context, challenge Challenge) (Token, error) {
	var told flowBody
	if err := challenge.Decode(&told); err != nil {
		return Token{}, err
	}
	return challenge.wait(ctx, told.WaitTokenURL)
}

// Browser has a person act in a browser. open is given the URL to open: it runs the browser, or shows the URL, and
// returns without waiting for the person. Its error fails the discharge.
//
// Only URLs at the third party's own origin are opened, and at these other ones, where people log in, which must be
// https, but for loopback. The person must see in the browser where they are.
func Browser(open func(ctx context.Context, url string) error, origins ...string) (Interactor, error) {
	b := browser{open: open}
	if open == nil {
		return nil, errors.New(prefix + "browser: no function to open it")
	}
	if len(origins) > 0 {
		var err error
		if b.origins, err = origin.NewList(origins, false); err != nil {
			return nil, fmt.Errorf(prefix+"browser: %w", err)
		}
	}
	return b, nil
}

type browser struct {
	open    func(context.Context, string) error
	origins origin.List
}

func (browser) Kind() string { return kindBrowser }

func (b browser) Interact(ctx context.Context, challenge Challenge) (Token, error) {
	var told flowBody
	if err := challenge.Decode(&told); err != nil {
		return Token{}, err
	}
	visit, err := challenge.session.place.resolve(told.VisitURL)
	if err != nil || told.VisitURL == "" || !b.allowed(challenge, visit) {
		return Token{}, fmt.Errorf("%w: %s, where to send a browser", ErrNotAllowed, quote(told.VisitURL))
	}
	if err := b.open(ctx, visit.String()); err != nil {
		return Token{}, fmt.Errorf("browser: %w", err)
	}
	return challenge.wait(ctx, told.WaitTokenURL)
}

func (b browser) allowed(challenge Challenge, visit *url.URL) bool {
	o, err := origin.Of(visit)
	return err == nil && (o == challenge.session.place.origin || b.origins.Has(o))
}
