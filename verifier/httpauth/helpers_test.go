package httpauth_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

const (
	audience  = "orders"
	operation = "orders.read"
)

// service is what most tests need: keys, a verifier that keeps its audit records,
// and an Auth that logs into a buffer.
type service struct {
	t        testing.TB
	keys     *rootkey.Keyring
	source   *source
	verifier *verifier.Verifier
	auth     *httpauth.Auth
	log      lockedBuffer

	mu      sync.Mutex
	records []verifier.Record
}

func newService(t testing.TB, options httpauth.Options) *service {
	s := &service{t: t, keys: rootkey.InMemory()}
	s.source = &source{Source: s.keys}
	registry, err := caveat.Standard().With(panics, unsure, nothing)
	require.NoError(t, err)
	s.verifier, err = verifier.New(s.source, audience, verifier.Options{
		Registry:    registry,
		Revocations: gone{},
		Audit: func(_ context.Context, r verifier.Record) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.records = append(s.records, r)
		},
	})
	require.NoError(t, err)
	if options.Log == nil {
		options.Log = slog.New(slog.NewTextHandler(&s.log, nil))
	}
	s.auth, err = httpauth.New(s.verifier, options)
	require.NoError(t, err)
	return s
}

// Kinds of caveats that misbehave, and one that never matters.
var (
	panics = caveat.Define("test:panics", caveat.Text, func(context.Context, *caveat.Request, string) error {
		panic("panic-value-" + leak)
	})
	unsure = caveat.Define("test:unsure", caveat.Text, func(context.Context, *caveat.Request, string) error {
		return caveat.Undecided(io.ErrUnexpectedEOF)
	})
	nothing = caveat.Define("test:nothing", caveat.Text, func(context.Context, *caveat.Request, string) error { return nil })
)

// leak is in all that must not reach a peer.
const leak = "do-not-leak"

// gone has revoked the tokens of one subject.
type gone struct{}

func (gone) Revoked(t verifier.Revocable) (bool, error) { return t.Subject == "gone", nil }
func (gone) RevokedAs(verifier.Revocable) string        { return "subject " + leak }

// source is a source that can be made to fail.
type source struct {
	macaroon.Source
	err    error
	panics bool
}

func (s *source) RootSignature(ctx context.Context, identifier string) (sig [32]byte, found bool, err error) {
	if s.panics {
		panic("panic-value-" + leak)
	}
	if s.err != nil {
		return sig, false, s.err
	}
	return s.Source.RootSignature(ctx, identifier)
}

// mint gives a token for the operation, narrowed by its holder.
func (s *service) mint(caveats ...macaroon.Caveat) macaroon.Macaroon {
	token, err := s.keys.Mint(context.Background(), macaroon.Grant{Subject: "billing"},
		caveat.ExpiresIn(time.Hour), caveat.Audience(audience), caveat.Operations(operation))
	require.NoError(s.t, err)
	token, err = token.Attenuate(caveats...)
	require.NoError(s.t, err)
	return token
}

// bearer gives the header of such a token.
func (s *service) bearer(caveats ...macaroon.Caveat) string { return bearer(s.t, s.mint(caveats...)) }

func bearer(t testing.TB, m macaroon.Macaroon) string {
	text, err := m.Encode()
	require.NoError(t, err)
	return "Bearer " + text
}

// audited takes the records so far.
func (s *service) audited() []verifier.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := s.records
	s.records = nil
	return records
}

// answer is a response whose body was read.
type answer struct {
	*http.Response
	body string
}

type problem struct {
	Title, Detail, Instance string
	Status                  int
	Discharges              []struct {
		Location string
		CaveatID string `json:"caveat_id"`
	}
}

func (a answer) problem(t testing.TB) (p problem) {
	d := json.NewDecoder(bytes.NewReader([]byte(a.body)))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&p), a.body)
	return p
}

func read(t testing.TB, response *http.Response, err error) answer {
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response, string(body)}
}

// raw sends bytes to a server and reads what it answers.
func raw(t testing.TB, server *httptest.Server, request string) answer {
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	go io.WriteString(conn, request) // a server may answer before it has read all
	method, _, _ := strings.Cut(request, " ")
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	return read(t, response, err)
}

// rawHTTP2 has a server answer a request that says of its target what it likes, and
// waits for the end of the answer: frames as in RFC 9113 section 4.1, fields as in
// RFC 7541 section 6.2.3, which need no tables.
func rawHTTP2(t testing.TB, server *httptest.Server, target, authorization string) {
	const headers, settings, endStream, endHeaders = 1, 4, 0x1, 0x4
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))

	frame := func(kind, flags, stream byte, payload string) string {
		return string([]byte{0, byte(len(payload) >> 8), byte(len(payload)), kind, flags, 0, 0, 0, stream}) + payload
	}
	text := func(s string) string { // its length is an integer with a prefix of 7 bits
		if len(s) < 127 {
			return string([]byte{byte(len(s))}) + s
		}
		length := binary.AppendUvarint([]byte{127}, uint64(len(s)-127))
		return string(length) + s
	}
	var fields string
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "orders.internal"},
		{":path", target}, {"authorization", authorization}} {
		fields += "\x10" + text(f[0]) + text(f[1])
	}
	_, err = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+frame(settings, 0, 0, "")+frame(headers, endStream|endHeaders, 1, fields))
	require.NoError(t, err)
	for {
		var header [9]byte
		_, err := io.ReadFull(conn, header[:])
		require.NoError(t, err)
		_, err = io.CopyN(io.Discard, conn, int64(header[0])<<16|int64(header[1])<<8|int64(header[2]))
		require.NoError(t, err)
		if header[8] == 1 && header[3] <= headers && header[4]&endStream != 0 {
			return
		}
	}
}

// serve runs a handler without a server.
func serve(t testing.TB, h http.Handler, r *http.Request) answer {
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, r)
	return read(t, recorder.Result(), nil)
}

func get(target string, authorization ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for _, value := range authorization {
		r.Header.Add("Authorization", value)
	}
	return r
}

// ok answers with the subject of the decision.
func ok(w http.ResponseWriter, r *http.Request) {
	who, found := httpauth.FromContext(r.Context())
	if !found {
		io.WriteString(w, "nobody")
		return
	}
	io.WriteString(w, who.Subject())
}

// lockedBuffer is a buffer that many goroutines may write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
