package grpcauth_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/legacy"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/grpcauth"
)

// TestLND: tokens as lnd's clients send them.
func TestLND(t *testing.T) {
	key := []byte("a root key of another system, 32")
	foreign, err := verifier.FixedKey(key, verifier.ForeignGrant{Operations: []string{operation}})
	require.NoError(t, err)
	set := setup{
		foreign:  foreign,
		verifier: verifier.Options{InsecureNoExpiry: true, InsecureNoAudience: true},
		options:  grpcauth.Options{LND: true},
	}
	s := newService(t, set)
	m, err := macaroon.New(key, "\x03an identifier", "lnd")
	require.NoError(t, err)
	m, err = m.Attenuate(caveat.ExpiresIn(time.Hour))
	require.NoError(t, err)
	binary, err := m.MarshalBinary()
	require.NoError(t, err)
	good := hex.EncodeToString(binary)
	text, err := m.Encode()
	require.NoError(t, err)
	c, err := macaroon.Parse(text)
	require.NoError(t, err)
	v1, err := legacy.ExportV1Binary(c)
	require.NoError(t, err)

	for _, row := range []struct {
		name   string
		values []string // keys and values
		want   answer
		reason verifier.Reason
	}{
		{"hexadecimal", []string{"macaroon", good}, answer{}, 0},
		{"in upper case", []string{"macaroon", strings.ToUpper(good)}, answer{}, 0},
		{"authorization", []string{"authorization", "Macaroon " + text}, answer{}, 0},
		{"none", nil, required, verifier.NothingPresented},
		{"empty", []string{"macaroon", ""}, invalid, verifier.NotMacaroon},
		{"both", []string{"macaroon", good, "authorization", "Macaroon " + text}, badRequest, verifier.InvalidRequest},
		{"both, one of another scheme", []string{"macaroon", good, "authorization", "Basic YTpi"}, badRequest, verifier.InvalidRequest},
		{"two that are equal", []string{"macaroon", good, "macaroon", good}, badRequest, verifier.InvalidRequest},
		{"base64", []string{"macaroon", text}, invalid, verifier.NotMacaroon},
		{"version 1", []string{"macaroon", hex.EncodeToString(v1)}, invalid, verifier.NotMacaroon},
		{"cut", []string{"macaroon", good[:len(good)-1]}, invalid, verifier.Malformed},
		{"another signature", []string{"macaroon", good[:len(good)-2] + "ff"}, invalid, verifier.SignatureMismatch},
		{"too long", []string{"macaroon", good + strings.Repeat("00", 16<<10)}, invalid, verifier.OverLimit},
		{"short identifier", []string{"macaroon", "0202014100" + "00" + "0620" + strings.Repeat("00", 32)}, invalid, verifier.SignatureMismatch},
		{"other key", []string{"macaroon-bin", string(binary)}, required, verifier.NothingPresented},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx := metadata.AppendToOutgoingContext(s.with(), row.values...)
			_, err := s.unary(ctx)
			records := s.audited()
			require.Len(t, records, 1)
			if row.want == (answer{}) {
				require.NoError(t, err)
				require.True(t, records[0].Verified.Foreign())
				return
			}
			require.Equal(t, row.want, answerOf(t, err))
			require.Equal(t, row.reason, records[0].Err.Reason)
		})
	}

	// The verifier's own limits hold.
	set.verifier.Limits.Text = len(text) - 1
	set.options.Import = true
	small := newService(t, set)
	for _, values := range [][]string{{"macaroon", good}, {"authorization", "Bearer " + text}} {
		_, err = small.unary(metadata.AppendToOutgoingContext(small.with(), values...))
		require.Equal(t, invalid, answerOf(t, err))
		require.Equal(t, verifier.OverLimit, small.audited()[0].Err.Reason)
	}

	// Without the option the key is nobody's: neither a token nor in the way of one.
	plain := newService(t, setup{})
	_, err = plain.unary(metadata.AppendToOutgoingContext(plain.with(), "macaroon", good))
	require.Equal(t, required, answerOf(t, err))
	_, err = plain.unary(metadata.AppendToOutgoingContext(plain.with(plain.bearer()), "macaroon", good))
	require.NoError(t, err)
}

// TestImport: tokens in other forms, if the option is set.
func TestImport(t *testing.T) {
	for _, imports := range []bool{false, true} {
		s := newService(t, setup{options: grpcauth.Options{Import: imports}})
		c := must(macaroon.Parse(strings.TrimPrefix(s.bearer(), "Bearer ")))
		v1 := must(legacy.ExportV1Binary(c))
		_, err := s.unary(s.with("Bearer " + hex.EncodeToString(v1)))
		if imports {
			require.NoError(t, err)
			_, err = s.unary(s.with(s.bearer()))
			require.NoError(t, err)
			_, err = s.unary(s.with("Bearer " + hex.EncodeToString(v1)[:100]))
		}
		require.Equal(t, invalid, answerOf(t, err))
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
