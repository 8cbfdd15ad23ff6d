// Inspect says what a token holds that comes on standard input, in any of the forms that
// macaroons are written in. It needs no key and so verifies nothing: whoever wrote the token
// may have made up all of it. Signatures are not shown.
//
//	go run ./examples/inspect < orders.token
//
// A token is a secret. It belongs in a file or a pipe: the arguments of a command stand in
// the shell's history and in the list of processes.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

const most = 1 << 20 // bytes that are read: no token is near that

func main() {
	log.SetFlags(0)
	input, err := io.ReadAll(io.LimitReader(os.Stdin, most))
	check(err)
	text := strings.TrimSpace(string(input))
	if text == "" {
		fmt.Println("Nothing came on standard input, so this is a token that was made just now.")
		text = sample()
	}
	if scheme, token, found := strings.Cut(text, " "); found && strings.EqualFold(scheme, "Bearer") {
		text = strings.TrimSpace(token) // as it is copied from a header
	}

	credential, form, err := legacy.Import([]byte(text))
	check(err)
	view := credential.Inspect()
	fmt.Printf("It is %s, %d bytes. It says, and nothing of that is verified:\n\n", form, len(text))
	fmt.Println(view)
	for i := range view.Len() {
		name := "The token"
		if i > 0 {
			name = fmt.Sprintf("Discharge %d", i)
		}
		fmt.Printf("%s %s.\n", name, ends(view.At(i).Caveats()))
	}
}

// ends tells when a macaroon expires: at the earliest of its times, whoever wrote them.
func ends(caveats macaroon.UnverifiedCaveats) string {
	var end time.Time
	for i := range caveats.Len() {
		condition, _ := caveats.Condition(i)
		argument, found := strings.CutPrefix(condition, "time-before ")
		if !found {
			continue
		}
		t, err := caveat.Time.Parse(argument)
		if err != nil {
			return "has a time-before that no verifier reads"
		}
		if end.IsZero() || t.Before(end) {
			end = t
		}
	}
	left := time.Until(end).Round(time.Second)
	switch {
	case end.IsZero():
		return "does not expire"
	case left <= 0:
		return fmt.Sprintf("expired %v ago", -left)
	}
	return fmt.Sprintf("expires in %v", left)
}

// sample is a token for an hour, narrowed by its holder to a minute.
func sample() string {
	token, err := rootkey.InMemory().Mint(context.Background(), macaroon.Grant{Subject: "billing"},
		caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"))
	check(err)
	token, err = token.Attenuate(caveat.Methods("GET"), caveat.ExpiresIn(time.Minute))
	check(err)
	text, err := token.Encode()
	check(err)
	return text
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
