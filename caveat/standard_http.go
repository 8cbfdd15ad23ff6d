package caveat

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Methods restricts a token to these HTTP methods, to the letter: HEAD is not GET, and neither is get. No method at all
// is an error.
func Methods(methods ...string) Caveat { return ofList(httpMethod, methods) }

// Hosts restricts a token to requests for these hosts: in lower case, without a port, internationalised names in their ASCII
// form, IPv6 addresses without brackets. No host at all is an error.
func Hosts(hosts ...string) Caveat { return ofList(httpHost, hosts) }

// Path restricts a token to paths that match one of the patterns, for example "/orders/*" or "/files/**"; see
// [Pattern]. It writes them in canonical form: what has to be percent-encoded is, and what is percent-encoded
// already stays so. An asterisk inside a segment is an error, and so are the braces of a pattern of
// [net/http.ServeMux]: for "/orders/{id}" write "/orders/*". Those that are meant literally are typed %2A, %7B and
// %7D. No pattern at all is an error. For a path that comes from elsewhere, use [ExactPath].
func Path(patterns ...string) Caveat {
	for _, typed := range patterns {
		if strings.ContainsAny(typed, "{}") { // it would be a caveat that no request meets
			return invalid(httpPath.Name(), malformed("%s is a mux's pattern: want * for a segment in braces, %%7B and %%7D for literal ones", quote(typed)))
		}
	}
	return ofPatterns(httpPath, patterns, forPathPattern)
}

// ExactPath restricts a token to one path, given as it reads once decoded, for example the Path of a url.URL. No
// character in it has a special meaning. A path that could not be told from another when encoded is an
// error, see [CanonicalPath].
func ExactPath(path string) Caveat {
	if !strings.ContainsFunc(path, func(r rune) bool { return r != '/' && (r >= utf8.RuneSelf || !unreservedChars.has(byte(r))) }) {
		return httpPath.Of(path) // nothing to escape
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segments[i] = EscapeSegment(segment)
	}
	return httpPath.Of(strings.Join(segments, "/"))
}

// GRPCMethods restricts a token to these full methods, "/package.Service/Method", or to all methods of a service,
// "/package.Service/*". No method at all is an error.
func GRPCMethods(methods ...string) Caveat { return ofList(grpcMethod, methods) }

// Resources restricts a token to resources that match one of the patterns; see [Pattern]. As [Path] it writes
// them in canonical form; a leading slash is up to the application and significant. Names that may contain
// anything are put in with [EscapeSegment]. No pattern at all is an error.
func Resources(patterns ...string) Caveat { return ofPatterns(resource, patterns, forResourcePattern) }

// ContentDigest restricts a token to requests whose body has this SHA-256 value. All zero is an error.
func ContentDigest(sum [32]byte) Caveat { return content.Of(sum) }

func ofPatterns(kind Kind[string], patterns []string, d dialect) Caveat {
	words := make([]string, len(patterns))
	for i, typed := range patterns {
		var ok bool
		if words[i], ok = canonicalize(typed, d); !ok {
			return invalid(kind.Name(), malformed("%s is not a pattern: want %s", quote(typed), d.want()))
		}
	}
	return ofList(kind, words)
}

var (
	methods          = &wordsCodec{"an HTTP method", validMethod}
	hosts            = &wordsCodec{"a host in lower case without a port", validHost}
	pathPatterns     = &wordsCodec{"a canonical pattern of paths", validPathPattern}
	grpcPatterns     = &wordsCodec{"a full gRPC method: /package.Service/Method or /package.Service/*", validGRPCPattern}
	resourcePatterns = &wordsCodec{"a canonical pattern", validPattern}
)

func checkMethod(_ context.Context, req *Request, list string) error {
	return checkListed("method", req.Method, list, methods)
}

func checkHost(_ context.Context, req *Request, list string) error {
	return checkListed("host", req.Host, list, hosts)
}

func checkPath(_ context.Context, req *Request, list string) error {
	path, ok := CanonicalPath(req.Path)
	matched, err := pathPatterns.anyFits(list, path, matches)
	switch {
	case err != nil:
		return err
	case !ok:
		return absentOr(req.Path, "path")
	case !matched:
		return notMet("path is %s", quote(path))
	}
	return nil
}

func checkGRPCMethod(_ context.Context, req *Request, list string) error {
	return checkMatched("gRPC method", req.GRPCMethod, validGRPCMethod, list, grpcPatterns)
}

func checkResource(_ context.Context, req *Request, list string) error {
	return checkMatched("resource", req.Resource, validResource, list, resourcePatterns)
}

func checkMatched(what, fact string, valid func(string) bool, list string, patterns *wordsCodec) error {
	compared := fact
	if !valid(fact) {
		compared = "" // else the list would be compared with what may be very long
	}
	matched, err := patterns.anyFits(list, compared, matches)
	switch {
	case err != nil:
		return err
	case compared == "":
		return absentOr(fact, what)
	case !matched:
		return notMet("%s is %s", what, quote(fact))
	}
	return nil
}

func checkOrigin(_ context.Context, req *Request, origin string) error {
	switch {
	case !validOrigin(req.Origin):
		return absentOr(req.Origin, "origin")
	case req.Origin != origin:
		return notMet("origin is %s", quote(req.Origin))
	}
	return nil
}

func checkContent(ctx context.Context, req *Request, want [sha256.Size]byte) error {
	if req.ContentDigest == nil {
		return absent("no content digest")
	}
	sum, err := req.ContentDigest(ctx)
	if err != nil {
		return fmt.Errorf("content digest: %w", err)
	}
	if sum != want {
		return notMet("the content is another")
	}
	return nil
}

// validMethod: a token, RFC 9110 section 5.6.2.
func validMethod(method string) bool { return tokenChars.all(method) }

// validHost: a name of labels in lower case, or an address as netip prints it.
func validHost(host string) bool {
	const longest = 253 // RFC 1035 section 2.3.4, as text
	if len(host) > longest {
		return false
	}
	if strings.IndexByte(host, ':') >= 0 {
		addr, err := netip.ParseAddr(host)
		var buf [64]byte
		return err == nil && addr.Zone() == "" && !addr.Is4In6() && string(addr.AppendTo(buf[:0])) == host
	}
	return hostChars.dotted(host)
}

// validGRPCMethod: a slash, the full name of a service, a slash, the name of a method, both of Protocol Buffers.
func validGRPCMethod(method string) bool {
	service, name, ok := cutGRPCMethod(method)
	return ok && len(method) <= longestFact && identifierChars.dotted(service) && identifierChars.all(name)
}

func validGRPCPattern(pattern string) bool {
	service, name, ok := cutGRPCMethod(pattern)
	return ok && identifierChars.dotted(service) && (name == "*" || identifierChars.all(name))
}

func cutGRPCMethod(method string) (service, name string, ok bool) {
	if !strings.HasPrefix(method, "/") {
		return "", "", false
	}
	return strings.Cut(method[1:], "/")
}

// validOrigin: one word. "null" is what any sandboxed page can have, so it identifies nobody.
func validOrigin(origin string) bool { return isWord(origin) && origin != "null" }
