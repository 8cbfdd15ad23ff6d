package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
)

// consent is a service that discharges "send TO SHA-256" once its owner has agreed to that mail. Here the owner is asked
// in this program; a real one shows a page, or something on a phone.
type consent struct {
	party     thirdparty.Party
	handler   http.Handler
	flows     *dischargehttp.Flows
	assistant thirdparty.PublicKey
	owner     func(to, text string) (agrees bool)

	mu    sync.Mutex
	texts map[string]string // by SHA-256 in hexadecimal
}

// newConsent makes a consent service that clients find at location. It hears nobody but the owner's assistant.
func newConsent(location string, assistant thirdparty.PublicKey, owner func(to, text string) bool) (*consent, error) {
	c := &consent{assistant: assistant, owner: owner, texts: make(map[string]string)}
	var err error
	if c.flows, err = dischargehttp.NewFlows("", dischargehttp.FlowOptions{Location: location, Began: c.began}); err != nil {
		return nil, err
	}
	key := thirdparty.GenerateKey()
	keys, err := thirdparty.NewKeys(key)
	if err != nil {
		return nil, err
	}
	discharger, err := thirdparty.NewDischarger(keys, thirdparty.Options{})
	if err != nil {
		return nil, err
	}
	c.party = thirdparty.Party{Location: location, Key: key.Public()}
	c.handler, err = dischargehttp.NewService(discharger, thirdparty.Conditions{"send": c.send}, dischargehttp.ServiceOptions{Flows: c.flows})
	return c, err
}

// show tells the text of a mail that there will be a question about.
func (c *consent) show(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.texts[fmt.Sprintf("%x", sha256.Sum256([]byte(text)))] = text
}

// mail gives the mail that a question is about. What the owner sees is what the caveat names, and
// nothing that an agent says of it.
func (c *consent) mail(q thirdparty.Question) (to, text string, err error) {
	to, digest, _ := strings.Cut(q.Argument, " ")
	c.mu.Lock()
	defer c.mu.Unlock()
	text, known := c.texts[digest]
	if !known || q.FirstParty != c.assistant {
		return "", "", errors.New("not a mail that the assistant has shown")
	}
	return to, text, nil
}

// send answers a question: by then, somebody has agreed or is to be asked. The discharge is good for two minutes,
// and in them for the same mail again: a service that must do a thing once remembers what it has done.
func (c *consent) send(_ context.Context, q thirdparty.Question) (thirdparty.Answer, error) {
	if _, _, err := c.mail(q); err != nil {
		return thirdparty.Answer{}, err
	}
	if q.Caller == nil {
		return thirdparty.Answer{}, dischargehttp.ErrInteractionRequired
	}
	return thirdparty.Answer{Caveats: []macaroon.Caveat{caveat.ExpiresIn(2 * time.Minute)}}, nil
}

// began asks the owner. One of flesh and blood takes a while, so that nobody waits here.
func (c *consent) began(_ context.Context, flow dischargehttp.Flow) error {
	to, text, err := c.mail(flow.Question)
	if err != nil {
		return err
	}
	go func() {
		if c.owner(to, text) {
			c.flows.Complete(flow.ID, "owner") // it fails if the flow has expired
		} else {
			c.flows.Refuse(flow.ID)
		}
	}()
	return nil
}
