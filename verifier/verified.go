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
	known      *token
	attributes map[string]string // attested ones, by key; none is empty
	expiry     time.Time
	leeway     time.Duration
}

// token is what a Verified knows of the token itself. Decisions on the same one may
// share it.
type token struct {
	foreign    bool
	identifier macaroon.Identifier          // zero if foreign
	signed     string                       // the primary macaroon's identifier as it was signed
	caveats    macaroon.UnverifiedCaveats   // its caveats
	discharges []macaroon.UnverifiedCaveats // those of the discharges
}

// token takes along the conditions without the signatures.
func (p *proof) token() (t token) {
	view := p.credential.Inspect()
	primary := view.At(0)
	t = token{
		foreign:    p.identifier.KeyID == "",
		identifier: p.identifier,
		signed:     primary.Identifier(),
		caveats:    primary.Caveats(),
	}
	for i := 1; i < view.Len(); i++ {
		t.discharges = append(t.discharges, view.At(i).Caveats())
	}
	return t
}

// verified makes the only way there is from a proof to a Verified.
func (v *Verifier) verified(p *proof, t *terms, attributes map[string]string) *Verified {
	if text := p.text(); text != nil {
		return &Verified{known: text.token, attributes: attributes, expiry: t.expiry, leeway: v.options.Leeway}
	}
	both := &struct { // in one allocation
		Verified
		token
	}{token: p.token()}
	both.Verified = Verified{known: &both.token, attributes: attributes, expiry: t.expiry, leeway: v.options.Leeway}
	return &both.Verified
}

// token is never nil, also where nothing was verified.
func (v *Verified) token() *token {
	if v.known == nil {
		return new(token)
	}
	return v.known
}

// Subject is who the token is for, as its minter wrote. It is empty if the minter
// named nobody, and for foreign tokens.
func (v *Verified) Subject() string { return v.token().identifier.Subject }

// KeyID names the root key; empty for foreign tokens.
func (v *Verified) KeyID() string { return v.token().identifier.KeyID }

// TokenID is what this token and all that was attenuated from the same one share.
// It is zero for foreign tokens.
func (v *Verified) TokenID() macaroon.TokenID { return v.token().identifier.TokenID }

// Identifier is that of the primary macaroon, as its minter wrote it and no holder can
// change it: bytes of any sort. Of a foreign token it is all that tells whom it is for, if
// it does; of another one, Subject and the like are what it says.
func (v *Verified) Identifier() string { return v.token().signed }

// IssuedAt is when the token was minted; zero for foreign tokens.
func (v *Verified) IssuedAt() time.Time { return v.token().identifier.IssuedAt }

// Foreign reports whether another system minted the token.
func (v *Verified) Foreign() bool { return v.token().foreign }

// Expiry is the earliest time-before of all macaroons presented; zero if there is
// none.
func (v *Verified) Expiry() time.Time { return v.expiry }

// Deadline is when this decision must end at the latest, as in a stream: the
// expiry and the verifier's leeway. ok is false if the token does not expire.
func (v *Verified) Deadline() (deadline time.Time, ok bool) { return deadlineOf(v.expiry, v.leeway) }

func deadlineOf(expiry time.Time, leeway time.Duration) (deadline time.Time, ok bool) {
	if expiry.IsZero() {
		return time.Time{}, false
	}
	return expiry.Add(leeway), true
}

// Conditions lists the conditions that were checked and hold, in order, those of
// discharges behind those of the primary macaroon. Any holder can have written
// any of them: they tell what the token is restricted to, and nothing about who
// presents it. The slice is the caller's.
func (v *Verified) Conditions() []string {
	list := conditions(nil, v.token().caveats)
	for _, caveats := range v.token().discharges {
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
func (v *Verified) Reference() string { return reference(v.token().signed, v.token().caveats) }

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
