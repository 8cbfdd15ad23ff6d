// Revocation: a token leaked. Whoever minted it looks it up by its label in the inventory and
// revokes it, and a moment later it is dead at both services, with all that was narrowed
// from it. Nothing else is.
//
//	go run ./examples/revocation
//
// One program plays three processes. The issuer mints, keeps the inventory and the revocations in
// SQLite, and serves the feed of revocations over HTTP. Orders and billing follow that feed:
// they need no database of their own to know what was revoked.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/sqlstore"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/httpauth"
	"github.com/amaretti-go/amaretti/verifier/revocation"
)

// bound is how old what a service knows of revocations may be. If the feed is gone for as
// long, it answers 503: better to say nothing than to let in what was revoked.
const bound = 5 * time.Second

// quiet is a log that says nothing, since here the program tells what happens.
var quiet = slog.New(slog.DiscardHandler)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir := must(os.MkdirTemp("", "revocation"))
	defer os.RemoveAll(dir)

	issuer := newIssuer(filepath.Join(dir, "issuer.db"))
	feed := issuer.serveFeed()
	orders := start(ctx, "orders", issuer.keys, feed, issuer.feedSecret)
	billing := start(ctx, "billing", issuer.keys, feed, issuer.feedSecret)
	both := []*service{orders, billing}

	shop := issuer.mint(ctx, "web shop")
	job := issuer.mint(ctx, "nightly job")
	cart := must(shop.Attenuate(caveat.Branch(newBranch()), caveat.ExpiresIn(time.Minute)))
	fmt.Println("Two tokens are out, and one narrowed from the first:")
	show(both, "web shop", shop)
	show(both, "its shopping cart", cart)
	show(both, "nightly job", job)

	fmt.Println("\nA download at orders goes on for as long as its token is good.")
	ended := orders.download(shop)

	fmt.Println("\nThe web shop's token was seen in a log. Which one is that?")
	found := must(issuer.inventory.Find(ctx, sqlstore.Query{Label: "web shop"}))
	for _, minted := range found {
		fmt.Printf("  %q of %s, expires in %s\n", minted.Label, minted.Subject, time.Until(minted.Expiry).Round(time.Hour))
		// Past its expiry, and what clocks may differ by, nobody need remember it.
		until := minted.Expiry.Add(time.Minute)
		check(issuer.revoked.Revoke(ctx, revocation.Token(minted.TokenID), until, "seen in a log"))
	}

	fmt.Println("\nA moment later it is dead at both services, with all that was narrowed from it:")
	<-ended
	fmt.Println("  the download has ended")
	for _, s := range both {
		s.wait(shop, http.StatusUnauthorized)
	}
	show(both, "web shop", shop)
	show(both, "its shopping cart", cart)
	show(both, "nightly job", job)
	for _, e := range must(issuer.revoked.List(ctx)) {
		fmt.Printf("  revoked by %s: %s\n", e.By, e.Reason)
	}

	fmt.Println("\nA branch dies alone: of two narrowed from the nightly job, one is revoked.")
	stolen := newBranch()
	one := must(job.Attenuate(caveat.Branch(stolen)))
	other := must(job.Attenuate(caveat.Branch(newBranch())))
	check(issuer.revoked.Revoke(ctx, revocation.Branch(stolen), time.Time{}, "laptop stolen"))
	for _, s := range both {
		s.wait(one, http.StatusUnauthorized)
	}
	show(both, "the stolen one", one)
	show(both, "the other one", other)
	show(both, "nightly job", job)

	fmt.Println("\nThe feed is gone for longer than the bound. Nobody guesses:")
	check(issuer.server.Close())
	for _, s := range both {
		s.wait(job, http.StatusServiceUnavailable)
	}
	show(both, "nightly job", job)
}

// issuer mints, and revokes.
type issuer struct {
	keys       *rootkey.Keyring
	inventory  *sqlstore.Inventory
	revoked    *revocation.SQL
	feedSecret string // what services show to read the feed
	server     http.Server
}

func newIssuer(path string) *issuer {
	db := must(sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)"))
	inventory := must(sqlstore.NewInventory(db, sqlstore.SQLite, sqlstore.Options{}))
	return &issuer{
		// In memory: what is kept in the database here is the inventory and the revocations.
		keys:      must(rootkey.Open(context.Background(), rootkey.NewMemoryStore(), rootkey.Options{Recorder: inventory})),
		inventory: inventory,
		revoked: must(revocation.NewSQL(db, sqlstore.SQLite, revocation.SQLOptions{
			PollEvery: 50 * time.Millisecond,
			Who:       func(context.Context) string { return "alice, on call" },
		})),
		feedSecret: rand.Text(),
	}
}

func (i *issuer) mint(ctx context.Context, label string) macaroon.Macaroon {
	return must(i.keys.Mint(ctx, macaroon.Grant{Subject: "acme", Label: label},
		caveat.ExpiresIn(12*time.Hour), caveat.Audience("orders", "billing"), caveat.Operations("read")))
}

// serveFeed serves what was revoked, to those who may know.
func (i *issuer) serveFeed() (address string) {
	i.server.Handler = must(revocation.Handler(i.revoked, func(r *http.Request) error {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+i.feedSecret)) != 1 {
			return errors.New("not one of our services")
		}
		return nil
	}))
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	go i.server.Serve(listener)
	return "http://" + listener.Addr().String() + "/revoked"
}

// service is orders, or billing.
type service struct {
	name    string
	address string
}

func start(ctx context.Context, name string, keys *rootkey.Keyring, feed, secret string) *service {
	remote := must(revocation.HTTP(&http.Client{Transport: bearer(secret)}, feed, revocation.HTTPOptions{}))
	list := must(revocation.NewList(remote, bound, revocation.Options{Log: quiet}))
	check(list.Refresh(ctx)) // before the first request
	go list.Run(ctx)

	v := must(verifier.New(keys, name, verifier.Options{Revocations: list}))
	auth := must(httpauth.New(v, httpauth.Options{Forward: true}))
	mux := http.NewServeMux()
	mux.Handle("GET /", auth.RequireFunc("read", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello")
	}))
	mux.Handle("GET /download", auth.RequireFunc("read", func(w http.ResponseWriter, r *http.Request) { download(w, r, v) }))
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	go http.Serve(listener, mux)
	return &service{name, "http://" + listener.Addr().String()}
}

// download lasts until the token is good no longer.
func download(w http.ResponseWriter, r *http.Request, v *verifier.Verifier) {
	credential, _ := macaroon.FromContext(r.Context())
	authentic, err := v.Authenticate(r.Context(), credential)
	if err != nil {
		return // revoked since a moment ago
	}
	for {
		changed := v.RevocationsChanged() // first, so that no change is missed
		if authentic.Reauthenticate(r.Context()) != nil {
			return
		}
		fmt.Fprintln(w, "more")
		http.NewResponseController(w).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// download begins one, and gives what is closed at its end.
func (s *service) download(m macaroon.Macaroon) <-chan struct{} {
	response := must(http.DefaultClient.Do(s.request("/download", m)))
	lines := bufio.NewScanner(response.Body)
	lines.Scan() // it has begun
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines.Scan() {
		}
		response.Body.Close()
	}()
	return ended
}

func (s *service) request(path string, m macaroon.Macaroon) *http.Request {
	r := must(http.NewRequest("GET", s.address+path, nil))
	r.Header.Set("Authorization", "Bearer "+must(m.Encode()))
	return r
}

func (s *service) ask(m macaroon.Macaroon) int {
	response := must(http.DefaultClient.Do(s.request("/", m)))
	response.Body.Close()
	return response.StatusCode
}

// wait waits until the service answers with a status.
func (s *service) wait(m macaroon.Macaroon, status int) {
	for s.ask(m) != status {
		time.Sleep(10 * time.Millisecond)
	}
}

func show(services []*service, what string, m macaroon.Macaroon) {
	for _, s := range services {
		fmt.Printf("  %s, at %s: %d\n", what, s.name, s.ask(m))
	}
}

// bearer shows a secret with each request.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

func newBranch() (id [16]byte) {
	rand.Read(id[:])
	return id
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
