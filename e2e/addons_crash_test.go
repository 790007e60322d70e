package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"towline/e2e/stack"
)

// TestCrashInAddonWork kills the daemon once each recorded step of the work on an add-on
// is done but the next is not recorded. After the next start the app has credentials
// that log in, the data is there, and the same work can be done again.
func TestCrashInAddonWork(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{Faults: true})
	newApp(t, s, "crash").deploy(usual("one"))
	admin(t, s, "apps:create other")
	admin(t, s, "addons:create redis -a crash")
	withRedis(t, s, func(c *redis.Client) error { return c.Set(t.Context(), "kept", "yes", 0).Err() })
	plan := "small"
	for _, work := range []struct {
		line   string
		points []string
		undo   string
	}{
		{"addons:restart redis-crash", []string{"restart:restart:done"}, ""},
		{"addons:rotate redis-crash", []string{"rotate:accept:done", "release:swap:done", "rotate:release:done", "rotate:retire:done"}, ""},
		{"addons:attach redis-crash -a other", []string{"attach:connect:done", "attach:release:done"}, "addons:detach redis-crash -a other"},
		{"addons:upgrade redis-crash --plan PLAN", []string{"upgrade:prepare:done", "upgrade:replace:done", "upgrade:current:done"}, ""},
	} {
		if testing.Short() && len(work.points) < 3 {
			continue // daemon/journeys has each step of each
		}
		last := work.points[len(work.points)-1]
		for _, point := range sample(work.points, last) {
			t.Run(point, func(t *testing.T) {
				do := func() stack.Result {
					line := strings.Replace(work.line, "PLAN", map[string]string{"small": "medium", "medium": "small"}[plan], 1)
					return s.SSH(t.Context(), stack.Admin, nil, line)
				}
				crash(t, s, point, func() { do() }, func() {})
				assertServes(t, s)
				plan = decode[struct{ Plan string }](t, s, "addons:info", "redis-crash").Plan
				if want := decode[[]addon](t, s, "addons", "-a", "other"); point == "attach:connect:done" && len(want) > 0 {
					t.Errorf("attached: %v", want)
				} else if point == "attach:release:done" && len(want) == 0 {
					t.Error("not attached")
				}
				if point != last {
					return
				}
				if work.undo != "" {
					admin(t, s, work.undo)
				}
				eventually(t, func() string { // a rotation may still be under way
					if r := do(); r.Code != 0 {
						return r.String()
					}
					return ""
				})
				assertServes(t, s)
				if work.undo != "" {
					admin(t, s, work.undo)
				}
				plan = decode[struct{ Plan string }](t, s, "addons:info", "redis-crash").Plan
			})
		}
	}
	crashInCheck(t, s)
	for _, point := range sample([]string{"detach:release:done", "detach:disconnect:done"}, "detach:release:done") {
		t.Run(point, func(t *testing.T) {
			s.SSH(t.Context(), stack.Admin, nil, "addons:attach redis-crash -a other")
			crash(t, s, point, func() { s.SSH(t.Context(), stack.Admin, nil, "addons:detach redis-crash -a other") }, func() {})
			assertServes(t, s)
			eventually(t, func() string {
				if n := networksOf(t, s); slices.Contains(n, s.Name+"-other") {
					return "the way is open still: " + strings.Join(n, " ")
				}
				return ""
			})
			if config := appConfig(t, s, "other"); len(config) > 0 {
				t.Errorf("config vars are left: %v", config)
			}
		})
	}
}

// crashInCheck kills the daemon during a plugin's check.
func crashInCheck(t *testing.T, s *stack.Stack) {
	root, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, point := range sample([]string{"provision:attach:done", "restore:replace:done"}, "restore:replace:done") {
		t.Run("check of a plugin "+point, func(t *testing.T) {
			check := "plugins:check --run " + root + "/addons/redis"
			crash(t, s, point, func() { s.SSH(t.Context(), stack.Admin, nil, check) }, func() {})
			assertNoCheck(t, s)
			assertServes(t, s)
		})
	}
}

// assertNoCheck: of a plugin's check that was killed nothing is left.
func assertNoCheck(t *testing.T, s *stack.Stack) {
	t.Helper()
	for _, line := range []string{"apps", "addons", "backups"} {
		if out := admin(t, s, line); strings.Contains(out, "plugincheck") {
			t.Errorf("%s: %s", line, out)
		}
	}
	for _, args := range [][]string{{"ps", "--all", "--format", "{{.Names}}"}, {"volume", "ls"}, {"network", "ls"}} {
		if out, err := stack.Listing(args...); err != nil || strings.Contains(out, s.Name+"-addon-plugincheck") || strings.Contains(out, s.Name+"-plugincheck") {
			t.Errorf("podman %s: %v %s", args[0], err, out)
		}
	}
}

// withRedis calls f with a client that logs in by the app's config var.
func withRedis(t *testing.T, s *stack.Stack, f func(*redis.Client) error) {
	t.Helper()
	options, err := redis.ParseURL(fromHere(t, s, "redis-crash", appConfig(t, s, "crash")["REDISCLOUD_URL"]))
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	if err := f(client); err != nil {
		t.Error(err)
	}
}

// assertServes: what serves has the config's credentials, and they find the data.
func assertServes(t *testing.T, s *stack.Stack) {
	t.Helper()
	url := appConfig(t, s, "crash")["REDISCLOUD_URL"]
	if _, body, err := s.Get(t.Context(), "crash", "/env/REDISCLOUD_URL"); err != nil || url == "" || strings.TrimSpace(body) != url {
		t.Errorf("the app has REDISCLOUD_URL=%q, the config %q: %v", body, url, err)
	}
	withRedis(t, s, func(c *redis.Client) error {
		v, err := c.Get(t.Context(), "kept").Result()
		if err == nil && v != "yes" {
			t.Errorf("kept is %q", v)
		}
		return err
	})
	o, err := s.Objects()
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Volumes) != 1 {
		t.Errorf("volumes %v", o.Volumes)
	}
}

func networksOf(t *testing.T, s *stack.Stack) []string {
	t.Helper()
	o, err := s.Objects()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(o.Containers, func(c string) bool { return strings.Contains(c, "-addon-redis-crash.") })
	if i < 0 {
		t.Fatal("the add-on does not run")
	}
	text, err := stack.Podman("inspect", o.Containers[i], "--format", "{{range $name, $n := .NetworkSettings.Networks}}{{$name}} {{end}}")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(text)
}
