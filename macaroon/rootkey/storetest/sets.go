package storetest

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"
)

// set is what Load gives.
type set struct {
	records map[string][]byte
	version string
	found   bool
}

// marker begins the records of numbered sets. An error that contains it leaks.
const marker = "key-material-of-the-suite"

// numbered gives a set of one to seven records, each of which tells the set's number, so that a
// mixture of two sets is seen, and one that lacks a record too.
func numbered(n int) map[string][]byte {
	records := make(map[string][]byte)
	count := 1 + n%7
	for i := range count {
		text := fmt.Sprintf("%s %d: %d of %d;", marker, n, i, count)
		records[keyID(i)] = append([]byte(text), bytes.Repeat([]byte{byte(n), 0}, n*37%300)...)
	}
	return records
}

// number undoes numbered. An error means that nobody wrote such a set.
func (s set) number() (n int, err error) {
	for _, record := range s.records {
		if _, err := fmt.Sscanf(string(record), marker+" %d:", &n); err != nil || n < 0 {
			return 0, broken("a record that nobody wrote")
		}
		break
	}
	if want := numbered(n); !equal(s.records, want) {
		return 0, broken("not a set that was written: one of its %d records is from set %d, which has %d", len(s.records), n, len(want))
	}
	return n, nil
}

// keyID gives an id of the form that a keyring's have: base32 of 8 bytes, in lower
// case.
func keyID(i int) string {
	const golden = 0x9e3779b97f4a7c15 // spreads small numbers over all characters
	id := binary.BigEndian.AppendUint64(nil, uint64(i+1)*golden)
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(id))
}

func equal(a, b map[string][]byte) bool { return maps.EqualFunc(a, b, bytes.Equal) }

func clone(records map[string][]byte) map[string][]byte {
	c := make(map[string][]byte, len(records))
	for id, record := range records {
		c[id] = bytes.Clone(record)
	}
	return c
}

// errBroken is in every error that the suite makes, so that none of them is taken for a
// store's.
var errBroken = errors.New("the contract is broken")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errBroken}, args...)...)
}

// form checks what a version looks like.
func form(version string) error {
	if len(version) > 64 || !utf8.ValidString(version) {
		return broken("the version %q is not a text of at most 64 bytes", version)
	}
	return nil
}

// silent gives err unless its text shows key material.
func silent(err error) error {
	for _, shown := range []string{marker, hex.EncodeToString([]byte(marker)), base64.StdEncoding.EncodeToString([]byte(marker))[:32]} {
		for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
			if strings.Contains(strings.ToLower(text), strings.ToLower(shown)) {
				return broken("an error shows key material")
			}
		}
	}
	return err
}
