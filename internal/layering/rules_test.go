package layering_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// rules are all that the house asks. Each returns what breaks it, one sentence for each case.
var rules = map[string]func(tree) []string{
	"floors":    checkFloors,
	"stores":    checkOnly,
	"internals": checkInternals,
	"testify":   checkTestify,
	"unsafe":    checkUnsafe,
	"compared":  checkCompared,
	"folders":   checkFolders,
	"direct":    checkDirect,
	"modules":   checkModules,
}

// floorOf returns the floor of a package, by its own row or by that of a folder above it.
func floorOf(name string) (floor int, found bool) {
	if floor, found = floors[name]; found {
		return floor, true
	}
	for folder := name; folder != "."; folder = path.Dir(folder) {
		if floor, found = floors[folder+"/..."]; found {
			return floor, true
		}
	}
	return 0, false
}

// ours returns the relative names of those imports that are packages of this tree.
func ours(imports []string) []string {
	var names []string
	for _, imported := range imports {
		if imported == root {
			names = append(names, ".")
		} else if name, ok := strings.CutPrefix(imported, root+"/"); ok {
			names = append(names, name)
		}
	}
	return names
}

// checkFloors: every package has a floor, and imports from strictly lower ones, tests aside.
func checkFloors(t tree) (broken []string) {
	for _, p := range t.packages {
		floor, found := floorOf(p.name)
		if !found {
			broken = append(broken, fmt.Sprintf("%s has no floor: give it a row in the table", p.name))
			continue
		}
		for _, name := range ours(p.imports) {
			below, found := floorOf(name)
			switch {
			case !found:
				broken = append(broken, fmt.Sprintf("%s imports %s, which has no floor", p.name, name))
			case below >= floor:
				broken = append(broken, fmt.Sprintf("%s on floor %d imports %s on floor %d", p.name, floor, name, below))
			}
		}
	}
	return broken
}

// checkOnly: some packages import a few named ones of ours and no other, tests aside.
func checkOnly(t tree) (broken []string) {
	for _, p := range t.packages {
		allowed, narrowed := only[p.name]
		if !narrowed {
			continue
		}
		for _, name := range ours(p.imports) {
			if !slices.Contains(allowed, name) {
				broken = append(broken, fmt.Sprintf("%s imports %s, but of ours it may import only %s",
					p.name, name, strings.Join(allowed, ", ")))
			}
		}
	}
	return broken
}

// checkInternals: a module that is published by itself lives on the public surface of a tagged root,
// tests included, and examples on what a stranger can import.
func checkInternals(t tree) (broken []string) {
	for _, p := range t.packages {
		published := p.module != "." && !within(p.module, "internal")
		if !published && !within(p.name, "examples") {
			continue
		}
		for _, name := range ours(p.all()) {
			if slices.Contains(strings.Split(name, "/"), "internal") {
				broken = append(broken, fmt.Sprintf("%s imports %s: it may use only what is public", p.name, name))
			}
		}
	}
	return broken
}

// checkTestify: what our tests need does not come along with a package, also one that is for tests.
func checkTestify(t tree) (broken []string) {
	for _, p := range t.packages {
		for _, imported := range p.imports {
			if strings.HasPrefix(imported, "github.com/stretchr/testify/") {
				broken = append(broken, fmt.Sprintf("%s imports %s: that is for its tests", p.name, imported))
			}
		}
	}
	return broken
}

// checkCompared: how long it takes to compare secrets must not tell how much of them is alike.
func checkCompared(t tree) (broken []string) {
	for _, p := range t.packages {
		for _, place := range p.compared {
			broken = append(broken, fmt.Sprintf("%s/%s is compared in a time that depends on it: use crypto/subtle", p.name, place))
		}
	}
	return broken
}

// checkUnsafe: memory safety is given up in one place, if anywhere, and cgo nowhere.
func checkUnsafe(t tree) (broken []string) {
	for _, p := range t.packages {
		for _, imported := range p.all() {
			if imported == "C" || imported == "unsafe" && !slices.Contains(mayBeUnsafe, p.name) {
				broken = append(broken, fmt.Sprintf("%s imports %s", p.name, imported))
			}
		}
	}
	return broken
}

// checkFolders: a newcomer finds the folders that the table names, and no others.
func checkFolders(t tree) (broken []string) {
	for _, name := range t.folders {
		if !slices.Contains(folders, name) {
			broken = append(broken, fmt.Sprintf("%s is no folder of this house: put it into one of %s",
				name, strings.Join(folders, ", ")))
		}
	}
	return broken
}

// checkDirect: what the root requires, all who use it require.
func checkDirect(t tree) (broken []string) {
	for _, m := range t.modules {
		if m.dir != "." {
			continue
		}
		for _, required := range m.direct {
			if !slices.Contains(direct, required) {
				broken = append(broken, fmt.Sprintf("the root module requires %s directly: a package that needs it is a nested module", required))
			}
		}
		for replaced := range m.replaced {
			broken = append(broken, fmt.Sprintf("the root module replaces %s, which does nothing for those who import it", replaced))
		}
	}
	return broken
}

// checkModules: every module is named after its place, is built and tested with the rest, and builds
// against this very tree.
func checkModules(t tree) (broken []string) {
	for _, m := range t.modules {
		want, up := path.Join(root, m.dir), strings.Repeat("../", strings.Count(m.dir, "/"))+".."
		if m.path != want {
			broken = append(broken, fmt.Sprintf("the module in %s is called %s, not %s", m.dir, m.path, want))
		}
		if !m.inWork {
			broken = append(broken, fmt.Sprintf("go.work does not use %s", m.dir))
		}
		if to, replaced := m.replaced[root]; (replaced || slices.Contains(m.direct, root)) && to != up {
			broken = append(broken, fmt.Sprintf("the module in %s replaces the root by %q, not %q", m.dir, to, up))
		}
	}
	return broken
}
