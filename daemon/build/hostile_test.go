package build_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secretFile is a file of the host that no build may read.
func secretFile(t *testing.T) (path, secret string) {
	t.Helper()
	secret = "secret" + rand.Text()
	path = filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret), 0o644); err != nil {
		t.Fatal(err)
	}
	return path, secret
}

// TestMountThroughLink is the way by which a Dockerfile reaches the host's root
// from Podman 4.3's own build: a stage whose directory is a link to /, mounted by
// a later step.
func TestMountThroughLink(t *testing.T) {
	f := newFixture(t, buildahImage, runImage)
	path, secret := secretFile(t)
	_, said, err := f.build("hostile", f.source(map[string]string{"Dockerfile": "FROM " + runImage + " AS trap\n" +
		"USER root\nRUN ln -s / /exit\n" +
		"FROM " + runImage + "\nUSER root\n" +
		"RUN --mount=type=bind,from=trap,source=/exit,target=/mnt,rw " +
		"ls -la /mnt; cat /mnt" + path + "; cat /mnt/etc/shadow; echo owned > /mnt" + path + "; ls /mnt/run/podman /mnt/var/lib; " +
		"echo the end\n"}), nil)
	if strings.Contains(said, secret) {
		t.Error("the build read a file of the host")
	}
	if text, rerr := os.ReadFile(path); rerr != nil || string(text) != secret {
		t.Errorf("the build changed a file of the host: %q, %v", text, rerr)
	}
	if strings.Contains(said, "podman.sock") {
		t.Error("the build sees Podman's socket")
	}
	t.Logf("the build ended with %v", err)
}

// TestOtherAppsImage has a Dockerfile name another app's image, which holds that
// app's source.
func TestOtherAppsImage(t *testing.T) {
	f := newFixture(t, buildahImage, appImage)
	secret := "secret" + rand.Text()
	victim := f.mustBuild("victim", f.source(map[string]string{"Dockerfile": "FROM " + appImage + "\nCOPY source /source\n", "source": secret}), nil)
	id := strings.TrimPrefix(victim.Image.ID, "sha256:")
	for _, name := range []string{victim.Image.Refs[0], id[:12]} { // TestAllowedBases has the other ways
		dockerfile := "FROM " + appImage + "\nCOPY --from=" + name + " /source /stolen\n"
		if _, said, err := f.build("eve", f.source(map[string]string{"Dockerfile": dockerfile}), nil); err == nil {
			t.Errorf("%q was built: %s", dockerfile, said)
		}
	}
	if bases, err := filepath.Glob(filepath.Join(f.options.Dir, "bases", id+"*")); err != nil || len(bases) > 0 {
		t.Errorf("the image was unpacked for builds: %v, %v", bases, err)
	}
}

// TestPoisonedBase has a Dockerfile take over buildah itself, and then try to change
// the base image that other apps' builds use.
func TestPoisonedBase(t *testing.T) {
	f := newFixture(t, buildahImage, runImage)
	evil := "#!/bin/sh\nexec >&2\necho taken over; grep CapEff /proc/self/status\n" +
		"mount -o remount,bind,rw /bases/0 && echo it is writable\n" +
		"touch /bases/0/evil && echo it was changed\n" +
		"unshare -U -m -r sh -c 'mount -o remount,bind,rw /bases/0; umount -l /bases/0; touch /bases/0/evil && echo it was changed'\n" +
		"touch /etc/towline-build/evil && echo it was changed\nexit 1\n"
	_, said, err := f.build("hostile", f.source(map[string]string{"evil": evil, "Dockerfile": "FROM " + runImage + " AS trap\n" +
		"USER root\nRUN ln -s / /way && touch /" + rand.Text() + "\n" +
		"FROM " + runImage + "\nUSER root\nCOPY evil /evil\n" +
		"RUN --mount=type=bind,from=trap,source=/way,target=/mnt,rw cp /evil /mnt/usr/bin/x && mv /mnt/usr/bin/x /mnt/usr/bin/buildah\n"}), nil)
	if err == nil || !strings.Contains(said, "taken over") {
		t.Fatalf("the attack did not get as far as it should: %v", err)
	}
	if strings.Contains(said, "it is writable") || strings.Contains(said, "it was changed") {
		t.Error("the build changed a base image")
	}
	if found, _ := filepath.Glob(filepath.Join(f.options.Dir, "*", "*", "evil")); len(found) > 0 {
		t.Errorf("the build left %v", found)
	}
	// In the app's own cache it may do as it likes, and is the only one harmed.
	f.mustBuild("other", f.source(map[string]string{"Dockerfile": "FROM " + runImage + "\nRUN true\n"}), nil)
}

// TestDockerfileEscapes tries other ways out.
func TestDockerfileEscapes(t *testing.T) {
	f := newFixture(t, buildahImage, runImage)
	path, secret := secretFile(t)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	source := map[string]string{
		"link": "-> " + path,
		"etc":  "-> /etc",
		"up":   "-> ../../../../../../../../" + path,
		"Dockerfile": "FROM " + runImage + "\nUSER root\n" +
			"COPY . /src\n" +
			"RUN cat /src/link /src/up /src/etc/shadow /proc/1/root" + path + " /proc/1/environ; " +
			"mkdir /d && mount -t proc proc /d && ls /d; mknod /disk b 254 0 && head -c 10 /disk; " +
			"cat /proc/self/uid_map; hostname; chroot /proc/1/root cat " + path + "; true\n",
	}
	_, said, err := f.build("hostile", f.source(source), nil)
	if err != nil {
		t.Error(err)
	}
	if strings.Contains(said, secret) {
		t.Error("the build read a file of the host")
	}
	if strings.Contains(said, "\n       "+host+"\n") {
		t.Error("the build has the host's name")
	}
	// The map is told as seen from the namespace around; the host's own has 4294967295.
	if !strings.Contains(said, " 65536\n") || strings.Contains(said, "4294967295") {
		t.Error("the build does not run in a user namespace of its own")
	}
	for name, text := range map[string]string{
		"copy of a link":        "COPY link /x\nRUN cat /x\n",
		"copy of a path upward": "COPY ../../../.." + path + " /x\nRUN cat /x\n",
		"add":                   "ADD " + path + " /x\nRUN cat /x\n",
		"bind mount":            "RUN --mount=type=bind,source=../../.." + path + ",target=/x cat /x\n",
		"bind through a link":   "RUN --mount=type=bind,source=link,target=/x cat /x\n",
		"cache mount":           "RUN --mount=type=cache,id=../../../../..,target=/x,sharing=shared ls -R /x | head -50; cat /x" + path + "\n",
		"secret":                "RUN --mount=type=secret,id=x,target=/x cat /x\n",
	} {
		t.Run(name, func(t *testing.T) {
			source["Dockerfile"] = "FROM " + runImage + "\nUSER root\n" + text
			_, said, _ := f.build("hostile", f.source(source), nil)
			if strings.Contains(said, secret) || strings.Contains(said, "root:*:") && strings.Contains(said, "sshd") {
				t.Error("the build read a file of the host")
			}
		})
	}
}

// TestBuildpackReach has a build look for what it must not reach: Podman's socket,
// the registry, the host's files, and the credentials of the other phases.
func TestBuildpackReach(t *testing.T) {
	f := newFixture(t, builderImage, lifecycleImage, runImage)
	f.trustMachine()
	path, secret := secretFile(t)
	probe := `const fs = require("fs"), net = require("net"), cp = require("child_process");
for (const p of [` + "`" + path + "`" + `, "/etc/shadow", "/run/podman/podman.sock", "/var/run/docker.sock", "/proc/1/root` + path + `"]) {
  try { console.log("READ", p, fs.readFileSync(p, "utf8").slice(0, 100)); } catch (e) { console.log("refused", p, e.code); }
}
console.log("SOCKETS", fs.readFileSync("/proc/net/unix", "utf8").split("\n").length, fs.readFileSync("/proc/net/tcp", "utf8"));
console.log("STATUS", fs.readFileSync("/proc/self/status", "utf8").match(/(CapEff|CapBnd|NoNewPrivs|Seccomp):.*/g).join(" "), fs.readFileSync("/proc/self/uid_map", "utf8"));
console.log("AUTH", JSON.stringify(process.env).includes("CNB_REGISTRY_AUTH"), fs.readdirSync("/safe"), fs.readFileSync("/safe/analyzed.toml", "utf8"));
const m = fs.readFileSync("/safe/analyzed.toml", "utf8").match(/127\.0\.0\.1:(\d+)/);
const gateway = cp.execSync("cat /proc/net/route").toString().split("\n").map(l => l.split("\t")).filter(c => c[1] === "00000000").map(c => c[2].match(/../g).reverse().map(h => parseInt(h, 16)).join("."))[0];
let left = 2;
for (const host of ["127.0.0.1", gateway]) {
  const c = net.connect({host, port: Number(m[1]), timeout: 20000});
  const end = what => { console.log(what, host, m[1]); c.destroy(); if (--left === 0) process.exit(0); };
  c.on("connect", () => end("CONNECTED")); c.on("error", e => end("no connection " + e.code)); c.on("timeout", () => end("no connection"));
}
`
	_, said, err := f.build("reach", f.source(map[string]string{
		"package.json": `{"name": "x", "version": "1.0.0", "scripts": {"build": "node probe.js", "start": "node x"}}`,
		"probe.js":     probe,
	}), nil)
	if err != nil {
		t.Error(err)
	}
	for _, bad := range []string{secret, "READ", "CONNECTED", "AUTH true"} {
		if strings.Contains(said, bad) {
			t.Errorf("the build says %q", bad)
		}
	}
	for _, good := range []string{"refused /run/podman/podman.sock", "no connection ECONNREFUSED 127.0.0.1", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "AUTH false"} {
		if !strings.Contains(said, good) {
			t.Errorf("the build does not say %q", good)
		}
	}
}

// TestHostileExport has buildah's own store tampered with from inside the build's
// container: what it hands over is not trusted.
func TestHostileLayers(t *testing.T) {
	f := newFixture(t, builderImage, lifecycleImage, runImage)
	f.trustMachine()
	path, secret := secretFile(t)
	// A buildpack build that leaves links where the exporter and the daemon look.
	result, _, err := f.build("layers", f.source(map[string]string{
		"package.json": `{"name": "x", "version": "1.0.0", "scripts": {"build": "sh evil.sh", "start": "node x"}}`,
		"evil.sh": "ln -s " + path + " /layers/config/evil; ln -sf " + path + " /layers/report.toml; ln -s / /layers/towline_node/root; " +
			"ln -s " + path + " /app/stolen; ln -sfn / /cache/committed; true\n",
	}), nil)
	if err != nil {
		t.Logf("refused: %v", err)
		return
	}
	if got := f.output(result.Image.ID, result.Launcher, "cat stolen; true"); strings.Contains(got, secret) {
		t.Error("the image holds a file of the host")
	}
	if text, rerr := os.ReadFile(path); rerr != nil || string(text) != secret {
		t.Errorf("the build changed a file of the host: %q, %v", text, rerr)
	}
}
