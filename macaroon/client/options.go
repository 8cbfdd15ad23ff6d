package client

import (
	"cmp"
	"errors"
	"net/http"
	"time"

	"github.com/amaretti-go/amaretti/macaroon"
)

// Options are what [New] may be told besides where tokens go and where they come from.
// The zero value is the safe default.
type Options struct {
	_ [0]func() // fields are to be named

	// Base sends the requests. Nil means [http.DefaultTransport].
	Base http.RoundTripper

	// Discharger obtains missing discharges. Without one (nil) a wallet that lacks
	// some is an error.
	Discharger Discharger

	// Lifetime is how long a token that is sent is good for. Zero means 30 seconds;
	// negative is an error.
	Lifetime time.Duration

	// MaxSkew is how far a service's clock is believed to be off, by the Date of its
	// answers: by the client's own clock no token is good for longer than Lifetime and
	// MaxSkew. A Date further off is not believed at all. Zero means two minutes; negative
	// is an error.
	MaxSkew time.Duration

	// AnyMethod and AnyPath leave the token good for other methods and paths. (Of the
	// query it says nothing in any case.)
	AnyMethod, AnyPath bool

	// Host restricts the token to the host of the URL. Services can check that only if
	// they were told what their hosts are.
	Host bool

	// ContentDigest restricts the token to the body. A body that can't be read twice,
	// by Request.GetBody, is held in memory for that, and so can be sent again.
	ContentDigest bool

	// MaxBody is how many bytes of a body are held in memory, at most; a request with
	// a larger one fails before it is sent. Zero means 1 MiB; negative is an error.
	MaxBody int64

	// Branch, 16 random bytes, marks every token with a branch of delegation, so that
	// what this client sent can be revoked without the rest. All zero means none.
	Branch [16]byte

	// Caveats gives further restrictions for a request, which it must not change. Its
	// error fails the request. If there are third-party caveats among them, Discharger
	// obtains their discharges. Nil means none.
	Caveats func(*http.Request) ([]macaroon.Caveat, error)

	// ReplaceAuthorization replaces the Authorization header of a request that has one.
	// Otherwise such a request fails: somebody else's credential is in it, or somebody
	// else's idea of who authorises it.
	ReplaceAuthorization bool

	// PassOthers sends requests that no token is for as they came: with the Authorization
	// header that they may have, even if ReplaceAuthorization is set. Otherwise they fail.
	PassOthers bool

	// InsecureHTTP allows tokens to be sent by plain HTTP beyond loopback, for all on
	// the way to read.
	InsecureHTTP bool
}

const (
	defaultLifetime = 30 * time.Second
	defaultMaxSkew  = 2 * time.Minute
	defaultMaxBody  = 1 << 20
)

func (o *Options) complete() error {
	var problems []error
	if o.Lifetime < 0 {
		problems = append(problems, errors.New("negative Lifetime"))
	}
	if o.MaxSkew < 0 {
		problems = append(problems, errors.New("negative MaxSkew"))
	}
	if o.MaxBody < 0 {
		problems = append(problems, errors.New("negative MaxBody"))
	}
	o.Lifetime = cmp.Or(o.Lifetime, defaultLifetime)
	o.MaxSkew = cmp.Or(o.MaxSkew, defaultMaxSkew)
	o.MaxBody = cmp.Or(o.MaxBody, defaultMaxBody)
	if o.Base == nil {
		o.Base = http.DefaultTransport
	}
	return errors.Join(problems...)
}
