package rootkey

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/internal/redact"
)

// State is what a key is good for at some instant. The zero State is none.
type State int

// The states, in the order in which a key passes through them.
const (
	// Pending is a key that has been published and does not mint yet, unless no other
	// does. It verifies: another process's clock may be ahead.
	Pending State = iota + 1

	// Minting is the one key that new tokens are minted under. It verifies, too.
	Minting

	// Verifying is a key that has stopped minting.
	Verifying

	// Retired is a key that is good for nothing any more.
	Retired
)

// String gives the state as a word in lower case.
func (s State) String() string {
	switch s {
	case Pending:
		return "pending"
	case Minting:
		return "minting"
	case Verifying:
		return "verifying"
	case Retired:
		return "retired"
	}
	return fmt.Sprintf("State(%d)", int(s))
}

// Key tells about a root key, without the key itself.
type Key struct {
	ID      string // 13 characters, a-z and 2-7
	Label   string // see [Keyring.Label]
	Created time.Time
	Mints   time.Time // when it begins to mint; before Created, by Leeway, if at once
	Stops   time.Time // when it stops minting; zero: not known yet
	Retires time.Time // from when on it is refused; zero: not known yet
	State   State     // when this was asked for
}

// key is a root key. It is immutable, but for drafts of it that nobody else has.
type key struct {
	id, label                      string
	created, mints, stops, retires time.Time // UTC, no monotonic reading; the last two may be zero
	material                       redact.Box[[materialSize]byte]
	derived                        redact.Box[[chain.Size]byte]
}

const materialSize = 32

func newKey(created, mints time.Time) *key {
	var id [8]byte
	rand.Read(id[:]) // never fails: crypto/rand ends the program instead
	material := redact.New[[materialSize]byte]()
	for weak(material.Value()[:]) {
		rand.Read(material.Value()[:])
	}
	return &key{
		id:       strings.ToLower(keyIDs.EncodeToString(id[:])),
		created:  created,
		mints:    mints,
		material: material,
		derived:  redact.Hide(chain.DeriveKey(material.Value()[:])),
	}
}

var keyIDs = base32.StdEncoding.WithPadding(base32.NoPadding)

// isKeyID tells whether id looks like one of a keyring's. It need not be one.
func isKeyID(id string) bool {
	if len(id) != 13 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// weak tells whether bytes can't have been random: all alike, or text.
func weak(material []byte) bool {
	alike, text := true, true
	for _, c := range material {
		alike = alike && c == material[0]
		text = text && (c >= ' ' && c <= '~' || c >= '\t' && c <= '\r') // with the newline of its file
	}
	return alike || text
}

// state tells what the key's own times say. Of several that could mint, one does; see
// keySet.at.
func (k *key) state(now time.Time) State {
	switch {
	case reached(k.retires, now):
		return Retired
	case now.Before(k.mints):
		return Pending
	case reached(k.stops, now):
		return Verifying
	}
	return Minting
}

// reached tells whether t is known and has come.
func reached(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

func (k *key) public(state State) Key {
	return Key{k.id, k.label, k.created, k.mints, k.stops, k.retires, state}
}

const maxLabel = 128

// checkLabel holds labels to what fits in a line of a log or a table.
func checkLabel(label string) error {
	switch {
	case len(label) > maxLabel:
		return fmt.Errorf("label: more than %d bytes", maxLabel)
	case !utf8.ValidString(label) || strings.ContainsFunc(label, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("label: not printable text in UTF-8")
	}
	return nil
}
