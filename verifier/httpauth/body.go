package httpauth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"

	"github.com/amaretti-go/amaretti/caveat"
)

// contentDigest gives the lazy fact about the body of r, as it was sent: before any
// content coding is undone, after the transfer coding was. It puts into r.Body a
// body that reads the same as the one it read, whatever becomes of it.
func contentDigest(r *http.Request, limit int64) func(context.Context) ([sha256.Size]byte, error) {
	return func(context.Context) (none [sha256.Size]byte, _ error) {
		if known, ok := r.Body.(*buffered); ok {
			return known.sum, nil // for another caveat, or by another middleware; whatever was read since
		}
		if r.Body == nil || r.Body == http.NoBody {
			if r.ContentLength > 0 {
				return none, errPartGone
			}
			return sha256.Sum256(nil), nil
		}
		if r.ContentLength > limit {
			return none, tooLong(limit)
		}
		original := r.Body
		// One more than the limit tells that it is exceeded.
		data, err := io.ReadAll(io.LimitReader(original, min(limit, math.MaxInt64-1)+1))
		size := int64(len(data))
		tooBig, limited := errors.AsType[*http.MaxBytesError](err)
		switch {
		case limited:
			err = tooLong(tooBig.Limit)
		case err != nil:
			err = caveat.Undecided(fmt.Errorf("httpauth: body: %w", err))
		case size > limit:
			err = tooLong(limit)
		case size < r.ContentLength:
			err = errPartGone
		default:
			body := &buffered{bytes.NewReader(data), original, sha256.Sum256(data)}
			r.Body = body
			return body.sum, nil
		}
		r.Body = unread{io.MultiReader(bytes.NewReader(data), original), original}
		return none, err
	}
}

// errPartGone: the digest of what is left would be that of something nobody sent.
var errPartGone = errors.New("httpauth: body: shorter than its announced length: something before has read it")

func tooLong(limit int64) error {
	return fmt.Errorf("httpauth: body: longer than %d bytes", limit)
}

// buffered is a body that was read to its end.
type buffered struct {
	*bytes.Reader
	io.Closer // the original
	sum       [sha256.Size]byte
}

// unread is a body of which the beginning was read, and is put back.
type unread struct {
	io.Reader
	io.Closer // the original
}
