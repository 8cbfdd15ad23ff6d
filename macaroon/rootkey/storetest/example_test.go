package storetest_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/storetest"
)

// The test of a store. Its handles may all be the same, since no other process could
// have one.
func Example() {
	TestStore := func(t *testing.T) {
		storetest.Run(t, func(*testing.T) func() rootkey.Store {
			s := new(memory)
			return func() rootkey.Store { return s }
		})
	}
	fmt.Println("passes:", passes(TestStore))
	// Output: passes: true
}

// passes runs a test by itself, outside go test, and lets it write nothing.
func passes(test func(t *testing.T)) bool {
	stdout := os.Stdout
	defer func() { os.Stdout = stdout }()
	os.Stdout, _ = os.Open(os.DevNull)
	defer os.Stdout.Close()
	all := func(string, string) (bool, error) { return true, nil }
	return testing.RunTests(all, []testing.InternalTest{{Name: "TestStore", F: test}})
}
