package caveat

import (
	"errors"
	"fmt"
	"time"
)

// Caveat is one restriction, ready to be written into a token: pass it to Mint or Attenuate. Make one with the
// constructors of this package or with [Kind.Of]. A Caveat that could not be written (an empty list, a nil
// certificate) carries the reason and gives it from Condition, so that nothing is ever minted without it. The
// zero Caveat is such a one.
type Caveat struct {
	condition string
	lifetime  time.Duration // of ExpiresIn; the condition is written when it is asked for
	err       error
}

var errZero = errors.New(prefix + "zero Caveat: use a constructor or Kind.Of")

// Condition gives the text to be signed, or the reason why there is none. For [ExpiresIn] it reads the clock at
// each call.
func (c Caveat) Condition() (string, error) {
	switch {
	case c.err != nil:
		return "", c.err
	case c.lifetime > 0:
		return timeBefore.Of(time.Now().Add(c.lifetime)).Condition()
	case c.condition == "":
		return "", errZero
	}
	return c.condition, nil
}

// String is the condition for people. It never fails and reads no clock: what Condition would refuse is
// described instead.
func (c Caveat) String() string {
	switch {
	case c.err != nil:
		return "invalid " + c.err.Error()
	case c.lifetime > 0:
		return fmt.Sprintf("%s now+%v", timeBefore.Name(), c.lifetime)
	case c.condition == "":
		return "invalid " + errZero.Error()
	}
	return c.condition
}
