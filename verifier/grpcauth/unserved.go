package grpcauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"google.golang.org/grpc/metadata"
)

// What a client needs to know before it sends a call again stands in the trailer: that a
// handler, which may hand on the status of a call of its own, does not hand on.
const (
	unservedKey = "amaretti-unserved" // digest of the authorization that was refused
	timeKey     = "amaretti-time"     // when it was, by the clock that decided, in RFC 3339
)

// unserved is the trailer of a call that was refused before its handler was called. There is
// none for a call that did not present one token of reasonable size.
func (a *Auth) unserved(ctx context.Context) metadata.MD {
	// The clock is the application's; one that panics tells nothing.
	defer func() { recover() }()
	values := metadata.ValueFromIncomingContext(ctx, authorizationKey)
	if len(values) != 1 || len(values[0]) > a.verifier.Limits().Text+schemeRoom {
		return nil
	}
	return metadata.Pairs(unservedKey, digestOf(values[0]), timeKey, a.verifier.Now().UTC().Format(time.RFC3339))
}

// digestOf names a value of authorization to whoever knows it, and tells others nothing.
func digestOf(authorization string) string {
	sum := sha256.Sum256([]byte(authorization))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// refusedAt reads from a trailer whether it is this authorization that was refused before
// anything was served, and when that was; the zero time if it does not tell.
func refusedAt(trailer metadata.MD, authorization string) (at time.Time, unserved bool) {
	if digests := trailer.Get(unservedKey); len(digests) != 1 || digests[0] != digestOf(authorization) {
		return time.Time{}, false
	}
	if times := trailer.Get(timeKey); len(times) == 1 {
		at, _ = time.Parse(time.RFC3339, times[0])
	}
	return at, true
}
