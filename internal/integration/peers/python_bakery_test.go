package peers_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
)

// Python's bakery, as a third party, opens our caveat ids and writes discharges that we take.
func TestPythonDischarges(t *testing.T) {
	keys := rootkey.InMemory()
	v, err := verifier.New(keys, "orders", verifier.Options{})
	require.NoError(t, err)
	var key struct{ Private, Public string }
	require.NoError(t, python.ask(t, "new_key", nil, &key))
	public, err := thirdparty.ParsePublicKey(key.Public)
	require.NoError(t, err)

	for _, version := range []int{2, 3} {
		party := thirdparty.Party{Location: identity, Key: public, Version: version}
		for name, row := range map[string]struct {
			condition string
			declared  map[string]string
			user      string
			refusal   string
		}{
			"declared":     {isMember, map[string]string{"user": "ann", "x": "y"}, "ann", ""},
			"not declared": {isMember, map[string]string{}, "", ""},
			"not a member": {"member-of emca", nil, "", "not a member"},
			"unknown":      {"neighbour-of acme", nil, "", "unknown condition"},
		} {
			t.Run(fmt.Sprintf("version %d, %s", version, name), func(t *testing.T) {
				token, err := keys.Mint(t.Context(), macaroon.Grant{Subject: "web"},
					caveat.ExpiresIn(time.Hour), caveat.Audience("orders"), caveat.Operations("orders.read"),
					thirdparty.NewCaveat(party, row.condition).Attesting("user"))
				require.NoError(t, err)
				wallet, err := macaroon.NewWallet(token)
				require.NoError(t, err)
				id := wallet.Missing()[0].CaveatID

				var text string
				err = python.ask(t, "discharge", arguments{
					"private": key.Private, "id": []byte(id), "declared": row.declared,
				}, &text)
				if row.refusal != "" {
					require.ErrorIs(t, err, errRefused)
					require.ErrorContains(t, err, row.refusal)
					return
				}
				require.NoError(t, err)
				wallet, err = wallet.With(single(t, text))
				require.NoError(t, err)
				require.Empty(t, wallet.Missing())
				credential, err := wallet.Credential()
				require.NoError(t, err)
				who, err := v.Verify(t.Context(), credential, "orders.read", caveat.Facts{})
				require.NoError(t, err)
				user, attested := who.Attribute("user")
				require.Equal(t, row.user, user)
				require.Equal(t, row.user != "", attested)
			})
		}
	}
}

// We, as a third party, open the caveat ids of Python's bakery and write discharges that it takes.
func TestWeDischargeForPython(t *testing.T) {
	key := thirdparty.GenerateKey()
	discharger := newDischarger(t, key)

	for version := 1; version <= 3; version++ {
		for thirdPartyVersion := 1; thirdPartyVersion <= 3; thirdPartyVersion++ {
			for condition, row := range map[string]struct {
				declared map[string]string
				err      error
			}{
				isMember:                                 {map[string]string{"user": "ann"}, nil},
				"need-declared user,team member-of acme": {map[string]string{"user": "ann", "team": ""}, nil},
				"neighbour-of acme":                      {nil, thirdparty.ErrUnknownCondition},
				"need-declared user neighbour-of acme":   {nil, thirdparty.ErrUnknownCondition},
			} {
				name := fmt.Sprintf("version %d, of the third party %d, %s", version, thirdPartyVersion, condition)
				t.Run(name, func(t *testing.T) {
					var baked struct{ ID, Payload []byte }
					require.NoError(t, python.ask(t, "bake", arguments{
						"version": version, "location": identity, "public": key.Public().String(),
						"condition": condition, "third_party_version": thirdPartyVersion,
					}, &baked))
					require.Equal(t, version == 3 && thirdPartyVersion == 3, baked.Payload != nil)

					request := thirdparty.Request{CaveatID: string(baked.ID), Payload: string(baked.Payload)}
					discharge, err := discharger.Discharge(t.Context(), request, members(map[string]string{"user": "ann"}))
					require.ErrorIs(t, err, row.err)
					if row.err != nil {
						return
					}
					require.Equal(t, string(baked.ID), discharge.Identifier())
					text, err := legacy.ExportV2JSON(discharge)
					require.NoError(t, err)
					var declared map[string]string
					require.NoError(t, python.ask(t, "eat", arguments{"id": baked.ID, "discharge": string(text)}, &declared))
					require.Equal(t, row.declared, declared)

					// Not with one that somebody else made.
					forged, err := macaroon.New([]byte("some other key"), string(baked.ID), "")
					require.NoError(t, err)
					text, err = legacy.ExportV2JSON(forged)
					require.NoError(t, err)
					err = python.ask(t, "eat", arguments{"id": baked.ID, "discharge": string(text)}, nil)
					require.ErrorIs(t, err, errRefused)
					require.ErrorContains(t, err, "PermissionDenied")
				})
			}
		}
	}
}
