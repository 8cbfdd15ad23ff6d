package verifier_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/internal/vectors"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
	"github.com/amaretti-go/amaretti/verifier"
)

// vectorLimits are limits that no vector exceeds.
var vectorLimits = macaroon.Limits{
	Text: 1 << 20, Macaroons: 100, Caveats: 1000, AllCaveats: 1000, Depth: 100,
	Identifier: 1 << 17, Condition: 1 << 17, Location: 1 << 17,
}

// vectorVerifier knows the root key of a case. The cases are about authenticity,
// which is all that Authenticate decides, so that no condition is looked at.
func vectorVerifier(t *testing.T, rootKey []byte, limits macaroon.Limits) *verifier.Verifier {
	t.Helper()
	source, err := verifier.InsecureFixedKey(rootKey, verifier.ForeignGrant{})
	require.NoError(t, err)
	v, err := verifier.NewForeign(source, "vectors", verifier.Options{Limits: limits})
	require.NoError(t, err)
	return v
}

// importVector reads a macaroon and its discharges, each of which may be in an
// encoding of its own, and gives the credential that they are together. Like a
// service that knows what its clients send, it takes one macaroon in the form
// that it is said to be in.
func importVector(parts ...vectors.Encoded) (macaroon.Credential, error) {
	var all []byte
	for _, part := range parts {
		c, form, err := legacy.ImportWith(part.Data, vectorLimits)
		if err != nil {
			return macaroon.Credential{}, err
		}
		if c.Inspect().Len() != 1 || !isForm(form, part.Encoding) {
			return macaroon.Credential{}, fmt.Errorf("%w: %s", macaroon.ErrMalformed, form)
		}
		if all, err = c.AppendBinary(all); err != nil {
			return macaroon.Credential{}, err
		}
	}
	c, _, err := legacy.ImportWith(all, vectorLimits)
	return c, err
}

func isForm(form legacy.Form, encoding string) bool {
	switch encoding {
	case "v1_binary":
		return form == legacy.Form{Encoding: legacy.V1Binary}
	case "v2_binary":
		return form == legacy.Form{Encoding: legacy.V2Binary}
	case "v1_json":
		return form == legacy.Form{Encoding: legacy.V1JSON}
	case "v2_json":
		return form == legacy.Form{Encoding: legacy.V2JSON}
	case "v1_text":
		return form == legacy.Form{Encoding: legacy.V1Binary, Wrapping: legacy.Base64}
	case "v2_text":
		return form == legacy.Form{Encoding: legacy.V2Binary, Wrapping: legacy.Base64}
	}
	return false
}

func TestValidVectors(t *testing.T) {
	ctx := context.Background()
	verified := 0
	overDefaults := map[string]bool{}
	for _, c := range vectors.Valid(t) {
		v := vectorVerifier(t, c.RootKey, vectorLimits)
		strict := vectorVerifier(t, c.RootKey, macaroon.Limits{})
		wrong := vectorVerifier(t, append(bytes.Clone(c.RootKey), 'x'), vectorLimits)
		for encoding, data := range c.Encodings {
			t.Run(c.Name+"/"+encoding, func(t *testing.T) {
				parts := []vectors.Encoded{{Encoding: encoding, Data: data}}
				for _, d := range c.Discharges {
					part := vectors.Encoded{Encoding: encoding, Data: d.Encodings[encoding]}
					for other, data := range d.Encodings {
						if part.Data == nil {
							part = vectors.Encoded{Encoding: other, Data: data}
						}
					}
					parts = append(parts, part)
				}
				credential, err := importVector(parts...)
				require.NoError(t, err)
				authentic, err := v.Authenticate(ctx, credential)
				require.NoError(t, err)
				require.NotNil(t, authentic)
				verified++

				authentic, err = wrong.Authenticate(ctx, credential)
				require.ErrorIs(t, err, verifier.ErrUnauthenticated)
				require.Nil(t, authentic)

				if _, err := strict.Authenticate(ctx, credential); err != nil {
					require.Equal(t, "over-limit", class(err), "%v", err)
					overDefaults[c.Name] = true
				}
				if blob := c.SliceEncodings[encoding]; blob != nil {
					credential, _, err := legacy.ImportWith(blob, vectorLimits)
					require.NoError(t, err)
					_, err = v.Authenticate(ctx, credential)
					require.NoError(t, err)
				}
			})
		}
	}
	require.Equal(t, 1070, verified)
	require.Len(t, overDefaults, 20, "the 15 that are too large to be read, and 5 that nest too deep")
}

func TestInvalidVectors(t *testing.T) {
	ctx := context.Background()
	for _, c := range vectors.Invalid(t) {
		t.Run(c.Name, func(t *testing.T) {
			got := "parse-error"
			credential, err := importVector(append([]vectors.Encoded{c.Encoded}, c.Discharges...)...)
			if err == nil {
				var authentic *verifier.Authentic
				authentic, err = vectorVerifier(t, c.RootKey, vectorLimits).Authenticate(ctx, credential)
				require.Error(t, err)
				require.Nil(t, authentic)
				got = class(err)
			} else if errors.Is(err, macaroon.ErrVerificationID) && !slices.Contains(c.Expect, got) {
				got = "cannot-decrypt" // what others find out later
			}
			require.Contains(t, c.Expect, got, "%v", err)
		})
	}
}

// class gives the name by which the vectors call a refusal.
func class(err error) string {
	var refusal *verifier.Error
	if !errors.As(err, &refusal) {
		return "none"
	}
	return refusal.Reason.String()
}
