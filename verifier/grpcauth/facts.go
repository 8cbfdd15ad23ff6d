package grpcauth

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/verifier"
)

// facts states what is known of a call. Every one of them is the zero value, and so
// absent, where it is not known for sure.
func (a *Auth) facts(ctx context.Context, method string) caveat.Facts {
	facts := caveat.Facts{GRPCMethod: method}
	if len(a.options.Hosts) > 0 {
		if authority := metadata.ValueFromIncomingContext(ctx, ":authority"); len(authority) == 1 {
			facts.Host = verifier.ServedHost(a.options.Hosts, authority[0])
		}
	}
	if p, ok := peer.FromContext(ctx); ok {
		facts.ClientIP = addressOf(p.Addr)
		facts.PeerCertificate = certificateOf(p.AuthInfo)
	}
	return facts
}

// addressOf gives the address of a peer. One of another kind, such as that of a Unix
// socket, is none.
func addressOf(peer net.Addr) netip.Addr {
	var addr netip.Addr
	switch p := peer.(type) {
	case nil:
	case *net.TCPAddr:
		addr = p.AddrPort().Addr()
	default: // when net/http serves, its text is all there is
		if full, err := netip.ParseAddrPort(p.String()); err == nil && strings.HasPrefix(p.Network(), "tcp") {
			addr = full.Addr()
		}
	}
	return addr.Unmap()
}

// certificateOf gives the certificate of a peer, if the handshake verified it.
func certificateOf(info credentials.AuthInfo) *x509.Certificate {
	// PeerCertificates alone would do for possession, but with some settings of
	// crypto/tls it is whatever the client made up.
	tls, ok := info.(credentials.TLSInfo)
	if !ok || len(tls.State.VerifiedChains) == 0 || len(tls.State.VerifiedChains[0]) == 0 {
		return nil
	}
	return tls.State.VerifiedChains[0][0]
}
