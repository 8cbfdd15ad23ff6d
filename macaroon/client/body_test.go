package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
)

// TestBodiesAreClosed whatever fails.
func TestBodiesAreClosed(t *testing.T) {
	o := newOrders(t, 0)
	good := client.Static(o.mint(t))
	third, err := o.mint(t).Attenuate(macaroon.ThirdParty(bytes.Repeat([]byte{1}, 32), "cid", "https://idp.internal"))
	require.NoError(t, err)
	boom := errors.New("boom")
	for name, row := range map[string]struct {
		source  client.Source
		options client.Options
		path    string
		want    error
	}{
		"source":       {client.SourceFunc(func(context.Context, string) (macaroon.Wallet, error) { return macaroon.Wallet{}, boom }), client.Options{}, "/", boom},
		"nil function": {client.SourceFunc(nil), client.Options{}, "/", nil},
		"zero wallet":  {client.Static(macaroon.Wallet{}), client.Options{}, "/", macaroon.ErrInvalid},
		"caveats":      {good, client.Options{Caveats: func(*http.Request) ([]macaroon.Caveat, error) { return nil, boom }}, "/", boom},
		"bad caveat": {good, client.Options{Caveats: func(*http.Request) ([]macaroon.Caveat, error) {
			return []macaroon.Caveat{caveat.Operations()}, nil
		}}, "/", nil},
		"dot segment":   {good, client.Options{}, "/a/../c", nil},
		"encoded slash": {good, client.Options{}, "/a%2Fb", nil},
		"too large":     {good, client.Options{ContentDigest: true, MaxBody: 3}, "/", client.ErrBodyTooLarge},
		"no discharger": {client.Static(third), client.Options{}, "/", client.ErrMissingDischarge},
		"discharger fails": {client.Static(third), client.Options{Discharger: dischargerFunc(func(context.Context, macaroon.Wallet) (macaroon.Wallet, error) {
			return macaroon.Wallet{}, boom
		})}, "/", boom},
		"discharger does nothing": {client.Static(third), client.Options{Discharger: dischargerFunc(func(_ context.Context, w macaroon.Wallet) (macaroon.Wallet, error) {
			return w, nil
		})}, "/", client.ErrMissingDischarge},
	} {
		content := &closing{Reader: strings.NewReader("body")}
		r, err := http.NewRequest("POST", o.URL+row.path, content)
		require.NoError(t, err, name)
		_, err = o.client(t, row.source, row.options).Do(r)
		require.Error(t, err, name)
		if row.want != nil {
			require.ErrorIs(t, err, row.want, name)
		}
		require.Positive(t, content.closed.Load(), name)
		require.Empty(t, o.sent(), name)
	}
}

// TestPanicsLeaveNoBodyOpen: those of other people's code are for the caller to recover, who can't
// close what is being sent.
func TestPanicsLeaveNoBodyOpen(t *testing.T) {
	o := newOrders(t, time.Minute) // so that the first attempt is refused
	good := o.mint(t)
	third, err := good.Attenuate(macaroon.ThirdParty(bytes.Repeat([]byte{1}, 32), "cid", "https://idp.internal"))
	require.NoError(t, err)
	panics := func(w macaroon.Wallet, at int) client.Source {
		return client.SourceFunc(func(context.Context, string) (macaroon.Wallet, error) {
			if at--; at == 0 {
				panic("boom")
			}
			return w, nil
		})
	}
	for name, row := range map[string]struct {
		source  client.Source
		options client.Options
		get     func() (io.ReadCloser, error) // nil: each time another one that tells
		held    bool                          // it can't be had again
	}{
		"source":                  {source: panics(good, 1)},
		"source, the second time": {source: panics(good, 2)},
		"source, after a digest":  {source: panics(good, 1), options: client.Options{ContentDigest: true}},
		"source, of a held body":  {source: panics(good, 1), options: client.Options{ContentDigest: true}, held: true},
		"caveats": {source: client.Static(good), options: client.Options{Caveats: func(*http.Request) ([]macaroon.Caveat, error) {
			panic("boom")
		}}},
		"discharger": {source: client.Static(third), options: client.Options{Discharger: dischargerFunc(func(context.Context, macaroon.Wallet) (macaroon.Wallet, error) {
			panic("boom")
		})}},
		"GetBody": {source: client.Static(good), options: client.Options{ContentDigest: true}, get: func() (io.ReadCloser, error) {
			panic("boom")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var opened []*closing
			open := func() *closing {
				opened = append(opened, &closing{Reader: strings.NewReader("body")})
				return opened[len(opened)-1]
			}
			r, err := http.NewRequest("POST", o.URL, open())
			require.NoError(t, err)
			r.GetBody = func() (io.ReadCloser, error) { return open(), nil }
			if row.get != nil || row.held {
				r.GetBody = row.get
			}
			transport := o.client(t, row.source, row.options).Transport
			require.PanicsWithValue(t, "boom", func() { transport.RoundTrip(r) })
			for i, content := range opened {
				require.Eventually(t, func() bool { return content.closed.Load() > 0 }, 10*time.Second, time.Millisecond, i) // net/http closes in its own time
			}
		})
	}
}

// TestHeldBody: a body that can't be rewound is sent whole, and checked, when its digest
// is asked for.
func TestHeldBody(t *testing.T) {
	o := newOrders(t, 0)
	c := o.client(t, client.Static(o.mint(t)), client.Options{ContentDigest: true, MaxBody: 4})
	content := &closing{Reader: strings.NewReader("body")}
	r, err := http.NewRequest("POST", o.URL, content)
	require.NoError(t, err)
	response, err := c.Do(r)
	require.Equal(t, http.StatusOK, status(t, response, err))
	require.Positive(t, content.closed.Load())
	response, err = c.Get(o.URL)
	require.Equal(t, http.StatusOK, status(t, response, err))
	require.Equal(t, []string{"body", ""}, o.bodies)

	// It can be sent twice: because a service's clock is ahead, or by net/http.
	o.skew.Store(int64(time.Minute))
	r, err = http.NewRequest("POST", o.URL, &closing{Reader: strings.NewReader("body")})
	require.NoError(t, err)
	response, err = c.Do(r)
	require.Equal(t, http.StatusOK, status(t, response, err))
	require.Len(t, o.sent(), 4)
	require.Equal(t, "body", o.bodies[2])

	base := baseFunc(func(r *http.Request) (*http.Response, error) {
		for range 2 {
			content, err := r.GetBody()
			require.NoError(t, err)
			text, err := io.ReadAll(content)
			require.NoError(t, err)
			require.Equal(t, "body", string(text))
		}
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})
	r.Body = &closing{Reader: strings.NewReader("body")}
	response, err = o.client(t, client.Static(o.mint(t)), client.Options{Base: base, ContentDigest: true}).Do(r)
	require.Equal(t, http.StatusOK, status(t, response, err))
	require.Nil(t, r.GetBody, "the caller's request stays as it is")
}

// TestCopiesAreClosed: those that GetBody gives.
func TestCopiesAreClosed(t *testing.T) {
	o := newOrders(t, time.Minute) // so that the first attempt is refused
	var copies []*closing
	r, err := http.NewRequest("POST", o.URL, &closing{Reader: strings.NewReader("body")})
	require.NoError(t, err)
	r.GetBody = func() (io.ReadCloser, error) {
		copies = append(copies, &closing{Reader: strings.NewReader("body")})
		return copies[len(copies)-1], nil
	}
	response, err := o.client(t, client.Static(o.mint(t)), client.Options{ContentDigest: true}).Do(r)
	require.Equal(t, http.StatusOK, status(t, response, err))
	require.Len(t, copies, 2, "one for the digest, one for the second attempt")
	for _, c := range copies {
		require.Eventually(t, func() bool { return c.closed.Load() > 0 }, 10*time.Second, time.Millisecond) // net/http closes in its own time
	}
}

// TestHeldBodyHasALength: so that the service can tell whether a part is gone.
func TestHeldBodyHasALength(t *testing.T) {
	o := newOrders(t, 0)
	for name, row := range map[string]struct {
		content  string
		declared int64
		want     int64
		fails    bool
	}{
		"unknown":           {"body", -1, 4, false},
		"unknown and empty": {"", -1, 0, false},
		"not said":          {"body", 0, 4, false},
		"right":             {"body", 4, 4, false},
		"too long":          {"body", 3, 0, true},
		"too short":         {"body", 5, 0, true},
	} {
		var got *http.Request
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			got = r
		}))
		transport, err := client.New([]string{s.URL}, client.Static(o.mint(t)), client.Options{ContentDigest: true, MaxBody: math.MaxInt64})
		require.NoError(t, err)
		r, err := http.NewRequest("POST", s.URL, &closing{Reader: strings.NewReader(row.content)})
		require.NoError(t, err)
		r.ContentLength = row.declared
		response, err := transport.RoundTrip(r)
		require.Equal(t, row.fails, err != nil, name)
		if err == nil {
			require.Equal(t, http.StatusOK, status(t, response, err), name)
		}
		s.Close()
		if !row.fails {
			require.Equal(t, row.want, got.ContentLength, name)
			require.Empty(t, got.TransferEncoding, name)
		}
		require.Equal(t, row.declared, r.ContentLength, name)
	}
}

// TestHeldBodyIsLimited before it is read, if its length is known, and otherwise as soon
// as it is too long.
func TestHeldBodyIsLimited(t *testing.T) {
	o := newOrders(t, 0)
	c := o.client(t, client.Static(o.mint(t)), client.Options{ContentDigest: true, MaxBody: 4})
	content := &closing{Reader: iotest.ErrReader(errors.New("read"))}
	r, err := http.NewRequest("POST", o.URL, content)
	require.NoError(t, err)
	r.ContentLength = 5
	_, err = c.Do(r)
	require.ErrorIs(t, err, client.ErrBodyTooLarge)
	require.Positive(t, content.closed.Load())

	endless := strings.NewReader(strings.Repeat("x", 1<<20))
	r, err = http.NewRequest("POST", o.URL, &closing{Reader: endless})
	require.NoError(t, err)
	_, err = c.Do(r)
	require.ErrorIs(t, err, client.ErrBodyTooLarge)
	require.Greater(t, endless.Len(), 1<<19, "the rest was not read")
	require.Empty(t, o.sent())
}

// TestBodyThatDoesNotCome: who waits for the digest of one can give up.
func TestBodyThatDoesNotCome(t *testing.T) {
	o := newOrders(t, 0)
	reader, writer := io.Pipe()
	defer writer.Close()
	gone := errors.New("gone home")
	ctx, cancel := context.WithCancelCause(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", o.URL, reader)
	require.NoError(t, err)
	time.AfterFunc(10*time.Millisecond, func() { cancel(gone) })
	_, err = o.client(t, client.Static(o.mint(t)), client.Options{ContentDigest: true}).Transport.RoundTrip(r)
	require.ErrorIs(t, err, gone)
	require.Empty(t, o.sent())
}

// TestBodyFails: what GetBody and reading say is said to the caller.
func TestBodyFails(t *testing.T) {
	o := newOrders(t, 0)
	c := o.client(t, client.Static(o.mint(t)), client.Options{ContentDigest: true}).Transport
	boom := errors.New("boom")
	for name, get := range map[string]func() (io.ReadCloser, error){
		"GetBody":              func() (io.ReadCloser, error) { return nil, boom },
		"reading the copy":     func() (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(boom)), nil },
		"reading the original": nil,
	} {
		content := &closing{Reader: iotest.ErrReader(boom)}
		r, err := http.NewRequest("POST", o.URL, content)
		require.NoError(t, err)
		r.GetBody = get
		_, err = c.RoundTrip(r)
		require.ErrorIs(t, err, boom, name)
		require.Positive(t, content.closed.Load(), name)
	}
	require.Empty(t, o.sent())
}
