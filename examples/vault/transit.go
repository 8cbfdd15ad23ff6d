package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// transit signs with a key of Vault's Transit engine: a rootkey.Signer over plain HTTP. Each
// version of that key is a root key of ours, with the id "v1", "v2" and so on.
//
// The key must be of type hmac. Keys of other types sign too, but with a second key
// that Vault made beside the one that was imported. What is imported is the derived key,
// not the root key:
//
//	vault transit import transit/keys/orders @derived.base64 type=hmac allow_rotation=true
//
// or nothing at all, since a key that Vault made is as good:
//
//	vault write transit/keys/orders type=hmac
//
// The Vault token needs a policy with update on transit/hmac/orders/sha2-256 and read on
// transit/keys/orders. The first of these is the power to mint.
type transit struct {
	client *http.Client
	engine string // https://vault.internal:8200/v1/transit
	key    string
	token  string // in a service that runs for long, one that is renewed
}

// newTransit makes a transit. Vault's token goes in a header of its own, which a client would
// take along to wherever it is redirected; so it is not.
func newTransit(engine, key, token string) *transit {
	return &transit{&http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, engine, key, token}
}

// Sign has Vault compute the HMAC of an identifier.
func (t *transit) Sign(ctx context.Context, keyID, identifier string) (sig [32]byte, found bool, err error) {
	version, ok := parseVersion(keyID)
	if !ok {
		return sig, false, nil
	}
	var answer struct {
		HMAC string `json:"hmac"`
	}
	err = t.call(ctx, http.MethodPost, "/hmac/"+t.key+"/sha2-256", map[string]any{
		"input":       base64.StdEncoding.EncodeToString([]byte(identifier)),
		"key_version": version,
	}, &answer)
	if refused := new(vaultError); errors.As(err, &refused) && refused.status == http.StatusBadRequest {
		// That may be because the version is too old or not there yet, or for any other
		// reason. The key knows.
		if key, readErr := t.read(ctx); readErr == nil && !key.has(version) {
			return sig, false, nil
		}
	}
	if err != nil {
		return sig, false, err
	}
	text, ok := strings.CutPrefix(answer.HMAC, fmt.Sprintf("vault:v%d:", version))
	mac, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(mac) != len(sig) {
		return sig, false, errors.New("vault: not an HMAC-SHA256 of the version that was asked for")
	}
	return [32]byte(mac), true, nil
}

// mintUnder gives the latest version of the key, for rootkey.RemoteOptions. Nobody has to
// hear of a new version before it mints, since verifiers ask Vault too.
func (t *transit) mintUnder(ctx context.Context) (keyID string, retires time.Time, err error) {
	key, err := t.read(ctx)
	if err != nil {
		return "", time.Time{}, err
	}
	if key.Type != "hmac" || key.Latest < 1 {
		return "", time.Time{}, fmt.Errorf("vault: key %s is of type %q, want hmac", t.key, key.Type)
	}
	return "v" + strconv.Itoa(key.Latest), time.Time{}, nil
}

// transitKey is what Vault tells of a key.
type transitKey struct {
	Type          string `json:"type"`
	Latest        int    `json:"latest_version"`
	MinEncryption int    `json:"min_encryption_version"` // what the hmac endpoint goes by; 0: any
	MinDecryption int    `json:"min_decryption_version"` // those below are archived
	MinAvailable  int    `json:"min_available_version"`  // those below were deleted
}

func (k transitKey) has(version int) bool {
	return version >= max(1, k.MinEncryption, k.MinDecryption, k.MinAvailable) && version <= k.Latest
}

func (t *transit) read(ctx context.Context) (key transitKey, err error) {
	err = t.call(ctx, http.MethodGet, "/keys/"+t.key, nil, &key)
	return key, err
}

// parseVersion reads a key id that anybody may have written.
func parseVersion(keyID string) (version int, ok bool) {
	digits, ok := strings.CutPrefix(keyID, "v")
	version, err := strconv.Atoi(digits)
	return version, ok && err == nil && version > 0 && keyID == "v"+strconv.Itoa(version)
}

// vaultError is an answer of Vault that is not what was asked for.
type vaultError struct {
	status int
	texts  []string
}

func (e *vaultError) Error() string {
	return fmt.Sprintf("vault: %d: %q", e.status, e.texts)
}

// call sends a request to the engine and reads the data of the answer.
func (t *transit) call(ctx context.Context, method, path string, body, data any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, t.engine+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("X-Vault-Token", t.token)
	r.Header.Set("X-Vault-Request", "true")
	response, err := t.client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		failure := vaultError{status: response.StatusCode}
		var body struct{ Errors []string }
		if json.Unmarshal(answer, &body) == nil {
			failure.texts = body.Errors
		}
		return &failure
	}
	var envelope struct{ Data json.RawMessage }
	if err := json.Unmarshal(answer, &envelope); err != nil {
		return fmt.Errorf("vault: answer: %w", err)
	}
	if err := json.Unmarshal(envelope.Data, data); err != nil {
		return fmt.Errorf("vault: data: %w", err)
	}
	return nil
}
