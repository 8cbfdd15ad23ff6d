package thirdparty

import (
	"errors"
	"fmt"
	"strings"
)

const prefix = "thirdparty: "

var (
	// ErrUndecipherable is what every caveat id gives that can't be read: not a caveat id, damaged, sealed to a
	// key that is not open here, or none that anybody should have written. Who sent it learns no more.
	ErrUndecipherable = errors.New(prefix + "undecipherable caveat id")

	// ErrUnknownCondition is returned for a condition that the third party does not know. A [Checker] returns it,
	// perhaps wrapped; it must never discharge what it does not understand.
	ErrUnknownCondition = errors.New(prefix + "unknown condition")

	errNamespace = errors.New(prefix + "the caveat's namespace does not have time-before and declared under these names")
)

// prefixed names this package in err, once.
func prefixed(err error) error {
	if strings.HasPrefix(err.Error(), prefix) {
		return err
	}
	return fmt.Errorf(prefix+"%w", err)
}
