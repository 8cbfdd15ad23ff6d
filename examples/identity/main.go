// Identity: an orders service does not know people, and asks an identity service for its word that whoever uses a
// token is a member of a team, and for that person's name. People log in with a browser, once; the word of the
// identity service is kept and sent along with every request until it expires.
//
//	go run ./examples/identity
//	go run ./examples/identity -browser
//
// The first walks through the login by a script. The second waits for you and your browser.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
)

func main() {
	browser := flag.Bool("browser", false, "wait for a person with a browser, instead of a script")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	// The identity service is told whose caveats it answers, so that people see who wants to know.
	shop := thirdparty.GenerateKey()
	identity := listen()
	go serve(identity, must(newIdentity(urlOf(identity), map[thirdparty.PublicKey]string{shop.Public(): "Biscotti Orders"})))

	// The orders service finds the identity service's key by its location, and seals its caveat to that.
	locator := must(dischargehttp.NewLocator([]string{urlOf(identity)}, dischargehttp.LocatorOptions{}))
	party, found, err := locator.ThirdParty(ctx, urlOf(identity))
	if err != nil || !found {
		log.Fatal("no identity service: ", err)
	}
	orders := must(newOrders(party, shop))
	listener := listen()
	go serve(listener, orders.handler)
	url := urlOf(listener)

	token := must(orders.mint(ctx))
	fmt.Println("The orders service mints a token for its web shop. It demands:")
	for _, c := range token.Inspect().Caveats().All() {
		if c.ThirdParty() {
			fmt.Println("  a discharge from", c.Location)
		} else {
			fmt.Println(" ", c.ID)
		}
	}
	fmt.Println()

	if *browser {
		c := must(newClient(url, party.Location, token, func(_ context.Context, url string) error {
			fmt.Println("Open this in a browser, and log in as ann or bob with the password \"biscotti\":")
			fmt.Println(" ", url)
			return nil
		}))
		if get(c, url) {
			fmt.Println("The second time nobody has to log in:")
			get(c, url)
		}
		fmt.Println("Interrupt the program to end it.")
		<-ctx.Done()
		return
	}

	fmt.Println("Alone it proves nothing:")
	fmt.Println("  GET /orders:", must(bare(url, token)))

	fmt.Println()
	fmt.Println("The client asks the identity service, which sends ann to its login page. She mistypes her password first:")
	ann := must(newClient(url, party.Location, token, walk("ann", "biscotto", "biscotti")))
	get(ann, url)
	fmt.Println("The second time nobody has to log in:")
	get(ann, url)

	fmt.Println()
	fmt.Println("Bob is no member of acme, and nobody learns from the answer why there is no discharge:")
	bob := must(newClient(url, party.Location, token, walk("bob", "biscotti")))
	get(bob, url)
}

// get asks for the orders and prints a sentence about the answer, if there is one.
func get(c *http.Client, url string) (sent bool) {
	answer, err := c.Get(url + "/orders")
	var refusal *dischargehttp.Refusal
	if errors.As(err, &refusal) {
		fmt.Println("  GET /orders: not sent, the identity service says:", refusal.Message)
		return false
	}
	response := must(answer, err)
	defer response.Body.Close()
	body := must(io.ReadAll(response.Body))
	fmt.Printf("  GET /orders: %s, %s\n", response.Status, body)
	return true
}

// bare sends the token without a discharge, and gives the answer.
func bare(url string, token macaroon.Macaroon) (string, error) {
	text, err := token.Encode()
	if err != nil {
		return "", err
	}
	r, err := http.NewRequest(http.MethodGet, url+"/orders", nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+text)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	return answer.Status + ", " + answer.Header.Get("WWW-Authenticate"), nil
}

func listen() net.Listener { return must(net.Listen("tcp", "127.0.0.1:0")) }

func urlOf(l net.Listener) string { return "http://" + l.Addr().String() }

func serve(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(l))
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
