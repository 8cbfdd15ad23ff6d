package redisstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
)

const prefix = "redisstore: "

// What a set can hold, and what is read of one: 1000 keys, with sealed records of 64 KiB.
const (
	maxKeys    = 1000
	maxRecord  = 64 << 10
	maxKeyID   = 64
	maxVersion = 64
	maxName    = 32
)

// The fields of the hash.
const (
	versionField = "version"
	keyField     = "key:" // and the key id
)

// Options are settings of a [Store].
type Options struct {
	_ [0]func() // fields are to be named

	// Name tells apart keyrings in one Redis, or under one key-encryption key: 1 to 32
	// characters of a-z, 0-9 and _. Empty means "default": services that leave it so in
	// one Redis have the same root keys, and mint for one another.
	Name string
}

// Store is a set of root keys in Redis. It is a rootkey.Store, and safe for concurrent
// use, also by other processes.
type Store struct {
	client redis.UniversalClient
	name   string
	kek    *seal.Holder
}

// New makes a Store whose keys kek seals, each bound to the name in options and to its
// id. The client is the caller's: New doesn't use it yet, and nothing here closes it. A
// kek of nil is refused; without encryption is seal.InsecurePlaintext.
func New(client redis.UniversalClient, kek *seal.Sealer, options Options) (*Store, error) {
	options.Name = cmp.Or(options.Name, "default")
	var problems []error
	if client == nil {
		problems = append(problems, errors.New(prefix+"no client"))
	}
	if kek == nil {
		problems = append(problems, errors.New(prefix+"no key-encryption key"))
	}
	if len(options.Name) > maxName || strings.Trim(options.Name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		problems = append(problems, fmt.Errorf(prefix+"name %.64q: want 1 to %d of a-z, 0-9, _", options.Name, maxName))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return &Store{client, options.Name, seal.NewHolder(kek)}, nil
}

// key is where the hash is.
func (s *Store) key() string { return "amaretti:rootkeys:" + s.name }

// place is what records are sealed for. Stores of other kinds have other places.
func (s *Store) place() string { return "redisstore/" + s.name }

// failed is the error of a call; the client has one of its own for a context that ended, and
// has it a moment before the context does.
func failed(ctx context.Context, what string, err error) error {
	if end, ends := ctx.Deadline(); ends && !time.Now().Before(end) {
		<-ctx.Done()
	}
	if done := ctx.Err(); done != nil && !errors.Is(err, done) {
		return fmt.Errorf(prefix+"%s: %w: %w", what, done, err)
	}
	return fmt.Errorf(prefix+"%s: %w", what, err)
}

// Load gives all records, opened, and the version of the set, unless it is known. One
// record that does not open is an error for all: seal.ErrOpen.
func (s *Store) Load(ctx context.Context, known string) (records map[string][]byte, version string, found bool, err error) {
	records, version, err = s.load(ctx, known)
	if err != nil {
		return nil, "", false, failed(ctx, "load", err)
	}
	if version == known {
		return nil, "", false, nil
	}
	return records, version, true, nil
}

// reading gives the version if it is known, and else everything, in one step. A set that is too
// large for us is not sent.
var reading = redis.NewScript(`
if (redis.call('HGET', KEYS[1], 'version') or '') == ARGV[1] then return false end
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[2]) then return redis.error_reply('ERR too many keys') end
local all = redis.call('HGETALL', KEYS[1])
for _, text in ipairs(all) do
	if #text > tonumber(ARGV[3]) then return redis.error_reply('ERR a record is too long') end
end
return all`)

func (s *Store) load(ctx context.Context, known string) (records map[string][]byte, version string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	before := s.kek.Sealer()
	reply, err := reading.Run(ctx, s.client, []string{s.key()}, known, maxKeys+1, maxRecord).StringSlice()
	if errors.Is(err, redis.Nil) {
		return nil, known, nil
	}
	if err != nil {
		return nil, "", err
	}
	sealer := s.kek.Since(before) // there may have been a Rewrap
	records = make(map[string][]byte, len(reply)/2)
	for i := 0; i+1 < len(reply); i += 2 {
		field, value := reply[i], reply[i+1]
		id, isKey := strings.CutPrefix(field, keyField)
		switch {
		case field == versionField:
			version = value
		case !isKey:
			return nil, "", fmt.Errorf("field %.64q: not a record of this package", field)
		default:
			if records[id], err = sealer.Open(s.place(), id, []byte(value)); err != nil {
				return nil, "", fmt.Errorf("key %.64q: %w", id, err)
			}
		}
	}
	if len(version) > maxVersion || version == "" && len(reply) > 0 {
		return nil, "", errors.New("version: damaged")
	}
	return records, version, nil
}

// swapping replaces the hash if its version is the one that is known. If it is the new one, the client
// asks again, since an answer got lost: nobody else knows that version.
var swapping = redis.NewScript(`
local version = redis.call('HGET', KEYS[1], 'version') or ''
if version == ARGV[3] then return 1 end
if version ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return 1`)

// Swap puts records in the place of the whole set if its version is still known, in one
// step. There may be 1000 of them, each 64 KiB when sealed; ids are 1 to 64 printable
// ASCII characters.
func (s *Store) Swap(ctx context.Context, known string, records map[string][]byte) (version string, swapped bool, err error) {
	version, swapped, err = s.swap(ctx, s.kek.Sealer(), known, records)
	if err != nil {
		return "", false, failed(ctx, "swap", err)
	}
	return version, swapped, nil
}

func (s *Store) swap(ctx context.Context, sealer *seal.Sealer, known string, records map[string][]byte) (version string, swapped bool, err error) {
	if len(records) > maxKeys {
		return "", false, fmt.Errorf("more than %d keys", maxKeys)
	}
	version = rand.Text()
	args := []any{known, versionField, version}
	for id, record := range records {
		if !plainID(id) {
			return "", false, fmt.Errorf("key id %.64q: want 1 to %d printable ASCII characters", id, maxKeyID)
		}
		sealed, err := sealer.Seal(s.place(), id, record)
		if err != nil {
			return "", false, fmt.Errorf("key %q: %w", id, err)
		}
		if len(sealed) > maxRecord {
			return "", false, fmt.Errorf("key %q: record: %d bytes sealed, want at most %d", id, len(sealed), maxRecord)
		}
		args = append(args, keyField+id, sealed)
	}
	if err := ctx.Err(); err != nil {
		return "", false, err
	}
	done, err := swapping.Run(ctx, s.client, []string{s.key()}, args...).Int()
	if err != nil || done == 0 {
		return "", false, err
	}
	return version, true, nil
}

// Rewrap seals all keys anew under to, in one step, and goes on with it. The set has a
// new version then, so that every process reads it soon. If others go on writing it tries until ctx ends.
//
// It is the third of the four steps in the documentation of package seal: by then every other
// process has to seal as to does, and to open what was sealed before.
//
// After an error it may or may not have happened, as with Swap. The Store then opens both,
// seals as before, and Rewrap may be called again. Of two calls at once the second fails.
func (s *Store) Rewrap(ctx context.Context, to *seal.Sealer) error {
	err := s.kek.Change(to, func(both *seal.Sealer) error { return s.rewrap(ctx, both) })
	if err != nil {
		return failed(ctx, "rewrap", err)
	}
	return nil
}

func (s *Store) rewrap(ctx context.Context, sealer *seal.Sealer) error {
	for {
		records, version, err := s.load(ctx, "")
		if err != nil || version == "" { // nothing has ever been written
			return err
		}
		if _, swapped, err := s.swap(ctx, sealer, version, records); err != nil || swapped {
			return err
		}
	}
}

func plainID(id string) bool {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return len(id) > 0 && len(id) <= maxKeyID
}
