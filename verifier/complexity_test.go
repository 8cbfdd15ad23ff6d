package verifier_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/internal/wire"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// unlimited lets everything through that fits memory.
var unlimited = macaroon.Limits{
	Text: 1 << 30, Macaroons: 1 << 20, Caveats: 1 << 20, AllCaveats: 1 << 21, Depth: 1 << 20,
	Identifier: 1 << 20, Condition: 1 << 20, Location: 1 << 20,
}

var foreignKey = []byte("0123456789abcdef0123456789abcdef")

// hostile is a credential of the attacker's own making, as text. links counts the
// HMACs that a verifier of every caveat, once, needs.
type hostile struct {
	parts []wire.Macaroon
	links int
}

// add appends a macaroon with conditions and third-party caveats, which are sealed
// under keys that are their names.
func (h *hostile) add(key, id string, conditions int, thirdParties ...string) {
	var hasher chain.Hasher
	derived := chain.DeriveKey([]byte(key))
	m := wire.Macaroon{Identifier: id, Signature: hasher.Root(&derived, id)}
	for range conditions {
		m.Caveats = append(m.Caveats, wire.Caveat{ID: "x"})
		hasher.FirstParty(&m.Signature, "x")
	}
	for _, name := range thirdParties {
		caveatKey := chain.DeriveKey([]byte(name))
		vid := chain.Seal(&m.Signature, &caveatKey)
		m.Caveats = append(m.Caveats, wire.Caveat{ID: name, VerificationID: vid})
		hasher.ThirdParty(&m.Signature, vid, name)
	}
	if len(h.parts) > 0 {
		hasher.Bind(&h.parts[0].Signature, &m.Signature)
	}
	h.parts = append(h.parts, m)
	h.links += hasher.Links()
}

func (h *hostile) text() string {
	var data []byte
	for i := range h.parts {
		data = wire.Append(data, &h.parts[i])
	}
	return string(wire.AppendText(nil, data))
}

func ladder(rungs int) (h hostile) {
	h.add(string(foreignKey), "root", 0, "a0", "b0")
	for i := range rungs {
		a, b := fmt.Sprint("a", i+1), fmt.Sprint("b", i+1)
		h.add(fmt.Sprint("a", i), fmt.Sprint("a", i), 0, a, b)
		h.add(fmt.Sprint("b", i), fmt.Sprint("b", i), 0, a, b)
	}
	return h
}

func circle(n int) (h hostile) {
	h.add(string(foreignKey), "root", 0, "0")
	for i := range n {
		h.add(fmt.Sprint(i), fmt.Sprint(i), 0, fmt.Sprint((i+1)%n))
	}
	return h
}

func chained(n int) (h hostile) {
	h.add(string(foreignKey), "root", 0, "0")
	for i := range n {
		if i+1 < n {
			h.add(fmt.Sprint(i), fmt.Sprint(i), 0, fmt.Sprint(i+1))
		} else {
			h.add(fmt.Sprint(i), fmt.Sprint(i), 0)
		}
	}
	return h
}

func wide(caveats int) (h hostile) {
	h.add(string(foreignKey), "root", caveats)
	return h
}

func duplicates(n int) (h hostile) {
	h.add(string(foreignKey), "root", 0, "a")
	h.add("a", "a", 0)
	for range n {
		h.parts = append(h.parts, h.parts[1])
	}
	return h
}

func sized(n int) int {
	if long {
		return n
	}
	return n / 10
}

// What exceeds a limit is refused when the limit is met: no hash is computed.
func TestLimitsBeforeWork(t *testing.T) {
	v := foreignVerifier(t, verifier.Options{Limits: macaroon.Limits{Text: 1 << 30}})
	for name, h := range map[string]hostile{
		"ladder":     ladder(20),
		"circle":     circle(20),
		"chain":      chained(sized(100_000)),
		"caveats":    wide(sized(100_000)),
		"duplicates": duplicates(sized(100_000)),
	} {
		text := h.text()
		verified, err := v.VerifyText(ctx, text, read, noFacts)
		refused(t, verifier.OverLimit, verified, err)
		before := testing.AllocsPerRun(5, func() { v.VerifyText(ctx, text, read, noFacts) })
		require.LessOrEqual(t, before, 40.0, name)
	}
	short := foreignVerifier(t, verifier.Options{})
	verified, err := short.VerifyText(ctx, strings.Repeat("A", 1<<20), read, noFacts)
	refused(t, verifier.OverLimit, verified, err)
}

// With the limits raised the work stays linear in what was presented.
func TestWorkIsLinear(t *testing.T) {
	v := foreignVerifier(t, verifier.Options{Limits: unlimited})
	for name, row := range map[string]struct {
		h       hostile
		allowed bool
		reason  verifier.Reason
	}{
		"ladder":     {ladder(20), false, verifier.DischargeReused},
		"circle":     {circle(1000), false, verifier.DischargeReused},
		"chain":      {chained(sized(100_000)), true, verifier.ReasonUnset},
		"caveats":    {wide(sized(100_000)), true, verifier.ReasonUnset},
		"duplicates": {duplicates(sized(100_000)), false, verifier.UnusedDischarge},
	} {
		t.Run(name, func(t *testing.T) {
			c := must(macaroon.ParseWith(row.h.text(), unlimited))(t)
			links, reason := v.Links(ctx, c)
			require.Equal(t, row.reason.String(), reason.String())
			// One HMAC more for each macaroon is its binding, three in all.
			require.LessOrEqual(t, links, row.h.links)
			if row.allowed {
				require.Equal(t, row.h.links, links, "each caveat once")
			}
		})
	}
}
