package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestHundredDeploys: no request fails while an app is deployed a hundred times (5 in
// `make test`) by real pushes, under constant load from clients that keep no connection open.
func TestHundredDeploys(t *testing.T) {
	t.Parallel()
	deploys := 100
	if testing.Short() {
		deploys = 5
	}
	s := sharedStack(t)
	app := newApp(t, s, "steady")
	app.deploy(usual("0"))
	load, err := s.StartLoad("steady", "/", 2)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for i := 1; i <= deploys; i++ {
		want := fmt.Sprint(i)
		app.commit(map[string]string{"VERSION": want + "\n"})
		if r := app.push(); r.Code != 0 {
			t.Fatalf("deploy %d: %s", i, r)
		}
		// The push is answered once the new release serves, never before.
		if v, reason := version(t, s, "steady"); v != want {
			t.Fatalf("after deploy %d version %q serves: %s", i, v, reason)
		}
	}
	took := time.Since(start)
	report := load.Stop()
	if report.Failed > 0 {
		t.Errorf("%d of %d requests failed:\n%s", report.Failed, report.Total, strings.Join(report.Failures, "\n"))
	}
	seen := map[string]bool{}
	for body := range report.Seen {
		v, _, _ := strings.Cut(body, "\n")
		seen[v] = true
	}
	if len(seen) < deploys*9/10 {
		t.Errorf("the load saw %d versions of %d: too thin to prove anything", len(seen), deploys)
	}
	t.Logf("%d deploys in %s, %s each; %d requests, none kept alive, the slowest took %s",
		deploys, took.Round(time.Second), (took / time.Duration(deploys)).Round(time.Millisecond), report.Total, report.Slowest.Round(time.Millisecond))
}
