//go:build race

package caveat_test

// The race detector allocates by itself, so allocations are only counted without it.
const raceEnabled = true
