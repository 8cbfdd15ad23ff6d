package httpauth

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
)

// Bakery has an [Auth] serve clients of the macaroon bakery as well, of versions 2 and 3 of its protocol. They come
// with nothing, are answered with a macaroon, have its third-party caveats discharged, and present it in a header or
// cookie of their own; [Auth] decides on it as on any other.
//
// What they get is a challenge in the place of each 401 of class unauthenticated, if they say in a header which
// version they speak. All other answers, and those to everybody else, stay what they are.
type Bakery struct {
	// Mint makes the macaroon to be discharged: one that anybody gets who asks, so that it is worth only as much as
	// its third-party caveats demand. Without any it is not handed out. A client keeps one for all of the
	// service, so it should grant whatever the third party's word is enough for.
	//
	// It is called for every challenge: limit how often a client may ask, above all where a store notes each
	// token. An error, or a panic, is answered as undecided. Required.
	Mint func(r *http.Request) (macaroon.Macaroon, error)

	// Cookies has the token read from a cookie also, which the bakery's clients in Go and Python need. A
	// browser sends cookies with requests that other sites have it make, so this decides which requests may be
	// trusted to have meant it; with others the cookie is not looked at. What it lets pass always, GET and
	// other safe methods, must change nothing. Against somebody who can set cookies for the host, such as a
	// subdomain, it does not help: a browser would then act with a token that is not its user's. Nil means that
	// only the header counts.
	Cookies *http.CrossOriginProtection

	// CookieName is the part of the cookie's name that follows "macaroon-". Services that share a host, whatever
	// their ports, need names of their own. Empty means "auth", as in the bakery.
	CookieName string

	// Path is where clients present the cookie: at it and below. Empty means "/".
	Path string
}

const (
	cookiePrefix      = "macaroon-"
	defaultCookieName = "auth"
)

// bakery is a Bakery that was looked through.
type bakery struct {
	Bakery
	cookie string // its whole name
}

func newBakery(b *Bakery) (*bakery, error) {
	if b == nil {
		return nil, nil
	}
	own := &bakery{Bakery: *b}
	var problems []error
	if b.Mint == nil {
		problems = append(problems, errors.New("nothing mints"))
	}
	own.CookieName = cmp.Or(b.CookieName, defaultCookieName)
	own.cookie = cookiePrefix + own.CookieName
	if err := (&http.Cookie{Name: own.cookie}).Valid(); err != nil {
		problems = append(problems, errors.New("cookie name: not one"))
	}
	own.Path = cmp.Or(b.Path, "/")
	if canonical, ok := caveat.CanonicalPath(own.Path); !ok || canonical != own.Path {
		problems = append(problems, errors.New("path: want a canonical one"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("bakery: %w", err)
	}
	return own, nil
}

// vary names the headers that an answer depends on.
func (b *bakery) vary() string {
	switch {
	case b == nil:
		return "Authorization"
	case b.Cookies == nil:
		return "Authorization, Macaroons"
	}
	return "Authorization, Macaroons, Cookie"
}

// values are the tokens that a request presents in the bakery's ways; two stand for any more. On nil there are none.
func (b *bakery) values(r *http.Request) (values []string) {
	if b == nil {
		return nil
	}
	for _, line := range r.Header["Macaroons"] {
		for value := range strings.SplitSeq(line, ",") { // lines that somebody on the way joined
			if values = append(values, strings.Trim(value, " \t")); len(values) > 1 {
				return values
			}
		}
	}
	if b.Cookies == nil || len(r.Header["Cookie"]) == 0 || b.Cookies.Check(r) != nil {
		return values
	}
	for _, cookie := range r.CookiesNamed(b.cookie) {
		values = append(values, cookie.Value)
	}
	return values
}

var (
	errSeveral = errors.New("httpauth: bakery: more than one token")
	errArray   = errors.New("httpauth: bakery: not a JSON array of macaroons")
	errBase64  = errors.New("httpauth: bakery: not base64")
)

// read reads the value of a header or cookie.
//
//	value = base64                        ; of either alphabet, padded or not
//	text  = "[" macaroon *( "," macaroon ) "]"
//
// Each macaroon is a JSON object of version 1 or 2, or a string with base64 of its binary form. The bakery passes over
// what it can't read; here all of it must be good.
func (b *bakery) read(value string, limits macaroon.Limits) (macaroon.Credential, error) {
	alphabet := base64.RawURLEncoding
	if strings.ContainsAny(value, "+/") {
		alphabet = base64.RawStdEncoding
	}
	if alphabet.DecodedLen(len(value))-2 > limits.Text { // 2 for the padding
		return macaroon.Credential{}, fmt.Errorf("httpauth: bakery: %w", macaroon.ErrLimit)
	}
	text, err := alphabet.DecodeString(strings.TrimRight(value, "="))
	if err != nil { // not wrapped: it may quote
		return macaroon.Credential{}, fmt.Errorf("%w: %w", macaroon.ErrNotMacaroon, errBase64)
	}
	credential, form, err := legacy.ImportWith(text, limits)
	if err == nil && form.Wrapping != legacy.JSONArray {
		err = fmt.Errorf("%w: %w", macaroon.ErrNotMacaroon, errArray)
	}
	if err != nil {
		return macaroon.Credential{}, err
	}
	return credential, nil
}
