package verifiertest

import (
	"crypto/rand"
	"maps"
	"slices"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/internal/redact"
	"github.com/amaretti-go/amaretti/macaroon"
)

// Attested gives a token as this one was minted, but whose minter asked a third party
// for these attributes; the discharge that declares them comes with it. An empty value
// is what a third party declares that has nothing to say, so that
// [verifier.Verified.Attribute] does not find it.
//
// Token.Macaroon is the token without the discharge: as such it gets 401.
func (k Token) Attested(attributes map[string]string) Token {
	k.t.Helper()
	k.party = newParty(k, attributes)
	return k.Mint(k.operation, k.caveats...)
}

// party is a third party that knows one caveat.
type party struct {
	rootKey    redact.Box[[]byte]
	attributes map[string]string
}

const partyCaveatID = "verifiertest"

func newParty(k Token, attributes map[string]string) *party {
	k.t.Helper()
	for key, value := range attributes {
		_, _, err := caveat.ParseDeclared(key + " " + value)
		check(k.t, err)
	}
	rootKey := make([]byte, 32)
	rand.Read(rootKey) // never fails: crypto/rand ends the program instead
	return &party{redact.Hide(rootKey), maps.Clone(attributes)}
}

func (p *party) keys() []string { return slices.Sorted(maps.Keys(p.attributes)) }

// asks is the caveat that a minter adds.
func (p *party) asks() macaroon.Caveat {
	return asking{macaroon.ThirdParty(*p.rootKey.Value(), partyCaveatID, ""), p.keys()}
}

type asking struct {
	macaroon.ThirdPartyCaveat
	keys []string
}

func (a asking) Attests() []string { return slices.Clone(a.keys) }

// discharge declares the attributes, then ends.
func (p *party) discharge() (macaroon.Macaroon, error) {
	m, err := macaroon.New(*p.rootKey.Value(), partyCaveatID, "")
	if err != nil {
		return macaroon.Macaroon{}, err
	}
	var caveats []macaroon.Caveat
	for _, key := range p.keys() {
		caveats = append(caveats, macaroon.Condition("declared "+key+" "+p.attributes[key]))
	}
	return m.Attenuate(append(caveats, caveat.ExpiresIn(lifetime))...)
}
