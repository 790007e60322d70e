package e2e

import (
	"net/http"
	"strings"
	"testing"

	"towline/e2e/stack"
)

// TestRename: an app that is renamed goes on as it was, at another address and git remote, and
// a new app of its old name has nothing to do with it.
func TestRename(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	first := newApp(t, s, "draft")
	first.deploy(usual("one"))
	first.deploy(usual("two"))
	before := admin(t, s, "ps -a draft --json")
	for line, says := range map[string]string{
		"apps:rename Draft -a draft": "lower-case", "apps:rename draft -a draft": "has that name", "apps:rename addon-x -a draft": "addon-",
		"apps:rename novel -a nosuch": "no app", "apps:rename -a draft": "NEW",
	} {
		if r := s.SSH(t.Context(), stack.Admin, nil, line); r.Code == 0 || !strings.Contains(r.Stderr, says) {
			t.Errorf("%s: %s\nwant %q in it", line, r, says)
		}
	}
	out := admin(t, s, "rename novel -a draft")
	if !strings.Contains(out, "Renamed draft to novel") || !strings.Contains(out, s.Remote("novel")) {
		t.Errorf("it says %s", out)
	}
	if v, reason := version(t, s, "novel"); v != "two" {
		t.Errorf("version %q serves: %s", v, reason)
	}
	if status, _, err := s.Get(t.Context(), "draft", "/"); err == nil && status == http.StatusOK {
		t.Error("the old address serves")
	}
	if after := admin(t, s, "ps -a novel --json"); after != before {
		t.Errorf("its processes were\n%s\nand are\n%s", before, after)
	}
	for _, line := range strings.Split(admin(t, s, "host:disk"), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "app" && (f[1] == "draft" || f[1] == "novel" && !strings.Contains(line, "repository")) {
			t.Errorf("of the disk it has %s", line)
		}
	}
	if log := admin(t, s, "logs -a novel -n 1000"); !strings.Contains(log, "Release v2") {
		t.Errorf("its log begins anew: %s", log)
	}
	if r := first.push(); r.Code == 0 || !strings.Contains(r.Stderr, "draft") {
		t.Errorf("a push to the old remote: %s", r)
	}

	// A new app of the old name, beside it.
	second := newApp(t, s, "draft")
	second.deploy(usual("other"))
	first.git("remote", "set-url", "towline", s.Remote("novel"))
	first.deploy(usual("three"))
	for app, want := range map[string]string{"draft": "other", "novel": "three"} {
		if v, reason := version(t, s, app); v != want {
			t.Errorf("version %q of %s serves: %s", v, app, reason)
		}
	}
	admin(t, s, "releases:rollback v2 -a novel") // whose image was built under the old name
	if v, reason := version(t, s, "novel"); v != "one" {
		t.Errorf("version %q serves after a rollback: %s", v, reason)
	}
	if r := s.SSH(t.Context(), stack.Admin, nil, "apps:rename draft -a novel"); r.Code == 0 || !strings.Contains(r.Stderr, "taken") {
		t.Errorf("a rename to a name that is taken: %s", r)
	}
	admin(t, s, "apps:destroy -a draft --confirm draft")
	if v, reason := version(t, s, "novel"); v != "one" {
		t.Errorf("version %q serves after the other app's end: %s", v, reason)
	}
	admin(t, s, "apps:rename draft -a novel") // and back
	if v, reason := version(t, s, "draft"); v != "one" {
		t.Errorf("version %q serves under its first name: %s", v, reason)
	}
	admin(t, s, "apps:destroy -a draft --confirm draft")
}
