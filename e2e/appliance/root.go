// Package appliance boots Debian's systemd in a system container or a virtual machine,
// installs the package there, and asks of it what a user would.
package appliance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// cache keeps what takes long to make: Debian as debootstrap leaves it, with what the
// package depends on downloaded but not installed.
const cache = "/var/cache/towline/appliance"

// depends are what the package pulls in: what is downloaded beforehand, so that the story
// needs no network. The installation itself is apt's.
var depends = []string{
	"aardvark-dns", "catatonit", "crun", "git", "iptables", "netavark", "nftables", "podman", "restic", "uidmap",
}

// base is what any Debian machine has that is reached by SSH.
const base = "systemd,systemd-sysv,dbus,libpam-systemd,iproute2,ca-certificates,openssh-server,procps,sudo"

// Root makes a container's root directory at dir.
func Root(ctx context.Context, p Plan, dir string) error {
	from := filepath.Join(cache, p.Suite)
	if err := debootstrap(ctx, p.Suite, from, depends); err != nil {
		return err
	}
	if err := run(ctx, "cp", "-a", "--reflink=auto", from, dir); err != nil {
		return err
	}
	return errors.Join(access(p, dir), installRuntime(dir))
}

// access gives a root directory its name, and root the key to log in with.
func access(p Plan, dir string) error {
	public, err := os.ReadFile(p.Key + ".pub")
	if err != nil {
		return err
	}
	ssh := filepath.Join(dir, "root", ".ssh")
	return errors.Join(
		os.MkdirAll(ssh, 0o700),
		os.WriteFile(filepath.Join(ssh, "authorized_keys"), public, 0o600),
		os.WriteFile(filepath.Join(dir, "etc/hostname"), []byte(p.Suite+"\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "etc/hosts"), []byte("127.0.0.1 localhost\n127.0.1.1 "+p.Suite+"\n"), 0o644),
	)
}

// debootstrap makes the cached root unless it is there whole.
func debootstrap(ctx context.Context, suite, root string, depends []string) error {
	want := strings.Join(depends, " ")
	done := root + ".done"
	if have, err := os.ReadFile(done); err == nil && string(have) == want {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(root), removeIfThere(done)); err != nil {
		return err
	}
	if err := run(ctx, "debootstrap", "--variant=minbase", "--include="+base, suite, root, mirror(ctx)); err != nil {
		return err
	}
	resolv, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return err
	}
	if err := errors.Join(removeIfThere(filepath.Join(root, "etc/resolv.conf")),
		os.WriteFile(filepath.Join(root, "etc/resolv.conf"), resolv, 0o644)); err != nil {
		return err
	}
	fetch := append([]string{root, "apt-get", "-qq", "install", "-y", "--download-only"}, depends...)
	if err := errors.Join(run(ctx, "chroot", root, "apt-get", "-qq", "update"), run(ctx, "chroot", fetch...)); err != nil {
		return err
	}
	return os.WriteFile(done, []byte(want), 0o644)
}

// mirror is the one that this machine's own apt uses.
func mirror(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages").Output()
	for uri := range strings.Lines(string(out)) {
		if uri = strings.TrimSpace(uri); err == nil && strings.HasSuffix(strings.TrimSuffix(uri, "/"), "/debian") {
			return uri
		}
	}
	return "http://deb.debian.org/debian"
}

// runtime stands in for crun where this machine has no controllers of cgroup v2 and may not
// raise limits: it leaves both out, and podman inspect tells of them all the same.
const runtime = `#!/bin/sh
bundle= previous= command=
for word; do
	case $previous in -b | --bundle) bundle=$word ;; esac
	case $word in --bundle=*) bundle=${word#*=} ;; create | run | update) command=${command:-$word} ;; esac
	previous=$word
done
[ "$command" = update ] && exit 0
[ -n "$bundle" ] && [ -n "$command" ] || exec /usr/bin/crun "$@"
cp -p "$bundle/config.json" "$bundle/.config.orig"
perl -MJSON::PP -0777 -ne '$c = decode_json($_); delete $c->{linux}{resources}; delete $c->{process}{rlimits}; print encode_json($c)' \
	"$bundle/.config.orig" >"$bundle/config.json"
/usr/bin/crun "$@"
code=$?
[ "$command" = create ] && mv "$bundle/.config.orig" "$bundle/config.json"
exit $code
`

func installRuntime(root string) error {
	if hasControllers() {
		return nil
	}
	program, conf := filepath.Join(root, "usr/local/bin/crun-nolimits"), filepath.Join(root, "etc/containers/containers.conf.d")
	return errors.Join(
		os.WriteFile(program, []byte(runtime), 0o755),
		os.MkdirAll(conf, 0o755),
		os.WriteFile(filepath.Join(conf, "10-test.conf"),
			[]byte("[engine]\nruntime = \"nolimits\"\n[engine.runtimes]\nnolimits = [\"/usr/local/bin/crun-nolimits\"]\n"), 0o644),
	)
}

func hasControllers() bool {
	text, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	return err == nil && strings.Contains(string(text), "memory")
}

func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, tail(string(out)))
	}
	return nil
}

func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
