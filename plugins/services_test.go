package plugins_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"

	"towline/plugins"
)

// TestRedis logs in as clients of today and as older ones do.
func TestRedis(t *testing.T) {
	t.Parallel()
	s := newService(t, "redis", "7", nil)
	s.start()
	cli := func(password string, args ...string) string {
		return s.run(plugins.Action{Command: append([]string{"redis-cli", "--no-auth-warning"}, args...), Env: map[string]string{"REDISCLI_AUTH": password}})
	}
	logsIn := func(password string) bool {
		named := strings.Contains(cli(password, "--user", "rediscloud", "ping"), "PONG")
		if alone := strings.Contains(cli(password, "ping"), "PONG"); alone != named {
			t.Errorf("with the user name: %v, with the password alone: %v", named, alone)
		}
		return named
	}
	admin := func(args ...string) string {
		return cli(s.i.Secrets["admin"], append([]string{"--user", "towline"}, args...)...)
	}
	password := s.i.Secrets["password"]
	if !logsIn(password) || logsIn("wrong") {
		t.Error("the password does not log in, or a wrong one does")
	}
	if got, want := s.vars(s.i)["REDISCLOUD_URL"], "redis://rediscloud:"+password+"@"+s.address()+":6379"; got != want {
		t.Errorf("REDISCLOUD_URL is %s, want %s", got, want)
	}
	for name, want := range map[string]string{"maxmemory": "167772160", "maxmemory-policy": "noeviction", "appendonly": "yes"} {
		if got := admin("config", "get", name); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %s", name, got, want)
		}
	}
	s.run(s.spec.Sample)
	cli(password, "set", "film", "Metropolis")
	roundTrip(t, s, "keys 2", func(s *service) string {
		return s.run(plugins.Action{Command: []string{"redis-cli", "get", "film"}, Env: map[string]string{"REDISCLI_AUTH": s.i.Secrets["password"]}})
	})
	checkRedisRights(t, s)
	// Under an earlier version whoever had the password could make users of their own.
	for _, user := range []string{"mallory", "--user", "$(id)", `a"b\'`, "defaul", "default2"} {
		if out := admin("acl", "setuser", user, "on", ">theirs", "~*", "+@all"); !strings.Contains(out, "OK") {
			t.Fatalf("user %s: %s", user, out)
		}
	}
	s.rotate(func(old, now plugins.Instance) {
		if !logsIn(old.Secrets["password"]) || !logsIn(now.Secrets["password"]) {
			t.Error("the old and the new password do not both log in")
		}
	})
	if users := strings.Fields(admin("acl", "users")); !slices.Equal(users, []string{"default", "rediscloud", "towline"}) {
		t.Errorf("after the rotation there are the users %q", users)
	}
	for _, when := range []string{"after the rotation", "after a restart"} {
		if logsIn(password) || !logsIn(s.i.Secrets["password"]) {
			t.Errorf("%s: the old password logs in, or the new one does not", when)
		}
		s.stop()
		s.start()
	}
	if got := cli(s.i.Secrets["password"], "get", "film"); strings.TrimSpace(got) != "Metropolis" {
		t.Errorf("after a restart the key is %q", got)
	}
}

// checkRedisRights: who has the URL may do to the data what they like, and what clients and
// job queues do as they connect and look around; nothing to the server.
func checkRedisRights(t *testing.T, s *service) {
	t.Helper()
	refused := []string{
		"shutdown nosave", "slaveof 127.0.0.1 1", "replicaof 127.0.0.1 1", "replicaof no one", "failover", "debug sleep 0", "debug jmap",
		"config get requirepass", "config set dir /tmp", "config set maxmemory 1", "config rewrite", "config resetstat",
		"module list", "module load /tmp/x.so", "acl list", "acl setuser eve on", "acl getuser default", "acl deluser default", "acl save",
		"cluster meet 127.0.0.1 1", "cluster reset", "monitor", "save", "bgsave", "bgrewriteaof", "psync ? -1", "sync", "replconf listening-port 1",
		"migrate 127.0.0.1 1 k 0 1", "restore-asking k 0 x", "client pause 1", "client no-evict on", "script debug sync", "slowlog reset", "latency reset", "pfdebug decode k",
	}
	allowed := []string{
		"info", "info server", "client setname x", "client getname", "client list", "client id", "client info", "client kill id 999999", "command count", "hello 3",
		"eval return(1) 0", "evalsha x 0", "script load return(1)", "script flush", "function list", "fcall x 0", "scan 0", "keys nothing*", "dbsize", "set k 1 ex 60", "get k",
		"lpush l a", "brpoplpush l m 1", "blmove m l LEFT RIGHT 1", "zadd z 1 a", "bzpopmin z 1", "xadd x * f v", "xreadgroup GROUP g c STREAMS s >",
		"publish c x", "subscribe c", "sort l", "object encoding k", "memory usage k", "type k", "rename k kk", "dump kk", "restore k 0 x", "multi", "exec", "watch k",
		"slowlog get", "latency latest", "lastsave", "role", "wait 0 1", "select 1", "swapdb 0 1", "time", "echo x", "acl whoami", "flushdb", "flushall", "unlink k",
	}
	var in strings.Builder
	for _, user := range []string{"default", "rediscloud"} {
		for _, command := range append(slices.Clone(refused), allowed...) {
			in.WriteString("ACL DRYRUN " + user + " " + command + "\n")
		}
	}
	ask := plugins.Action{Command: []string{"redis-cli", "--no-auth-warning", "--user", "towline"}, Env: map[string]string{"REDISCLI_AUTH": s.i.Secrets["admin"]}}
	out, err := s.try(t.Context(), ask, strings.NewReader(in.String()))
	var answers []string
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" {
			answers = append(answers, line)
		}
	}
	if want := 2 * (len(refused) + len(allowed)); err != nil || len(answers) != want {
		t.Fatalf("%d answers to %d questions: %v: %s", len(answers), want, err, out)
	}
	for i, answer := range answers {
		i %= len(refused) + len(allowed)
		if i < len(refused) && !strings.Contains(answer, "has no permissions to run") {
			t.Errorf("the app may %s: %q", refused[i], answer)
		}
		if i >= len(refused) && answer != "OK" {
			t.Errorf("the app may not %s: %q", allowed[i-len(refused)], answer)
		}
	}
	app := plugins.Action{Command: []string{"redis-cli", "--no-auth-warning", "config", "get", "dir"}, Env: map[string]string{"REDISCLI_AUTH": s.i.Secrets["password"]}}
	if got := s.run(app); !strings.Contains(got, "NOPERM") {
		t.Errorf("config get dir: %s", got)
	}
}

// TestRedisOfEarlierVersion: what an earlier version started is backed up and rotated as it
// runs; from its next start on the apps' user is bounded.
func TestRedisOfEarlierVersion(t *testing.T) {
	t.Parallel()
	s := newService(t, "redis", "7", nil)
	password := s.i.Secrets["password"]
	files := slices.Clone(s.spec.Files)
	s.spec.Files[0].Content = "dir /data\nappendonly yes\nappendfsync everysec\nrequirepass " + password + "\nuser rediscloud on >" + password + " ~* &* +@all\n"
	s.start()
	cli := func(password string, args ...string) string {
		return s.run(plugins.Action{Command: append([]string{"redis-cli", "--no-auth-warning"}, args...), Env: map[string]string{"REDISCLI_AUTH": password}})
	}
	cli(password, "set", "film", "Metropolis")
	for _, a := range []plugins.Action{s.spec.Snapshot, s.spec.Thawed, s.spec.Export.Action} {
		s.run(a)
	}
	if got := cli(password, "config", "get", "appendfsync"); !strings.Contains(got, "everysec") {
		t.Errorf("appendfsync is %q", got)
	}
	cli(password, "acl", "setuser", "mallory", "on", ">theirs", "~*", "+@all")
	s.spec.Files = files
	s.rotate(func(_, now plugins.Instance) {
		if !strings.Contains(cli(now.Secrets["password"], "ping"), "PONG") {
			t.Error("the new password does not log in")
		}
	})
	if got := cli(password, "ping"); strings.Contains(got, "PONG") {
		t.Error("the old password logs in")
	}
	if got := cli(s.i.Secrets["admin"], "--user", "towline", "acl", "users"); strings.Contains(got, "mallory") {
		t.Errorf("users are %q", got)
	}
	s.stop()
	s.start()
	if got := cli(s.i.Secrets["password"], "get", "film"); strings.TrimSpace(got) != "Metropolis" {
		t.Errorf("after a restart the key is %q", got)
	}
	checkRedisRights(t, s)
}

// TestPostgres is the proof that a service is one manifest.
func TestPostgres(t *testing.T) {
	t.Parallel()
	s := newService(t, "postgres", "15", nil)
	s.start()
	query := func(s *service, i plugins.Instance, sql string) (string, error) {
		u, err := url.Parse(s.vars(i)["DATABASE_URL"])
		if err != nil {
			t.Fatal(err)
		}
		password, _ := u.User.Password()
		return s.try(t.Context(), plugins.Action{
			Command: []string{"psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", sql},
			Env: map[string]string{"PGHOST": u.Hostname(), "PGPORT": u.Port(), "PGUSER": u.User.Username(),
				"PGDATABASE": strings.TrimPrefix(u.Path, "/"), "PGPASSWORD": password},
		}, nil)
	}
	if out, err := query(s, s.i, "CREATE TABLE films AS SELECT 'Metropolis' AS title"); err != nil {
		t.Fatal(out, err)
	}
	wrong := s.i
	wrong.Secrets = map[string]string{"password": "wrong"}
	if _, err := query(s, wrong, "SELECT 1"); err == nil {
		t.Error("a wrong password logs in")
	}
	// A superuser's SQL starts programs in the container, which is in the networks of all apps
	// that the add-on is attached to.
	for _, sql := range []string{
		"COPY films TO PROGRAM 'cat'", "COPY films FROM PROGRAM 'echo x'", "COPY films FROM '/etc/passwd'", "SELECT pg_read_file('/etc/passwd')",
		"ALTER ROLE towline SUPERUSER", "CREATE ROLE eve SUPERUSER LOGIN", "SET ROLE postgres", "GRANT pg_execute_server_program TO towline",
		"CREATE FUNCTION f() RETURNS int AS '/lib/x86_64-linux-gnu/libc.so.6', 'system' LANGUAGE C", "ALTER SYSTEM SET archive_command = 'x'",
		"SELECT lo_import('/etc/passwd')", "CREATE EXTENSION plpython3u",
	} {
		if out, err := query(s, s.i, sql); err == nil {
			t.Errorf("%s: %s", sql, out)
		}
	}
	if out, err := query(s, s.i, "SELECT count(*) FROM pg_roles WHERE rolsuper AND rolname <> 'postgres'"); err != nil || strings.TrimSpace(out) != "0" {
		t.Errorf("superusers beside postgres: %s, %v", out, err)
	}
	as := plugins.Action{
		Command: []string{"psql", "--no-psqlrc", "--dbname", "towline", "--command", "SELECT 1"},
		Env:     map[string]string{"PGHOST": s.address(), "PGUSER": "postgres", "PGPASSWORD": s.i.Secrets["password"]},
	}
	if out, err := s.try(t.Context(), as, nil); err == nil {
		t.Errorf("the superuser logs in from a network: %s", out)
	}
	s.run(s.spec.Sample)
	roundTrip(t, s, "tables 2", func(s *service) string {
		out, err := query(s, s.i, "SELECT title FROM films")
		if err != nil {
			t.Fatal(err)
		}
		return out
	})
	s.rotate(func(old, now plugins.Instance) {
		if _, err := query(s, old, "SELECT 1"); err == nil {
			t.Error("the old password logs in")
		}
		if _, err := query(s, now, "SELECT 1"); err != nil {
			t.Error(err)
		}
	})
}

// TestNeo4j logs in over HTTP, and over Bolt with TLS and without.
func TestNeo4j(t *testing.T) {
	t.Parallel()
	s := newService(t, "neo4j", "5", nil)
	s.start()
	if missing := s.logsIn(s.i); missing != "" {
		t.Error(missing)
	}
	wrong := s.i
	wrong.Secrets = map[string]string{"user": "neo4j", "password": "wrong", "bolt_cert": "", "bolt_key": ""}
	if s.logsIn(wrong) == "" {
		t.Error("a wrong password logs in")
	}
	s.run(s.spec.Sample)
	roundTrip(t, s, "nodes 2\nrelationships 1", func(s *service) string {
		return s.run(plugins.Action{Command: []string{"cypher-shell", "--format", "plain", "MATCH (n) RETURN labels(n)"}, Env: s.spec.Verify.Env})
	})
	s.rotate(func(old, now plugins.Instance) {
		for name, i := range map[string]plugins.Instance{"old": old, "new": now} {
			if missing := s.logsIn(i); missing != "" {
				t.Errorf("the %s credentials: %s", name, missing)
			}
		}
		wrong = old
	})
	if s.logsIn(wrong) == "" {
		t.Error("the old credentials still log in")
	}
	if missing := s.logsIn(s.i); missing != "" {
		t.Error(missing)
	}
}

// logsIn is empty, or tells in which way the config vars of an instance don't log in.
func (s *service) logsIn(i plugins.Instance) (missing string) {
	s.t.Helper()
	vars := s.vars(i)
	u, err := url.Parse(vars["GRAPHENEDB_URL"])
	if err != nil || u.Path != "" || strings.HasSuffix(vars["GRAPHENEDB_URL"], "/") {
		return "GRAPHENEDB_URL has a path"
	}
	u.Path = "/db/neo4j/tx/commit"
	resp, err := http.Post(u.String(), "application/json", strings.NewReader(`{"statements":[{"statement":"RETURN 41 + 1"}]}`))
	if err != nil {
		return err.Error()
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "42") {
		return "http: " + resp.Status + " " + string(body)
	}
	for _, scheme := range []string{"bolt", "bolt+ssc"} {
		if err := bolt(s.t.Context(), strings.Replace(vars["GRAPHENEDB_BOLT_URL"], "bolt", scheme, 1), vars); err != nil {
			return scheme + ": " + err.Error()
		}
	}
	return ""
}

func bolt(ctx context.Context, target string, vars map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	driver, err := neo4j.NewDriverWithContext(target, neo4j.BasicAuth(vars["GRAPHENEDB_BOLT_USER"], vars["GRAPHENEDB_BOLT_PASSWORD"], ""))
	if err != nil {
		return err
	}
	defer driver.Close(ctx)
	_, err = neo4j.ExecuteQuery(ctx, driver, "RETURN 1", nil, neo4j.EagerResultTransformer)
	return err
}

// roundTrip takes a service's data to another of its kind by the portable file. Facts
// and content must be the same there, and in the first one still.
func roundTrip(t *testing.T, s *service, facts string, content func(*service) string) {
	t.Helper()
	if got := strings.TrimSpace(s.run(s.spec.Verify)); got != facts {
		t.Fatalf("facts are %q, want %q", got, facts)
	}
	want := content(s)
	dump := s.transfer(s.spec.Export, "")
	if s.spec.Export.File == "" || len(dump) == 0 {
		t.Fatalf("%d bytes of %q", len(dump), s.spec.Export.File)
	}
	other := newService(t, s.i.Name, s.i.Version, s.watch)
	other.start()
	if got := strings.TrimSpace(other.run(other.spec.Verify)); got == facts {
		t.Fatalf("an empty service has the facts %q", got)
	}
	other.transfer(other.spec.Import, dump)
	for _, x := range []*service{s, other} {
		if got := strings.TrimSpace(x.run(x.spec.Verify)); got != facts {
			t.Errorf("after the transfer facts are %q, want %q", got, facts)
		}
		if got := content(x); got != want {
			t.Errorf("after the transfer the content is %q, want %q", got, want)
		}
	}
}
