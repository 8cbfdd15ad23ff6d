//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package filestore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amaretti-go/amaretti/macaroon/rootkey/filestore"
	"github.com/amaretti-go/amaretti/macaroon/rootkey/seal"
)

// Some tests start this binary anew, as another process with the same file.
const (
	roleVar = "AMARETTI_FILESTORE_ROLE"
	pathVar = "AMARETTI_FILESTORE_PATH"
)

func TestMain(m *testing.M) {
	role, argument, _ := strings.Cut(os.Getenv(roleVar), ":")
	path := os.Getenv(pathVar)
	var err error
	switch role {
	case "":
		os.Exit(m.Run())
	case "count":
		err = count(path, argument)
	case "limited":
		err = limited(path)
	case "nobody":
		err = nobody(path)
	default:
		err = errors.New("no such role: " + role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func process(t *testing.T, path, role string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), roleVar+"="+role, pathVar+"="+path)
	command.Stderr = os.Stderr
	return command
}

// mustOpen is open in another process.
func mustOpen(path string) *filestore.Store {
	sealer, err := seal.NewKey([]byte(kek))
	if err != nil {
		panic(err)
	}
	s, err := filestore.New(path, sealer, filestore.Options{})
	if err != nil {
		panic(err)
	}
	return s
}

const kek = "\x00key of more than one process..."

func processSealer(t *testing.T) *seal.Sealer {
	s, err := seal.NewKey([]byte(kek))
	require.NoError(t, err)
	return s
}

// count writes one set after the other, with growing numbers, and says which are
// written. With an argument it kills itself at that step of its second write.
func count(path, dieAt string) error {
	ctx := context.Background()
	s := mustOpen(path)
	for writes := 0; ; writes++ {
		records, known, found, err := s.Load(ctx, "")
		if err != nil {
			return err
		}
		n := 0
		if found {
			n = number(records)
		}
		if n < 0 {
			return errors.New("a set that nobody wrote")
		}
		if writes == 1 && dieAt != "" {
			s.SetBefore(func(step string) error {
				if step == dieAt {
					syscall.Kill(os.Getpid(), syscall.SIGKILL)
					select {}
				}
				return nil
			})
		}
		_, swapped, err := s.Swap(ctx, known, keys(n+1))
		if err != nil {
			return err
		}
		if swapped {
			os.Stdout.WriteString(strconv.Itoa(n+1) + "\n")
		}
	}
}

// lastLine gives the number in the last whole line, or least if there is none.
func lastLine(r io.Reader, least int) int {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return least
		}
		least, _ = strconv.Atoi(strings.TrimSpace(line))
	}
}

// TestKilled: processes that write are killed, at any moment. After each, the file
// is there, whole, with what was acknowledged or the next set.
func TestKilled(t *testing.T) {
	kills := 25
	if long {
		kills = 1000
	}
	path := newPath(t)
	put(t, open(t, path, processSealer(t)), keys(0))
	last, written := 0, 0
	for range kills {
		command := process(t, path, "count")
		out, err := command.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, command.Start())
		lines := bufio.NewReader(out)
		acknowledged := last
		if rand.N(8) > 0 { // and one in eight before it has begun
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			acknowledged, err = strconv.Atoi(strings.TrimSpace(line))
			require.NoError(t, err)
		}
		time.Sleep(rand.N(8 * time.Millisecond)) // any moment
		require.NoError(t, command.Process.Kill())
		acknowledged = lastLine(lines, acknowledged)
		var exit *exec.ExitError
		require.ErrorAs(t, command.Wait(), &exit)
		require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())

		s := open(t, path, processSealer(t))
		records, _, found, err := s.Load(t.Context(), "")
		require.NoError(t, err)
		require.True(t, found)
		now := number(records)
		require.GreaterOrEqual(t, now, acknowledged)
		require.LessOrEqual(t, now, acknowledged+1)
		require.LessOrEqual(t, len(names(t, path)), 3, "the file, its lock, and one that was not finished")
		written += now - last
		last = now
	}
	require.Greater(t, written, kills/2)
	put(t, open(t, path, processSealer(t)), keys(last+1))
	require.ElementsMatch(t, []string{"keys", "keys.lock"}, names(t, path))
}

// TestKilledAtEachStep does that at the moments that matter.
func TestKilledAtEachStep(t *testing.T) {
	for i, step := range steps {
		t.Run(step, func(t *testing.T) {
			path := newPath(t)
			put(t, open(t, path, processSealer(t)), keys(0))
			command := process(t, path, "count:"+step)
			out, err := command.Output()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())
			require.Equal(t, "1\n", string(out))

			want := 1
			if i == len(steps)-1 {
				want = 2
			}
			s := open(t, path, processSealer(t))
			requireHolds(t, s, keys(want))
			if 0 < i && i < len(steps)-1 {
				require.Len(t, names(t, path), 3)
			}
			put(t, s, keys(3)) // The lock has gone with the process.
			require.ElementsMatch(t, []string{"keys", "keys.lock"}, names(t, path))
		})
	}
}

// TestProcesses: several processes, none of whose updates is lost.
func TestProcesses(t *testing.T) {
	path := newPath(t)
	s := open(t, path, processSealer(t))
	put(t, s, keys(0))
	const processes, lines = 3, 15
	type result struct {
		numbers []string
		err     error
	}
	results := make(chan result, processes)
	for range processes {
		command := process(t, path, "count")
		out, err := command.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, command.Start())
		go func() {
			var r result
			scanner := bufio.NewScanner(out)
			for len(r.numbers) < lines && scanner.Scan() {
				r.numbers = append(r.numbers, scanner.Text())
			}
			r.err = command.Process.Kill()
			for scanner.Scan() { // what it wrote before it was killed
				r.numbers = append(r.numbers, scanner.Text())
			}
			command.Wait()
			results <- r
		}()
	}
	seen := make(map[string]bool)
	for range processes {
		r := <-results
		require.NoError(t, r.err)
		require.GreaterOrEqual(t, len(r.numbers), lines)
		for _, n := range r.numbers {
			require.False(t, seen[n], "%s was written twice: an update was lost", n)
			seen[n] = true
		}
	}
	records, _, _, err := s.Load(t.Context(), "")
	require.NoError(t, err)
	n := number(records)
	require.GreaterOrEqual(t, n, len(seen))
	require.LessOrEqual(t, n, len(seen)+processes, "each may have written one set that it could not tell of")
}

// limited writes where there is no room: no file may be longer than a hundred
// bytes, as if the disk were full.
func limited(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	ctx := context.Background()
	s := mustOpen(path)
	_, version, _, err := s.Load(ctx, "")
	if err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	full := limit
	full.Cur = 100
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		return err
	}
	large := map[string][]byte{"0000000000000": make([]byte, 10_000)}
	if _, _, err := s.Swap(ctx, version, large); !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("with a full disk: %v", err)
	}
	if err := s.Rewrap(ctx, seal.InsecurePlaintext()); !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("with a full disk: %v", err)
	}
	if _, _, found, err := s.Load(ctx, version); found || err != nil {
		return fmt.Errorf("after a full disk: %t, %v", found, err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	_, swapped, err := s.Swap(ctx, version, large)
	if err == nil && !swapped {
		err = errors.New("not swapped")
	}
	return err
}

func TestDiskFull(t *testing.T) {
	path := newPath(t)
	s := open(t, path, processSealer(t))
	put(t, s, keys(20))
	out, err := process(t, path, "limited").Output()
	require.NoError(t, err, "%s", out)
	requireHolds(t, s, map[string][]byte{"0000000000000": make([]byte, 10_000)})
	require.ElementsMatch(t, []string{"keys", "keys.lock"}, names(t, path))
}

// nobody does what a user may who has no rights on the file, or on its directory.
func nobody(path string) error {
	if os.Getuid() == 0 {
		if err := errors.Join(syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			return err
		}
	}
	ctx := context.Background()
	s := mustOpen(path)
	if _, _, _, err := s.Load(ctx, ""); !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("Load without permission: %v", err)
	}
	if _, _, err := s.Swap(ctx, "", keys(2)); !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("Swap without permission: %v", err)
	}
	return nil
}

func TestPermissionDenied(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} { // so that another user gets as far as that
		require.NoError(t, os.Chmod(d, 0o755))
	}
	path := filepath.Join(dir, "keys")
	s := open(t, path, processSealer(t))
	put(t, s, keys(1))
	if os.Getuid() != 0 {
		require.NoError(t, os.Chmod(path, 0))
	}
	for _, mode := range []fs.FileMode{0o555, 0o500} { // the file is out of reach, and then the directory
		require.NoError(t, os.Chmod(dir, mode))
		out, err := process(t, path, "nobody").Output()
		require.NoError(t, err, "%s", out)
	}
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chmod(path, 0o600))
	requireHolds(t, s, keys(1))
	put(t, s, keys(2))
}
