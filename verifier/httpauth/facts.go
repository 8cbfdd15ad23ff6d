package httpauth

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/verifier"
)

// facts states what is known of a request. Every one of them is the zero value, and
// so absent, where it is not known for sure.
func (a *Auth) facts(r *http.Request) caveat.Facts {
	facts := caveat.Facts{
		Method:        r.Method,
		Host:          verifier.ServedHost(a.options.Hosts, r.Host),
		Path:          sentPath(r),
		ClientIP:      a.clientIP(r),
		ContentDigest: contentDigest(r, a.options.MaxBody),
	}
	if origins := r.Header["Origin"]; len(origins) == 1 {
		facts.Origin = origins[0]
	}
	// PeerCertificates alone would do for possession, but with some settings of
	// crypto/tls it is whatever the client made up.
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && len(r.TLS.VerifiedChains[0]) > 0 {
		facts.PeerCertificate = r.TLS.VerifiedChains[0][0]
	}
	return facts
}

// sentPath is the path as the client sent it, byte for byte. RequestURI is what
// nothing rewrites; where it has no path, there is none. In a request that no server
// made it is empty, and the URL has to do.
//
//	request-target = origin-form / absolute-form / …   RFC 9112 section 3.2
func sentPath(r *http.Request) string {
	if r.RequestURI == "" {
		return r.URL.EscapedPath()
	}
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return path
	}
	target, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		return ""
	}
	// Where RawPath is set, EscapedPath might correct the spelling.
	return cmp.Or(target.RawPath, target.EscapedPath())
}

// route is a method and a path, both exact. An empty method is any.
type route struct{ method, path string }

func routes(public []string) (map[route]bool, error) {
	set := make(map[route]bool, len(public))
	var problems []error
	for _, p := range public {
		method, path, found := strings.Cut(p, " ")
		if !found {
			method, path = "", p
		}
		canonical, ok := caveat.CanonicalPath(path)
		if !ok || canonical != path || found && !isMethod(method) {
			problems = append(problems, fmt.Errorf("public: %q: want a canonical path, or a method, a space and one", p[:min(len(p), 64)]))
			continue
		}
		set[route{method, path}] = true
	}
	return set, errors.Join(problems...)
}

func isMethod(text string) bool {
	_, err := caveat.Methods(text).Condition()
	return err == nil
}

// isPublic compares the path that was sent, which must also be the one that is
// about to be routed: else a rewriting middleware would turn a public path into
// another one.
func (a *Auth) isPublic(r *http.Request) bool {
	if len(a.public) == 0 {
		return false
	}
	path := sentPath(r)
	return (a.public[route{r.Method, path}] || a.public[route{"", path}]) && r.URL.EscapedPath() == path
}
