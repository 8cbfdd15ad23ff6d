package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"time"

	jwtlib "github.com/golang-jwt/jwt/v5"
)

// jwt is github.com/golang-jwt/jwt/v5 with one algorithm, and with the options that a careful service sets:
// the algorithm is fixed, expiry required, the audience checked.
type jwt struct {
	grant  grant
	method jwtlib.SigningMethod
	sign   any            // the key to mint with
	verify map[string]any // the keys to decide with, by id
	parser *jwtlib.Parser
}

// jwtClaims are the claims on the wire.
type jwtClaims struct {
	jwtlib.RegisteredClaims
	Scope  string   `json:"scope,omitempty"`
	Method string   `json:"method,omitempty"`
	Path   string   `json:"path,omitempty"`
	More   []string `json:"more,omitempty"`
}

func newHS256(g grant) (contender, error) {
	key := random(32)
	return newJWT(g, jwtlib.SigningMethodHS256, key, key), nil
}

func newES256(g grant) (contender, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return newJWT(g, jwtlib.SigningMethodES256, key, &key.PublicKey), nil
}

func newEdDSA(g grant) (contender, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return newJWT(g, jwtlib.SigningMethodEdDSA, private, public), nil
}

func newJWT(g grant, method jwtlib.SigningMethod, sign, verify any) *jwt {
	options := []jwtlib.ParserOption{
		jwtlib.WithValidMethods([]string{method.Alg()}),
		jwtlib.WithExpirationRequired(),
	}
	if len(g.caveats) > 2 {
		options = append(options, jwtlib.WithAudience(audience))
	}
	return &jwt{
		grant:  g,
		method: method,
		sign:   sign,
		verify: map[string]any{keyID: verify},
		parser: jwtlib.NewParser(options...),
	}
}

func (j *jwt) mint() (string, error) {
	c := j.grant.claims()
	out := jwtClaims{
		RegisteredClaims: jwtlib.RegisteredClaims{
			Subject:   j.grant.subject,
			ID:        base64.RawURLEncoding.EncodeToString(random(16)),
			IssuedAt:  jwtlib.NewNumericDate(time.Now()),
			ExpiresAt: jwtlib.NewNumericDate(c.expiry),
		},
		Scope:  c.scope,
		Method: c.method,
		Path:   c.path,
		More:   c.more,
	}
	if c.audience != "" {
		out.Audience = jwtlib.ClaimStrings{c.audience}
	}
	token := jwtlib.NewWithClaims(j.method, out)
	token.Header["kid"] = keyID
	return token.SignedString(j.sign)
}

func (j *jwt) decide(header string, r request) (string, error) {
	text, err := bearer(header)
	if err != nil {
		return "", err
	}
	var got jwtClaims
	if _, err := j.parser.ParseWithClaims(text, &got, j.key); err != nil {
		return "", err
	}
	c := claims{scope: got.Scope, method: got.Method, path: got.Path, more: got.More}
	if err := c.check(r, len(j.grant.caveats)); err != nil {
		return "", err
	}
	return got.Subject, nil
}

// key finds the key that a token names.
func (j *jwt) key(token *jwtlib.Token) (any, error) {
	kid, _ := token.Header["kid"].(string)
	key, found := j.verify[kid]
	if !found {
		return nil, errDenied
	}
	return key, nil
}

func (j *jwt) read(text string) error {
	_, _, err := j.parser.ParseUnverified(text, &jwtClaims{})
	return err
}
