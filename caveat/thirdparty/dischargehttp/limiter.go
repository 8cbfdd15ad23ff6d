package dischargehttp

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// limiter counts the failures of each client, by the minute. It remembers so many clients and no more. The zero
// value but for most is ready.
type limiter struct {
	most int // failures of one client

	mu     sync.Mutex
	counts map[string]int
	until  time.Time // when counting begins anew
}

const (
	countFor   = time.Minute
	maxClients = 1 << 14
)

// wait gives how long a client has to wait until it is listened to, which is not at all for most.
func (l *limiter) wait(client string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts[client] < l.most {
		return 0
	}
	return max(l.until.Sub(now), 0)
}

// count counts a failure of a client.
func (l *limiter) count(client string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !now.Before(l.until) {
		l.counts, l.until = make(map[string]int), now.Add(countFor)
	}
	if _, found := l.counts[client]; !found && len(l.counts) >= maxClients {
		// Any one is forgotten: who has as many addresses as that is not stopped by counting them.
		for other := range l.counts {
			delete(l.counts, other)
			break
		}
	}
	l.counts[client]++
}

// maxClient bounds what is remembered of one client in bytes.
const maxClient = 128

// client tells who sent a request apart from others.
func (s *Service) client(r *http.Request) string {
	if s.options.Client == nil {
		return network(r.RemoteAddr)
	}
	client := s.options.Client(r)
	if len(client) > maxClient {
		client = fmt.Sprintf("%x", sha256.Sum256([]byte(client)))
	}
	return client
}

// network gives what one client has as its own: an address, or of IPv6 a network of 64 bits.
func network(remote string) string {
	addr, err := netip.ParseAddrPort(remote)
	if err != nil {
		return "" // a Unix socket
	}
	ip := addr.Addr().Unmap().WithZone("")
	if ip.Is6() {
		return netip.PrefixFrom(ip, 64).Masked().String()
	}
	return ip.String()
}
