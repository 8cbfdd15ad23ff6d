package main

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	conditions "github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// cached is this library with the cache that a verifier has unless it is told otherwise. It decides on what
// it has seen before, wholly or in part.
type cached struct {
	contender // amaretti, whose verifier has a cache
	grant     grant
	replayer  *amaretti // another, for the replay alone
}

func newCached(g grant) (contender, error) {
	c, err := newAmarettiWith(g, verifier.Options{})
	if err != nil {
		return nil, err
	}
	return &cached{contender: c, grant: g}, nil
}

func (c *cached) ops(requests int) (map[string]func() error, error) {
	text, err := c.mint()
	if err != nil {
		return nil, err
	}
	ops, err := delegatedOps(c, c.contender.(delegate), text)
	if err != nil {
		return nil, err
	}
	ops["decide-same"] = decideOp(c, text)
	if len(c.grant.caveats) == detailed {
		ops["replay"], err = c.replay(requests)
	}
	return ops, err
}

// clients is how many the replay has.
const clients = 1000

// replay sends requests of many clients, in any order, each with a token of its own that is narrowed afresh for
// every request. What it returns is one more request, any of those: nobody remembers one of so many.
func (c *cached) replay(requests int) (func() error, error) {
	a, err := newAmarettiWith(c.grant, verifier.Options{})
	if err != nil {
		return nil, err
	}
	c.replayer = a.(*amaretti)
	var narrow [clients]func() (string, error)
	for i := range narrow {
		text, err := c.replayer.mint()
		if err != nil {
			return nil, err
		}
		if narrow[i], err = c.replayer.narrowing(text); err != nil {
			return nil, err
		}
	}
	texts := make([]string, requests)
	for i := range texts {
		if texts[i], err = narrow[rand.IntN(clients)](); err != nil {
			return nil, err
		}
		if err := decideOp(c.replayer, texts[i])(); err != nil {
			return nil, err
		}
	}
	return decideOp(c.replayer, texts...), nil
}

// hitRate tells how many requests of the replay showed something that had been seen before: 1 for all.
func (c *cached) hitRate() float64 {
	s := c.replayer.verifier.Stats()
	return float64(s.Hits+s.PartialHits) / float64(s.Hits+s.PartialHits+s.Misses)
}

// variants is how many tokens that were narrowed afresh take turns. None is seen again before it is forgotten, and
// all fit into a core's cache, where a header is that a server has just read.
const variants = 512

// delegatedOps returns the works about tokens that have been handed on.
func delegatedOps(c contender, d delegate, text string) (map[string]func() error, error) {
	narrow, err := d.narrowing(text)
	if err != nil {
		return nil, err
	}
	texts := make([]string, variants)
	for i := range texts {
		if texts[i], err = narrow(); err != nil {
			return nil, err
		}
	}
	with, err := d.discharged(text)
	if err != nil {
		return nil, err
	}
	return map[string]func() error{"decide-narrowed": decideOp(c, texts...), "decide-discharged": decideOp(c, with)}, nil
}

// decideOp decides on one of the tokens after the other.
func decideOp(c contender, texts ...string) func() error {
	r, headers := newRequest(), make([]string, len(texts))
	for i, text := range texts {
		headers[i] = scheme + text
	}
	var turn atomic.Uint32
	return func() error {
		header := headers[0]
		if len(headers) > 1 { // else all cores would wait for the same counter
			header = headers[turn.Add(1)%uint32(len(headers))]
		}
		got, err := c.decide(header, r)
		if err == nil && got != subject {
			err = fmt.Errorf("subject is %q", got)
		}
		return err
	}
}

// narrowing returns what narrows a token by two caveats, another time each time it is called.
func (a *amaretti) narrowing(text string) (func() (string, error), error) {
	held, err := a.holding(text)
	if err != nil {
		return nil, err
	}
	expiry, path := time.Now().Add(30*time.Minute), newRequest().path
	return func() (string, error) {
		expiry = expiry.Add(time.Microsecond)
		m, err := held.Attenuate(conditions.ExpiresAt(expiry), conditions.ExactPath(path))
		if err != nil {
			return "", err
		}
		return m.Encode()
	}, nil
}

// discharged returns the token with a caveat of a third party more, and its discharge.
func (a *amaretti) discharged(text string) (string, error) {
	held, err := a.holding(text)
	if err != nil {
		return "", err
	}
	key, id := random(32), string(random(32))
	m, err := held.Attenuate(macaroon.ThirdParty(key, id, "https://login.internal"))
	if err != nil {
		return "", err
	}
	d, err := macaroon.New(key, id, "")
	if err != nil {
		return "", err
	}
	if d, err = d.Attenuate(conditions.ExpiresIn(time.Hour)); err != nil {
		return "", err
	}
	w, err := macaroon.NewWallet(m, d)
	if err != nil {
		return "", err
	}
	return w.Encode()
}
