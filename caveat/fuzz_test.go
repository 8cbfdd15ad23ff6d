package caveat_test

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
)

var (
	grammar   = regexp.MustCompile(`^([a-z0-9][a-z0-9._-]*:)?[a-z0-9][a-z0-9._-]*( [^\x00-\x1f\x7f\x{80}-\x{9f}]*)?$`)
	operation = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)*$`)
)

// No condition and no fact makes anything panic; deciding directly and compiled give one answer; and the grammar is
// the one that is written down.
func FuzzCondition(f *testing.F) {
	for _, c := range met {
		f.Add(c.condition, "")
	}
	for _, condition := range []string{"", " ", "a", "a:b c", "declared user ", "error x", "allow * ", "http-path /%2f", "client-ip ::/0", "x \xff", "x \u0085", "http-host \x80", "allow \n"} {
		f.Add(condition, "")
	}
	for _, row := range [][2]string{{"http-path /**", "/%2e"}, {"http-path /*/a", "/%C3%BC/"}, {"resource **", "a//"}, {"resource */**", "a"}, {"grpc-method /a.b/*", "/a.b/"},
		{"http-host ::1", "::1"}, {"allow a.*", "a."}, {"deny *", "*"}, {"audience a b", "a b"}, {"http:origin null", "null"}} {
		f.Add(row[0], row[1])
	}
	registry := caveat.Standard()
	f.Fuzz(func(t *testing.T, condition, fact string) {
		name, argument, err := caveat.ParseCondition(condition)
		require.Equal(t, grammar.MatchString(condition) && strings.ToValidUTF8(condition, "") == condition, err == nil)
		if err == nil && condition != name {
			require.Equal(t, condition, name+" "+argument)
		}
		stated := &caveat.Request{Operation: fact, Audience: fact, Now: now, Facts: caveat.Facts{
			Method: fact, Host: fact, Path: fact, GRPCMethod: fact, Resource: fact, Origin: fact}}
		requests := []*caveat.Request{request(), {}, {Operation: caveat.AnyOperation, Now: now}, stated}
		for i, req := range requests {
			decided := registry.Check(t.Context(), req, condition)
			require.NotErrorIs(t, decided, caveat.ErrPanicked, "there is nobody else's code in it")
			if registry.Holds(req, condition) {
				require.NoError(t, decided)
			}
			predicate, errCompile := registry.Compile(condition)
			if errCompile != nil {
				require.EqualError(t, decided, errCompile.Error())
				continue
			}
			require.NoError(t, err, "only what is well-formed compiles")
			compiled := predicate.Check(t.Context(), req)
			require.NotErrorIs(t, compiled, caveat.ErrPanicked)
			require.Equal(t, decided == nil, compiled == nil)
			if i == 1 && name != "branch" {
				require.Error(t, decided, "an empty request satisfies nothing")
			}
		}
	})
}

// Nothing that is exported panics, whatever it is given; and what a codec reads it writes, if only in one spelling.
func FuzzCodecs(f *testing.F) {
	for _, c := range met {
		_, argument, _ := strings.Cut(c.condition, " ")
		f.Add(argument)
	}
	for _, argument := range []string{"", " ", "a  b", "\xff", "::ffff:10.0.0.0/104", "fe80::1%eth0/64", "/**/", "**", "/a*", "user ann", "http://[::1]:1", "-12"} {
		f.Add(argument)
	}
	f.Fuzz(func(t *testing.T, argument string) {
		requireReadable(t, caveat.Text, argument)
		requireReadable(t, caveat.List, argument)
		requireReadable(t, caveat.Int, argument)
		requireReadable(t, caveat.Time, argument)
		requireReadable(t, caveat.Prefixes, argument)
		requireReadable(t, caveat.Patterns, argument)
		for _, c := range []caveat.Caveat{caveat.Operations(argument), caveat.Deny(argument), caveat.Audience(argument), caveat.Methods(argument),
			caveat.Hosts(argument), caveat.Path(argument), caveat.ExactPath(argument), caveat.GRPCMethods(argument), caveat.Resources(argument)} {
			condition, err := c.Condition()
			require.NotErrorIs(t, err, caveat.ErrPanicked)
			if err == nil {
				_, err = caveat.Standard().Compile(condition)
				require.NoError(t, err, "what is written is read")
			}
		}
		if id, err := caveat.ParseBranch(argument); err == nil && id != [16]byte{} {
			require.Equal(t, "branch "+argument, text(t, caveat.Branch(id)))
		}
		if key, value, err := caveat.ParseDeclared(argument); err == nil {
			require.Equal(t, argument, key+" "+value)
		}
		if segment := caveat.EscapeSegment(argument); argument != "" && argument != "." && argument != ".." {
			require.True(t, caveat.Pattern("*").Match(segment))
		}
	})
}

func requireReadable[T any](t *testing.T, codec caveat.Codec[T], argument string) {
	value, err := codec.Parse(argument)
	if err != nil {
		require.ErrorIs(t, err, caveat.ErrMalformed)
		require.Zero(t, value)
		return
	}
	written, err := codec.Format(value)
	require.NoError(t, err)
	again, err := codec.Parse(written)
	require.NoError(t, err)
	require.Equal(t, value, again)
}

// slowCanonicalPath says the same as CanonicalPath by way of net/url and path.
func slowCanonicalPath(sent string) (string, bool) {
	if len(sent) > 8<<10 || !strings.HasPrefix(sent, "/") || strings.ContainsAny(sent, `\?#`) || strings.ContainsFunc(sent, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", false
	}
	upper := strings.ToUpper(sent)
	for _, bad := range []string{"%2E", "%2F", "%5C"} {
		if strings.Contains(upper, bad) {
			return "", false
		}
	}
	segments := strings.Split(sent, "/")
	for i, segment := range segments {
		raw, err := url.PathUnescape(segment)
		if err != nil {
			return "", false
		}
		// Escaping for a query is the one of net/url that leaves only unreserved characters.
		segments[i] = strings.ReplaceAll(url.QueryEscape(raw), "+", "%20")
	}
	canonical := strings.Join(segments, "/")
	clean := path.Clean(canonical)
	if clean != "/" && strings.HasSuffix(canonical, "/") {
		clean += "/"
	}
	return canonical, clean == canonical
}

func FuzzPath(f *testing.F) {
	for _, sent := range []string{"", "/", "//", "/orders/7", "/a%20b/", "/%41", "/%2e", "/a/../b", "/a;b=c", "/ü", "/%c3%BC", "/%", "/a%2Fb", "/**", "/a?b", "*"} {
		f.Add(sent, "/a/*")
	}
	f.Add("/a", "/a/**")
	f.Add("/a/b/", "/a/*/")
	f.Fuzz(func(t *testing.T, sent, pattern string) {
		got, ok := caveat.CanonicalPath(sent)
		want, wantOK := slowCanonicalPath(sent)
		require.Equal(t, wantOK, ok, "%q", sent)
		if !ok {
			require.Empty(t, got)
			return
		}
		require.Equal(t, want, got)
		again, ok := caveat.CanonicalPath(got)
		require.True(t, ok)
		require.Equal(t, got, again)

		// A path as a pattern matches itself and is what ExactPath writes.
		require.True(t, caveat.Pattern(got).Match(got))
		decoded, err := url.PathUnescape(got)
		require.NoError(t, err)
		require.Equal(t, "http-path "+got, text(t, caveat.ExactPath(decoded)))

		p, err := caveat.ParsePattern(pattern)
		if err != nil {
			require.False(t, caveat.Pattern(pattern).Match(got))
			return
		}
		require.Equal(t, slowMatch(strings.Split(pattern, "/"), strings.Split(got, "/")), p.Match(got), "%q %q", pattern, got)
	})
}

// slowMatch says what Match says, one segment after the other.
func slowMatch(pattern, segments []string) bool {
	switch {
	case len(pattern) == 1 && pattern[0] == "**":
		return true // whatever is left, also nothing
	case len(pattern) == 0 || len(segments) == 0:
		return len(pattern) == len(segments)
	case pattern[0] == "*" && segments[0] != "" || pattern[0] == segments[0]:
		return slowMatch(pattern[1:], segments[1:])
	}
	return false
}

// Every time that is read is one that the standard library reads, and the same; and whatever the standard library writes is
// read.
func FuzzTime(f *testing.F) {
	for _, s := range []string{"2030-01-02T03:04:05Z", "2030-01-02T03:04:05.6Z", "2030-01-02T03:04:05,6Z", "2030-01-02T03:04:05+23:59", "2030-01-02T03:04:05+24:00",
		"9999-12-31T23:59:59.999999999Z", "0000-02-29T00:00:00-00:00", "2030-12-31T23:59:60Z", "2030-01-02T3:04:05Z", "0001-01-01T00:00:00Z", "", "Z"} {
		f.Add(s, int64(0), int64(0))
	}
	f.Add("", now.Unix(), int64(123456789))
	f.Add("", int64(-62167219200), int64(0))
	f.Add("", int64(253402300799), int64(999999999))
	f.Fuzz(func(t *testing.T, s string, seconds, nanoseconds int64) {
		if got, err := caveat.Time.Parse(s); err == nil {
			want, err := time.Parse(time.RFC3339Nano, s)
			require.NoError(t, err, "%q", s)
			require.True(t, got.Equal(want), "%q is %v, not %v", s, got, want)
			text, err := caveat.Time.Format(got)
			require.NoError(t, err)
			again, err := caveat.Time.Parse(text)
			require.NoError(t, err)
			require.Equal(t, got, again)
		}
		instant := time.Unix(seconds, nanoseconds)
		if text, err := caveat.Time.Format(instant); err == nil {
			require.Equal(t, instant.UTC().Format(time.RFC3339Nano), text)
			got, err := caveat.Time.Parse(text)
			require.NoError(t, err)
			require.True(t, got.Equal(instant))
		} else {
			year := instant.UTC().Year()
			require.True(t, instant.IsZero() || year < 0 || year > 9999)
		}
	})
}

// Covering agrees with a slow twin; a grant of every operation needs the asterisk; and no operation is both
// granted and denied by one list.
func FuzzOperations(f *testing.F) {
	for _, row := range [][2]string{{"*", "orders.read"}, {"orders.*", "orders.read"}, {"orders.*", "orders"}, {"orders", "orders"}, {"*", "*"}, {"a.*", "*"},
		{"", ""}, {"A", "A"}, {".*", "."}, {"a.*.*", "a.b.c"}, {"orders.* x", "orders.read"}} {
		f.Add(row[0], row[1])
	}
	f.Fuzz(func(t *testing.T, pattern, op string) {
		require.Equal(t, operation.MatchString(op) && !strings.Contains(op, "\n"), caveat.ValidOperation(op))
		covers := caveat.OperationCovers(pattern, op)
		require.Equal(t, slowCovers(pattern, op), covers, "%q %q", pattern, op)

		req := &caveat.Request{Operation: op}
		allowed := caveat.Standard().Check(t.Context(), req, "allow "+pattern) == nil
		denied := caveat.Standard().Check(t.Context(), req, "deny "+pattern) != nil
		require.False(t, allowed && !denied, "%q both grants and spares %q", pattern, op)
		if !strings.Contains(pattern, " ") {
			require.Equal(t, covers, allowed)
		}
		c := caveat.Operations(pattern)
		if condition, err := c.Condition(); err == nil {
			require.Equal(t, "allow "+pattern, condition)
			require.Equal(t, covers, allowed)
		}
	})
}

func slowCovers(pattern, op string) bool {
	if op != "*" && !operation.MatchString(op) {
		return false
	}
	above, wild := strings.CutSuffix(pattern, ".*")
	switch {
	case pattern == "*":
		return true
	case op == "*" || !operation.MatchString(above):
		return false
	case wild:
		return len(op) > len(above)+1 && op[:len(above)+1] == above+"."
	}
	return pattern == op
}
