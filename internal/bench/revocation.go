package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	conditions "github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

// The work revocations is a part of decide, where there is a list: whether a token with five caveats has been
// revoked, by all that it can be revoked by. Nothing revokes it, of a million revocations of every kind.
const revocationsWork = "revocations"

const asking = 1 << 8 // how many tokens are asked about, in no order

// newRevocationsCell makes a list of so many, and the cell that asks it.
func newRevocationsCell(expiry time.Time, revoked int) (*cell, error) {
	list, err := revocation.NewList(manyRevoked(revoked), time.Hour, revocation.Options{})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if err := list.Refresh(ctx); err != nil {
		return nil, err
	}
	tokens, err := revocables(ctx, expiry)
	if err != nil {
		return nil, err
	}
	op := func() error {
		dead, err := list.Revoked(tokens[rand.IntN(len(tokens))])
		if err == nil && dead {
			err = errors.New("a clean token is revoked")
		}
		return err
	}
	return &cell{work: revocationsWork, caveats: detailed, who: amarettiName, op: op}, op()
}

// revocables are tokens as a verifier asks about them.
func revocables(ctx context.Context, expiry time.Time) ([]verifier.Revocable, error) {
	keys := rootkey.InMemory()
	seen := &noted{}
	v, err := verifier.New(keys, audience, verifier.Options{Revocations: seen})
	if err != nil {
		return nil, err
	}
	var caveats []macaroon.Caveat
	for _, c := range newGrant(detailed, expiry).caveats {
		caveats = append(caveats, c.ours())
	}
	r := newRequest()
	for i := range asking {
		m, err := keys.Mint(ctx, macaroon.Grant{Subject: fmt.Sprint(subject, i)}, caveats...)
		if err != nil {
			return nil, err
		}
		text, err := m.Encode()
		if err != nil {
			return nil, err
		}
		if _, err := v.VerifyText(ctx, text, r.operation, conditions.Facts{Method: r.method, Path: r.path}); err != nil {
			return nil, err
		}
	}
	return seen.tokens, nil
}

// noted revokes nothing, and remembers what it was asked about.
type noted struct{ tokens []verifier.Revocable }

func (n *noted) Revoked(t verifier.Revocable) (bool, error) {
	n.tokens = append(n.tokens, t)
	return false, nil
}

// feed gives all there is, once: it is not to lie about in the heap while others are measured.
type feed struct{ all revocation.Batch }

func (f *feed) Changes(context.Context, revocation.Cursor, time.Duration) (all revocation.Batch, err error) {
	all, f.all = f.all, revocation.Batch{}
	return all, nil
}

// manyRevoked is a feed of n revocations: most of them tokens, as where each leaked one is revoked, and some of each
// other kind.
func manyRevoked(n int) *feed {
	now := time.Now()
	changes := make([]revocation.Change, n)
	for i := range changes {
		id := [16]byte{2, byte(i), byte(i >> 8), byte(i >> 16)}
		var what revocation.What
		switch i % 10 {
		default:
			what = revocation.Token(id)
		case 1:
			what = revocation.SubjectUntil(fmt.Sprint("subject ", i), now)
		case 2:
			what = revocation.Subject(fmt.Sprint("former subject ", i))
		case 3:
			what = revocation.KeyUntil(fmt.Sprint("key ", i), now)
		case 4:
			what = revocation.Branch(id)
		}
		changes[i] = revocation.Change{What: what}
	}
	return &feed{revocation.Batch{Full: true, Changes: changes, To: revocation.Cursor{Log: "bench", Seq: uint64(n)}}}
}
