package peers_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
	"github.com/amaretti-go/amaretti/verifier"
)

// A library does the five things that are done with macaroons. Tokens are text, one macaroon each, in one of the
// forms.
type library interface {
	String() string
	reads(form) bool
	writes(form) bool
	mint(t testing.TB, key []byte, identifier, location string, as form) string
	attenuate(t testing.TB, token string, as form, caveats ...restriction) string
	bind(t testing.TB, primary string, as form, discharges ...string) []string

	// verify checks a primary macaroon and its bound discharges. Of the conditions, those given are met.
	verify(t testing.TB, key []byte, tokens []string, met []string) error
}

// restriction is a caveat. It is one of a third party if it has a root key.
type restriction struct {
	ID       []byte `json:"id"`
	RootKey  []byte `json:"rootKey,omitempty"`
	Location string `json:"location"`
}

func condition(text string) restriction { return restriction{ID: []byte(text)} }

// form is how a token is written. A token stays in its version when it is narrowed.
type form struct {
	version int
	json    bool
}

func (f form) String() string {
	if f.json {
		return fmt.Sprintf("v%d JSON", f.version)
	}
	return fmt.Sprintf("v%d text", f.version)
}

var forms = []form{{1, false}, {1, true}, {2, false}, {2, true}}

// legacyForm is what Import calls the form.
func (f form) legacyForm() legacy.Form {
	switch f {
	case form{1, false}:
		return legacy.Form{Encoding: legacy.V1Binary, Wrapping: legacy.Base64}
	case form{1, true}:
		return legacy.Form{Encoding: legacy.V1JSON}
	case form{2, false}:
		return legacy.Form{Encoding: legacy.V2Binary, Wrapping: legacy.Base64}
	}
	return legacy.Form{Encoding: legacy.V2JSON}
}

var libraries = []library{ours{}, theirs{python}, theirs{javascript}}

// theirs is a library that a peer has.
type theirs struct{ *peer }

func (l theirs) String() string { return l.name }

// reads: npm's macaroon has no v1 binary.
func (l theirs) reads(f form) bool { return l.peer != javascript || f != form{1, false} }

// writes: npm's macaroon doubles its buffer with every part of a v2 binary that it writes, so that it runs out of
// memory with the third caveat or so.
func (l theirs) writes(f form) bool { return l.peer != javascript || f.json }

func (l theirs) mint(t testing.TB, key []byte, identifier, location string, as form) (token string) {
	t.Helper()
	require.NoError(t, l.ask(t, "mint", arguments{
		"key": key, "identifier": []byte(identifier), "location": location, "version": as.version, "json": as.json,
	}, &token))
	return token
}

func (l theirs) attenuate(t testing.TB, token string, as form, caveats ...restriction) (narrow string) {
	t.Helper()
	require.NoError(t, l.ask(t, "attenuate", arguments{"token": token, "caveats": caveats, "json": as.json}, &narrow))
	return narrow
}

func (l theirs) bind(t testing.TB, primary string, as form, discharges ...string) (bound []string) {
	t.Helper()
	require.NoError(t, l.ask(t, "bind", arguments{"primary": primary, "discharges": discharges, "json": as.json}, &bound))
	return bound
}

func (l theirs) verify(t testing.TB, key []byte, tokens, met []string) error {
	t.Helper()
	return l.ask(t, "verify", arguments{"key": key, "tokens": tokens, "conditions": met}, nil)
}

// ours is this one.
type ours struct{}

func (ours) String() string   { return "amaretti" }
func (ours) reads(form) bool  { return true }
func (ours) writes(form) bool { return true }

func (ours) mint(t testing.TB, key []byte, identifier, location string, as form) string {
	t.Helper()
	m, err := macaroon.New(key, identifier, location)
	require.NoError(t, err)
	return export(t, m, as)
}

func (ours) attenuate(t testing.TB, token string, as form, caveats ...restriction) string {
	t.Helper()
	m := single(t, token)
	for _, c := range caveats {
		var err error
		if c.RootKey != nil {
			m, err = m.Attenuate(macaroon.ThirdParty(c.RootKey, string(c.ID), c.Location))
		} else {
			m, err = m.Attenuate(macaroon.Condition(c.ID))
		}
		require.NoError(t, err)
	}
	return export(t, m, as)
}

func (ours) bind(t testing.TB, primary string, as form, discharges ...string) []string {
	t.Helper()
	var list []macaroon.Macaroon
	for _, text := range discharges {
		list = append(list, single(t, text))
	}
	wallet, err := macaroon.NewWallet(single(t, primary), list...)
	require.NoError(t, err)
	credential, err := wallet.Credential()
	require.NoError(t, err)
	whole, err := legacy.ExportV2JSON(credential)
	require.NoError(t, err)
	var bound []json.RawMessage
	require.NoError(t, json.Unmarshal(whole, &bound))

	out := make([]string, len(discharges))
	for _, object := range bound[1:] {
		m := single(t, string(object)) // bound, but on its own it looks like any other
		// The wallet orders them as the caveats are.
		i := slices.IndexFunc(list, func(d macaroon.Macaroon) bool { return d.Identifier() == m.Identifier() })
		out[i] = export(t, m, as)
	}
	return out
}

func (ours) verify(t testing.TB, key []byte, tokens, met []string) error {
	t.Helper()
	credential, err := together(tokens)
	if err != nil {
		return err
	}
	source, err := verifier.InsecureFixedKey(key, verifier.ForeignGrant{Operations: []string{"*"}})
	require.NoError(t, err)
	v, err := verifier.NewForeign(source, "peers", verifier.Options{
		Registry: registry(t, met), InsecureNoExpiry: true, InsecureNoAudience: true,
	})
	require.NoError(t, err)
	_, err = v.Verify(context.Background(), credential, "peers.test", caveat.Facts{})
	return err
}

// together is the credential that these tokens are, whatever form each is in.
func together(tokens []string) (macaroon.Credential, error) {
	elements := make([]string, len(tokens))
	for i, token := range tokens {
		if elements[i] = token; !strings.HasPrefix(token, "{") {
			elements[i] = `"` + token + `"`
		}
	}
	credential, _, err := legacy.Import([]byte("[" + strings.Join(elements, ",") + "]"))
	return credential, err
}

// single reads one token and looks at its form.
func single(t testing.TB, token string) macaroon.Macaroon {
	t.Helper()
	credential, _, err := legacy.Import([]byte(token))
	require.NoError(t, err, token)
	wallet, err := credential.Wallet()
	require.NoError(t, err, token)
	return wallet.Primary()
}

func export(t testing.TB, m macaroon.Macaroon, as form) string {
	t.Helper()
	var data []byte
	var err error
	switch as {
	case form{1, false}:
		var text string
		text, err = legacy.ExportV1Text(m)
		data = []byte(text)
	case form{1, true}:
		data, err = legacy.ExportV1JSON(m)
	case form{2, false}:
		data, err = m.MarshalBinary()
		data = []byte(base64.RawURLEncoding.EncodeToString(data))
	case form{2, true}:
		data, err = legacy.ExportV2JSON(m)
	}
	require.NoError(t, err)
	return string(data)
}

// registry knows the conditions of the tests, "account = …" and "note …". Those in met are met.
func registry(t testing.TB, met []string) caveat.Registry {
	t.Helper()
	kind := func(name string) caveat.Definition {
		return caveat.Define(name, anyText{}, func(_ context.Context, _ *caveat.Request, argument string) error {
			if slices.Contains(met, name+" "+argument) {
				return nil
			}
			return caveat.ErrNotMet
		})
	}
	registry, err := caveat.Standard().With(kind("account"), kind("note"))
	require.NoError(t, err)
	return registry
}

// anyText is the codec of an argument that means nothing to us.
type anyText struct{}

func (anyText) Parse(argument string) (string, error) { return argument, nil }
func (anyText) Format(value string) (string, error)   { return value, nil }
