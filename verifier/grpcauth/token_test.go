package grpcauth_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier/grpcauth"
)

// FuzzMetadata: whatever stands in the metadata is the one token, in one of its forms, or
// a refusal of class unauthenticated; and it is recorded once.
func FuzzMetadata(f *testing.F) {
	s := newService(f, setup{options: grpcauth.Options{LND: true, Import: true}})
	m := s.mint()
	binary := must(m.MarshalBinary())
	text := must(m.Encode())
	for _, seed := range []string{"", "Bearer", "Bearer " + text, "macaroon " + text, text, "Bearer " + hex.EncodeToString(binary), "Bearer A", "Bearer AgEK", "Basic YTpi"} {
		f.Add(seed, "", false)
		f.Add(seed, "", true)
	}
	for _, seed := range []string{"02", "0202", "30", hex.EncodeToString(binary), "0202014100000620" + strings.Repeat("00", 32), text} {
		f.Add("", seed, true)
		f.Add("Bearer "+text, seed, true)
	}
	f.Fuzz(func(t *testing.T, authorization, lnd string, both bool) {
		md := metadata.MD{}
		if authorization != "" {
			md.Append("authorization", authorization)
		}
		if both {
			md.Append("macaroon", lnd)
		}
		s.audited()
		v, err := s.auth.Check(metadata.NewIncomingContext(t.Context(), md), operation)
		require.Len(t, s.audited(), 1)
		if err != nil {
			require.Nil(t, v)
			require.Equal(t, codes.Unauthenticated, status.Code(err), "%v", err)
			return
		}
		require.Equal(t, "billing", v.Subject())
		require.True(t, authorization == "" || !both)
		value := lnd
		if !both {
			_, value, _ = strings.Cut(strings.Trim(authorization, " \t"), " ")
			value = strings.TrimLeft(value, " ")
		}
		if decoded, err := hex.DecodeString(value); err == nil {
			require.Equal(t, binary, decoded)
			return
		}
		c, err := macaroon.Parse(strings.TrimRight(value, "="))
		require.NoError(t, err)
		require.Equal(t, m.Identifier(), c.Inspect().At(0).Identifier())
	})
}
