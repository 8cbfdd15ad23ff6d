package storetest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/storetest"
)

func TestGoodStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) func() rootkey.Store {
		m := new(memory)
		return func() rootkey.Store { return m }
	})
}

func TestMemoryStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) func() rootkey.Store {
		s := rootkey.NewMemoryStore()
		return func() rootkey.Store { return s }
	})
}

func TestGoodReadOnlyStore(t *testing.T) {
	storetest.RunReadOnly(t, func(*testing.T) (_, _ rootkey.Store) {
		m := new(memory)
		return readOnly{m}, m
	})
}

type (
	records = map[string][]byte
	loads   = func(m *memory, ctx context.Context, known string) (records, string, bool, error)
	swaps   = func(m *memory, ctx context.Context, known string, records records) (string, bool, error)
)

// bad are stores that break one rule each, and the case that catches it.
var bad = []struct {
	name, caught string
	load         loads
	swap         swaps
}{
	{"a version for nothing", "empty", func(m *memory, ctx context.Context, known string) (records, string, bool, error) {
		records, version, found, err := m.Load(ctx, known)
		if m.writes == 0 && err == nil {
			return records, "0", known != "0", nil
		}
		return records, version, found, err
	}, nil},
	{"a lost store is nothing new", "empty", func(m *memory, ctx context.Context, known string) (records, string, bool, error) {
		if m.writes == 0 {
			return nil, "", false, ctx.Err()
		}
		return m.Load(ctx, known)
	}, nil},
	{"an empty set is nothing", "empty", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		version, swapped, err := m.Swap(ctx, known, set)
		if swapped && len(set) == 0 {
			*m = memory{}
		}
		return version, swapped, err
	}},
	{"known is ignored", "known", func(m *memory, ctx context.Context, _ string) (records, string, bool, error) {
		return m.Load(ctx, "ignored")
	}, nil},
	{"known is believed", "known", func(m *memory, ctx context.Context, known string) (records, string, bool, error) {
		if known != "" {
			return nil, "", false, ctx.Err()
		}
		return m.Load(ctx, known)
	}, nil},
	{"results where nothing is found", "known", func(m *memory, ctx context.Context, known string) (records, string, bool, error) {
		records, version, found, err := m.Load(ctx, known)
		if !found && err == nil {
			version = known
		}
		return records, version, found, err
	}, nil},
	{"a hash for a version", "versions", func(m *memory, ctx context.Context, known string) (records, string, bool, error) {
		records, _, _, err := m.Load(ctx, "ignored")
		if err != nil || m.writes == 0 {
			return nil, "", false, err
		}
		if version := hash(records); version != known {
			return records, version, true, nil
		}
		return nil, "", false, nil
	}, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		if m.writes > 0 && known != hash(m.records) {
			return "", false, ctx.Err()
		}
		_, swapped, err := m.Swap(ctx, m.version(), set)
		return hash(set), swapped, err
	}},
	{"a long version", "versions", func(m *memory, ctx context.Context, known string) (records, string, bool, error) {
		records, version, found, err := m.Load(ctx, known)
		if version != "" {
			version = fmt.Sprintf("%065s", version)
		}
		return records, version, found, err
	}, nil},
	{"the last writer wins", "stale", nil, func(m *memory, ctx context.Context, _ string, set records) (string, bool, error) {
		return m.Swap(ctx, m.version(), set)
	}},
	{"stale writes are written", "stale", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		version, swapped, err := m.Swap(ctx, known, set)
		if !swapped && err == nil {
			m.records = clone(set)
		}
		return version, swapped, err
	}},
	{"the version beside no swap", "stale", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		version, swapped, err := m.Swap(ctx, known, set)
		if !swapped && err == nil {
			version = m.version()
		}
		return version, swapped, err
	}},
	{"records are text", "contents", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		set = clone(set)
		for id, record := range set {
			set[id] = []byte(strings.TrimRight(string(record), "\x00"))
		}
		return m.Swap(ctx, known, set)
	}},
	{"no empty records", "contents", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		set = clone(set)
		for id, record := range set {
			if len(record) == 0 {
				delete(set, id)
			}
		}
		return m.Swap(ctx, known, set)
	}},
	{"records are added", "replace", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		set = clone(set)
		for id, record := range m.records {
			if _, found := set[id]; !found {
				set[id] = record
			}
		}
		return m.Swap(ctx, known, set)
	}},
	{"keeps what it is given", "aliasing", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		version, swapped, err := m.Swap(ctx, known, set)
		if swapped {
			m.records = set
		}
		return version, swapped, err
	}},
	{"wipes what it is given", "aliasing", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		version, swapped, err := m.Swap(ctx, known, set)
		for _, record := range set {
			clear(record)
		}
		return version, swapped, err
	}},
	{"gives what it keeps", "aliasing", func(m *memory, ctx context.Context, known string) (records, string, bool, error) {
		_, version, found, err := m.Load(ctx, known)
		if !found {
			return nil, "", false, err
		}
		return m.records, version, true, nil
	}, nil},
	{"records share memory", "aliasing", func(m *memory, ctx context.Context, known string) (records, string, bool, error) {
		records, version, found, err := m.Load(ctx, known)
		var all []byte
		for _, id := range sortedIDs(records) {
			all = append(all, records[id]...)
		}
		for _, id := range sortedIDs(records) {
			n := len(records[id])
			records[id], all = all[:n], all[n:]
		}
		return records, version, found, err
	}, nil},
	{"an update is lost", "race", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		m.mu.Lock()
		current := m.version()
		m.mu.Unlock()
		if known != current {
			return "", false, nil
		}
		for {
			runtime.Gosched()
			m.mu.Lock()
			current := m.version()
			m.mu.Unlock()
			if version, swapped, err := m.Swap(ctx, current, set); swapped || err != nil {
				return version, swapped, err
			}
		}
	}},
	{"a writer fails beside others", "race", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		version, swapped, err := m.Swap(ctx, known, set)
		if !swapped && err == nil && known != "" {
			err = errors.New("database is locked")
		}
		return version, swapped, err
	}},
	{"a set is torn", "counter", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		version, swapped, err := m.Swap(ctx, known, half(set))
		if swapped {
			time.Sleep(time.Millisecond)
			m.mu.Lock()
			if m.version() == version {
				m.records = clone(set)
			}
			m.mu.Unlock()
		}
		return version, swapped, err
	}},
	{"ctx is ignored by Load", "done", func(m *memory, _ context.Context, known string) (records, string, bool, error) {
		return m.Load(context.Background(), known)
	}, nil},
	{"ctx is ignored by Load of what is known", "done", func(m *memory, ctx context.Context, known string) (records, string, bool, error) {
		if m.mu.Lock(); known == m.version() {
			ctx = context.Background()
		}
		m.mu.Unlock()
		return m.Load(ctx, known)
	}, nil},
	{"ctx is ignored by Swap", "done", nil, func(m *memory, _ context.Context, known string, set records) (string, bool, error) {
		return m.Swap(context.Background(), known, set)
	}},
	{"ctx gives its cause", "done", func(m *memory, ctx context.Context, known string) (records, string, bool, error) {
		if ctx.Err() != nil {
			return nil, "", false, context.Cause(ctx)
		}
		return m.Load(ctx, known)
	}, nil},
	{"an error without ctx's", "done", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		version, swapped, err := m.Swap(ctx, known, set)
		if err != nil {
			err = fmt.Errorf("store: %v", err)
		}
		return version, swapped, err
	}},
	{"results beside an error", "done", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		version, swapped, err := m.Swap(ctx, known, set)
		return version, swapped || err != nil, err
	}},
	{"an error shows records", "done", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		version, swapped, err := m.Swap(ctx, known, set)
		if err != nil {
			err = fmt.Errorf("store: writing %s: %w", set, err)
		}
		return version, swapped, err
	}},
	{"an error shows encoded records", "done", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		version, swapped, err := m.Swap(ctx, known, set)
		if err != nil {
			text, _ := json.Marshal(set)
			err = fmt.Errorf("store: writing %s: %w", text, err)
		}
		return version, swapped, err
	}},
	{"a call that never returns", "done", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		if ctx.Err() != nil {
			select {}
		}
		return m.Swap(ctx, known, set)
	}},
	{"half a set after an interruption", "interrupted", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		version, swapped, err := m.Swap(ctx, known, half(set))
		if err != nil {
			return version, swapped, err
		}
		select {
		case <-ctx.Done():
			return "", false, ctx.Err()
		case <-time.After(time.Millisecond):
			m.records = clone(set)
			return version, swapped, nil
		}
	}},
	{"never again after an interruption", "interrupted", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		if m.writes < 0 {
			return "", false, errors.New("still locked")
		}
		select {
		case <-ctx.Done():
			m.writes = -1
			return "", false, ctx.Err()
		case <-time.After(time.Millisecond):
			return m.Swap(ctx, known, set)
		}
	}},
	{"half a set of who went away", "abandoned", nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
		version, swapped, err := m.Swap(ctx, known, set)
		if swapped && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
			m.mu.Lock()
			defer m.mu.Unlock()
			if ctx.Err() != nil {
				m.records = half(set)
			}
		}
		return version, swapped, err
	}},
}

// TestBadStores runs the suite against stores that break a rule, each in a process
// of its own, where it must fail by the case named.
func TestBadStores(t *testing.T) {
	for _, row := range bad {
		t.Run(row.name, func(t *testing.T) { catches(t, row.name, row.caught) })
	}
	for name, caught := range map[string]string{
		"old news":             "handles",
		"goes back":            "counter",
		"acknowledged, lost":   "abandoned",
		"one store for all":    "apart",
		"can be written":       "unsupported",
		"says what it can't":   "unsupported",
		"reads once":           "follows",
		"reads though done":    "done",
		"gives what it caches": "aliasing",
	} {
		t.Run(name, func(t *testing.T) { catches(t, name, caught) })
	}
}

const subject = "AMARETTI_STORETEST_SUBJECT"

func catches(t *testing.T, name, caught string) {
	t.Parallel()
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestSubject$/^"+caught+"$", "-test.timeout", "60s")
	command.Env = append(os.Environ(), subject+"="+name)
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "%s", out)
	require.Contains(t, string(out), "--- FAIL: TestSubject/"+caught)
	require.NotContains(t, string(out), "panic:")
	require.NotContains(t, string(out), "DATA RACE")
}

// TestSubject is what the processes run.
func TestSubject(t *testing.T) {
	name := os.Getenv(subject)
	if name == "" {
		t.Skip("it is for the processes that TestBadStores starts")
	}
	*storetest.Patience = 2 * time.Second
	for _, row := range bad {
		if row.name == name {
			storetest.Run(t, func(*testing.T) func() rootkey.Store {
				s := bent{new(memory), row.load, row.swap}
				return func() rootkey.Store { return s }
			})
			return
		}
	}
	shared := new(memory)
	switch name {
	case "old news": // Each handle believes for a while what it read first.
		storetest.Run(t, func(*testing.T) func() rootkey.Store {
			m := new(memory)
			return func() rootkey.Store { return &cached{memory: m} }
		})
	case "acknowledged, lost": // Who opens it finds the state before the last write.
		storetest.Run(t, func(*testing.T) func() rootkey.Store {
			m, before := new(memory), new(memory)
			s := bent{m, nil, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
				m.mu.Lock()
				before.writes, before.records = m.writes, m.records
				m.mu.Unlock()
				return m.Swap(ctx, known, set)
			}}
			return func() rootkey.Store {
				m.mu.Lock()
				defer m.mu.Unlock()
				m.writes, m.records = before.writes, before.records
				return s
			}
		})
	case "one store for all":
		storetest.Run(t, func(*testing.T) func() rootkey.Store {
			return func() rootkey.Store { return shared }
		})
	case "can be written":
		storetest.RunReadOnly(t, func(*testing.T) (_, _ rootkey.Store) {
			m := new(memory)
			return m, m
		})
	case "says what it can't":
		storetest.RunReadOnly(t, func(*testing.T) (_, _ rootkey.Store) {
			m := new(memory)
			return bent{m, nil, func(*memory, context.Context, string, records) (string, bool, error) {
				return "", false, errors.New("read-only")
			}}, m
		})
	case "reads once":
		storetest.RunReadOnly(t, func(*testing.T) (_, _ rootkey.Store) {
			m := new(memory)
			return readOnly{&cached{memory: m}}, m
		})
	case "reads though done":
		storetest.RunReadOnly(t, func(*testing.T) (_, _ rootkey.Store) {
			m := new(memory)
			return readOnly{bent{m, func(m *memory, _ context.Context, known string) (records, string, bool, error) {
				return m.Load(context.Background(), known)
			}, nil}}, m
		})
	case "gives what it caches":
		storetest.RunReadOnly(t, func(*testing.T) (_, _ rootkey.Store) {
			m := new(memory)
			return readOnly{bent{m, func(m *memory, ctx context.Context, known string) (records, string, bool, error) {
				_, version, found, err := m.Load(ctx, known)
				if !found {
					return nil, "", false, err
				}
				return m.records, version, true, nil
			}, nil}}, m
		})
	case "goes back": // Now and then a read comes from a copy that is behind.
		storetest.Run(t, func(*testing.T) func() rootkey.Store {
			m, before := new(memory), new(memory)
			var reads atomic.Int64
			s := bent{m, func(m *memory, ctx context.Context, known string) (records, string, bool, error) {
				if reads.Add(1)%7 == 0 {
					return before.Load(ctx, known)
				}
				return m.Load(ctx, known)
			}, func(m *memory, ctx context.Context, known string, set records) (string, bool, error) {
				m.mu.Lock()
				before.mu.Lock()
				before.writes, before.records = m.writes, m.records
				before.mu.Unlock()
				m.mu.Unlock()
				return m.Swap(ctx, known, set)
			}}
			return func() rootkey.Store { return s }
		})
	default:
		t.Fatalf("no subject is called %q", name)
	}
}

// cached is a handle that reads once.
type cached struct {
	*memory
	read *memory
}

func (c *cached) Load(ctx context.Context, known string) (records, string, bool, error) {
	if c.read == nil {
		c.memory.mu.Lock()
		c.read = &memory{writes: c.memory.writes, records: clone(c.memory.records)}
		c.memory.mu.Unlock()
	}
	return c.read.Load(ctx, known)
}

func hash(set records) string {
	text, _ := json.Marshal(set)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func half(set records) records {
	h := make(records)
	for i, id := range sortedIDs(set) {
		if i%2 == 0 {
			h[id] = set[id]
		}
	}
	return h
}

func sortedIDs(set records) []string {
	var ids []string
	for id := range set {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
