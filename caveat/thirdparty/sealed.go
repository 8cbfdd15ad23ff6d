package thirdparty

import (
	"encoding/base64"
	"encoding/binary"
	"strings"

	"golang.org/x/crypto/nacl/box"

	"github.com/amaretti-go/amaretti/internal/wire"
)

// The layout of caveat ids in versions 2 and 3; the package documentation has the grammar.
const (
	prefixSize = 4 // of the third party's public key
	nonceSize  = 24

	prefixAt     = 1
	firstPartyAt = prefixAt + prefixSize
	nonceAt      = firstPartyAt + keySize
	boxAt        = nonceAt + nonceSize
)

// stdNamespace says that conditions of the bakery's own vocabulary, such as time-before and declared, are written
// without a prefix. It is also what versions without a namespace mean.
const stdNamespace = "std:"

// secret is what a caveat id seals.
type secret struct {
	rootKey   []byte
	namespace string
	condition string
}

// opened is a caveat id that was opened, with what the outside of it said.
type opened struct {
	secret
	version    byte
	firstParty PublicKey
}

// seal writes a caveat id in version 2, which leaves the namespace out, or 3.
func seal(version byte, to PublicKey, from PrivateKey, nonce [nonceSize]byte, s secret) string {
	plain := []byte{version}
	plain = appendField(plain, string(s.rootKey))
	if version == version3 {
		plain = appendField(plain, s.namespace)
	}
	return sealPlain(version, append(plain, s.condition...), to, from, nonce)
}

func sealPlain(version byte, plain []byte, to PublicKey, from PrivateKey, nonce [nonceSize]byte) string {
	pair := from.box.Value()
	id := []byte{version}
	id = append(id, to.bytes[:prefixSize]...)
	id = append(id, pair.public.bytes[:]...)
	id = append(id, nonce[:]...)
	return string(box.Seal(id, plain, &nonce, &to.bytes, &pair.private))
}

func appendField(b []byte, value string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(value))), value...)
}

// open reads a caveat id of any version. It says no more than that it could not.
func (k Keys) open(id string) (opened, bool) {
	switch {
	case id == "":
		return opened{}, false
	case id[0] == version2 || id[0] == version3:
		return k.openBinary(id)
	case id[0] == version1Begin:
		return k.openText(id)
	case id[0] == textBegin:
		return k.openEncoded(id)
	}
	return opened{}, false
}

// idText is how Caveat.AsText writes caveat ids.
var idText = base64.RawURLEncoding.Strict()

// textBegin is how the text of what begins with a small number begins.
const textBegin = 'A'

// openEncoded opens the text of version 2 or 3, in its one spelling; see decodeExactly.
func (k Keys) openEncoded(id string) (opened, bool) {
	raw, err := idText.DecodeString(id)
	if err != nil || idText.EncodedLen(len(raw)) != len(id) || raw[0] != version2 && raw[0] != version3 {
		return opened{}, false
	}
	return k.openBinary(string(raw))
}

func (k Keys) openBinary(id string) (opened, bool) {
	if len(id) < boxAt {
		return opened{}, false
	}
	version := id[0]
	plain, firstParty, ok := k.openBox(id[prefixAt:firstPartyAt], id[firstPartyAt:nonceAt], id[nonceAt:boxAt], id[boxAt:])
	// The version stands inside too: outside it could be changed.
	if !ok || plain == "" || plain[0] != version {
		return opened{}, false
	}
	s := secret{namespace: stdNamespace}
	rootKey, rest, ok := cutField(plain[1:])
	if ok && version == version3 {
		s.namespace, rest, ok = cutField(rest)
	}
	if !ok || rootKey == "" {
		return opened{}, false
	}
	s.rootKey, s.condition = []byte(rootKey), rest
	return opened{s, version, firstParty}, true
}

// cutField cuts a value off after its length, which may claim anything.
func cutField(s string) (value, rest string, ok bool) {
	n, size := wire.Uvarint(s)
	if size == 0 || n > uint64(len(s)-size) {
		return "", "", false
	}
	return s[size : size+int(n)], s[size+int(n):], true
}

// openBox opens a box with whichever key has a public half that begins with hint: the right one has, and another one
// by accident at most.
func (k Keys) openBox(hint, firstParty, nonce, sealed string) (plain string, from PublicKey, ok bool) {
	if len(firstParty) != keySize || len(nonce) != nonceSize {
		return "", PublicKey{}, false
	}
	peer, n := [keySize]byte([]byte(firstParty)), [nonceSize]byte([]byte(nonce))
	for _, key := range k.list() {
		pair := key.box.Value()
		if !strings.HasPrefix(string(pair.public.bytes[:]), hint) {
			continue
		}
		if from.IsZero() {
			if from, ok = publicKey(peer); !ok {
				return "", PublicKey{}, false
			}
		}
		if opened, ok := box.Open(nil, []byte(sealed), &n, &peer, &pair.private); ok {
			return string(opened), from, true
		}
	}
	return "", PublicKey{}, false
}

// stdConditions reports whether the namespace has the conditions of the bakery's own vocabulary without a prefix, as
// a discharge writes them. All of the bakery's namespaces do. Under another one its verifier would look for another
// name, and could take ours for something else.
func (s *secret) stdConditions() bool {
	found := false
	for entry := range strings.FieldsSeq(s.namespace) {
		i := strings.LastIndexByte(entry, ':')
		if i <= 0 {
			return false
		}
		if uri, prefix := entry[:i], entry[i+1:]; uri == "std" {
			if found || prefix != "" {
				return false
			}
			found = true
		}
	}
	return found
}
