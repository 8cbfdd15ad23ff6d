//lint:file-ignore SA4006 README leaves out what every caller does about an error.

// Package examples_test compiles what README shows and does not show whole.
package examples_test

import (
	"context"
	"database/sql"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/sqlstore"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

// TestFragments: every block of Go in README that is no program, which is run elsewhere, stands
// line by line in a file that compiles. In README, … stands for anything within a line.
func TestFragments(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	var compiled string
	for _, file := range []string{"readme_test.go", "grpc/readme_test.go"} {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		compiled += plain(string(source))
	}
	fragments := 0
	for _, block := range regexp.MustCompile("(?s)\n```go\n(.*?)```\n").FindAllStringSubmatch(string(text), -1) {
		if strings.HasPrefix(block[1], "package main\n") {
			continue
		}
		fragments++
		pattern := strings.ReplaceAll(regexp.QuoteMeta(plain(block[1])), "…", ".+")
		require.Regexp(t, "\n"+pattern, compiled, "README.md:\n%s", block[1])
	}
	require.Equal(t, 8, fragments)
}

// plain takes indentation, empty lines and comments off.
func plain(source string) string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		line, _, _ = strings.Cut(line, " // ")
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// What follows is only compiled. In each function the lines of one block stand together.

var (
	_ = handler
	_ = kind
	_ = store
	_ = revoked
	_ = attested
	_ = outgoing
)

func handler(keys *rootkey.Keyring, mux *http.ServeMux, orders http.Handler) error {
	v, err := verifier.New(keys, "orders", verifier.Options{})
	auth, err := httpauth.New(v, httpauth.Options{})
	mux.Handle("GET /orders/{id}", auth.Require("orders.read", orders))
	return err
}

const here = "eu-west-1"

func kind(token macaroon.Macaroon) (verifier.Options, error) {
	var Region = caveat.Define("region", caveat.Text, func(ctx context.Context, req *caveat.Request, want string) error {
		if here != want {
			return caveat.ErrNotMet
		}
		return nil
	})

	registry, err := caveat.Standard().With(Region)
	token, err = token.Attenuate(Region.Of("eu-west-1"))
	return verifier.Options{Registry: registry}, err
}

func store(ctx context.Context, db *sql.DB, kek []byte) error {
	sealer, err := seal.NewKey(kek)
	store, err := sqlstore.New(db, sqlstore.PostgreSQL, sealer, sqlstore.Options{Name: "orders"})
	keys, err := rootkey.Open(ctx, store, rootkey.Options{})
	go keys.Run(ctx)
	return err
}

func revoked(ctx context.Context, keys *rootkey.Keyring, httpClient *http.Client) (*verifier.Verifier, error) {
	feed, err := revocation.HTTP(httpClient, "https://minter.internal/revocations", revocation.HTTPOptions{})
	list, err := revocation.NewList(feed, 10*time.Second, revocation.Options{})
	err = list.Refresh(ctx) // filled before the first request
	go list.Run(ctx)
	v, err := verifier.New(keys, "orders", verifier.Options{Revocations: list})
	return v, err
}

func attested(ctx context.Context, keys *rootkey.Keyring, grant macaroon.Grant, party thirdparty.Party, who *verifier.Verified) (macaroon.Macaroon, string, bool, error) {
	member := thirdparty.NewCaveat(party, "member-of acme")
	token, err := keys.Mint(ctx, grant, caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), member.Attesting("user"))
	user, found := who.Attribute("user")
	return token, user, found, err
}

func outgoing(source client.Source) (*http.Client, error) {
	transport, err := client.New([]string{"https://orders.internal"}, source, client.Options{})
	orders := &http.Client{Transport: transport}
	return orders, err
}
