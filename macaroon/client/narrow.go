package client

import (
	"cmp"
	"errors"
	"net/http"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
)

// errPath: services take such a path for no fact at all, so that the answer would be 403.
var errPath = errors.New("client: the path can be read in several ways, so no token can be narrowed to it: encoded dots and slashes, empty segments")

// caveats narrows a token to one request.
func (t *Transport) caveats(r *http.Request, b *body, expiry *term) ([]macaroon.Caveat, error) {
	o := &t.options
	list := make([]macaroon.Caveat, 0, 8)
	list = append(list, expiry)
	if !o.AnyMethod {
		list = append(list, caveat.Methods(cmp.Or(r.Method, http.MethodGet)))
	}
	if !o.AnyPath {
		if _, ok := caveat.CanonicalPath(cmp.Or(r.URL.EscapedPath(), "/")); !ok {
			return nil, errPath
		}
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
