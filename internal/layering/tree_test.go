package layering_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A tree is what the rules judge.
type tree struct {
	folders  []string // top-level, not hidden
	modules  []module
	packages []pkg
}

// A module is one go.mod.
type module struct {
	dir      string // relative to the root, "." for the root module
	path     string
	direct   []string          // what it requires other than indirectly
	replaced map[string]string // module path to replacement
	inWork   bool              // go.work uses it
}

// A pkg is one folder with Go files.
type pkg struct {
	name    string   // relative to the root
	module  string   // the dir of its module
	imports []string // of its files other than tests
	tested  []string // of its tests

	// Where what looks like a secret is compared in a time that depends on it, tests aside.
	compared []string
}

// all returns what p imports, tests included.
func (p pkg) all() []string { return slices.Concat(p.imports, p.tested) }

// readTree reads the tree whose root module is in dir.
func readTree(dir string) (tree, error) {
	t := tree{}
	packages := map[string]*pkg{}
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		switch {
		case entry.IsDir():
			if name == "." {
				return nil
			}
			if base := entry.Name(); strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" {
				return filepath.SkipDir
			}
			if !strings.Contains(name, "/") {
				t.folders = append(t.folders, name)
			}
		case entry.Name() == "go.mod":
			m, err := readModule(file, path.Dir(name))
			t.modules = append(t.modules, m)
			return err
		case strings.HasSuffix(name, ".go"):
			p := packages[path.Dir(name)]
			if p == nil {
				p = &pkg{name: path.Dir(name)}
				packages[p.name] = p
			}
			return p.read(file)
		}
		return nil
	})
	if err != nil {
		return tree{}, err
	}
	for _, p := range packages {
		p.module = owner(t.modules, p.name)
		t.packages = append(t.packages, *p)
	}
	slices.SortFunc(t.packages, func(a, b pkg) int { return strings.Compare(a.name, b.name) })
	return t, readWork(dir, t.modules)
}

// read adds the imports of one Go file.
func (p *pkg) read(file string) error {
	into, mode := &p.imports, parser.SkipObjectResolution
	if strings.HasSuffix(file, "_test.go") {
		into, mode = &p.tested, parser.ImportsOnly
	}
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, mode)
	if err != nil {
		return err
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if secret := comparesSecret(n); secret != "" {
			p.compared = append(p.compared, fmt.Sprintf("%s:%d: %s", path.Base(filepath.ToSlash(file)), set.Position(n.Pos()).Line, secret))
		}
		return true
	})
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		if !slices.Contains(*into, imported) {
			*into = append(*into, imported)
		}
	}
	return nil
}

// comparesSecret returns the name of a secret that n compares with something else than a
// literal, by an operator or by a function called Equal or Compare.
func comparesSecret(n ast.Node) string {
	var compared []ast.Expr
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if n.Op == token.EQL || n.Op == token.NEQ {
			compared = []ast.Expr{n.X, n.Y}
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "Equal" || f.Sel.Name == "Compare") {
			if from, ok := f.X.(*ast.Ident); !ok || from.Name != "hmac" {
				compared = n.Args
			}
		}
	}
	secret := ""
	for _, e := range compared {
		switch e := e.(type) {
		case *ast.BasicLit, *ast.CompositeLit:
			return ""
		default:
			if name := nameOf(e); slices.Contains(secrets, strings.ToLower(name)) {
				secret = name
			}
		}
	}
	return secret
}

// nameOf returns the last name of what an expression is about.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.SliceExpr:
		return nameOf(e.X)
	case *ast.StarExpr:
		return nameOf(e.X)
	case *ast.ParenExpr:
		return nameOf(e.X)
	}
	return ""
}

// owner returns the dir of the innermost module that holds the package.
func owner(modules []module, name string) string {
	found := "."
	for _, m := range modules {
		if within(name, m.dir) && len(m.dir) > len(found) {
			found = m.dir
		}
	}
	return found
}

// within reports whether name is folder or lies below it.
func within(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, folder+"/")
}

func readModule(file, dir string) (module, error) {
	var edit struct {
		Module  struct{ Path string }
		Require []struct {
			Path     string
			Indirect bool
		}
		Replace []struct {
			Old, New struct{ Path string }
		}
	}
	if err := goJSON(&edit, "mod", "edit", "-json", file); err != nil {
		return module{}, err
	}
	m := module{dir: dir, path: edit.Module.Path, replaced: map[string]string{}}
	for _, r := range edit.Require {
		if !r.Indirect {
			m.direct = append(m.direct, r.Path)
		}
	}
	for _, r := range edit.Replace {
		m.replaced[r.Old.Path] = r.New.Path
	}
	return m, nil
}

// readWork marks the modules that go.work uses.
func readWork(dir string, modules []module) error {
	var edit struct {
		Use []struct{ DiskPath string }
	}
	if err := goJSON(&edit, "work", "edit", "-json", filepath.Join(dir, "go.work")); err != nil {
		return err
	}
	for i := range modules {
		for _, u := range edit.Use {
			modules[i].inWork = modules[i].inWork || path.Clean(u.DiskPath) == modules[i].dir
		}
	}
	return nil
}

// goJSON decodes what the go command prints.
func goJSON(into any, args ...string) error {
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		return fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return json.Unmarshal(out, into)
}
