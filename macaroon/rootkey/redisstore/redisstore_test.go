package redisstore_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/redisstore"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/storetest"
)

// missing ends a test whose server does not answer: it is skipped, or fails where servers
// are required.
func missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("AMARETTI_TEST_REQUIRE_SERVERS") != "" {
		t.Fatalf("Redis does not answer: %v", err)
	}
	t.Skipf("Redis does not answer: %v", err)
}

func connect(t testing.TB, address string) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: address, ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { client.Close() })
	return client
}

// server is the real Redis that tests share.
func server(t testing.TB) *redis.Client {
	t.Helper()
	client := connect(t, cmp.Or(os.Getenv("AMARETTI_TEST_REDIS"), "127.0.0.1:6379"))
	if err := client.Ping(t.Context()).Err(); err != nil {
		missing(t, err)
	}
	return client
}

// fresh gives a name of the test's own, whose hash goes with the test.
func fresh(t testing.TB, client *redis.Client) string {
	name := "test_" + strings.ToLower(rand.Text()[:12])
	t.Cleanup(func() { client.Del(context.Background(), hash(name)) })
	return name
}

func hash(name string) string { return "amaretti:rootkeys:" + name }

func sealer(t testing.TB, fill byte) *seal.Sealer {
	t.Helper()
	kek := bytes.Repeat([]byte{fill}, 32)
	kek[0] = 0xff
	s, err := seal.NewKey(kek)
	require.NoError(t, err)
	return s
}

func newStore(t testing.TB, client redis.UniversalClient, name string, kek *seal.Sealer) *redisstore.Store {
	t.Helper()
	s, err := redisstore.New(client, kek, redisstore.Options{Name: name})
	require.NoError(t, err)
	return s
}

func TestStore(t *testing.T) {
	client := server(t)
	storetest.Run(t, func(t *testing.T) func() rootkey.Store {
		name, kek := fresh(t, client), sealer(t, 1)
		return func() rootkey.Store { return newStore(t, connect(t, client.Options().Addr), name, kek) }
	})
}

func TestNewRefuses(t *testing.T) {
	client := redis.NewClient(&redis.Options{})
	defer client.Close()
	for name, make := range map[string]func() (*redisstore.Store, error){
		"no client": func() (*redisstore.Store, error) { return redisstore.New(nil, sealer(t, 1), redisstore.Options{}) },
		"no kek":    func() (*redisstore.Store, error) { return redisstore.New(client, nil, redisstore.Options{}) },
		"name": func() (*redisstore.Store, error) {
			return redisstore.New(client, sealer(t, 1), redisstore.Options{Name: "a:b"})
		},
		"long name": func() (*redisstore.Store, error) {
			return redisstore.New(client, sealer(t, 1), redisstore.Options{Name: strings.Repeat("x", 33)})
		},
	} {
		s, err := make()
		require.Error(t, err, name)
		require.Nil(t, s, name)
	}
}

var record = []byte("a very secret record")

// written gives a store with two records in it.
func written(t testing.TB, client *redis.Client) (s *redisstore.Store, name, version string) {
	name = fresh(t, client)
	s = newStore(t, client, name, sealer(t, 1))
	version, swapped, err := s.Swap(t.Context(), "", map[string][]byte{"one": record, "two": record})
	require.NoError(t, err)
	require.True(t, swapped)
	return s, name, version
}

// refuses: an error that shows nothing, and nothing else.
func refuses(t testing.TB, s *redisstore.Store, want error) {
	t.Helper()
	records, version, found, err := s.Load(t.Context(), "")
	require.Error(t, err)
	if want != nil {
		require.ErrorIs(t, err, want)
	}
	require.Nil(t, records)
	require.Empty(t, version)
	require.False(t, found)
	require.NotContains(t, err.Error(), string(record))
}

func TestNothingReadableIsStored(t *testing.T) {
	client := server(t)
	_, name, _ := written(t, client)
	all, err := client.HGetAll(t.Context(), hash(name)).Result()
	require.NoError(t, err)
	require.Len(t, all, 3)
	for _, value := range all {
		require.NotContains(t, value, string(record))
	}
}

// TestTampering: each byte of a record changed, records that changed places, another's
// record, a wrong key, fields that are not ours.
func TestTampering(t *testing.T) {
	client := server(t)
	s, name, _ := written(t, client)
	ctx := t.Context()
	set := func(field, value string) { require.NoError(t, client.HSet(ctx, hash(name), field, value).Err()) }
	one, err := client.HGet(ctx, hash(name), "key:one").Result()
	require.NoError(t, err)
	two, err := client.HGet(ctx, hash(name), "key:two").Result()
	require.NoError(t, err)
	for i := range len(one) {
		damaged := []byte(one)
		damaged[i] ^= 1
		set("key:one", string(damaged))
		refuses(t, s, seal.ErrOpen)
	}
	for name, value := range map[string]string{"cut": one[:len(one)-1], "empty": "", "the other's": two} {
		set("key:one", value)
		records, _, _, err := s.Load(ctx, "")
		require.ErrorIs(t, err, seal.ErrOpen, name)
		require.Nil(t, records)
	}
	set("key:one", one)
	for _, field := range []string{"key:one", "version", "key:" + strings.Repeat("x", 64<<10)} {
		former := client.HGet(ctx, hash(name), field).Val()
		set(field, strings.Repeat("x", 64<<10+1))
		refuses(t, s, nil)
		_, _, _, err := s.Load(ctx, "")
		require.ErrorContains(t, err, "too long", "and Redis says so, without sending it")
		set(field, former)
	}
	require.NoError(t, client.HDel(ctx, hash(name), "key:"+strings.Repeat("x", 64<<10)).Err())
	_, _, found, err := s.Load(ctx, "")
	require.NoError(t, err, "and works again")
	require.True(t, found)

	set("something", "else")
	refuses(t, s, nil)
	require.NoError(t, client.HDel(ctx, hash(name), "something").Err())
	version, err := client.HGet(ctx, hash(name), "version").Result()
	require.NoError(t, err)
	set("version", strings.Repeat("v", 65))
	refuses(t, s, nil)
	set("version", version)

	refuses(t, newStore(t, client, name, sealer(t, 2)), seal.ErrOpen)
	_, other, _ := written(t, client)
	stranger, err := client.HGet(ctx, hash(other), "key:one").Result()
	require.NoError(t, err)
	set("key:one", stranger)
	refuses(t, s, seal.ErrOpen)

	require.NoError(t, client.Del(ctx, hash(name)).Err())
	require.NoError(t, client.Set(ctx, hash(name), "not a hash", 0).Err())
	refuses(t, s, nil)
	_, swapped, err := s.Swap(ctx, "", nil)
	require.Error(t, err)
	require.False(t, swapped)
}

func TestTooMuch(t *testing.T) {
	client := server(t)
	s, name, version := written(t, client)
	many := map[string][]byte{}
	for i := range 1001 {
		many[fmt.Sprint(i)] = record
	}
	for name, records := range map[string]map[string][]byte{
		"keys": many, "record": {"x": make([]byte, 64<<10)}, "empty id": {"": record}, "space": {"a b": record}, "long id": {strings.Repeat("x", 65): record},
	} {
		_, swapped, err := s.Swap(t.Context(), version, records)
		require.Error(t, err, name)
		require.False(t, swapped, name)
	}
	delete(many, "0")
	_, swapped, err := s.Swap(t.Context(), version, many)
	require.NoError(t, err)
	require.True(t, swapped)
	records, _, _, err := s.Load(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, many, records)

	// Sealed as it should be, and yet more than there may be.
	put := func(id string, size int) {
		sealed, err := sealer(t, 1).Seal("redisstore/"+name, id, make([]byte, size))
		require.NoError(t, err)
		require.NoError(t, client.HSet(t.Context(), hash(name), "key:"+id, sealed).Err())
	}
	put("more", 1)
	refuses(t, s, nil)
	require.NoError(t, client.HDel(t.Context(), hash(name), "key:1").Err())
	_, _, _, err = s.Load(t.Context(), "")
	require.NoError(t, err)
	put("more", 64<<10)
	refuses(t, s, nil)
}

func TestRewrap(t *testing.T) {
	client := server(t)
	s, name, before := written(t, client)
	ctx := t.Context()
	next := sealer(t, 2)
	reader := newStore(t, client, name, next.AlsoOpens(sealer(t, 1)))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for _, store := range []*redisstore.Store{reader, reader, s, s} {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if records, _, _, err := store.Load(ctx, ""); err != nil || len(records) != 2 {
					t.Error(len(records), err)
					return
				}
			}
		})
	}
	require.NoError(t, s.Rewrap(ctx, next))
	close(stop)
	wg.Wait()
	for name, store := range map[string]*redisstore.Store{"itself": s, "anew": newStore(t, client, name, next)} {
		records, version, found, err := store.Load(ctx, before)
		require.NoError(t, err, name)
		require.True(t, found, name)
		require.NotEqual(t, before, version, name)
		require.Equal(t, map[string][]byte{"one": record, "two": record}, records, name)
	}
	refuses(t, newStore(t, client, name, sealer(t, 1)), seal.ErrOpen)
	require.Error(t, s.Rewrap(ctx, nil))
	_, _, found, err := s.Load(ctx, "")
	require.NoError(t, err)
	require.True(t, found)

	empty := newStore(t, client, fresh(t, client), sealer(t, 1))
	require.NoError(t, empty.Rewrap(ctx, next))
	_, _, found, err = empty.Load(ctx, "")
	require.NoError(t, err)
	require.False(t, found)
}

// around does something before, or after, the next command of a client.
type around struct{ before, after func() }

func (a *around) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		before, after := a.before, a.after
		a.before, a.after = nil, nil // what they do has commands of its own
		if before != nil {
			before()
		}
		err := next(ctx, cmd)
		if after != nil {
			after()
		}
		return err
	}
}

func (a *around) DialHook(next redis.DialHook) redis.DialHook { return next }

func (a *around) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A Load that a Rewrap overtakes opens what it reads, whether that was sealed before or after.
func TestLoadBesideRewrap(t *testing.T) {
	client := server(t)
	var hook around
	client.AddHook(&hook)
	s, _, _ := written(t, client)
	for n, when := range []*func(){&hook.before, &hook.after} {
		_, _, _, err := s.Load(t.Context(), "") // so that Redis knows the script
		require.NoError(t, err)
		rewrapped := false
		*when = func() {
			require.NoError(t, s.Rewrap(t.Context(), sealer(t, byte(n+2))))
			rewrapped = true
		}
		records, _, found, err := s.Load(t.Context(), "")
		require.NoError(t, err)
		require.True(t, found)
		require.Len(t, records, 2)
		require.True(t, rewrapped)
	}
}

// lossy is a connection on which an answer can get lost, after Redis has done what it was
// asked for.
type lossy struct {
	net.Conn
	lose *atomic.Bool
}

func (l lossy) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if err == nil && l.lose.CompareAndSwap(true, false) {
		l.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}

// The client asks again, unless it is told not to, when an answer does not come. That must not
// make of a Swap that swapped one that did not.
func TestSwapIsAskedTwice(t *testing.T) {
	var lose atomic.Bool
	client := redis.NewClient(&redis.Options{
		Addr:                  server(t).Options().Addr,
		ContextTimeoutEnabled: true,
		Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return lossy{conn, &lose}, err
		},
	})
	defer client.Close()
	s, _, known := written(t, client)
	for range 3 {
		lose.Store(true)
		version, swapped, err := s.Swap(t.Context(), known, map[string][]byte{"three": record})
		require.NoError(t, err)
		require.False(t, lose.Load())
		require.True(t, swapped)
		_, now, _, err := s.Load(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, version, now)
		known = version
	}
}
