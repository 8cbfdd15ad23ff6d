package revocation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Run fills the list and keeps it fresh until ctx ends, and then returns ctx.Err(). What
// the feed fails in is logged and tried again. Several may run; they take turns.
//
// A bound after ctx ended no decision is made: so let it end when the server has served its
// last request, and not with the signal to stop.
func (l *List) Run(ctx context.Context) error {
	failed, breath := false, min(l.bound/16, maxPause)
	for ctx.Err() == nil {
		began := time.Now()
		news, err := l.refresh(ctx)
		var pause time.Duration
		switch {
		case ctx.Err() != nil:
		case err != nil:
			attrs := []slog.Attr{slog.Any("error", err)}
			if age, filled := l.Age(); filled {
				attrs = append(attrs, slog.Duration("age", age))
			}
			l.log(ctx, slog.LevelWarn, "revocation: the feed can't be followed", append(attrs, slog.Duration("bound", l.bound))...)
			pause = breath + rand.N(breath+1)
		case failed:
			l.log(ctx, slog.LevelInfo, "revocation: the feed is followed again")
		case !news && time.Since(began) < l.bound/64:
			// A feed that does not wait is not to be asked without end, nor one that gives all
			// there is each time, as two logs behind one address do.
			pause = breath
		}
		failed = err != nil
		if pause > 0 {
			sleep(ctx, pause)
		}
	}
	return ctx.Err()
}

func sleep(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (l *List) log(ctx context.Context, level slog.Level, what string, attrs ...slog.Attr) {
	cmp.Or(l.options.Log, slog.Default()).LogAttrs(ctx, level, what, attrs...)
}

// Refresh asks the feed once, for as long as a quarter of the bound if nothing is new. The
// first one fills the list: who calls it before serving has no requests undecided.
func (l *List) Refresh(ctx context.Context) error {
	_, err := l.refresh(ctx)
	return err
}

var (
	errZero = errors.New("revocation: the zero List follows nothing")
	errGap  = errors.New("revocation: the feed left out a change")
)

const (
	// maxPatience is how long all there is may take.
	maxPatience = 2 * time.Minute

	// maxPause keeps pauses short, however long the bound: while nothing is known, no decision
	// is made.
	maxPause = 4 * time.Second
)

// refresh asks and applies the answer. news tells whether that was a change, rather than
// nothing or everything.
func (l *List) refresh(ctx context.Context) (news bool, err error) {
	if l.feed == nil {
		return false, errZero
	}
	select {
	case l.asking <- struct{}{}:
		defer func() { <-l.asking }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	// A question that gets no answer leaves time for another within the bound, and that one
	// does not wait for news. But a long answer may take as long as it takes, so that patience grows.
	wait, patience := l.bound/4, l.bound/2
	if l.after == (Cursor{}) || l.failed {
		wait, patience = 0, max(l.bound, l.patience)
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	asked := time.Now() // and not when it answered: what was revoked between is not in it
	b, err := l.ask(limited, wait)
	if err != nil {
		l.failed = true
		if limited.Err() != nil && ctx.Err() == nil {
			l.patience = min(2*patience, max(l.bound, maxPatience))
		}
		return false, err
	}
	next, err := l.apply(b)
	if err != nil { // what is known does not fit what the feed has: begin anew
		l.failed, l.after = true, Cursor{}
		return false, err
	}
	silent := !l.tells(l.current.Load())
	l.failed, l.patience, l.after = false, 0, b.To
	l.current.Store(&state{next, asked})
	l.expire(asked)
	switch {
	case b.Full, silent:
		l.news.publish(nil)
	case len(b.Changes) > 0:
		l.news.publish(b.Changes)
	}
	return !b.Full && len(b.Changes) > 0, nil
}

// ask guards against a feed, which may be other people's code: Run has nobody above it.
func (l *List) ask(ctx context.Context, wait time.Duration) (b Batch, err error) {
	defer func() {
		if value := recover(); value != nil {
			b, err = Batch{}, fmt.Errorf("revocation: the feed panicked with a %T", value)
		}
	}()
	return l.feed.Changes(ctx, l.after, wait)
}

// apply gives the snapshot that a batch makes of the present one.
func (l *List) apply(b Batch) (*snapshot, error) {
	switch {
	case b.To.Log == "":
		return nil, errGap
	case b.Full:
		return full(b.Changes, l.hash)
	case l.after == Cursor{}, b.From != l.after, b.To.Log != b.From.Log, b.To.Seq != b.From.Seq+uint64(len(b.Changes)):
		return nil, errGap
	case len(b.Changes) == 0:
		return l.current.Load().snapshot, nil
	}
	return l.current.Load().with(b.Changes)
}

// expire sees to it that whoever watches looks again when nothing has been heard for as
// long as the bound, since what was asked for at that time is too old then.
func (l *List) expire(asked time.Time) {
	if l.options.InsecureServeStale {
		return
	}
	after := l.bound - time.Since(asked) + time.Millisecond
	if l.expiry == nil {
		l.expiry = time.AfterFunc(after, func() { l.news.publish(nil) })
	} else {
		l.expiry.Reset(after)
	}
}
