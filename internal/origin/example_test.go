package origin_test

import (
	"fmt"
	"net/url"

	"github.com/amaretti-go/amaretti/internal/origin"
)

func Example() {
	list, err := origin.NewList([]string{"https://orders.internal"}, false)
	if err != nil {
		panic(err)
	}
	for _, text := range []string{
		"https://Orders.internal:443/7",
		"https://orders.internal:8443/7",
		"https://orders.internal@evil.example/7",
	} {
		u, err := url.Parse(text)
		if err != nil {
			panic(err)
		}
		o, err := origin.Of(u)
		fmt.Printf("%q %v %v\n", o, list.Has(o), err)
	}
	// Output:
	// "https://orders.internal:443" true <nil>
	// "https://orders.internal:8443" false <nil>
	// "" false a user in the URL
}
