package caveat

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/netip"
)

// ClientIPs restricts a token to clients whose address lies in one of the prefixes. A prefix with bits set outside its mask is
// an error, since it may have been meant as a single address; IPv4 addresses mapped to IPv6 are IPv4
// addresses. No prefix at all is an error.
func ClientIPs(prefixes ...netip.Prefix) Caveat {
	argument, err := Prefixes.Format(prefixes)
	if err != nil {
		return invalid(clientIP.Name(), err)
	}
	return clientIP.Of(argument)
}

// PeerCertificate restricts a token to connections in which the client holds this very certificate. It ends when the
// certificate is renewed; see [PeerKey].
func PeerCertificate(cert *x509.Certificate) Caveat {
	return ofHash(certSHA256, cert, certificateHash)
}

// PeerKey restricts a token to connections in which the client holds a certificate for the public key of this one.
func PeerKey(cert *x509.Certificate) Caveat {
	return ofHash(spkiSHA256, cert, keyHash)
}

func ofHash(kind Kind[[sha256.Size]byte], cert *x509.Certificate, hash func(*x509.Certificate) ([sha256.Size]byte, bool)) Caveat {
	sum, ok := hash(cert)
	if !ok {
		return invalid(kind.Name(), errors.New("no certificate, or one that was not parsed"))
	}
	return kind.Of(sum)
}

func certificateHash(cert *x509.Certificate) ([sha256.Size]byte, bool) {
	if cert == nil || len(cert.Raw) == 0 {
		return [sha256.Size]byte{}, false
	}
	return sha256.Sum256(cert.Raw), true
}

func keyHash(cert *x509.Certificate) ([sha256.Size]byte, bool) {
	if cert == nil || len(cert.RawSubjectPublicKeyInfo) == 0 {
		return [sha256.Size]byte{}, false
	}
	return sha256.Sum256(cert.RawSubjectPublicKeyInfo), true
}

func checkCertificate(_ context.Context, req *Request, want [sha256.Size]byte) error {
	return checkHash(req, want, certificateHash)
}

func checkKey(_ context.Context, req *Request, want [sha256.Size]byte) error {
	return checkHash(req, want, keyHash)
}

func checkHash(req *Request, want [sha256.Size]byte, hash func(*x509.Certificate) ([sha256.Size]byte, bool)) error {
	sum, ok := hash(req.PeerCertificate)
	switch {
	case !ok:
		return absent("no peer certificate")
	case sum != want:
		return notMet("the peer is another")
	}
	return nil
}

func checkClientIP(_ context.Context, req *Request, prefixes string) error {
	addr, err := clientAddr(req)
	if err != nil {
		return err
	}
	for word, rest := nextWord(prefixes); word != ""; word, rest = nextWord(rest) {
		if p, ok := parsePrefix(word); ok && p.Contains(addr) {
			return nil
		}
	}
	return notMet("the client is %s", addr)
}

func checkClientIPAddr(_ context.Context, req *Request, want netip.Addr) error {
	addr, err := clientAddr(req)
	switch {
	case err != nil:
		return err
	case addr != want:
		return notMet("the client is %s", addr)
	}
	return nil
}

// clientAddr is the address of the client in the form in which addresses are compared.
func clientAddr(req *Request) (netip.Addr, error) {
	if !req.ClientIP.IsValid() {
		return netip.Addr{}, absent("no client address")
	}
	if req.ClientIP.Zone() != "" {
		return netip.Addr{}, absent("the client address has a zone, which means nothing on another host")
	}
	return req.ClientIP.Unmap(), nil
}
