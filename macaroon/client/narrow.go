package client

import (
	"cmp"
	"net/http"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
)

// caveats narrows a token to one request.
func (t *Transport) caveats(r *http.Request, b *body, expiry time.Time) ([]macaroon.Caveat, error) {
	o := &t.options
	list := make([]macaroon.Caveat, 0, 8)
	list = append(list, caveat.ExpiresAt(expiry))
	if !o.AnyMethod {
		list = append(list, caveat.Methods(cmp.Or(r.Method, http.MethodGet)))
	}
	if !o.AnyPath {
		list = append(list, caveat.ExactPath(cmp.Or(r.URL.Path, "/")))
	}
	if o.Host {
		list = append(list, caveat.Hosts(hostOf(r.URL)))
	}
	if o.ContentDigest {
		list = append(list, caveat.ContentDigest(b.sum))
	}
	if o.Branch != [16]byte{} {
		list = append(list, caveat.Branch(o.Branch))
	}
	if o.Caveats != nil {
		more, err := o.Caveats(r)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}
