package dischargehttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
)

// A token that is good only for members of acme, as the identity service says. But for what is done about errors, the
// service, the caveat and its discharge take fifteen lines.
func Example() {
	ctx := context.Background()

	// The identity service. Who asks it proves that by basic authentication.
	keys := must(thirdparty.NewKeys(thirdparty.GenerateKey()))
	discharger := must(thirdparty.NewDischarger(keys, thirdparty.Options{}))
	members := thirdparty.Conditions{"member-of": func(_ context.Context, q thirdparty.Question) (thirdparty.Answer, error) {
		if q.Argument != "acme" || q.Caller != "ann" {
			return thirdparty.Answer{}, errors.New("not a member")
		}
		return thirdparty.Answer{Declared: map[string]string{"user": "ann"}}, nil
	}}
	identity := must(dischargehttp.NewService(discharger, members, dischargehttp.ServiceOptions{Caller: basicAuth}))
	server := httptest.NewServer(identity)
	defer server.Close()

	// The orders service mints a token with a caveat for it.
	locator := must(dischargehttp.NewLocator([]string{server.URL}, dischargehttp.LocatorOptions{}))
	party, found, err := locator.ThirdParty(ctx, server.URL)
	if err != nil || !found {
		panic(err)
	}
	orders := rootkey.InMemory()
	token := must(orders.Mint(ctx, macaroon.Grant{Subject: "web"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"),
		thirdparty.NewCaveat(party, "member-of acme").Attesting("user")))

	// Whoever holds it gets the discharge, and presents both.
	client := must(dischargehttp.NewClient([]string{server.URL}, dischargehttp.ClientOptions{Identity: ann}))
	wallet := must(macaroon.NewWallet(token))
	wallet, err = client.Discharge(ctx, wallet)
	fmt.Println("discharged:", err)

	text := must(wallet.Encode())
	v := must(verifier.New(orders, "orders", verifier.Options{}))
	who, err := v.VerifyText(ctx, text, "orders.read", caveat.Facts{})
	if err != nil {
		panic(err)
	}
	user, _ := who.Attribute("user")
	fmt.Println(who.Subject(), "for", user)
	// Output:
	// discharged: <nil>
	// web for ann
}

// must is for examples: a program handles its errors.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// basicAuth tells who asks.
func basicAuth(r *http.Request) (any, error) {
	if user, password, ok := r.BasicAuth(); ok && password == "ann's password" {
		return user, nil
	}
	return nil, nil
}

// ann is as whom the client asks.
func ann(context.Context, string) (dischargehttp.Identity, error) {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth("ann", "ann's password")
	return dischargehttp.Identity{Name: "ann", Header: r.Header}, nil
}

// A person logs in with a browser before there is a discharge. The page here asks for nothing; a real one finds out who
// is there, shows what for, and has them confirm it.
func ExampleFlows() {
	flows := must(dischargehttp.NewFlows("login", dischargehttp.FlowOptions{}))
	members := thirdparty.Conditions{"member-of": func(_ context.Context, q thirdparty.Question) (thirdparty.Answer, error) {
		if q.Caller == nil {
			return thirdparty.Answer{}, dischargehttp.ErrInteractionRequired
		}
		return thirdparty.Answer{Declared: map[string]string{"user": q.Caller.(string)}}, nil
	}}
	keys := must(thirdparty.NewKeys(thirdparty.GenerateKey()))
	discharger := must(thirdparty.NewDischarger(keys, thirdparty.Options{}))
	service := must(dischargehttp.NewService(discharger, members, dischargehttp.ServiceOptions{Flows: flows}))
	mux := http.NewServeMux()
	mux.Handle("/", service)
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		flow, found := flows.Find(r.FormValue("flow"))
		if !found {
			http.Error(w, "too late", http.StatusNotFound)
			return
		}
		fmt.Println("asked for:", flow.Question.Condition)
		if err := flows.Complete(flow.ID, "ann"); err != nil {
			http.Error(w, "too late", http.StatusNotFound)
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	browser := must(dischargehttp.Browser(func(ctx context.Context, url string) error {
		response, err := http.Get(url) // or the command that opens a browser
		if err == nil {
			response.Body.Close()
		}
		return err
	}))
	client := must(dischargehttp.NewClient([]string{server.URL}, dischargehttp.ClientOptions{Interactors: []dischargehttp.Interactor{browser}}))
	orders := rootkey.InMemory()
	token := must(orders.Mint(context.Background(), macaroon.Grant{Subject: "web"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"),
		thirdparty.NewCaveat(service.Party(server.URL), "member-of acme").Attesting("user")))
	wallet := must(macaroon.NewWallet(token))
	wallet, err := client.Discharge(context.Background(), wallet)
	fmt.Println("discharges:", len(wallet.Discharges()), err)
	// Output:
	// asked for: member-of acme
	// discharges: 1 <nil>
}
