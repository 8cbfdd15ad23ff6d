// Package layering holds no code, only the test that keeps the house in order: a package imports
// packages on a strictly lower floor, and nothing else of ours.
//
//   - table_test.go is the house as data: floors, folders, exceptions. A new package gets a row there,
//     and choosing its floor is the design decision that the row records.
//   - rules_test.go has one function for each rule.
//   - tree_test.go reads what is really there: it parses every Go file of every module
//     below the root, whatever its build constraints, so that a file for another system hides nothing.
//   - layering_test.go holds the tree to the rules, and each rule to made-up trees that break it.
package layering
