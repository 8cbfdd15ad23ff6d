package main

import (
	"context"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"github.com/amaretti-go/amaretti/caveat/thirdparty"
	"github.com/amaretti-go/amaretti/caveat/thirdparty/dischargehttp"
)

// identity is a service that knows people, and discharges "member-of TEAM" for those who log in and allow it.
type identity struct {
	people   *people
	sessions *sessions
	flows    *dischargehttp.Flows
	askers   map[thirdparty.PublicKey]string
}

// newIdentity makes the handler of an identity service that clients find at location. It answers nobody but askers,
// whose names it shows to people.
func newIdentity(location string, askers map[thirdparty.PublicKey]string) (http.Handler, error) {
	flows, err := dischargehttp.NewFlows(location+"/login", dischargehttp.FlowOptions{Location: location})
	if err != nil {
		return nil, err
	}
	i := &identity{people: newPeople(), sessions: newSessions(), flows: flows, askers: askers}

	keys, err := thirdparty.NewKeys(thirdparty.GenerateKey())
	if err != nil {
		return nil, err
	}
	discharger, err := thirdparty.NewDischarger(keys, thirdparty.Options{})
	if err != nil {
		return nil, err
	}
	service, err := dischargehttp.NewService(discharger, thirdparty.Conditions{"member-of": i.memberOf},
		dischargehttp.ServiceOptions{Flows: flows})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", service)
	mux.HandleFunc("GET /login", i.page)
	mux.HandleFunc("POST /login", i.logIn)
	mux.HandleFunc("POST /answer", i.answer)
	mux.Handle("GET /style.css", http.FileServerFS(pages))
	return protect(mux), nil
}

// memberOf decides for whoever logged in, and declares who that is.
func (i *identity) memberOf(_ context.Context, q thirdparty.Question) (thirdparty.Answer, error) {
	if i.askers[q.FirstParty] == "" {
		return thirdparty.Answer{}, errors.New("not one whose questions are answered")
	}
	user, known := q.Caller.(string)
	if !known {
		return thirdparty.Answer{}, dischargehttp.ErrInteractionRequired
	}
	if !slices.Contains(i.people.teams(user), q.Argument) {
		return thirdparty.Answer{}, errors.New("not a member")
	}
	return thirdparty.Answer{Declared: map[string]string{"user": user}}, nil
}

//go:embed page.html style.css
var pages embed.FS

// page.html is filled with a view; html/template escapes what is in it, which anybody may have written.
var page = template.Must(template.ParseFS(pages, "page.html"))

type view struct {
	Flow    string
	Asker   string // who wants to know
	Team    string // what
	User    string // who is logged in
	Name    string // what was typed as a name
	Problem string
	Done    string // what to say when there is nothing more to do
}

// page shows the login form, or to whoever is logged in already what is asked for.
func (i *identity) page(w http.ResponseWriter, r *http.Request) {
	if v, ok := i.find(w, r); ok {
		show(w, http.StatusOK, v)
	}
}

// find looks up what a request is about, or says that it is over.
func (i *identity) find(w http.ResponseWriter, r *http.Request) (view, bool) {
	flow, found := i.flows.Find(r.FormValue("flow"))
	if !found {
		show(w, http.StatusNotFound, view{Done: "This login has expired, or is done already. Start again from where you came."})
		return view{}, false
	}
	q := flow.Question
	return view{Flow: flow.ID, Asker: i.askers[q.FirstParty], Team: q.Argument, User: i.sessions.user(r)}, true
}

func (i *identity) logIn(w http.ResponseWriter, r *http.Request) {
	v, ok := i.find(w, r)
	if !ok {
		return
	}
	user := r.PostFormValue("user")
	if !i.people.check(user, r.PostFormValue("password")) {
		v.User, v.Name, v.Problem = "", user, "That is not the name and password of anybody here."
		show(w, http.StatusForbidden, v)
		return
	}
	i.sessions.begin(w, r, user)
	http.Redirect(w, r, "/login?flow="+url.QueryEscape(v.Flow), http.StatusSeeOther)
}

// answer ends the flow: the person has seen who asks for what.
func (i *identity) answer(w http.ResponseWriter, r *http.Request) {
	v, ok := i.find(w, r)
	if !ok {
		return
	}
	var err error
	switch {
	case v.User == "":
		show(w, http.StatusForbidden, v)
		return
	case r.PostFormValue("answer") == "allow":
		err = i.flows.Complete(v.Flow, v.User)
		v.Done = "Done. You can close this page and go back to " + v.Asker + "."
	default:
		err = i.flows.Refuse(v.Flow)
		v.Done = "Refused. " + v.Asker + " has learned nothing about you."
	}
	if err != nil {
		v.Done = "This login has expired. Start again from where you came."
	}
	show(w, http.StatusOK, v)
}

func show(w http.ResponseWriter, status int, v view) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	page.Execute(w, v) // it fails if the browser is gone
}

// protect keeps other sites from framing the pages, from making a browser send the forms, and from running anything.
func protect(h http.Handler) http.Handler {
	headers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		w.Header().Set("Referrer-Policy", "no-referrer") // the id of the flow stands in the URL
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, 32<<10)
		h.ServeHTTP(w, r)
	})
	return http.NewCrossOriginProtection().Handler(headers)
}
