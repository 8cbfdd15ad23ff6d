package verifiertest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
	"github.com/amaretti-go/amaretti/verifier/verifiertest"
)

// A test of a protected handler: what is let in, and what is not.
func Example() {
	var t testing.TB = inExample{} // a test has a real one

	v, token := verifiertest.New(t, "orders", "orders.read", caveat.Path("/orders/*"))
	auth, err := httpauth.New(v, httpauth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	handler := auth.RequireFunc("orders.read", func(http.ResponseWriter, *http.Request) {})

	for _, row := range []struct {
		name  string
		token verifiertest.Token
	}{
		{"good", token},
		{"expired", token.Expired()},
		{"other key", token.OtherKey()},
		{"tampered with", token.Tampered()},
		{"other service", token.OtherAudience()},
		{"other operation", token.OtherOperation()},
		{"narrowed too far", token.Attenuate(caveat.Methods("POST"))},
	} {
		request := httptest.NewRequest("GET", "/orders/7", nil)
		request.Header.Set("Authorization", row.token.Bearer())
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		fmt.Println(answer.Code, row.name)
	}
	// Output:
	// 200 good
	// 401 expired
	// 401 other key
	// 401 tampered with
	// 403 other service
	// 403 other operation
	// 403 narrowed too far
}

type inExample struct{ testing.TB }

func (inExample) Helper() {}
