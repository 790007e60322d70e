package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"towline/e2e/stack"
)

// othersPermissions are what members have on the app crash.
var othersPermissions = map[string]string{"eve": "", "viewer": "view", "deployer": "deploy", "operator": "operate", "manager": "manage"}

const othersSecret = "only-for-vic-7f3a"

// others is a stack on which eve, and members with some rights, want what is not theirs.
type others struct {
	t      *testing.T
	s      *stack.Stack
	backup string
	inputs int
}

// TestOthersStayUntouched has members of every permission, and of none, try to read and to change
// what is not theirs: by command lines, archives, git trees, Dockerfiles, manifests, and from
// inside containers. Each is refused, no answer has the other's secret in it, and config, routes,
// releases, data, images, containers, files and members are what they were. In `make test` each
// line has some of the members, and a few of the builds and pushes stand for all.
func TestOthersStayUntouched(t *testing.T) {
	t.Parallel()
	o := newOthers(t)
	settled(t, o.s)
	before := fingerprint(t, o.s, o.backup)
	o.lines()
	o.archives()
	o.probes()
	o.builds()
	o.trees()
	settled(t, o.s)
	if after := fingerprint(t, o.s, o.backup); after != before {
		t.Errorf("the other's things were\n%s\nand are\n%s", before, after)
	}
	t.Logf("%d inputs", o.inputs)
	if o.inputs < 150 {
		t.Errorf("only %d inputs", o.inputs)
	}
}

func newOthers(t *testing.T) *others {
	s := ownStack(t, stack.Options{})
	o := &others{t: t, s: s}
	vic := newApp(t, s, "crash")
	vic.deploy(usual("one"))
	admin(t, s, "config:set -a crash HIDDEN="+othersSecret)
	admin(t, s, "domains:add www.vic.example -a crash")
	admin(t, s, "addons:create redis -a crash")
	withRedis(t, s, func(c *redis.Client) error { return c.Set(t.Context(), "kept", othersSecret, 0).Err() })
	admin(t, s, "backups:capture redis-crash")
	o.backup = decode[[]struct {
		ID string `json:"id"`
	}](t, s, "backups", "redis-crash")[0].ID
	for member, p := range othersPermissions {
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
	return o
}

// some leaves the rest to `make soak`.
func some[T any](list []T, n int) []T {
	if testing.Short() {
		return list[:min(n, len(list))]
	}
	return list
}

// refused counts an input and looks at what was said to it.
func (o *others) refused(what string, r stack.Result) {
	o.t.Helper()
	o.inputs++
	if r.Code == 0 {
		o.t.Errorf("%.200q is let through: %s", what, r)
	}
	if strings.Contains(r.Stdout+r.Stderr, othersSecret) {
		o.t.Errorf("%.200q tells the secret", what)
	}
}

// lines are typed by each member who may not, four at a time.
func (o *others) lines() {
	type input struct{ member, line string }
	var all []input
	members := []string{"eve", "viewer", "deployer", "operator", "manager"}
	for i, l := range othersLines {
		line := strings.ReplaceAll(l.line, "BACKUP", o.backup)
		for j, member := range members {
			p := othersPermissions[member]
			// Each permission includes view; eve's own app is hers alone.
			if p != "" && (l.may == "view" || l.may == p || strings.Contains(line, "-a eve") || strings.Contains(line, "redis-eve")) {
				continue
			}
			if testing.Short() && j > 0 && (i+j)%4 != 0 {
				continue
			}
			all = append(all, input{member, line})
		}
	}
	results := make([]stack.Result, len(all))
	g, ctx := errgroup.WithContext(o.t.Context())
	g.SetLimit(4)
	for i, in := range all {
		g.Go(func() error {
			results[i] = o.s.SSH(ctx, in.member, nil, in.line)
			return nil
		})
	}
	_ = g.Wait()
	for i, in := range all {
		o.refused(in.member+": "+in.line, results[i])
	}
}

// archives are sent to eve's own app: hostile ones, and sources that say what may not be.
func (o *others) archives() {
	for name, archive := range evilArchives(o.t) {
		o.refused("archive: "+name, o.s.SSH(o.t.Context(), "eve", bytes.NewReader(archive), "deploy:archive -a eve"))
	}
	for _, files := range othersManifests {
		all := usual("evil")
		for name, text := range files {
			all[name] = text
		}
		o.refused(fmt.Sprintf("manifest: %.100q", files), o.s.SSH(o.t.Context(), "eve", bytes.NewReader(tarOf(o.t, all)), "deploy:archive -a eve"))
	}
}

// place is the address of an app's web process, and that of its network's gateway.
func (o *others) place(app string) (address, gateway string) {
	o.t.Helper()
	out, err := stack.Podman("ps", "--filter", "label=towline="+o.s.Name, "--filter", "label=towline.app="+app, "--filter", "label=towline.process=web", "--format", "{{.Names}}")
	if err != nil || len(strings.Fields(out)) != 1 {
		o.t.Fatal(out, err)
	}
	out, err = stack.Podman("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}} {{end}}", strings.TrimSpace(out))
	if err != nil || len(strings.Fields(out)) != 2 {
		o.t.Fatal(out, err)
	}
	return strings.Fields(out)[0], strings.Fields(out)[1]
}

// probes are tried in a build and in a one-off of eve's.
func (o *others) probes() {
	t := o.t
	redisAt, err := o.s.Address("redis-crash")
	if err != nil {
		t.Fatal(err)
	}
	web, gateway := o.place("crash")
	replace := strings.NewReplacer("WEB", web, "GATEWAY", gateway, "REDIS", redisAt, "STATE", filepath.Join(o.s.Dir, "state"))
	check := func(where string, r stack.Result, probes int, says string) {
		t.Helper()
		o.inputs += probes
		said := r.Stdout + r.Stderr
		if r.Code != 0 || !strings.Contains(said, says) || strings.Contains(said, "REACHED") || strings.Contains(said, othersSecret) {
			t.Errorf("%s: %s", where, r)
		}
	}
	eve := newCheckout(t, o.s, "eve", "eve")
	files := usual("eve")
	files["probe.sh"] = probeScript(othersProbes.anywhere, replace)
	files["Dockerfile"] += "USER root\nCOPY probe.sh /probe.sh\nRUN sh /probe.sh\n"
	eve.commit(files)
	check("a build", eve.push(), len(othersProbes.anywhere), "tried all")
	settled(t, o.s)
	own, _ := o.place("eve")
	all := slices.Concat(othersProbes.anywhere, othersProbes.running)
	script := strings.ReplaceAll(probeControl, "OWN", own) + probeScript(all, replace)
	check("a one-off", o.s.SSH(t.Context(), "eve", strings.NewReader(script), "run -a eve sh"), len(all), "reached what it may\ntried all")
}

// builds are pushes to eve's own app that reach for the images and the stores of the host.
func (o *others) builds() {
	tag := decode[[]release](o.t, o.s, "releases", "-a", "crash")[0].Image
	id, err := stack.Podman("image", "inspect", "--format", "{{.Id}}", tag)
	if err != nil {
		o.t.Fatal(err)
	}
	id = strings.TrimSpace(id)
	_, version, _ := strings.Cut(tag[strings.LastIndex(tag, "/"):], ":")
	replace := strings.NewReplacer("NAME", o.s.Name, "TAG", version, "IMAGE", id, "SHORT", id[:12])
	for _, file := range some(othersBuilds, 4) {
		file = replace.Replace(file)
		source := map[string]string{"Dockerfile": file + "\nCMD cat /app/VERSION\n", "Procfile": "web: cat VERSION\n"}
		o.refused(file, o.s.SSH(o.t.Context(), "eve", bytes.NewReader(tarOf(o.t, source)), "deploy:archive -a eve"))
	}
}

// trees are pushed to eve's own app, and one that is good to the other's.
func (o *others) trees() {
	eve := newCheckout(o.t, o.s, "eve", "eve")
	g := &rawGit{o.t, eve.dir}
	for _, tree := range some(evilTrees, 4) {
		commit := g.git("", "commit-tree", "-m", tree.name, tree.make(g))
		o.refused("tree: "+tree.name, eve.push("+"+commit+":refs/heads/main"))
	}
	for _, member := range some([]string{"viewer", "eve", "operator", "manager"}, 2) {
		theirs := newCheckout(o.t, o.s, "crash", member)
		theirs.commit(usual("theirs"))
		o.refused("a push by "+member, theirs.push())
	}
}

// fingerprint is of all that is the app crash's: what is recorded, served and stored.
func fingerprint(t *testing.T, s *stack.Stack, backup string) string {
	t.Helper()
	var lines []string
	note := func(name, text string) {
		lines = append(lines, fmt.Sprintf("%s %x", name, sha256.Sum256([]byte(text))))
	}
	for _, words := range [][]string{
		{"apps:info", "-a", "crash"}, {"config", "-a", "crash"}, {"releases", "-a", "crash"}, {"domains", "-a", "crash"}, {"access", "-a", "crash"}, {"ps:scale", "-a", "crash"},
		{"config:export", "-a", "crash"}, {"router", "-a", "crash"}, {"addons", "-a", "crash"}, {"backups", "redis-crash"}, {"members"}, {"keys", "admin"}, {"backups:schedules"}, {"plugins"},
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
	for _, place := range []string{"state/git/crash.git", "state/backups/" + backup, "state/ssh/authorized_keys", "proxy/routes/crash.json", "towline.toml"} {
		note(place, hashOf(t, filepath.Join(s.Dir, place)))
	}
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

// hashOf is of the names, modes and contents of all files from path on.
func hashOf(t *testing.T, path string) string {
	t.Helper()
	sum := sha256.New()
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%s %s %d\n", name, info.Mode(), info.Size())
		if !info.Mode().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(name)
		sum.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}
