package rootkey

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/macaroon"
)

// A Recorder keeps an inventory of tokens, so that one that leaked can be found and
// revoked. RecordMint is called for each token, after it has been made and before the
// caller gets it; an error fails the mint. label is [macaroon.Grant]'s. It must be safe
// for concurrent use and heed ctx. Package sqlstore has one.
type Recorder interface {
	RecordMint(ctx context.Context, tokenID [16]byte, subject, label, keyID string, expiry time.Time) error
}

// Mint makes a token under the key that mints, as [macaroon.Mint] does; where none does, under the
// pending one. Where grant has no time of issue it is now. Verifiers refuse a token whose minter wrote
// no time-before, no audience or no allow, so these are what caveats should have.
//
// Without a time-before Mint fails: [ErrNoExpiry]. If the earliest is more than
// Options.MaxLifetime ahead, Mint adds one that is not, the last of the minter's caveats.
// If the token would outlive its key, it fails: [ErrOutlivesKey]. A label in grant goes
// to Options.Recorder; without one, nowhere.
//
// The Condition of each first-party caveat is called once, and none of those of a
// [macaroon.ThirdPartyCaveat].
func (k *Keyring) Mint(ctx context.Context, grant macaroon.Grant, caveats ...macaroon.Caveat) (macaroon.Macaroon, error) {
	if k.ring == nil {
		return macaroon.Macaroon{}, errZero
	}
	r := k.ring
	v, err := r.current(ctx)
	if err != nil {
		return macaroon.Macaroon{}, fmt.Errorf("rootkey: mint: %w", err)
	}
	minting := v.mint()
	if minting == nil {
		who := "Run or Rotate makes one"
		if r.options.RotateEvery < 0 {
			who = "RotateEvery is negative here, so it is for another process or Rotate to make one"
		}
		return macaroon.Macaroon{}, fmt.Errorf("rootkey: mint: %w: %s", ErrNoKey, who)
	}
	rules := mintRules{r.wall, r.options.MaxLifetime, r.options.Recorder}
	return rules.mint(ctx, minting, minting.id, minting.retires, grant, caveats)
}

// RootSignature makes one key a source, so that a whole mint rests on what was looked up once:
// the keyring might not know the key any more when it is asked again.
func (k *key) RootSignature(_ context.Context, identifier string) (sig [chain.Size]byte, found bool, err error) {
	return new(chain.Hasher).Root(k.derived.Value(), identifier), true, nil
}

// mintRules is what whoever mints holds to, wherever the key is.
type mintRules struct {
	now         func() time.Time
	maxLifetime time.Duration
	recorder    Recorder // or nil
}

// mint makes a token under the key that keyID names in source, which is refused from
// retires on, if that is not zero. It does not change caveats.
func (r mintRules) mint(ctx context.Context, source macaroon.Source, keyID string, retires time.Time, grant macaroon.Grant, caveats []macaroon.Caveat) (macaroon.Macaroon, error) {
	m, expiry, err := r.make(ctx, source, keyID, retires, grant, caveats)
	if err == nil && r.recorder != nil {
		err = r.record(ctx, m, keyID, grant, expiry)
	}
	if err != nil {
		return macaroon.Macaroon{}, fmt.Errorf("rootkey: mint: %w", err)
	}
	return m, nil
}

func (r mintRules) make(ctx context.Context, source macaroon.Source, keyID string, retires time.Time, grant macaroon.Grant, caveats []macaroon.Caveat) (macaroon.Macaroon, time.Time, error) {
	if err := checkLabel(grant.Label); err != nil {
		return macaroon.Macaroon{}, time.Time{}, err
	}
	written, expiry, err := write(caveats)
	if err != nil {
		return macaroon.Macaroon{}, time.Time{}, err
	}
	now := r.now() // not before: what ExpiresIn(MaxLifetime) has just written is not too late
	if grant.IssuedAt.IsZero() {
		grant.IssuedAt = now
	}
	if most := now.Add(r.maxLifetime); expiry.After(most) {
		expiry = most.Round(0)
		written = append(written, caveat.ExpiresAt(expiry))
	}
	if !retires.IsZero() && expiry.After(retires) {
		return macaroon.Macaroon{}, time.Time{}, fmt.Errorf("%w: key %s retires at %v", ErrOutlivesKey, keyID, retires)
	}
	m, err := macaroon.Mint(ctx, source, keyID, grant, written...)
	return m, expiry, err
}

// write calls what has to be called of the caveats, each method once, and gives them as
// written, with the earliest expiry.
func write(caveats []macaroon.Caveat) (written []macaroon.Caveat, expiry time.Time, err error) {
	written = slices.Grow(slices.Clone(caveats), 1)
	for i, c := range caveats {
		if _, third := c.(macaroon.ThirdPartyCaveat); third || c == nil {
			continue // as it is: macaroon.Mint seals the one and refuses the other
		}
		condition, err := c.Condition()
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("caveat %d: %w", i, err)
		}
		written[i] = macaroon.Condition(condition)
		name, argument, _ := strings.Cut(condition, " ")
		if name != expiryName {
			continue
		}
		end, err := caveat.Time.Parse(argument)
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("caveat %d: %s: %w", i, expiryName, err)
		}
		if expiry.IsZero() || end.Before(expiry) {
			expiry = end
		}
	}
	if expiry.IsZero() {
		return nil, time.Time{}, ErrNoExpiry
	}
	return written, expiry, nil
}

const expiryName = "time-before"

func (r mintRules) record(ctx context.Context, m macaroon.Macaroon, keyID string, grant macaroon.Grant, expiry time.Time) error {
	id, err := macaroon.ParseIdentifier(m.Identifier())
	if err != nil {
		return err
	}
	if err := r.recorder.RecordMint(ctx, id.TokenID, grant.Subject, grant.Label, keyID, expiry); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}
