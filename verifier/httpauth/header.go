package httpauth

import (
	"errors"
	"net/http"
	"strings"

	"github.com/amaretti-go/amaretti/verifier"
)

var (
	errNothing = errors.New("httpauth: no token")
	errScheme  = errors.New("httpauth: authorization: neither Bearer nor Macaroon")
	errSeveral = errors.New("httpauth: authorization: more than one header")
	errSyntax  = errors.New("httpauth: authorization: not a scheme and one token")
)

// token finds the text of the token. Where there is none, the reason says how that
// is to be seen.
//
//	Authorization = scheme 1*SP token68          RFC 9110 section 11.4
//
// A header that occurs twice is refused, even if both are the same: which of them
// somebody else in the chain looked at is not known.
func token(header http.Header) (text string, reason verifier.Reason, err error) {
	values := header["Authorization"]
	if len(values) == 0 {
		return "", verifier.NothingPresented, errNothing
	}
	if len(values) > 1 {
		return "", verifier.InvalidRequest, errSeveral
	}
	scheme, text, _ := strings.Cut(strings.Trim(values[0], " \t"), " ")
	if !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "Macaroon") {
		if !tchar.all(scheme) {
			return "", verifier.InvalidRequest, errSyntax
		}
		return "", verifier.NothingPresented, errScheme
	}
	text = strings.TrimLeft(text, " ")
	if !token68.all(strings.TrimRight(text, "=")) {
		return "", verifier.InvalidRequest, errSyntax
	}
	return text, verifier.ReasonUnset, nil
}

// charset is a set of bytes.
type charset [256]bool

func newCharset(chars string) *charset {
	set := new(charset)
	for i := range len(chars) {
		set[chars[i]] = true
	}
	return set
}

// all reports whether s has no other bytes than those, and is not empty.
func (set *charset) all(s string) bool {
	for i := range len(s) {
		if !set[s[i]] {
			return false
		}
	}
	return s != ""
}

const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// Never written to.
var (
	tchar   = newCharset(alphanumeric + "!#$%&'*+-.^_`|~") // RFC 9110 section 5.6.2
	token68 = newCharset(alphanumeric + "-._~+/")          // RFC 9110 section 11.2, before the "="
)
