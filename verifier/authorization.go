package verifier

import (
	"errors"
	"strings"
)

var (
	errNothing = errors.New("authorization: nothing")
	errScheme  = errors.New("authorization: neither Bearer nor Macaroon")
	errSeveral = errors.New("authorization: more than one value")
	errSyntax  = errors.New("authorization: not a scheme and one token")
)

// Authorization finds the text of the token among all values of a request's
// Authorization header, or of what a protocol has in its place. It is for transports.
// Where there is none, the reason says how that is to be seen: [NothingPresented],
// also if the scheme is another, or [InvalidRequest]; see [Verifier.Refuse].
//
//	Authorization = scheme 1*SP token68          RFC 9110 section 11.4
//
// The scheme is Bearer or Macaroon, in any case. A header that occurs twice is
// refused, even if both are the same: which of them somebody else in the chain looked
// at is not known. It allocates nothing.
func Authorization(values []string) (text string, reason Reason, err error) {
	if len(values) == 0 {
		return "", NothingPresented, errNothing
	}
	if len(values) > 1 {
		return "", InvalidRequest, errSeveral
	}
	scheme, text, _ := strings.Cut(strings.Trim(values[0], " \t"), " ")
	if !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "Macaroon") {
		if !tchar.all(scheme) {
			return "", InvalidRequest, errSyntax
		}
		return "", NothingPresented, errScheme
	}
	text = strings.TrimLeft(text, " ")
	if !token68.all(strings.TrimRight(text, "=")) {
		return "", InvalidRequest, errSyntax
	}
	return text, ReasonUnset, nil
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
