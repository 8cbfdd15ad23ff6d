package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"time"

	"gopkg.in/macaroon.v2"
)

// macaroonV2 is gopkg.in/macaroon.v2 with what it leaves to its users written by hand: an identifier of key
// id, token id, time and subject, a look-up of the key, the transport, the checks.
type macaroonV2 struct {
	grant grant
	keys  map[string][]byte
}

func newMacaroonV2(g grant) (contender, error) {
	return &macaroonV2{grant: g, keys: map[string][]byte{keyID: random(32)}}, nil
}

// random returns n random bytes.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func (v *macaroonV2) mint() (string, error) {
	id := make([]byte, 0, 64)
	id = append(id, keyID...)
	id = append(id, ' ')
	id = append(id, random(16)...)
	id = time.Now().UTC().AppendFormat(id, "20060102T150405Z")
	id = append(id, v.grant.subject...)
	m, err := macaroon.New(v.keys[keyID], id, location, macaroon.V2)
	if err != nil {
		return "", err
	}
	for _, c := range v.grant.caveats {
		if err := m.AddFirstPartyCaveat([]byte(c.condition())); err != nil {
			return "", err
		}
	}
	return encodeV2(m)
}

func encodeV2(m *macaroon.Macaroon) (string, error) {
	b, err := m.MarshalBinary()
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

func decodeV2(text string) (macaroon.Slice, error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	var ms macaroon.Slice
	if err := ms.UnmarshalBinary(b); err != nil {
		return nil, err
	}
	if len(ms) == 0 {
		return nil, errDenied
	}
	return ms, nil
}

func (v *macaroonV2) decide(header string, r request) (string, error) {
	text, err := bearer(header)
	if err != nil {
		return "", err
	}
	ms, err := decodeV2(text)
	if err != nil {
		return "", err
	}
	kid, rest, _ := bytes.Cut(ms[0].Id(), []byte(" "))
	key, found := v.keys[string(kid)]
	if !found || len(rest) < 32 {
		return "", errDenied
	}
	now := time.Now()
	check := func(condition string) error { return r.check(now, condition) }
	if err := ms[0].Verify(key, check, ms[1:]); err != nil {
		return "", err
	}
	return string(rest[32:]), nil
}

func (v *macaroonV2) hold(text string) (func() (string, error), error) {
	ms, err := decodeV2(text)
	if err != nil {
		return nil, err
	}
	return func() (string, error) {
		m := ms[0].Clone()
		if err := m.AddFirstPartyCaveat([]byte(narrower.condition())); err != nil {
			return "", err
		}
		return encodeV2(m)
	}, nil
}

func (v *macaroonV2) read(text string) error {
	_, err := decodeV2(text)
	return err
}
