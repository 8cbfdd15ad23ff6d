package verifier

import (
	"context"

	"github.com/amaretti-go/amaretti/macaroon"
)

// Links counts the HMACs that the walk of c takes, and tells how it ends.
func (v *Verifier) Links(ctx context.Context, c macaroon.Credential) (int, Reason) {
	view := c.Inspect()
	var r root
	if _, refusal := v.ask(ctx, view.At(0).Identifier(), &r); refusal != nil {
		return 0, refusal.Reason
	}
	w := walk{view: view, depth: v.limits.Depth}
	refusal := w.run(r.sig, nil)
	if refusal == nil {
		refusal = new(Error)
	}
	return w.hasher.Links() + 1, refusal.Reason // and the source's own
}

// Remembers tells whether the cache knows a credential by its text.
func (v *Verifier) Remembers(text string) bool { return v.cache.Value().presented(text) != nil }

// Work counts the HMACs that the walk of c takes with what the cache knows, and tells
// whether it ends well.
func (v *Verifier) Work(ctx context.Context, c macaroon.Credential) (links int, ok bool) {
	now, unstamped := v.stamp(ctx)
	p := proof{root: root{at: now}}
	known, refusal := v.rootOf(ctx, c.Inspect().At(0).Identifier(), &p, unstamped)
	if refusal != nil || !known {
		return 0, false
	}
	w := walk{view: c.Inspect(), depth: v.limits.Depth}
	ok = w.run(p.root.sig, p.entry.start()) == nil && len(w.missing) == 0
	return w.hasher.Links(), ok
}
