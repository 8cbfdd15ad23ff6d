package main

import (
	"context"
	"fmt"
	"time"

	conditions "github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
)

// amaretti is this library, through its front door, and without a cache: all is computed each time.
type amaretti struct {
	grant    grant
	keys     *rootkey.Keyring
	verifier *verifier.Verifier
}

func newAmaretti(g grant) (contender, error) {
	return newAmarettiWith(g, verifier.Options{CacheBytes: -1})
}

func newAmarettiWith(g grant, options verifier.Options) (contender, error) {
	keys := rootkey.InMemory()
	v, err := verifier.New(keys, audience, options)
	if err != nil {
		return nil, err
	}
	a := &amaretti{g, keys, v}
	if len(g.caveats) > 2 {
		return a, nil
	}
	// A token of its own that says nothing of operations and audience is refused, so those with less are
	// verified as foreign ones, which a source grants the operation.
	source := granting{keys, verifier.ForeignGrant{MinterCaveats: len(g.caveats), Operations: []string{operation}}}
	options.InsecureNoAudience = true
	a.verifier, err = verifier.NewForeign(source, audience, options)
	if err != nil {
		return nil, err
	}
	return &bareAmaretti{a}, nil
}

func (a *amaretti) mint() (string, error) {
	cs := make([]macaroon.Caveat, len(a.grant.caveats))
	for i, c := range a.grant.caveats {
		cs[i] = c.ours()
	}
	m, err := a.keys.Mint(context.Background(), macaroon.Grant{Subject: a.grant.subject, Location: location}, cs...)
	if err != nil {
		return "", err
	}
	return m.Encode()
}

// ours is the caveat as package caveat makes it.
func (c caveat) ours() conditions.Caveat {
	switch c.name {
	case "time-before":
		return conditions.ExpiresAt(c.until)
	case "allow":
		return conditions.Operations(c.values...)
	case "audience":
		return conditions.Audience(c.values...)
	case "http-method":
		return conditions.Methods(c.values...)
	case "http-path":
		return conditions.Path(c.values...)
	}
	panic(fmt.Sprintf("bench: no such caveat: %s", c.name))
}

func (a *amaretti) decide(header string, r request) (string, error) {
	text, err := bearer(header)
	if err != nil {
		return "", err
	}
	who, err := a.verifier.VerifyText(context.Background(), text, r.operation, conditions.Facts{Method: r.method, Path: r.path})
	if err != nil {
		return "", err
	}
	return who.Subject(), nil
}

// holding reads a token as its holder does.
func (a *amaretti) holding(text string) (macaroon.Macaroon, error) {
	credential, err := macaroon.Parse(text)
	if err != nil {
		return macaroon.Macaroon{}, err
	}
	wallet, err := credential.Wallet()
	return wallet.Primary(), err
}

func (a *amaretti) hold(text string) (func() (string, error), error) {
	held, err := a.holding(text)
	if err != nil {
		return nil, err
	}
	return func() (string, error) {
		m, err := held.Attenuate(narrower.ours())
		if err != nil {
			return "", err
		}
		return m.Encode()
	}, nil
}

// host is where requests are sent.
const host = "orders.internal"

func (a *amaretti) send(text string) (func() (string, error), error) {
	var wallet macaroon.Wallet
	if err := wallet.UnmarshalText([]byte(text)); err != nil {
		return nil, err
	}
	source, r := client.Static(wallet), newRequest()
	return func() (string, error) {
		w, err := client.Prepare(context.Background(), source, "https://"+host+":443", nil,
			conditions.ExpiresIn(30*time.Second), conditions.Methods(r.method), conditions.ExactPath(r.path), conditions.Hosts(host))
		if err != nil {
			return "", err
		}
		return w.Encode()
	}, nil
}

func (a *amaretti) read(text string) error {
	_, err := macaroon.Parse(text)
	return err
}

// bareAmaretti decides on tokens whose minter wrote an expiry and nothing else.
type bareAmaretti struct {
	*amaretti
}

func (a *bareAmaretti) decide(header string, r request) (string, error) {
	text, err := bearer(header)
	if err != nil {
		return "", err
	}
	ctx := context.Background()
	credential, err := a.verifier.Parse(ctx, text, nil)
	if err != nil {
		return "", err
	}
	if _, err := a.verifier.Verify(ctx, credential, r.operation, conditions.Facts{Method: r.method, Path: r.path}); err != nil {
		return "", err
	}
	identifier, err := macaroon.ParseIdentifier(credential.Inspect().At(0).Identifier())
	if err != nil {
		return "", err
	}
	return identifier.Subject, nil
}

// granting makes a keyring a foreign source that grants one operation.
type granting struct {
	keys  *rootkey.Keyring
	grant verifier.ForeignGrant
}

func (g granting) ForeignRootSignature(ctx context.Context, identifier string) ([32]byte, verifier.ForeignGrant, bool, error) {
	sig, found, err := g.keys.RootSignature(ctx, identifier)
	if err != nil || !found {
		return [32]byte{}, verifier.ForeignGrant{}, false, err
	}
	return sig, g.grant, true, nil
}

// Epoch is the keyring's: what is granted does not change.
func (g granting) Epoch() (uint64, error) { return g.keys.Epoch() }
