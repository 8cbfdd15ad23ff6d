package verifier

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/amaretti-go/amaretti/macaroon"
)

// Verified is a decision to allow, and what is known for sure of the token that
// it rests on. Only this package makes one. It holds no signature, and it is
// immutable and safe for concurrent use.
type Verified struct {
	_          [0]func() // not comparable: two decisions are not one
	foreign    bool
	identifier macaroon.Identifier          // zero if foreign
	signed     string                       // the primary macaroon's identifier as it was signed
	caveats    macaroon.UnverifiedCaveats   // its caveats
	discharges []macaroon.UnverifiedCaveats // those of the discharges
	attributes map[string]string            // attested ones, by key; none is empty
	expiry     time.Time
	leeway     time.Duration
}

// verified makes the only way there is from a proof to a Verified. It takes
// along the conditions without the signatures.
func (v *Verifier) verified(p *proof, t *terms, attributes map[string]string) *Verified {
	view := p.credential.Inspect()
	primary := view.At(0)
	ok := &Verified{
		foreign:    v.foreign != nil,
		identifier: p.identifier,
		signed:     primary.Identifier(),
		caveats:    primary.Caveats(),
		attributes: attributes,
		expiry:     t.expiry,
		leeway:     v.options.Leeway,
	}
	for i := 1; i < view.Len(); i++ {
		ok.discharges = append(ok.discharges, view.At(i).Caveats())
	}
	return ok
}

// Subject is who the token is for, as its minter wrote. It is empty if the minter
// named nobody, and for foreign tokens.
func (v *Verified) Subject() string { return v.identifier.Subject }

// KeyID names the root key; empty for foreign tokens.
func (v *Verified) KeyID() string { return v.identifier.KeyID }

// TokenID is what this token and all that was attenuated from the same one share.
// It is zero for foreign tokens.
func (v *Verified) TokenID() macaroon.TokenID { return v.identifier.TokenID }

// IssuedAt is when the token was minted; zero for foreign tokens.
func (v *Verified) IssuedAt() time.Time { return v.identifier.IssuedAt }

// Foreign reports whether another system minted the token.
func (v *Verified) Foreign() bool { return v.foreign }

// Expiry is the earliest time-before of all macaroons presented; zero if there is
// none.
func (v *Verified) Expiry() time.Time { return v.expiry }

// Deadline is when this decision must end at the latest, as in a stream: the
// expiry and the verifier's leeway. ok is false if the token does not expire.
func (v *Verified) Deadline() (deadline time.Time, ok bool) {
	if v.expiry.IsZero() {
		return time.Time{}, false
	}
	return v.expiry.Add(v.leeway), true
}

// Conditions lists the conditions that were checked and hold, in order, those of
// discharges behind those of the primary macaroon. Any holder can have written
// any of them: they tell what the token is restricted to, and nothing about who
// presents it. The slice is the caller's.
func (v *Verified) Conditions() []string {
	list := conditions(nil, v.caveats)
	for _, caveats := range v.discharges {
		list = conditions(list, caveats)
	}
	return list
}

func conditions(list []string, caveats macaroon.UnverifiedCaveats) []string {
	for _, c := range caveats.All() {
		if !c.ThirdParty() {
			list = append(list, c.ID)
		}
	}
	return list
}

// Reference is a name of the token for logs: 16 hexadecimal digits of the SHA-256
// of what the primary macaroon's signature covers. A token that was narrowed has
// another one. Nothing about the signature follows from it.
func (v *Verified) Reference() string { return reference(v.signed, v.caveats) }

// String describes the decision for logs.
func (v *Verified) String() string {
	return fmt.Sprintf("verified subject %q token %s", v.Subject(), v.Reference())
}

// Format writes what String gives, whatever the verb.
func (v *Verified) Format(f fmt.State, _ rune) { io.WriteString(f, v.String()) }

// LogValue describes the decision for logs.
func (v *Verified) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("subject", v.Subject()),
		slog.String("key", v.KeyID()),
		slog.String("token", v.TokenID().String()),
		slog.String("reference", v.Reference()),
		slog.Time("expiry", v.Expiry()),
	)
}

func reference(identifier string, caveats macaroon.UnverifiedCaveats) string {
	data := appendPart(nil, identifier)
	for _, c := range caveats.All() {
		data = appendPart(data, c.VerificationID)
		data = appendPart(data, c.ID)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

func appendPart(data []byte, part string) []byte {
	data = binary.AppendUvarint(data, uint64(len(part)))
	return append(data, part...)
}
