package e2e

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// othersLines are what members type who want something of an app that is not theirs: with what
// permission on it the line would be let through; "" is never.
var othersLines = []struct{ line, may string }{
	{"apps:info -a crash", "view"}, {"apps:open -a crash", "view"}, {"ps -a crash", "view"}, {"logs -a crash", "view"}, {"releases -a crash", "view"},
	{"releases:info v2 -a crash", "view"}, {"releases:output v2 -a crash", "view"}, {"builds -a crash", "view"}, {"activity -a crash", "view"}, {"metrics -a crash", "view"}, {"metrics -a crash --csv", "view"}, {"builds:output -a crash", "view"}, {"builds:cancel -a crash", "deploy"}, {"ci -a crash", "view"}, {"ci:info -a crash", "view"}, {"ci:output -a crash", "view"}, {"ci:run -a crash", "deploy"}, {"ci:rerun -a crash", "deploy"}, {"ci:cancel -a crash", "deploy"}, {"ci:debug -a crash", "operate"}, {"ci:on -a crash", "manage"}, {"ci:config -a crash", "operate"}, {"ci:config:set -a crash A=1", "operate"}, {"git:push --app crash --ref refs/ci/x --new x", ""}, {"builds:purge -a crash", "deploy"}, {"domains -a crash", "view"}, {"certs -a crash", "view"}, {"access -a crash", "view"},
	{"router -a crash", "view"}, {"addons:info redis-crash", "view"}, {"addons -a crash", "view"}, {"config -a crash", "operate"}, {"config:get -a crash HIDDEN", "operate"},
	{"config:export -a crash", "operate"}, {"config:set -a crash HIDDEN=theirs", "operate"}, {"config:unset -a crash HIDDEN", "operate"},
	{"config:import -a crash", "operate"}, {"ps:scale -a crash web=0", "operate"}, {"ps:scale -a crash worker=5", "operate"}, {"ps:restart -a crash", "operate"},
	{"run -a crash env", "operate"}, {"run -a crash 'cat /proc/1/environ'", "operate"}, {"run env -a crash", "operate"}, {"maintenance:on -a crash", "operate"},
	{"maintenance:page -a crash --default", "operate"}, {"router:set -a crash body=1", "operate"}, {"router:unset -a crash login", "operate"},
	{"certs:add www.vic.example -a crash", "operate"}, {"certs:remove www.vic.example -a crash", "operate"}, {"domains:redirect www.vic.example crash.localhost -a crash", "operate"},
	{"domains:add www.theirs.example -a crash", "operate"}, {"domains:remove www.vic.example -a crash", "operate"},
	{"releases:rollback v2 -a crash", "deploy"}, {"releases:retry v2 -a crash", "deploy"}, {"releases:rollback --with-data v2 -a crash --confirm crash", "manage"},
	{"deploy:archive -a crash", "deploy"}, {"apps:destroy -a crash --confirm crash", "manage"}, {"apps:deploy-branch -a crash theirs", "manage"}, {"apps:rename -a crash theirs", "manage"},
	{"access:add eve -a crash -p view,deploy,operate,manage", "manage"}, {"access:remove owner -a crash", "manage"},
	{"addons:create redis -a crash --name theirs --as THEIRS", "operate"}, {"addons:destroy redis-crash --confirm redis-crash", "manage"},
	{"addons:detach redis-crash -a crash", "operate"}, {"addons:attach redis-crash -a eve", ""}, {"addons:attach redis-crash -a eve --as STOLEN", ""},
	{"addons:transfer redis-crash -a eve", ""}, {"addons:rotate redis-crash", "manage"}, {"addons:restart redis-crash", "operate"},
	{"addons:upgrade redis-crash --plan large", "manage"}, {"addons:console redis-crash", "manage"}, {"addons:forward redis-crash --stdio", "operate"},
	{"addons:open redis-crash", "operate"}, {"addons:logs redis-crash", "view"}, {"backups redis-crash", "view"}, {"backups:capture redis-crash", "operate"},
	{"backups:schedule redis-crash '0 3 * * *'", "operate"}, {"backups:unschedule redis-crash", "operate"},
	{"backups:restore BACKUP --confirm redis-crash", "manage"}, {"backups:restore BACKUP --to redis-eve --confirm redis-eve", ""},
	{"backups:restore --dump --to redis-crash --confirm redis-crash", "manage"}, {"backups:download BACKUP", "manage"}, {"backups:info BACKUP", "view"},
	{"backups:verify BACKUP", "operate"}, {"backups:delete BACKUP --confirm BACKUP", "manage"}, {"backups:on-release on -a crash", "operate"},
	{"domains:add www.vic.example -a eve", ""}, {"domains:add x.www.vic.example -a eve", ""}, {"domains:add '*.vic.example' -a eve", ""}, {"domains:add crash.localhost -a eve", ""},
	{"domains:add a.crash.localhost -a eve", ""}, {"domains:add '*.localhost' -a eve", ""}, {"domains:add localhost -a eve", ""}, {"domains:add WWW.VIC.example. -a eve", ""},
	{"apps:create crash", ""}, {"apps:create addon-redis-crash", ""}, {"apps:create towline", ""},
	{"members:add eve2 --admin", ""}, {"members:remove admin --confirm admin", ""}, {"keys admin", ""}, {"keys:add admin", ""}, {"keys:remove SHA256:x admin", ""},
	{"plugins:install /etc", ""}, {"plugins:check /etc", ""}, {"plugins:remove redis", ""}, {"plugins", ""}, {"host:disk", ""}, {"host:doctor", ""},
	{"git-upload-pack 'crash'", "view"}, {"git-receive-pack 'crash'", "deploy"}, {"git-upload-pack '../crash'", ""}, {"git-upload-pack '/../git/crash.git'", ""},
	{"git-upload-archive 'crash'", ""}, {"git:push --app crash --ref refs/heads/main --new x", ""}, {"git:receive crash", ""}, {"git:upload crash", ""}, {"git:served -a crash --new x", ""},
	{"apps:info -a 'crash '", ""}, {"apps:info -a CRASH", ""}, {"apps:info -a ../crash", ""}, {"config -a eve -a crash", "operate"}, {"TOWLINE_APP=crash config", "operate"},
	{"--member admin config -a crash", ""}, {"config -a crash --member admin", ""}, {"config:set -a crash '$(id)=1'", ""}, {"addons:logs ../redis-crash", ""},
}

// othersBuilds are Dockerfiles that want something of another app, or of the host.
var othersBuilds = []string{
	"FROM localhost/NAME/crash:TAG", "FROM scratch\nCOPY --from=IMAGE / /", "FROM containers-storage:localhost/NAME/crash:TAG", "FROM " + testImage + "\nCOPY ../../../../etc/shadow /x",
	"FROM localhost/NAME/crash", "FROM IMAGE", "FROM SHORT", "FROM scratch\nCOPY --from=localhost/NAME/crash:TAG / /",
	"FROM scratch\nRUN --mount=type=bind,from=localhost/NAME/crash:TAG,target=/m true", "ARG A=localhost/NAME/crash:TAG\nFROM $A",
	"FROM containers-storage:[overlay@/var/lib/containers/storage]localhost/NAME/crash:TAG", "FROM scratch\nCOPY --from=dir:/bases / /", "FROM oci-archive:/bases/0", "FROM docker-daemon:crash:1",
	"FROM docker-archive:/ctx/x.tar", "FROM /var/lib/containers", "FROM scratch\nADD --from=localhost/NAME/crash:TAG / /", "# syntax=localhost/NAME/crash:TAG\nFROM localhost/NAME/crash:TAG",
	"FROM " + testImage + "\nRUN --mount=type=bind,from=localhost/NAME/crash:TAG,target=/m cat /m/app/VERSION",
}

// othersManifests are what a source may say of itself: each is wrong in one of its files.
var othersManifests = []map[string]string{
	{"app.json": `{"formation": {"web": {"quantity": 1000000}}}`}, {"app.json": `{"formation": {"web": {"quantity": -1}}}`}, {"app.json": `{"env": {"PORT": "0"}}`},
	{"app.json": `{"env": {"TOWLINE_APP": "crash"}}`}, {"app.json": `{"env": {"A\nB": "x"}}`}, {"app.json": `{"healthchecks": {"web": [{"path": "/\r\nHost: crash.localhost"}]}}`},
	{"app.json": `{"healthchecks": {"web": [{"attempts": 1000000}]}}`}, {"app.json": `{"protocol": {"web": "gopher"}}`}, {"app.json": strings.Repeat("[", 100_000)},
	{"Procfile": "web: a\n../../crash: b\n"}, {"Procfile": "web: a\n" + strings.Repeat("w", 200) + ": b\n"}, {"Procfile": "web: \u00a0\n"},
	{"Procfile": "web: a\nweb: b\n"}, {"Procfile": strings.Repeat("#", 3<<20)}, {"Procfile": "web: a\x00b\n"},
}

// evilArchives are tars that no honest program writes, after a source that would be taken.
func evilArchives(t *testing.T) map[string][]byte {
	all := map[string][]byte{}
	for name, headers := range map[string][]tar.Header{
		"absolute path": {{Name: "/etc/cron.d/x"}}, "parent": {{Name: "../../git/crash.git/config"}}, "parent that stays in": {{Name: "a/../../x"}},
		"through a link":       {{Name: "d", Typeflag: tar.TypeSymlink, Linkname: "/"}, {Name: "d/etc/cron.d/x"}},
		"directory for a link": {{Name: "d", Typeflag: tar.TypeSymlink, Linkname: "/tmp"}, {Name: "d/", Typeflag: tar.TypeDir}},
		"hard link out":        {{Name: "h", Typeflag: tar.TypeLink, Linkname: "/etc/shadow"}},
		"hard link to a link":  {{Name: "s", Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"}, {Name: "h", Typeflag: tar.TypeLink, Linkname: "s"}},
		"disk":                 {{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8}}, "memory": {{Name: "mem", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 1}},
		"pipe": {{Name: "Procfile.d", Typeflag: tar.TypeFifo}}, "link for the Procfile": {{Name: "Procfile", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}},
		"link for app.json": {{Name: "app.json", Typeflag: tar.TypeSymlink, Linkname: "../../../towline.db"}}, "long path": {{Name: strings.Repeat("a/", 3000) + "x"}},
		"name with a zero": {{Name: "a\x00/../../x", Format: tar.FormatPAX}},
	} {
		source := tarOf(t, usual("evil"))
		b := bytes.NewBuffer(source[:len(source)-1024]) // without its end
		w := tar.NewWriter(b)
		for _, h := range headers {
			if h.Mode = 0o644; w.WriteHeader(&h) != nil {
				b.WriteString("not even a header")
			}
		}
		_ = w.Close()
		all[name] = b.Bytes()
	}
	return all
}

// evilTree is a commit of a tree as no honest git makes it.
type evilTree struct {
	name string
	make func(g *rawGit) string // its ID
}

var evilTrees = []evilTree{
	{"bomb", func(g *rawGit) string {
		object, kind, mode := g.blob("boom"), "blob", "100644"
		for range 10 {
			var tree strings.Builder
			for i := range 10 {
				fmt.Fprintf(&tree, "%s %s %s\t%d\n", mode, kind, object, i)
			}
			object, kind, mode = g.git(tree.String(), "mktree"), "tree", "040000"
		}
		return object
	}},
	{"link for the Procfile", func(g *rawGit) string { return g.with("120000 blob " + g.blob("/etc/passwd") + "\tProcfile") }},
	{"link for the Dockerfile", func(g *rawGit) string { return g.with("120000 blob " + g.blob("../../../towline.db") + "\tDockerfile") }},
	{"parent", func(g *rawGit) string { return g.raw("100644 ..", g.blob("x")) }},
	{"link for app.json", func(g *rawGit) string { return g.with("120000 blob " + g.blob("/etc/shadow") + "\tapp.json") }},
	{"submodule", func(g *rawGit) string { return g.with("160000 commit " + strings.Repeat("1", 40) + "\tlib") }},
	{"git's own folder", func(g *rawGit) string { return g.raw("40000 .git", g.git("", "mktree")) }},
	{"the same in capitals", func(g *rawGit) string { return g.raw("40000 .GIT", g.git("", "mktree")) }},
	{"path for a name", func(g *rawGit) string { return g.raw("100644 ../../x", g.blob("x")) }},
	{"dot", func(g *rawGit) string { return g.raw("40000 .", g.git("", "mktree")) }},
	{"the same name twice", func(g *rawGit) string { return g.raw("100644 a", g.blob("x"), "100644 a", g.blob("y")) }},
	{"option for an address", func(g *rawGit) string {
		return g.with("100644 blob " + g.blob("[submodule \"x\"]\n\tpath = x\n\turl = --upload-pack=touch\n") + "\t.gitmodules")
	}},
}

// rawGit makes objects in a repository.
type rawGit struct {
	t   *testing.T
	dir string
}

func (g *rawGit) git(stdin string, args ...string) string {
	g.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", g.dir, "-c", "user.name=eve", "-c", "user.email=eve@localhost"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		g.t.Fatalf("git %v: %v: %s", args, err, &errs)
	}
	return strings.TrimSpace(string(out))
}

func (g *rawGit) blob(text string) string { return g.git(text, "hash-object", "-w", "--stdin") }

// with is the tree of a source that would be taken, but for one entry.
func (g *rawGit) with(entry string) string {
	_, name, _ := strings.Cut(entry, "\t")
	tree := entry + "\n"
	for file, text := range usual("evil") {
		if file != name {
			tree += "100644 blob " + g.blob(text) + "\t" + file + "\n"
		}
	}
	return g.git(tree, "mktree", "--missing")
}

// raw is a tree of entries that git itself would not write: mode and name, then the object.
func (g *rawGit) raw(entries ...string) string {
	var tree bytes.Buffer
	for i := 0; i < len(entries); i += 2 {
		tree.WriteString(entries[i] + "\x00")
		for b := 0; b < 40; b += 2 {
			var n byte
			fmt.Sscanf(entries[i+1][b:b+2], "%02x", &n)
			tree.WriteByte(n)
		}
	}
	return g.git(tree.String(), "hash-object", "-w", "-t", "tree", "--stdin", "--literally")
}

// othersProbes are commands in a container of the member's own, each of which fails. WEB and
// REDIS are the addresses of the other's processes, GATEWAY that of their network, STATE the
// daemon's directory. The first part is tried in a build too, where root may do more.
var othersProbes = struct{ anywhere, running []string }{
	anywhere: []string{
		"echo GET /env/HIDDEN HTTP/1.0 | nc -w 2 WEB 5000 | grep .", "echo GET / HTTP/1.0 | nc -w 2 GATEWAY 5000 | grep .", "echo PING | nc -w 2 REDIS 6379 | grep .", "nc -w 2 WEB 5000 </dev/null",
		"nslookup redis-crash GATEWAY | grep -q REDIS", "nslookup redis-crash | grep -q REDIS", "nc -w 2 GATEWAY 22 </dev/null | grep SSH", "ping -c 1 -W 2 WEB",
		"nc -w 2 169.254.169.254 80 </dev/null", "nc -w 2 100.100.100.200 80 </dev/null", "ls STATE/towline.db", "ls STATE/git/crash.git", "ls /run/podman/podman.sock",
		"ls /var/lib/containers/storage", "grep -l only-for-vi[c] /proc/[0-9]*/environ", "echo h >/proc/sysrq-trigger",
		"echo 1 >/proc/sys/kernel/panic", "head -c 1 /dev/sda", "head -c 1 /dev/vda", "head -c 1 /dev/mem", "dmesg | grep .", "ls /sys/kernel/debug/tracing",
	},
	running: []string{
		"echo x >>/etc/hosts", "echo x >/etc/hostname", "echo x >/etc/resolv.conf", "grep . /proc/keys", "head -c 1 /proc/kcore | grep .", "mount -t proc proc /mnt", "mount -o remount,rw /sys", "mount -o bind / /mnt", "mknod /tmp/disk b 8 0", "unshare -r true", "unshare -m true",
		"chroot / true", "nsenter -t 1 -n true", "hostname evil", "ip link set lo down", "ip address add 10.255.255.1/32 dev lo", "nice -n -20 true", "swapoff -a", "chown 12345 /proc/1/mem",
		"dd if=/dev/zero of=/tmp/big bs=1M seek=20000 count=1", "echo 1 >/proc/1/oom_score_adj && echo -1000 >/proc/1/oom_score_adj", "echo max >/sys/fs/cgroup/pids.max",
	},
}

// probeControl reaches what a member may: OWN is the address of a process of their own. It tells
// that nc is none that always fails.
const probeControl = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 OWN 5000 | grep -q version= && echo reached what it may\n"

// probeScript tries commands, and says which of them did not fail.
func probeScript(probes []string, replace *strings.Replacer) string {
	var script strings.Builder
	for _, p := range probes {
		p = replace.Replace(p)
		fmt.Fprintf(&script, "if (%s) >/tmp/said 2>&1; then echo \"REACHED by %s: $(head -c 100 /tmp/said)\"; fi\n", p, strings.NewReplacer(`"`, "'", "$", "", "`", "").Replace(p))
	}
	return script.String() + "echo tried all\n"
}

// tarOf is an archive of files.
func tarOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))})
		if _, werr := io.WriteString(w, text); errors.Join(err, werr) != nil {
			t.Fatal(err, werr)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
