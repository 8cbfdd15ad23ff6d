package dischargehttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
)

// ErrInteractionRequired is what a checker returns, perhaps wrapped, if it can't say who asks before somebody has
// acted. The service then offers its Flows and Interactions to the client.
var ErrInteractionRequired = errors.New(prefix + "interaction required")

// Interaction is a way in which a client proves who asks: by a signature, a form, a code. Its methods must be safe
// for concurrent use. They are called with whatever clients send.
type Interaction interface {
	// Kind names it to clients, which have an Interactor of the same kind. It is called once.
	Kind() string

	// Begin gives what the client has to know, as a value for encoding/json. It must tell nothing that only the
	// one who is to act should know.
	Begin(ctx context.Context, p Pending) (any, error)

	// Redeem gives the caller that a client's token proves. The token must have been made for p.Caveat, by p.Client,
	// not long ago, and not have been redeemed before. An error refuses.
	Redeem(ctx context.Context, p Pending, token string) (caller any, err error)
}

// Pending is a request for a discharge for which an interaction is required, or was.
type Pending struct {
	// Caveat tells which caveat is to be discharged: whoever acts does so for this one alone. It is the SHA-256
	// of its id, and of what that stands for.
	Caveat [32]byte

	// Client is what ServiceOptions.Client said; empty if that is nil.
	Client string

	// Question is what the checker was asked. It is zero in Redeem, since the checker has not been asked yet.
	Question thirdparty.Question

	// Request is the client's.
	Request *http.Request

	asked *request
}

func (s *Service) pending(r *http.Request, asked *request) Pending {
	p := Pending{Caveat: asked.digest(), Request: r, asked: asked}
	if s.options.Client != nil {
		p.Client = asked.client
	}
	return p
}

// interact offers the ways to prove who asks.
func (s *Service) interact(w http.ResponseWriter, r *http.Request, asked *request, record Record) {
	pending := s.pending(r, asked)
	pending.Question = record.Question
	info := errorInfo{InteractionMethods: make(map[string]json.RawMessage, len(s.interactions))}
	for kind, interaction := range s.interactions {
		told, err := interaction.Begin(r.Context(), pending)
		if err == nil {
			info.InteractionMethods[kind], err = json.Marshal(told)
		}
		if flow, ok := told.(flowBody); ok {
			info.VisitURL, info.WaitURL = flow.VisitURL, flow.waitURL
		}
		if err != nil {
			record.Err = fmt.Errorf("interaction %q: %w", kind, err)
			s.refuse(w, r, record)
			return
		}
	}
	if len(s.interactions) == 0 {
		record.Err = fmt.Errorf("%w, and the service has none", record.Err)
		s.refuse(w, r, record)
		return
	}
	s.audit(r, record)
	w.Header().Set("WWW-Authenticate", "Macaroon") // peers look for this and nothing else
	write(w, http.StatusUnauthorized, errorBody{Code: codeInteraction, Message: "somebody has to act first", Info: &info})
}
