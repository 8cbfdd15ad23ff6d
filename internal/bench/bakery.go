package main

import (
	"context"
	"time"

	bakerylib "gopkg.in/macaroon-bakery.v2/bakery"
	"gopkg.in/macaroon-bakery.v2/bakery/checkers"
)

// bakery is gopkg.in/macaroon-bakery.v2. Its own ways are used where it has them: the operations of the
// minter are in the identifier, in place of the first allow caveat, and the subject is declared.
type bakery struct {
	grant   grant
	oven    *bakerylib.Oven
	checker *bakerylib.Checker
}

// conditionsURI names our conditions beside the bakery's own.
const conditionsURI = "bench"

func newBakery(g grant) (contender, error) {
	checker := checkers.New(nil)
	checker.Namespace().Register(conditionsURI, "")
	for _, name := range []string{"allow", "audience", "http-method", "http-path"} {
		checker.Register(name, conditionsURI, func(ctx context.Context, name, argument string) error {
			r, found := ctx.Value(requestKey{}).(request)
			if !found {
				return errDenied
			}
			return r.holds(time.Time{}, name, argument)
		})
	}
	oven := bakerylib.NewOven(bakerylib.OvenParams{Namespace: checker.Namespace(), Location: location})
	return &bakery{g, oven, bakerylib.NewChecker(bakerylib.CheckerParams{Checker: checker, MacaroonVerifier: oven, Logger: silent{}})}, nil
}

// requestKey is the context key of the request.
type requestKey struct{}

// silent is a logger that costs nothing.
type silent struct{}

func (silent) Infof(context.Context, string, ...any)  {}
func (silent) Debugf(context.Context, string, ...any) {}

func (b *bakery) mint() (string, error) {
	ctx := context.Background()
	cs := make([]checkers.Caveat, 0, len(b.grant.caveats)+1)
	ops := []bakerylib.Op{bakeryOp(operation)}
	for i, c := range b.grant.caveats {
		switch {
		case c.name == "time-before":
			cs = append(cs, checkers.TimeBeforeCaveat(c.until))
		case i == 1:
			ops = ops[:0]
			for _, op := range c.values {
				ops = append(ops, bakeryOp(op))
			}
		default:
			cs = append(cs, checkers.Caveat{Condition: c.condition(), Namespace: conditionsURI})
		}
	}
	cs = append(cs, checkers.DeclaredCaveat("username", b.grant.subject))
	m, err := b.oven.NewMacaroon(ctx, bakerylib.LatestVersion, cs, ops...)
	if err != nil {
		return "", err
	}
	return encodeV2(m.M())
}

func bakeryOp(operation string) bakerylib.Op {
	return bakerylib.Op{Entity: operation, Action: "call"}
}

func (b *bakery) decide(header string, r request) (string, error) {
	text, err := bearer(header)
	if err != nil {
		return "", err
	}
	ms, err := decodeV2(text)
	if err != nil {
		return "", err
	}
	ctx := context.WithValue(context.Background(), requestKey{}, r)
	info, err := b.checker.Auth(ms).Allow(ctx, bakeryOp(r.operation))
	if err != nil {
		return "", err
	}
	return checkers.InferDeclared(b.checker.Namespace(), info.Macaroons[0])["username"], nil
}

func (b *bakery) hold(text string) (func() (string, error), error) {
	ms, err := decodeV2(text)
	if err != nil {
		return nil, err
	}
	held, err := bakerylib.NewLegacyMacaroon(ms[0])
	if err != nil {
		return nil, err
	}
	held.Namespace().Register(conditionsURI, "")
	return func() (string, error) {
		m := held.Clone()
		err := m.AddCaveat(context.Background(), checkers.Caveat{Condition: narrower.condition(), Namespace: conditionsURI}, nil, nil)
		if err != nil {
			return "", err
		}
		return encodeV2(m.M())
	}, nil
}

func (b *bakery) read(text string) error {
	_, err := decodeV2(text)
	return err
}
