//go:build race

package httpauth_test

// raceEnabled: the race detector allocates for itself.
const raceEnabled = true
