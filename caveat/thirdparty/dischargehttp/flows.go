package dischargehttp

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
)

// Flows are the interactions in which a client waits until somebody has acted: a person who logs in with a browser,
// or whoever else has to approve. They are kept in memory, so that all requests of a flow must reach one process.
//
// A client that asks for a discharge and gets ErrInteractionRequired begins a flow. With a visit URL it is sent there,
// with the id of the flow in the parameter "flow", and its browser opens that; without one, somebody else acts.
// The application looks the flow up with [Flows.Find], finds out who is there, shows what is asked for and by
// whom, and says who agreed with [Flows.Complete], or nobody with [Flows.Refuse]. The client learns that where it
// waits, and asks for the discharge again, as that caller.
//
// Who has the id of a flow can act on it and no more: what the client waits with is another secret. A page that
// completes a flow must have the person confirm it: anybody can begin a flow and send the link to somebody else, who
// would log in for them.
//
// Flows are safe for concurrent use. Make them with [NewFlows].
type Flows struct {
	visit   *url.URL // nil: nobody is sent anywhere
	options FlowOptions

	mu     sync.Mutex
	byAge  list.List        // of *flow, the oldest first
	byID   map[digest]*flow // nobody has acted on them yet
	byWait map[digest]*flow // the client has not learned yet what came of them
	tokens map[digest]*flow // it has, and has a token
	counts map[string]int   // flows of each client
}

// FlowOptions are the settings of [Flows]. The zero value is good.
type FlowOptions struct {
	_ [0]func() // fields are to be named

	// Location is where clients find the service: what they are told to visit and to wait at begins with it. Empty
	// means that they are told relative URLs, which all but those inside a browser can resolve.
	Location string

	// Lifetime is how long a flow may take. The token that it ends with is good for a minute more. Zero means 10
	// minutes; negative is an error.
	Lifetime time.Duration

	// Most is how many flows are kept. Zero means 4096; negative is an error. One more takes the place of the
	// oldest of the client that has the most, or is answered 503 if none has two more than its own. Each may take
	// 16 KiB.
	Most int

	// MostPerClient is how many of those one client may have; beginning another one drops its oldest. Zero means
	// 64; negative is an error.
	MostPerClient int

	// Began is told of each flow, if somebody has to be asked to act. It must not block. An error refuses. Clients
	// begin flows as often as they like: to ask a person each time would let any of them tire that person into
	// agreeing, so limit it. Nil means nothing.
	Began func(context.Context, Flow) error
}

const (
	defaultFlowLifetime  = 10 * time.Minute
	defaultFlows         = 4096
	defaultFlowsOfClient = 64
)

// The kinds of interaction that flows are.
const (
	kindBrowser = "browser-window"
	kindPoll    = "poll"
)

const (
	waitTokenPath = "/discharge/wait-token"
	waitPath      = "/discharge/wait"
)

// Flow is one interaction that has not ended.
type Flow struct {
	// ID is for whoever acts, and nobody else.
	ID string

	// Question is what the checker was asked, Question.Caller who asked.
	Question thirdparty.Question

	// Client is who began it, as the service tells clients apart.
	Client string

	// Expires is when it ends by itself.
	Expires time.Time
}

// ErrFlow: there is no flow of this id. It may have expired or ended, or never been.
var ErrFlow = errors.New(prefix + "no such flow")

// NewFlows makes Flows. visitURL is where a browser is sent, such as "https://id.example/login" or, if clients are to
// resolve it against the location of the service, "login"; empty means that no browser is needed. All problems are
// joined.
func NewFlows(visitURL string, options FlowOptions) (*Flows, error) {
	f := &Flows{
		options: options,
		byID:    make(map[digest]*flow),
		byWait:  make(map[digest]*flow),
		tokens:  make(map[digest]*flow),
		counts:  make(map[string]int),
	}
	var problems []error
	if visitURL != "" {
		u, err := url.Parse(visitURL)
		if err != nil || u.Opaque != "" || u.User != nil || u.Fragment != "" || u.Scheme != "" && u.Scheme != "https" && u.Scheme != "http" {
			problems = append(problems, errors.New("visit URL: not one that a browser can be sent to"))
		}
		f.visit = u
	}
	if options.Location != "" {
		_, at, _, err := splitLocation(options.Location)
		if err != nil {
			problems = append(problems, fmt.Errorf("location: %w", err))
		}
		f.options.Location = at.location + "/"
		if base, err := url.Parse(f.options.Location); err == nil && f.visit != nil {
			f.visit = base.ResolveReference(f.visit)
		}
	}
	if options.Lifetime < 0 || options.Most < 0 || options.MostPerClient < 0 {
		problems = append(problems, errors.New("negative limit"))
	}
	f.options.Lifetime = cmp.Or(options.Lifetime, defaultFlowLifetime)
	f.options.Most = cmp.Or(options.Most, defaultFlows)
	f.options.MostPerClient = cmp.Or(options.MostPerClient, defaultFlowsOfClient)
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf(prefix+"flows: %w", err)
	}
	return f, nil
}

// Find gives a flow that nobody has acted on yet.
func (f *Flows) Find(id string) (Flow, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := live(f.byID, id)
	if found == nil {
		return Flow{}, false
	}
	return found.Flow, true
}

// Complete ends a flow: the checker will be asked again, with this caller, which must not be nil. It fails with
// [ErrFlow].
func (f *Flows) Complete(id string, caller any) error {
	if caller == nil {
		return errors.New(prefix + "flow completed without a caller")
	}
	return f.end(id, caller, true)
}

// Refuse ends a flow without a caller: the client is refused. It fails with [ErrFlow].
func (f *Flows) Refuse(id string) error { return f.end(id, nil, false) }

func (f *Flows) end(id string, caller any, agreed bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := live(f.byID, id)
	if found == nil {
		return ErrFlow
	}
	found.caller, found.agreed = caller, agreed
	delete(f.byID, found.id)
	close(found.done)
	return nil
}

// Kind is the one that the bakery's clients know if a browser is needed, and otherwise one of this package.
func (f *Flows) Kind() string {
	if f.visit == nil {
		return kindPoll
	}
	return kindBrowser
}

// flowBody is what a client is told.
type flowBody struct {
	VisitURL     string `json:",omitempty"`
	WaitTokenURL string
	waitURL      string
}

// Begin begins a flow.
func (f *Flows) Begin(ctx context.Context, p Pending) (any, error) {
	if p.asked == nil {
		return nil, errors.New("no request of a service")
	}
	id, wait := newSecret(), newSecret()
	now := time.Now()
	begun := &flow{
		Flow:   Flow{ID: id, Question: p.Question, Client: p.asked.client, Expires: now.Add(f.options.Lifetime)},
		caveat: p.Caveat, bound: p.Client, asked: p.asked,
		id: digestOf(id), wait: digestOf(wait),
		done: make(chan struct{}),
	}
	if err := f.add(begun, now); err != nil {
		return nil, err
	}
	if f.options.Began != nil {
		if err := f.options.Began(ctx, begun.Flow); err != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.drop(begun)
			return nil, err
		}
	}
	body := flowBody{WaitTokenURL: f.url(waitTokenPath, wait)}
	if f.visit != nil {
		visit := *f.visit
		query := visit.Query()
		query.Set(flowParameter, id)
		visit.RawQuery = query.Encode()
		body.VisitURL, body.waitURL = visit.String(), f.url(waitPath, wait)
	}
	return body, nil
}

const flowParameter = "flow"

func (f *Flows) url(path, wait string) string {
	return f.options.Location + strings.TrimPrefix(path, "/") + "?" + flowParameter + "=" + wait
}

var errToken = errors.New("the token of a flow is not known any more, or was for something else")

// Redeem gives the caller of a flow that was completed, once.
func (f *Flows) Redeem(_ context.Context, p Pending, token string) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := f.tokens[digestOf(token)]
	if found == nil {
		return nil, errToken
	}
	f.drop(found)
	if found.caveat != p.Caveat || found.bound != p.Client || !time.Now().Before(found.tokenExpires) {
		return nil, errToken
	}
	return found.caller, nil
}
