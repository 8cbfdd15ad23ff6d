package thirdparty_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/macaroon"
)

// The bakery minted these discharges: the same declaration and the same expiry under each version must give the
// same signature.
func TestDischargesOfTheBakery(t *testing.T) {
	v := load(t)
	expiry := time.Date(2030, 1, 2, 3, 4, 5, 600e6, time.UTC)
	d := dischargerAt(t, expiry.Add(-5*time.Minute), v.thirdParty(t))
	ids := v.ids(t)
	for name, request := range map[string]thirdparty.Request{
		"v1":          {CaveatID: ids[1]},
		"v2":          {CaveatID: ids[2]},
		"v3_inline":   {CaveatID: ids[3]},
		"v3_external": {CaveatID: "\x03\x00", Payload: ids[3]},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := d.Discharge(t.Context(), request, says(thirdparty.Answer{Declared: map[string]string{"username": "bob"}}))
			require.NoError(t, err)
			require.Equal(t, request.CaveatID, m.Identifier())
			require.Empty(t, m.Location())
			require.Equal(t, []string{"declared username bob", "time-before 2030-01-02T03:04:05.6Z"}, conditions(m))
			require.True(t, m.Inspect().SignedBy([32]byte(unhex(t, v.DischargesByCaveat[name].Signature))))
		})
	}
}

func TestQuestion(t *testing.T) {
	v := load(t)
	key, minter := v.thirdParty(t), v.firstParty(t)
	d := dischargerAt(t, noon, thirdparty.GenerateKey(), key)
	type caller struct{ name string }
	for name, row := range map[string]struct {
		condition string
		want      thirdparty.Question
	}{
		"name":        {"is-admin", thirdparty.Question{Condition: "is-admin", Name: "is-admin"}},
		"argument":    {"member-of acme  x ", thirdparty.Question{Condition: "member-of acme  x ", Name: "member-of", Argument: "acme  x "}},
		"empty":       {"member-of ", thirdparty.Question{Condition: "member-of ", Name: "member-of"}},
		"asked":       {"need-declared user is-admin", thirdparty.Question{Condition: "is-admin", Name: "is-admin", Asked: []string{"user"}}},
		"asked twice": {"need-declared b,a,b m x", thirdparty.Question{Condition: "m x", Name: "m", Argument: "x", Asked: []string{"b", "a"}}},
	} {
		for version, id := range map[int]string{
			2: thirdparty.Seal(thirdparty.Opened{RootKey: "k", Condition: row.condition, Version: 2}, key.Public(), minter, v.nonce(t)),
			3: thirdparty.Seal(thirdparty.Opened{RootKey: "k", Namespace: "std:", Condition: row.condition, Version: 3},
				key.Public(), minter, v.nonce(t)),
		} {
			t.Run(fmt.Sprint(name, " ", version), func(t *testing.T) {
				row.want.FirstParty, row.want.Version, row.want.Caller = minter.Public(), version, caller{"bob"}
				var got thirdparty.Question
				_, err := d.Discharge(t.Context(), thirdparty.Request{CaveatID: id, Caller: caller{"bob"}},
					thirdparty.CheckerFunc(func(_ context.Context, q thirdparty.Question) (thirdparty.Answer, error) {
						got = q
						return thirdparty.Answer{}, nil
					}))
				require.NoError(t, err)
				require.Equal(t, row.want, got)
			})
		}
	}
}

// The order is what keeps a holder from declaring anything: what is appended comes after the third party's own
// declarations and after its expiry.
func TestOrderOfCaveats(t *testing.T) {
	key, next := thirdparty.GenerateKey(), thirdparty.GenerateKey()
	d := dischargerAt(t, noon, key)
	expiry := "time-before 2030-01-02T12:05:00Z"
	earlier := caveat.ExpiresAt(noon.Add(time.Minute))
	for name, row := range map[string]struct {
		asked  []string
		answer thirdparty.Answer
		want   []string
	}{
		"nothing": {nil, thirdparty.Answer{}, []string{expiry}},
		"asked and declared": {[]string{"user", "tenant"},
			thirdparty.Answer{Declared: map[string]string{"tenant": "acme", "user": "bob"}},
			[]string{"declared user bob", "declared tenant acme", expiry}},
		"asked and left out": {[]string{"user", "tenant"},
			thirdparty.Answer{Declared: map[string]string{"tenant": "acme"}},
			[]string{"declared user ", "declared tenant acme", expiry}},
		"asked, nothing declared": {[]string{"user"}, thirdparty.Answer{}, []string{"declared user ", expiry}},
		"not asked": {[]string{"user"},
			thirdparty.Answer{Declared: map[string]string{"z": "1", "user": "bob", "a": "2"}},
			[]string{"declared user bob", "declared a 2", "declared z 1", expiry}},
		"spaces in the value": {[]string{"name"},
			thirdparty.Answer{Declared: map[string]string{"name": " Bob  Ross "}},
			[]string{"declared name  Bob  Ross ", expiry}},
		"more caveats": {[]string{"user"},
			thirdparty.Answer{Caveats: []macaroon.Caveat{earlier, thirdparty.NewCaveat(party(next), "x"), caveat.Audience("orders")}},
			[]string{"declared user ", expiry, "time-before 2030-01-02T12:01:00Z", "at " + home, "audience orders"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := thirdparty.NewCaveat(party(key), "x")
			if row.asked != nil {
				c = c.Attesting(row.asked...)
			}
			id, rootKey := sealed(t, c)
			m, err := d.Discharge(t.Context(), thirdparty.Request{CaveatID: id}, says(row.answer))
			require.NoError(t, err)
			require.Equal(t, row.want, conditions(m))
			require.Equal(t, id, m.Identifier())
			if name != "more caveats" {
				require.True(t, signedBy(t, m, rootKey))
			}
		})
	}
}

func TestLifetime(t *testing.T) {
	key := thirdparty.GenerateKey()
	id, _ := sealed(t, thirdparty.NewCaveat(party(key), "x"))
	synctest.Test(t, func(t *testing.T) {
		for lifetime, want := range map[time.Duration]time.Duration{0: 5 * time.Minute, time.Second: time.Second} {
			d, err := thirdparty.NewDischarger(keySet(t, key), thirdparty.Options{Lifetime: lifetime})
			require.NoError(t, err)
			m, err := d.Discharge(t.Context(), thirdparty.Request{CaveatID: id}, says(thirdparty.Answer{}))
			require.NoError(t, err)
			require.Equal(t, []string{"time-before " + time.Now().Add(want).UTC().Format(time.RFC3339Nano)}, conditions(m))
		}
	})
}

// What the checker answers can't become another declaration, or one too many.
func TestBadAnswers(t *testing.T) {
	key := thirdparty.GenerateKey()
	d := dischargerAt(t, noon, key)
	id, _ := sealed(t, thirdparty.NewCaveat(party(key), "x").Attesting("user"))
	declares := func(key, value string) thirdparty.Answer {
		return thirdparty.Answer{Declared: map[string]string{key: value}}
	}
	with := func(caveats ...macaroon.Caveat) thirdparty.Answer { return thirdparty.Answer{Caveats: caveats} }
	other := thirdparty.NewCaveat(party(key), "y")
	for name, answer := range map[string]thirdparty.Answer{
		"line end in the value":       declares("user", "bob\ndeclared user admin"),
		"carriage return":             declares("user", "bob\r"),
		"zero byte":                   declares("user", "bob\x00"),
		"control character above 127": declares("user", "bob\u0085"),
		"value not UTF-8":             declares("user", "bob\xff"),
		"key with space":              declares("user admin", "bob"),
		"empty key":                   declares("", "bob"),
		"key with comma":              declares("a,b", "bob"),
		"key with line end":           declares("user\n", "bob"),
		"value beyond all limits":     declares("user", strings.Repeat("b", 4<<10)),
		"declaration as a caveat":     with(macaroon.Condition("declared user admin")),
		"declaration without a value": with(macaroon.Condition("declared")),
		"attesting":                   with(other.Attesting("user")),
		"hidden third party":          with(struct{ macaroon.Caveat }{other}),
		"nil":                         with(nil),
		"bad caveat":                  with(caveat.Audience()),
		"bad third-party caveat":      with(thirdparty.Caveat{}),
		"too many":                    with(make64()...),
	} {
		t.Run(name, func(t *testing.T) {
			m, err := d.Discharge(t.Context(), thirdparty.Request{CaveatID: id}, says(answer))
			require.Error(t, err)
			require.True(t, m.IsZero())
			require.Regexp(t, "^thirdparty: (answer|macaroon): ", err)
			require.False(t, caveat.IsUndecided(err))
		})
	}
}

func make64() (list []macaroon.Caveat) {
	for range 63 {
		list = append(list, macaroon.Condition("x"))
	}
	return list
}

// One error for all: nobody learns from it which keys are open here, or how far a caveat id was read.
func TestUndecipherable(t *testing.T) {
	v := load(t)
	key, other := v.thirdParty(t), thirdparty.GenerateKey()
	d := dischargerAt(t, noon, key)
	id, _ := sealed(t, thirdparty.NewCaveat(party(key), "x"))
	toOther, _ := sealed(t, thirdparty.NewCaveat(party(other), "x"))
	long := thirdparty.Seal(thirdparty.Opened{RootKey: "k", Condition: strings.Repeat("x", 4<<10), Version: 2},
		key.Public(), other, [24]byte{})
	for name, request := range map[string]thirdparty.Request{
		"nothing":               {},
		"payload without an id": {Payload: id},
		"for another":           {CaveatID: toOther},
		"payload for another":   {CaveatID: id, Payload: toOther},
		"other prefix":          {CaveatID: toOther[:1] + id[1:5] + toOther[5:]},
		"damaged":               {CaveatID: id[:70] + "\x00\x00" + id[72:]},
		"version 1, empty":      {CaveatID: "e30="},
		"version 4":             {CaveatID: "\x04" + id[1:]},
		"external id alone":     {CaveatID: "\x03\x00"},
		"text":                  {CaveatID: "this was how we remind auth of key/pred"},
		"inside empty":          {CaveatID: thirdparty.SealPlain(3, "", key.Public(), other, [24]byte{})},
		"inside damaged":        {CaveatID: thirdparty.SealPlain(3, "\x03\xff", key.Public(), other, [24]byte{})},
		"too long":              {CaveatID: id + strings.Repeat("x", 4<<10)},
		"payload too long":      {CaveatID: id, Payload: long},
		"id too long":           {CaveatID: strings.Repeat("x", 4<<10+1), Payload: id},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := d.Discharge(t.Context(), request, never(t))
			require.True(t, err == thirdparty.ErrUndecipherable, err)
			require.True(t, m.IsZero())
		})
	}
	_, err := d.Discharge(t.Context(), thirdparty.Request{CaveatID: id}, says(thirdparty.Answer{}))
	require.NoError(t, err)
}

// What is not understood is not discharged, and the checker is not asked.
func TestUnknownConditions(t *testing.T) {
	key := thirdparty.GenerateKey()
	d := dischargerAt(t, noon, key)
	many := make([]string, 33)
	for i := range many {
		many[i] = fmt.Sprint("k", i)
	}
	for name, condition := range map[string]string{
		"empty":                       "",
		"space first":                 " x",
		"line end":                    "x\ny",
		"not UTF-8":                   "x\xff",
		"need-declared alone":         "need-declared",
		"need-declared without keys":  "need-declared  x",
		"need-declared and nothing":   "need-declared user",
		"need-declared, empty rest":   "need-declared user ",
		"need-declared, space first":  "need-declared user  x",
		"need-declared, empty key":    "need-declared user,,tenant x",
		"need-declared, comma first":  "need-declared ,user x",
		"need-declared, comma last":   "need-declared user, x",
		"need-declared twice":         "need-declared user need-declared tenant x",
		"need-declared, control":      "need-declared us\ter x",
		"need-declared, too many":     "need-declared " + strings.Join(many, ",") + " x",
		"need-declared, in upper key": "need-declared \x85 x",
	} {
		t.Run(name, func(t *testing.T) {
			id := thirdparty.Seal(thirdparty.Opened{RootKey: "k", Namespace: "std:", Condition: condition, Version: 3},
				key.Public(), thirdparty.GenerateKey(), [24]byte{1})
			m, err := d.Discharge(t.Context(), thirdparty.Request{CaveatID: id}, never(t))
			require.ErrorIs(t, err, thirdparty.ErrUnknownCondition)
			require.True(t, m.IsZero())
		})
	}
	id, _ := sealed(t, thirdparty.NewCaveat(party(key), "member-of secret-club"))
	known := func(context.Context, thirdparty.Question) (thirdparty.Answer, error) { return thirdparty.Answer{}, nil }
	for name, row := range map[string]struct {
		conditions thirdparty.Conditions
		ok         bool
	}{
		"nil":        {nil, false},
		"another":    {thirdparty.Conditions{"member": known, "member-of secret-club": known, "Member-of": known, "": known}, false},
		"nil known":  {thirdparty.Conditions{"member-of": nil}, false},
		"really has": {thirdparty.Conditions{"member-of": known}, true},
	} {
		_, err := d.Discharge(t.Context(), thirdparty.Request{CaveatID: id}, row.conditions)
		require.Equal(t, row.ok, err == nil, name)
		if err != nil {
			require.ErrorIs(t, err, thirdparty.ErrUnknownCondition)
			require.NotContains(t, err.Error(), "secret-club", "the caller may not be meant to know")
		}
	}
}

// A discharge says time-before and declared, so these must be what the target reads.
func TestNamespaces(t *testing.T) {
	key := thirdparty.GenerateKey()
	d := dischargerAt(t, noon, key)
	for namespace, ok := range map[string]bool{
		"std:":                    true,
		"http:http std:":          true,
		"acme: std:":              true,
		"https://x.example: std:": true,
		" std:\t\n":               true,
		"":                        false,
		"http:http":               false,
		"std:std":                 false,
		"std: std:":               false,
		"std: std:x":              false,
		"std":                     false,
		"std: x":                  false,
		":std std:":               false,
		"Std:":                    false,
		"x:std:":                  false,
	} {
		t.Run(namespace, func(t *testing.T) {
			id := thirdparty.Seal(thirdparty.Opened{RootKey: "k", Namespace: namespace, Condition: "x", Version: 3},
				key.Public(), thirdparty.GenerateKey(), [24]byte{1})
			checker := never(t)
			if ok {
				checker = says(thirdparty.Answer{})
			}
			_, err := d.Discharge(t.Context(), thirdparty.Request{CaveatID: id}, checker)
			require.Equal(t, ok, err == nil, err)
		})
	}
}

// No and don't know are different answers, and neither is a discharge.
func TestRefusals(t *testing.T) {
	key := thirdparty.GenerateKey()
	d := dischargerAt(t, noon, key)
	id, _ := sealed(t, thirdparty.NewCaveat(party(key), "x"))
	request := thirdparty.Request{CaveatID: id}
	notMember := errors.New("not a member")
	for name, row := range map[string]struct {
		checker   thirdparty.Checker
		want      error
		undecided bool
	}{
		"no":            {refuses(notMember), notMember, false},
		"unknown":       {refuses(fmt.Errorf("x: %w", thirdparty.ErrUnknownCondition)), thirdparty.ErrUnknownCondition, false},
		"don't know":    {refuses(caveat.Undecided(io.ErrUnexpectedEOF)), io.ErrUnexpectedEOF, true},
		"timed out":     {refuses(fmt.Errorf("db: %w", context.DeadlineExceeded)), context.DeadlineExceeded, true},
		"panics":        {panics{}, caveat.ErrPanicked, false},
		"nil func":      {thirdparty.CheckerFunc(nil), caveat.ErrPanicked, false},
		"both at once":  {answersAndRefuses{notMember}, notMember, false},
		"panics in nil": {(*panics)(nil), caveat.ErrPanicked, false},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := d.Discharge(t.Context(), request, row.checker)
			require.ErrorIs(t, err, row.want)
			require.True(t, m.IsZero())
			require.Equal(t, row.undecided, caveat.IsUndecided(err))
			require.True(t, strings.HasPrefix(err.Error(), "thirdparty: "), err)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	_, err := d.Discharge(t.Context(), request, nil)
	require.ErrorContains(t, err, "no checker")

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.Discharge(cancelled, request, never(t))
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, caveat.IsUndecided(err))

	ending, end := context.WithCancel(t.Context())
	_, err = d.Discharge(ending, request, thirdparty.CheckerFunc(func(context.Context, thirdparty.Question) (thirdparty.Answer, error) {
		end()
		return thirdparty.Answer{}, nil
	}))
	require.ErrorIs(t, err, context.Canceled)
}

type panics struct{}

func (panics) Check(context.Context, thirdparty.Question) (thirdparty.Answer, error) {
	panic("hunter2")
}

type answersAndRefuses struct{ err error }

func (a answersAndRefuses) Check(context.Context, thirdparty.Question) (thirdparty.Answer, error) {
	return thirdparty.Answer{Declared: map[string]string{"user": "bob"}}, a.err
}

// A checker that changes what it was asked changes nothing of what must be declared.
func TestCheckerCantDropWhatIsAsked(t *testing.T) {
	key := thirdparty.GenerateKey()
	d := dischargerAt(t, noon, key)
	id, _ := sealed(t, thirdparty.NewCaveat(party(key), "x").Attesting("user", "tenant"))
	m, err := d.Discharge(t.Context(), thirdparty.Request{CaveatID: id},
		thirdparty.CheckerFunc(func(_ context.Context, q thirdparty.Question) (thirdparty.Answer, error) {
			q.Asked[0] = "nothing"
			clear(q.Asked)
			return thirdparty.Answer{}, nil
		}))
	require.NoError(t, err)
	require.Equal(t, []string{"declared user ", "declared tenant "}, conditions(m)[:2])
}

func TestNewDischarger(t *testing.T) {
	keys := keySet(t, thirdparty.GenerateKey())
	for name, row := range map[string]struct {
		keys    thirdparty.Keys
		options thirdparty.Options
		want    []string
	}{
		"no keys":           {thirdparty.Keys{}, thirdparty.Options{}, []string{"zero Keys"}},
		"negative lifetime": {keys, thirdparty.Options{Lifetime: -1}, []string{"Lifetime"}},
		"both":              {thirdparty.Keys{}, thirdparty.Options{Lifetime: -1}, []string{"zero Keys", "Lifetime"}},
	} {
		d, err := thirdparty.NewDischarger(row.keys, row.options)
		require.Nil(t, d, name)
		for _, want := range row.want {
			require.ErrorContains(t, err, want, name)
		}
	}
	var zero thirdparty.Discharger
	_, err := zero.Discharge(t.Context(), thirdparty.Request{CaveatID: "x"}, never(t))
	require.ErrorContains(t, err, "zero Keys")
	require.True(t, zero.Keys().IsZero())
}

func TestSetKeys(t *testing.T) {
	old, young := thirdparty.GenerateKey(), thirdparty.GenerateKey()
	d := dischargerAt(t, noon, old)
	id, _ := sealed(t, thirdparty.NewCaveat(party(old), "x"))
	require.Error(t, d.SetKeys(thirdparty.Keys{}))
	require.Equal(t, old.Public(), d.Keys().Advertised(), "left alone")

	require.NoError(t, d.SetKeys(keySet(t, young, old)))
	require.Equal(t, young.Public(), d.Keys().Advertised())
	_, err := d.Discharge(t.Context(), thirdparty.Request{CaveatID: id}, says(thirdparty.Answer{}))
	require.NoError(t, err)

	require.NoError(t, d.SetKeys(keySet(t, young)))
	_, err = d.Discharge(t.Context(), thirdparty.Request{CaveatID: id}, never(t))
	require.ErrorIs(t, err, thirdparty.ErrUndecipherable)
}

func TestConcurrentUse(t *testing.T) {
	key, other := thirdparty.GenerateKey(), thirdparty.GenerateKey()
	d := dischargerAt(t, noon, key)
	c := thirdparty.NewCaveat(party(key), "x").Attesting("user")
	sets := []thirdparty.Keys{keySet(t, key), keySet(t, other, key)}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 10 {
				_, id, _, err := c.ThirdParty()
				if err == nil {
					err = d.SetKeys(sets[i%2])
				}
				if err == nil {
					_, err = d.Discharge(context.Background(), thirdparty.Request{CaveatID: id}, says(thirdparty.Answer{}))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
