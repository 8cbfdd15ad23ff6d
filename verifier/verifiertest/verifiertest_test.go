package verifiertest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/verifiertest"
)

// TestVariants: each variant is wrong in the one respect that it is named for.
func TestVariants(t *testing.T) {
	v, token := verifiertest.New(t, "orders", "orders.read", caveat.Path("/orders/*"))
	right := caveat.Facts{Path: "/orders/7"}
	for _, row := range []struct {
		name   string
		token  verifiertest.Token
		reason verifier.Reason
	}{
		{"good", token, verifier.ReasonUnset},
		{"minted again", token.Mint("orders.read"), verifier.ReasonUnset},
		{"narrowed", token.Attenuate(caveat.Path("/orders/7")), verifier.ReasonUnset},
		{"narrowed too far", token.Attenuate(caveat.Path("/else")), verifier.CaveatFailed},
		{"expired", token.Expired(), verifier.Expired},
		{"other key", token.OtherKey(), verifier.UnknownKey},
		{"tampered with", token.Tampered(), verifier.SignatureMismatch},
		{"narrowed, then tampered with", token.Attenuate(caveat.Path("/orders/7")).Tampered(), verifier.SignatureMismatch},
		{"other audience", token.OtherAudience(), verifier.CaveatFailed},
		{"other operation", token.OtherOperation(), verifier.CaveatFailed},
		{"for another operation", token.Mint("orders.write"), verifier.CaveatFailed},
	} {
		t.Run(row.name, func(t *testing.T) {
			who, err := v.VerifyText(t.Context(), row.token.Text(), "orders.read", right)
			if row.reason == verifier.ReasonUnset {
				require.NoError(t, err)
				require.Equal(t, verifiertest.Subject, who.Subject())
				return
			}
			var refusal *verifier.Error
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, row.reason, refusal.Reason)
		})
	}
	_, err := v.VerifyText(t.Context(), token.Text(), "orders.read", caveat.Facts{Path: "/else"})
	require.ErrorIs(t, err, verifier.ErrDenied, "the caveats given are in the token")
	require.Equal(t, "Bearer "+token.Text(), token.Bearer())
	require.Equal(t, "token for orders.read", fmt.Sprint(token))
}

// TestVariantsKeepTheCaveats: an expired token with the wrong path says that it is
// expired, one for another audience is still restricted to the path.
func TestVariantsKeepTheCaveats(t *testing.T) {
	_, token := verifiertest.New(t, "orders", "orders.read", caveat.Path("/orders/*"))
	for name, variant := range map[string]verifiertest.Token{"expired": token.Expired(), "key": token.OtherKey(),
		"audience": token.OtherAudience(), "operation": token.OtherOperation()} {
		require.Equal(t, 4, variant.Macaroon.Inspect().Caveats().Len(), name)
		require.Equal(t, "http-path /orders/*", variant.Macaroon.Inspect().Caveats().At(3).ID, name)
	}
}

func TestOtherVerifierOfTheSameKeys(t *testing.T) {
	_, token := verifiertest.New(t, "orders", "orders.read")
	v, err := verifier.New(token.Keys, "orders", verifier.Options{Leeway: time.Second})
	require.NoError(t, err)
	_, err = v.VerifyText(t.Context(), token.Text(), "orders.read", caveat.Facts{})
	require.NoError(t, err)
}

// TestAttested: the attributes are in the token and all that is made of it.
func TestAttested(t *testing.T) {
	v, token := verifiertest.New(t, "orders", "orders.read", caveat.Path("/orders/*"))
	given := map[string]string{"user": "ann lee", "tenant": "acme", "role": ""}
	attested := token.Attested(given)
	given["user"] = "changed"
	for name, token := range map[string]verifiertest.Token{
		"itself": attested, "narrowed": attested.Attenuate(caveat.Path("/orders/7")), "minted again": attested.Mint("orders.read"),
	} {
		who, err := v.VerifyText(t.Context(), token.Text(), "orders.read", caveat.Facts{Path: "/orders/7"})
		require.NoError(t, err, name)
		require.Equal(t, map[string]string{"user": "ann lee", "tenant": "acme"}, maps.Collect(who.Attributes()), name)
	}
	for reason, token := range map[verifier.Reason]verifiertest.Token{
		verifier.Expired: attested.Expired(), verifier.UnknownKey: attested.OtherKey(), verifier.SignatureMismatch: attested.Tampered(),
		verifier.CaveatFailed: attested.OtherAudience(),
	} {
		_, err := v.VerifyText(t.Context(), token.Text(), "orders.read", caveat.Facts{Path: "/orders/7"})
		var refusal *verifier.Error
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, reason, refusal.Reason)
	}
	alone, err := attested.Macaroon.Encode()
	require.NoError(t, err)
	_, err = v.VerifyText(t.Context(), alone, "orders.read", caveat.Facts{Path: "/orders/7"})
	require.ErrorIs(t, err, verifier.ErrMissingDischarge)

	who, err := v.VerifyText(t.Context(), token.Text(), "orders.read", caveat.Facts{Path: "/orders/7"})
	require.NoError(t, err)
	require.Empty(t, maps.Collect(who.Attributes()), "the token it was made of")
}

// TestClock: tokens go by the clock of the test.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, token := verifiertest.New(t, "orders", "orders.read")
		time.Sleep(time.Hour - time.Nanosecond)
		_, err := v.VerifyText(t.Context(), token.Text(), "orders.read", caveat.Facts{})
		require.NoError(t, err)
		time.Sleep(time.Nanosecond)
		_, err = v.VerifyText(t.Context(), token.Text(), "orders.read", caveat.Facts{})
		require.ErrorIs(t, err, verifier.ErrExpired)
	})
}

// TestFailures end the test that asked for what can't be made.
func TestFailures(t *testing.T) {
	_, token := verifiertest.New(t, "orders", "orders.read")
	for name, f := range map[string]func(testing.TB){
		"audience":  func(t testing.TB) { verifiertest.New(t, "", "orders.read") },
		"operation": func(t testing.TB) { verifiertest.New(t, "orders", "Orders Read") },
		"caveat":    func(t testing.TB) { verifiertest.New(t, "orders", "orders.read", caveat.Path()) },
		"key": func(t testing.TB) {
			_, k := verifiertest.New(t, "orders", "orders.read")
			k.Attested(map[string]string{"": "x"})
		},
		"value": func(t testing.TB) {
			_, k := verifiertest.New(t, "orders", "orders.read")
			k.Attested(map[string]string{"x": "\n"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.PanicsWithValue(t, "fatal", func() { f(fatal{}) })
		})
	}
	require.NotEmpty(t, token.Text())
}

// holder is somebody else's type that keeps tokens where fmt finds no methods.
type holder struct {
	token   verifiertest.Token
	pointer *verifiertest.Token
	all     []verifiertest.Token
}

// TestTokensDontPrint, whatever the verb and wherever they are.
func TestTokensDontPrint(t *testing.T) {
	_, token := verifiertest.New(inHolder{}, "orders", "orders.read", caveat.Path("/orders/*"))
	narrow := token.Attenuate(caveat.Methods("GET"))
	var out bytes.Buffer
	for _, value := range []any{token, &token, holder{token, &narrow, []verifiertest.Token{narrow}}, &holder{token: narrow},
		map[string]verifiertest.Token{"a": token}, struct{ Token verifiertest.Token }{narrow}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%20.3v"} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("token", "value", token, "pointer", &narrow)
	}
	for _, secret := range []verifiertest.Token{token, narrow} {
		text := secret.Text()
		raw, err := base64.RawURLEncoding.DecodeString(text)
		require.NoError(t, err)
		signature := raw[len(raw)-32:]
		for _, form := range []string{text[len(text)-40:], string(signature), hex.EncodeToString(signature), hex.EncodeToString([]byte(text)),
			strings.Trim(fmt.Sprint(signature), "[]"), strings.Trim(fmt.Sprint([]byte(text)), "[]")} {
			require.NotContains(t, strings.ToLower(out.String()), strings.ToLower(form))
		}
	}
	require.Equal(t, "token for orders.read, token for orders.read", fmt.Sprintf("%#v, %d", token, &narrow))
	require.Empty(t, verifiertest.Token{}.Text())
}

// inHolder is what a test does not print by reflection, unlike its *testing.T, which
// others are writing to.
type inHolder struct{ testing.TB }

func (inHolder) Helper() {}

type fatal struct{ testing.TB }

func (fatal) Helper()               {}
func (fatal) Fatalf(string, ...any) { panic("fatal") }
