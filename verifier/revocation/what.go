package revocation

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
)

// What is a thing that can be revoked. Make one with [Token], [Key], [Subject],
// [KeyUntil], [SubjectUntil], [Branch] or [Foreign]. Two are equal (==) if they are the
// same thing. The zero What is none.
type What struct{ text string }

// The first word of a What's text.
const (
	whatToken        = "token"
	whatKey          = "key"
	whatSubject      = "subject"
	whatKeyUntil     = "key-until"
	whatSubjectUntil = "subject-until"
	whatBranch       = "branch"
	whatForeign      = "foreign"
)

// Token is one token and all that was ever attenuated from it.
func Token(id macaroon.TokenID) What { return What{whatToken + " " + id.String()} }

// Key is all that a root key signed, and will sign.
func Key(keyID string) What { return What{whatKey + " " + keyID} }

// Subject is every token of a subject, also those that are minted later.
func Subject(subject string) What { return What{whatSubject + " " + subject} }

// KeyUntil is all that a root key signed up to an instant. Identifiers tell the second of issue,
// and minters' clocks differ: what counts is a second of issue not after that of the
// instant plus [Options.Skew], so wait as long before minting anew.
func KeyUntil(keyID string, instant time.Time) What {
	return What{whatKeyUntil + " " + second(instant) + " " + keyID}
}

// SubjectUntil is every token of a subject that was issued up to an instant, as with
// [KeyUntil]: "log out everywhere".
func SubjectUntil(subject string, instant time.Time) What {
	return What{whatSubjectUntil + " " + second(instant) + " " + subject}
}

// Branch is one delegation and what descends from it, without its siblings and its
// parent: the tokens that carry this branch caveat, see caveat.Branch. It counts in
// discharges too.
func Branch(id [16]byte) What {
	return What{whatBranch + " " + base64.RawURLEncoding.EncodeToString(id[:])}
}

// Foreign is a token of another system and all that was attenuated from it, known by
// the SHA-256 of its identifier.
func Foreign(identifier string) What {
	sum := sha256.Sum256([]byte(identifier))
	return What{whatForeign + " " + hex.EncodeToString(sum[:])}
}

// second is the second that an instant is in, which is what identifiers tell.
func second(instant time.Time) string {
	return instant.UTC().Truncate(time.Second).Format(time.RFC3339)
}

// String gives the text, such as "token 9f…", which [Parse] reads.
func (w What) String() string { return w.text }

// IsZero reports whether w is none.
func (w What) IsZero() bool { return w.text == "" }

// MarshalText gives the text.
func (w What) MarshalText() ([]byte, error) {
	if _, err := w.parse(); err != nil {
		return nil, err
	}
	return []byte(w.text), nil
}

// UnmarshalText reads what MarshalText wrote.
func (w *What) UnmarshalText(text []byte) error {
	read, err := Parse(string(text))
	if err == nil {
		*w = read
	}
	return err
}

// maxName is the longest key id or subject, in bytes: an identifier has no more.
const maxName = 1024

// errWhat does not quote: the text may have come from anywhere.
var errWhat = errors.New(`revocation: not a thing that can be revoked: want "token ID", "key ID", "subject NAME", "key-until TIME ID", "subject-until TIME NAME", "branch ID" or "foreign HASH", as String writes them`)

// Parse reads the text of a What, in the one spelling that String writes. A time is that of
// a second, in UTC: 2006-01-02T15:04:05Z.
func Parse(text string) (What, error) {
	w := What{text}
	if _, err := w.parse(); err != nil {
		return What{}, err
	}
	return w, nil
}

// parsed is a What taken apart.
type parsed struct {
	kind kind
	key  string // the bytes of a token id, a branch or a sum, or the name
	upTo int64  // the second of issue, in Unix time, or always
}

func (w What) parse() (parsed, error) {
	word, rest, _ := strings.Cut(w.text, " ")
	p := parsed{key: rest, upTo: always}
	ok := false
	switch word {
	case whatToken:
		var id macaroon.TokenID
		ok = id.UnmarshalText([]byte(rest)) == nil && id != macaroon.TokenID{}
		p.kind, p.key = tokens, string(id[:])
	case whatBranch:
		id, err := caveat.ParseBranch(rest)
		ok = err == nil && id != [16]byte{}
		p.kind, p.key = branches, string(id[:])
	case whatForeign:
		sum, err := hex.DecodeString(rest)
		ok = err == nil && len(sum) == sha256.Size && strings.ToLower(rest) == rest
		p.kind, p.key = foreigns, string(sum)
	case whatKey, whatSubject:
		ok = validName(rest)
		p.kind = kindOfName(word)
	case whatKeyUntil, whatSubjectUntil:
		at, name, _ := strings.Cut(rest, " ")
		t, err := time.Parse(time.RFC3339, at)
		ok = err == nil && second(t) == at && validName(name)
		p.kind, p.key, p.upTo = kindOfName(word), name, t.Unix()
	}
	if !ok {
		return parsed{}, errWhat
	}
	return p, nil
}

func kindOfName(word string) kind {
	if word == whatKey || word == whatKeyUntil {
		return keys
	}
	return subjects
}

// validName accepts what an identifier could hold and people can read.
func validName(name string) bool {
	return name != "" && len(name) <= maxName && utf8.ValidString(name) && strings.IndexFunc(name, unicode.IsControl) < 0
}

// Entry is one revocation.
type Entry struct {
	What What

	// Until is when the last token that it is about has expired, leeway included: past
	// that the entry may be dropped. Zero is never.
	Until time.Time

	Reason string    // for people
	By     string    // who revoked, as far as known
	At     time.Time // when
}

// maxNote is the longest reason and the longest name of who revoked, in bytes.
const maxNote = 4096

var (
	// ErrPast is returned when the until of a revocation has passed: it would not revoke anything.
	ErrPast = errors.New("revocation: until has passed")

	errFar  = errors.New("revocation: until is beyond the year 9999: zero is for ever")
	errNote = fmt.Errorf("revocation: reason or name: not text of at most %d bytes", maxNote)
)

func validNote(note string) bool {
	return len(note) <= maxNote && utf8.ValidString(note) && !strings.ContainsRune(note, 0)
}
