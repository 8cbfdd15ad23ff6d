package client

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/amaretti-go/amaretti/macaroon"
)

// A Discharger obtains the discharges that a wallet lacks, from the third parties that
// its caveats name, and gives the wallet with them. The client of package dischargehttp
// is one. It must be safe for concurrent use.
type Discharger interface {
	Discharge(ctx context.Context, w macaroon.Wallet) (macaroon.Wallet, error)
}

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

	// AnyMethod and AnyPath leave the token good for other methods and paths.
	AnyMethod, AnyPath bool

	// Host restricts the token to the host of the URL. Services can check that only if
	// they were told what their hosts are.
	Host bool

	// ContentDigest restricts the token to the body. A body that can't be read twice,
	// by Request.GetBody, is held in memory for that.
	ContentDigest bool

	// MaxBody is how many bytes of a body are held in memory, at most; a request with
	// a larger one fails before it is sent. Zero means 1 MiB; negative is an error.
	MaxBody int64

	// Branch, 16 random bytes, marks every token with a branch of delegation, so that
	// what this client sent can be revoked without the rest. All zero means none.
	Branch [16]byte

	// Caveats gives further restrictions for a request, which it must not change. Its
	// error fails the request. Nil means none.
	Caveats func(*http.Request) ([]macaroon.Caveat, error)

	// ReplaceAuthorization replaces the Authorization header of a request that has one.
	// Otherwise such a request fails: somebody else's credential is in it, or somebody
	// else's idea of who authorises it.
	ReplaceAuthorization bool

	// PassOthers sends requests that no token is for as they came. Otherwise they fail.
	PassOthers bool

	// InsecureHTTP allows tokens to be sent by plain HTTP beyond loopback, for all on
	// the way to read.
	InsecureHTTP bool
}

const (
	defaultLifetime = 30 * time.Second
	defaultMaxBody  = 1 << 20
)

func (o *Options) complete() error {
	var problems []error
	if o.Lifetime < 0 {
		problems = append(problems, errors.New("negative Lifetime"))
	}
	if o.MaxBody < 0 {
		problems = append(problems, errors.New("negative MaxBody"))
	}
	if o.Lifetime == 0 {
		o.Lifetime = defaultLifetime
	}
	if o.MaxBody == 0 {
		o.MaxBody = defaultMaxBody
	}
	if o.Base == nil {
		o.Base = http.DefaultTransport
	}
	return errors.Join(problems...)
}
