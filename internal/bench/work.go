package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// A caveat is one restriction. Contenders spell it in their own way: as a condition, as a claim.
type caveat struct {
	name   string
	until  time.Time // of time-before
	values []string  // of all others
}

// condition writes the caveat as text.
func (c caveat) condition() string {
	if c.name == "time-before" {
		return c.name + " " + c.until.UTC().Format(time.RFC3339Nano)
	}
	return c.name + " " + strings.Join(c.values, " ")
}

// A grant is what a token says, whoever mints it: for whom, and how it is restricted.
type grant struct {
	subject string
	caveats []caveat
}

const (
	subject   = "billing"
	keyID     = "2026-a"
	location  = "https://orders.internal"
	audience  = "orders"
	operation = "orders.read"
)

// newGrant returns a grant with n caveats: expiry, operations, audience, method, path, then more of the same.
func newGrant(n int, expiry time.Time) grant {
	five := []caveat{
		{name: "time-before", until: expiry},
		{name: "allow", values: []string{operation, "orders.list"}},
		{name: "audience", values: []string{audience}},
		{name: "http-method", values: []string{"GET"}},
		{name: "http-path", values: []string{"/orders/*"}},
	}
	g := grant{subject: subject}
	for i := range n {
		g.caveats = append(g.caveats, five[i%len(five)])
	}
	return g
}

// narrower is what a holder adds to a token.
var narrower = caveat{name: "http-method", values: []string{"GET"}}

// A request is what a token is presented for.
type request struct {
	audience, operation, method, path string
}

func newRequest() request {
	return request{audience: audience, operation: operation, method: "GET", path: "/orders/7"}
}

var errDenied = errors.New("denied")

// check decides on one condition, as a team writes it by hand that has no registry: everything is parsed,
// nothing unknown passes.
func (r request) check(now time.Time, condition string) error {
	name, argument, _ := strings.Cut(condition, " ")
	return r.holds(now, name, argument)
}

// holds is check for a condition that has been taken apart.
func (r request) holds(now time.Time, name, argument string) error {
	switch name {
	case "time-before":
		until, err := time.Parse(time.RFC3339Nano, argument)
		if err != nil {
			return err
		}
		if now.Before(until) {
			return nil
		}
	case "allow":
		return anyOf(argument, func(pattern string) bool { return covers(pattern, r.operation) })
	case "audience":
		return anyOf(argument, func(name string) bool { return name == r.audience })
	case "http-method":
		return anyOf(argument, func(method string) bool { return method == r.method })
	case "http-path":
		return anyOf(argument, func(pattern string) bool { return matches(pattern, r.path) })
	default:
		return fmt.Errorf("unknown condition %q", name)
	}
	return errDenied
}

// anyOf looks for a word that holds.
func anyOf(words string, holds func(string) bool) error {
	for word := range strings.SplitSeq(words, " ") {
		if word != "" && holds(word) {
			return nil
		}
	}
	return errDenied
}

// covers reports whether a pattern such as orders.* grants the operation.
func covers(pattern, operation string) bool {
	if folder, deeper := strings.CutSuffix(pattern, "*"); deeper {
		return strings.HasPrefix(operation, folder)
	}
	return pattern == operation
}

// matches reports whether each segment of path is that of pattern, or the pattern has * there.
func matches(pattern, path string) bool {
	for {
		want, wants, more := strings.Cut(pattern, "/")
		got, gots, moreGot := strings.Cut(path, "/")
		if want != "*" && want != got || more != moreGot {
			return false
		}
		if !more {
			return true
		}
		pattern, path = wants, gots
	}
}
