package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// fakeVault answers as a Vault with a Transit engine does, as far as this example goes:
// the same paths, bodies, versions, policies and errors. Only keys of type hmac are
// there, and it forgets them with the process.
type fakeVault struct {
	mu       sync.Mutex
	sealed   bool
	keys     map[string]*fakeKey
	policies map[string][]string // "METHOD path", by token
	requests int
}

type fakeKey struct {
	versions                     [][]byte // the first is version 1
	minEncryption, minDecryption int
	imported                     bool
}

func newFakeVault() *fakeVault {
	return &fakeVault{keys: make(map[string]*fakeKey), policies: make(map[string][]string)}
}

// imports is what "vault transit import" does, without its wrapping.
func (v *fakeVault) imports(name string, key []byte) {
	v.set(func() { v.keys[name] = &fakeKey{versions: [][]byte{key}, minDecryption: 1, imported: true} })
}

// policy lets a token do what is listed, and nothing else.
func (v *fakeVault) policy(token string, allowed ...string) {
	v.set(func() { v.policies[token] = allowed })
}

func (v *fakeVault) set(change func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change()
}

func (v *fakeVault) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.requests
}

func (v *fakeVault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.requests++
	method := r.Method
	if method == http.MethodPut { // the same to Vault
		method = http.MethodPost
	}
	path, below := strings.CutPrefix(r.URL.Path, "/v1/")
	allowed, known := v.policies[r.Header.Get("X-Vault-Token")]
	var body fakeBody
	switch {
	case !below:
		fail(w, http.StatusNotFound)
	case v.sealed:
		fail(w, http.StatusServiceUnavailable, "Vault is sealed")
	case !known:
		fail(w, http.StatusForbidden, "permission denied")
	case !slices.Contains(allowed, method+" "+path):
		fail(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
	case !strings.HasPrefix(path, "transit/"):
		fail(w, http.StatusNotFound, fmt.Sprintf("no handler for route %q. route entry not found.", path))
	case method == http.MethodPost && json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&body) != nil:
		fail(w, http.StatusBadRequest, "error parsing JSON")
	default:
		v.transit(w, method, strings.Split(path, "/")[1:], body)
	}
}

// fakeBody has the fields of all requests. A field that is not there is nil.
type fakeBody struct {
	Input         *string
	Algorithm     string
	KeyVersion    int  `json:"key_version"`
	MinEncryption *int `json:"min_encryption_version"`
	MinDecryption *int `json:"min_decryption_version"`
}

func (v *fakeVault) transit(w http.ResponseWriter, method string, path []string, body fakeBody) {
	if len(path) < 2 {
		fail(w, http.StatusNotFound, "1 error occurred:\n\t* unsupported path\n\n")
		return
	}
	name, rest := path[1], strings.Join(path[2:], "/")
	key, found := v.keys[name]
	switch {
	case method == http.MethodGet && path[0] == "keys" && rest == "":
		if !found {
			fail(w, http.StatusNotFound)
			return
		}
		succeed(w, key.data(name))
	case method == http.MethodPost && path[0] == "keys" && rest == "rotate":
		if !found {
			fail(w, http.StatusBadRequest, "key not found")
			return
		}
		fresh := make([]byte, sha256.Size)
		rand.Read(fresh)
		key.versions = append(key.versions, fresh)
		key.imported = false
		succeed(w, key.data(name))
	case method == http.MethodPost && path[0] == "keys" && rest == "config":
		if !found {
			fail(w, http.StatusBadRequest, "no existing key named "+name+" could be found")
		} else if problem := key.configure(body); problem != "" {
			fail(w, http.StatusBadRequest, problem)
		} else {
			succeed(w, key.data(name))
		}
	case method == http.MethodPost && path[0] == "hmac":
		if algorithm := rest; algorithm != "" {
			body.Algorithm = algorithm
		}
		if !found {
			fail(w, http.StatusBadRequest, "encryption key not found")
		} else if mac, problem := key.hmac(body); problem != "" {
			fail(w, http.StatusBadRequest, problem)
		} else {
			succeed(w, map[string]any{"hmac": mac})
		}
	default:
		fail(w, http.StatusNotFound, "1 error occurred:\n\t* unsupported path\n\n")
	}
}

func (k *fakeKey) data(name string) map[string]any {
	return map[string]any{ // Vault lists no versions for this type
		"name": name, "type": "hmac", "latest_version": len(k.versions), "imported_key": k.imported,
		"min_available_version": 0, "min_decryption_version": k.minDecryption, "min_encryption_version": k.minEncryption,
		"allow_plaintext_backup": false, "auto_rotate_period": 0, "deletion_allowed": false, "derived": false, "exportable": false,
		"supports_decryption": false, "supports_derivation": false, "supports_encryption": false, "supports_signing": false,
	}
}

func (k *fakeKey) configure(body fakeBody) (problem string) {
	encryption, decryption := k.minEncryption, k.minDecryption
	if body.MinDecryption != nil {
		decryption = max(*body.MinDecryption, 1)
	}
	if body.MinEncryption != nil {
		encryption = *body.MinEncryption
	}
	latest := len(k.versions)
	switch {
	case decryption > latest:
		return fmt.Sprintf("cannot set min decryption version of %d, latest key version is %d", decryption, latest)
	case encryption < 0:
		return "min encryption version cannot be negative"
	case encryption > latest:
		return fmt.Sprintf("cannot set min encryption version of %d, latest key version is %d", encryption, latest)
	case encryption > 0 && encryption < decryption:
		return fmt.Sprintf("cannot set min encryption/decryption values; min encryption version of %d must be greater than or equal to min decryption version of %d", encryption, decryption)
	}
	k.minEncryption, k.minDecryption = encryption, decryption
	return ""
}

func (k *fakeKey) hmac(body fakeBody) (mac, problem string) {
	version, latest := body.KeyVersion, len(k.versions)
	switch {
	case version == 0:
		version = latest
	case version != latest && k.minEncryption > 0 && version < k.minEncryption:
		return "", "cannot generate HMAC: version is too old (disallowed by policy)"
	case version < 0:
		return "", "key version does not exist (cannot be negative)"
	case version > latest:
		return "", fmt.Sprintf("key version does not exist; latest key version is %d", latest)
	case version < k.minDecryption:
		return "", "no such key version"
	}
	if body.Algorithm != "" && body.Algorithm != "sha2-256" { // the real one knows others
		return "", `unsupported algorithm '\x00'`
	}
	if body.Input == nil {
		return "", "missing input for HMAC"
	}
	input, err := base64.StdEncoding.DecodeString(*body.Input)
	if err != nil {
		return "", "unable to decode input as base64: " + err.Error()
	}
	h := hmac.New(sha256.New, k.versions[version-1])
	h.Write(input)
	return fmt.Sprintf("vault:v%d:%s", version, base64.StdEncoding.EncodeToString(h.Sum(nil))), ""
}

func succeed(w http.ResponseWriter, data map[string]any) {
	answer(w, http.StatusOK, map[string]any{
		"request_id": rand.Text(), "lease_id": "", "renewable": false, "lease_duration": 0, "data": data,
		"wrap_info": nil, "warnings": nil, "auth": nil, "mount_type": "transit",
	})
}

func fail(w http.ResponseWriter, status int, texts ...string) {
	answer(w, status, map[string]any{"errors": append([]string{}, texts...)})
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}
