package legacy_test

import (
	"errors"
	"fmt"

	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
)

// A token that libmacaroons wrote is imported, narrowed, and written back in the
// form in which it came.
func Example() {
	token := "MDAxY2xvY2F0aW9uIGh0dHA6Ly9teWJhbmsvCjAwMjZpZGVudGlmaWVyIHdlIHVzZWQgb3VyIHNlY3JldCBrZXkK" +
		"MDAyZnNpZ25hdHVyZSDj2eApCFJsTAA5rhURQRXZf91ovyujebNCqvD2F9BVLwo"

	credential, form, err := legacy.Import([]byte(token))
	if err != nil {
		panic(err)
	}
	fmt.Println(form)

	wallet, err := credential.Wallet()
	if err != nil {
		panic(err)
	}
	narrow, err := wallet.Primary().Attenuate(macaroon.Condition("account = 3735928559"))
	if err != nil {
		panic(err)
	}
	text, err := legacy.ExportV1Text(narrow)
	if err != nil {
		panic(err)
	}
	fmt.Println(text)
	// Output:
	// base64 of v1 binary
	// MDAxY2xvY2F0aW9uIGh0dHA6Ly9teWJhbmsvCjAwMjZpZGVudGlmaWVyIHdlIHVzZWQgb3VyIHNlY3JldCBrZXkKMDAxZGNpZCBhY2NvdW50ID0gMzczNTkyODU1OQowMDJmc2lnbmF0dXJlIB7-R2PykNvODB0IR3Nn4R9O7kVqZJM89mLXl3LbuCEoCg
}

// A service whose clients send one form takes no other.
func ExampleImport() {
	onlyHex := legacy.Form{Encoding: legacy.V2Binary, Wrapping: legacy.Hex}
	read := func(text string) (macaroon.Credential, error) {
		credential, form, err := legacy.Import([]byte(text))
		if err != nil {
			return macaroon.Credential{}, err
		}
		if form != onlyHex {
			return macaroon.Credential{}, errors.New(form.String() + " where hex belongs")
		}
		return credential, nil
	}
	credential, err := read("02020269640000062064d17d8d4e67b7fdb1ce8ca4b5b6bcf4b6c6bff3a5d2a4a0ab1d1a6d5e1f2a3b")
	fmt.Println(credential.Inspect().At(0).Identifier(), err)
	_, err = read("AgICaWQAAAYgZNF9jU5nt_2xzoyktba89LbGv_Ol0qSgqx0abV4fKjs")
	fmt.Println(err)
	// Output:
	// id <nil>
	// base64 of v2 binary where hex belongs
}
