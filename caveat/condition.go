package caveat

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// ParseCondition splits a condition into its name and its argument by the grammar in the package
// documentation. The argument is everything after the first space, exactly; it is empty if there is none. It
// says nothing about whether a kind of this name exists. Its errors are [ErrMalformed].
func ParseCondition(condition string) (name, argument string, err error) {
	name, argument = nextWord(condition)
	if !validName(name) {
		return "", "", malformed("%s is not the name of a kind", quote(name))
	}
	if !isText(argument) {
		return "", "", errNotText
	}
	return name, argument, nil
}

var errNotText = malformed("a control character or invalid UTF-8 in the argument")

func validName(name string) bool {
	first, second, prefixed := strings.Cut(name, ":")
	return validPart(first) && (!prefixed || validPart(second))
}

func validPart(part string) bool { return nameChars.all(part) && lowerDigits.has(part[0]) }

// isText reports whether s is UTF-8 without control characters. Those would let one caveat look like two in a
// log, or end early for whoever reads it as a C string.
func isText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return isUnicodeText(s[i:])
		}
	}
	return true
}

func isUnicodeText(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// isWord reports whether s can stand in a list: printable and without any kind of space.
func isWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f {
			return isUnicodeWord(s[i:])
		}
	}
	return s != ""
}

func isUnicodeWord(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }) < 0
}

// nextWord splits a list at its first space, to walk it in place: a decision about a token allocates nothing. Every
// condition passes here several times, too often for strings.Cut.
func nextWord(list string) (word, rest string) {
	if i := strings.IndexByte(list, ' '); i >= 0 {
		return list[:i], list[i+1:]
	}
	return list, ""
}
