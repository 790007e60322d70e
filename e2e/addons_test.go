package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
	"github.com/redis/go-redis/v9"

	"towline/e2e/stack"
)

// appConfig is an app's config vars.
func appConfig(t *testing.T, s *stack.Stack, app string) map[string]string {
	t.Helper()
	var config map[string]string
	if err := json.Unmarshal([]byte(admin(t, s, "config --json -a "+app)), &config); err != nil {
		t.Fatal(err)
	}
	return config
}

// fromHere is a URL in which the add-on's name, which the app's network alone knows, is
// replaced by its address.
func fromHere(t *testing.T, s *stack.Stack, addon, raw string) string {
	t.Helper()
	return strings.Replace(raw, addon+":", addressOf(t, s, addon)+":", 1)
}

func addressOf(t *testing.T, s *stack.Stack, addon string) string {
	t.Helper()
	names, err := stack.Listing("ps", "--filter", "label=towline="+s.Name, "--filter", "name="+s.Name+"-addon-"+addon+".", "--format", "{{.Names}}")
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(strings.TrimSpace(names), "\n")
	text, err := stack.Podman("inspect", name, "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(text)[0]
}

// TestAddonDrivers logs in by what the config vars say, as the services' own drivers
// do, and shows that another app can't even reach them.
func TestAddonDrivers(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	admin(t, s, "apps:create graphs")
	admin(t, s, "addons:create redis -a graphs")
	admin(t, s, "addons:create neo4j -a graphs")
	config := appConfig(t, s, "graphs")
	t.Run("redis", func(t *testing.T) { redisDrivers(t, s, config["REDISCLOUD_URL"]) })
	t.Run("neo4j bolt", func(t *testing.T) { boltDriver(t, s, config) })
	t.Run("neo4j http", func(t *testing.T) { httpCredentials(t, s, config["GRAPHENEDB_URL"]) })
	t.Run("open neo4j", func(t *testing.T) { neo4jBrowser(t, s, "neo4j-graphs", config) })
	t.Run("forward redis", func(t *testing.T) { forwardRedis(t, s, "redis-graphs", config["REDISCLOUD_URL"]) })
	t.Run("isolation", func(t *testing.T) { isolation(t, s) })
	t.Run("rotate neo4j", func(t *testing.T) {
		admin(t, s, "addons:rotate neo4j-graphs")
		now := appConfig(t, s, "graphs")
		if now["GRAPHENEDB_URL"] == config["GRAPHENEDB_URL"] {
			t.Fatal("GRAPHENEDB_URL is as it was")
		}
		boltDriver(t, s, now)
		eventually(t, func() string {
			if err := boltLogin(s.Name, fromHere(t, s, "neo4j-graphs", config["GRAPHENEDB_BOLT_URL"]), config); err == nil {
				return "the old credentials still log in"
			}
			return ""
		})
		if _, ok := now["NEO4J_URL"]; ok {
			t.Error("NEO4J_URL is set")
		}
	})
	admin(t, s, "addons:destroy neo4j-graphs --confirm neo4j-graphs")
	admin(t, s, "addons:destroy redis-graphs --confirm redis-graphs")
}

func redisDrivers(t *testing.T, s *stack.Stack, raw string) {
	t.Helper()
	options, err := redis.ParseURL(fromHere(t, s, "redis-graphs", raw))
	if err != nil {
		t.Fatal(err)
	}
	alone := *options
	alone.Username = ""
	wrong := *options
	wrong.Password = "wrong"
	for name, o := range map[string]*redis.Options{"user and password": options, "password alone": &alone} {
		client := redis.NewClient(o)
		if err := client.Set(t.Context(), "key", name, 0).Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		client.Close()
	}
	client := redis.NewClient(&wrong)
	defer client.Close()
	if err := client.Ping(t.Context()).Err(); err == nil {
		t.Error("a wrong password logs in")
	}
	out, err := stack.Podman("exec", s.Name+"-addon-redis-graphs.1", "redis-cli", "-u", raw, "get", "key")
	if err != nil || !strings.Contains(out, "password") {
		t.Errorf("redis-cli -u: %q %v", out, err)
	}
}

func boltDriver(t *testing.T, s *stack.Stack, config map[string]string) {
	t.Helper()
	target := fromHere(t, s, "neo4j-graphs", config["GRAPHENEDB_BOLT_URL"])
	for _, scheme := range []string{"bolt", "bolt+ssc"} {
		if err := boltLogin(s.Name, strings.Replace(target, "bolt", scheme, 1), config); err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
	}
	wrong := map[string]string{"GRAPHENEDB_BOLT_USER": config["GRAPHENEDB_BOLT_USER"], "GRAPHENEDB_BOLT_PASSWORD": "wrong"}
	if err := boltLogin(s.Name, target, wrong); err == nil {
		t.Error("a wrong password logs in")
	}
}

func boltLogin(value, target string, config map[string]string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	driver, err := neo4j.NewDriverWithContext(target, neo4j.BasicAuth(config["GRAPHENEDB_BOLT_USER"], config["GRAPHENEDB_BOLT_PASSWORD"], ""))
	if err != nil {
		return err
	}
	defer driver.Close(ctx)
	result, err := neo4j.ExecuteQuery(ctx, driver, "MERGE (n:Test {v: $v}) RETURN n.v AS v", map[string]any{"v": value}, neo4j.EagerResultTransformer)
	if err != nil {
		return err
	}
	if got, _ := result.Records[0].Get("v"); got != value {
		return fmt.Errorf("read %v", got)
	}
	return nil
}

func httpCredentials(t *testing.T, s *stack.Stack, raw string) {
	t.Helper()
	u, err := url.Parse(fromHere(t, s, "neo4j-graphs", raw))
	if err != nil {
		t.Fatal(err)
	}
	for want, user := range map[int]*url.Userinfo{http.StatusOK: u.User, http.StatusUnauthorized: url.UserPassword(u.User.Username(), "wrong")} {
		target := url.URL{Scheme: u.Scheme, Host: u.Host, User: user, Path: "/db/neo4j/tx/commit"}
		resp, err := http.Post(target.String(), "application/json", strings.NewReader(`{"statements":[{"statement":"RETURN 1"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s, want %d: %.200s", resp.Status, want, body)
		}
	}
}

// isolation asks from inside another app's container, by name and by address.
func isolation(t *testing.T, s *stack.Stack) {
	t.Helper()
	c := newApp(t, s, "stranger")
	c.deploy(usual("one"))
	reach := func(target string) string {
		r := s.SSH(t.Context(), stack.Admin, nil, "run -a stranger 'echo PING | timeout 2 nc -w 1 "+target+" >/dev/null 2>&1 && echo reached || echo not reached'")
		return strings.TrimSpace(r.Stdout)
	}
	for _, target := range []string{"redis-graphs 6379", addressOf(t, s, "redis-graphs") + " 6379", "neo4j-graphs 7687", addressOf(t, s, "neo4j-graphs") + " 7474"} {
		if got := reach(target); got != "not reached" {
			t.Errorf("%s: %q", target, got)
		}
	}
	admin(t, s, "addons:attach redis-graphs -a stranger")
	eventually(t, func() string { // a second is not long on a busy machine
		if got := reach("redis-graphs 6379"); got != "reached" {
			return fmt.Sprintf("attached: %q", got)
		}
		return ""
	})
	admin(t, s, "addons:detach redis-graphs -a stranger")
	eventually(t, func() string {
		if got := reach("redis-graphs 6379"); got != "not reached" {
			return "detached: " + got
		}
		return ""
	})
}

// TestRotateUnderLoad: no client fails to log in with what its app's config vars said
// when it started, and no request of the app fails.
func TestRotateUnderLoad(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	newApp(t, s, "turning").deploy(usual("one"))
	admin(t, s, "addons:create redis -a turning")
	before := appConfig(t, s, "turning")["REDISCLOUD_URL"]
	load, err := s.StartLoad("turning", "/", 2)
	if err != nil {
		t.Fatal(err)
	}
	here := fromHere(t, s, "redis-turning", before)
	// The service may forget the old password as soon as the old processes are gone: this
	// keeps one until the command has ended.
	client, err := s.Client(false)
	if err != nil {
		t.Fatal(err)
	}
	client.Timeout = 0
	stream, err := client.Get(s.URL("turning", "/stream?n=1000&ms=100"))
	if err != nil {
		t.Fatal(err)
	}
	logins, failed := whileLoggingIn(t, here, func() { admin(t, s, "addons:rotate redis-turning") })
	stream.Body.Close()
	report := load.Stop()
	if failed != nil || logins == 0 {
		t.Errorf("after %d logins: %v", logins, failed)
	}
	if report.Failed > 0 || report.Total == 0 {
		t.Errorf("%d of %d requests failed: %v", report.Failed, report.Total, report.Failures)
	}
	after := appConfig(t, s, "turning")["REDISCLOUD_URL"]
	if before == after {
		t.Fatal("REDISCLOUD_URL is as it was")
	}
	if err := login(t.Context(), fromHere(t, s, "redis-turning", after)); err != nil {
		t.Error(err)
	}
	eventually(t, func() string {
		if login(t.Context(), here) == nil {
			return "the old password still logs in"
		}
		return ""
	})
	// The new one outlives a restart.
	admin(t, s, "addons:restart redis-turning")
	if err := login(t.Context(), fromHere(t, s, "redis-turning", after)); err != nil {
		t.Error(err)
	}
	admin(t, s, "addons:destroy redis-turning --confirm redis-turning")
}

// whileLoggingIn logs in again and again until f returns.
func whileLoggingIn(t *testing.T, target string, f func()) (logins int, failed error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var client sync.WaitGroup
	client.Go(func() {
		for ctx.Err() == nil && failed == nil {
			if failed = login(t.Context(), target); failed == nil {
				logins++
			}
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	f()
	cancel()
	client.Wait()
	return logins, failed
}

func login(ctx context.Context, target string) error {
	options, err := redis.ParseURL(target)
	if err != nil {
		return err
	}
	options.MaxRetries = -1
	client := redis.NewClient(options)
	defer client.Close()
	return client.Ping(ctx).Err()
}
