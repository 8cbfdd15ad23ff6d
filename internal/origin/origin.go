// Package origin tells where a URL leads: its scheme, host and port in one spelling,
// so that a secret goes to the servers on a list and to no others.
package origin

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Origin is a scheme, a host and a port in one spelling, such as
// "https://orders.internal:443". Two URLs lead to one server if their origins are
// equal.
type Origin string

// Of gives the origin of a URL. It fails for one that carries a user, since that is
// often meant to be read as a host, for any scheme but http and https, and for a host
// that could be spelled in other ways.
func Of(u *url.URL) (Origin, error) {
	if u.User != nil {
		return "", errors.New("a user in the URL")
	}
	port := "443"
	switch u.Scheme {
	case "https":
	case "http":
		port = "80"
	default:
		return "", errors.New("neither https nor http")
	}
	if given := u.Port(); given != "" {
		if n, err := strconv.ParseUint(given, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != given {
			return "", errors.New("bad port")
		}
		port = given
	} else if strings.HasSuffix(u.Host, ":") {
		return "", errors.New("a colon without a port")
	}
	host, err := canonicalHost(u.Hostname())
	if err != nil {
		return "", err
	}
	return Origin(u.Scheme + "://" + host + ":" + port), nil
}

// Parse reads an origin as people write it: a URL of scheme, host, perhaps a port,
// and nothing more than perhaps a slash.
func Parse(text string) (Origin, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", errors.New("not a URL") // net/url's error would quote it whole
	}
	if u.Host == "" {
		return "", errors.New("no host: want a scheme and a host, such as https://orders.internal")
	}
	if u.Opaque != "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(text, "#") {
		return "", errors.New("more than scheme, host and port")
	}
	return Of(u)
}

// canonicalHost lowers the letters of a name, and spells an address in the one way
// that netip does.
func canonicalHost(host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return "", errors.New("an address with a zone")
		}
		if addr.Is4() {
			return addr.String(), nil
		}
		return "[" + addr.String() + "]", nil
	}
	if host == "" || len(host) > 253 {
		return "", errors.New("no host, or too long a one")
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" {
			return "", errors.New("a host with an empty label") // a dot at the end too
		}
		for i := range len(label) {
			switch c := label[i]; {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return "", errors.New("a host of other than letters, digits, - and _")
			}
		}
	}
	return strings.ToLower(host), nil
}

// secure reports whether what is sent there can't be read on the way: by TLS, or
// because it does not leave the machine.
func (o Origin) secure() bool {
	if strings.HasPrefix(string(o), "https:") {
		return true
	}
	u, err := url.Parse(string(o))
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

// List is a set of origins. The zero List has none. It is immutable.
type List struct{ set map[Origin]bool }

// NewList makes a list of origins as people write them; see [Parse]. All must be
// https, but for loopback, unless insecure is set. All problems are joined.
func NewList(origins []string, insecure bool) (List, error) {
	set := make(map[Origin]bool, len(origins))
	var problems []error
	for _, text := range origins {
		o, err := Parse(text)
		if err == nil && !insecure && !o.secure() {
			err = errors.New("not https, nor loopback")
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("origin %.64q: %w", text, err))
		}
		set[o] = true
	}
	if len(origins) == 0 {
		problems = append(problems, errors.New("no origins"))
	}
	if len(problems) > 0 {
		return List{}, errors.Join(problems...)
	}
	return List{set}, nil
}

// Has reports whether an origin is on the list.
func (l List) Has(o Origin) bool { return l.set[o] }

// All ranges over the origins on the list, in no order.
func (l List) All() iter.Seq[Origin] { return maps.Keys(l.set) }
