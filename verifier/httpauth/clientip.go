package httpauth

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxProxies bounds the work for a header that may be as long as the server allows.
const maxProxies = 32

// clientIP is the address of the client, or the zero value if it is not known.
//
// A client can put anything into X-Forwarded-For. What proxies append stands to
// the right of that, so the list is read from the right and no further than to
// the first address that is no proxy's.
func (a *Auth) clientIP(r *http.Request) netip.Addr {
	peer, ok := parseAddr(r.RemoteAddr)
	if !ok || !a.isProxy(peer) {
		return peer
	}
	hops := 0
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for line, more := lines[i], true; more; {
			var hop string
			if comma := strings.LastIndexByte(line, ','); comma >= 0 {
				line, hop = line[:comma], line[comma+1:]
			} else {
				hop, more = line, false
			}
			addr, ok := parseAddr(strings.Trim(hop, " \t"))
			if !ok || !a.isProxy(addr) {
				return addr
			}
			if hops++; hops == maxProxies {
				return netip.Addr{}
			}
		}
	}
	return netip.Addr{} // a proxy asks, and does not say for whom
}

// parseAddr reads an address with or without a port. One of another kind, such as
// that of a Unix socket, is none; nor is one with a zone, which means something else
// on every host.
func parseAddr(s string) (netip.Addr, bool) {
	full, err := netip.ParseAddrPort(s)
	addr := full.Addr()
	if err != nil {
		addr, err = netip.ParseAddr(s)
	}
	if err != nil { // in brackets, without a port
		full, err = netip.ParseAddrPort(s + ":0")
		addr = full.Addr()
	}
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

func (a *Auth) isProxy(addr netip.Addr) bool {
	return slices.ContainsFunc(a.options.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// checkProxies refuses prefixes that don't say what was meant.
func checkProxies(p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return fmt.Errorf("trusted proxies: invalid prefix")
	case p.Bits() == 0:
		return fmt.Errorf("trusted proxies: %s trusts everybody", p)
	case p.Addr().Is4In6():
		return fmt.Errorf("trusted proxies: %s: want an IPv4 prefix", p)
	case p != p.Masked():
		return fmt.Errorf("trusted proxies: %s has bits beyond its length", p)
	}
	return nil
}
