package main

import (
	"encoding/base64"
	"strings"
	"time"

	pasetolib "aidanwoods.dev/go-paseto"
)

// paseto is aidanwoods.dev/go-paseto, version 4 of the protocol, with its rules for expiry and audience. The
// key id stands in the footer.
type paseto struct {
	grant  grant
	parser pasetolib.Parser
	seal   func(pasetolib.Token) string
	open   map[string]func(pasetolib.Parser, string) (*pasetolib.Token, error) // by key id
}

func newPasetoLocal(g grant) (contender, error) {
	key := pasetolib.NewV4SymmetricKey()
	return newPaseto(g,
		func(t pasetolib.Token) string { return t.V4Encrypt(key, nil) },
		func(p pasetolib.Parser, text string) (*pasetolib.Token, error) { return p.ParseV4Local(key, text, nil) }), nil
}

func newPasetoPublic(g grant) (contender, error) {
	key := pasetolib.NewV4AsymmetricSecretKey()
	public := key.Public()
	return newPaseto(g,
		func(t pasetolib.Token) string { return t.V4Sign(key, nil) },
		func(p pasetolib.Parser, text string) (*pasetolib.Token, error) {
			return p.ParseV4Public(public, text, nil)
		}), nil
}

func newPaseto(g grant, seal func(pasetolib.Token) string, open func(pasetolib.Parser, string) (*pasetolib.Token, error)) *paseto {
	parser := pasetolib.NewParser()
	if len(g.caveats) > 2 {
		parser.AddRule(pasetolib.ForAudience(audience))
	}
	return &paseto{g, parser, seal, map[string]func(pasetolib.Parser, string) (*pasetolib.Token, error){keyID: open}}
}

func (p *paseto) mint() (string, error) {
	c := p.grant.claims()
	token := pasetolib.NewToken()
	token.SetSubject(p.grant.subject)
	token.SetJti(base64.RawURLEncoding.EncodeToString(random(16)))
	token.SetIssuedAt(time.Now())
	token.SetExpiration(c.expiry)
	for name, value := range map[string]string{"aud": c.audience, "scope": c.scope, "method": c.method, "path": c.path} {
		if value != "" {
			token.SetString(name, value)
		}
	}
	if len(c.more) > 0 {
		if err := token.Set("more", c.more); err != nil {
			return "", err
		}
	}
	token.SetFooter([]byte(keyID))
	return p.seal(token), nil
}

func (p *paseto) decide(header string, r request) (string, error) {
	text, err := bearer(header)
	if err != nil {
		return "", err
	}
	// The library can read the footer too, but decodes all of the token for it.
	footer, err := base64.RawURLEncoding.DecodeString(text[strings.LastIndexByte(text, '.')+1:])
	if err != nil {
		return "", err
	}
	open, found := p.open[string(footer)]
	if !found {
		return "", errDenied
	}
	token, err := open(p.parser, text)
	if err != nil {
		return "", err
	}
	n, c := len(p.grant.caveats), claims{}
	for _, claim := range []struct {
		expected bool
		name     string
		into     any
	}{
		{n > 1, "scope", &c.scope},
		{n > 3, "method", &c.method},
		{n > 4, "path", &c.path},
		{n > 5, "more", &c.more},
	} {
		if !claim.expected {
			continue
		}
		if err := token.Get(claim.name, claim.into); err != nil {
			return "", err
		}
	}
	if err := c.check(r, n); err != nil {
		return "", err
	}
	return token.GetSubject()
}
