package layering_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHouseIsInOrder(t *testing.T) {
	house, err := readTree(filepath.Join("..", ".."))
	require.NoError(t, err)
	require.NotEmpty(t, house.modules)
	require.NotEmpty(t, house.packages)
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			for _, broken := range rule(house) {
				t.Error(broken)
			}
		})
	}
}

func TestRulesFindWhatBreaksThem(t *testing.T) {
	grpc := module{dir: "verifier/grpcauth", path: root + "/verifier/grpcauth", direct: []string{root}, inWork: true}
	replacing := func(to string) module {
		m := grpc
		m.replaced = map[string]string{root: to}
		return m
	}
	for _, row := range []struct {
		name string
		rule string
		tree tree
		want []string
	}{
		{"a lower floor", "floors",
			tree{packages: []pkg{{name: "verifier", imports: []string{"fmt", root + "/caveat", root + "/internal/chain"}}}}, nil},
		{"the same floor", "floors",
			tree{packages: []pkg{{name: "macaroon", imports: []string{root + "/caveat"}}}},
			[]string{"macaroon on floor 1 imports caveat on floor 1"}},
		{"a higher floor", "floors",
			tree{packages: []pkg{{name: "internal/wire", imports: []string{root + "/macaroon"}}}},
			[]string{"internal/wire on floor 0 imports macaroon on floor 1"}},
		{"a test of a higher floor", "floors",
			tree{packages: []pkg{{name: "internal/wire", tested: []string{root + "/macaroon"}}}}, nil},
		{"a package without a row", "floors",
			tree{packages: []pkg{{name: "macaroon/util"}}},
			[]string{"macaroon/util has no floor: give it a row in the table"}},
		{"an import without a row", "floors",
			tree{packages: []pkg{{name: "verifier", imports: []string{root, root + "/util"}}}},
			[]string{"verifier imports ., which has no floor", "verifier imports util, which has no floor"}},
		{"a folder covered by its row", "floors",
			tree{packages: []pkg{{name: "examples/deep/down", imports: []string{root + "/verifier/grpcauth"}}}}, nil},
		{"one example imports another", "floors",
			tree{packages: []pkg{{name: "examples/a", imports: []string{root + "/examples/b"}}}},
			[]string{"examples/a on floor 6 imports examples/b on floor 6"}},
		{"a name that only begins like a row", "floors",
			tree{packages: []pkg{{name: "examplesque"}}},
			[]string{"examplesque has no floor: give it a row in the table"}},
		{"a name that only begins like ours", "floors",
			tree{packages: []pkg{{name: "internal/wire", imports: []string{root + "-fork/x"}}}}, nil},

		{"a store that seals", "stores",
			tree{packages: []pkg{{name: "macaroon/rootkey/sqlstore", imports: []string{root + "/macaroon/rootkey/seal"}, tested: []string{root + "/macaroon/rootkey"}}}}, nil},
		{"a store that knows macaroons", "stores",
			tree{packages: []pkg{{name: "macaroon/rootkey/sqlstore", imports: []string{root + "/macaroon"}}}},
			[]string{"macaroon/rootkey/sqlstore imports macaroon, but of ours it may import only macaroon/rootkey/seal"}},

		{"a suite for stores that knows one", "stores",
			tree{packages: []pkg{{name: "macaroon/rootkey/storetest", imports: []string{root + "/macaroon/rootkey", root + "/macaroon/rootkey/seal"}}}},
			[]string{"macaroon/rootkey/storetest imports macaroon/rootkey/seal, but of ours it may import only macaroon/rootkey"}},

		{"testify in a test", "testify",
			tree{packages: []pkg{{name: "macaroon", tested: []string{"github.com/stretchr/testify/require"}}}}, nil},
		{"testify elsewhere", "testify",
			tree{packages: []pkg{{name: "macaroon/rootkey/storetest", imports: []string{"github.com/stretchr/testify/require"}}}},
			[]string{"macaroon/rootkey/storetest imports github.com/stretchr/testify/require: that is for its tests"}},

		{"the root uses its internals", "internals",
			tree{packages: []pkg{{name: "macaroon", module: ".", imports: []string{root + "/internal/wire"}}}}, nil},
		{"the benchmarks use internals", "internals",
			tree{packages: []pkg{{name: "internal/bench", module: "internal/bench", imports: []string{root + "/internal/wire"}}}}, nil},
		{"a published module uses internals", "internals",
			tree{packages: []pkg{{name: "verifier/grpcauth", module: "verifier/grpcauth", imports: []string{root + "/internal/wire"}}}},
			[]string{"verifier/grpcauth imports internal/wire: it may use only what is public"}},
		{"its test does", "internals",
			tree{packages: []pkg{{name: "verifier/grpcauth", module: "verifier/grpcauth", tested: []string{root + "/internal/wire"}}}},
			[]string{"verifier/grpcauth imports internal/wire: it may use only what is public"}},
		{"an example uses internals", "internals",
			tree{packages: []pkg{{name: "examples/quickstart", module: ".", imports: []string{root + "/internal/wire"}}}},
			[]string{"examples/quickstart imports internal/wire: it may use only what is public"}},

		{"unsafe where it may be", "unsafe",
			tree{packages: []pkg{{name: "internal/wire", imports: []string{"unsafe"}}}}, nil},
		{"unsafe elsewhere", "unsafe",
			tree{packages: []pkg{{name: "macaroon", imports: []string{"unsafe"}}}},
			[]string{"macaroon imports unsafe"}},
		{"unsafe in a test", "unsafe",
			tree{packages: []pkg{{name: "macaroon", tested: []string{"unsafe"}}}},
			[]string{"macaroon imports unsafe"}},
		{"cgo", "unsafe",
			tree{packages: []pkg{{name: "internal/wire", imports: []string{"C"}}}},
			[]string{"internal/wire imports C"}},

		{"a signature compared by an operator", "compared",
			tree{packages: []pkg{{name: "macaroon", compared: []string{"inspect.go:7: Signature"}}}},
			[]string{"macaroon/inspect.go:7: Signature is compared in a time that depends on it: use crypto/subtle"}},

		{"the folders of the house", "folders", tree{folders: folders}, nil},
		{"another folder", "folders", tree{folders: []string{"internal", "pkg"}},
			[]string{"pkg is no folder of this house: put it into one of caveat, examples, internal, macaroon, verifier"}},

		{"the three", "direct", tree{modules: []module{{dir: ".", direct: direct}}}, nil},
		{"a fourth", "direct", tree{modules: []module{{dir: ".", direct: []string{"google.golang.org/grpc"}}}},
			[]string{"the root module requires google.golang.org/grpc directly: a package that needs it is a nested module"}},
		{"a fourth of a nested module", "direct", tree{modules: []module{{dir: "verifier/grpcauth", direct: []string{"google.golang.org/grpc"}}}}, nil},
		{"a replacement in the root", "direct", tree{modules: []module{{dir: ".", replaced: map[string]string{"golang.org/x/crypto": "../crypto"}}}},
			[]string{"the root module replaces golang.org/x/crypto, which does nothing for those who import it"}},

		{"a nested module", "modules", tree{modules: []module{replacing("../..")}}, nil},
		{"one that does not use the root", "modules", tree{modules: []module{{dir: "internal/tools", path: root + "/internal/tools", inWork: true}}}, nil},
		{"one that replaces nothing", "modules", tree{modules: []module{grpc}},
			[]string{`the module in verifier/grpcauth replaces the root by "", not "../.."`}},
		{"one that replaces by something else", "modules", tree{modules: []module{replacing("../../../fork")}},
			[]string{`the module in verifier/grpcauth replaces the root by "../../../fork", not "../.."`}},
		{"one outside the workspace", "modules", tree{modules: []module{{dir: "internal/tools", path: root + "/internal/tools"}}},
			[]string{"go.work does not use internal/tools"}},
		{"one with a name of its own", "modules", tree{modules: []module{{dir: "internal/tools", path: "example.com/tools", inWork: true}}},
			[]string{"the module in internal/tools is called example.com/tools, not " + root + "/internal/tools"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Equal(t, row.want, rules[row.rule](row.tree))
		})
	}
}

const compared = `package macaroon

func bad(sig, other [32]byte, m *struct{ Signature [32]byte }, derived *[32]byte) bool {
	return sig == other ||
		m.Signature != other ||
		bytes.Equal(other[:], (*derived)[:])
}

func good(sig, other [32]byte, m *struct{ Signature [32]byte }) bool {
	return sig == [32]byte{} || subtle.ConstantTimeCompare(sig[:], other[:]) == 1 || hmac.Equal(m.Signature[:], sig[:]) || m == nil
}
`

// The reader is tried on a tree on disk: one that sees no imports would find every house in order.
func TestReadTree(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                         "module " + root + "\n\ngo 1.26.0\n\nrequire example.com/a v1.0.0\n\nrequire example.com/b v1.0.0 // indirect\n",
		"go.work":                        "go 1.26.0\n\nuse .\n",
		"macaroon/macaroon.go":           "package macaroon\n\nimport (\n\t\"fmt\"\n\n\t_ \"" + root + "/caveat\"\n)\n",
		"macaroon/compared.go":           compared,
		"macaroon/plan9.go":              "//go:build plan9\n\npackage macaroon\n\nimport \"unsafe\"\n",
		"macaroon/macaroon_test.go":      "package macaroon_test\n\nimport \"testing\"\n",
		"macaroon/testdata/ignored.go":   "package ignored\n\nimport \"C\"\n",
		".hidden/ignored.go":             "package ignored\n\nimport \"C\"\n",
		"verifier/grpcauth/go.mod":       "module " + root + "/verifier/grpcauth\n\ngo 1.26.0\n\nrequire " + root + " v0.0.0\n\nreplace " + root + " => ../..\n",
		"verifier/grpcauth/deep/auth.go": "package deep\n",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o777))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o666))
	}

	got, err := readTree(dir)
	require.NoError(t, err)
	require.Equal(t, tree{
		folders: []string{"macaroon", "verifier"},
		modules: []module{
			{dir: ".", path: root, direct: []string{"example.com/a"}, replaced: map[string]string{}, inWork: true},
			{dir: "verifier/grpcauth", path: root + "/verifier/grpcauth", direct: []string{root}, replaced: map[string]string{root: "../.."}},
		},
		packages: []pkg{
			{name: "macaroon", module: ".", imports: []string{"fmt", root + "/caveat", "unsafe"}, tested: []string{"testing"},
				compared: []string{"compared.go:4: sig", "compared.go:5: Signature", "compared.go:6: derived"}},
			{name: "verifier/grpcauth/deep", module: "verifier/grpcauth"},
		},
	}, got)
}
