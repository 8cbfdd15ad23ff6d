package httpauth_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

func echo(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }

func digest(body string) macaroon.Caveat { return caveat.ContentDigest(sha256.Sum256([]byte(body))) }

// TestContentDigest: the handler reads the very bytes that the caveat is about.
func TestContentDigest(t *testing.T) {
	const limit = 16
	s := newService(t, httpauth.Options{MaxBody: limit})
	server := httptest.NewServer(s.auth.RequireFunc(operation, echo))
	defer server.Close()

	exact, over := strings.Repeat("x", limit), strings.Repeat("x", limit+1)
	for _, row := range []struct {
		name, body string
		chunked    bool
		caveats    []macaroon.Caveat
		want       string
	}{
		{"none asked for", over, false, nil, allowed},
		{"right", "a=1", false, []macaroon.Caveat{digest("a=1")}, allowed},
		{"right, chunked", "a=1", true, []macaroon.Caveat{digest("a=1")}, allowed},
		{"changed", "a=2", false, []macaroon.Caveat{digest("a=1")}, rowDenied},
		{"longer", "a=11", true, []macaroon.Caveat{digest("a=1")}, rowDenied},
		{"cut", "a=", false, []macaroon.Caveat{digest("a=1")}, rowDenied},
		{"missing", "", false, []macaroon.Caveat{digest("a=1")}, rowDenied},
		{"empty", "", false, []macaroon.Caveat{digest("")}, allowed},
		{"empty, chunked", "", true, []macaroon.Caveat{digest("")}, allowed},
		{"asked for twice", "a=1", true, []macaroon.Caveat{digest("a=1"), digest("a=1")}, allowed},
		{"asked for twice, differently", "a=1", true, []macaroon.Caveat{digest("a=1"), digest("a=2")}, rowDenied},
		{"as long as allowed", exact, false, []macaroon.Caveat{digest(exact)}, allowed},
		{"as long as allowed, chunked", exact, true, []macaroon.Caveat{digest(exact)}, allowed},
		{"too long", over, false, []macaroon.Caveat{digest(over)}, rowDenied},
		{"too long, chunked", over, true, []macaroon.Caveat{digest(over)}, rowDenied},
		{"too long, its beginning", over, true, []macaroon.Caveat{digest(exact)}, rowDenied},
	} {
		t.Run(row.name, func(t *testing.T) {
			var body io.Reader = strings.NewReader(row.body)
			if row.chunked {
				body = io.MultiReader(body) // of unknown length
			}
			r, err := http.NewRequest(http.MethodPost, server.URL, body)
			require.NoError(t, err)
			r.Header.Set("Authorization", s.bearer(row.caveats...))
			r.Header.Set("Content-Encoding", "gzip") // the digest is of what is sent
			response, err := server.Client().Do(r)
			a := read(t, response, err)
			require.Equal(t, row.want, rowOf(a))
			if a.StatusCode == http.StatusOK {
				require.Equal(t, row.body, a.body)
			}
			require.Len(t, s.audited(), 1)
		})
	}
}

func TestDefaultLimitOfBody(t *testing.T) {
	s := newService(t, httpauth.Options{})
	for size, want := range map[int]string{1 << 20: allowed, 1<<20 + 1: rowDenied} {
		body := strings.Repeat("x", size)
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Authorization", s.bearer(digest(body)))
		require.Equal(t, want, rowOf(serve(t, s.auth.RequireFunc(operation, ok), r)))
	}
	unlimited := newService(t, httpauth.Options{MaxBody: 1<<63 - 1})
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x"))
	r.Header.Set("Authorization", unlimited.bearer(digest("")))
	require.Equal(t, rowDenied, rowOf(serve(t, unlimited.auth.RequireFunc(operation, ok), r)))
}

// watched is a body that tells what was done to it.
type watched struct {
	io.Reader
	reads  int
	closed bool
}

func (w *watched) Read(p []byte) (int, error) { w.reads++; return w.Reader.Read(p) }
func (w *watched) Close() error               { w.closed = true; return nil }

// TestBodyIsLeftAlone until the token has proved authentic and unexpired, and unless
// a caveat asks for it.
func TestBodyIsLeftAlone(t *testing.T) {
	s := newService(t, httpauth.Options{})
	for name, authorization := range map[string]string{
		"nothing":   "",
		"forged":    tampered(t, s.mint(digest("a=1"))),
		"expired":   s.bearer(digest("a=1"), caveat.ExpiresAt(time.Now().Add(-time.Minute))),
		"unrelated": s.bearer(),
	} {
		t.Run(name, func(t *testing.T) {
			body := &watched{Reader: strings.NewReader("a=1")}
			r := httptest.NewRequest(http.MethodPost, "/", body)
			if authorization != "" {
				r.Header.Set("Authorization", authorization)
			}
			s.auth.Check(r, operation)
			require.Zero(t, body.reads)
			require.Same(t, body, r.Body)
		})
	}
}

// TestBodyAfterCheck: whatever the decision, the body reads as if nobody had.
func TestBodyAfterCheck(t *testing.T) {
	s := newService(t, httpauth.Options{MaxBody: 8})
	for _, row := range []struct {
		name, body string
		caveats    []macaroon.Caveat
		want       error
	}{
		{"allowed", "12345678", []macaroon.Caveat{digest("12345678")}, nil},
		{"denied", "12345678", []macaroon.Caveat{digest("x")}, verifier.ErrDenied},
		{"too long", "1234567890", []macaroon.Caveat{digest("x")}, verifier.ErrDenied},
	} {
		t.Run(row.name, func(t *testing.T) {
			body := &watched{Reader: iotest.OneByteReader(strings.NewReader(row.body))}
			r := httptest.NewRequest(http.MethodPost, "/", body)
			r.Header.Set("Authorization", s.bearer(row.caveats...))
			_, err := s.auth.Check(r, operation)
			require.ErrorIs(t, err, row.want)
			after := r.Body
			_, err = s.auth.Check(r, operation) // a second middleware sees the same
			require.ErrorIs(t, err, row.want)
			if row.name != "too long" {
				require.Same(t, after, r.Body, "what was hashed once is not hashed again")
			}
			rest, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			require.Equal(t, row.body, string(rest))
			require.NoError(t, r.Body.Close())
			require.True(t, body.closed)
		})
	}
}

// TestBodyReadInBetween: the digest is of what was sent, and not of what somebody
// left of it, though the handler gets no more than that.
func TestBodyReadInBetween(t *testing.T) {
	s := newService(t, httpauth.Options{})
	t.Run("after a check", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("abc"))
		for i, want := range []string{"abc", "bc", "c", ""} {
			r.Header.Set("Authorization", s.bearer(digest("abc")))
			_, err := s.auth.Check(r, operation)
			require.NoError(t, err)
			if i > 0 {
				r.Header.Set("Authorization", s.bearer(digest(want)))
				_, err = s.auth.Check(r, operation)
				require.ErrorIs(t, err, verifier.ErrDenied)
			}
			_, err = r.Body.Read(make([]byte, 1))
			require.Equal(t, want == "", err == io.EOF)
		}
	})
	for name, in := range map[string]struct {
		before func(r *http.Request)
		left   string
	}{
		"the beginning": {func(r *http.Request) { r.Body.Read(make([]byte, 1)) }, "bc"},
		"all of it":     {func(r *http.Request) { io.ReadAll(r.Body) }, ""},
		"and taken off": {func(r *http.Request) { r.Body = nil }, ""},
		"and emptied":   {func(r *http.Request) { r.Body = http.NoBody }, ""},
	} {
		t.Run("before all checks, "+name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("abc"))
			in.before(r)
			for _, body := range []string{in.left, "abc", in.left} {
				r.Header.Set("Authorization", s.bearer(digest(body)))
				_, err := s.auth.Check(r, operation)
				require.ErrorIs(t, err, verifier.ErrDenied)
			}
			if r.Body != nil {
				rest, err := io.ReadAll(r.Body)
				require.NoError(t, err)
				require.Equal(t, in.left, string(rest), "what a check has read, it puts back")
			}
		})
	}
}

// TestAnnouncedTooLong: a body that says that it is too long is not read.
func TestAnnouncedTooLong(t *testing.T) {
	s := newService(t, httpauth.Options{MaxBody: 8})
	for length, reads := range map[int64]bool{8: true, 9: false, 1 << 62: false} {
		body := &watched{Reader: strings.NewReader("12345678")}
		r := httptest.NewRequest(http.MethodPost, "/", body)
		r.ContentLength = length
		r.Header.Set("Authorization", s.bearer(digest("12345678")))
		_, err := s.auth.Check(r, operation)
		require.Equal(t, reads, err == nil)
		require.Equal(t, reads, body.reads > 0)
		if !reads {
			require.ErrorIs(t, err, verifier.ErrDenied)
			require.Same(t, body, r.Body)
		}
	}
}

func TestBodyThatFails(t *testing.T) {
	s := newService(t, httpauth.Options{})
	broken := errors.New("connection reset")
	for _, row := range []struct {
		name string
		body func() io.ReadCloser
		want error
	}{
		{"cut off", func() io.ReadCloser {
			return io.NopCloser(io.MultiReader(strings.NewReader("a"), iotest.ErrReader(broken)))
		}, verifier.ErrUndecided},
		{"beyond a limit around", func() io.ReadCloser {
			return http.MaxBytesReader(httptest.NewRecorder(), io.NopCloser(strings.NewReader("a=1")), 2)
		}, verifier.ErrDenied},
		{"panics", func() io.ReadCloser { return io.NopCloser(panicking{}) }, verifier.ErrDenied},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Body = row.body()
			r.Header.Set("Authorization", s.bearer(digest("a=1")))
			_, err := s.auth.Check(r, operation)
			require.ErrorIs(t, err, row.want)
		})
	}
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Body = nil
	r.Header.Set("Authorization", s.bearer(digest("")))
	_, err := s.auth.Check(r, operation)
	require.NoError(t, err)
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("no") }

// TestExpectContinue: a client that asks first is told no without sending its body.
func TestExpectContinue(t *testing.T) {
	s := newService(t, httpauth.Options{})
	server := httptest.NewServer(s.auth.RequireFunc(operation, echo))
	defer server.Close()
	ask := func(authorization string) string {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: orders.internal\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\nAuthorization: "+authorization+"\r\n\r\n")
		require.NoError(t, err)
		line := make([]byte, len("HTTP/1.1 100"))
		_, err = io.ReadFull(conn, line)
		require.NoError(t, err)
		return string(line)
	}
	require.Equal(t, "HTTP/1.1 401", ask(tampered(t, s.mint(digest("a=1")))))
	require.Equal(t, "HTTP/1.1 100", ask(s.bearer(digest("a=1"))))
}

// TestTrailers are there for the handler also when the body was buffered.
func TestTrailers(t *testing.T) {
	s := newService(t, httpauth.Options{})
	server := httptest.NewServer(s.auth.RequireFunc(operation, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, r.Trailer.Get("Checksum"))
	}))
	defer server.Close()
	r, err := http.NewRequest(http.MethodPost, server.URL, io.MultiReader(bytes.NewReader([]byte("a=1"))))
	require.NoError(t, err)
	r.Trailer = http.Header{"Checksum": {"42"}}
	r.Header.Set("Authorization", s.bearer(digest("a=1")))
	response, err := server.Client().Do(r)
	require.Equal(t, "42", read(t, response, err).body)
}
