package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/amaretti-go/amaretti/macaroon/rootkey"
)

// memory is a store that keeps the rules. Its handles are all the same.
type memory struct {
	mu      sync.Mutex
	writes  int
	records map[string][]byte
}

func (m *memory) version() string {
	if m.writes == 0 {
		return ""
	}
	return strconv.Itoa(m.writes)
}

func (m *memory) Load(ctx context.Context, known string) (map[string][]byte, string, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if known == m.version() {
		return nil, "", false, nil
	}
	return clone(m.records), m.version(), true, nil
}

func (m *memory) Swap(ctx context.Context, known string, records map[string][]byte) (string, bool, error) {
	if err := ctx.Err(); err != nil {
		return "", false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if known != m.version() {
		return "", false, nil
	}
	m.records = clone(records)
	m.writes++
	return m.version(), true, nil
}

func clone(records map[string][]byte) map[string][]byte {
	c := make(map[string][]byte, len(records))
	for id, record := range records {
		c[id] = bytes.Clone(record)
	}
	return c
}

// readOnly is a handle that can't be written.
type readOnly struct{ rootkey.Store }

func (readOnly) Swap(context.Context, string, map[string][]byte) (string, bool, error) {
	return "", false, errors.ErrUnsupported
}

// bent is a store whose methods a function bends. A nil function leaves the method as
// it is.
type bent struct {
	*memory
	load func(m *memory, ctx context.Context, known string) (map[string][]byte, string, bool, error)
	swap func(m *memory, ctx context.Context, known string, records map[string][]byte) (string, bool, error)
}

func (b bent) Load(ctx context.Context, known string) (map[string][]byte, string, bool, error) {
	if b.load == nil {
		return b.memory.Load(ctx, known)
	}
	return b.load(b.memory, ctx, known)
}

func (b bent) Swap(ctx context.Context, known string, records map[string][]byte) (string, bool, error) {
	if b.swap == nil {
		return b.memory.Swap(ctx, known, records)
	}
	return b.swap(b.memory, ctx, known, records)
}
