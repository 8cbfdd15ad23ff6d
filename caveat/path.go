package caveat

import "strings"

// Pattern is a pattern for paths and resources in its canonical form; get one from [ParsePattern].
//
//	pattern  = [ "/" ] segment *( "/" segment ) [ "/" / "/**" ] / "/" / "/**"
//	segment  = "*" / canonical text of one segment
//
// It matches whole segments: "/img" never matches "/images". A "*" matches exactly one segment, whatever is in
// it; a "/**" at the end matches any number of further ones, none included, with or without a trailing slash. One
// trailing slash is significant elsewhere: "/a/" is not "/a". Text is canonical if unreserved characters (letters, digits
// and -._~, RFC 3986 section 2.3) stand for themselves and every other byte is percent-encoded in upper case, so that an
// asterisk that is meant literally is %2A. No segment is empty, "." or "..".
type Pattern string

// ParsePattern reads a pattern that is in canonical form, and refuses everything else ([ErrMalformed]). For
// patterns that people type, see [Path] and [Resources].
func ParsePattern(s string) (Pattern, error) {
	if !validPattern(s) {
		return "", malformed("%s is not a canonical pattern", quote(s))
	}
	return Pattern(s), nil
}

// Match reports whether the pattern matches a path or resource, which must be in the canonical form. A malformed
// pattern matches nothing, and nothing matches malformed text. It does not allocate.
func (p Pattern) Match(path string) bool {
	return validPattern(string(p)) && canonical(path, forResource) && matches(string(p), path)
}

// matches is Pattern.Match for a well-formed pattern, in which an asterisk is always a whole segment and two are always
// the end. What it says of a malformed path means nothing.
func matches(pattern, path string) bool {
	j := 0
	for i := 0; i < len(pattern); i++ {
		switch {
		case pattern[i] == '*':
			if i+1 < len(pattern) && pattern[i+1] == '*' {
				return true
			}
			segment := strings.IndexByte(path[j:], '/')
			if segment < 0 {
				segment = len(path) - j
			}
			if segment == 0 {
				return false
			}
			j += segment
		case j == len(path):
			return pattern[i:] == "/**"
		case path[j] != pattern[i]:
			return false
		default:
			j++
		}
	}
	return j == len(path)
}

// CanonicalPath is the one spelling of a path that was sent, given as it was sent: percent-encoded, without
// a query. It begins with a slash; unreserved characters stand for themselves, all other bytes are
// percent-encoded in upper case, and one trailing slash is kept.
//
// It reports false for what a router and a checker might read differently: an encoded dot, slash or
// backslash, a raw backslash, an empty or dot segment, a percent sign without two hexadecimal digits, a raw control
// character, a "?" or a "#". It refuses these and never repairs them, since whoever repairs has to agree with
// everybody else who does. It reports false too for a path of more than 8 KiB. A path that is canonical already is
// returned as it is, without an allocation.
func CanonicalPath(escaped string) (string, bool) {
	if validPath(escaped) {
		return escaped, true
	}
	if len(escaped) > longestFact || !strings.HasPrefix(escaped, "/") {
		return "", false
	}
	return canonicalize(escaped, forPath)
}

// longestFact is how many bytes of a path, a resource or a method are compared with patterns: a holder can write
// hundreds of these into a token, and servers read a megabyte of a URI, or more. RFC 9110 section 4.1 asks for 8000.
const longestFact = 8 << 10

// EscapeSegment is the canonical text of one segment, for resources and patterns that are put together from
// names: EscapeSegment("a/b *") is "a%2Fb%20%2A". The names "", "." and ".." have no text that could stand for a
// segment; they come back as they are, and whatever is built from them is refused. An empty name at either end is not,
// since what it leaves is a leading or a trailing slash: "orders/", which "orders/**" covers and "orders/*" does not.
func EscapeSegment(raw string) string {
	for i := range len(raw) {
		if !unreservedChars.has(raw[i]) {
			out := append(make([]byte, 0, len(raw)+2*(len(raw)-i)), raw[:i]...)
			for _, c := range []byte(raw[i:]) {
				out = appendEscaped(out, c)
			}
			return string(out)
		}
	}
	return raw
}

// dialect is what path, resource and pattern differ in.
type dialect struct {
	rooted    bool // begins with a slash
	separator bool // an encoded slash or backslash may stand in a segment
	wild      bool // a segment may be *, and the last **
}

var (
	forPath            = dialect{rooted: true}
	forResource        = dialect{separator: true}
	forPathPattern     = dialect{rooted: true, wild: true}
	forResourcePattern = dialect{separator: true, wild: true}
)

// want says what a pattern has to be, to whoever typed another one.
func (d dialect) want() string {
	if d.rooted {
		return "a leading slash, then segments, of which * is any one, with /** at the end for any number, and no query"
	}
	return "segments parted by slashes, of which * is any one, with /** at the end for any number"
}

func validPattern(s string) bool     { return canonical(s, forResourcePattern) }
func validPathPattern(s string) bool { return canonical(s, forPathPattern) }
func validPath(s string) bool        { return len(s) <= longestFact && canonical(s, forPath) }
func validResource(s string) bool    { return len(s) <= longestFact && canonical(s, forResource) }

// canonical reports whether s is in the canonical form of its dialect, in one pass.
func canonical(s string, d dialect) bool {
	if s == "" || d.rooted && s[0] != '/' {
		return false
	}
	start := 0
	if s[0] == '/' {
		start = 1
	}
	for {
		end, stars := start, 0
		for ; end < len(s) && s[end] != '/'; end++ {
			switch c := s[end]; {
			case unreservedChars.has(c):
			case c == '*' && d.wild:
				stars++
			case c == '%' && end+2 < len(s):
				b, ok := unhex(s[end+1], s[end+2])
				if !ok || unreservedChars.has(b) || isLower(s[end+1]) || isLower(s[end+2]) || isSeparator(b) && !d.separator {
					return false
				}
				end += 2
			default:
				return false
			}
		}
		if !validSegment(s[start:end], stars, start > 0, end == len(s)) {
			return false
		}
		if end == len(s) {
			return true
		}
		start = end + 1
	}
}

// validSegment reports whether a segment of well-formed text may stand at its place.
func validSegment(segment string, stars int, afterSlash, last bool) bool {
	switch segment {
	case "": // after a trailing slash, or after the only one
		return last
	case ".", "..":
		return false
	case "**":
		return afterSlash && last
	}
	return stars == 0 || segment == "*"
}

// canonicalize writes s, in which anything may be percent-encoded or not, in canonical form, or reports false.
func canonicalize(s string, d dialect) (string, bool) {
	out := make([]byte, 0, 3*len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '/' || c == '*' && d.wild:
			out = append(out, c)
			continue
		case c == '\\' || c == '?' || c == '#' || c < ' ' || c == 0x7f:
			return "", false
		case c == '%':
			if i+2 >= len(s) {
				return "", false
			}
			b, ok := unhex(s[i+1], s[i+2])
			if !ok || b == '.' {
				return "", false
			}
			c, i = b, i+2
		}
		out = appendEscaped(out, c)
	}
	if text := string(out); canonical(text, d) {
		return text, true
	}
	return "", false
}

func appendEscaped(out []byte, c byte) []byte {
	if unreservedChars.has(c) {
		return append(out, c)
	}
	const digits = "0123456789ABCDEF"
	return append(out, '%', digits[c>>4], digits[c&15])
}

func isSeparator(c byte) bool { return c == '/' || c == '\\' }

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

func unhex(high, low byte) (byte, bool) {
	h, okHigh := hexDigit(high)
	l, okLow := hexDigit(low)
	return h<<4 | l, okHigh && okLow
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
