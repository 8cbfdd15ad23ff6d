package verifier_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// attributeConditions are what a holder appends.
var attributeConditions = []string{
	"declared user root", "declared user ann", "declared user ", "declared tenant acme", "declared role boss", "declared x y",
	"declared user", "declared", "declared  x", "time-before 2098-01-01T00:00:00Z", "time-before 2000-01-01T00:00:00Z",
	"allow *", "audience orders", "std:declared user root", "need-declared user x", "", "\x00",
}

func attributePlans(where byte) [][]byte {
	return [][]byte{
		{where, 0b01_10_01, 0, 1, 2, 3, 4, 5},
		{where, 0b00_01_01, 1, 1, 1, 1, 0, 0},
		{where, 0b10_10_10, 2, 4, 1, 1, 1, 1},
		{where, 0b00_00_01, 3, 3, 7, 9, 11, 13},
	}
}

// TestLawOfAttributes appends each of them everywhere.
func TestLawOfAttributes(t *testing.T) {
	source := newFakeSource()
	v := must(verifier.New(source, "orders", verifier.Options{}))(t)
	for _, condition := range attributeConditions {
		for where := range byte(8) {
			for _, plan := range attributePlans(where) {
				lawOfAttributes(t, source, v, plan, condition)
			}
		}
	}
}

// FuzzLawOfAttributes goes on from a few of those: each seed takes time from what is new.
func FuzzLawOfAttributes(f *testing.F) {
	for i, condition := range attributeConditions {
		f.Add(attributePlans(byte(i))[i%4], condition)
	}
	source := newFakeSource()
	v := must(verifier.New(source, "orders", verifier.Options{}))(f)
	f.Fuzz(func(t *testing.T, plan []byte, condition string) { lawOfAttributes(t, source, v, plan, condition) })
}

// lawOfAttributes holds the verifier to the law where attributes are concerned. A
// plan says what the minter asks whom for, and what the third parties declare, each as
// an honest one may. Then a holder appends something, anywhere. Attributes are those
// that the plan tells, or the token is refused.
func lawOfAttributes(t *testing.T, source *fakeSource, v *verifier.Verifier, plan []byte, condition string) {
	defer tell(t, "appended %q, plan %d", condition, plan)
	left := plan
	next := func() (b byte) {
		if len(left) > 0 {
			b, left = left[0], left[1:]
		}
		return b
	}
	where, whom := next(), next()
	asked := map[string][]string{}
	for i, key := range []string{"user", "tenant", "role"} {
		switch whom >> (2 * i) & 3 {
		case 1:
			asked["a"] = append(asked["a"], key)
		case 2:
			asked["b"] = append(asked["b"], key)
		}
	}
	token := mintFrom(t, source, asking("a", asked["a"]...), caveat.Branch([16]byte{1}), asking("b", asked["b"]...))

	want := map[string]string{}
	parties := map[string]macaroon.Macaroon{}
	for _, name := range []string{"a", "b"} {
		shape := next()
		var first, last []string
		for _, key := range asked[name] {
			value := []string{"", "ann", "acme", "boss lady"}[next()%4]
			first = append(first, "declared "+key+" "+value)
			if value != "" && shape%4 < 2 {
				want[key] = value
			}
		}
		switch shape % 4 {
		case 0: // as ours writes them, and the bakery's
			last = []string{expiry}
		case 1: // without an expiry
		case 2: // expiry first: whatever is declared attests nothing
			first, last = []string{expiry}, first
		case 3: // what was asked for is left out
			first = []string{expiry}
		}
		if shape&4 != 0 { // of a key that the other was asked for, perhaps
			last = append(last, "declared "+[]string{"user", "tenant", "role", "x"}[next()%4]+" ann")
		}
		parties[name] = discharge(t, name, conditions(append(first, last...)...)...)
	}
	nested := discharge(t, "nested", conditions("declared "+[]string{"user", "role", "x"}[next()%3]+" ann")...)
	if where&8 != 0 {
		parties["a"] = narrow(t, parties["a"], thirdParty("nested"))
		parties["nested"] = nested
	}
	bundle := func(m macaroon.Macaroon, more ...macaroon.Macaroon) macaroon.Credential {
		for _, d := range parties {
			more = append(more, d)
		}
		return present(t, m, more...)
	}
	without := bundle(token)

	appended := macaroon.Condition(condition)
	appendTo := func(m macaroon.Macaroon) (macaroon.Macaroon, bool) {
		longer, err := m.Attenuate(appended)
		return longer, err == nil
	}
	if _, ok := appendTo(token); !ok {
		return
	}
	var with macaroon.Credential
	switch where & 7 {
	case 0:
		longer, _ := appendTo(token)
		with = bundle(longer)
	case 1, 2:
		name := []string{"a", "b"}[where&7-1]
		parties[name], _ = appendTo(parties[name])
		with = bundle(token)
	case 3: // a caveat of the holder's own, and its discharge
		own, _ := appendTo(discharge(t, "own"))
		with = bundle(narrow(t, token, thirdParty("own")), own)
	case 4: // in a discharge
		own, _ := appendTo(discharge(t, "own"))
		parties["b"] = narrow(t, parties["b"], thirdParty("own"))
		with = bundle(token, own)
	case 5: // two below
		own, _ := appendTo(discharge(t, "own"))
		parties["a"] = narrow(t, parties["a"], thirdParty("middle"))
		with = bundle(token, discharge(t, "middle", thirdParty("own")), own)
	case 6: // everywhere
		longer, _ := appendTo(token)
		for name, d := range parties {
			parties[name], _ = appendTo(d)
		}
		with = bundle(longer)
	case 7: // a caveat that asks is no holder's to write
		_, err := token.Attenuate(asking("own", "x"))
		require.Error(t, err)
		with = without
	}

	less, err := v.Verify(ctx, without, read, noFacts)
	if err == nil {
		require.Equal(t, want, attributes(less))
	}
	more, errMore := v.Verify(ctx, with, read, noFacts)
	if errMore != nil {
		require.Nil(t, more)
		return
	}
	require.NoError(t, err, "appending %q granted", condition)
	require.Equal(t, want, attributes(more), "appending %q", condition)
	require.Equal(t, less.Subject(), more.Subject())
	require.False(t, more.Expiry().After(less.Expiry()))

	a := must(v.Authenticate(ctx, with))(t)
	again := must(a.Check(ctx, read, noFacts))(t)
	require.Equal(t, want, attributes(again))
	deadline, ok := again.Deadline()
	require.True(t, ok && deadline.After(time.Now()))
}
