package integration_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/sqlstore"
	"github.com/amaretti-go/amaretti/verifier"
)

// Two processes over one PostgreSQL mint and verify all the time, their own tokens and each
// other's, while keys rotate and one is deleted. Nobody is refused but who has a token of that key,
// and he is: at once where it was deleted, and elsewhere from RefreshEvery on, or from StaleAfter where the
// database was too slow to be read.
func TestRotationUnderLoad(t *testing.T) {
	dsn := postgresDSN(t)
	rotations, every := 6, 500*time.Millisecond
	if os.Getenv("AMARETTI_LONG") != "" {
		rotations, every = 30, time.Second
	}
	here, err := join(t.Context(), dsn, every, io.Discard)
	require.NoError(t, err)
	defer here.db.Close()

	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), rotationVar+"="+dsn+" "+every.String())
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	require.NoError(t, err)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	here.out = in
	var listening sync.WaitGroup
	var there string
	listening.Go(func() { there = here.listen(t.Context(), out) })

	// For as long as it takes: a busy machine rotates late.
	working, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	var deleting sync.WaitGroup
	deleting.Go(func() {
		defer stop()
		here.await(working, func() bool { return len(here.seen) > rotations/2 })
		here.deleteMinting()
		here.await(working, func() bool {
			return len(here.seen) > rotations && time.Since(here.buried) > here.options.StaleAfter+every
		})
	})
	here.work(working)
	deleting.Wait()
	require.NoError(t, in.Close())
	listening.Wait()
	require.NoError(t, child.Wait())
	here.conclude()

	t.Logf("here: %s; there: %s", here.summary(), there)
	require.Empty(t, here.faults)
	require.Contains(t, there, "faults: 0")
	for name, n := range map[string]*atomic.Int64{"minted": &here.minted, "allowed": &here.allowed, "of the deleted key": &here.late} {
		require.Positive(t, n.Load(), name)
	}
	require.Greater(t, len(here.seen), rotations, "keys that tokens were minted under")

	// Each rotation made one key, whoever did it: where one stops another begins, but for the
	// one that was deleted.
	keys, err := here.keys.Keys(t.Context())
	require.NoError(t, err)
	byMints := make(map[time.Time]rootkey.Key)
	for _, key := range keys {
		require.NotContains(t, byMints, key.Mints, "two keys at once")
		byMints[key.Mints] = key
	}
	gaps := 0
	for _, key := range keys {
		next, found := byMints[key.Stops]
		switch {
		case key.Stops.IsZero():
		case !found:
			gaps++
		case key.Created.Before(key.Mints): // and not the one that took over from the deleted one
			require.GreaterOrEqual(t, next.Created.Sub(key.Mints), here.options.RotateEvery, "no key before it is due")
		}
	}
	require.LessOrEqual(t, gaps, 1)
	minting := slices.DeleteFunc(keys, func(k rootkey.Key) bool { return k.State != rootkey.Minting })
	require.Len(t, minting, 1)
}

const rotationVar = "AMARETTI_INTEGRATION_ROTATION"

// TestMain is also the main of the other process.
func TestMain(m *testing.M) {
	dsn, every, other := strings.Cut(os.Getenv(rotationVar), " ")
	if !other {
		os.Exit(m.Run())
	}
	if err := rotate(dsn, every); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func rotate(dsn, every string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	period, err := time.ParseDuration(every)
	if err != nil {
		return err
	}
	p, err := join(ctx, dsn, period, os.Stdout)
	if err != nil {
		return err
	}
	var working sync.WaitGroup
	working.Go(func() { p.work(ctx) })
	p.listen(ctx, os.Stdin) // until that is closed
	cancel()
	working.Wait()
	p.conclude()
	p.send("summary", p.summary())
	return nil
}

// party is one process of the test.
type party struct {
	db       *sql.DB
	options  rootkey.Options
	keys     *rootkey.Keyring
	verifier *verifier.Verifier

	sending sync.Mutex
	out     io.Writer
	agreed  chan struct{} // closed when the other process knows what is to be deleted

	mu      sync.Mutex
	seen    map[string]bool
	doomed  string    // the key that is to be deleted; its tokens may be refused
	buried  time.Time // from when on they must be; zero if it is not known yet
	latest  time.Time // and from when on even if the database can't be read
	faults  []string
	earlier []string // tokens of this process

	minted, allowed, late, undecided atomic.Int64

	stale  atomic.Int64 // tokens of the deleted key that were allowed between the two
	failed atomic.Int64 // reads, by the log
}

func join(ctx context.Context, dsn string, every time.Duration, out io.Writer) (*party, error) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return nil, err
	}
	kek, err := seal.NewKey([]byte("\x00key-encryption key of both, ..."))
	if err != nil {
		return nil, err
	}
	store, err := sqlstore.New(db, sqlstore.PostgreSQL, kek, sqlstore.Options{})
	if err != nil {
		return nil, err
	}
	p := &party{db: db, out: out, agreed: make(chan struct{}), seen: make(map[string]bool), options: rootkey.Options{
		RefreshEvery: 3 * every / 5,
		PublishFor:   4 * every / 5,
		RotateEvery:  every / 5, // and then the next is published, which makes one each time
		StaleAfter:   5 * every,
		MaxLifetime:  2 * every,
		Leeway:       every / 2,
	}}
	p.options.Log = slog.New(failures{slog.Default().Handler(), &p.failed})
	if p.keys, err = rootkey.Open(ctx, store, p.options); err != nil {
		return nil, err
	}
	if p.verifier, err = verifier.New(p.keys, "orders", verifier.Options{}); err != nil {
		return nil, err
	}
	go p.keys.Run(ctx)
	return p, nil
}

// failures counts the warnings of a keyring, which are that its keys can't be read.
type failures struct {
	slog.Handler
	count *atomic.Int64
}

func (f failures) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		f.count.Add(1)
	}
	return f.Handler.Handle(ctx, r)
}

// await waits until something of what it keeps is so, or ctx is done.
func (p *party) await(ctx context.Context, done func() bool) {
	so := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return done()
	}
	for ctx.Err() == nil && !so() {
		time.Sleep(10 * time.Millisecond)
	}
}

// work mints and verifies until ctx is done.
func (p *party) work(ctx context.Context) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				text, id, ok := p.mint()
				if !ok {
					continue
				}
				if p.mustRefuse(id, began) {
					p.fault("minted under %s, which was deleted", id)
				}
				p.check(text)
				p.check(p.exchange(text))
				p.send("token", text)
				time.Sleep(time.Millisecond)
			}
		})
	}
	wg.Wait()
}

func (p *party) mint() (text, keyID string, ok bool) {
	m, err := patiently(p, func() (macaroon.Macaroon, error) {
		return p.keys.Mint(context.Background(), macaroon.Grant{Subject: "billing"},
			caveat.ExpiresIn(time.Minute), caveat.Audience("orders"), caveat.Operations("orders.read"))
	})
	if err == nil {
		text, err = m.Encode()
	}
	if err != nil {
		p.fault("mint: %v", err)
		return "", "", false
	}
	p.minted.Add(1)
	keyID, ok = macaroon.KeyID(m.Identifier())
	return text, keyID, ok
}

// exchange takes a token and gives one from a while ago.
func (p *party) exchange(text string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.earlier = append(p.earlier, text)
	if len(p.earlier) > 200 {
		p.earlier = p.earlier[1:]
	}
	return p.earlier[0]
}

// check verifies a token.
func (p *party) check(text string) {
	credential, err := macaroon.Parse(text)
	if err != nil {
		p.fault("parse: %v", err)
		return
	}
	identifier, err := macaroon.ParseIdentifier(credential.Inspect().At(0).Identifier())
	if err != nil {
		p.fault("parse: %v", err)
		return
	}
	id := identifier.KeyID
	began := time.Now()
	who, err := p.verify(credential)
	p.mu.Lock()
	p.seen[id] = true
	doomed := id == p.doomed
	p.mu.Unlock()
	refusal := new(verifier.Error)
	switch {
	case err == nil && p.mustRefuse(id, began):
		p.fault("a token of %s was allowed, which was deleted", id)
	case err == nil && who.Subject() != "billing":
		p.fault("a token without its subject")
	case err == nil:
		p.allowed.Add(1)
		if doomed && p.deleted(began) {
			p.stale.Add(1)
		}
	case !errors.As(err, &refusal):
		p.fault("verify: %v", err)
	case doomed && refusal.Reason == verifier.UnknownKey:
		p.late.Add(1)
	case refusal.Reason == verifier.Expired, refusal.Reason == verifier.UnknownKey && time.Since(identifier.IssuedAt) > p.options.MaxLifetime+time.Second:
		// It waited for too long to be asked about. Issue times are in seconds.
	default:
		p.fault("a token of %s was refused: %v: %v", id, refusal.Reason, refusal.Cause)
	}
}

// verify decides on a credential.
func (p *party) verify(credential macaroon.Credential) (*verifier.Verified, error) {
	return patiently(p, func() (*verifier.Verified, error) {
		return p.verifier.Verify(context.Background(), credential, "orders.read", caveat.Facts{})
	})
}

// patiently asks again, as a client does that gets a 503, if the database did not answer in time: on a
// busy machine it may not.
func patiently[T any](p *party, ask func() (T, error)) (answer T, err error) {
	for range 600 {
		answer, err = ask()
		if !errors.Is(err, verifier.ErrUndecided) && !errors.Is(err, rootkey.ErrStale) {
			break
		}
		p.undecided.Add(1)
		time.Sleep(50 * time.Millisecond)
	}
	return answer, err
}

// deleted tells whether a key is known to be deleted for long enough by some instant, if the database
// could be read.
func (p *party) deleted(at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.buried.IsZero() && !at.Before(p.buried)
}

// mustRefuse tells whether that is so whatever the database did.
func (p *party) mustRefuse(id string, at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return id == p.doomed && !p.latest.IsZero() && !at.Before(p.latest)
}

// conclude finds out in the end whether it was the database that let tokens of the deleted key be allowed: a read
// that takes too long stands in the log only when it has ended.
func (p *party) conclude() {
	if n := p.stale.Load(); n > 0 && p.failed.Load() == 0 {
		p.fault("%d tokens of the deleted key were allowed, though the database could be read", n)
	}
}

// deleteMinting deletes the key that mints, after the other process knows that it will.
func (p *party) deleteMinting() {
	text, doomed, ok := p.mint()
	if !ok {
		return
	}
	p.bury(doomed, time.Time{}, time.Time{})
	p.send("doomed", doomed)
	<-p.agreed
	if err := p.keys.Delete(context.Background(), doomed); err != nil {
		p.fault("delete: %v", err)
	}
	p.bury(doomed, time.Now(), time.Now())
	p.send("deleted", doomed)
	p.check(text)
	p.send("token", text)
}

// bury notes the key that is to be deleted, and from when on its tokens must be refused, if the database can be
// read and at the latest. Until then they may be.
func (p *party) bury(key string, from, latest time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doomed, p.buried, p.latest = key, from, latest
}

// listen does what the other process says, and gives its last line.
func (p *party) listen(ctx context.Context, other io.Reader) (last string) {
	agree := sync.OnceFunc(func() { close(p.agreed) })
	defer agree() // also if the other process is gone
	lines := bufio.NewScanner(other)
	for lines.Scan() {
		what, argument, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "token":
			p.check(argument)
		case "doomed":
			p.bury(argument, time.Time{}, time.Time{})
			p.send("agreed", argument)
		case "agreed":
			agree()
		case "deleted":
			p.bury(argument, time.Now().Add(p.options.RefreshEvery), time.Now().Add(p.options.StaleAfter))
		case "summary":
			last = argument
		}
	}
	if err := lines.Err(); err != nil && ctx.Err() == nil {
		p.fault("the other process: %v", err)
	}
	return last
}

// send tells the other process something.
func (p *party) send(what, argument string) {
	p.sending.Lock()
	defer p.sending.Unlock()
	if _, err := fmt.Fprintf(p.out, "%s %s\n", what, argument); err != nil {
		p.fault("send: %v", err)
	}
}

func (p *party) fault(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.faults = append(p.faults, fmt.Sprintf(format, args...)); len(p.faults) <= 10 {
		fmt.Fprintln(os.Stderr, p.faults[len(p.faults)-1])
	}
}

func (p *party) summary() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("minted: %d, allowed: %d, of the deleted key: %d, undecided: %d, reads that failed: %d, keys: %d, faults: %d",
		p.minted.Load(), p.allowed.Load(), p.late.Load(), p.undecided.Load(), p.failed.Load(), len(p.seen), len(p.faults))
}
