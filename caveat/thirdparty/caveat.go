package thirdparty

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/amaretti-go/amaretti/macaroon"
)

// Caveat is met only by a discharge of a third party: pass it to Mint or Attenuate. Make one with [NewCaveat]. It is
// immutable and may be used for any number of tokens, since each gets a caveat root key and a caveat id of its own.
// A Caveat that could not be made carries the reason, and fails where it is used. The zero Caveat is such a one.
type Caveat struct {
	_         [0]func() // not comparable, as the key
	party     Party
	condition string
	attests   []string
	from      PrivateKey
	text      bool
	err       error
}

var _ macaroon.ThirdPartyCaveat = Caveat{}

// NewCaveat makes a caveat that holds if the party says that the condition does. What conditions it knows, and what
// they mean, is between the two; the convention is that of package caveat, a name and perhaps a space and an
// argument. It is text without control characters and does not begin with a space.
//
// Nothing in the token tells who asked for it: see [Caveat.From].
func NewCaveat(party Party, condition string) Caveat {
	c := Caveat{party: party, condition: condition}
	name, _, _ := strings.Cut(condition, " ")
	if _, err := party.check(); err != nil {
		c.err = fmt.Errorf("party: %w", err)
	} else if name == "" || !isText(condition) {
		c.err = errors.New("condition: empty, begins with a space, or not text")
	} else if name == needDeclared {
		c.err = errors.New("condition: " + needDeclared + " is what Attesting writes")
	}
	return c
}

// Attesting returns c asking the third party to declare these attributes, besides those that c asks for already: a
// verifier then reports them, as long as the caveat is its minter's. So only Mint takes such a caveat. Its discharge
// has a declaration of each, which is empty if the third party has nothing to say; to trust one is to trust the
// third party to see to that.
//
// A key is text without spaces and commas. No key at all, a bad one, one twice, or more than 32 are an error.
func (c Caveat) Attesting(keys ...string) Caveat {
	if c.err != nil {
		return c
	}
	if len(keys) == 0 {
		c.err = errors.New("attesting: no keys")
	}
	attests := slices.Clone(c.attests)
	for _, key := range keys {
		switch {
		case !validKey(key):
			c.err = fmt.Errorf("attesting: %s is not a key", quote(key))
		case slices.Contains(attests, key):
			c.err = fmt.Errorf("attesting: %s twice", quote(key))
		}
		attests = append(attests, key)
	}
	if len(attests) > maxAsked {
		c.err = fmt.Errorf("attesting: more than %d keys", maxAsked)
	}
	c.attests = attests
	return c
}

// From returns c sealed with this key, whose public half the third party then sees and can trust to have written the
// condition. Without it the caveat id is sealed with a key that is made for it and forgotten.
func (c Caveat) From(key PrivateKey) Caveat {
	if c.err == nil && key.IsZero() {
		c.err = errors.New("from: zero PrivateKey: use GenerateKey or ParsePrivateKey")
	}
	c.from = key
	return c
}

// AsText returns c with a caveat id that is ASCII text, for clients that take others for text and break them, such as
// the bakery's in JavaScript. It is a third longer, and only a [Discharger] of this library opens it.
func (c Caveat) AsText() Caveat {
	c.text = true
	return c
}

var errNotFirstParty = errors.New(prefix + "a third-party caveat has no condition of its own")

// Condition always fails, so that a wrapper which hides the other methods appends nothing.
func (c Caveat) Condition() (string, error) { return "", errNotFirstParty }

// Attests gives the attributes that the discharge must declare.
func (c Caveat) Attests() []string { return slices.Clone(c.attests) }

const rootKeySize = 32

// ThirdParty makes a random root key and seals it, with the condition, to the third party. Each call gives others.
func (c Caveat) ThirdParty() (rootKey []byte, caveatID, location string, err error) {
	caveatID, rootKey, err = c.seal()
	if err != nil {
		return nil, "", "", fmt.Errorf(prefix+"caveat: %w", err)
	}
	return rootKey, caveatID, c.party.Location, nil
}

func (c Caveat) seal() (caveatID string, rootKey []byte, err error) {
	if c.err != nil {
		return "", nil, c.err
	}
	version, err := c.party.check() // of the zero Caveat it was not done
	if err != nil {
		return "", nil, fmt.Errorf("party: %w", err)
	}
	from := c.from
	if from.IsZero() {
		from = GenerateKey()
	}
	condition := c.condition
	if len(c.attests) > 0 {
		condition = needDeclared + " " + strings.Join(c.attests, ",") + " " + condition
	}
	var nonce [nonceSize]byte
	rootKey = make([]byte, rootKeySize)
	rand.Read(nonce[:]) // never fails: crypto/rand ends the program instead
	rand.Read(rootKey)
	caveatID = seal(version, c.party.Key, from, nonce, secret{rootKey, stdNamespace, condition})
	if c.text {
		caveatID = idText.EncodeToString([]byte(caveatID))
	}
	return caveatID, rootKey, nil
}

// String says where the third party is. It does not tell the condition, which is only for the third party.
func (c Caveat) String() string { return "third-party caveat for " + quote(c.party.Location) }

// Format writes what String gives, whatever the verb.
func (c Caveat) Format(f fmt.State, _ rune) { io.WriteString(f, c.String()) }

// LogValue gives what String gives.
func (c Caveat) LogValue() slog.Value { return slog.StringValue(c.String()) }

// needDeclared begins the condition of a caveat that asks for attributes.
const needDeclared = "need-declared"

// maxAsked bounds the attributes that one caveat asks for: each is a caveat of the discharge.
const maxAsked = 32

// validKey reports whether key can be asked for and declared: a space would end it early in a declaration, and a
// comma in what asks for it.
func validKey(key string) bool { return key != "" && isText(key) && !strings.ContainsAny(key, " ,") }

// isText reports whether s is UTF-8 without control characters.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }

// quote is text for an error: on one line, and no longer than a reader or a log can bear.
func quote(text string) string {
	const most = 64
	if len(text) > most {
		return strconv.Quote(text[:most]) + "…"
	}
	return strconv.Quote(text)
}
