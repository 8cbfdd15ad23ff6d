package grpcauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/amaretti-go/amaretti/verifier"
)

// What a client needs to know before it sends a call again stands in the trailer: that a
// handler, which may hand on the status of a call of its own, does not hand on.
const (
	unservedKey = "amaretti-unserved" // digest of this refusal, and of the authorization that it is of
	timeKey     = "amaretti-time"     // when it was, by the clock that decided, in RFC 3339
)

// unserved is the trailer of a call that was refused before its handler was called. There is
// none if it was not its token that was refused: what else stands in authorization may be a
// password, and by its digest could be found out.
func (a *Auth) unserved(ctx context.Context, err error) metadata.MD {
	// The clock is the application's; one that panics tells nothing.
	defer func() { recover() }()
	values := metadata.ValueFromIncomingContext(ctx, authorizationKey)
	if len(values) != 1 {
		return nil
	}
	refusal, _ := verifier.RefusalOf(err)
	switch refusal.Reason {
	case verifier.NothingPresented, verifier.InvalidRequest, verifier.OverLimit, verifier.NotMacaroon, verifier.Malformed:
		return nil
	}
	return metadata.Pairs(unservedKey, digestOf(refusal.Instance, values[0]), timeKey, a.verifier.Now().UTC().Format(time.RFC3339))
}

// digestOf names a refusal and the value of authorization that was refused to whoever knows
// them. The instance is in it because the status of one refusal may come with the trailer of
// another, after which a handler was called.
func digestOf(instance, authorization string) string {
	sum := sha256.Sum256([]byte(instance + " " + authorization))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// refusedAt reads from a trailer whether this refusal was of this authorization, before
// anything was served, and when that was; the zero time if it does not tell.
func refusedAt(trailer metadata.MD, instance, authorization string) (at time.Time, unserved bool) {
	if digests := trailer.Get(unservedKey); len(digests) != 1 || digests[0] != digestOf(instance, authorization) {
		return time.Time{}, false
	}
	if times := trailer.Get(timeKey); len(times) == 1 {
		at, _ = time.Parse(time.RFC3339, times[0])
	}
	return at, true
}
