package e2e

import (
	"maps"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestRefusedPush: a push whose build, release phase or boot fails is refused with the
// reason, and the old release serves on, requests running all the while.
func TestRefusedPush(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	// A process that is not ready is given a minute: these wait beside the others.
	waiting := sync.WaitGroup{}
	defer waiting.Wait()
	for app, refused := range map[string]refusal{
		"unhealthy": {"health check", map[string]string{"app.json": `{"healthchecks":{"web":[{"path":"/status/500"}]}}`}, []string{"500"}},
		"deaf":      {"never listens", map[string]string{"Procfile": "web: echo idling; sleep 3600\n"}, []string{"was not ready", "idling"}},
	} {
		app := newApp(t, s, app)
		app.deploy(usual("good"))
		refused.commit(app)
		waiting.Go(func() { refused.push(t, app) })
	}
	app := newApp(t, s, "refused")
	app.deploy(usual("good"))
	load, err := s.StartLoad("refused", "/", 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, refused := range []refusal{
		{"build", map[string]string{"Dockerfile": "FROM " + testImage + "\nRUN echo out of cheese && exit 7\n"}, []string{"out of cheese"}},
		{"no such base image", map[string]string{"Dockerfile": "FROM localhost/nosuch:1\n"}, []string{"nosuch"}},
		{"release phase", map[string]string{"Procfile": "web: testapp\nrelease: echo migrating; exit 3\n"},
			[]string{"migrating", "the release phase failed with exit code 3"}},
		{"boot", map[string]string{"Dockerfile": usual("")["Dockerfile"] + "ENV FAIL_BOOT=1\n"},
			[]string{"exited with code 1 before it was ready", "told to fail at boot"}},
		{"no such program", map[string]string{"Procfile": "web: nosuchprogram\n"}, []string{"127", "nosuchprogram"}},
	} {
		refused.commit(app)
		refused.push(t, app)
		app.git("reset", "-q", "--hard", "HEAD~1")
	}
	waiting.Wait()
	report := load.Stop()
	if report.Failed > 0 || report.Total == 0 || len(report.Seen) != 1 {
		t.Errorf("%d of %d requests failed, %d different answers:\n%s", report.Failed, report.Total, len(report.Seen), strings.Join(report.Failures, "\n"))
	}
	t.Logf("%d requests, the slowest took %s", report.Total, report.Slowest)
	app.deploy(usual("better"))
	if v, reason := version(t, s, "refused"); v != "better" {
		t.Errorf("after all that version %q serves: %s", v, reason)
	}
}

// refusal is a commit that is refused, and what is said of it.
type refusal struct {
	name  string
	files map[string]string
	says  []string
}

func (r refusal) commit(app *checkout) {
	files := usual(r.name)
	maps.Copy(files, r.files)
	app.commit(files)
}

// push is refused in words, and what serves goes on.
func (r refusal) push(t *testing.T, app *checkout) {
	start := time.Now()
	result := app.push()
	t.Logf("%s: refused after %s", r.name, time.Since(start).Round(time.Millisecond))
	if result.Code == 0 {
		t.Errorf("%s: the push was taken: %s", r.name, result)
	}
	for _, part := range r.says {
		if !strings.Contains(result.Stderr, part) {
			t.Errorf("%s: %s\nwant %q in it", r.name, result, part)
		}
	}
	if v, reason := version(t, app.s, app.app); v != "good" {
		t.Errorf("%s: version %q serves: %s", r.name, v, reason)
	}
}
