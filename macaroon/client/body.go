package client

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net/http"
)

// body is the body of a request, which may have to be read more than once: for its
// digest, and when the request is sent again.
type body struct {
	first io.ReadCloser                 // what the request came with, until it is sent
	get   func() (io.ReadCloser, error) // nil if there is no second
	sum   [sha256.Size]byte             // if asked for
}

func (t *Transport) body(r *http.Request) (*body, error) {
	b := &body{first: r.Body, get: r.GetBody}
	if r.Body == nil || r.Body == http.NoBody {
		b.first = http.NoBody
		b.get = func() (io.ReadCloser, error) { return http.NoBody, nil }
	}
	if !t.options.ContentDigest {
		return b, nil
	}
	if b.get == nil {
		if err := b.hold(t.options.MaxBody); err != nil {
			return nil, err
		}
	}
	content, err := b.get()
	if err != nil {
		return nil, err
	}
	defer content.Close()
	h := sha256.New()
	if _, err := io.Copy(h, content); err != nil {
		return nil, err
	}
	h.Sum(b.sum[:0])
	return b, nil
}

// hold reads the body into memory.
func (b *body) hold(limit int64) error {
	defer b.first.Close()
	data, err := io.ReadAll(io.LimitReader(b.first, limit+1))
	if err != nil {
		return err
	}
	if int64(len(data)) > limit {
		return ErrBodyTooLarge
	}
	b.get = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	b.first, _ = b.get()
	return nil
}

// open gives the body for one attempt: the request's own, and then others.
func (b *body) open() (io.ReadCloser, error) {
	if content := b.first; content != nil {
		b.first = nil
		return content, nil
	}
	return b.get()
}

// again reports whether the body can be had once more.
func (b *body) again() bool { return b.get != nil }
