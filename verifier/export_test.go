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
	refusal := w.run(r.sig)
	if refusal == nil {
		refusal = new(Error)
	}
	return w.hasher.Links() + 1, refusal.Reason // and the source's own
}
