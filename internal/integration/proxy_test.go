package integration_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy stands between a test and a server, so that one test can lose it alone.
type proxy struct {
	t      *testing.T
	dsn    string // of the server, through the proxy
	server string

	mu       sync.Mutex
	address  string
	listener net.Listener
	conns    []net.Conn
	held     chan struct{} // if not nil, nothing passes until it is closed
}

func newProxy(t *testing.T, dsn string) *proxy {
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	p := &proxy{t: t, server: u.Host, address: "127.0.0.1:0"}
	p.join()
	t.Cleanup(p.cut)
	u.Host = p.address
	p.dsn = u.String()
	return p
}

// join lets everything pass, from now on.
func (p *proxy) join() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
	if p.listener != nil {
		return
	}
	listener, err := net.Listen("tcp", p.address)
	require.NoError(p.t, err)
	p.listener, p.address = listener, listener.Addr().String()
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", p.server)
			if err != nil {
				client.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, client, server)
			p.mu.Unlock()
			go p.pass(client, server)
			go p.pass(server, client)
		}
	}()
}

func (p *proxy) pass(to, from net.Conn) {
	defer to.Close()
	for buffer := make([]byte, 4<<10); ; {
		n, err := from.Read(buffer)
		if err != nil && (n == 0 || err != io.EOF) {
			return
		}
		p.mu.Lock()
		held := p.held
		p.mu.Unlock()
		if held != nil {
			<-held
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// hold lets nothing pass any more, and closes nothing.
func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = make(chan struct{})
}

// cut closes all connections and takes no more.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	for _, conn := range p.conns {
		conn.Close()
	}
	p.conns = nil
}
