package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"towline/e2e/stack"
)

// badLine is a command line that must be refused.
type badLine struct {
	line  string // as ssh sends it
	stdin string
	code  int
	says  string // part of what is printed
}

// The exit codes that scripts rely on.
const (
	failed    = 1
	invalid   = 2
	notFound  = 3
	forbidden = 4
	exists    = 5
	conflict  = 6
)

var long = strings.Repeat("x", 300)

var badLines = []badLine{
	// app names
	{"apps:create ../x", "", invalid, `"../x" is not allowed`},
	{"apps:create Shop", "", invalid, `like "shop"`},
	{"apps:create " + long, "", invalid, "300 characters long"},
	{"apps:create ''", "", invalid, "needs a name"},
	{"apps:create", "", invalid, "needs NAME"},
	{"apps:create 1shop", "", invalid, "is not allowed"},
	{"apps:create -- -shop", "", invalid, "is not allowed"},
	{"apps:create shop-", "", invalid, "is not allowed"},
	{"apps:create my_shop", "", invalid, `like "my-shop"`},
	{"apps:create 'my shop'", "", invalid, "is not allowed"},
	{"apps:create shop.example.com", "", invalid, "is not allowed"},
	{"apps:create šhop", "", invalid, "is not allowed"},
	{"apps:create 'a\nb'", "", invalid, "is not allowed"},
	{"apps:create '$(id)'", "", invalid, "is not allowed"},
	{"apps:create towline", "", invalid, "reserved"},
	{"apps:create good", "", exists, "the name good is taken"},
	{"apps:create one two", "", invalid, "one argument too many"},
	{"apps:info -a nosuch", "", notFound, `no app "nosuch"`},
	{"apps:info", "", invalid, "no app was named"},
	{"apps:info -a " + long, "", notFound, "there is no app"},
	{"apps:info -a ../../etc", "", notFound, "there is no app"},
	{"apps:destroy -a good", "", invalid, "--confirm good"},
	{"apps:destroy -a good --confirm goood", "", invalid, "does not match good"},
	{"apps:destroy -a nosuch --confirm nosuch", "", notFound, "there is no app"},
	{"apps:destroy -a good --confirm good", "", conflict, "add-on redis-good"},
	// commands and flags
	{"nonsense", "", invalid, `no command "nonsense"`},
	{"app:create shop", "", invalid, "did you mean apps:create"},
	{"apps:create shop --colour red", "", invalid, "has no flag --colour"},
	{"ps -a", "", invalid, "needs a value"},
	{"help nonsense", "", invalid, "no command"},
	{"apps 'unclosed", "", invalid, "quote"},
	// config
	{"config:set -a good A", "", invalid, "has no ="},
	{"config:set -a good =1", "", invalid, "needs a name"},
	{"config:set -a good 'A B=1'", "", invalid, "is not allowed"},
	{"config:set -a good A-B=1", "", invalid, "is not allowed"},
	{"config:set -a good 1A=1", "", invalid, "is not allowed"},
	{"config:set -a good " + strings.Repeat("A", 129) + "=1", "", invalid, "129 characters"},
	{"config:set -a good PORT=1", "", conflict, "below 1024"},
	{"config:set -a good PORT=x", "", invalid, "PORT"},
	{"config:set -a good TOWLINE_APP=x", "", invalid, "set by Towline itself"},
	{"config:set -a good A=1 A=2", "", invalid, "given twice"},
	{"config:set -a good OK=1 bad-key=2", "", invalid, "is not allowed"},
	{"config:set -a good REDISCLOUD_URL=redis://elsewhere", "", conflict, "belongs to the add-on"},
	{"config:set -a good A=" + strings.Repeat("v", 64<<10+1), "", invalid, "bytes long"},
	{"config:set -a nosuch A=1", "", notFound, "there is no app"},
	{"config:set -a good", "", invalid, "needs KEY=value"},
	{"config:unset -a good NOSUCH", "", notFound, "no config var NOSUCH"},
	{"config:unset -a good 'KEEP=1'", "", invalid, "is not allowed"},
	{"config:unset -a good REDISCLOUD_URL", "", conflict, "belongs to the add-on"},
	{"config:get -a good NOSUCH", "", notFound, "no config var"},
	{"config:import -a good", "A=1\nnonsense\n", invalid, "line 2 has no ="},
	{"config:import -a good", "", invalid, "no KEY=value lines"},
	{"config:import -a good", "A=1\nB-C=2\n", invalid, "is not allowed"},
	// processes
	{"ps:scale -a good nosuch=1", "", invalid, "no process type"},
	{"ps:scale -a good web=-1", "", invalid, "is not a scale"},
	{"ps:scale -a good web=1.5", "", invalid, "is not a scale"},
	{"ps:scale -a good web=many", "", invalid, "is not a scale"},
	{"ps:scale -a good web", "", invalid, "is not a scale"},
	{"ps:scale -a good =1", "", invalid, "is not a scale"},
	{"ps:scale -a good web=1000000", "", invalid, "not possible"},
	{"ps:scale -a good worker-5", "", invalid, "not possible"},
	{"ps:scale -a good worker=1 nosuch=1", "", invalid, "no process type"},
	{"ps:restart -a good nosuch", "", invalid, "no process"},
	{"ps:restart -a good web.7", "", invalid, "web.7"},
	{"ps:scale -a empty web=1", "", conflict, "nothing deployed yet"},
	{"run -a empty true", "", conflict, "nothing deployed yet"},
	{"run -a good", "", invalid, "needs COMMAND"},
	{"run -a good -e NOEQUALS true", "", invalid, "has no ="},
	{"run -a good -e DYNO=x true", "", invalid, "set by Towline itself"},
	{"logs -a good -n -1", "", invalid, "not possible"},
	{"logs -a good -n many", "", invalid, "takes a number"},
	{"logs -a good --source moon", "", invalid, "no log source"},
	{"logs -a nosuch", "", notFound, "there is no app"},
	// releases
	{"releases:rollback -a good v99", "", notFound, "no release v99"},
	{"releases:rollback -a good latest", "", invalid, "is not a release"},
	{"releases:rollback -a good v0", "", invalid, "is not a release"},
	{"releases:rollback -a good v-1", "", invalid, "is not a release"},
	{"releases:rollback -a good v1", "", conflict, "no image"},
	{"releases:rollback -a empty", "", conflict, "no earlier release"},
	{"releases:info -a good v99", "", notFound, "v99"},
	// domains
	{"domains:add -a good https://www.example.com", "", invalid, "not a host name"},
	{"domains:add -a good www.example.com:443", "", invalid, "not a host name"},
	{"domains:add -a good www.example.com/path", "", invalid, "not a host name"},
	{"domains:add -a good 192.0.2.1", "", invalid, "not a host name"},
	{"domains:add -a good '*.*.example.com'", "", invalid, "not a host name"},
	{"domains:add -a good " + long + ".example.com", "", invalid, "not a host name"},
	{"domains:add -a good good.localhost", "", exists, "leads to good already"},
	{"domains:add -a good empty.localhost", "", conflict, "kept for the app"},
	{"domains:remove -a good nosuch.example.com", "", notFound, "no domain"},
	// add-ons and backups
	{"addons:create nosuch -a good", "", notFound, "no add-on service"},
	{"addons:create redis:huge -a good", "", invalid, "no plan"},
	{"addons:create redis --version 99 -a good", "", invalid, "no version"},
	{"addons:create redis --name ../x --as X -a good", "", invalid, "is not allowed"},
	{"addons:create redis --name redis-good --as X -a good", "", exists, "taken"},
	{"addons:create redis --as a-b -a good", "", invalid, "can't begin config vars"},
	{"addons:create redis -a good", "", conflict, "REDISCLOUD_URL"},
	{"addons:create redis --as X --alias KV_URL -a good", "", invalid, "is no alias"},
	{"addons:create redis --as X --alias 'A;B=X_URL' -a good", "", invalid, "is not allowed"},
	{"addons:create redis --as X --alias KV_URL=X_URI -a good", "", invalid, "no config var"},
	{"addons:attach redis-good --alias PORT=REDISCLOUD_URL -a good", "", invalid, "where to listen"},
	{"addons:create redis -a nosuch", "", notFound, "there is no app"},
	{"addons:destroy nosuch --confirm nosuch", "", notFound, "no add-on"},
	{"addons:destroy redis-good", "", invalid, "--confirm redis-good"},
	{"addons:info nosuch", "", notFound, "no add-on"},
	{"backups:capture nosuch", "", notFound, "no add-on"},
	{"backups:info nosuch", "", notFound, "no backup"},
	{"backups:restore redis-good.20260101T000000000Z --confirm redis-good", "", notFound, "no backup"},
	// members and access
	{"members:add Alice", "", invalid, "is not allowed"},
	{"members:add alice", "", invalid, "no key"},
	{"members:add alice", "hello\n", invalid, "not an SSH public key"},
	{"members:add alice", "-----BEGIN OPENSSH PRIVATE KEY-----\n", invalid, "private key"},
	{"members:add 'a\" command=\"x'", "", invalid, "is not allowed"},
	{"members:remove nosuch", "", notFound, "no member"},
	{"members:remove admin --confirm admin", "", conflict, "only administrator"},
	{"access:add nosuch -a good", "", notFound, "no member"},
	{"access:add admin -a good -p fly", "", invalid, "no permission"},
	{"access:add admin --pipeline nosuch", "", notFound, "no pipeline"},
	{"access:add admin -a good --pipeline nosuch", "", invalid, "not both"},
	{"access:add admin -a good --stage staging", "", invalid, "--stage is of a pipeline"},
	// source on standard input
	{"deploy:archive -a good", "", invalid, ""},
	{"deploy:archive -a good", "this is no tar", invalid, ""},
	{"deploy:archive -a nosuch", "", notFound, "there is no app"},
}

// TestBadInput: what is wrong is refused with a reason and an exit code, and changes
// nothing.
func TestBadInput(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{})
	good := newApp(t, s, "good")
	good.deploy(usual("one"))
	admin(t, s, "config:set -a good KEEP=1")
	admin(t, s, "addons:create redis -a good")
	admin(t, s, "apps:create empty")
	before := state(t, s)
	check := func(name string, r stack.Result, code int, says string) {
		t.Helper()
		if r.Code != code || !strings.Contains(r.Stdout+r.Stderr, says) {
			t.Errorf("%.100q: got %.600s; want exit code %d and %q", name, r, code, says)
		}
	}
	unchanged := func(by string) {
		t.Helper()
		if after := state(t, s); after != before {
			t.Fatalf("%s changed\n%s\nto\n%s", by, before, after)
		}
	}
	// The state is asked for after a few lines: it takes longer than they do.
	for few := range slices.Chunk(badLines, 12) {
		var names []string
		for _, b := range few {
			names = append(names, fmt.Sprintf("%.100q", b.line))
			r := s.SSH(t.Context(), stack.Admin, strings.NewReader(b.stdin), b.line)
			check(b.line, r, b.code, b.says)
			if b.code != 0 && !strings.Contains(r.Stderr, " !     ") {
				t.Errorf("%.100q: the error is not in Towline's voice: %s", b.line, r)
			}
		}
		unchanged("one of " + strings.Join(names, ", "))
	}
	badPushes(t, s, good, func(name string, r stack.Result, code int, says string) {
		t.Helper()
		check(name, r, code, says)
		unchanged(name)
	})
	if v, reason := version(t, s, "good"); v != "one" {
		t.Errorf("good serves %q: %s", v, reason)
	}
	t.Logf("%d inputs", len(badLines))
}

// badPushes are those that git carries. Its own exit code is all there is.
func badPushes(t *testing.T, s *stack.Stack, good *checkout, check func(name string, r stack.Result, code int, says string)) {
	for _, c := range []struct {
		name  string
		files map[string]string
		says  string
	}{
		{"no colon", map[string]string{"Procfile": "web testapp\n"}, "no colon"},
		{"empty Procfile", map[string]string{"Procfile": "# nothing\n"}, "no process"},
		{"no command", map[string]string{"Procfile": "web:\n"}, "has no command"},
		{"twice", map[string]string{"Procfile": "web: a\nweb: b\n"}, "there twice"},
		{"bad type", map[string]string{"Procfile": "we b: a\n"}, "is not a process type"},
		{"bad app.json", map[string]string{"app.json": "{"}, "app.json"},
		{"endless health check", map[string]string{"app.json": `{"healthchecks":{"web":[{"path":"/","attempts":9999}]}}`}, "attempts"},
		{"bad health check", map[string]string{"app.json": `{"healthchecks":{"web":[{"path":"up"}]}}`}, "slash"},
	} {
		good.commit(c.files)
		check(c.name, good.push(), failed, c.says)
		good.git("reset", "-q", "--hard", "HEAD~1")
	}
	good.git("commit", "-q", "--allow-empty", "-m", "more")
	check("other branch", good.push("HEAD:refs/heads/feature"), failed, "doesn't deploy")
	check("not a branch", good.push("HEAD:refs/notes/x"), failed, "neither a branch nor a tag")
	check("two branches", good.push("HEAD:refs/heads/main", "HEAD:refs/heads/master"), failed, "one branch at a time")
	check("deletion", good.push(":refs/heads/main"), failed, "")

	empty := newCheckout(t, s, "empty", stack.Admin)
	check("empty repository", empty.push("main"), failed, "does not match any")
	empty.git("commit", "-q", "--allow-empty", "-m", "no files")
	check("no files", empty.push("main"), failed, "holds no files")
	nowhere := newCheckout(t, s, "nosuch", stack.Admin)
	nowhere.commit(usual("one"))
	if r := nowhere.push(); r.Code == 0 || !strings.Contains(r.Stderr, `no app "nosuch"`) {
		t.Errorf("push to no app: %s", r)
	}
	for _, path := range []string{"../../etc", "good/../empty", "/etc/passwd", "'", "$(id)", "-x"} {
		r := s.SSH(t.Context(), stack.Admin, nil, fmt.Sprintf("git-receive-pack %q", path))
		check(path, r, r.Code, " !     ")
		if r.Code == 0 || r.Stdout != "" {
			t.Errorf("git-receive-pack %q: %s", path, r)
		}
	}
}

// state is all that a refused command could have changed, as the operator sees it.
func state(t *testing.T, s *stack.Stack) string {
	t.Helper()
	var all strings.Builder
	ask := func(args ...string) {
		r := s.Host(t.Context(), nil, append(args, "--json")...)
		if r.Code != 0 {
			t.Fatalf("%s: %s", strings.Join(args, " "), r)
		}
		all.WriteString(strings.Join(args, " ") + "\n" + r.Stdout)
	}
	for _, list := range []string{"apps", "addons", "backups", "members"} {
		ask(list)
	}
	for _, app := range []string{"good", "empty"} {
		for _, of := range []string{"apps:info", "config", "releases", "domains", "access", "ps:scale"} {
			ask(of, "-a", app)
		}
	}
	return all.String()
}
