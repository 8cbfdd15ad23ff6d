package expiry_test

import (
	"fmt"

	"github.com/amaretti-go/amaretti/internal/expiry"
	"github.com/amaretti-go/amaretti/macaroon"
)

// A holder who asks in time need not be refused first.
func Example() {
	m, err := macaroon.New([]byte("key"), "id", "")
	if err != nil {
		panic(err)
	}
	m, err = m.Attenuate(macaroon.Condition("time-before 2031-01-01T00:00:00Z"), macaroon.Condition("time-before 2030-01-01T00:00:00Z"))
	if err != nil {
		panic(err)
	}
	fmt.Println(expiry.Of(m.Inspect()))
	// Output: 2030-01-01 00:00:00 +0000 UTC true
}
