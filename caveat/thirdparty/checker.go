package thirdparty

import (
	"context"

	"github.com/amaretti-go/amaretti/macaroon"
)

// A Checker decides for a third party whether a condition holds for whoever asks.
//
// An error refuses. One that wraps [ErrUnknownCondition] says that the checker does not know the condition, which
// must never be discharged; one from [caveat.Undecided], or of a context, says that it could not find out. Others
// reach the caller of Discharge wrapped, so that a service can tell them apart. A panic refuses.
//
// It must be safe for concurrent use and heed ctx.
type Checker interface {
	Check(ctx context.Context, q Question) (Answer, error)
}

// CheckerFunc is a function that is a Checker.
type CheckerFunc func(ctx context.Context, q Question) (Answer, error)

// Check calls f.
func (f CheckerFunc) Check(ctx context.Context, q Question) (Answer, error) { return f(ctx, q) }

// Conditions is a Checker that has a function for each name of a condition, and refuses those of other names with
// [ErrUnknownCondition]. Names are looked up whole and as written. It must not be changed once it is in use.
type Conditions map[string]CheckerFunc

// Check calls the function for the name of the condition.
func (c Conditions) Check(ctx context.Context, q Question) (Answer, error) {
	check := c[q.Name]
	if check == nil {
		return Answer{}, ErrUnknownCondition
	}
	return check(ctx, q)
}

// Question is what a third party is asked: whether a condition holds for a caller.
type Question struct {
	// Condition is the condition as whoever added the caveat wrote it, without the part that asks for attributes.
	// It is text without control characters and not empty. Anybody can make a caveat that says anything.
	Condition string

	// Name and Argument are the parts of Condition before and after its first space.
	Name, Argument string

	// Asked are the attributes that the caveat asks for, each once.
	Asked []string

	// FirstParty is the key that the caveat was sealed with. Whoever holds its private half wrote this
	// condition. It may be one that was made for this caveat alone.
	FirstParty PublicKey

	// Version is that of the caveat id: 1, 2 or 3.
	Version int

	// Caller is that of the [Request].
	Caller any
}

// Answer is what goes into a discharge besides its expiry. The zero Answer adds nothing.
type Answer struct {
	// Declared are attributes of the caller, by key. A key is text without spaces and commas; a value is text
	// without control characters. An empty value is that of an attribute which the caller does not have, as is
	// leaving out a key that was asked for. Those that nobody asked for are declared too, as in the bakery, whose
	// servers may look at them; a verifier of this library does not report them. Whoever gets the discharge
	// can read them.
	Declared map[string]string

	// Caveats restrict the discharge further, for example to a time before the usual expiry, or by a third-party
	// caveat for somebody else. Declarations, and caveats that ask for attributes, are refused here.
	Caveats []macaroon.Caveat
}
