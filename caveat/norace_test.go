//go:build !race

package caveat_test

const raceEnabled = false
