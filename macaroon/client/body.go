package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math"
	"net/http"
)

// body is the body of a request, which may have to be read more than once: for its
// digest, and when the request is sent again.
type body struct {
	first io.ReadCloser                 // what the request came with, until it is sent
	get   func() (io.ReadCloser, error) // nil if there is no second
	held  bool                          // in memory
	size  int64                         // if held
	sum   [sha256.Size]byte             // if asked for
}

// newBody takes the body of a request. Whoever calls it must close it.
func newBody(r *http.Request) *body {
	if r.Body == nil || r.Body == http.NoBody {
		return &body{first: http.NoBody, get: func() (io.ReadCloser, error) { return http.NoBody, nil }}
	}
	return &body{first: r.Body, get: r.GetBody}
}

// close closes what the request came with, if it was not sent.
func (b *body) close() {
	if b.first != nil {
		b.first.Close()
	}
}

func (b *body) digest(r *http.Request, limit int64) error {
	if b.get == nil {
		if r.ContentLength > limit {
			return ErrBodyTooLarge
		}
		if err := b.hold(r.Context(), limit); err != nil {
			return err
		}
	}
	content, err := b.get()
	if err != nil {
		return err
	}
	defer content.Close()
	h := sha256.New()
	if _, err := io.Copy(h, content); err != nil {
		return err
	}
	h.Sum(b.sum[:0])
	return nil
}

// hold reads the body into memory.
func (b *body) hold(ctx context.Context, limit int64) error {
	source := b.first
	defer source.Close()
	// Closing it is what ends waiting for a body that does not come; net/http does so too.
	defer context.AfterFunc(ctx, func() { source.Close() })()
	data, err := io.ReadAll(io.LimitReader(source, min(limit, math.MaxInt64-1)+1))
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case int64(len(data)) > limit:
		return ErrBodyTooLarge
	}
	b.held, b.size = true, int64(len(data))
	b.get = func() (io.ReadCloser, error) {
		if len(data) == 0 {
			return http.NoBody, nil
		}
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	b.first, _ = b.get()
	return nil
}

// put gives a request that is about to be sent its body: the one that it came with, and
// later others.
func (b *body) put(out *http.Request) error {
	content := b.first
	if b.first = nil; content == nil {
		var err error
		if content, err = b.get(); err != nil {
			return err
		}
	}
	out.Body = content
	if b.held {
		out.GetBody = b.get
		if out.ContentLength <= 0 { // unknown
			out.ContentLength = b.size
		}
	}
	return nil
}

// again reports whether the body can be had once more.
func (b *body) again() bool { return b.get != nil }
