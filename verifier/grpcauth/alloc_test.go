//go:build !race

package grpcauth_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/grpcauth"
)

// TestAllocations: what is added to a decision is gRPC's copy of the metadatum, and the
// context.
func TestAllocations(t *testing.T) {
	const method = pb.TestService_UnaryCall_FullMethodName
	keys := rootkey.InMemory()
	v, err := verifier.New(keys, audience, verifier.Options{})
	require.NoError(t, err)
	m, err := keys.Mint(t.Context(), macaroon.Grant{}, caveat.ExpiresIn(time.Hour), caveat.Audience(audience), caveat.Operations(operation))
	require.NoError(t, err)
	text, err := m.Encode()
	require.NoError(t, err)
	alone := testing.AllocsPerRun(100, func() {
		if _, err := v.VerifyText(context.Background(), text, operation, caveat.Facts{GRPCMethod: method}); err != nil {
			t.Fatal(err)
		}
	})
	for name, operations := range map[string]map[string]string{
		"method":  {method: operation},
		"service": table,
	} {
		t.Run(name, func(t *testing.T) {
			auth, err := grpcauth.New(v, grpcauth.Options{Operations: operations})
			require.NoError(t, err)
			ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+text))
			info := &grpc.UnaryServerInfo{FullMethod: method}
			handler := func(context.Context, any) (any, error) { return nil, nil }
			behind := testing.AllocsPerRun(100, func() {
				if _, err := auth.Unary(ctx, nil, info, handler); err != nil {
					t.Fatal(err)
				}
			})
			require.LessOrEqual(t, behind-alone, 3.0)
		})
	}
}
