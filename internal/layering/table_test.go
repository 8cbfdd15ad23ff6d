package layering_test

// root is the path of the root module. Every other path below is relative to it.
const root = "github.com/amaretti-go/amaretti"

// floors says on which floor each package lives. A name that ends in "/..." covers the package and all
// below it. The top floor is for what nothing else may import.
var floors = map[string]int{
	"internal/chain":  0,
	"internal/origin": 0,
	"internal/redact": 0,
	"internal/wire":   0,

	"macaroon":              1,
	"caveat":                1,
	"macaroon/rootkey/seal": 1,

	"macaroon/legacy":             2,
	"macaroon/rootkey":            2,
	"macaroon/rootkey/filestore":  2,
	"macaroon/rootkey/sqlstore":   2,
	"macaroon/rootkey/redisstore": 2,
	"caveat/thirdparty":           2,
	"internal/expiry":             2,

	"verifier":                        3,
	"macaroon/rootkey/storetest":      3,
	"caveat/thirdparty/dischargehttp": 3,

	"verifier/verifiertest": 4,
	"verifier/revocation":   4,
	"verifier/httpauth":     4,
	"macaroon/client":       4,

	"verifier/grpcauth": 5,

	"examples/...":             6,
	"internal/bench/...":       6,
	"internal/integration/...": 6,
	"internal/layering":        6,
	"internal/tools/...":       6,
	"internal/vectors":         6, // so that only tests can import it
}

// only narrows what a package may import of ours to the packages named. A store seals key material and
// knows nothing else, so that anybody can write one, and what tries it knows what a store is.
var only = map[string][]string{
	"macaroon/rootkey/filestore":  {"macaroon/rootkey/seal"},
	"macaroon/rootkey/sqlstore":   {"macaroon/rootkey/seal"},
	"macaroon/rootkey/redisstore": {"macaroon/rootkey/seal"},
	"macaroon/rootkey/storetest":  {"macaroon/rootkey"},
}

// folders are the top-level folders. Hidden ones besides (of editors, of version control) are nobody's
// concern.
var folders = []string{"caveat", "examples", "internal", "macaroon", "verifier"}

// direct are all that the root module may require directly: a security library must not push those who
// use it to another version of their RPC stack or database driver.
var direct = []string{
	"github.com/stretchr/testify",
	"golang.org/x/crypto",
	"gopkg.in/macaroon.v2",
}

// secrets are what secrets are called, in lower case: signatures and keys.
var secrets = []string{"sig", "signature", "derived", "rootkey", "material", "private"}

// mayBeUnsafe are the packages that may import unsafe.
var mayBeUnsafe = []string{"internal/wire"}
