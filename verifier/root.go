package verifier

import (
	"context"
	"crypto/subtle"
	"fmt"
	"slices"
	"time"

	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/macaroon"
)

// root is the answer of a source.
type root struct {
	sig   [chain.Size]byte
	grant ForeignGrant // zero if native
	at    stamp
}

// stamp is when a source was asked, as it counts: by its epoch, or else by the clock. It
// is read before the source is asked, so that what changes meanwhile is never missed.
type stamp struct {
	epoch uint64
	time  time.Time // zero if the source has an epoch
}

// same tells, in constant time as to the signature, whether two answers are the same.
func (r *root) same(other *root) bool {
	return subtle.ConstantTimeCompare(r.sig[:], other.sig[:]) == 1 &&
		r.grant.MinterCaveats == other.grant.MinterCaveats && slices.Equal(r.grant.Operations, other.grant.Operations)
}

func (r root) clone() *root {
	r.grant.Operations = slices.Clone(r.grant.Operations)
	return &r
}

// stamp reads the epoch, or the clock.
func (v *Verifier) stamp(ctx context.Context) (now stamp, refusal *Error) {
	if v.epoch == nil {
		return stamp{time: time.Now()}, nil
	}
	now.epoch, refusal = v.readEpoch(ctx)
	return now, refusal
}

// serves tells whether the cache may still rely on an answer of the source.
func (v *Verifier) serves(kept *root, now stamp) bool {
	if v.epoch != nil {
		return kept.at.epoch == now.epoch
	}
	return now.time.Sub(kept.at.time) < v.options.CacheFor
}

// rootOf finds out the root signature of an identifier, and what it says: from the cache
// if that still holds, else from the source. p is stamped, and unstamped tells why not.
func (v *Verifier) rootOf(ctx context.Context, identifier string, p *proof, unstamped *Error) (known bool, refusal *Error) {
	p.entry = v.cache.Value().find(identifier)
	if p.entry != nil {
		p.identifier = p.entry.identifier
	} else if v.foreign == nil {
		var err error
		if p.identifier, err = macaroon.ParseIdentifier(identifier); err != nil {
			return false, refuseAt(Malformed, 0, -1, err)
		}
	}
	if unstamped != nil {
		return false, unstamped
	}
	var kept *root
	if p.entry != nil {
		if kept = p.entry.root.Load(); v.serves(kept, p.root.at) {
			p.root = *kept
			return true, nil
		}
	}
	if known, refusal = v.ask(ctx, identifier, &p.root); refusal != nil {
		return false, refusal
	}
	// The chain follows from the root signature and the bytes presented. If that is
	// still the same, so is what follows from it.
	if p.renewed = known && kept != nil && kept.same(&p.root); !p.renewed {
		p.entry = nil
	}
	return known, nil
}

// reprove asks the source again if what it said may no longer hold. It gives p
// itself if nothing had to be asked.
func (v *Verifier) reprove(ctx context.Context, p *proof) (*proof, *Error) {
	if err := ctx.Err(); err != nil {
		return nil, refuse(ContextDone, err)
	}
	now, refusal := v.stamp(ctx)
	if refusal != nil {
		return nil, refusal
	}
	at := p.root.at
	if v.epoch != nil && now.epoch == at.epoch || v.epoch == nil && now.time.Sub(at.time) <= v.options.RecheckAfter {
		return p, nil
	}
	r := root{at: now}
	found, refusal := v.ask(ctx, p.credential.Inspect().At(0).Identifier(), &r)
	if refusal != nil {
		return nil, refusal
	}
	if !found || subtle.ConstantTimeCompare(r.sig[:], p.root.sig[:]) != 1 {
		return nil, refuseAt(UnknownKey, 0, -1, nil)
	}
	fresh := *p
	fresh.root = r
	if fresh.renewed = r.same(&p.root); !fresh.renewed { // it grants something else now, and that is another entry
		fresh.entry, fresh.primary, fresh.each, fresh.branch = nil, nil, nil, nil
	}
	if refusal := fresh.untruncated(); refusal != nil {
		return nil, refusal
	}
	return &fresh, nil
}

// ask asks the source for the signature of an identifier.
func (v *Verifier) ask(ctx context.Context, identifier string, r *root) (found bool, refusal *Error) {
	defer recovered(&refusal)
	var err error
	if v.foreign == nil {
		r.sig, found, err = v.source.RootSignature(ctx, identifier)
	} else if r.sig, r.grant, found, err = v.foreign.ForeignRootSignature(ctx, identifier); err == nil {
		err = r.grant.check()
	}
	if err != nil {
		return false, v.sourceFailed(ctx, err)
	}
	return found, nil
}

func (v *Verifier) readEpoch(ctx context.Context) (epoch uint64, refusal *Error) {
	defer recovered(&refusal)
	epoch, err := v.epoch.Epoch()
	if err != nil {
		return 0, v.sourceFailed(ctx, err)
	}
	return epoch, nil
}

// recovered turns a panic of a source, which is other people's code, into a
// refusal. It must be deferred itself. The value is not shown: it may hold a key.
func recovered(refusal **Error) {
	if value := recover(); value != nil {
		*refusal = refuse(SourceFailed, fmt.Errorf("verifier: source panicked with a %T", value))
	}
}

func (v *Verifier) sourceFailed(ctx context.Context, err error) *Error {
	if ctx.Err() != nil {
		return refuse(ContextDone, err)
	}
	return refuse(SourceFailed, err)
}
