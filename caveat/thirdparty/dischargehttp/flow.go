package dischargehttp

import (
	"container/list"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"github.com/amaretti-go/amaretti/caveat"
)

// digest is how secrets are kept that have to be found again.
type digest [sha256.Size]byte

func digestOf(secret string) digest { return sha256.Sum256([]byte(secret)) }

// flow is a Flow with what only the service knows of it.
type flow struct {
	Flow
	caveat [32]byte // what is to be discharged
	bound  string   // the client that alone may go on; empty if any may
	asked  *request

	id, wait, token digest
	tokenExpires    time.Time
	element         *list.Element // of byAge; nil once it was dropped

	done   chan struct{} // closed once somebody has acted, or nobody can any more
	caller any           // to be read after that
	agreed bool
}

// tokenLifetime is long enough for the client's next request.
const tokenLifetime = time.Minute

// live finds a flow that has not expired.
func live(flows map[digest]*flow, secret string) *flow {
	found := flows[digestOf(secret)]
	if found == nil || !time.Now().Before(found.Expires) {
		return nil
	}
	return found
}

func newSecret() string {
	var raw [32]byte
	rand.Read(raw[:]) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

var errTooManyFlows = caveat.Undecided(errors.New("too many flows"))

// add keeps a flow, and drops others where there is no room.
func (f *Flows) add(begun *flow, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for e := f.byAge.Front(); e != nil; e = f.byAge.Front() {
		oldest := e.Value.(*flow)
		if now.Before(oldest.Expires.Add(tokenLifetime)) {
			break
		}
		f.drop(oldest)
	}
	if f.counts[begun.Client] >= f.options.MostPerClient {
		f.dropOldest(func(old *flow) bool { return old.Client == begun.Client })
	}
	if f.byAge.Len() >= f.options.Most {
		// Whoever has some hundred addresses, as every home with IPv6, could otherwise keep everybody out.
		largest := 0
		for _, n := range f.counts {
			largest = max(largest, n)
		}
		if largest < f.counts[begun.Client]+2 { // their shares would only be swapped
			return errTooManyFlows
		}
		f.dropOldest(func(old *flow) bool { return f.counts[old.Client] == largest })
	}
	begun.element = f.byAge.PushBack(begun)
	f.counts[begun.Client]++
	f.byID[begun.id] = begun
	f.byWait[begun.wait] = begun
	return nil
}

func (f *Flows) dropOldest(of func(*flow) bool) {
	for e := f.byAge.Front(); e != nil; e = e.Next() {
		if old := e.Value.(*flow); of(old) {
			f.drop(old)
			return
		}
	}
}

// drop forgets a flow, however far it has come.
func (f *Flows) drop(old *flow) {
	if old.element == nil {
		return
	}
	f.byAge.Remove(old.element)
	old.element = nil
	delete(f.byWait, old.wait)
	if f.byID[old.id] == old { // nobody will act on it: those who wait need not, and would keep it in memory
		delete(f.byID, old.id)
		close(old.done)
	}
	delete(f.tokens, old.token)
	if f.counts[old.Client]--; f.counts[old.Client] == 0 {
		delete(f.counts, old.Client)
	}
}

// await waits until somebody has acted on the flow that wait is the secret of. It gives nil if that is none, or not
// the client's, and more if the client is to come again, since it did not want to wait any longer.
func (f *Flows) await(ctx context.Context, wait, client string, most time.Duration) (found *flow, more bool, err error) {
	f.mu.Lock()
	found = live(f.byWait, wait)
	f.mu.Unlock()
	if found == nil || found.bound != "" && found.bound != client {
		return nil, false, nil
	}
	left := time.Until(found.Expires)
	timer := time.NewTimer(min(left, most))
	defer timer.Stop()
	select {
	case <-found.done:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	case <-timer.C:
		return nil, most < left, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byWait[found.wait] != found { // somebody else has had the answer
		return nil, false, nil
	}
	delete(f.byWait, found.wait)
	return found, false, nil
}

// forget drops a flow that has ended.
func (f *Flows) forget(found *flow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop(found)
}

// hand makes the token that the client of a flow redeems.
func (f *Flows) hand(found *flow) string {
	token := newSecret()
	f.mu.Lock()
	defer f.mu.Unlock()
	if found.element != nil {
		found.token, found.tokenExpires = digestOf(token), time.Now().Add(tokenLifetime)
		f.tokens[found.token] = found
	}
	return token
}
