package rootkey

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Run keeps a keyring up to date until ctx is done, and gives ctx.Err() then. It reads
// the store about twice in each Options.RefreshEvery, so that no request has to wait for
// that. If Options.RotateEvery is not negative it also
//
//   - rotates when the key that mints has done so for RotateEvery, or is to retire or to
//     stop without another, or if there is none;
//   - removes keys that were retired for as long as they verified after they had stopped.
//
// Errors of the store are logged and end nothing. A store that can't be written
// (errors.ErrUnsupported) is only read. Call Run in one goroutine of each process that
// has a keyring. Several over one store do no harm: of what is to be done, each thing is
// done once.
func (k *Keyring) Run(ctx context.Context) error {
	r := k.ring
	if r == nil {
		return errZero
	}
	r.minded.Store(true)
	readOnly := r.options.RotateEvery < 0
	for ctx.Err() == nil {
		if err := r.refresh(ctx); err != nil {
			return ctx.Err()
		}
		if !readOnly {
			err := r.maintain(ctx)
			readOnly = errors.Is(err, errors.ErrUnsupported)
			if err != nil && ctx.Err() == nil {
				r.options.log().Warn("rootkey: keys can't be maintained", "error", err, "readonly", readOnly)
			}
		}
		// Not all processes at once.
		half := r.options.RefreshEvery / 2
		select {
		case <-time.After(half - rand.N(half/4+1)):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// forgotten tells, once, that a key has minted for too long, since nobody calls Run: nothing else
// shows it. Others over the same store had time to replace it. It needs the mutex.
func (r *ring) forgotten(v *view) bool {
	o := &r.options
	if r.minded.Load() || o.RotateEvery < 0 || v.minting == nil || v.coming != nil ||
		!reached(v.minting.mints.Add(o.RotateEvery+o.PublishFor), r.wall()) {
		return false
	}
	return r.minded.CompareAndSwap(false, true)
}

// refresh reads the store, unless somebody has just done so, and waits for that. Its only
// error is that ctx is done.
func (r *ring) refresh(ctx context.Context) error {
	r.mu.Lock()
	now := r.advance()
	if r.flight == nil && now-r.tried >= r.options.RefreshEvery/4 {
		r.launch(now)
	}
	f := r.flight
	r.mu.Unlock()
	if f == nil {
		return nil
	}
	return f.wait(ctx)
}

// maintain does what is due by the view. Others may have done it already, which is found
// out when the store is read for it.
func (r *ring) maintain(ctx context.Context) error {
	d := r.view.Load().set.draft(&r.options, r.wall())
	if d.maintain(); !d.changed {
		return nil
	}
	// The store may hang. Reading goes on meanwhile, as requests come.
	ctx, cancel := context.WithTimeout(ctx, r.options.RefreshEvery)
	defer cancel()
	made := ""
	s, err := r.change(ctx, func(d *draft) error { made = d.maintain(); return nil })
	if err != nil {
		return err
	}
	if i := s.find(made); i >= 0 {
		r.options.log().Info("rootkey: new key", "key", made, "mints", s.keys[i].mints)
	}
	return nil
}
