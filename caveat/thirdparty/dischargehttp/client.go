package dischargehttp

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/amaretti-go/amaretti/macaroon"
)

// Client gets discharges from third parties. It goes to those that it was made for and to no others, whatever a token
// says, follows no redirect and sends no cookies. It is safe for concurrent use. Make one with [NewClient]; the zero
// Client refuses.
type Client struct {
	places    places
	options   ClientOptions
	exchanger exchanger
	kept      *memo[question, BakeryMacaroon]
	atOnce    int // discharges that are asked for at the same time, for one wallet
}

// ClientOptions are what a [Client] may be told besides which third parties there are. The zero value is the safe
// default.
type ClientOptions struct {
	_ [0]func() // fields are to be named

	// Base sends the requests. It may authorise them, if it does so for the whole client alike; see Identity.
	// Nil means [http.DefaultTransport].
	Base http.RoundTripper

	// Identity tells as whom the third party at a location is asked, where that is not always the same. What was
	// obtained for one identity is never given to another. Nil means that of the client itself.
	Identity func(ctx context.Context, location string) (Identity, error)

	// Interactors take part in interactions, if somebody has to act before there is a discharge: those of a
	// browser, see [Browser], and others. The first whose kind the third party offers is used. Waiting until
	// somebody else has acted needs none. With any, discharges for one wallet are got one after the other, so that
	// nobody is to act in two places at once.
	Interactors []Interactor

	// Timeout is how long one request may take, but for those that wait until somebody has acted. While a third
	// party does not answer, whoever needs a discharge that is not kept waits for up to so long, since failures are
	// not kept: what is answered with one says as a rule nothing about other caveats. Zero means 10 seconds;
	// negative is an error.
	Timeout time.Duration

	// InteractionTimeout is how long somebody has to act. Zero means 5 minutes; negative is an error.
	InteractionTimeout time.Duration

	// Rounds is how often a wallet is looked at for caveats that lack a discharge, so that it is how deep
	// discharges of discharges go. Zero means 4, which is what verifiers allow; negative is an error.
	Rounds int

	// Discharges is how many discharges are got for one wallet. Zero means 15, which is what verifiers allow;
	// negative is an error.
	Discharges int

	// Cache is how many discharges are kept, each until shortly before it expires, and for an hour at the
	// longest. Zero means 1024; negative means that none is.
	Cache int

	// InsecureHTTP allows locations of plain HTTP beyond loopback, so that all on the way can read and change
	// what is said.
	InsecureHTTP bool
}

// Identity is as whom a third party is asked.
type Identity struct {
	// Name tells identities apart.
	Name string

	// Header is added to the requests: Authorization, or Cookie. It is copied, and not changed.
	Header http.Header
}

// String tells the name, and not the header, which is a secret.
func (i Identity) String() string { return "identity " + quote(i.Name) }

// Format writes what String gives, whatever the verb.
func (i Identity) Format(f fmt.State, _ rune) { io.WriteString(f, i.String()) }

// LogValue gives what String gives.
func (i Identity) LogValue() slog.Value { return slog.StringValue(i.String()) }

const (
	defaultTimeout            = 10 * time.Second
	defaultInteractionTimeout = 5 * time.Minute
	defaultRounds             = 4
	defaultDischarges         = 15
	defaultCache              = 1024
	maxKept                   = time.Hour
	maxAtOnce                 = 8
)

// NewClient makes a client that asks the third parties at these locations, such as "https://id.example" or
// "https://example.com/identity", and no others. They must be https, but for loopback. All problems are joined.
func NewClient(locations []string, options ClientOptions) (*Client, error) {
	var problems []error
	places, err := newPlaces(locations, options.InsecureHTTP)
	problems = append(problems, err)
	if options.Timeout < 0 || options.InteractionTimeout < 0 || options.Rounds < 0 || options.Discharges < 0 {
		problems = append(problems, errors.New("negative limit"))
	}
	options.Timeout = cmp.Or(options.Timeout, defaultTimeout)
	options.InteractionTimeout = cmp.Or(options.InteractionTimeout, defaultInteractionTimeout)
	options.Rounds = cmp.Or(options.Rounds, defaultRounds)
	options.Discharges = cmp.Or(options.Discharges, defaultDischarges)
	options.Cache = cmp.Or(options.Cache, defaultCache)
	if slices.Contains(options.Interactors, nil) {
		problems = append(problems, errors.New("nil Interactor"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf(prefix+"client: %w", err)
	}
	atOnce := maxAtOnce
	if len(options.Interactors) > 0 {
		atOnce = 1
	}
	options.Interactors = append(slices.Clone(options.Interactors), poll{})
	return &Client{
		places: places, options: options, atOnce: atOnce,
		exchanger: newExchanger(options.Base, options.Timeout),
		kept:      &memo[question, BakeryMacaroon]{most: max(options.Cache, 0)},
	}, nil
}

// Discharge gets the discharges that w lacks, nested ones too, and gives the wallet with them. If one can't be got
// there is no wallet, and the error is an [*Error] that says of which third party: that of the first such caveat.
//
// Up to eight discharges are asked for at the same time, or one if there are Interactors. Those that a discharge needs
// itself are asked for when all others are there. Where one is refused, others may have been asked for in vain, and
// whoever was to act for them.
func (c *Client) Discharge(ctx context.Context, w macaroon.Wallet) (macaroon.Wallet, error) {
	return c.gather(ctx, w, nil, anyAge)
}

// Renew is [Client.Discharge] without the discharges that were kept, after a service did not take them: w is the wallet
// without them. What was got within the last two seconds is as good as new, so that many who were refused at once are
// not many who ask.
func (c *Client) Renew(ctx context.Context, w macaroon.Wallet) (macaroon.Wallet, error) {
	return c.gather(ctx, w, nil, asGoodAsNew)
}

const asGoodAsNew = 2 * time.Second

// DischargeBakery gets all discharges of a macaroon that a server of the bakery sent.
func (c *Client) DischargeBakery(ctx context.Context, m BakeryMacaroon) (macaroon.Wallet, error) {
	w, err := macaroon.NewWallet(m.Macaroon)
	if err != nil {
		return macaroon.Wallet{}, err
	}
	return c.gather(ctx, w, m.Payloads, anyAge)
}

// Forget drops the discharges that are kept for an identity, when it has logged out for example, or when a service
// refused one. Without an Identity option its name is empty.
func (c *Client) Forget(identity string) {
	if c.kept != nil {
		c.kept.forget(func(q question) bool { return q.identity == identity })
	}
}

var errZeroClient = errors.New(prefix + "zero Client: use NewClient")

func (c *Client) gather(ctx context.Context, w macaroon.Wallet, payloads map[string]string, age time.Duration) (macaroon.Wallet, error) {
	if c.kept == nil {
		return macaroon.Wallet{}, errZeroClient
	}
	if w.IsZero() {
		return macaroon.Wallet{}, macaroon.ErrInvalid
	}
	g := gathering{client: c, wallet: w, age: age, payloads: payloads}
	for round := 0; ; round++ {
		missing := g.wallet.Missing()
		if len(missing) == 0 {
			return g.wallet, nil
		}
		if err := g.check(missing, round); err != nil {
			return macaroon.Wallet{}, err
		}
		if err := g.add(ctx, missing); err != nil {
			return macaroon.Wallet{}, err
		}
	}
}

// question is what is asked for, as whom.
type question struct {
	location string
	caveat   [sha256.Size]byte
	identity string
}

// inquire asks for one discharge, or gives one that was kept.
func (c *Client) inquire(ctx context.Context, m macaroon.MissingDischarge, payload string, age time.Duration) inquiry[question, BakeryMacaroon] {
	at, as, err := c.whom(ctx, m.Location)
	if err != nil {
		return inquiry[question, BakeryMacaroon]{err: err}
	}
	asked := request{caveatID: m.CaveatID, payload: payload}
	return c.kept.inquire(ctx, question{at.location, asked.digest(), as.Name}, age,
		func(ctx context.Context) (BakeryMacaroon, time.Time, error) {
			s := session{client: c, place: at, header: header(as), request: asked}
			return s.obtain(ctx)
		})
}

// whom tells which third party is to be asked, and as whom.
func (c *Client) whom(ctx context.Context, location string) (at place, as Identity, err error) {
	if at, err = c.places.find(location); err != nil {
		return place{}, Identity{}, err
	}
	if c.options.Identity != nil {
		if as, err = c.options.Identity(ctx, at.location); err != nil {
			return place{}, Identity{}, fmt.Errorf("identity: %w", err)
		}
		as.Header = as.Header.Clone() // it may be used again, for the next third party, before it is sent
	}
	return at, as, nil
}

// header gives what is sent as an identity, whose header is a copy already.
func header(as Identity) http.Header {
	h := as.Header
	if h == nil {
		h = http.Header{}
	}
	h.Set(versionHeader, strconv.Itoa(maxVersion))
	return h
}
