package httpauth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/amaretti-go/amaretti/verifier"
)

// row is one of the answers to a refusal. Whatever a peer is told hangs on the row
// and on nothing else about the refusal.
type row struct {
	status int
	code   string // of RFC 6750 section 3.1, and of RFC 9470 section 3
	detail string
}

func rowOf(refusal *verifier.Error) row {
	switch {
	case refusal.Reason == verifier.NothingPresented:
		return row{http.StatusUnauthorized, "", "A token is required."}
	case refusal.Reason == verifier.InvalidRequest:
		return row{http.StatusBadRequest, "invalid_request", "The Authorization header must be one scheme and one token."}
	case errors.Is(refusal, verifier.ErrMissingDischarge):
		return row{http.StatusUnauthorized, "insufficient_user_authentication", "The token needs the discharges listed."}
	case refusal.Class() == verifier.Unauthenticated:
		return row{http.StatusUnauthorized, "invalid_token", "The token is not valid."}
	case refusal.Class() == verifier.Denied:
		return row{http.StatusForbidden, "insufficient_scope", "The token does not allow this."}
	}
	return row{http.StatusServiceUnavailable, "", "It could not be decided whether the token allows this. Try again."}
}

// retryAfter is in seconds.
const retryAfter = "1"

// problem is the body, after RFC 9457.
type problem struct {
	Title      string      `json:"title"`
	Status     int         `json:"status"`
	Detail     string      `json:"detail"`
	Instance   string      `json:"instance"`
	Discharges []discharge `json:"discharges,omitempty"`
}

type discharge struct {
	Location string `json:"location"`
	CaveatID string `json:"caveat_id"` // unpadded base64url
}

// WriteError answers a request that [Auth.Check] refused with err, as [Auth.Require]
// does; the package documentation has the table. Any other error, nil too, is
// answered as undecided, and goes to [Options.Log] under the instance that the answer
// names: nobody has recorded it yet. Nothing of it is shown.
//
// It drops headers that were meant for another body: Content-Length, Etag and
// Last-Modified.
func (a *Auth) WriteError(w http.ResponseWriter, err error) {
	refusal, made := verifier.RefusalOf(err)
	if made {
		verifier.LogRefusal(context.Background(), a.options.Log, "httpauth", "", refusal)
	}
	row := rowOf(refusal)
	body := problem{
		Title:    http.StatusText(row.status),
		Status:   row.status,
		Detail:   row.detail,
		Instance: refusal.Instance,
	}
	for _, m := range refusal.Missing {
		body.Discharges = append(body.Discharges, discharge{m.Location, base64.RawURLEncoding.EncodeToString([]byte(m.CaveatID))})
	}
	text, _ := json.Marshal(body) // strings and numbers: it can't fail

	h := w.Header()
	// Content-Encoding stays: who compresses whatever is written has set it.
	for _, name := range []string{"Content-Length", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if row.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", retryAfter)
	} else {
		challenge := "Bearer realm=" + a.realm
		if row.code != "" {
			challenge += `, error="` + row.code + `"`
		}
		h.Set("WWW-Authenticate", challenge)
	}
	w.WriteHeader(row.status)
	w.Write(text)
}

const defaultRealm = "macaroon"

// quoted writes a realm as a quoted-string, RFC 9110 section 5.6.4.
func quoted(realm string) (string, error) {
	if realm == "" {
		realm = defaultRealm
	}
	for i := range len(realm) {
		if realm[i] < ' ' || realm[i] > '~' {
			return "", errors.New("want printable ASCII")
		}
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(realm) + `"`, nil
}

// keepPrivate marks an answer as one for this caller alone, before a handler that
// may know better has its turn. What somebody around forbade to store stays so.
func keepPrivate(h http.Header) {
	if !strings.Contains(h.Get("Cache-Control"), "no-store") {
		h.Set("Cache-Control", "private")
	}
	h.Add("Vary", "Authorization")
}
