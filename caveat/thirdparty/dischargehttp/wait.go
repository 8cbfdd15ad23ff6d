package dischargehttp

import (
	"encoding/base64"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// waitToken answers with the token of a flow, once somebody has acted.
func (s *Service) waitToken(w http.ResponseWriter, r *http.Request) {
	if found := s.await(w, r); found != nil {
		// Python's client wants token64 with padding.
		write(w, http.StatusOK, tokenBody{
			Kind:    s.options.Flows.Kind(),
			Token64: base64.StdEncoding.EncodeToString([]byte(s.options.Flows.hand(found))),
		})
	}
}

// wait answers with the discharge itself.
func (s *Service) wait(w http.ResponseWriter, r *http.Request) {
	if found := s.await(w, r); found != nil {
		asked := *found.asked
		asked.caller = found.caller
		s.options.Flows.forget(found)
		s.answer(w, r, &asked)
	}
}

// A client that would rather ask again than wait for long says so by Prefer (RFC 7240 section 4.3). A bakery's waits
// for as long as it takes.
const prefer = "Prefer"

var errUnknownWait = errors.New("a client waits for a flow that is not there")

// await gives a flow that was completed, or answers and gives nil.
func (s *Service) await(w http.ResponseWriter, r *http.Request) *flow {
	if r.Method != http.MethodGet { // a pattern for GET lets HEAD in, and an answer is given once
		methodNotAllowed(w, http.MethodGet)
		return nil
	}
	record := Record{Client: s.client(r)}
	if s.limited(w, r, record.Client) {
		return nil
	}
	most := preferredWait(r.Header)
	// The server's own timeout for writing would end it early. Not all writers have one.
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(min(most, s.options.Flows.options.Lifetime) + 10*time.Second))

	client := ""
	if s.options.Client != nil {
		client = record.Client
	}
	found, more, err := s.options.Flows.await(r.Context(), r.URL.Query().Get(flowParameter), client, most)
	switch {
	case err != nil: // the client is gone
		write(w, http.StatusServiceUnavailable, errorBody{Message: "gone"})
	case more:
		w.Header().Set("Retry-After", "1")
		write(w, http.StatusAccepted, errorBody{Message: "nobody has acted yet"})
	case found == nil:
		s.failures.count(record.Client, time.Now())
		record.Err = errUnknownWait
		s.audit(r, record)
		write(w, http.StatusNotFound, errorBody{Message: "nothing to wait for"})
	case !found.agreed:
		s.options.Flows.forget(found)
		record.Reference, record.Question, record.Err = found.asked.reference(), found.Question, errRefusedFlow
		s.refuse(w, r, record)
	default:
		return found
	}
	return nil
}

var errRefusedFlow = errors.New("the flow was refused")

// preferredWait reads how long a client wants to wait.
func preferredWait(h http.Header) time.Duration {
	for _, line := range h.Values(prefer) {
		for preference := range strings.SplitSeq(line, ",") {
			seconds, found := strings.CutPrefix(strings.TrimSpace(preference), "wait=")
			if n, err := strconv.ParseUint(seconds, 10, 16); found && err == nil {
				return time.Duration(n) * time.Second
			}
		}
	}
	return math.MaxInt64
}
