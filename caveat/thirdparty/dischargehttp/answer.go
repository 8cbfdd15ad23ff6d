package dischargehttp

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"
)

// write sends an answer that nobody is to store.
func write(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		// A macaroon that its version can't hold.
		status, text = http.StatusInternalServerError, []byte(`{"Message":"the answer can't be written"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json") // to the letter: peers compare it
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(text)
}

func methodNotAllowed(w http.ResponseWriter, allowed string) {
	w.Header().Set("Allow", allowed)
	write(w, http.StatusMethodNotAllowed, errorBody{Code: codeBadRequest, Message: "the method is not " + allowed})
}

var errTooManyFailures = errors.New(prefix + "too many requests of this client have failed")

// limited refuses a client that has to wait, and reports whether it did.
func (s *Service) limited(w http.ResponseWriter, r *http.Request, client string) bool {
	wait := s.failures.wait(client, time.Now())
	if wait == 0 {
		return false
	}
	s.audit(r, Record{Client: client, Err: errTooManyFailures})
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	write(w, http.StatusTooManyRequests, errorBody{Message: "too many requests have failed"})
	return true
}
