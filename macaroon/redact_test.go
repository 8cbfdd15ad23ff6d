package macaroon_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon"
)

// holder is somebody else's type that keeps tokens where fmt finds no methods.
type holder struct {
	token   macaroon.Macaroon
	tokens  []macaroon.Macaroon
	wallet  *macaroon.Wallet
	request map[string]macaroon.Credential
	caveat  macaroon.Caveat
}

func TestSecretsDontPrint(t *testing.T) {
	caveatKey := []byte("a caveat root key of 32 bytes ..")
	third := macaroon.ThirdParty(caveatKey, "caveat id", "https://auth/")
	m := mustNew(t, string(rootKey), "identifier", "location", macaroon.Condition("account = 42"), third)
	d := mustNew(t, string(caveatKey), "caveat id", "")
	w, err := macaroon.NewWallet(m, d)
	require.NoError(t, err)
	c, err := w.Credential()
	require.NoError(t, err)

	signature := func(m interface{ MarshalBinary() ([]byte, error) }) []byte {
		data, err := m.MarshalBinary()
		require.NoError(t, err)
		return data[len(data)-32:]
	}
	secrets := [][]byte{rootKey, caveatKey, signature(m), signature(d), signature(c)}

	var out bytes.Buffer
	for _, v := range []any{m, &m, w, &w, c, &c, third,
		holder{m, []macaroon.Macaroon{m}, &w, map[string]macaroon.Credential{"a": c}, third},
		&holder{token: m}, []any{m, w, c}, struct{ Token macaroon.Macaroon }{m},
		m.Inspect(), w.Inspect(), c.Inspect(), m.Inspect().Caveats()} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%20.3v"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		func() {
			defer func() { fmt.Fprintln(&out, recover()) }()
			panic(v)
		}()
	}
	for _, logger := range []*slog.Logger{slog.New(slog.NewJSONHandler(&out, nil)), slog.New(slog.NewTextHandler(&out, nil))} {
		logger.Info("tokens", "macaroon", m, "wallet", w, "credential", c, "pointer", &m, slog.Group("g", "m", m))
	}
	_, err = m.Attenuate(third, macaroon.Condition(strings.Repeat("x", 5000)))
	fmt.Fprintf(&out, "%v %+v %#v", err, err, err)

	require.Contains(t, out.String(), "macaroon (2 caveats, redacted)")
	for i, secret := range secrets {
		for _, form := range []string{
			string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
			base64.StdEncoding.EncodeToString(secret)[:40], base64.RawURLEncoding.EncodeToString(secret)[:40],
			fmt.Sprint(secret), fmt.Sprintf("%q", secret),
		} {
			require.NotContains(t, out.String(), form, "secret %d", i)
		}
	}
	for _, v := range []any{m, w, c} {
		require.NotContains(t, out.String(), text(t, v)[len(text(t, v))-40:])
	}
}

// Inside something else a token is the token to encoding/json, and so to
// slog.JSONHandler, as the package documentation warns. slog.TextHandler prints by fmt.
func TestTokensInsideThingsUnderSlog(t *testing.T) {
	m := mustNew(t, "key", "id", "")
	inside := []macaroon.Macaroon{m}
	var asJSON, asText bytes.Buffer
	slog.New(slog.NewJSONHandler(&asJSON, nil)).Info("tokens", "list", inside)
	slog.New(slog.NewTextHandler(&asText, nil)).Info("tokens", "list", inside)
	require.Contains(t, asJSON.String(), text(t, m))
	require.NotContains(t, asText.String(), text(t, m))
}

// What a holder wrote can't imitate a line of the description.
func TestInspectQuotes(t *testing.T) {
	m := mustNew(t, "key", "id\nidentifier \"x\"", "l\ncaveat 0: \"y\"", macaroon.Condition("a\nsignature 00"), thirdParty("b\nc"))
	description := m.Inspect().String()
	require.Equal(t, `location "l\ncaveat 0: \"y\""
identifier "id\nidentifier \"x\""
caveat 0: "a\nsignature 00"
caveat 1: third party at "https://b\nc/", caveat id "b\nc"
`, description)

	minted, err := macaroon.Mint(ctx, oneKey("k1"), "k1", macaroon.Grant{Subject: `x" (minter)`, IssuedAt: issued})
	require.NoError(t, err)
	require.Contains(t, minted.Inspect().String(), `subject "x\" (minter)"`)
}
