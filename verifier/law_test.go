package verifier_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v2 "gopkg.in/macaroon.v2"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/internal/wire"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// lawConditions are what a holder appends.
var lawConditions = []string{
	"allow *", "allow orders.*", "audience orders", "audience stock", "time-before 2099-01-01T00:00:00Z", "time-before 2000-01-01T00:00:00Z",
	"declared user admin", "http-method GET", "http-path /**", "deny stock.*", "branch AAAAAAAAAAAAAAAAAAAAAA", "user_id = @victim", "guest = true",
	"", "error x", "time-before x", "allow", "\x00",
}

// TestLaw appends each of them to every variant.
func TestLaw(t *testing.T) {
	s := newService(t, verifier.Options{})
	for _, condition := range lawConditions {
		for variant := range uint8(32) {
			law(t, s, condition, "orders.read", "GET", "/orders/7", variant)
		}
		law(t, s, condition, "*", "GET", "/", 0)
		law(t, s, condition, "orders.write", "POST", "/orders/7", 4)
	}
}

// FuzzLaw goes on from a few of those: each seed takes time from what is new.
func FuzzLaw(f *testing.F) {
	for i, condition := range lawConditions {
		f.Add(condition, "orders.read", "GET", "/orders/7", uint8(7*i)) // variants of all sorts
	}
	s := newService(f, verifier.Options{})
	f.Fuzz(func(t *testing.T, condition, operation, method, path string, variant uint8) {
		law(t, s, condition, operation, method, path, variant)
	})
}

// law holds the verifier to the law: whatever a holder appends, to the primary
// macaroon or to a discharge before it is bound, only restricts. If the longer token
// is allowed, the shorter one is, and nothing reported of identity or grants
// differs.
func law(t *testing.T, s service, condition, operation, method, path string, variant uint8) {
	defer tell(t, "appended %q, variant %05b, asked for %q", condition, variant, operation)
	key := []byte("0123456789abcdef0123456789abcdef")
	facts := caveat.Facts{Method: method, Path: path}
	appended := macaroon.Condition(condition)

	// Variants: what the minter left out, and who the minter is.
	minters := []macaroon.Caveat{caveat.ExpiresIn(time.Hour), caveat.Audience("orders")}
	if variant&1 != 0 {
		minters = minters[:1]
	}
	if variant&16 != 0 {
		minters = minters[1:]
	}
	if variant&2 != 0 {
		minters = append(minters, thirdParty("a"))
	}
	var v *verifier.Verifier
	var token macaroon.Macaroon
	if variant&4 == 0 {
		v = s.Verifier
		if variant&8 == 0 {
			minters = append(minters, caveat.Operations(read, "stock.*"))
		}
		token = s.mintOnly(t, minters...)
	} else {
		grant := verifier.ForeignGrant{MinterCaveats: len(minters), Operations: []string{read, "stock.*"}}
		options := verifier.Options{}
		if variant&8 != 0 {
			grant.MinterCaveats = 0
			options.InsecureNoExpiry, options.InsecureNoAudience = true, true
		}
		v = must(verifier.NewForeign(must(verifier.FixedKey(key, grant))(t), "orders", options))(t)
		token = narrow(t, must(macaroon.New(key, "identifier", ""))(t), minters...)
	}
	longer, err := token.Attenuate(appended)
	if err != nil {
		return
	}
	var without, with []macaroon.Credential
	if variant&2 == 0 {
		without, with = append(without, present(t, token)), append(with, present(t, longer))
		// A third-party caveat of the holder's own, met by himself: it brings no more.
		own, err := longer.Attenuate(thirdParty("own"))
		require.NoError(t, err)
		without, with = append(without, present(t, token)), append(with, present(t, own, narrow(t, discharge(t, "own"), appended)))
	} else {
		d := discharge(t, "a")
		without, with = append(without, present(t, token, d)), append(with, present(t, longer, d))
		without, with = append(without, present(t, token, d)), append(with, present(t, token, narrow(t, d, appended)))
		// One deeper, below a caveat of the third party's or of the holder's.
		deeper, inner := narrow(t, d, thirdParty("inner")), discharge(t, "inner")
		longer := present(t, token, deeper, narrow(t, inner, appended))
		without, with = append(without, present(t, token, deeper, inner)), append(with, longer)
		without, with = append(without, present(t, token, d)), append(with, longer)
	}
	for i := range with {
		more, err := v.Verify(ctx, with[i], operation, facts)
		if err != nil {
			require.Nil(t, more)
			continue
		}
		less, err := v.Verify(ctx, without[i], operation, facts)
		require.NoError(t, err, "appending %q granted %q", condition, operation)
		requireSameIdentity(t, more, less)
		if less.Expiry().IsZero() {
			continue
		}
		require.False(t, more.Expiry().IsZero())
		require.False(t, more.Expiry().After(less.Expiry()))
	}
}

// A byte changed anywhere outside a location never verifies, also as text, however
// well known it was before.
func FuzzChangedByte(f *testing.F) {
	f.Add(uint16(0), uint8(1))
	f.Add(uint16(20), uint8(0x80))
	f.Add(uint16(300), uint8(0xff))
	s := newService(f, verifier.Options{})
	good := binary(f, present(f, s.mint(f, thirdParty("a"), caveat.Methods("GET")), discharge(f, "a", caveat.Methods("GET"))))
	facts := caveat.Facts{Method: "GET"}
	unlocated := withoutLocations(f, good)
	text := base64.RawURLEncoding.EncodeToString(good)
	for range 4 {
		must(s.VerifyText(ctx, text, read, facts))(f)
	}
	require.EqualValues(f, 3, s.Stats().Hits)
	check := func(t testing.TB, position int, mask uint8) {
		data := bytes.Clone(good)
		data[position%len(data)] ^= mask
		var c macaroon.Credential
		if err := c.UnmarshalBinary(data); err != nil || mask == 0 {
			return
		}
		if slices.Equal(withoutLocations(t, data), unlocated) {
			return
		}
		verified, err := s.Verify(ctx, c, read, facts)
		require.Nil(t, verified, "byte %d changed by %x", position%len(data), mask)
		require.ErrorIs(t, err, verifier.ErrUnauthenticated)
		verified, err = s.VerifyText(ctx, base64.RawURLEncoding.EncodeToString(data), read, facts)
		require.Nil(t, verified, "byte %d changed by %x", position%len(data), mask)
		require.ErrorIs(t, err, verifier.ErrUnauthenticated)
	}
	for i := range good {
		for bit := range 8 {
			check(f, i, 1<<bit)
		}
	}
	f.Fuzz(func(t *testing.T, position uint16, mask uint8) { check(t, int(position), mask) })
}

// withoutLocations is what the signatures cover.
func withoutLocations(t testing.TB, data []byte) (parts []string) {
	t.Helper()
	list := must(wire.Decode(nil, nil, string(data), new(wire.Limits(macaroon.Limits{}.WithDefaults()))))(t)
	for _, m := range list {
		parts = append(parts, m.Identifier)
		for _, c := range m.Caveats {
			parts = append(parts, c.ID, c.VerificationID)
		}
		parts = append(parts, string(m.Signature[:]))
	}
	return parts
}

// FuzzOracle builds credentials with discharges, damages them, and requires that we
// accept only what the oracle accepts, and agree with it wherever we read the bytes at all
// and no rule of ours is stricter.
func FuzzOracle(f *testing.F) {
	f.Add([]byte("abcabc"), uint16(0), uint8(0))
	f.Add([]byte("a.b.c"), uint16(10), uint8(1))
	f.Add([]byte("aabbcc"), uint16(99), uint8(0x20))
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, uint16(200), uint8(0))
	key := []byte("0123456789abcdef0123456789abcdef")
	v := must(verifier.NewForeign(must(verifier.FixedKey(key, verifier.ForeignGrant{Operations: []string{"*"}}))(f), "orders",
		verifier.Options{InsecureNoExpiry: true, InsecureNoAudience: true}))(f)
	f.Fuzz(func(t *testing.T, plan []byte, position uint16, mask uint8) {
		c, ok := build(t, key, plan)
		if !ok {
			return
		}
		data := binary(t, c)
		data[int(position)%len(data)] ^= mask

		var theirs v2.Slice
		theirErr := theirs.UnmarshalBinary(data)
		if theirErr == nil {
			theirErr = theirs[0].Verify(key, func(string) error { return nil }, theirs[1:])
		}
		var damaged macaroon.Credential
		if err := damaged.UnmarshalBinary(data); err != nil {
			return // the oracle reads more; what it accepts beyond us is refused here
		}
		_, err := v.Authenticate(ctx, damaged)
		if err == nil {
			require.NoError(t, theirErr, "accepted here alone")
			return
		}
		var refusal *verifier.Error
		require.ErrorAs(t, err, &refusal)
		if refusal.Reason != verifier.OverLimit {
			require.Error(t, theirErr, "refused here alone: %s", refusal.Detail())
		}
	})
}

// build makes a credential by a plan: each byte adds a caveat or a discharge, some of
// them missing, left over, unbound or nested.
func build(t testing.TB, key, plan []byte) (c macaroon.Credential, ok bool) {
	if len(plan) > 24 {
		plan = plan[:24]
	}
	primary := must(macaroon.New(key, "identifier", "location"))(t)
	var discharges []macaroon.Macaroon
	for _, b := range plan {
		name := string('a' + rune(b>>3)%3)
		switch b % 8 {
		case 0, 1:
			primary = narrow(t, primary, macaroon.Condition(strings.Repeat("x", int(b))))
		case 2, 3:
			primary = narrow(t, primary, thirdParty(name))
			discharges = append(discharges, discharge(t, name))
		case 4:
			primary = narrow(t, primary, thirdParty(name))
		case 5:
			discharges = append(discharges, discharge(t, name, macaroon.Condition("y")))
		case 6:
			inner := name + "'"
			primary = narrow(t, primary, thirdParty(name))
			discharges = append(discharges, discharge(t, name, thirdParty(inner)), discharge(t, inner))
		case 7:
			discharges = append(discharges, discharge(t, name, thirdParty(name)))
		}
	}
	if len(discharges) > 15 {
		return c, false
	}
	slice := v2.Slice{toV2(t, primary)}
	for i, d := range discharges {
		m := toV2(t, d)
		if len(plan) > 0 && (int(plan[0])+i)%11 != 10 {
			m.Bind(slice[0].Signature())
		}
		slice = append(slice, m)
	}
	data, err := slice.MarshalBinary()
	require.NoError(t, err)
	require.NoError(t, c.UnmarshalBinary(data))
	return c, true
}

func toV2(t testing.TB, m macaroon.Macaroon) *v2.Macaroon {
	t.Helper()
	var other v2.Macaroon
	require.NoError(t, other.UnmarshalBinary(must(m.MarshalBinary())(t)))
	return &other
}

// FuzzVerifyText: no text makes a verifier panic or allow.
func FuzzVerifyText(f *testing.F) {
	s := newService(f, verifier.Options{Audit: func(context.Context, verifier.Record) {}})
	other := newService(f, verifier.Options{})
	f.Add(must(other.mint(f).Encode())(f), read)
	f.Add(must(present(f, other.mint(f, thirdParty("a")), discharge(f, "a")).Encode())(f), "*")
	f.Add("AgECaWQAAAYg", "")
	f.Fuzz(func(t *testing.T, text, operation string) {
		verified, err := s.VerifyText(ctx, text, operation, caveat.Facts{})
		require.Nil(t, verified)
		require.Error(t, err)
	})
}
