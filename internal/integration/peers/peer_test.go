package peers_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A peer is a helper program that has another language's libraries. It is started when it is first needed, answers
// one question at a time, and ends with the tests, whose end closes its input.
type peer struct {
	name    string
	command []string
	probe   []string     // fails if the libraries are not installed
	start   func() error // once

	mu      sync.Mutex
	input   io.Writer
	answers *bufio.Reader
}

var (
	// Debian's packages are for Debian's Python, whichever comes first in PATH.
	python = newPeer("Python",
		[]string{"/usr/bin/python3", "-B", "testdata/python/peer.py"},
		[]string{"/usr/bin/python3", "-c", "import macaroonbakery.httpbakery, pymacaroons"})
	javascript = newPeer("JavaScript",
		[]string{"node", "testdata/npm/peer.mjs"},
		[]string{"node", "testdata/npm/probe.mjs"})
)

func newPeer(name string, command, probe []string) *peer {
	p := &peer{name: name, command: command, probe: probe}
	p.start = sync.OnceValue(p.run)
	return p
}

func (p *peer) run() error {
	if output, err := exec.Command(p.probe[0], p.probe[1:]...).CombinedOutput(); err != nil {
		lines := bytes.Split(bytes.TrimSpace(output), []byte("\n"))
		return fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	cmd := exec.Command(p.command[0], p.command[1:]...)
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p.input, p.answers = input, bufio.NewReader(output)
	return cmd.Start()
}

// need skips t if the peer is not installed, or fails it where it must be.
func (p *peer) need(t testing.TB) {
	t.Helper()
	err := p.start()
	if err == nil {
		return
	}
	require.Empty(t, os.Getenv("AMARETTI_TEST_REQUIRE_SERVERS"), "the libraries for %s don't work: %s", p.name, err)
	t.Skipf("the libraries for %s are not installed (.ci/peers does that): %s", p.name, err)
}

// arguments are what a question has besides what to do.
type arguments map[string]any

// errRefused is in what ask returns if the library said no, and not in what it returns if the peer is broken.
var errRefused = errors.New("refused")

// ask has the peer do something and decodes what that gives into result, unless it is nil. The error is that of the
// library. t fails if the peer is broken.
func (p *peer) ask(t testing.TB, what string, args arguments, result any) error {
	t.Helper()
	p.need(t)
	line := map[string]any{"do": what}
	for name, value := range args {
		line[name] = value
	}
	question, err := json.Marshal(line)
	require.NoError(t, err)

	p.mu.Lock()
	defer p.mu.Unlock()
	_, err = p.input.Write(append(question, '\n'))
	require.NoError(t, err, p.name)
	text, err := p.answers.ReadBytes('\n')
	require.NoError(t, err, p.name)
	var answer struct {
		Result json.RawMessage
		Error  *string
	}
	require.NoError(t, json.Unmarshal(text, &answer), "%s", text)
	if answer.Error != nil {
		return fmt.Errorf("%s: %w: %s", p.name, errRefused, *answer.Error)
	}
	if result != nil {
		require.NoError(t, json.Unmarshal(answer.Result, result), "%s", text)
	}
	return nil
}
