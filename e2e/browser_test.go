package e2e

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"towline/e2e/stack"
)

// newTab is a tab of a browser of its own, headless, for a minute.
func newTab(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no browser: apt-get install chromium")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Env("TMPDIR="+t.TempDir()),
		chromedp.Flag("ignore-certificate-errors", true)) // signed by the stack's own CA, which others check
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// TestNeo4jBrowser: the page that addons:open leads to is Neo4j Browser, which logs in to
// the add-on by Bolt over a WebSocket to the same host.
func TestNeo4jBrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short")
	}
	tab := newTab(t)
	s := ownStack(t, stack.Options{})
	db := newDatabase(t, s, "seen", "neo4j")
	if err := db.Add(1); err != nil {
		t.Fatal(err)
	}
	page, login := openPage(t, s, "neo4j-seen")
	page.User = login
	user := strings.TrimSpace(admin(t, s, "config:get GRAPHENEDB_BOLT_USER -a seen"))
	password := strings.TrimSpace(admin(t, s, "config:get GRAPHENEDB_BOLT_PASSWORD -a seen"))
	var text string
	err := chromedp.Run(tab,
		chromedp.Navigate(page.String()),
		chromedp.WaitVisible(`input[type=password]`),
		chromedp.SendKeys(`[data-testid=username]`, user),
		chromedp.SendKeys(`input[type=password]`, password),
		chromedp.Click(`[data-testid=connect]`),
		chromedp.WaitNotPresent(`input[type=password]`),
		chromedp.Poll(`document.body.innerText.includes("You are connected as user")`, nil),
		chromedp.Text(`body`, &text),
	)
	if err != nil || !strings.Contains(text, user) {
		var shown string
		_ = chromedp.Run(tab, chromedp.Text(`body`, &shown))
		t.Fatalf("%v; the page shows:\n%s", err, shown)
	}
}
