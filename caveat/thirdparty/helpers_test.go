package thirdparty_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/macaroon"
)

// vectors are what the bakery wrote; see testdata.
type vectors struct {
	Condition          string `json:"condition"`
	Namespace          string `json:"namespace_text"`
	Nonce              string `json:"box_nonce_hex"`
	RootKey            string `json:"third_party_root_key_hex"`
	ThirdPartyPrivate  string `json:"third_party_private_hex"`
	ThirdPartyPublic   string `json:"third_party_public_text"`
	FirstPartyPrivate  string `json:"first_party_private_hex"`
	FirstPartyPublic   string `json:"first_party_public_hex"`
	V1                 string `json:"v1_caveat_id"`
	V2                 string `json:"v2_caveat_hex"`
	V3                 string `json:"v3_caveat_hex"`
	DischargesByCaveat map[string]struct {
		Signature string `json:"signature_hex"`
	} `json:"discharges"`
}

func load(t testing.TB) (v vectors) {
	data, err := os.ReadFile("testdata/bakery-vectors.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &v))
	require.NotEmpty(t, v.V1)
	return v
}

// ids are the caveat ids of the vectors, by version.
func (v vectors) ids(t testing.TB) map[int]string {
	return map[int]string{1: v.V1, 2: string(unhex(t, v.V2)), 3: string(unhex(t, v.V3))}
}

func (v vectors) nonce(t testing.TB) [24]byte { return [24]byte(unhex(t, v.Nonce)) }
func (v vectors) thirdParty(t testing.TB) thirdparty.PrivateKey {
	return keyFromHex(t, v.ThirdPartyPrivate)
}
func (v vectors) firstParty(t testing.TB) thirdparty.PrivateKey {
	return keyFromHex(t, v.FirstPartyPrivate)
}

func keyFromHex(t testing.TB, text string) thirdparty.PrivateKey {
	return parseKey(t, base64.StdEncoding.EncodeToString(unhex(t, text)))
}

func parseKey(t testing.TB, text string) thirdparty.PrivateKey {
	key, err := thirdparty.ParsePrivateKey(text)
	require.NoError(t, err)
	return key
}

func unhex(t testing.TB, text string) []byte {
	b, err := hex.DecodeString(text)
	require.NoError(t, err)
	return b
}

func keySet(t testing.TB, keys ...thirdparty.PrivateKey) thirdparty.Keys {
	set, err := thirdparty.NewKeys(keys[0], keys[1:]...)
	require.NoError(t, err)
	return set
}

const home = "https://id.example"

func party(key thirdparty.PrivateKey) thirdparty.Party {
	return thirdparty.Party{Location: home, Key: key.Public()}
}

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func dischargerAt(t testing.TB, now time.Time, keys ...thirdparty.PrivateKey) *thirdparty.Discharger {
	d, err := thirdparty.NewDischarger(keySet(t, keys...), thirdparty.Options{Now: func() time.Time { return now }})
	require.NoError(t, err)
	return d
}

// says is a checker that always gives this answer.
func says(answer thirdparty.Answer) thirdparty.Checker {
	return thirdparty.CheckerFunc(func(context.Context, thirdparty.Question) (thirdparty.Answer, error) { return answer, nil })
}

// refuses is a checker that always gives this error.
func refuses(err error) thirdparty.Checker {
	return thirdparty.CheckerFunc(func(context.Context, thirdparty.Question) (thirdparty.Answer, error) {
		return thirdparty.Answer{}, err
	})
}

// never is a checker that must not be asked.
func never(t testing.TB) thirdparty.Checker {
	return thirdparty.CheckerFunc(func(context.Context, thirdparty.Question) (thirdparty.Answer, error) {
		t.Error("asked")
		return thirdparty.Answer{}, nil
	})
}

// sealed makes the caveat id of c, and its root key.
func sealed(t testing.TB, c thirdparty.Caveat) (id string, rootKey []byte) {
	rootKey, id, location, err := c.ThirdParty()
	require.NoError(t, err)
	require.Equal(t, home, location)
	return id, rootKey
}

// conditions lists the first-party caveats of m, and the locations of the others.
func conditions(m macaroon.Macaroon) (list []string) {
	for _, c := range m.Inspect().Caveats().All() {
		if c.ThirdParty() {
			list = append(list, "at "+c.Location)
		} else {
			list = append(list, c.ID)
		}
	}
	return list
}

// signedBy reports whether m was minted under rootKey with the caveats that it has, all of the first party.
func signedBy(t testing.TB, m macaroon.Macaroon, rootKey []byte) bool {
	again, err := macaroon.New(rootKey, m.Identifier(), m.Location())
	require.NoError(t, err)
	for _, text := range conditions(m) {
		again, err = again.Attenuate(macaroon.Condition(text))
		require.NoError(t, err)
	}
	a, err := again.Encode()
	require.NoError(t, err)
	b, err := m.Encode()
	require.NoError(t, err)
	return a == b
}
