package redact_test

import (
	"fmt"
	"strings"

	"github.com/amaretti-go/amaretti/internal/redact"
)

func Example() {
	type token struct{ secret redact.Box[string] }
	t := token{redact.Hide("open sesame")}
	fmt.Println(strings.Contains(fmt.Sprintf("%+v", struct{ kept token }{t}), "sesame"))
	fmt.Println(*t.secret.Value())
	// Output:
	// false
	// open sesame
}
