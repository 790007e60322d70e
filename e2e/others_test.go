package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"towline/e2e/stack"
)

// What members type who want something of an app that is not theirs: with what permission on
// it the line would be let through; "" is never.
var othersLines = []struct{ line, may string }{
	{"apps:info -a crash", "view"}, {"apps:open -a crash", "view"}, {"ps -a crash", "view"}, {"logs -a crash", "view"}, {"releases -a crash", "view"},
	{"releases:info v2 -a crash", "view"}, {"releases:output v2 -a crash", "view"}, {"domains -a crash", "view"}, {"certs -a crash", "view"}, {"access -a crash", "view"},
	{"addons:info redis-crash", "view"}, {"addons -a crash", "view"}, {"config -a crash", "operate"}, {"config:get -a crash HIDDEN", "operate"},
	{"config:export -a crash", "operate"}, {"config:set -a crash HIDDEN=theirs", "operate"}, {"config:unset -a crash HIDDEN", "operate"},
	{"config:import -a crash", "operate"}, {"ps:scale -a crash web=0", "operate"}, {"ps:scale -a crash worker=5", "operate"}, {"ps:restart -a crash", "operate"},
	{"run -a crash env", "operate"}, {"run -a crash 'cat /proc/1/environ'", "operate"}, {"run env -a crash", "operate"}, {"maintenance:on -a crash", "operate"},
	{"domains:add www.theirs.example -a crash", "operate"}, {"domains:remove www.vic.example -a crash", "operate"},
	{"releases:rollback v2 -a crash", "deploy"}, {"releases:retry v2 -a crash", "deploy"}, {"releases:rollback --with-data v2 -a crash --confirm crash", "manage"},
	{"deploy:archive -a crash", "deploy"}, {"apps:destroy -a crash --confirm crash", "manage"}, {"apps:deploy-branch -a crash theirs", "manage"},
	{"access:add eve -a crash -p view,deploy,operate,manage", "manage"}, {"access:remove owner -a crash", "manage"},
	{"addons:create redis -a crash --name theirs --as THEIRS", "operate"}, {"addons:destroy redis-crash --confirm redis-crash", "manage"},
	{"addons:detach redis-crash -a crash", "operate"}, {"addons:attach redis-crash -a eve", ""}, {"addons:attach redis-crash -a eve --as STOLEN", ""},
	{"addons:transfer redis-crash -a eve", ""}, {"addons:rotate redis-crash", "manage"}, {"addons:restart redis-crash", "operate"},
	{"addons:upgrade redis-crash --plan large", "manage"}, {"addons:console redis-crash", "manage"}, {"addons:forward redis-crash", "operate"},
	{"addons:open redis-crash", "operate"}, {"addons:logs redis-crash", "view"}, {"backups redis-crash", "view"}, {"backups:capture redis-crash", "operate"},
	{"backups:schedule redis-crash '0 3 * * *'", "operate"}, {"backups:restore BACKUP --confirm redis-crash", "manage"}, {"backups:restore BACKUP --to redis-eve --confirm redis-eve", ""},
	{"backups:restore --dump --to redis-crash --confirm redis-crash", "manage"}, {"backups:download BACKUP", "manage"}, {"backups:info BACKUP", "view"},
	{"backups:delete BACKUP --confirm BACKUP", "manage"}, {"backups:on-release on -a crash", "operate"},
	{"domains:add www.vic.example -a eve", ""}, {"domains:add x.www.vic.example -a eve", ""}, {"domains:add '*.vic.example' -a eve", ""}, {"domains:add crash.localhost -a eve", ""},
	{"domains:add '*.localhost' -a eve", ""}, {"domains:add localhost -a eve", ""}, {"apps:create crash", ""},
	{"members:add eve2 --admin", ""}, {"members:remove admin --confirm admin", ""}, {"keys admin", ""}, {"keys:add admin", ""}, {"plugins:install /etc", ""}, {"plugins", ""},
	{"git-upload-pack 'crash'", "view"}, {"git-receive-pack 'crash'", "deploy"}, {"git-upload-pack '../crash'", ""}, {"git-upload-pack '/../git/crash.git'", ""},
	{"git-upload-archive 'crash'", ""}, {"git:push --app crash --ref refs/heads/main --new x", ""}, {"git:receive crash", ""}, {"git:upload crash", ""},
	{"apps:info -a 'crash '", ""}, {"apps:info -a CRASH", ""}, {"apps:info -a ../crash", ""}, {"config -a eve -a crash", ""}, {"run -a eve -- sh -c 'cat /../crash'", ""},
}

// The source of builds that want something of another app: the images and the stores of the host.
var othersBuilds = []string{
	"FROM localhost/NAME/crash:TAG", "FROM localhost/NAME/crash", "FROM IMAGE", "FROM SHORT", "FROM scratch\nCOPY --from=localhost/NAME/crash:TAG / /", "FROM scratch\nCOPY --from=IMAGE / /",
	"FROM scratch\nRUN --mount=type=bind,from=localhost/NAME/crash:TAG,target=/m true", "ARG A=localhost/NAME/crash:TAG\nFROM $A", "FROM containers-storage:localhost/NAME/crash:TAG",
	"FROM containers-storage:[overlay@/var/lib/containers/storage]localhost/NAME/crash:TAG", "FROM scratch\nCOPY --from=dir:/bases / /", "FROM oci-archive:/bases/0", "FROM docker-daemon:crash:1",
	"FROM docker-archive:/ctx/x.tar", "FROM /var/lib/containers", "FROM scratch\nADD --from=localhost/NAME/crash:TAG / /", "# syntax=localhost/NAME/crash:TAG\nFROM localhost/NAME/crash:TAG",
}

// TestOthersStayUntouched has members of every permission, and of none, try to read and to change
// what is not theirs, by command lines and by builds. Each is refused, no answer has the other's
// secret in it, and config, routes, data, images and containers of the other are what they were.
func TestOthersStayUntouched(t *testing.T) {
	s := ownStack(t, stack.Options{})
	vic := newApp(t, s, "crash")
	vic.deploy(usual("one"))
	const secret = "only-for-vic-7f3a"
	admin(t, s, "config:set -a crash HIDDEN="+secret)
	admin(t, s, "domains:add www.vic.example -a crash")
	admin(t, s, "addons:create redis -a crash")
	withRedis(t, s, func(c *redis.Client) error { return c.Set(t.Context(), "kept", secret, 0).Err() })
	admin(t, s, "backups:capture redis-crash")
	backup := decode[[]struct {
		ID string `json:"id"`
	}](t, s, "backups", "redis-crash")[0].ID
	permissions := map[string]string{"eve": "", "viewer": "view", "deployer": "deploy", "operator": "operate", "manager": "manage"}
	for member, p := range permissions {
		if err := s.AddMember(t.Context(), member); err != nil {
			t.Fatal(err)
		}
		if p != "" {
			admin(t, s, "access:add "+member+" -a crash -p "+p)
		}
	}
	if r := s.SSH(t.Context(), "eve", nil, "apps:create eve"); r.Code != 0 {
		t.Fatal(r)
	}
	settled(t, s)
	before := fingerprint(t, s)

	inputs := 0
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(4)
	try := func(member, line string) {
		inputs++
		g.Go(func() error {
			r := s.SSH(ctx, member, nil, line)
			if r.Code == 0 && !strings.HasPrefix(line, "config -a eve") {
				t.Errorf("%s: %q is let through: %s", member, line, r)
			}
			if strings.Contains(r.Stdout+r.Stderr, secret) {
				t.Errorf("%s: %q tells the secret", member, line)
			}
			return nil
		})
	}
	for _, o := range othersLines {
		line := strings.ReplaceAll(o.line, "BACKUP", backup)
		for member, p := range permissions {
			// Each permission includes view; eve's own app is hers alone.
			if p != "" && (o.may == "view" || o.may == p || strings.Contains(line, "-a eve") || strings.Contains(line, "redis-eve")) {
				continue
			}
			try(member, line)
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	tag := decode[[]release](t, s, "releases", "-a", "crash")[0].Image
	id, err := stack.Podman("image", "inspect", "--format", "{{.Id}}", tag)
	if err != nil {
		t.Fatal(err)
	}
	id = strings.TrimSpace(id)
	_, version, _ := strings.Cut(tag[strings.LastIndex(tag, "/"):], ":")
	eve := newCheckout(t, s, "eve", "eve")
	for _, file := range othersBuilds {
		inputs++
		file = strings.NewReplacer("NAME", s.Name, "TAG", version, "IMAGE", id, "SHORT", id[:12]).Replace(file)
		eve.commit(map[string]string{"Dockerfile": file + "\nCMD cat /app/VERSION\n", "Procfile": "web: cat VERSION\n"})
		if r := eve.push(); r.Code == 0 {
			t.Errorf("built: %q: %s", file, r)
		}
	}
	settled(t, s)
	if after := fingerprint(t, s); after != before {
		t.Errorf("the other's things were\n%s\nand are\n%s", before, after)
	}
	t.Logf("%d inputs", inputs)
	if inputs < 150 {
		t.Errorf("only %d inputs", inputs)
	}
}

// fingerprint is of all that is the app crash's: what is recorded, served and stored.
func fingerprint(t *testing.T, s *stack.Stack) string {
	t.Helper()
	var lines []string
	note := func(name, text string) {
		lines = append(lines, fmt.Sprintf("%s %x", name, sha256.Sum256([]byte(text))))
	}
	for _, words := range [][]string{
		{"apps:info", "-a", "crash"}, {"config", "-a", "crash"}, {"releases", "-a", "crash"}, {"domains", "-a", "crash"}, {"access", "-a", "crash"}, {"ps:scale", "-a", "crash"},
		{"addons", "-a", "crash"}, {"backups", "redis-crash"}, {"members"}, {"backups:schedules"},
	} {
		r := s.Host(t.Context(), nil, append(words, "--json")...)
		if r.Code != 0 {
			t.Fatalf("%v: %s", words, r)
		}
		note(strings.Join(words, " "), r.Stdout)
	}
	for _, page := range []string{"/", "/env/HIDDEN", "/env/REDISCLOUD_URL"} {
		status, body, err := s.Get(t.Context(), "crash", page)
		if err != nil {
			t.Fatal(err)
		}
		note(page, fmt.Sprint(status, body))
	}
	withRedis(t, s, func(c *redis.Client) error {
		dump, err := c.Dump(context.Background(), "kept").Result()
		n, nerr := c.DBSize(context.Background()).Result()
		note("data", fmt.Sprint(dump, n, nerr))
		return err
	})
	o, err := s.Objects()
	if err != nil {
		t.Fatal(err)
	}
	for kind, names := range map[string][]string{"images": o.Images, "containers": o.Containers, "volumes": o.Volumes, "networks": o.Networks} {
		theirs := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !strings.Contains(n, "crash") })
		note(kind, strings.Join(theirs, " "))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
