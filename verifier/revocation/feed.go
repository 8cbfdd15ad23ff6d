package revocation

import (
	"context"
	"time"
)

// A Feed tells what changes among the revocations, in one order that all see alike.
// [Memory] is one, and so are [SQL] and [HTTP].
//
// Changes gives what came after a cursor. If nothing did, it waits for something up to
// wait, and then gives an empty batch. If the feed can't continue from the cursor, because
// the cursor is zero, older than what is kept, or from another log, it gives all there is,
// as a full batch. Whatever was revoked before the call is in what the feed gives, now or
// from earlier cursors: that is what makes a [List] as fresh as its last question. The batch
// is the caller's. Changes must heed ctx and be safe for concurrent use.
type Feed interface {
	Changes(ctx context.Context, after Cursor, wait time.Duration) (Batch, error)
}

// Cursor is a place in a log of changes. The zero Cursor is before the beginning of
// every log.
type Cursor struct {
	Log  string `json:"log"`            // which log: a text that no other log has, at most 64 bytes
	Seq  uint64 `json:"seq"`            // the number of the last change that is known
	Mark uint64 `json:"mark,omitempty"` // tells it from one that had this number before a log lost its end
}

// Batch is what a feed gives.
type Batch struct {
	Full    bool     // Changes is all there is, and replaces what was known
	From    Cursor   // the cursor asked for; zero if Full
	Changes []Change // in order
	To      Cursor   // where to go on
}

// Change is one revocation, or the end of one.
type Change struct {
	What    What `json:"what"`
	Removed bool `json:"removed,omitempty"` // it is revoked no more
}
