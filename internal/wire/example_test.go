package wire_test

import (
	"fmt"

	"github.com/amaretti-go/amaretti/internal/wire"
)

func Example() {
	data, err := wire.DecodeText("AgICaWQAAghhIG1vbmtleQAABiAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	if err != nil {
		panic(err)
	}
	list, err := wire.Decode(nil, nil, data, &wire.Limits{Macaroons: 1, Caveats: 1, AllCaveats: 1, Identifier: 64, Condition: 64, Location: 64})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%q %q\n", list[0].Identifier, list[0].Caveats[0].ID)
	fmt.Println("encodes to the same:", string(wire.Append(nil, &list[0])) == data)
	// Output:
	// "id" "a monkey"
	// encodes to the same: true
}
