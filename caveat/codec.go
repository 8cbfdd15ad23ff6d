package caveat

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Codecs for [Define]. They hold no state.
var (
	// Text is the argument as it stands. It is not empty.
	Text textCodec
	// List is one word or more, separated by one space. Words are printable and contain no space of any sort.
	List listCodec
	// Int is a whole number in decimal digits, with a minus sign in front if it is negative, and written in no other
	// way: without a plus sign, without zeros in front.
	Int intCodec
	// Time is an instant in the form of RFC 3339 with at most nine fractional digits and a zone; it is written in
	// UTC, as time.RFC3339Nano. The zero time is unset, and neither written nor read.
	Time timeCodec
	// Prefixes is a list of address prefixes, each in the form that netip.Prefix prints, with no bit set outside
	// the mask. Prefixes of IPv4 addresses mapped to IPv6 are read as those of the IPv4 addresses.
	Prefixes prefixesCodec
	// Patterns is a list of patterns in canonical form.
	Patterns patternsCodec
)

type textCodec struct{}

func (textCodec) Parse(argument string) (string, error) {
	if argument == "" || !isText(argument) {
		return "", malformed("text is empty, has control characters or is not UTF-8")
	}
	return argument, nil
}

func (c textCodec) Format(value string) (string, error) { return c.Parse(value) }

type listCodec struct{}

func (listCodec) Parse(argument string) ([]string, error) {
	if _, err := someWords.Parse(argument); err != nil {
		return nil, err
	}
	return strings.Split(argument, " "), nil
}

func (listCodec) Format(value []string) (string, error) {
	if len(value) == 0 {
		return "", errEmptyList
	}
	for _, word := range value {
		if !isWord(word) {
			return "", malformed("%s is not one word: give each as an element of its own", quote(word))
		}
	}
	return strings.Join(value, " "), nil
}

// errEmptyList: an empty list must not come to mean that everything is allowed.
var errEmptyList = errors.New(prefix + "the list is empty")

// wordsCodec reads a list as it stands: the standard kinds allocate nothing.
type wordsCodec struct {
	what  string // that a word is, for errors
	valid func(word string) bool
}

var someWords = &wordsCodec{"a word", isWord}

func (c *wordsCodec) Parse(argument string) (string, error) {
	if _, err := c.anyFits(argument, "", equal); err != nil {
		return "", err
	}
	return argument, nil
}

func (c *wordsCodec) Format(value string) (string, error) { return c.Parse(value) }

// anyFits reports whether any word of the list fits the fact. It looks at all of them, and a malformed one is an error,
// whatever the others are. The words that fits gets are well-formed; the fact may be anything.
func (c *wordsCodec) anyFits(list, fact string, fits func(word, fact string) bool) (bool, error) {
	found := false
	for rest := list; ; {
		word, more := nextWord(rest)
		if !c.valid(word) {
			if !isText(list) {
				return false, errNotText // as everybody is told who reads it by Kind.parse
			}
			return false, malformed("%s is not %s", quote(word), c.what)
		}
		found = found || fits(word, fact)
		if len(word) == len(rest) {
			return found, nil
		}
		rest = more
	}
}

func equal(word, fact string) bool { return word == fact }

type intCodec struct{}

func (intCodec) Parse(argument string) (int64, error) {
	n, err := strconv.ParseInt(argument, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != argument {
		return 0, malformed("%s is not a whole number of 64 bits, written as it must be", quote(argument))
	}
	return n, nil
}

func (intCodec) Format(value int64) (string, error) { return strconv.FormatInt(value, 10), nil }

type prefixesCodec struct{}

func (prefixesCodec) Parse(argument string) ([]netip.Prefix, error) {
	words, err := List.Parse(argument)
	if err != nil {
		return nil, err
	}
	prefixes := make([]netip.Prefix, len(words))
	for i, word := range words {
		var ok bool
		if prefixes[i], ok = parsePrefix(word); !ok {
			return nil, malformed("%s is not %s", quote(word), aPrefix)
		}
	}
	return prefixes, nil
}

func (prefixesCodec) Format(value []netip.Prefix) (string, error) {
	words := make([]string, len(value))
	for i, p := range value {
		if !p.IsValid() || p != p.Masked() {
			return "", malformed("prefix %d, %s, is invalid or has bits set outside its mask", i, quote(p.String()))
		}
		words[i] = unmapPrefix(p).String()
	}
	return List.Format(words)
}

const aPrefix = "a canonical address prefix"

// parsePrefix reads a prefix in the one form that netip prints, so that one restriction has one text.
func parsePrefix(word string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(word)
	if err != nil || p != p.Masked() {
		return netip.Prefix{}, false
	}
	var buf [64]byte
	if string(p.AppendTo(buf[:0])) != word {
		return netip.Prefix{}, false
	}
	return unmapPrefix(p), true
}

func validPrefix(word string) bool {
	_, ok := parsePrefix(word)
	return ok
}

// unmapPrefix is the IPv4 form of a prefix of IPv4 addresses that are mapped to IPv6 (RFC 4291 section 2.5.5.2), as
// a socket for both families reports them. p is masked: if it is mapped, its mask covers the 96 bits that say so.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	const mapped = 96
	if p.Addr().Is4In6() {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p
}

type patternsCodec struct{}

func (patternsCodec) Parse(argument string) ([]Pattern, error) {
	words, err := List.Parse(argument)
	if err != nil {
		return nil, err
	}
	patterns := make([]Pattern, len(words))
	for i, word := range words {
		if patterns[i], err = ParsePattern(word); err != nil {
			return nil, err
		}
	}
	return patterns, nil
}

func (patternsCodec) Format(value []Pattern) (string, error) {
	words := make([]string, len(value))
	for i, pattern := range value {
		if _, err := ParsePattern(string(pattern)); err != nil {
			return "", err
		}
		words[i] = string(pattern)
	}
	return List.Format(words)
}

// addrCodec reads one address, as the bakery writes it.
type addrCodec struct{}

func (addrCodec) Parse(argument string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(argument)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, malformed("%s is not an address without a zone", quote(argument))
	}
	return addr.Unmap(), nil
}

func (addrCodec) Format(addr netip.Addr) (string, error) { return addr.String(), nil }

// originCodec is one origin, as browsers and the bakery write it.
type originCodec struct{}

func (originCodec) Parse(argument string) (string, error) {
	if !validOrigin(argument) {
		return "", malformed("%s is not an origin", quote(argument))
	}
	return argument, nil
}

func (c originCodec) Format(origin string) (string, error) { return c.Parse(origin) }

// hashCodec is a SHA-256 value in base64, between fixed text.
type hashCodec struct {
	before, after string
	encoding      *base64.Encoding
}

// Strict refuses the spellings of a value that differ only in unused bits.
var (
	base64URL = base64.RawURLEncoding.Strict()
	base64Std = base64.StdEncoding.Strict()
)

func (c hashCodec) Parse(argument string) (hash [32]byte, err error) {
	text, okBefore := strings.CutPrefix(argument, c.before)
	text, okAfter := strings.CutSuffix(text, c.after)
	if !okBefore || !okAfter || !decodeExactly(c.encoding, hash[:], text) {
		return [32]byte{}, malformed("not a SHA-256 value in base64")
	}
	return hash, nil
}

func (c hashCodec) Format(hash [32]byte) (string, error) {
	if hash == [32]byte{} {
		return "", malformed("all bytes of the SHA-256 value are zero: it was not set")
	}
	return c.before + c.encoding.EncodeToString(hash[:]) + c.after, nil
}

// branchCodec is the name of a branch: 16 bytes in base64url.
type branchCodec struct{}

func (branchCodec) Parse(argument string) (id [16]byte, err error) {
	if !decodeExactly(base64URL, id[:], argument) {
		return [16]byte{}, malformed("not 16 bytes in unpadded base64url")
	}
	return id, nil
}

func (branchCodec) Format(id [16]byte) (string, error) {
	if id == [16]byte{} {
		return "", malformed("all bytes of the branch are zero: it was not set")
	}
	return base64URL.EncodeToString(id[:]), nil
}

// decodeExactly fills dst from text in its one canonical spelling. The decoder skips line ends even when it is
// strict; the length finds these out, since it is exact on both sides.
func decodeExactly(encoding *base64.Encoding, dst []byte, text string) bool {
	var buf [44]byte
	if len(text) != encoding.EncodedLen(len(dst)) {
		return false
	}
	var out [33]byte
	n, err := encoding.Decode(out[:], buf[:copy(buf[:], text)])
	return err == nil && n == len(dst) && copy(dst, out[:n]) == n
}
