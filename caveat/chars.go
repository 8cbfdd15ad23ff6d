package caveat

// charset is a set of ASCII characters. The grammars here are small; a table reads them at one look per byte.
type charset uint8

const (
	lowerDigits charset = 1 << iota // a-z 0-9
	upperCase                       // A-Z
	hyphen                          // -
	underscore                      // _
	tilde                           // ~
	period                          // .
	tokenOnly                       // the other marks of RFC 9110 section 5.6.2

	nameChars       = lowerDigits | hyphen | underscore | period
	operationChars  = lowerDigits | hyphen | underscore
	hostChars       = lowerDigits | hyphen | underscore
	identifierChars = lowerDigits | upperCase | underscore
	unreservedChars = lowerDigits | upperCase | hyphen | underscore | period | tilde // RFC 3986 section 2.3
	tokenChars      = unreservedChars | tokenOnly
)

// charsets is never written to.
var charsets = func() (sets [256]charset) {
	for c := range byte(26) {
		sets['a'+c], sets['A'+c] = lowerDigits, upperCase
	}
	for c := range byte(10) {
		sets['0'+c] = lowerDigits
	}
	for _, c := range []byte("!#$%&'*+^`|") {
		sets[c] = tokenOnly
	}
	sets['-'], sets['_'], sets['~'], sets['.'] = hyphen, underscore, tilde, period
	return sets
}()

func (set charset) has(c byte) bool { return charsets[c]&set != 0 }

// all reports whether s is one character of the set or more.
func (set charset) all(s string) bool {
	for i := range len(s) {
		if !set.has(s[i]) {
			return false
		}
	}
	return s != ""
}

// dotted reports whether s is parts of the set, none empty, separated by dots.
func (set charset) dotted(s string) bool {
	start := 0
	for i := range len(s) {
		switch c := s[i]; {
		case set.has(c):
		case c == '.' && i > start:
			start = i + 1
		default:
			return false
		}
	}
	return start < len(s)
}
