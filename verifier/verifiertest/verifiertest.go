// Package verifiertest gives a verifier and a token in one line, to those who
// test what a verifier protects.
//
//	v, token := verifiertest.New(t, "orders", "orders.read")
//	request.Header.Set("Authorization", token.Bearer())
//
// Over gRPC, where a connection without TLS will do for that:
//
//	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", token.Bearer())
//
// A protected handler is right if it lets that token in, and none of its broken
// variants, each of which is wrong in one respect only:
//
//	token.Expired()                          401, it was good until a minute ago
//	token.OtherKey()                         401, somebody else minted it
//	token.Tampered()                         401, a bit of it was changed
//	token.OtherAudience()                    403, it is for another service
//	token.OtherOperation()                   403, it grants something else
//	token.Attenuate(caveat.Path("/else"))    403, its holder narrowed it too far
//
// A handler that asks for attributes which a third party attested gets them from
//
//	token.Attested(map[string]string{"user": "ann"})
//
// A verifier with other options, such as a registry with kinds of your own, is
// made of the same keys:
//
//	v, err := verifier.New(token.Keys, "orders", verifier.Options{Registry: registry})
package verifiertest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/internal/redact"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
)

// Subject is who the tokens are for.
const Subject = "subject-of-test"

// lifetime is long enough for a test that somebody steps through.
const lifetime = time.Hour

// New makes a verifier for a service called audience, under a fresh root key, and
// a token that it accepts for one operation. The token's minter wrote that it
// expires in an hour, the audience, the operation, and then the caveats given.
//
// What can't be made ends the test. So do the methods of [Token].
func New(t testing.TB, audience, operation string, caveats ...macaroon.Caveat) (*verifier.Verifier, Token) {
	t.Helper()
	keys := rootkey.InMemory()
	v, err := verifier.New(keys, audience, verifier.Options{})
	check(t, err)
	return v, Token{t: t, Keys: keys, audience: audience}.Mint(operation, caveats...)
}

// Token is a token, and how to make others like it. It is a value: each method
// returns another one and leaves it alone. As testing.TB demands, the methods are
// for the goroutine that runs the test; Text and Bearer are for any.
type Token struct {
	// Keys minted the token. Others can be minted with them.
	Keys *rootkey.Keyring

	// Macaroon is the token itself.
	Macaroon macaroon.Macaroon

	t         testing.TB
	audience  string
	operation string
	caveats   []macaroon.Caveat // of the minter, after the usual three
	party     *party            // that attests, or nil
	text      redact.Box[string]
}

// Text is the credential text, as [verifier.Verifier.VerifyText] takes it.
func (k Token) Text() string {
	if text := k.text.Value(); text != nil {
		return *text
	}
	return ""
}

// Bearer is the value of an Authorization header that presents the token.
func (k Token) Bearer() string { return "Bearer " + k.Text() }

// String says what the token is for, and not the token: see [Token.Text].
func (k Token) String() string { return "token for " + k.operation }

// Format writes what String gives, whatever the verb: the logs of tests are kept too.
func (k Token) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue gives what String gives.
func (k Token) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Mint gives a new token, for another operation or with other caveats.
func (k Token) Mint(operation string, caveats ...macaroon.Caveat) Token {
	k.t.Helper()
	k.operation, k.caveats = operation, slices.Clone(caveats)
	return k.mint(k.Keys, caveat.ExpiresIn(lifetime), k.audience, operation)
}

// Attenuate gives the token as its holder narrowed it.
func (k Token) Attenuate(caveats ...macaroon.Caveat) Token {
	k.t.Helper()
	narrow, err := k.Macaroon.Attenuate(caveats...)
	check(k.t, err)
	return k.of(narrow)
}

// Expired gives a token as this one was minted, but that expired a minute ago.
func (k Token) Expired() Token {
	k.t.Helper()
	return k.mint(k.Keys, caveat.ExpiresAt(time.Now().Add(-time.Minute)), k.audience, k.operation)
}

// OtherKey gives a token as this one was minted, but under a root key that the
// verifier does not know.
func (k Token) OtherKey() Token {
	k.t.Helper()
	return k.mint(rootkey.InMemory(), caveat.ExpiresIn(lifetime), k.audience, k.operation)
}

// OtherAudience gives a token as this one was minted, but for another service.
func (k Token) OtherAudience() Token {
	k.t.Helper()
	return k.mint(k.Keys, caveat.ExpiresIn(lifetime), "not-"+k.audience, k.operation)
}

// OtherOperation gives a token as this one was minted, but that grants one other
// operation.
func (k Token) OtherOperation() Token {
	k.t.Helper()
	return k.mint(k.Keys, caveat.ExpiresIn(lifetime), k.audience, "verifiertest.other")
}

// Tampered gives the token with one bit of its signature flipped.
func (k Token) Tampered() Token {
	k.t.Helper()
	binary, err := k.Macaroon.MarshalBinary()
	check(k.t, err)
	binary[len(binary)-1] ^= 1
	var changed macaroon.Macaroon
	check(k.t, changed.UnmarshalBinary(binary))
	return k.of(changed)
}

func (k Token) mint(keys *rootkey.Keyring, expiry caveat.Caveat, audience, operation string) Token {
	k.t.Helper()
	caveats := append([]macaroon.Caveat{expiry, caveat.Audience(audience), caveat.Operations(operation)}, k.caveats...)
	if k.party != nil {
		caveats = append(caveats, k.party.asks())
	}
	m, err := keys.Mint(context.Background(), macaroon.Grant{Subject: Subject}, caveats...)
	check(k.t, err)
	return k.of(m)
}

func (k Token) of(m macaroon.Macaroon) Token {
	k.t.Helper()
	var discharges []macaroon.Macaroon
	if k.party != nil {
		discharge, err := k.party.discharge()
		check(k.t, err)
		discharges = append(discharges, discharge)
	}
	wallet, err := macaroon.NewWallet(m, discharges...)
	check(k.t, err)
	text, err := wallet.Encode()
	check(k.t, err)
	k.Macaroon, k.text = m, redact.Hide(text)
	return k
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("verifiertest: %v", err)
	}
}
