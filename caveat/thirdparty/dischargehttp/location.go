package dischargehttp

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/amaretti-go/amaretti/internal/origin"
)

// place is a third party that a client may ask.
type place struct {
	location string // as it was allowed, without a slash at the end
	origin   origin.Origin
}

// at gives the URL of one of its resources.
func (p place) at(path string) string { return p.location + path }

// resolve reads a URL that the third party gave, which may be relative to its location.
func (p place) resolve(reference string) (*url.URL, error) {
	base, err := url.Parse(p.location + "/")
	if err != nil {
		return nil, err
	}
	u, err := base.Parse(reference)
	if err != nil || u.Opaque != "" {
		return nil, errors.New("not a URL") // net/url's error would quote it whole
	}
	return u, nil
}

// places are the third parties that may be asked, by origin and path, and by location.
type places map[string]place

// newPlaces reads locations as people write them: a scheme, a host, perhaps a port, perhaps a path. All problems are
// joined.
func newPlaces(locations []string, insecure bool) (places, error) {
	list := make(places, len(locations))
	var problems []error
	for _, text := range locations {
		key, at, u, err := splitLocation(text)
		if err == nil {
			_, err = origin.NewList([]string{u.Scheme + "://" + u.Host}, insecure)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("location %.64q: %w", text, err))
			continue
		}
		list[key] = at
		list[at.location] = at // as most tokens have it, so that there is nothing to parse
	}
	if len(locations) == 0 {
		problems = append(problems, errors.New("no locations"))
	}
	return list, errors.Join(problems...)
}

// find gives the third party at a location that came with a token.
func (l places) find(location string) (place, error) {
	if at, found := l[location]; found {
		return at, nil
	}
	key, _, _, err := splitLocation(location)
	if err != nil {
		return place{}, ErrNotAllowed
	}
	// The location as it was allowed is used, and not as the token has it.
	at, found := l[key]
	if !found {
		return place{}, ErrNotAllowed
	}
	return at, nil
}

func splitLocation(text string) (key string, at place, u *url.URL, err error) {
	u, err = url.Parse(text)
	if err != nil || u.Opaque != "" {
		return "", place{}, nil, errors.New("not a URL")
	}
	o, err := origin.Of(u)
	if err != nil {
		return "", place{}, nil, err
	}
	path := strings.TrimSuffix(u.Path, "/")
	if u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") || !plainPath(path) || u.RawPath != "" {
		return "", place{}, nil, errors.New("more than scheme, host, port and a plain path")
	}
	return string(o) + path, place{u.Scheme + "://" + u.Host + path, o}, u, nil
}

// plainPath reports whether nobody can read path in two ways.
func plainPath(path string) bool {
	if path == "" {
		return true
	}
	for i, segment := range strings.Split(path, "/") {
		if i > 0 && (segment == "" || segment == "." || segment == "..") {
			return false
		}
	}
	return path[0] == '/' && !strings.ContainsFunc(path, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/-._~", r))
	})
}
