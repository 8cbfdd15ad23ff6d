package rootkey

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/amaretti-go/amaretti/internal/chain"
	"github.com/amaretti-go/amaretti/internal/redact"
)

// record is how a key is stored: JSON in exactly the form that encoding/json writes
// for this, with times in UTC. A record in any other form is refused, and so is what a
// later version may add: a key is not used by who does not know all that is said of it.
type record struct {
	Format  int       `json:"format"`
	Key     []byte    `json:"key"`
	Label   string    `json:"label,omitempty"`
	Created time.Time `json:"created"`
	Mints   time.Time `json:"mints"`
	Stops   time.Time `json:"stops,omitzero"`
	Retires time.Time `json:"retires,omitzero"`
}

const (
	recordFormat = 1
	maxRecord    = 2 << 10 // bytes; a label takes six for each of its own at most
	maxVersion   = 64      // bytes
)

var errRecord = errors.New("not a record of format 1, or not in its form")

func (k *key) encode() ([]byte, error) {
	return json.Marshal(record{recordFormat, k.material.Value()[:], k.label, k.created, k.mints, k.stops, k.retires})
}

// decodeKey reads a record. Its errors tell nothing of what stands there.
func decodeKey(id string, text []byte) (*key, error) {
	var r record
	if !isKeyID(id) || len(text) > maxRecord || json.Unmarshal(text, &r) != nil {
		return nil, errRecord
	}
	k := &key{
		id:       id,
		label:    r.Label,
		created:  r.Created.UTC(),
		mints:    r.Mints.UTC(),
		stops:    r.Stops.UTC(),
		retires:  r.Retires.UTC(),
		material: redact.New[[materialSize]byte](),
	}
	material := k.material.Value()[:]
	if r.Format != recordFormat || copy(material, r.Key) != len(r.Key) || weak(material) ||
		k.created.IsZero() || k.mints.IsZero() || checkLabel(k.label) != nil {
		return nil, errRecord
	}
	// Whatever encoding/json is lax about shows here, and a key that is too short.
	if again, err := k.encode(); err != nil || !bytes.Equal(again, text) {
		return nil, errRecord
	}
	k.derived = redact.Hide(chain.DeriveKey(material))
	return k, nil
}

// decodeSet reads what a store gave, all of it or nothing.
func decodeSet(version string, records map[string][]byte) (*keySet, error) {
	if len(version) > maxVersion || version == "" && len(records) > 0 {
		return nil, errors.New("the store gave a bad version")
	}
	s := &keySet{version: version, keys: make([]*key, 0, len(records))}
	for id, text := range records {
		k, err := decodeKey(id, text)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", quote(id), err)
		}
		s.keys = append(s.keys, k)
	}
	s.sort()
	return s, nil
}

func (s *keySet) encode() (map[string][]byte, error) {
	records := make(map[string][]byte, len(s.keys))
	for _, k := range s.keys {
		text, err := k.encode()
		if err != nil {
			return nil, fmt.Errorf("key %s: a time is out of range", k.id)
		}
		records[k.id] = text
	}
	return records, nil
}

// quote makes anybody's text fit for an error message.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return fmt.Sprintf("%q...", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
