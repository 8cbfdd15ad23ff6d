package verifier_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v2 "gopkg.in/macaroon.v2"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// attesting is a third-party caveat that asks for attributes.
type attesting struct {
	macaroon.ThirdPartyCaveat
	keys []string
}

func (a attesting) Attests() []string { return a.keys }

// asking is the caveat of thirdParty(name), asking for these attributes.
func asking(name string, keys ...string) macaroon.Caveat {
	return attesting{thirdParty(name).(macaroon.ThirdPartyCaveat), keys}
}

// conditions are caveats of these texts.
func conditions(texts ...string) (list []macaroon.Caveat) {
	for _, text := range texts {
		list = append(list, macaroon.Condition(text))
	}
	return list
}

const (
	expiry = "time-before 2099-01-01T00:00:00Z"
	sooner = "time-before 2098-01-01T00:00:00Z"
)

func attributes(v *verifier.Verified) map[string]string { return maps.Collect(v.Attributes()) }

// What a discharge says, and what comes of it: for the discharges of the bakery's own
// discharger, and of ours. To append an expiry changes none of it.
func TestAttributes(t *testing.T) {
	s := newService(t, verifier.Options{})
	none := map[string]string{}
	for _, row := range []struct {
		name  string
		asked []string
		says  []string
		want  map[string]string
	}{
		{"declaration only", []string{"user"}, []string{"declared user ann"}, map[string]string{"user": "ann"}},
		{"declaration before expiry", []string{"user"}, []string{"declared user ann", expiry}, map[string]string{"user": "ann"}},
		{"expiry before declaration", []string{"user"}, []string{expiry, "declared user ann"}, none},
		{"key omitted", []string{"user"}, nil, none},
		{"key omitted, expiry", []string{"user"}, []string{expiry}, none},
		{"another key declared", []string{"user"}, []string{"declared tenant acme", expiry}, none},
		{"empty", []string{"user"}, []string{"declared user ", expiry}, none},
		{"not asked", nil, []string{"declared user ann", expiry}, none},
		{"several", []string{"tenant", "user"}, []string{"declared user ann", "declared tenant acme", "declared x y", expiry}, map[string]string{"user": "ann", "tenant": "acme"}},
		{"one empty", []string{"tenant", "user"}, []string{"declared user ann", "declared tenant ", expiry}, map[string]string{"user": "ann"}},
		{"one late", []string{"tenant", "user"}, []string{"declared user ann", expiry, "declared tenant acme"}, map[string]string{"user": "ann"}},
		{"said twice", []string{"user"}, []string{"declared user ann", expiry, "declared user ann"}, map[string]string{"user": "ann"}},
		{"other conditions before", []string{"user"}, []string{"audience orders", "declared user ann", expiry}, map[string]string{"user": "ann"}},
		{"spaces in the value", []string{"user"}, []string{"declared user  ann lee ", expiry}, map[string]string{"user": " ann lee "}},
		{"no text but a name like it", []string{"user"}, []string{"declared users ann", "declared User ann", expiry}, none},
	} {
		t.Run(row.name, func(t *testing.T) {
			token := s.mint(t, asking("idp", row.asked...))
			said := discharge(t, "idp", conditions(row.says...)...)
			for _, d := range []macaroon.Macaroon{said, narrow(t, said, macaroon.Condition(expiry)), narrow(t, said, conditions(sooner, expiry)...)} {
				who, err := s.Verify(ctx, present(t, token, d), read, noFacts)
				require.NoError(t, err)
				require.Equal(t, row.want, attributes(who))
				for _, key := range []string{"user", "tenant", "x", "", "idp"} {
					value, found := who.Attribute(key)
					want, wanted := row.want[key]
					require.Equal(t, wanted, found, key)
					require.Equal(t, want, value, key)
				}
				require.Equal(t, "billing", who.Subject())
			}
		})
	}
}

// A holder appends declarations wherever he can: to the primary macaroon, to the
// discharge before it is bound, to one of a caveat of his own. Nothing is gained.
func TestHoldersDeclarations(t *testing.T) {
	s := newService(t, verifier.Options{})
	token := s.mint(t, asking("idp", "user", "admin"))
	said := conditions("declared user ann", "declared admin ", expiry)
	own := thirdParty("own")
	for _, row := range []struct {
		name       string
		token      macaroon.Macaroon
		discharges []macaroon.Macaroon
		denied     bool // else the attributes are what they were
	}{
		{"nothing", token, []macaroon.Macaroon{discharge(t, "idp", said...)}, false},
		{"the same, in the primary macaroon", narrow(t, token, conditions("declared user ann", "declared admin ")...), []macaroon.Macaroon{discharge(t, "idp", said...)}, false},
		{"the same, in the discharge", token, []macaroon.Macaroon{narrow(t, discharge(t, "idp", said...), conditions("declared user ann")...)}, false},
		{"another, in the primary macaroon", narrow(t, token, conditions("declared user root")...), []macaroon.Macaroon{discharge(t, "idp", said...)}, true},
		{"another, in the discharge", token, []macaroon.Macaroon{narrow(t, discharge(t, "idp", said...), conditions("declared user root")...)}, true},
		{"instead of an empty one", token, []macaroon.Macaroon{narrow(t, discharge(t, "idp", said...), conditions("declared admin yes")...)}, true},
		{"an empty one", token, []macaroon.Macaroon{narrow(t, discharge(t, "idp", said...), conditions("declared user ")...)}, true},
		{"nobody's key", narrow(t, token, conditions("declared x 1", "declared x 2")...), []macaroon.Macaroon{narrow(t, discharge(t, "idp", said...), conditions("declared x 3")...)}, false},
		{"another, by his own third party", narrow(t, token, own), []macaroon.Macaroon{discharge(t, "idp", said...), discharge(t, "own", conditions("declared user root")...)}, true},
		{"the same, by his own third party", narrow(t, token, own), []macaroon.Macaroon{discharge(t, "idp", said...), discharge(t, "own", conditions("declared user ann")...)}, false},
		{"another, nested", token, []macaroon.Macaroon{narrow(t, discharge(t, "idp", said...), own), discharge(t, "own", conditions("declared user root")...)}, true},
		{"by letter case", narrow(t, token, conditions("declared USER root")...), []macaroon.Macaroon{discharge(t, "idp", said...)}, false},
		{"malformed, nobody's", narrow(t, token, conditions("declared x")...), []macaroon.Macaroon{discharge(t, "idp", said...)}, true},
		{"malformed, no key", narrow(t, token, conditions("declared  x")...), []macaroon.Macaroon{discharge(t, "idp", said...)}, true},
		{"malformed, nothing", narrow(t, token, conditions("declared")...), []macaroon.Macaroon{discharge(t, "idp", said...)}, true},
		{"malformed, a control character", narrow(t, token, conditions("declared x y\n")...), []macaroon.Macaroon{discharge(t, "idp", said...)}, true},
		{"the bakery's name in another namespace", narrow(t, token, conditions("std:declared user ann")...), []macaroon.Macaroon{discharge(t, "idp", said...)}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			who, err := s.Verify(ctx, present(t, row.token, row.discharges...), read, noFacts)
			if row.denied {
				refused(t, verifier.CaveatFailed, who, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, map[string]string{"user": "ann"}, attributes(who))
		})
	}
}

// A third party that leaves out what it was asked for, but writes when its discharge
// ends, leaves nothing to be claimed.
func TestOmittedDeclaration(t *testing.T) {
	s := newService(t, verifier.Options{})
	token := s.mint(t, asking("idp", "user"))
	root := macaroon.Condition("declared user root")
	for name, c := range map[string]macaroon.Credential{
		"discharge":       present(t, token, narrow(t, discharge(t, "idp", conditions(expiry)...), root)),
		"primary":         present(t, narrow(t, token, root), discharge(t, "idp")),
		"his own caveat":  present(t, narrow(t, token, thirdParty("own")), discharge(t, "idp"), discharge(t, "own", root)),
		"nested":          present(t, token, narrow(t, discharge(t, "idp"), thirdParty("own")), discharge(t, "own", root)),
		"all of the four": present(t, narrow(t, token, root, thirdParty("own")), narrow(t, discharge(t, "idp", conditions(expiry)...), root, thirdParty("n")), discharge(t, "own", root), discharge(t, "n", root)),
	} {
		who, err := s.Verify(ctx, c, read, noFacts)
		require.NoError(t, err, name)
		require.Empty(t, attributes(who), name)
	}
}

// Two discharges of the minter's caveats: each attests what its own caveat asks for.
func TestEachCaveatsOwnDischarge(t *testing.T) {
	s := newService(t, verifier.Options{})
	token := s.mint(t, thirdParty("plain"), asking("idp", "user"), caveat.Methods("GET"), asking("hr", "role"))
	facts := caveat.Facts{Method: "GET"}
	plain, idp := discharge(t, "plain", conditions("declared user ann", "declared role boss")...), discharge(t, "idp", conditions("declared user ann")...)

	who, err := s.Verify(ctx, present(t, token, plain, idp, discharge(t, "hr")), read, facts)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"user": "ann"}, attributes(who), "the first one was not asked, the third says nothing")

	// Wherever they stand in the credential.
	for _, list := range [][]macaroon.Macaroon{
		{plain, idp, discharge(t, "hr", conditions("declared role boss")...)},
		{discharge(t, "hr", conditions("declared role boss")...), idp, plain},
	} {
		who, err = s.Verify(ctx, present(t, token, list...), read, facts)
		require.NoError(t, err)
		require.Equal(t, map[string]string{"user": "ann", "role": "boss"}, attributes(who))
	}

	crossed := discharge(t, "hr", conditions("declared user root", "declared role boss")...)
	who, err = s.Verify(ctx, present(t, token, plain, idp, crossed), read, facts)
	refused(t, verifier.CaveatFailed, who, err)
}

// A holder may give a caveat of his own the id of the minter's: the minter's is met only
// by a discharge under its own key, and only that attests.
func TestSameCaveatIDAttestsNothing(t *testing.T) {
	s := newService(t, verifier.Options{})
	token := s.mint(t, asking("idp", "user"))
	his := macaroon.ThirdParty([]byte("his key"), "idp", "")
	forged := must(macaroon.New([]byte("his key"), "idp", ""))(t)
	forged = narrow(t, forged, macaroon.Condition("declared user root"))
	real := discharge(t, "idp", conditions("declared user ann", expiry)...)
	for _, row := range []struct {
		name       string
		token      macaroon.Macaroon
		discharges []macaroon.Macaroon
		reason     verifier.Reason
	}{
		{"forged alone", token, []macaroon.Macaroon{forged}, verifier.SignatureMismatch},
		{"forged for both", narrow(t, token, his), []macaroon.Macaroon{forged}, verifier.DischargeReused},
		{"real for both", narrow(t, token, his), []macaroon.Macaroon{real}, verifier.DischargeReused},
		{"both, the real one first", narrow(t, token, his), []macaroon.Macaroon{real, forged}, verifier.DischargeReused},
		{"both, the forged one first", narrow(t, token, his), []macaroon.Macaroon{forged, real}, verifier.DischargeReused},
		{"his nested in the real one", token, []macaroon.Macaroon{narrow(t, real, his), forged}, verifier.DischargeReused},
		{"the forged one beside it", token, []macaroon.Macaroon{real, forged}, verifier.UnusedDischarge},
	} {
		t.Run(row.name, func(t *testing.T) {
			who, err := s.Verify(ctx, bound(t, row.token, row.discharges...), read, noFacts)
			refused(t, row.reason, who, err)
		})
	}
}

// bound binds discharges that no wallet would hold.
func bound(t testing.TB, primary macaroon.Macaroon, discharges ...macaroon.Macaroon) (c macaroon.Credential) {
	t.Helper()
	slice := v2.Slice{toV2(t, primary)}
	for _, d := range discharges {
		m := toV2(t, d)
		m.Bind(slice[0].Signature())
		slice = append(slice, m)
	}
	require.NoError(t, c.UnmarshalBinary(must(slice.MarshalBinary())(t)))
	return c
}

// What the identifier says of a caveat that is no third party's attests nothing, though
// a condition there declares it, or a discharge has a third party's caveat at that place.
func TestAttestsOfConditions(t *testing.T) {
	source := newFakeSource()
	v := must(verifier.New(source, "orders", verifier.Options{}))(t)
	id := macaroon.Identifier{KeyID: "k1", IssuedAt: time.Now(), Caveats: 5, Attests: []macaroon.Attestation{
		{Caveat: 0, Keys: []string{"role"}}, {Caveat: 1, Keys: []string{"user"}}, {Caveat: 2, Keys: []string{"admin"}},
	}}
	token := must(macaroon.New(source.key(), string(must(id.MarshalBinary())(t)), ""))(t)
	token = narrow(t, token, macaroon.Condition("declared role boss"), thirdParty("idp"), caveat.Audience("orders"), caveat.Operations(read), caveat.ExpiresIn(time.Hour))
	said := discharge(t, "idp", append(conditions("declared user ann", "declared role boss"), thirdParty("nested"))...)
	who, err := v.Verify(ctx, present(t, token, said, discharge(t, "nested", conditions("declared admin yes")...)), read, noFacts)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"user": "ann"}, attributes(who))

	token = narrow(t, token, macaroon.Condition("declared admin no"))
	who, err = v.Verify(ctx, present(t, token, discharge(t, "idp", conditions("declared admin yes")...)), read, noFacts)
	refused(t, verifier.CaveatFailed, who, err)
}

// Foreign tokens attest nothing. As in the bakery, which knows who asked, two values of
// any key deny.
func TestForeignAttributes(t *testing.T) {
	v := foreignVerifier(t, verifier.Options{})
	id := must(macaroon.Identifier{KeyID: "k", IssuedAt: time.Now(), Caveats: 1, Attests: []macaroon.Attestation{{Caveat: 0, Keys: []string{"user"}}}}.MarshalBinary())(t)
	token := narrow(t, must(macaroon.New(foreignKey, string(id), ""))(t), thirdParty("idp"))
	said := discharge(t, "idp", conditions("declared user ann", "declared role ", expiry)...)
	who, err := v.Verify(ctx, present(t, narrow(t, token, macaroon.Condition("declared user ann")), said), read, noFacts)
	require.NoError(t, err)
	require.Empty(t, attributes(who))
	_, found := who.Attribute("user")
	require.False(t, found)
	for _, other := range []string{"declared user root", "declared role boss", "declared x"} {
		who, err = v.Verify(ctx, present(t, narrow(t, token, macaroon.Condition(other)), said), read, noFacts)
		refused(t, verifier.CaveatFailed, who, err)
	}
}

// A token that is checked again attests the same, and expires all the same.
func TestAttributesOfRepeatedChecks(t *testing.T) {
	for name, source := range map[string]macaroon.Source{"epoch": withEpoch{newFakeSource()}, "no epoch": newFakeSource()} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			v := must(verifier.New(source, "orders", verifier.Options{Now: func() time.Time { return now }, RecheckAfter: 1}))(t)
			token := mintFrom(t, source, asking("idp", "user"))
			end := caveat.ExpiresAt(now.Add(time.Minute))
			a := must(v.Authenticate(ctx, present(t, token, discharge(t, "idp", macaroon.Condition("declared user ann"), end))))(t)
			for range 3 {
				if s, ok := source.(withEpoch); ok {
					s.epoch.Add(1)
				}
				now = now.Add(time.Second)
				who, err := a.Check(ctx, read, noFacts)
				require.NoError(t, err)
				require.Equal(t, map[string]string{"user": "ann"}, attributes(who))
			}
			now = now.Add(time.Hour)
			who, err := a.Check(ctx, read, noFacts)
			refused(t, verifier.Expired, who, err)
		})
	}
}

// The values do not get into logs, refusals or audit texts by themselves.
func TestAttributesDoNotPrint(t *testing.T) {
	s := newService(t, verifier.Options{})
	token := s.mint(t, asking("idp", "user"))
	who, err := s.Verify(ctx, present(t, token, discharge(t, "idp", macaroon.Condition("declared user ann-the-value"))), read, noFacts)
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", who, who, who, who.LogValue()), "ann-the-value")
	require.Contains(t, who.Conditions(), "declared user ann-the-value", "the condition is one that holds")

	contradicted := present(t, narrow(t, token, macaroon.Condition("declared user bob-the-value")), discharge(t, "idp", macaroon.Condition("declared user ann-the-value")))
	verified, err := s.Verify(ctx, contradicted, read, noFacts)
	refusal := refused(t, verifier.CaveatFailed, verified, err)
	require.Equal(t, []int{1, 0}, []int{refusal.Macaroon, refusal.Caveat}, "the second of them")
	require.ErrorIs(t, refusal.Cause, caveat.ErrNotMet)
	require.Contains(t, refusal.Detail(), `declared "user"`)
	require.NotContains(t, refusal.Detail(), "the-value")

	longKey := present(t, narrow(t, token, conditions("declared "+strings.Repeat("k", 999)+"\n x")...), discharge(t, "idp"))
	verified, err = s.Verify(ctx, longKey, read, noFacts)
	require.Less(t, len(refused(t, verifier.CaveatFailed, verified, err).Detail()), 200)
}

// Attributes come in the order in which they were asked for, and a loop may stop.
func TestOrderOfAttributes(t *testing.T) {
	s := newService(t, verifier.Options{})
	token := s.mint(t, asking("a", "z", "y"), asking("b", "x"))
	c := present(t, token, discharge(t, "b", conditions("declared x 3")...), discharge(t, "a", conditions("declared y 2", "declared z 1")...))
	who, err := s.Verify(ctx, c, read, noFacts)
	require.NoError(t, err)
	var got []string
	for key, value := range who.Attributes() {
		got = append(got, key+value)
	}
	require.Equal(t, []string{"z1", "y2", "x3"}, got)
	for key := range who.Attributes() {
		require.Equal(t, "z", key)
		break
	}
}
