package e2e

import (
	"net/http"
	"strings"
	"testing"

	"towline/e2e/stack"
)

// TestNoWeb: an app without a web process deploys and works; its address does not serve, and
// says so, until it has one.
func TestNoWeb(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	app := newApp(t, s, "bot")
	bot := map[string]string{
		"Dockerfile": "FROM " + testImage + "\nCOPY VERSION .\nCMD [\"testapp\", \"worker\"]\n", "Procfile": "bot: testapp worker\n", "VERSION": "one\n",
	}
	app.commit(bot)
	if r := app.push(); r.Code != 0 || !strings.Contains(r.Stderr, "There is no web process") {
		t.Fatalf("push: %s", r)
	}
	admin(t, s, "ps:scale bot=1 -a bot")
	eventually(t, func() string {
		if ps := admin(t, s, "ps -a bot"); !strings.Contains(ps, "bot.1: up") {
			return ps
		}
		return ""
	})
	if r := s.SSH(t.Context(), stack.Admin, nil, "run -a bot -- cat VERSION"); r.Code != 0 || r.Stdout != "one\n" {
		t.Errorf("run: %s", r)
	}
	serves := func() bool {
		status, _, err := s.Get(t.Context(), "bot", "/")
		return err == nil && status == http.StatusOK
	}
	if serves() {
		t.Error("its address serves")
	}
	app.deploy(usual("two"))
	if v, reason := version(t, s, "bot"); v != "two" {
		t.Errorf("with a web process, %q serves: %s", v, reason)
	}
	app.deploy(bot)
	if serves() {
		t.Error("its address serves on without a web process")
	}
	if ps := admin(t, s, "ps -a bot"); !strings.Contains(ps, "bot.1: up") {
		t.Errorf("after that: %s", ps)
	}
	admin(t, s, "apps:destroy -a bot --confirm bot")
}
