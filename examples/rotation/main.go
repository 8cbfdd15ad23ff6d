// Rotation: the life of root keys in a database. Two processes share them: orders mints
// tokens, and both verify. Keys rotate without an outage, one that leaked is deleted, the
// database goes away for a while, and the key that seals them changes.
//
//	go run ./examples/rotation
//
// Here the two are keyrings of one program, each with a connection of its own to one SQLite
// file, and what takes minutes and days in real life takes moments.
package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/sqlstore"
	"github.com/amaretti-go/amaretti/verifier"
)

// hasty are options for which nobody has to wait. What they mean when they say nothing is
// in the comments.
var hasty = rootkey.Options{
	RefreshEvery: 200 * time.Millisecond,        // 10 seconds
	PublishFor:   time.Second,                   // a minute
	StaleAfter:   2500 * time.Millisecond,       // 5 minutes
	MaxLifetime:  3 * time.Second,               // 24 hours
	Leeway:       200 * time.Millisecond,        // a minute
	RotateEvery:  time.Hour,                     // 30 days; here it is done by hand
	Log:          slog.New(slog.DiscardHandler), // slog.Default
}

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir := must(os.MkdirTemp("", "rotation"))
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "keys.db")

	kek := newKEK() // from a secrets manager, in real life
	orders := start(ctx, "orders", path, kek)
	billing := start(ctx, "billing", path, kek)
	both := []*process{orders, billing}

	fmt.Println("An empty store gets one key, which mints at once, whoever comes first.")
	orders.list(ctx)
	first := orders.mint(ctx, "the nightly job")
	verify(ctx, both, "its token", first)

	fmt.Println("\nThe next key is published before it mints, so that each verifier has it by then.")
	fresh := must(orders.keys.Rotate(ctx))
	orders.list(ctx)
	between := orders.mint(ctx, "the hourly job")
	fmt.Println("  a token minted meanwhile is still of the old key:", keyOf(between) == keyOf(first))
	time.Sleep(time.Until(fresh.Mints))
	fmt.Println("Then it takes over. Tokens of both are good.")
	orders.list(ctx)
	second := orders.mint(ctx, "the web shop")
	verify(ctx, both, "a token of the old key", between)
	verify(ctx, both, "a token of the new key", second)

	fmt.Println("\nWhen the last token of the old key has expired, it retires by itself.")
	time.Sleep(time.Until(must(orders.keys.Keys(ctx))[0].Retires))
	orders.list(ctx)

	leaked := orders.mint(ctx, "the web shop, again")
	fmt.Println("\nThe web shop's token has leaked. What else is of its key?")
	for _, minted := range must(orders.inventory.Find(ctx, sqlstore.Query{KeyID: keyOf(leaked)})) {
		fmt.Printf("  %q for %s\n", minted.Label, minted.Subject)
	}
	fmt.Println("The machine that minted them can't be trusted any more. The key goes, and another takes its place.")
	check(orders.keys.Delete(ctx, keyOf(leaked)))
	verify(ctx, []*process{orders}, "at once", leaked)
	time.Sleep(hasty.RefreshEvery)
	verify(ctx, []*process{billing}, "within RefreshEvery", leaked)
	orders.list(ctx)
	token := orders.mint(ctx, "the web shop, anew")
	verify(ctx, both, "a token of the key that took its place", token)

	fmt.Println("\nThe database is locked and can't be read.")
	unlock := lock(ctx, path)
	verify(ctx, both, "at first", token)
	time.Sleep(hasty.StaleAfter + hasty.RefreshEvery)
	verify(ctx, both, "after StaleAfter", token)
	unlock()
	for _, p := range both {
		p.recover(ctx, token)
	}
	verify(ctx, both, "it is back", orders.mint(ctx, "the web shop, later"))

	fmt.Println("\nThe key that seals the others changes: all open under both, then all seal under the new one, then the old one goes.")
	next := newKEK()
	meanwhile, stop := context.WithCancel(ctx)
	start(meanwhile, "billing", path, kek.AlsoOpens(next)) // and so orders
	stop()
	sealing := start(ctx, "billing", path, next.AlsoOpens(kek))
	check(sealing.store.Rewrap(ctx, next))
	after := start(ctx, "orders", path, next)
	verify(ctx, []*process{sealing, after}, "before and after", after.mint(ctx, "the web shop, sealed anew"))
	_, err := rootkey.Open(ctx, newStore(open(path), kek), hasty)
	fmt.Println("  under the old one nothing opens:", errors.Is(err, seal.ErrOpen))
}

// process is what one of them has.
type process struct {
	name      string
	store     *sqlstore.Store
	inventory *sqlstore.Inventory
	keys      *rootkey.Keyring
	verifier  *verifier.Verifier
}

// start is what each does when it starts.
func start(ctx context.Context, name, path string, kek *seal.Sealer) *process {
	db := open(path)
	p := &process{name: name, store: newStore(db, kek)}
	p.inventory = must(sqlstore.NewInventory(db, sqlstore.SQLite, sqlstore.Options{}))
	options := hasty
	options.Recorder = p.inventory
	p.keys = must(rootkey.Open(ctx, p.store, options))
	p.verifier = must(verifier.New(p.keys, "orders", verifier.Options{}))
	go p.keys.Run(ctx)
	return p
}

func open(path string) *sql.DB {
	return must(sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(100)"))
}

func newStore(db *sql.DB, kek *seal.Sealer) *sqlstore.Store {
	return must(sqlstore.New(db, sqlstore.SQLite, kek, sqlstore.Options{}))
}

func newKEK() *seal.Sealer {
	var kek [32]byte
	rand.Read(kek[:])
	return must(seal.NewKey(kek[:]))
}

// mint gives a token for a minute, which a keyring with hasty options cuts to three seconds.
func (p *process) mint(ctx context.Context, label string) macaroon.Macaroon {
	return must(p.keys.Mint(ctx, macaroon.Grant{Subject: "billing", Label: label},
		caveat.ExpiresIn(time.Minute), caveat.Audience("orders"), caveat.Operations("orders.read")))
}

// list shows the keys as they stand in the store.
func (p *process) list(ctx context.Context) {
	for i, key := range must(p.keys.Keys(ctx)) {
		fmt.Printf("  key %d: %s\n", i+1, key.State)
	}
}

// recover waits until the keys can be read again: something can be said of a token.
func (p *process) recover(ctx context.Context, token macaroon.Macaroon) {
	for range 1000 {
		if _, _, err := p.keys.RootSignature(ctx, token.Identifier()); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// verify tells what each process says of a token.
func verify(ctx context.Context, processes []*process, name string, token macaroon.Macaroon) {
	for _, p := range processes {
		_, err := p.verifier.VerifyText(ctx, must(token.Encode()), "orders.read", caveat.Facts{})
		verdict := "allowed"
		if refusal := new(verifier.Error); errors.As(err, &refusal) {
			verdict = fmt.Sprintf("%v (%v)", refusal.Class(), refusal.Reason)
		}
		fmt.Printf("  %s, in %s: %s\n", name, p.name, verdict)
	}
}

func keyOf(token macaroon.Macaroon) string {
	id, _ := macaroon.KeyID(token.Identifier())
	return id
}

// lock makes the database fail for everybody else.
func lock(ctx context.Context, path string) (unlock func()) {
	db := open(path)
	db.SetMaxOpenConns(1)
	for {
		_, err := db.ExecContext(ctx, "BEGIN EXCLUSIVE")
		if err == nil {
			break
		}
	}
	return func() { check(db.Close()) }
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
