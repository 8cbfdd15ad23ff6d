package rootkey

import (
	"bytes"
	"context"
	"strconv"
	"sync"

	"github.com/amaretti-go/amaretti/internal/redact"
)

// MemoryStore is a [Store] in the memory of this process. Keyrings over the same one
// share its keys. Nothing is sealed: what can read the memory of a process can read its
// keys in any case. The zero MemoryStore is empty and ready.
type MemoryStore struct {
	mu      sync.Mutex
	records redact.Box[map[string][]byte]
	version uint64
}

// NewMemoryStore makes an empty store.
func NewMemoryStore() *MemoryStore { return new(MemoryStore) }

// Load is described in [Store].
func (s *MemoryStore) Load(ctx context.Context, known string) (records map[string][]byte, version string, found bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known == s.current() {
		return nil, "", false, nil
	}
	if stored := s.records.Value(); stored != nil {
		records = copyRecords(*stored)
	}
	return records, s.current(), true, nil
}

// Swap is described in [Store].
func (s *MemoryStore) Swap(ctx context.Context, known string, records map[string][]byte) (version string, swapped bool, err error) {
	if err := ctx.Err(); err != nil {
		return "", false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known != s.current() {
		return "", false, nil
	}
	s.version++
	s.records = redact.Hide(copyRecords(records))
	return s.current(), true, nil
}

func (s *MemoryStore) current() string {
	if s.version == 0 {
		return ""
	}
	return strconv.FormatUint(s.version, 10)
}

func copyRecords(records map[string][]byte) map[string][]byte {
	copied := make(map[string][]byte, len(records))
	for id, record := range records {
		copied[id] = bytes.Clone(record)
	}
	return copied
}
