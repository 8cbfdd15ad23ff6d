package httpauth

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
)

// The versions of the bakery's protocol that are spoken. Later clients understand the last.
const (
	bakery2 = 2
	bakery3 = 3
)

// version is the version that a client is to be answered in, or 0 if it does not speak one of them. On nil it
// is 0.
func (b *bakery) version(r *http.Request) int {
	if b == nil || len(r.Header["Bakery-Protocol-Version"]) != 1 {
		return 0
	}
	version, err := strconv.ParseUint(r.Header["Bakery-Protocol-Version"][0], 10, 31)
	if err != nil || version < bakery2 {
		return 0
	}
	return min(int(version), bakery3)
}

// challenges reports whether a macaroon to be discharged is an answer to the refusal.
func challenges(refusal *verifier.Error) bool {
	return refusal.Class() == verifier.Unauthenticated && refusal.Reason != verifier.InvalidRequest
}

// challenge is the bakery's error body, of which clients read all but Instance, which is ours.
type challenge struct {
	Code     string
	Message  string
	Instance string
	Info     challengeInfo
}

type challengeInfo struct {
	Macaroon         dischargehttp.BakeryMacaroon
	MacaroonPath     string
	CookieNameSuffix string
}

func (b *bakery) challenge(r *http.Request, version int, refusal *verifier.Error) (c challenge, err error) {
	m, err := b.mint(r)
	if err != nil {
		return challenge{}, fmt.Errorf("httpauth: bakery: mint: %w", err)
	}
	info := challengeInfo{dischargehttp.BakeryMacaroon{Macaroon: m, Version: version}, b.Path, b.CookieName}
	return challenge{"macaroon discharge required", rowOf(refusal).detail, refusal.Instance, info}, nil
}

var errNoThirdParty = errors.New("without a third-party caveat it is good for anybody")

// mint has the application mint, and catches its panic.
func (b *bakery) mint(r *http.Request) (m macaroon.Macaroon, err error) {
	defer func() {
		if cause := verifier.PanicError(recover()); cause != nil {
			m, err = macaroon.Macaroon{}, cause
		}
	}()
	if m, err = b.Mint(r); err != nil {
		return macaroon.Macaroon{}, err
	}
	for _, c := range m.Inspect().Caveats().All() {
		if c.ThirdParty() {
			return m, nil
		}
	}
	return macaroon.Macaroon{}, errNoThirdParty
}
