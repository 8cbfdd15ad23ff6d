// The program reads a token that a service in C minted with libmacaroons, verifies
// it, and says why it holds.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
	"github.com/amaretti-go/amaretti/verifier"
)

// file is the token as it was stored: one line of text.
//
//go:embed token.txt
var file string

// The old service wrote its conditions as "account = 3735928559". Here that is a
// kind called account, with the argument "= 3735928559". Each is checked against a
// fact that this application states about a request.
var (
	account = caveat.NewFact[string]("account")
	user    = caveat.NewFact[string]("user")
)

func equals(name string, fact caveat.Fact[string]) caveat.Kind[string] {
	return caveat.Define(name, caveat.Text, func(_ context.Context, r *caveat.Request, want string) error {
		got, stated := fact.Get(r)
		if !stated {
			return caveat.ErrAbsent
		}
		if want != "= "+got {
			return caveat.ErrNotMet
		}
		return nil
	})
}

func main() {
	ctx := context.Background()

	token, form, err := legacy.Import([]byte(strings.TrimSpace(file)))
	check(err)
	fmt.Printf("token.txt holds %s. It says, and nothing of that is verified yet:\n\n", form)
	fmt.Println(indent(token.Inspect().String()))

	alice := caveat.Facts{}.With(account.Is("3735928559")).With(user.Is("alice"))
	bob := caveat.Facts{}.With(account.Is("3735928559")).With(user.Is("bob"))

	v := verify("this is the key")
	verified, err := v.Verify(ctx, token, "accounts.read", alice)
	check(err)
	fmt.Println("With the root key of the old service it holds for a request by alice to read account 3735928559:")
	fmt.Println("  - the signature follows from the root key, the identifier and the caveats, so none was taken away;")
	fmt.Println("  - we know that the old service granted accounts.read to all whom it gave a token;")
	for _, condition := range verified.Conditions() {
		fmt.Printf("  - %q is true of the request.\n", condition)
	}

	_, err = v.Verify(ctx, token, "accounts.read", bob)
	fmt.Printf("\nA request by bob is refused: %s.\n", reason(err))
	_, err = v.Verify(ctx, token, "accounts.close", alice)
	fmt.Printf("A request by alice to close the account is refused: %s.\n", reason(err))
	_, err = verify("this is another key").Verify(ctx, token, "accounts.read", alice)
	fmt.Printf("Under another root key it is refused: %s.\n", reason(err))

	wallet, err := token.Wallet()
	check(err)
	narrow, err := wallet.Primary().Attenuate(caveat.Operations("accounts.list"))
	check(err)
	text, err := narrow.Encode()
	check(err)
	narrowed, err := macaroon.Parse(text)
	check(err)
	_, err = v.Verify(ctx, narrowed, "accounts.read", alice)
	fmt.Printf("\nIt can be narrowed like any other. Allowed to list only, it is refused for reading: %s.\n", reason(err))
	old, err := legacy.ExportV1Text(narrow)
	check(err)
	fmt.Printf("The old service would read the narrow one too, as %d characters that begin with %s.\n", len(old), old[:16])
}

// verify makes a verifier of foreign tokens. What the old service granted, and that
// its tokens name no end and no audience, we know and its tokens don't say.
func verify(rootKey string) *verifier.Verifier {
	// Insecure, since the key of this example has but 15 bytes: see FixedKey.
	source, err := verifier.InsecureFixedKey([]byte(rootKey), verifier.ForeignGrant{
		Operations: []string{"accounts.read", "accounts.list"},
	})
	check(err)
	registry, err := caveat.Standard().With(equals("account", account), equals("user", user))
	check(err)
	v, err := verifier.NewForeign(source, "accounts", verifier.Options{
		Registry:           registry,
		InsecureNoExpiry:   true,
		InsecureNoAudience: true,
	})
	check(err)
	return v
}

// reason is for this program's user. Peers are told the class and nothing more.
func reason(err error) string {
	var refusal *verifier.Error
	if !errors.As(err, &refusal) {
		log.Fatalf("not refused: %v", err)
	}
	return fmt.Sprintf("%s, for %s", refusal.Class(), refusal.Reason)
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
