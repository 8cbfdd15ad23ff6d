package httpauth_test

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/verifier/httpauth"
)

const allowed = "200 "

// TestAuthorizationOnTheWire sends headers that no client library would.
func TestAuthorizationOnTheWire(t *testing.T) {
	s := newService(t, httpauth.Options{})
	server := httptest.NewServer(s.auth.RequireFunc(operation, ok))
	defer server.Close()
	text := strings.TrimPrefix(s.bearer(), "Bearer ")

	for _, row := range []struct{ name, lines, want string }{
		{"as it should be", "Authorization: Bearer " + text, allowed},
		{"name in lower case", "authorization: Bearer " + text, allowed},
		{"scheme in lower case", "Authorization: bearer " + text, allowed},
		{"scheme in upper case", "Authorization: BEARER " + text, allowed},
		{"the other scheme", "Authorization: macaRoon " + text, allowed},
		{"two spaces", "Authorization: Bearer  " + text, allowed},
		{"white space around", "Authorization: \t Bearer " + text + " \t", allowed},
		{"tab after the scheme", "Authorization: Bearer\t" + text, rowSyntax},
		{"tab after the space", "Authorization: Bearer \t" + text, rowSyntax},
		{"empty", "Authorization:", rowSyntax},
		{"space alone", "Authorization:  ", rowSyntax},
		{"no space", "Authorization: Bearer" + text, rowNothing},
		{"colon", "Authorization: Bearer:" + text, rowSyntax},
		{"begins with a comma", "Authorization: ,Bearer " + text, rowSyntax},
		{"two lines, one empty", "Authorization: Bearer " + text + "\r\nAuthorization:", rowSyntax},
		{"two lines, cases differ", "Authorization: Bearer " + text + "\r\nAUTHORIZATION: Bearer " + text, rowSyntax},
		{"folded line", "Authorization: Bearer\r\n " + text, allowed}, // net/http unfolds it to one space
		{"not ASCII", "Authorization: Bearer " + text + "\xc3\xa9", rowSyntax},
		{"not ASCII in the scheme", "Authorization: Bearér " + text, rowSyntax},
		{"look-alike of a letter", "Authorization: Bearer " + "Е" + text[1:], rowSyntax},
		{"long", "Authorization: Bearer " + strings.Repeat("A", 900<<10), rowInvalid},
		{"long, and no token", "Authorization: Bearer " + strings.Repeat("A,", 450<<10), rowSyntax},
		{"longer than the server reads", "Authorization: Bearer " + strings.Repeat("A", 1<<20+8<<10), "431 "},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := raw(t, server, "GET /orders/7 HTTP/1.1\r\nHost: orders.internal\r\nConnection: close\r\n"+row.lines+"\r\n\r\n")
			require.Equal(t, row.want, rowOf(a))
		})
	}
}

// FuzzAuthorization compares with a slow reading of the grammar: what is no scheme
// and token is 400, another scheme is nothing presented, and only the one token is
// let in.
func FuzzAuthorization(f *testing.F) {
	s := newService(f, httpauth.Options{})
	good := strings.TrimPrefix(s.bearer(), "Bearer ")
	handler := s.auth.RequireFunc(operation, ok)
	for _, seed := range []string{"", "Bearer", "Bearer TOKEN", "bearer  TOKEN", "Macaroon TOKEN=", "Bearer a b", "Bearer a,b",
		"Bearer\tTOKEN", "Basic dXNlcg==", "Bearer a.b.c", " Bearer TOKEN ", "Bearer TOKEN\x00", "Bearer AgE", "béarer x", "Bearer  =", "=", "Bearer a=b"} {
		f.Add(seed)
	}
	syntax := regexp.MustCompile(`^(?i:bearer|macaroon) +[A-Za-z0-9._~+/-]+=*$`)
	other := regexp.MustCompile("(?s)^[!#$%&'*+.^_`|~0-9A-Za-z-]+( .*)?$")
	ours := regexp.MustCompile(`^(?i:bearer|macaroon)( |$)`)
	token := regexp.MustCompile(`^(?i:bearer|macaroon) +`)
	f.Fuzz(func(t *testing.T, value string) {
		value = strings.ReplaceAll(value, "TOKEN", good)
		a := serve(t, handler, get("/orders/7", value))
		trimmed := strings.Trim(value, " \t")
		want := rowSyntax
		switch {
		case syntax.MatchString(trimmed):
			want = rowInvalid
			if token.ReplaceAllString(trimmed, "") == good {
				want = allowed
			}
		case !ours.MatchString(trimmed) && other.MatchString(trimmed):
			want = rowNothing
		}
		require.Equal(t, want, rowOf(a))
		require.Len(t, s.audited(), 1)
	})
}
