package rootkey

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Rotate makes the key that will mint next and gives it. It mints after
// Options.PublishFor; then the one that mints now stops, and retires when the last token
// that it may have minted has expired, or earlier if Retire said so. If nothing mints,
// the fresh key does at once. If a pending key is there already, Rotate gives that and
// does nothing else: two rotations at once are one.
//
// Like [Keyring.Run] it also removes keys that were retired for as long as they
// verified after they had stopped.
//
// After an error it is not known whether the key was made. Call Rotate again.
func (k *Keyring) Rotate(ctx context.Context) (Key, error) {
	var id string
	s, now, err := k.manage(ctx, "rotate", func(d *draft) error { id = d.rotate().id; return nil })
	if err != nil {
		return Key{}, err
	}
	return s.list(now)[s.find(id)], nil
}

// Delete removes a key. What it signed is refused from now on: at once by this keyring,
// elsewhere within Options.RefreshEvery. If it is the key that mints, a fresh one takes
// over at once, unpublished: verifiers ask the store when they see its id. They do that
// once in each RefreshEvery, so that one which has just been asked for the ids of strangers
// refuses its tokens until it reads again. Where there is time, call Rotate first, and delete
// when the next key mints. If it is pending, a fresh one is published in its place and the
// present one mints until then.
//
// An id that is not there is [macaroon.ErrUnknownKey]. After another error it is not
// known whether the key was removed. Call Delete again.
func (k *Keyring) Delete(ctx context.Context, id string) error {
	_, _, err := k.manage(ctx, "delete", func(d *draft) error { return d.delete(id) })
	return err
}

// Retire sets when a key retires: what it signed is refused from then on. An instant in
// the past means now. A later one brings a key back, as long as it is listed. The zero time
// is an error, and an id that is not there is [macaroon.ErrUnknownKey].
//
// A key that is to retire mints no token that would outlive it. If it is the one that
// mints, [Keyring.Run] sees to it that another takes over early enough; without Run, call
// Rotate before.
func (k *Keyring) Retire(ctx context.Context, id string, at time.Time) error {
	_, _, err := k.manage(ctx, "retire", func(d *draft) error {
		if at.IsZero() {
			return errors.New("no time")
		}
		edited, err := d.edit(id)
		if err != nil {
			return err
		}
		edited.retires = at.Round(0).UTC()
		return nil
	})
	return err
}

// Label gives a key a label for those who read lists: printable text of 128 bytes at
// most. An empty one removes it. An id that is not there is [macaroon.ErrUnknownKey].
func (k *Keyring) Label(ctx context.Context, id, label string) error {
	_, _, err := k.manage(ctx, "label", func(d *draft) error {
		if err := checkLabel(label); err != nil {
			return err
		}
		edited, err := d.edit(id)
		if err != nil {
			return err
		}
		edited.label = label
		return nil
	})
	return err
}

// Keys lists all keys as they stand in the store now, the oldest first. The list is the
// caller's.
func (k *Keyring) Keys(ctx context.Context) ([]Key, error) {
	if k.ring == nil {
		return nil, errZero
	}
	s, err := k.ring.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("rootkey: keys: %w", err)
	}
	return s.list(k.ring.wall()), nil
}

func (s *keySet) list(now time.Time) []Key {
	m := s.at(now)
	list := make([]Key, len(s.keys))
	for i, k := range s.keys {
		list[i] = k.public(m.states[i])
	}
	return list
}

func (k *Keyring) manage(ctx context.Context, what string, edit func(*draft) error) (*keySet, time.Time, error) {
	if k.ring == nil {
		return nil, time.Time{}, errZero
	}
	s, err := k.ring.change(ctx, edit)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("rootkey: %s: %w", what, err)
	}
	return s, k.ring.wall(), nil
}

// mostTries bounds how often a change begins anew because another writer was faster.
const mostTries = 100

// change reads the store, lets edit make a draft of what is there, and writes that, unless
// nothing has changed. If somebody else has written in between, it all begins anew, so edit
// must decide by the draft alone. It gives the set that stands in the end.
func (r *ring) change(ctx context.Context, edit func(*draft) error) (*keySet, error) {
	select { // one writer of a process at a time: they would only get in each other's way
	case r.writing <- struct{}{}:
		defer func() { <-r.writing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for range mostTries {
		s, err := r.read(ctx)
		if err != nil {
			return nil, err
		}
		d := s.draft(&r.options, r.wall())
		if err := edit(d); err != nil {
			return nil, err
		}
		if !d.changed {
			return s, nil
		}
		records, err := d.encode()
		if err != nil {
			return nil, err
		}
		began := time.Since(r.base)
		version, swapped, err := r.store.Swap(ctx, s.version, records)
		switch {
		case err != nil:
			return nil, fmt.Errorf("write: %w", err)
		case !swapped:
			continue
		case version == "" || len(version) > maxVersion:
			return nil, errors.New("write: the store gave a bad version")
		}
		written := &keySet{version, d.keys}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.place(written, began)
		return written, nil
	}
	return nil, fmt.Errorf("another writer was faster %d times", mostTries)
}
