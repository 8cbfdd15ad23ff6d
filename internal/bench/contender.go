package main

import (
	"strings"
	"time"
)

// A contender is one library, set up as a service sets it up once, at work for one grant. Its methods may
// be called by several goroutines at once, as handlers call them.
type contender interface {
	// mint makes a token of the grant and returns its text.
	mint() (string, error)
	// decide is the whole way from a header value to an identity.
	decide(header string, r request) (subject string, err error)
}

// A holder can narrow what it holds without asking anybody.
type holder interface {
	// hold takes a token; each call of what it returns adds a caveat and gives the text of the result.
	hold(text string) (narrow func() (string, error), err error)
}

// A sender narrows what it holds for every request that it sends.
type sender interface {
	// send takes a token; each call of what it returns narrows it by four caveats (expiry, method, path,
	// host) and gives the text of the result.
	send(text string) (narrow func() (string, error), err error)
}

// A reader can take a token apart without the key.
type reader interface {
	read(text string) error
}

// A delegate presents tokens that have been handed on.
type delegate interface {
	// narrowing takes a token; each call of what it returns narrows it by two caveats that no other has.
	narrowing(text string) (narrow func() (string, error), err error)
	// discharged gives the token a caveat of a third party, and returns the text with its discharge.
	discharged(text string) (string, error)
}

// A specialist does works of its own, and none of the others.
type specialist interface {
	// ops returns them by name. A replay has so many requests.
	ops(requests int) (map[string]func() error, error)
	// hitRate tells in how many requests of the replay something had been seen before: 1 for all.
	hitRate() float64
}

// An entry is a contender's name and how to set it up with a fresh key.
type entry struct {
	name string
	make func(g grant) (contender, error)
}

// The names that the report knows.
const (
	amarettiName = "amaretti"
	cachedName   = "amaretti-cached"
	floorName    = "floor"
)

// entries are all contenders in the order of the table.
func entries() []entry {
	return []entry{
		{floorName, newFloor},
		{amarettiName, newAmaretti},
		{cachedName, newCached},
		{"macaroon.v2", newMacaroonV2},
		{"bakery", newBakery},
		{"jwt-hs256", newHS256},
		{"jwt-es256", newES256},
		{"jwt-eddsa", newEdDSA},
		{"paseto-local", newPasetoLocal},
		{"paseto-public", newPasetoPublic},
	}
}

// scheme is what every header value begins with.
const scheme = "Bearer "

// bearer returns the token in a header value.
func bearer(header string) (string, error) {
	text, found := strings.CutPrefix(header, scheme)
	if !found {
		return "", errDenied
	}
	return text, nil
}

// claims are a grant spelt as claims: each sort of restriction once under the name that is usual for it, and
// the rest as conditions.
type claims struct {
	expiry   time.Time
	audience string
	scope    string
	method   string
	path     string
	more     []string
}

func (g grant) claims() claims {
	var c claims
	for i, restriction := range g.caveats {
		switch i {
		case 0:
			c.expiry = restriction.until
		case 1:
			c.scope = strings.Join(restriction.values, " ")
		case 2:
			c.audience = restriction.values[0]
		case 3:
			c.method = restriction.values[0]
		case 4:
			c.path = restriction.values[0]
		default:
			c.more = append(c.more, restriction.condition())
		}
	}
	return c
}

// check decides on what a library for claims leaves to its user; expiry and audience it checks itself. The
// service expects the claims that its n sorts of caveats became: one that is missing matches nothing.
func (c claims) check(r request, n int) error {
	if n > 1 {
		if err := anyOf(c.scope, func(pattern string) bool { return covers(pattern, r.operation) }); err != nil {
			return err
		}
	}
	if n > 3 && c.method != r.method || n > 4 && !matches(c.path, r.path) {
		return errDenied
	}
	if len(c.more) == 0 {
		return nil
	}
	now := time.Now()
	for _, condition := range c.more {
		if err := r.check(now, condition); err != nil {
			return err
		}
	}
	return nil
}
