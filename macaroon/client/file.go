package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amaretti-go/amaretti/macaroon"
)

// lookEvery is how often a file is looked at, at most.
const lookEvery = time.Second

// maxFile is the size of a file that can hold a wallet within the default limits, and
// more than that.
const maxFile = 1 << 16

// File is a source that reads a wallet from a file: credential text, or the text of
// [macaroon.Wallet.MarshalText]; white space around it is ignored. The file is looked
// at again every second, when a wallet is asked for, by its path: so it may be written
// to, replaced, or reached through a link that is changed, as Kubernetes does with
// secrets. A new token serves as soon as it can be read; until then the one before
// does, until it expires, and then the error tells why there is no other. The first
// has to be readable now.
//
// Who can read the file has what the token allows: let nobody but the service.
func File(path string) (Source, error) {
	f := &file{path: path}
	first := f.look(&content{})
	if first.failed != nil {
		return nil, first.failed
	}
	f.current.Store(first)
	return f, nil
}

type file struct {
	path    string
	current atomic.Pointer[content]
	reading sync.Mutex
}

// content is what a file held when it was looked at. It is immutable.
type content struct {
	wallet macaroon.Wallet
	looked time.Time
	failed error // why what the file holds now is not this
}

func (c *content) old() bool { return time.Since(c.looked) >= lookEvery }

func (f *file) Wallet(context.Context, string) (macaroon.Wallet, error) {
	current := f.current.Load()
	if current.old() && f.reading.TryLock() {
		defer f.reading.Unlock()
		if current = f.current.Load(); current.old() { // nobody has looked meanwhile
			current = f.look(current)
			f.current.Store(current)
		}
	}
	if current.failed != nil && expired(current.wallet, 0, time.Now()) {
		return macaroon.Wallet{}, current.failed
	}
	return current.wallet, nil
}

// look reads the file again. If it can't, the token before serves on: a file that is
// being written may look like anything.
func (f *file) look(before *content) *content {
	now := &content{wallet: before.wallet, looked: time.Now()}
	text, err := readFile(f.path)
	if err == nil {
		var w macaroon.Wallet
		if err = w.UnmarshalText(bytes.TrimSpace(text)); err == nil {
			now.wallet = w
		} else {
			err = fmt.Errorf("%s: %w", f.path, err)
		}
	}
	if err != nil {
		now.failed = fmt.Errorf("client: token file: %w", err)
	}
	return now
}

func readFile(path string) ([]byte, error) {
	// Before it is opened: opening a pipe would wait for a writer.
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile)) // what is cut off there is over a wallet's limits
}
