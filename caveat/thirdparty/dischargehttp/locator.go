package dischargehttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
)

// Locator finds the keys of third parties by asking them, over HTTPS, at /discharge/info. It knows those that it was
// made for and no others. It is a [thirdparty.Locator] and safe for concurrent use. Make one with [NewLocator]; the
// zero Locator fails.
//
// Whoever can answer for a location can discharge the caveats that are then made for it: where a key is known, a
// [thirdparty.StaticLocator] is better.
type Locator struct {
	places    places
	options   LocatorOptions
	exchanger exchanger
	kept      *memo[string, thirdparty.Party]
}

// LocatorOptions are what a [Locator] may be told. The zero value is the safe default.
type LocatorOptions struct {
	_ [0]func() // fields are to be named

	// Base sends the requests. Nil means [http.DefaultTransport].
	Base http.RoundTripper

	// Timeout is how long one request may take. Zero means 10 seconds; negative is an error.
	Timeout time.Duration

	// Keep is how long an answer is good for. A third party that replaces a key has to open the old one for at
	// least as long. Zero means 5 minutes; negative is an error.
	Keep time.Duration

	// InsecureHTTP allows locations of plain HTTP beyond loopback, so that all on the way can put their own key
	// there.
	InsecureHTTP bool
}

const defaultKeep = 5 * time.Minute

// NewLocator makes a Locator of the third parties at these locations. They must be https, but for loopback. All
// problems are joined.
func NewLocator(locations []string, options LocatorOptions) (*Locator, error) {
	places, err := newPlaces(locations, options.InsecureHTTP)
	problems := []error{err}
	if options.Timeout < 0 || options.Keep < 0 {
		problems = append(problems, errors.New("negative limit"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf(prefix+"locator: %w", err)
	}
	options.Timeout = cmp.Or(options.Timeout, defaultTimeout)
	options.Keep = cmp.Or(options.Keep, defaultKeep)
	return &Locator{
		places: places, options: options,
		exchanger: newExchanger(options.Base, options.Timeout),
		kept:      &memo[string, thirdparty.Party]{most: len(places)},
	}, nil
}

var _ thirdparty.Locator = (*Locator)(nil)

// ThirdParty asks the third party at a location for its key, or gives what it said not long ago. For a location that
// the locator was not made for found is false. An error is an [*Error].
func (l *Locator) ThirdParty(ctx context.Context, location string) (party thirdparty.Party, found bool, err error) {
	if l.kept == nil {
		return thirdparty.Party{}, false, errors.New(prefix + "zero Locator: use NewLocator")
	}
	at, err := l.places.find(location)
	if err != nil {
		return thirdparty.Party{}, false, nil
	}
	party, err = l.kept.get(ctx, at.location, anyAge, func(ctx context.Context) (thirdparty.Party, time.Time, error) {
		asked := time.Now()
		party, err := l.ask(ctx, at)
		return party, asked.Add(l.options.Keep), err
	})
	if err != nil {
		return thirdparty.Party{}, false, &Error{Location: at.location, Err: err}
	}
	return party, true, nil
}

func (l *Locator) ask(ctx context.Context, at place) (thirdparty.Party, error) {
	ctx, cancel := context.WithTimeout(ctx, l.exchanger.timeout)
	defer cancel()
	a, err := l.exchanger.send(ctx, http.MethodGet, at.at("/discharge/info"), nil, header(Identity{}))
	if err != nil {
		return thirdparty.Party{}, err
	}
	if a.status != http.StatusOK {
		refusal, _ := a.refusal()
		return thirdparty.Party{}, refused(refusal)
	}
	var body partyBody
	if err := a.decode(&body); err != nil {
		return thirdparty.Party{}, err
	}
	key, err := thirdparty.ParsePublicKey(body.PublicKey)
	if err != nil {
		return thirdparty.Party{}, badResponse("no public key")
	}
	if body.Version < minVersion {
		return thirdparty.Party{}, badResponse("a version of the protocol that is too old")
	}
	return thirdparty.Party{Location: at.location, Key: key, Version: body.Version}, nil
}
