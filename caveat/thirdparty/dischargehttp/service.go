package dischargehttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/caveat/thirdparty"
)

// Service answers for a third party. It is an [http.Handler] for these paths, below wherever it is mounted with
// [http.StripPrefix]:
//
//	POST /discharge             discharges a caveat
//	GET  /discharge/info        tells the public key, and the newest version spoken
//	GET  /publickey             tells the public key
//	GET  /discharge/wait-token  waits until somebody has acted; see Flows
//	GET  /discharge/wait        the same, for older clients, and answers with the discharge
//
// It is safe for concurrent use. Make one with [NewService]; the zero Service answers 503.
type Service struct {
	discharger   *thirdparty.Discharger
	checker      thirdparty.Checker
	options      ServiceOptions
	interactions map[string]Interaction
	failures     limiter
	mux          *http.ServeMux
}

// ServiceOptions are what a [Service] may be told besides how to discharge. The zero value is the safe default.
type ServiceOptions struct {
	_ [0]func() // fields are to be named

	// Caller tells who asks for a discharge, by what the request proves: a session, a client certificate, a
	// token. The checker finds it in Question.Caller. An error refuses; nil says that nobody knows, and is for
	// the checker to judge. One that reads cookies needs http.CrossOriginProtection around the service. Nil
	// means that every caller is nil.
	Caller func(*http.Request) (any, error)

	// Flows let clients wait until somebody has acted, a person in a browser for example. Nil means that a
	// checker's ErrInteractionRequired refuses, unless there are Interactions.
	Flows *Flows

	// Interactions are further ways in which a client can prove who asks. No two have one kind.
	Interactions []Interaction

	// Client tells clients apart, for the limit on failures, and so that only the client which began a flow can
	// end it. Behind a proxy it must look at what the proxy says. Nil means the address of the connection, of
	// IPv6 the first 64 bits; flows are then not bound to it, since clients change it.
	Client func(*http.Request) string

	// Failures is how many requests of one client may fail within a minute before it gets 429 for the rest of
	// that. Zero means 60; negative is an error.
	Failures int

	// MaxBody is how many bytes the parameters of a request may have. Zero means 32 KiB; negative is an error.
	MaxBody int64

	// Audit gets a record of each discharge and each refusal, before the answer is sent. It must not block.
	// Nil means that nobody is told. [AuditLog] writes to a log.
	Audit func(context.Context, Record)

	// Log gets a line for each panic of the checker, and for each refusal because something could not be found
	// out, unless [AuditLog] wrote that to this very logger. Clients learn nothing of why. Nil means slog.Default.
	Log *slog.Logger
}

const (
	defaultFailures = 60
	defaultMaxBody  = 32 << 10
)

// NewService makes a Service that discharges what checker agrees to. All problems are joined.
func NewService(discharger *thirdparty.Discharger, checker thirdparty.Checker, options ServiceOptions) (*Service, error) {
	s := &Service{discharger: discharger, checker: checker, options: options, interactions: make(map[string]Interaction)}
	var problems []error
	if discharger == nil || discharger.Keys().IsZero() {
		problems = append(problems, errors.New("no discharger"))
	}
	if checker == nil {
		problems = append(problems, errors.New("no checker"))
	}
	if options.Failures < 0 || options.MaxBody < 0 {
		problems = append(problems, errors.New("negative limit"))
	}
	s.options.Failures = cmp.Or(options.Failures, defaultFailures)
	s.options.MaxBody = cmp.Or(options.MaxBody, defaultMaxBody)
	offered := options.Interactions
	if options.Flows != nil {
		offered = append([]Interaction{options.Flows}, offered...)
	}
	for i, interaction := range offered {
		kind := ""
		if interaction != nil {
			kind = interaction.Kind()
		}
		if kind == "" || s.interactions[kind] != nil {
			problems = append(problems, fmt.Errorf("interaction %d: nil, without a kind, or of a kind that another one has", i))
			continue
		}
		s.interactions[kind] = interaction
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf(prefix+"service: %w", err)
	}
	s.failures = limiter{most: s.options.Failures}
	s.mux = http.NewServeMux()
	s.mux.HandleFunc("POST /discharge", s.discharge)
	s.mux.HandleFunc("/discharge", func(w http.ResponseWriter, _ *http.Request) { methodNotAllowed(w, http.MethodPost) })
	s.mux.HandleFunc("GET /discharge/info", s.info)
	s.mux.HandleFunc("GET /publickey", s.publicKey)
	if options.Flows != nil {
		s.mux.HandleFunc("GET "+waitTokenPath, s.waitToken)
		s.mux.HandleFunc("GET "+waitPath, s.wait)
	}
	return s, nil
}

// Party gives what whoever adds caveats for this third party has to know, if clients find it at location. It is not
// complete, so that nothing is sealed to it, if s is the zero Service.
func (s *Service) Party(location string) thirdparty.Party {
	if s.discharger == nil {
		return thirdparty.Party{}
	}
	return thirdparty.Party{Location: location, Key: s.discharger.Keys().Advertised(), Version: maxVersion}
}

// ServeHTTP answers one request.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.mux == nil {
		write(w, http.StatusServiceUnavailable, errorBody{Message: "no service"})
		return
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Service) info(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, partyBody{s.discharger.Keys().Advertised().String(), maxVersion})
}

func (s *Service) publicKey(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, partyBody{PublicKey: s.discharger.Keys().Advertised().String()})
}

func (s *Service) discharge(w http.ResponseWriter, r *http.Request) {
	record := Record{Client: s.client(r)}
	if s.limited(w, r, record.Client) {
		return
	}
	asked, err := s.parse(w, r)
	if err == nil {
		asked.client = record.Client
		record.Reference = asked.reference()
		asked.caller, err = s.caller(r, asked)
	}
	if err == nil {
		s.answer(w, r, asked)
		return
	}
	record.Err = err
	s.refuse(w, r, record)
}

// caller tells who asks: by the token of an interaction, or by the request itself.
func (s *Service) caller(r *http.Request, asked *request) (any, error) {
	if asked.kind != "" {
		interaction := s.interactions[asked.kind]
		if interaction == nil {
			return nil, errors.New("a token of a kind that is not offered")
		}
		return interaction.Redeem(r.Context(), s.pending(r, asked), asked.token)
	}
	if s.options.Caller == nil {
		return nil, nil
	}
	return s.options.Caller(r)
}

// answer asks the checker, and tells the client what came of it.
func (s *Service) answer(w http.ResponseWriter, r *http.Request, asked *request) {
	record := Record{Client: asked.client, Reference: asked.reference()}
	discharge, err := s.discharger.Discharge(r.Context(), thirdparty.Request{
		CaveatID: asked.caveatID, Payload: asked.payload, Caller: asked.caller,
	}, thirdparty.CheckerFunc(func(ctx context.Context, q thirdparty.Question) (thirdparty.Answer, error) {
		record.Question = q
		return s.checker.Check(ctx, q)
	}))
	record.Err = err
	if errors.Is(err, ErrInteractionRequired) {
		s.interact(w, r, asked, record)
		return
	}
	if err != nil {
		s.refuse(w, r, record)
		return
	}
	s.audit(r, record)
	// A client gets what it can read, in the version in which the caveat was written.
	version := min(asked.version, record.Question.Version)
	write(w, http.StatusOK, dischargeBody{BakeryMacaroon{Macaroon: discharge, Version: version}})
}

// refuse tells a client that there is no discharge. Whether its caveat id could be read, and what the checker said,
// it does not learn.
func (s *Service) refuse(w http.ResponseWriter, r *http.Request, record Record) {
	record.logged = new(atomic.Pointer[slog.Logger])
	s.audit(r, record)
	logFailure(r.Context(), s.options.Log, record)
	if caveat.IsUndecided(record.Err) {
		w.Header().Set("Retry-After", "1")
		write(w, http.StatusServiceUnavailable, errorBody{Message: "cannot discharge now"})
		return
	}
	s.failures.count(record.Client, time.Now())
	var bad *badRequest
	if errors.As(record.Err, &bad) {
		write(w, bad.status, errorBody{Code: codeBadRequest, Message: bad.message})
		return
	}
	write(w, http.StatusUnauthorized, errorBody{Code: codeDenied, Message: "cannot discharge"})
}

func (s *Service) audit(r *http.Request, record Record) {
	if s.options.Audit != nil {
		s.options.Audit(r.Context(), record)
	}
}
