package integration_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/redisstore"
)

// redisServer is a Redis of a test's own, which keeps what it was told when it is killed. It listens on a
// socket in its folder: a port that is free can be another's by the time it starts.
type redisServer struct {
	t       *testing.T
	dir     string
	command *exec.Cmd
}

func newRedis(t *testing.T) *redisServer {
	if _, err := exec.LookPath("redis-server"); err != nil {
		missing(t, "Redis", err)
	}
	dir, err := os.MkdirTemp("", "redis") // t.TempDir's name, with the test's in it, may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &redisServer{t: t, dir: dir}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *redisServer) start() {
	s.command = exec.Command("redis-server", "--port", "0", "--unixsocket", s.socket(), "--dir", s.dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "always")
	require.NoError(s.t, s.command.Start())
	client := s.connect(s.t)
	require.Eventually(s.t, func() bool { return client.Ping(context.Background()).Err() == nil }, 30*time.Second, 10*time.Millisecond)
}

func (s *redisServer) socket() string { return filepath.Join(s.dir, "socket") }

func (s *redisServer) kill() {
	s.command.Process.Kill()
	s.command.Wait()
}

func (s *redisServer) connect(t *testing.T) *redis.Client {
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket(), ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { client.Close() })
	return client
}

func (s *redisServer) store(t *testing.T) *redisstore.Store {
	store, err := redisstore.New(s.connect(t), sqlSealer(t, 1), redisstore.Options{})
	require.NoError(t, err)
	return store
}

// Connections are killed, and calls end with their contexts when Redis does not answer.
func TestRedisConnectionsKilled(t *testing.T) {
	t.Parallel()
	server := newRedis(t)
	ctx := t.Context()
	admin, s := server.connect(t), server.store(t)
	version, swapped, err := s.Swap(ctx, "", sqlSet("kept"))
	require.NoError(t, err)
	require.True(t, swapped)
	for range 20 {
		require.NoError(t, admin.ClientKillByFilter(ctx, "TYPE", "normal", "SKIPME", "yes").Err())
		if _, _, _, err := s.Load(ctx, ""); err == nil {
			continue // the client has seen it, and made another
		}
		records, _, found, err := s.Load(ctx, "")
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, sqlSet("kept"), records)
	}

	require.NoError(t, admin.Do(ctx, "CLIENT", "PAUSE", 60_000, "ALL").Err())
	limited, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, _, _, err = s.Load(limited, "")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, _, err = s.Swap(limited, version, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
