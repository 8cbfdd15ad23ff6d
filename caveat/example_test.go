package caveat_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
)

// Caveats are made by constructors, and written into a token by Mint or Attenuate. Here their text is shown, and
// decided against a request.
func Example() {
	caveats := []caveat.Caveat{
		caveat.ExpiresAt(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)),
		caveat.Audience("orders"),
		caveat.Operations("orders.read", "orders.list"),
		caveat.Methods("GET", "HEAD"),
		caveat.Path("/orders/*"),
		caveat.ContentDigest(sha256.Sum256(nil)),
	}
	request := &caveat.Request{
		Facts:     caveat.Facts{Method: "GET", Path: "/orders/7"},
		Now:       time.Date(2029, 12, 31, 23, 59, 59, 0, time.UTC),
		Operation: "orders.read",
		Audience:  "orders",
	}
	for _, c := range caveats {
		condition, err := c.Condition()
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := caveat.Standard().Check(context.Background(), request, condition); err != nil {
			fmt.Println("no: ", err)
			continue
		}
		fmt.Println("yes:", condition)
	}
	// Output:
	// yes: time-before 2030-01-01T00:00:00Z
	// yes: audience orders
	// yes: allow orders.read orders.list
	// yes: http-method GET HEAD
	// yes: http-path /orders/*
	// no:  caveat: "content-digest sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hS"…: fact absent: no content digest
}

// Region is a fact of the application, and a kind of caveat about it.
var Region = caveat.NewFact[string]("region")

var InRegions = caveat.Define("region", caveat.List, func(_ context.Context, req *caveat.Request, want []string) error {
	have, ok := Region.Get(req)
	if !ok {
		return caveat.ErrAbsent // never skip what cannot be checked
	}
	for _, region := range want {
		if region == have {
			return nil
		}
	}
	return caveat.ErrNotMet
})

// A kind of one's own is written, read and checked in one place.
func ExampleDefine() {
	registry, err := caveat.Standard().With(InRegions)
	if err != nil {
		fmt.Println(err)
		return
	}
	condition, err := InRegions.Of([]string{"eu-west-1", "eu-north-1"}).Condition()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(condition)
	for _, facts := range []caveat.Facts{
		caveat.Facts{}.With(Region.Is("eu-north-1")),
		caveat.Facts{}.With(Region.Is("us-east-1")),
		{},
	} {
		fmt.Println(registry.Check(context.Background(), &caveat.Request{Facts: facts}, condition))
	}
	// Output:
	// region eu-west-1 eu-north-1
	// <nil>
	// caveat: "region eu-west-1 eu-north-1": not met
	// caveat: "region eu-west-1 eu-north-1": fact absent
}

// An amount of cents as a codec of one's own: it reads nothing that it would not have written, such as "+5" or "05".
type cents struct{}

func (cents) Parse(argument string) (int64, error) {
	n, err := strconv.ParseInt(argument, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != argument {
		return 0, errors.New("not an amount")
	}
	return n, nil
}

func (cents) Format(n int64) (string, error) {
	if n < 0 {
		return "", errors.New("a negative amount")
	}
	return strconv.FormatInt(n, 10), nil
}

// A kind whose argument is more than the ready codecs read: amounts, which [Int] would let be negative.
func ExampleCodec() {
	amount := caveat.NewFact[int64]("amount")
	maxAmount := caveat.Define("max-amount", cents{}, func(_ context.Context, req *caveat.Request, most int64) error {
		switch n, found := amount.Get(req); {
		case !found:
			return caveat.ErrAbsent
		case n > most:
			return caveat.ErrNotMet
		}
		return nil
	})
	registry, err := caveat.Standard().With(maxAmount)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(maxAmount.Of(500))
	fmt.Println(maxAmount.Of(-1).Condition())
	req := &caveat.Request{Facts: caveat.Facts{}.With(amount.Is(501))}
	for _, condition := range []string{"max-amount 501", "max-amount 500", "max-amount +501"} {
		fmt.Println(registry.Check(context.Background(), req, condition))
	}
	// Output:
	// max-amount 500
	//  caveat: "max-amount": a negative amount
	// <nil>
	// caveat: "max-amount 500": not met
	// caveat: "max-amount +501": malformed: not an amount
}

// What cannot be written is an error in the caveat, so that no token is ever minted without a restriction that was
// asked for.
func ExampleCaveat_Condition() {
	var services []string // somebody forgot to fill this in
	_, err := caveat.Audience(services...).Condition()
	fmt.Println(err)
	// Output: caveat: "audience": the list is empty
}

// A checker that depends on something out of reach says so, and the caller can ask to try again.
func ExampleUndecided() {
	quota := caveat.Define("quota", caveat.Text, func(context.Context, *caveat.Request, string) error {
		return caveat.Undecided(errors.New("counter store does not answer"))
	})
	registry, err := caveat.Standard().With(quota)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = registry.Check(context.Background(), &caveat.Request{}, "quota free-tier")
	fmt.Println(err)
	fmt.Println("try again:", caveat.IsUndecided(err))
	// Output:
	// caveat: "quota free-tier": undecided: counter store does not answer
	// try again: true
}

// A condition that is decided often is parsed once.
func ExampleRegistry_Compile() {
	inOrders, err := caveat.Standard().Compile("http-path /orders/**")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, path := range []string{"/orders/7/lines", "/orders-old/7", "/orders/%2e%2e/admin"} {
		fmt.Println(inOrders.Check(context.Background(), &caveat.Request{Facts: caveat.Facts{Path: path}}))
	}
	// Output:
	// <nil>
	// caveat: "http-path /orders/**": not met: path is "/orders-old/7"
	// caveat: "http-path /orders/**": fact absent: path "/orders/%2e%2e/admin" is not in its normal form
}
