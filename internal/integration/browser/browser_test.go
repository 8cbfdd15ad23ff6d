package browser_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// open starts a browser with a profile of its own, and gives the context of a tab in it.
func open(t testing.TB) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		require.Empty(t, os.Getenv("AMARETTI_TEST_REQUIRE_SERVERS"), "there is no Chromium")
		t.Skip("Chromium is not installed (.ci/peers does that)")
	}
	profile := filepath.Join(t.TempDir(), "profile")
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true), chromedp.WSURLReadTimeout(time.Minute), chromedp.WindowSize(1000, 750))...)
	t.Cleanup(func() {
		cancel()
		// The browser's helpers may write for a moment longer.
		require.Eventually(t, func() bool { return os.RemoveAll(profile) == nil }, 10*time.Second, 100*time.Millisecond)
	})
	tab, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(tab)) // starts it, for as long as the context
	tab, cancel = context.WithTimeout(tab, 2*time.Minute)
	t.Cleanup(cancel)
	return tab
}

// program is examples/identity, waiting for somebody with a browser.
type program struct {
	lines *bufio.Scanner
	login string // the page that it asks to open
}

// compiled is the path of the program, built once and removed by TestMain.
var compiled string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		folder, err := os.MkdirTemp("", "identity")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(folder)
		compiled = filepath.Join(folder, "identity")
		return m.Run()
	}())
}

var compile = sync.OnceValue(func() error {
	build := exec.Command("go", "build", "-o", compiled, ".")
	build.Dir = filepath.Join("..", "..", "..", "examples", "identity")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
})

func start(t testing.TB) *program {
	t.Helper()
	require.NoError(t, compile())
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	cmd := exec.CommandContext(ctx, compiled, "-browser")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	err = cmd.Start()
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
	})
	require.NoError(t, err)
	p := &program{lines: bufio.NewScanner(stdout)}
	p.login = p.until(t, "/login?flow=")
	return p
}

// until gives the next line that the program prints with this in it.
func (p *program) until(t testing.TB, part string) string {
	t.Helper()
	for p.lines.Scan() {
		if line := strings.TrimSpace(p.lines.Text()); strings.Contains(line, part) {
			return line
		}
	}
	require.Fail(t, "the program ended before it printed "+part)
	return ""
}

type action = chromedp.Action[chromedp.Void]

// shows waits for a page that shows this: as its heading, as what came of it, or as what is wrong.
func shows(text string) action {
	return chromedp.WaitVisible(`//*[self::h1 or @role="status" or @role="alert"][contains(normalize-space(.), "` + text + `")]`)
}

func click(css string) action { return chromedp.Click(chromedp.CSS(css)) }

func logIn(user, password string) action {
	return chromedp.Steps(
		chromedp.SetValue(chromedp.ID("user"), user),
		chromedp.SendKeys(chromedp.ID("password"), password),
		click("button.main"))
}

// A person logs in, sees who asks for what, and allows it: the client goes on, the orders service knows who it is, and the
// next request needs nobody.
func TestLogIn(t *testing.T) {
	tab, p := open(t), start(t)
	require.NoError(t, chromedp.Do(tab,
		chromedp.Navigate(p.login), shows("Log in to go on to Biscotti Orders"), shot("login"),
		logIn("ann", "wrong"), shows("not the name and password"), shot("wrong"),
		logIn("ann", "biscotti"), shows("Biscotti Orders asks to know"), shot("allow")))
	asked, err := chromedp.Run(tab, chromedp.Evaluate[[]string](`[...document.querySelectorAll("li")].map(e => e.textContent)`))
	require.NoError(t, err)
	require.Equal(t, []string{"that you are a member of acme", "your name, ann"}, asked)

	// The session is the browser's alone: no script sees it, and no other site has it sent.
	stored, err := chromedp.Call(tab, network.GetCookies, network.GetCookiesParams{})
	require.NoError(t, err)
	require.Len(t, stored.Cookies, 1)
	require.True(t, stored.Cookies[0].HTTPOnly)
	require.Equal(t, network.CookieSameSiteLax, stored.Cookies[0].SameSite)
	seen, err := chromedp.Run(tab, chromedp.Evaluate[string](`document.cookie`))
	require.NoError(t, err)
	require.Empty(t, seen)

	require.NoError(t, chromedp.Do(tab, click("button[value=allow]"), shows("Done."), shot("done")))
	const want = "GET /orders: 200 OK, orders of ann: 12 amaretti, 1 espresso machine"
	require.Equal(t, want, p.until(t, "GET /orders:"))
	require.Equal(t, want, p.until(t, "GET /orders:"))

	// The flow is over: nobody can use it again.
	require.NoError(t, chromedp.Do(tab, chromedp.Navigate(p.login), shows("is done already")))
}

// Whoever refuses, and whoever is no member, gets nothing; and the client is told nothing more.
func TestRefused(t *testing.T) {
	for name, row := range map[string]struct{ user, answer, says string }{
		"refuses":      {"ann", "refuse", "Refused."},
		"not a member": {"bob", "allow", "Done."},
	} {
		t.Run(name, func(t *testing.T) {
			tab, p := open(t), start(t)
			require.NoError(t, chromedp.Do(tab,
				chromedp.Navigate(p.login), logIn(row.user, "biscotti"), shows("asks to know"),
				click("button[value="+row.answer+"]"), shows(row.says)))
			require.Contains(t, p.until(t, "GET /orders"), "not sent, the identity service says: cannot discharge")
		})
	}
}

// Another site can neither show the page inside its own, nor send the form for whoever is logged in.
func TestOtherSites(t *testing.T) {
	tab, p := open(t), start(t)
	require.NoError(t, chromedp.Do(tab, chromedp.Navigate(p.login), logIn("ann", "biscotti"), shows("asks to know")))
	login, err := url.Parse(p.login)
	require.NoError(t, err)

	evil := site(t, `<!DOCTYPE html><title>evil</title><iframe id="frame" src="`+p.login+`"></iframe>
<form id="form" method="post" action="http://`+login.Host+`/answer">
<input name="flow" value="`+login.Query().Get("flow")+`"><input name="answer" value="allow"><button id="send">Win a prize</button></form>`)
	require.NoError(t, chromedp.Do(tab, chromedp.Navigate(evil), chromedp.WaitVisible(chromedp.ID("frame"))))
	require.Eventually(t, func() bool { return framed(t, tab) != "" }, 20*time.Second, 50*time.Millisecond)
	require.Equal(t, p.login, framed(t, tab), "it is not shown")

	// The two are of one site, since ports don't count there, so that the browser sends the session along.
	require.NoError(t, chromedp.Do(tab, click("#send"), chromedp.WaitNotPresent(chromedp.ID("send"))))
	body, err := chromedp.Run(tab, chromedp.Text(chromedp.CSS("body")))
	require.NoError(t, err)
	require.Contains(t, body, "cross-origin")

	// The person can still answer.
	require.NoError(t, chromedp.Do(tab, chromedp.Navigate(p.login), shows("asks to know"),
		click("button[value=refuse]"), shows("Refused.")))
	require.Contains(t, p.until(t, "GET /orders"), "not sent")
}

// site serves a page at an origin of its own.
func site(t testing.TB, html string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, html)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// framed gives the URL of a page that the browser refused to show in the frame of the tab's page; empty if it shows it, or
// does not know yet.
func framed(t testing.TB, tab context.Context) string {
	tree, err := chromedp.Call(tab, page.GetFrameTree, cdp.Empty{})
	require.NoError(t, err)
	if len(tree.FrameTree.ChildFrames) == 0 {
		return ""
	}
	return tree.FrameTree.ChildFrames[0].Frame.UnreachableURL
}

// shot writes a screenshot into the folder that AMARETTI_TEST_SCREENSHOTS names, for people to look at.
func shot(name string) action {
	return chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		folder := os.Getenv("AMARETTI_TEST_SCREENSHOTS")
		if folder == "" {
			return nil
		}
		image, err := chromedp.CaptureScreenshot()(ctx, tab)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(folder, name+".png"), image, 0o600)
	})
}
