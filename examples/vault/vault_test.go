package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

// withKey is a Vault that has a key of three versions, and a token that may do everything.
func withKey(t *testing.T) (vault *fakeVault, engine string) {
	vault = newFakeVault()
	vault.imports("orders", []byte(strings.Repeat("k", 32)))
	vault.policy("all", "POST transit/hmac/orders/sha2-256", "POST transit/hmac/orders", "POST transit/hmac/orders/sha1", "GET transit/keys/orders",
		"POST transit/keys/orders/rotate", "POST transit/keys/orders/config", "POST transit/hmac/none/sha2-256", "GET transit/keys/none", "GET other/keys/orders")
	server := httptest.NewServer(vault)
	t.Cleanup(server.Close)
	engine = server.URL + "/v1/transit"
	s := newTransit(engine, "orders", "all")
	for range 2 {
		require.NoError(t, s.call(t.Context(), http.MethodPost, "/keys/orders/rotate", map[string]any{}, &transitKey{}))
	}
	return vault, engine
}

// The fake answers what Vault does: statuses and texts as in the source of its Transit engine.
func TestFakeIsFaithful(t *testing.T) {
	_, engine := withKey(t)
	base := strings.TrimSuffix(engine, "/transit")
	input := base64.StdEncoding.EncodeToString([]byte("message"))
	for _, row := range []struct {
		name, token, method, path, body string
		status                          int
		want                            string
	}{
		{"the latest version", "all", "POST", "/transit/hmac/orders", `{"input":"` + input + `"}`, 200, `"hmac":"vault:v3:`},
		{"0 is the latest", "all", "POST", "/transit/hmac/orders/sha2-256", `{"input":"` + input + `","key_version":0}`, 200, `"hmac":"vault:v3:`},
		{"an older one, by PUT", "all", "PUT", "/transit/hmac/orders/sha2-256", `{"input":"` + input + `","key_version":1}`, 200, `"hmac":"vault:v1:`},
		{"not there yet", "all", "POST", "/transit/hmac/orders/sha2-256", `{"input":"` + input + `","key_version":4}`, 400, `{"errors":["key version does not exist; latest key version is 3"]}`},
		{"negative", "all", "POST", "/transit/hmac/orders/sha2-256", `{"input":"` + input + `","key_version":-1}`, 400, `{"errors":["key version does not exist (cannot be negative)"]}`},
		{"no input", "all", "POST", "/transit/hmac/orders/sha2-256", `{}`, 400, `{"errors":["missing input for HMAC"]}`},
		{"no base64", "all", "POST", "/transit/hmac/orders/sha2-256", `{"input":"!"}`, 400, `{"errors":["unable to decode input as base64: illegal base64 data at input byte 0"]}`},
		{"the path says the algorithm", "all", "POST", "/transit/hmac/orders/sha1", `{"input":"` + input + `","algorithm":"sha2-256"}`, 400, `{"errors":["unsupported algorithm '\\x00'"]}`},
		{"no such key", "all", "POST", "/transit/hmac/none/sha2-256", `{"input":"` + input + `"}`, 400, `{"errors":["encryption key not found"]}`},
		{"reading no such key", "all", "GET", "/transit/keys/none", "", 404, `{"errors":[]}`},
		{"reading", "all", "GET", "/transit/keys/orders", "", 200, `"latest_version":3`},
		{"no such engine", "all", "GET", "/other/keys/orders", "", 404, `no handler for route`},
		{"no token", "", "POST", "/transit/hmac/orders", `{}`, 403, `{"errors":["permission denied"]}`},
		{"a token without the policy", "all", "POST", "/transit/hmac/billing", `{}`, 403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`},
		{"too high", "all", "POST", "/transit/keys/orders/config", `{"min_encryption_version":4}`, 400, `cannot set min encryption version of 4, latest key version is 3`},
		{"archived before forbidden", "all", "POST", "/transit/keys/orders/config", `{"min_encryption_version":1,"min_decryption_version":2}`, 400, `must be greater than or equal to min decryption version of 2`},
		{"forbidden", "all", "POST", "/transit/keys/orders/config", `{"min_encryption_version":2}`, 200, `"min_encryption_version":2`},
		{"a forbidden one", "all", "POST", "/transit/hmac/orders/sha2-256", `{"input":"` + input + `","key_version":1}`, 400, `{"errors":["cannot generate HMAC: version is too old (disallowed by policy)"]}`},
		{"forbidden no more, but archived", "all", "POST", "/transit/keys/orders/config", `{"min_encryption_version":0,"min_decryption_version":2}`, 200, `"min_decryption_version":2`},
		{"an archived one", "all", "POST", "/transit/hmac/orders/sha2-256", `{"input":"` + input + `","key_version":1}`, 400, `{"errors":["no such key version"]}`},
	} {
		r, err := http.NewRequestWithContext(t.Context(), row.method, base+row.path, strings.NewReader(row.body))
		require.NoError(t, err)
		r.Header.Set("X-Vault-Token", row.token)
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, row.status, response.StatusCode, row.name)
		require.Contains(t, strings.TrimSpace(string(text)), row.want, row.name)
		require.True(t, json.Valid(text), row.name)
	}
}

func TestSign(t *testing.T) {
	vault, engine := withKey(t)
	s := newTransit(engine, "orders", "all")
	for version, key := range vault.keys["orders"].versions {
		sig, found, err := s.Sign(t.Context(), fmt.Sprintf("v%d", version+1), "identifier")
		require.NoError(t, err)
		require.True(t, found)
		mac, problem := (&fakeKey{versions: [][]byte{key}}).hmac(fakeBody{Input: new(base64.StdEncoding.EncodeToString([]byte("identifier")))})
		require.Empty(t, problem)
		require.Equal(t, "vault:v1:"+base64.StdEncoding.EncodeToString(sig[:]), mac)
	}
	keyID, retires, err := s.mintUnder(t.Context())
	require.NoError(t, err)
	require.Equal(t, "v3", keyID)
	require.Zero(t, retires)
	_, found, err := s.Sign(t.Context(), "v4", "identifier")
	require.NoError(t, err)
	require.False(t, found, "not there yet")

	for name, setting := range map[string]string{"forbidden": "min_encryption_version", "archived": "min_decryption_version"} {
		_, engine := withKey(t)
		s := newTransit(engine, "orders", "all")
		require.NoError(t, s.call(t.Context(), http.MethodPost, "/keys/orders/config", map[string]any{setting: 2}, &transitKey{}))
		for keyID, want := range map[string]bool{"v1": false, "v2": true, "v3": true} {
			_, found, err := s.Sign(t.Context(), keyID, "identifier")
			require.NoError(t, err, name)
			require.Equal(t, want, found, name)
		}
	}
}

// A key id comes from anybody. What is none of ours never reaches Vault.
func TestStrangeKeyIDs(t *testing.T) {
	vault, engine := withKey(t)
	s := newTransit(engine, "orders", "all")
	before := vault.count()
	for _, keyID := range []string{"", "v", "v0", "v-1", "v+1", "v01", "v1 ", "V1", "1", "v1.0", "v1e3", "v99999999999999999999", "../keys/billing", "v1/../../x", "v1?x", "v1%00", "ключ"} {
		_, found, err := s.Sign(t.Context(), keyID, "identifier")
		require.NoError(t, err, keyID)
		require.False(t, found, keyID)
	}
	require.Equal(t, before, vault.count())
}

// Only what Vault is sure of is a no.
func TestVaultFails(t *testing.T) {
	fails := func(name string, s *transit) {
		t.Helper()
		sig, found, err := s.Sign(t.Context(), "v1", "identifier")
		require.Error(t, err, name)
		require.False(t, found, name)
		require.Zero(t, sig, name)
		keys, err := rootkey.NewRemote(s, rootkey.RemoteOptions{MintUnder: s.mintUnder})
		require.NoError(t, err)
		_, err = keys.Mint(t.Context(), macaroon.Grant{}, caveat.ExpiresIn(time.Minute))
		require.Error(t, err, name)
	}
	vault, engine := withKey(t)
	fails("another token", newTransit(engine, "orders", "none"))
	fails("no such key", newTransit(engine, "none", "all"))
	fails("no such engine", newTransit(strings.Replace(engine, "transit", "other", 1), "orders", "all"))
	fails("nobody there", newTransit("http://127.0.0.1:1/v1/transit", "orders", "all"))
	vault.set(func() { vault.sealed = true })
	fails("sealed", newTransit(engine, "orders", "all"))

	mac := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, body := range []string{
		"", "{}", "[]", `{"data":null}`, `{"data":{"hmac":7}}`, `{"data":{"hmac":""}}`, `{"data":{"hmac":"` + mac + `"}}`,
		`{"data":{"hmac":"vault:v2:` + mac + `"}}`, `{"data":{"hmac":"vault:v1:` + mac[:40] + `"}}`, `{"data":{"hmac":"vault:v1:!` + mac[1:] + `"}}`,
		`{"data":{"hmac":"vault:v11:` + mac + `"}}`, `{"data":{"hmac":"vault:v1:` + mac + `"}` + strings.Repeat(" ", 1<<20) + "}", "<html>",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }))
		fails(fmt.Sprintf("answers %.80q", body), newTransit(server.URL, "orders", "all"))
		server.Close()
	}
}

// Vault's token goes to nobody else.
func TestNoRedirects(t *testing.T) {
	stolen := make(chan string, 10)
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stolen <- r.Header.Get("X-Vault-Token") }))
	defer thief.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(thief.URL, status))
		_, found, err := newTransit(server.URL, "orders", "all").Sign(t.Context(), "v1", "identifier")
		require.Error(t, err)
		require.False(t, found)
		server.Close()
	}
	require.Empty(t, stolen)
}

func TestSignHeedsContext(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, _, err := newTransit(server.URL, "orders", "all").Sign(ctx, "v1", "identifier")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
