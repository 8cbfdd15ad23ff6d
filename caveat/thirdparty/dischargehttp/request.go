package dischargehttp

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/amaretti-go/amaretti/macaroon"
)

// request is what a client asks of /discharge.
type request struct {
	caveatID string
	payload  string // empty if the caveat id is it
	kind     string // of the token; empty if there is none
	token    string
	version  int // of the protocol
	client   string
	caller   any
}

// reference is what logs call the caveat.
func (q *request) reference() string { return macaroon.CaveatReference(q.caveatID) }

// digest tells one caveat from another.
func (q *request) digest() [32]byte {
	var room [512]byte
	b := binary.BigEndian.AppendUint64(room[:0], uint64(len(q.caveatID))) // so that no other pair reads the same
	b = append(b, q.caveatID...)
	return sha256.Sum256(append(b, q.payload...))
}

// badRequest is a request that the protocol does not have. Its message is for the client, and holds nothing of the
// request.
type badRequest struct {
	status  int
	message string
}

func (b *badRequest) Error() string { return b.message }

func bad(message string) error { return &badRequest{http.StatusBadRequest, message} }

var errVersion = bad(fmt.Sprintf("%s: versions %d and %d are spoken here, and not older ones", versionHeader, minVersion, maxVersion))

// parse reads the parameters, which clients of the bakery put into the query, into a form in the body, or both.
func (s *Service) parse(w http.ResponseWriter, r *http.Request) (*request, error) {
	q := &request{version: protocolVersion(r.Header)}
	if q.version < minVersion {
		return nil, errVersion
	}
	if int64(len(r.URL.RawQuery)) > s.options.MaxBody {
		return nil, &badRequest{http.StatusRequestURITooLong, "the query is too long"}
	}
	r.Body = http.MaxBytesReader(w, r.Body, s.options.MaxBody)
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.ContentLength != 0 && (err != nil || kind != "application/x-www-form-urlencoded") {
		return nil, &badRequest{http.StatusUnsupportedMediaType, "the body is not a form"}
	}
	if err := r.ParseForm(); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return nil, &badRequest{http.StatusRequestEntityTooLarge, "the body is too large"}
		}
		return nil, bad("the parameters can't be read")
	}
	for _, p := range []struct {
		name string
		to   *string
		text bool // may also come as it is
	}{{"id", &q.caveatID, true}, {"caveat", &q.payload, false}, {"token", &q.token, true}} {
		if err := parameter(r.Form, p.name, p.text, p.to); err != nil {
			return nil, err
		}
	}
	var err error
	if q.kind, err = single(r.Form, "token-kind"); err != nil {
		return nil, err
	}
	switch {
	case q.caveatID == "":
		return nil, bad("id: missing")
	case (q.token == "") != (q.kind == ""):
		return nil, bad("token, token-kind: one without the other")
	}
	return q, nil
}

// parameter reads a value that is given as name64 in base64 or, if it may, as name.
func parameter(form url.Values, name string, text bool, to *string) error {
	encoded, err := single(form, name+"64")
	if err != nil {
		return err
	}
	if encoded != "" {
		value, ok := decode64(encoded)
		if !ok {
			return bad(name + "64: not base64")
		}
		*to = value
		return nil
	}
	if text {
		*to, err = single(form, name)
	}
	return err
}

// single gives the one value of a parameter, or none. Of several, others might look at another one. It is a copy: the
// value may be a part of all that the client sent, which would be kept along with it.
func single(form url.Values, name string) (string, error) {
	values := form[name]
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return strings.Clone(values[0]), nil
	}
	return "", bad(name + ": given more than once")
}

// protocolVersion gives the version that a client speaks, and of one newer than all the newest. Where it does not say
// one number it is the first version there was.
func protocolVersion(h http.Header) int {
	version, err := strconv.ParseUint(h.Get(versionHeader), 10, 31)
	if err != nil || len(h.Values(versionHeader)) != 1 {
		return 0
	}
	return min(int(version), maxVersion)
}
