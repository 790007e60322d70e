package command

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"towline/daemon"
	"towline/daemon/git"
	"towline/daemon/machine"
	"towline/daemon/store"
	"towline/plugins"
)

// rights is every command, as it is typed, with the least that a member needs for it:
// none, a permission on the app shop, admin, or self: to be the member view, who is named.
// The permissions do not include each other, but each includes view.
var rights = []struct{ line, least string }{
	{"help", "none"},
	{"commands", "none"},
	{"complete x", "none"},
	{"version", "none"},
	{"apps", "none"},
	{"apps:create fresh", "none"},
	{"apps:info -a shop", "view"},
	{"apps:open -a shop", "view"},
	{"apps:destroy -a shop --confirm shop", "manage"},
	{"apps:deploy-branch -a shop trunk", "manage"},
	{"apps:rename -a shop store", "manage"},
	{"builder -a shop", "view"},
	{"builder:set auto -a shop", "operate"},
	{"maintenance:on -a shop", "operate"},
	{"maintenance:off -a shop", "operate"},
	{"config -a shop", "operate"},
	{"config:get -a shop KEY", "operate"},
	{"config:set -a shop KEY=1", "operate"},
	{"config:unset -a shop KEY", "operate"},
	{"config:export -a shop", "operate"},
	{"config:import -a shop", "operate"},
	{"ps -a shop", "view"},
	{"ps:scale -a shop web=2", "operate"},
	{"ps:restart -a shop", "operate"},
	{"ps:capabilities -a shop", "view"},
	{"ps:capabilities:set CHOWN -a shop", "admin"},
	{"run -a shop env", "operate"},
	{"logs -a shop", "view"},
	{"builds -a shop", "view"},
	{"builds:output 1 -a shop", "view"},
	{"builds:cancel 1 -a shop", "deploy"},
	{"ci -a shop", "view"},
	{"ci:run -a shop", "deploy"},
	{"ci:info 1 -a shop", "view"},
	{"ci:output 1 -a shop", "view"},
	{"ci:cancel 1 -a shop", "deploy"},
	{"ci:rerun 1 -a shop", "deploy"},
	{"ci:debug 1 -a shop", "operate"},
	{"ci:on -a shop", "manage"},
	{"ci:off -a shop", "manage"},
	{"ci:config -a shop", "operate"},
	{"ci:config:get -a shop KEY", "operate"},
	{"ci:config:set -a shop KEY=1", "operate"},
	{"ci:config:unset -a shop KEY", "operate"},
	{"git:push -a shop --ref refs/ci/topic", "deploy"},
	{"builds:purge -a shop", "deploy"},
	{"releases -a shop", "view"},
	{"releases:info -a shop", "view"},
	{"releases:output -a shop", "view"},
	{"releases:rollback -a shop", "deploy"},
	{"releases:retry -a shop", "deploy"},
	{"domains -a shop", "view"},
	{"domains:add -a shop www.example.com", "operate"},
	{"domains:remove -a shop www.example.com", "operate"},
	{"domains:redirect -a shop www.example.com shop.example.com", "operate"},
	{"certs -a shop", "view"},
	{"certs:add -a shop www.example.com", "operate"},
	{"certs:remove -a shop www.example.com", "operate"},
	{"router -a shop", "view"},
	{"router:set -a shop body=1M", "operate"},
	{"router:unset -a shop body", "operate"},
	{"maintenance:page -a shop --default", "operate"},
	{"git:receive shop", "deploy"},
	{"git:upload shop", "view"},
	{"git:push -a shop", "deploy"},
	{"git:served -a shop", "deploy"},
	{"deploy:archive -a shop", "deploy"},
	{"addons", "none"},
	{"addons -a shop", "view"},
	{"addons:services", "none"},
	{"addons:plans redis", "none"},
	{"addons:create redis -a shop", "operate"},
	{"addons:info redis-shop", "view"},
	{"addons:destroy redis-shop --confirm redis-shop", "manage"},
	{"addons:attach redis-shop -a shop", "operate"},
	{"addons:detach redis-shop -a shop", "operate"},
	{"addons:transfer redis-shop -a shop", "manage"},
	{"addons:restart redis-shop", "operate"},
	{"addons:logs redis-shop", "view"},
	{"addons:console redis-shop", "manage"},
	{"addons:rotate redis-shop", "manage"},
	{"addons:upgrade redis-shop", "manage"},
	{"addons:open redis-shop", "operate"},
	{"addons:forward redis-shop", "operate"},
	{"backups", "none"},
	{"backups -a shop", "view"},
	{"backups redis-shop", "view"},
	{"backups:capture redis-shop", "operate"},
	{"backups:restore redis-shop.1 --confirm redis-shop", "manage"},
	{"backups:restore --dump --to redis-shop --confirm redis-shop", "manage"},
	{"backups:download redis-shop.1", "manage"},
	{"backups:verify redis-shop.1", "operate"},
	{"backups:info redis-shop.1", "view"},
	{"backups:delete redis-shop.1 --confirm redis-shop.1", "manage"},
	{"backups:schedule redis-shop 0 3 * * *", "operate"},
	{"backups:schedules", "none"},
	{"backups:schedules -a shop", "view"},
	{"backups:unschedule redis-shop", "operate"},
	{"backups:on-release on -a shop", "operate"},
	{"backups:check", "none"},
	{"backups:check redis-shop", "view"},
	{"pipelines", "none"},
	{"pipelines:create fresh", "none"},
	{"pipelines:create fresh -a shop --stage staging", "manage"},
	{"pipelines:add safetow -a shop --stage staging", "manage"},
	{"pipelines:update -a shop --stage staging", "manage"},
	{"pipelines:remove -a shop", "manage"},
	{"pipelines:info safetow", "view"},
	{"pipelines:rename safetow tow", "manage"},
	{"pipelines:destroy safetow --confirm safetow", "manage"},
	{"pipelines:promote -a shop", "deploy"},
	{"pipelines:promote -a shop --to live --dry-run", "deploy"},
	{"pipelines:diff -a shop", "operate"},
	{"members", "none"},
	{"activity", "none"},
	{"activity -a shop", "view"},
	{"metrics -a shop", "view"},
	{"members:add new", "admin"},
	{"host", "admin"},
	{"host:info", "admin"},
	{"host:doctor", "admin"},
	{"host:disk", "admin"},
	{"host:backup", "admin"},
	{"host:backup:info", "admin"},
	{"members:remove view --confirm view", "admin"},
	{"whoami", "none"},
	{"keys", "none"},
	{"keys view", "self"},
	{"keys:add", "none"},
	{"keys:add view", "self"},
	{"keys:remove SHA256:x", "none"},
	{"keys:remove SHA256:x view", "self"},
	{"access -a shop", "view"},
	{"access:add none -a shop", "manage"},
	{"access:update view -a shop -p view", "manage"},
	{"access:remove view -a shop", "manage"},
	{"access --pipeline safetow", "view"},
	{"access:add none --pipeline safetow", "manage"},
	{"access:add none --pipeline safetow --stage staging", "manage"},
	{"access:update view --pipeline safetow -p view", "manage"},
	{"access:remove view --pipeline safetow --stage staging", "manage"},
	{"plugins", "admin"},
	{"plugins:list", "admin"},
	{"plugins:install /x", "admin"},
	{"plugins:remove x", "admin"},
	{"plugins:check /x", "admin"},
}

var memberKinds = []string{"none", "view", "deploy", "operate", "manage", "admin"}

// newTable returns the table over a real store, with an app, its add-on and a backup, and
// a member of each kind. What a command would do is replaced: it tells that it was reached.
func newTable(t *testing.T) (table *Table, reached *string) { return newTableBy(t, forEachApp) }

// Ways in which the members of newTableBy have come by their permissions on both of its apps.
const (
	forEachApp  = "for each app"
	byAPipeline = "by the pipeline"
	byItsStages = "by its stages"
)

func newTableBy(t *testing.T, way string) (table *Table, reached *string) {
	t.Helper()
	dir := t.TempDir()
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), filepath.Join(dir, "towline.db"), key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	d := machine.New(machine.Options{Name: "test", Dir: dir, Domain: "example.net", Store: db, Engine: stillEngine{}, Catalog: &plugins.Catalog{},
		Keys: git.NewKeys(filepath.Join(dir, "authorized_keys"), "towline-shell"), Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(d.Close)
	all := []daemon.Permission{daemon.View, daemon.Deploy, daemon.Operate, daemon.Manage}
	err = db.Update(t.Context(), func(tx daemon.Tx) (err error) {
		now := time.Now().UTC()
		err = errors.Join(err, tx.InsertApp(daemon.App{Name: "shop", Created: now, Owner: "owner", Config: map[string]string{"KEY": "x"}, TestConfig: map[string]string{"KEY": "x"}}),
			tx.InsertAddon(daemon.Addon{Name: "redis-shop", App: "shop", Service: "redis", Status: daemon.AddonReady, Created: now}),
			tx.InsertAttachment(daemon.AddonAttachment{Addon: "redis-shop", App: "shop", Vars: []string{"REDISCLOUD_URL"}}),
			tx.InsertBackup(daemon.Backup{ID: "redis-shop.1", Addon: "redis-shop", App: "shop", Service: "redis", Status: daemon.BackupGood, Created: now}),
			tx.InsertMember(daemon.Member{Name: "owner", Created: now}),
			tx.PutAccess(daemon.Access{App: "shop", Member: "owner", Permissions: all}),
			tx.InsertApp(daemon.App{Name: "live", Created: now}),
			tx.InsertPipeline(daemon.Pipeline{Name: "safetow", Created: now, Owner: "owner"}),
			tx.PutCoupling(daemon.Coupling{App: "shop", Pipeline: "safetow", Stage: daemon.StageStaging}),
			tx.PutCoupling(daemon.Coupling{App: "live", Pipeline: "safetow", Stage: daemon.StageProduction}))
		for _, kind := range memberKinds {
			err = errors.Join(err, tx.InsertMember(daemon.Member{Name: kind, Admin: kind == "admin", Created: now}),
				tx.InsertKey(daemon.MemberKey{Member: kind, Key: newKey(t), Fingerprint: "SHA256:" + kind, Created: now}))
			if kind == "none" || kind == "admin" {
				continue
			}
			ps := []daemon.Permission{daemon.View, daemon.Permission(kind)}
			switch way {
			case forEachApp:
				err = errors.Join(err, tx.PutAccess(daemon.Access{App: "shop", Member: kind, Permissions: ps}), tx.PutAccess(daemon.Access{App: "live", Member: kind, Permissions: ps}))
			case byAPipeline:
				err = errors.Join(err, tx.PutPipelineAccess(daemon.PipelineAccess{Pipeline: "safetow", Member: kind, Permissions: ps}))
			case byItsStages:
				err = errors.Join(err, tx.PutPipelineAccess(daemon.PipelineAccess{Pipeline: "safetow", Stage: daemon.StageStaging, Member: kind, Permissions: ps}),
					tx.PutPipelineAccess(daemon.PipelineAccess{Pipeline: "safetow", Stage: daemon.StageProduction, Member: kind, Permissions: ps}))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	table, reached = New(Rooms{AppRoom: d.AppRoom, AddonRoom: d.AddonRoom, BackupRoom: d.BackupRoom, People: d.People, Activity: d.Activity, Suite: d.Suite, Pipelines: d.Pipelines, Tests: d.Tests, Metrics: d.Metrics}, HostParts{}), new(string)
	for name, c := range table.commands {
		c.Run = func(context.Context, *Call) (Result, error) { *reached = name; return Result{}, nil }
	}
	return table, reached
}

// request is what arrives from a member who has connected by their first key. Both outputs
// go to out.
func request(member string, words []string, out io.Writer) Request {
	r := Request{Member: member, Internal: true, Args: words, Stdin: strings.NewReader(""), Stdout: out, Stderr: out}
	if member != "" {
		r.Key = "SHA256:" + member
	}
	return r
}

// newKey is the line of a public key that nobody has.
func newKey(t testing.TB) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func TestEveryCommandDeclaresItsSubjects(t *testing.T) {
	table, _ := newTable(t)
	tried := map[string]bool{}
	for _, r := range rights {
		c, _, err := table.find(strings.Fields(r.line))
		if err != nil {
			t.Fatal(err)
		}
		tried[c.Name] = true
	}
	for name, c := range table.commands {
		if len(c.On) == 0 {
			t.Errorf("%s declares no subject", name)
		}
		for _, s := range c.On {
			if (s.Needs == "") != (s.Of == Nothing || s.Of == Member) {
				t.Errorf("%s needs the permission %q on %s", name, s.Needs, s.Of)
			}
		}
		if !tried[name] {
			t.Errorf("who may give %s? Add it to rights", name)
		}
	}
}

// TestRights: it is the same whether a permission was given for each app or by their pipeline.
func TestRights(t *testing.T) {
	for _, way := range []string{forEachApp, byAPipeline, byItsStages} {
		t.Run(way, func(t *testing.T) { t.Parallel(); testRights(t, way) })
	}
}

func testRights(t *testing.T, way string) {
	table, reached := newTableBy(t, way)
	for _, r := range rights {
		words := strings.Fields(r.line)
		c, _, err := table.find(words)
		if err != nil {
			t.Fatal(err)
		}
		for _, member := range append([]string{""}, memberKinds...) {
			if way != forEachApp && (member == "" || member == "none" || member == "admin" || r.least == "none" || r.least == "admin") {
				continue // it does not make a difference to them
			}
			var out bytes.Buffer
			*reached = ""
			code := table.Run(t.Context(), request(member, words, &out))
			may := member == "" || member == "admin" || r.least == "none" || r.least == member || r.least == "view" && member != "none" ||
				r.least == "self" && member == "view"
			switch {
			case may && (code != 0 || *reached != c.Name):
				t.Errorf("%q is refused to %q: %d %s", r.line, member, code, &out)
			case !may && *reached != "":
				t.Errorf("%q is let through for %q", r.line, member)
			case !may && member == "none" && r.least != "admin" && r.least != "self" && code != exitCodes[daemon.NotFound]:
				t.Errorf("%q tells %q that something is there: %d %s", r.line, member, code, &out)
			}
		}
	}
}

// TestRightsAreAskedForInOnePlace: a command that asks for itself could forget it.
func TestRightsAreAskedForInOnePlace(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte(".Allowed")); n > 0 && file != "subject.go" && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%s asks for rights %d times: declare the command's subjects instead", file, n)
		}
	}
}
