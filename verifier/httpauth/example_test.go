package httpauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

// Protecting one handler, and reading in it who is asking.
func Example() {
	keys := rootkey.InMemory()
	token, err := keys.Mint(context.Background(), macaroon.Grant{Subject: "billing"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
	if err != nil {
		log.Fatal(err)
	}

	orders := func(w http.ResponseWriter, r *http.Request) {
		who, _ := httpauth.FromContext(r.Context())
		fmt.Fprintf(w, "order %s for %s", r.PathValue("id"), who.Subject())
	}

	v, err := verifier.New(keys, "orders", verifier.Options{})
	if err != nil {
		log.Fatal(err)
	}
	auth, err := httpauth.New(v, httpauth.Options{})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", auth.RequireFunc("orders.read", orders))

	show(mux, "/orders/7", nil)
	show(mux, "/orders/7", &token)
	// Output:
	// 401 Bearer realm="macaroon"
	// 200 order 7 for billing
}

// Moving a fleet from another library's tokens to native ones, with both accepted for a while: a
// verifier for each, and a look at the identifier to tell which is to decide.
func Example_migration() {
	oldKey := []byte("the root key of the old fleet...")
	keys := rootkey.InMemory()

	ours, err := verifier.New(keys, "orders", verifier.Options{})
	if err != nil {
		log.Fatal(err)
	}
	source, err := verifier.FixedKey(oldKey, verifier.ForeignGrant{Operations: []string{"orders.read"}}) // as all of them were good for
	if err != nil {
		log.Fatal(err)
	}
	theirs, err := verifier.NewForeign(source, "orders", verifier.Options{
		InsecureNoExpiry: true, InsecureNoAudience: true, // the old tokens say neither
	})
	if err != nil {
		log.Fatal(err)
	}
	present, err := httpauth.New(ours, httpauth.Options{})
	if err != nil {
		log.Fatal(err)
	}
	past, err := httpauth.New(theirs, httpauth.Options{Import: true}) // in any form and any base64
	if err != nil {
		log.Fatal(err)
	}

	// foreign looks at what was presented. Nothing is verified by that, nor has to be: each
	// verifier refuses the other's tokens.
	foreign := func(r *http.Request) bool {
		text, _, err := verifier.Authorization(r.Header["Authorization"])
		if err != nil {
			return false
		}
		token, _, err := legacy.Import([]byte(text))
		if err != nil {
			return false
		}
		_, native := macaroon.KeyID(token.Inspect().At(0).Identifier())
		return !native
	}
	require := func(operation string, h http.HandlerFunc) http.Handler {
		before, now := past.Require(operation, h), present.Require(operation, h)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// Old clients that send a cookie go on doing so, with http.CrossOriginProtection around this:
			// here its value would be put into the Authorization header of a clone of r.
			if foreign(r) {
				before.ServeHTTP(w, r)
			} else {
				now.ServeHTTP(w, r)
			}
		})
	}
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", require("orders.read", func(w http.ResponseWriter, r *http.Request) {
		who, _ := httpauth.FromContext(r.Context())
		user := who.Subject()
		if who.Foreign() {
			user = strings.TrimPrefix(who.Identifier(), "user:")
		}
		fmt.Fprintf(w, "order %s for %s", r.PathValue("id"), user)
	}))

	token, err := keys.Mint(context.Background(), macaroon.Grant{Subject: "ann"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
	if err != nil {
		log.Fatal(err)
	}
	show(mux, "/orders/7", &token)

	old, err := macaroon.New(oldKey, "user:ann", "https://orders.example")
	if err != nil {
		log.Fatal(err)
	}
	text, err := legacy.ExportV1Text(old)
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/orders/7", nil)
	r.Header.Set("Authorization", "Bearer "+text)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output:
	// 200 order 7 for ann
	// 200 order 7 for ann
}

// Protecting a whole mux: what nobody thought of is denied.
func ExampleAuth_Handler() {
	keys := rootkey.InMemory()
	token, err := keys.Mint(context.Background(), macaroon.Grant{},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.*"))
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	for _, pattern := range []string{"GET /healthz", "GET /orders/{id}", "GET /debug/vars"} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, pattern) })
	}
	operations := map[string]string{"GET /orders/{id}": "orders.read"}

	v, err := verifier.New(keys, "orders", verifier.Options{})
	if err != nil {
		log.Fatal(err)
	}
	auth, err := httpauth.New(v, httpauth.Options{
		Public: []string{"GET /healthz"},
		Operation: func(r *http.Request) string {
			_, pattern := mux.Handler(r)
			return operations[pattern]
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	protected := auth.Handler(mux)

	show(protected, "/healthz", nil)
	show(protected, "/orders/7", nil)
	show(protected, "/orders/7", &token)
	show(protected, "/debug/vars", &token)
	// Output:
	// 200 GET /healthz
	// 401 Bearer realm="macaroon"
	// 200 GET /orders/{id}
	// 403 Bearer realm="macaroon", error="insufficient_scope"
}

// Deciding inside a handler, once the resource is known.
func ExampleAuth_Check() {
	keys := rootkey.InMemory()
	token, err := keys.Mint(context.Background(), macaroon.Grant{},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
	if err != nil {
		log.Fatal(err)
	}
	v, err := verifier.New(keys, "orders", verifier.Options{})
	if err != nil {
		log.Fatal(err)
	}
	auth, err := httpauth.New(v, httpauth.Options{})
	if err != nil {
		log.Fatal(err)
	}

	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		operation := "orders.read"
		if r.URL.Query().Has("delete") {
			operation = "orders.delete"
		}
		if _, err := auth.Check(r, operation); err != nil {
			auth.WriteError(w, r, err)
			return
		}
		fmt.Fprint(w, operation)
	})

	show(handler, "/orders/7", &token)
	show(handler, "/orders/7?delete", &token)
	// Output:
	// 200 orders.read
	// 403 Bearer realm="macaroon", error="insufficient_scope"
}

// A resource that is known only inside the handler: Facts finds it in the context of the request.
func ExampleAuth_Check_resource() {
	keys := rootkey.InMemory()
	token, err := keys.Mint(context.Background(), macaroon.Grant{}, caveat.ExpiresIn(time.Hour), caveat.Audience("orders"),
		caveat.Operations("orders.read"), caveat.Resources("customers/acme/**"))
	if err != nil {
		log.Fatal(err)
	}
	v, err := verifier.New(keys, "orders", verifier.Options{})
	if err != nil {
		log.Fatal(err)
	}
	type resourceKey struct{}
	auth, err := httpauth.New(v, httpauth.Options{
		Facts: func(r *http.Request, facts caveat.Facts) caveat.Facts {
			facts.Resource, _ = r.Context().Value(resourceKey{}).(string)
			return facts
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	customers := map[string]string{"7": "acme", "8": "other & sons"} // as a database would tell
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		resource := "customers/" + caveat.EscapeSegment(customers[id]) + "/orders/" + caveat.EscapeSegment(id)
		r = r.WithContext(context.WithValue(r.Context(), resourceKey{}, resource))
		if _, err := auth.Check(r, "orders.read"); err != nil {
			auth.WriteError(w, r, err)
			return
		}
		fmt.Fprint(w, "order ", id)
	})

	show(mux, "/orders/7", &token)
	show(mux, "/orders/8", &token)
	// Output:
	// 200 order 7
	// 403 Bearer realm="macaroon", error="insufficient_scope"
}

// A caveat of the application's own about what stands in the body, which the handler reads as if nobody had before.
func ExampleOptions_body() {
	amount := caveat.NewFact[int]("amount")
	maxAmount := caveat.Define("max-amount", caveat.Text, func(_ context.Context, req *caveat.Request, most string) error {
		limit, err := strconv.Atoi(most)
		if err != nil {
			return caveat.ErrMalformed
		}
		stated, found := amount.Get(req)
		switch {
		case !found:
			return caveat.ErrAbsent
		case stated > limit:
			return caveat.ErrNotMet
		}
		return nil
	})
	registry, err := caveat.Standard().With(maxAmount)
	if err != nil {
		log.Fatal(err)
	}
	keys := rootkey.InMemory()
	token, err := keys.Mint(context.Background(), macaroon.Grant{}, caveat.ExpiresIn(time.Hour), caveat.Audience("billing"),
		caveat.Operations("charges.create"), maxAmount.Of("500"))
	if err != nil {
		log.Fatal(err)
	}

	v, err := verifier.New(keys, "billing", verifier.Options{Registry: registry})
	if err != nil {
		log.Fatal(err)
	}
	auth, err := httpauth.New(v, httpauth.Options{
		// What can't be read is not stated, so that a caveat about it denies. The handler has to decode the body in the
		// same way: what it understands otherwise has not been decided on.
		Facts: func(r *http.Request, facts caveat.Facts) caveat.Facts {
			const most = 1 << 16
			body, rest := new(bytes.Buffer), r.Body
			_, err := io.Copy(body, io.LimitReader(rest, most+1))
			again := io.MultiReader(bytes.NewReader(body.Bytes()), rest)
			r.Body = struct {
				io.Reader
				io.Closer
			}{again, rest}
			var charge struct{ Amount *int }
			if err != nil || body.Len() > most || json.Unmarshal(body.Bytes(), &charge) != nil || charge.Amount == nil {
				return facts
			}
			return facts.With(amount.Is(*charge.Amount))
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	handler := auth.RequireFunc("charges.create", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %v", body, err)
	})

	text, err := token.Encode()
	if err != nil {
		log.Fatal(err)
	}
	for _, body := range []string{`{"amount": 500}`, `{"amount": 501}`, `{}`} {
		r := httptest.NewRequest("POST", "/charges", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+text)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code, body)
	}
	// Output:
	// 200 {"amount": 500}
	// 403 {"amount": 501}
	// 403 {}
}

// A service that clients of the macaroon bakery use: whoever comes without a token gets one that the identity service
// has to discharge.
func ExampleBakery() {
	keys := rootkey.InMemory()
	identity := thirdparty.Party{Location: "https://id.example", Key: thirdparty.GenerateKey().Public()}
	v, err := verifier.New(keys, "orders", verifier.Options{})
	if err != nil {
		log.Fatal(err)
	}
	auth, err := httpauth.New(v, httpauth.Options{Bakery: &httpauth.Bakery{
		Mint: func(r *http.Request) (macaroon.Macaroon, error) {
			return keys.Mint(r.Context(), macaroon.Grant{Subject: "bakery client"},
				caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"),
				thirdparty.NewCaveat(identity, "is-member acme").Attesting("user"))
		},
		Cookies: http.NewCrossOriginProtection(),
	}})
	if err != nil {
		log.Fatal(err)
	}
	handler := auth.RequireFunc("orders.read", func(w http.ResponseWriter, r *http.Request) {
		who, _ := httpauth.FromContext(r.Context())
		user, _ := who.Attribute("user")
		fmt.Fprintln(w, "orders of", user)
	})

	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("Bakery-Protocol-Version", "3")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	var answer struct {
		Code string
		Info struct{ CookieNameSuffix, MacaroonPath string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		log.Fatal(err)
	}
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	fmt.Println(answer.Code, answer.Info)
	// Output:
	// 401 Macaroon
	// macaroon discharge required {auth /}
}

// show sends a request, with a token if there is one, and prints the answer.
func show(h http.Handler, target string, token *macaroon.Macaroon) {
	r := httptest.NewRequest("GET", target, nil)
	if token != nil {
		text, err := token.Encode()
		if err != nil {
			log.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+text)
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, r)
	answer := recorder.Result()
	body, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		body = []byte(answer.Header.Get("WWW-Authenticate"))
	}
	fmt.Println(answer.StatusCode, string(body))
}
