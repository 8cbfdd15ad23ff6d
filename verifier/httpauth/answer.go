package httpauth

import (
	"cmp"
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
		return row{http.StatusBadRequest, "invalid_request", "One token is to be presented, in one header of correct syntax."}
	case refusal.Is(verifier.ErrMissingDischarge):
		return row{http.StatusUnauthorized, "insufficient_user_authentication", "The token needs discharges."}
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
// names: nobody has recorded it yet. Nothing of it is shown. r is the request that Check was given.
//
// It drops headers that were meant for another body: Content-Length, Etag and
// Last-Modified.
func (a *Auth) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	refusal, made := verifier.RefusalOf(err)
	if made {
		verifier.LogRefusal(r.Context(), a.options.Log, "httpauth", "", refusal)
	}
	if version := a.bakery.version(r); version != 0 && challenges(refusal) {
		body, err := a.bakery.challenge(r, version, refusal)
		if err == nil {
			w.Header().Set("WWW-Authenticate", "Macaroon") // to the letter, as all that follows
			write(w, http.StatusUnauthorized, "application/json", body)
			return
		}
		instance := refusal.Instance // that the audit has a record of
		refusal, _ = verifier.RefusalOf(err)
		refusal.Instance = instance
		verifier.LogRefusal(r.Context(), a.options.Log, "httpauth", "", refusal)
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
	if row.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	} else {
		challenge := "Bearer realm=" + a.realm
		if row.code != "" {
			challenge += `, error="` + row.code + `"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	}
	write(w, row.status, "application/problem+json", body)
}

// write writes an answer that nobody is to store.
func write(w http.ResponseWriter, status int, contentType string, body any) {
	text, _ := json.Marshal(body) // strings, numbers, and a macaroon that was looked at before: it can't fail
	h := w.Header()
	// Content-Encoding stays: who compresses whatever is written has set it.
	for _, name := range []string{"Content-Length", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(text)
}

const defaultRealm = "macaroon"

// quoted writes a realm as a quoted-string, RFC 9110 section 5.6.4.
func quoted(realm string) (string, error) {
	realm = cmp.Or(realm, defaultRealm)
	for i := range len(realm) {
		if realm[i] < ' ' || realm[i] > '~' {
			return "", errors.New("want printable ASCII")
		}
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(realm) + `"`, nil
}

// keepPrivate marks an answer as one for this caller alone, before a handler that
// may know better has its turn. What somebody around forbade to store stays so.
func (a *Auth) keepPrivate(h http.Header) {
	if !strings.Contains(h.Get("Cache-Control"), "no-store") {
		h.Set("Cache-Control", "private")
	}
	h.Add("Vary", a.vary)
}
