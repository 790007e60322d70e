package appliance

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// story is one machine's life.
type story struct {
	t    *testing.T
	m    Guest
	dir  string // of this machine: keys, the checkout, the guest's disk
	key  string
	host string // of the app

	plan   Plan
	addons []string // of shop: their kinds
	others int      // apps beside shop, each with one process
	serves string   // what shop's page says
}

// TestAppliance installs the package on Debian, and lives with it: see the names of the
// steps. TOWLINE_APPLIANCE names the releases, "bookworm trixie"; TOWLINE_APPLIANCE_GUEST says
// "vm" for a virtual machine in place of a container; TOWLINE_APPLIANCE_ADDONS names the
// kinds of add-ons; TOWLINE_DEBS is a folder with two versions of the package, old.deb and
// new.deb, and images.tar, and neo4j.tar if that is one of the kinds.
func TestAppliance(t *testing.T) {
	suites := strings.Fields(os.Getenv("TOWLINE_APPLIANCE"))
	if len(suites) == 0 {
		t.Skip("make test-appliance runs this")
	}
	kind := cmp.Or(os.Getenv("TOWLINE_APPLIANCE_GUEST"), "container")
	for i, suite := range suites {
		t.Run(suite, func(t *testing.T) {
			s := begin(t, Plan{Kind: kind, Suite: suite, Net: byte(100 + i), Share: os.Getenv("TOWLINE_DEBS")})
			start := time.Now()
			for _, step := range []struct {
				name string
				do   func()
			}{
				{"install", s.install},
				{"configure", s.configure},
				{"page", s.firstPage},
				{"add-ons", s.createAddons},
				{"closed", s.closed},
				{"hardened", s.hardened},
				{"firewall", s.firewall},
				{"upgrade under load", s.upgrade},
				{"Podman under load", s.podman},
				{"20 restarts", s.restarts},
				{"reboot", s.reboot},
				{"20 apps", s.twenty},
				{"limits", s.limits},
				{"power cut", s.powerCut},
				{"20 apps less", s.fewer},
				{"carried away", s.carriedAway},
				{"remove, reinstall", s.reinstall},
				{"a bad day", s.badDay},
				{"purge", s.purge},
			} {
				before := time.Now()
				if !t.Run(step.name, func(t *testing.T) { s.t = t; step.do() }) {
					s.t = t
					s.dump()
					t.FailNow()
				}
				t.Logf("%-22s %5.1f s", step.name, time.Since(before).Seconds())
			}
			t.Logf("%-22s %5.1f s", "all", time.Since(start).Seconds())
		})
	}
}

// begin boots a guest of the plan, in a directory of its own.
func begin(t *testing.T, p Plan) *story {
	dir, err := os.MkdirTemp("/var/tmp", "towline-appliance-")
	if err != nil {
		t.Fatal(err)
	}
	p.Dir, p.Key = dir, filepath.Join(dir, "key")
	s := &story{t: t, dir: dir, key: p.Key, host: "shop.towline.test", plan: p}
	s.addons = strings.Fields(cmp.Or(os.Getenv("TOWLINE_APPLIANCE_ADDONS"), "redis neo4j"))
	kept := func() bool { return os.Getenv("TOWLINE_APPLIANCE_KEEP") != "" && t.Failed() }
	t.Cleanup(func() {
		if !kept() {
			s.must(os.RemoveAll(dir))
		}
	})
	s.must(os.Chmod(dir, 0o755))
	s.must(run(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada", "-f", p.Key))
	start := time.Now()
	s.m, err = Boot(t.Context(), p)
	s.must(err)
	t.Logf("%-22s %5.1f s", "disk and boot", time.Since(start).Seconds())
	t.Cleanup(func() {
		if kept() {
			t.Logf("kept: ssh -i %s root@%s; end it by its own systemctl poweroff", p.Key, s.m.Addr())
			return
		}
		if err := s.m.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *story) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// root runs a command line on the machine, which must succeed.
func (s *story) root(line string) string {
	s.t.Helper()
	out, err := s.m.Run(s.t.Context(), line)
	s.must(err)
	return out
}

// towline runs a command as the member whose key this is, over SSH.
func (s *story) towline(line string) string {
	s.t.Helper()
	out, err := s.m.SSH(s.t.Context(), "towline", s.key, "", line)
	s.must(err)
	return out
}

func (s *story) wants(text string, words ...string) {
	s.t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			s.t.Errorf("no %q in:\n%s", w, text)
		}
	}
}

// dump shows what a failure may be explained by.
func (s *story) dump() {
	for _, line := range []string{
		"systemctl --failed --no-legend", "journalctl -b --no-pager -u towlined -u towline-proxy -u 'towline-proxy-*' -u podman -n 60", "podman ps -a",
	} {
		out, err := s.m.Run(context.Background(), line)
		s.t.Logf("%s\n%s%v", line, out, err)
	}
}

func (s *story) install() {
	out := s.root(s.apt("install", s.mnt("old.deb")))
	s.t.Log(tail(out))
	s.wants(out, "admin is the first administrator", "apps:create shop")
	for _, unit := range []string{
		"towlined.service", "towlined.socket", "towline-proxy.service", "towline-proxy-http.socket", "towline-proxy-https.socket",
		"towline-proxy-control.socket", "podman.socket",
	} {
		if got := s.root("systemctl is-active " + unit + " || true"); strings.TrimSpace(got) != "active" {
			s.t.Errorf("%s is %s", unit, got)
		}
	}
	s.wants(s.towline("version"), "towline")
	if out := s.root("journalctl -b -p warning --no-pager -q -u towlined -u towline-proxy"); strings.TrimSpace(out) != "" {
		s.t.Errorf("warnings after an installation:\n%s", out)
	}
}

// configured is what differs on a machine without a name, a registry and the internet.
const configured = `sed -i 's/^#domain = .*/domain = "towline.test"/; s|^#acme = .*|acme = ""|; s/^#host = .*/host = "towline.test"/' /etc/towline/towline.toml
sed -i 's|^#bases = .*|bases = ["docker.io/*", "localhost/towline/testapp:1"]|' /etc/towline/towline.toml
sed -i '/^\[limits\]/,/^\[b/ s/^#memory = .*/memory = "128m"/' /etc/towline/towline.toml
cat >>/etc/towline/towline.toml <<'END'

[images]
"quay.io/buildah/stable:latest" = "localhost/towline/buildah:12"
"docker.io/library/redis:7" = "localhost/towline/redis:7"
"docker.io/library/neo4j:5-community" = "localhost/towline/neo4j:5.26-community"
"docker.io/library/neo4j:5.26-community" = "localhost/towline/neo4j:5.26-community"
END
towlined --check && systemctl restart towlined && systemctl reload towline-proxy`

func (s *story) configure() {
	s.root("cp /etc/towline/towline.toml /root/towline.toml.sound; sed -i 's/^#port = 22/port = \"x\"/' /etc/towline/towline.toml")
	out, err := s.m.Run(s.t.Context(), "towlined --check")
	if err == nil {
		s.t.Error("towlined --check takes a port that is none")
	}
	s.wants(out, "/etc/towline/towline.toml:")
	s.root("cat /root/towline.toml.sound >/etc/towline/towline.toml")
	s.settings()
}

// settings are those of a machine without a name, a registry and the internet, and the
// images that it would have from there.
func (s *story) settings() {
	s.t.Helper()
	s.root(configured)
	s.patient()
	s.root("podman load -q -i " + s.mnt("images.tar"))
	if slices.Contains(s.addons, "neo4j") {
		s.root("podman load -q -i " + s.mnt("neo4j.tar"))
	}
}

// patient gives an add-on of a slow guest as much longer to start as it needs; a package
// that is installed brings its own manifests along.
func (s *story) patient() {
	s.t.Helper()
	if s.m.Slowness() == 1 || !slices.Contains(s.addons, "neo4j") {
		return
	}
	s.root(fmt.Sprintf(`perl -pi -e 's/^(deadline = ")(\d+)s"/$1 . %d*$2 . "s\""/e' /usr/share/towline/addons/*/plugin.toml && systemctl restart towlined`, s.m.Slowness()))
}

// mnt is where the guest sees a file of the packages' folder.
func (s *story) mnt(name string) string { return shared + "/" + name }

func (s *story) firstPage() {
	s.towline("apps:create shop")
	s.deploy("one")
}

// deploy pushes an app that says text, and wants it to serve.
func (s *story) deploy(text string) {
	s.t.Helper()
	out, err := s.push(s.t.Context(), text)
	if err != nil {
		s.t.Fatalf("push: %v\n%s", err, tail(out))
	}
	s.serves = text
	s.page()
}

// push commits an app that says text, and pushes it.
func (s *story) push(ctx context.Context, text string) (string, error) {
	s.t.Helper()
	repo := filepath.Join(s.dir, "repo")
	for name, content := range map[string]string{
		"Dockerfile": "FROM localhost/towline/testapp:1\nCOPY VERSION /app/VERSION\n", "VERSION": text, "Procfile": "web: testapp\nworker: testapp worker\n",
	} {
		s.must(os.MkdirAll(repo, 0o755))
		s.must(os.WriteFile(filepath.Join(repo, name), []byte(content), 0o644))
	}
	cmd := exec.CommandContext(ctx, "sh", "-c",
		`git init -q -b main . && git add -A && git commit -q -m "$1" && exec git push -q -f "ssh://towline@$2/shop" main 2>&1`, "sh", text, s.m.Addr().String())
	cmd.Dir = repo
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(), "GIT_SSH_COMMAND=ssh "+strings.Join(s.m.SSHArgs(s.key), " "), "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=ada", "GIT_AUTHOR_EMAIL=ada@localhost", "GIT_COMMITTER_NAME=ada", "GIT_COMMITTER_EMAIL=ada@localhost")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// tls trusts the machine's own authority and nothing else.
func (s *story) tls() *tls.Config {
	s.t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(s.root("cat /var/lib/towline-proxy/ca/root.crt"))) {
		s.t.Fatal("no root certificate")
	}
	return &tls.Config{RootCAs: roots}
}

func (s *story) client() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: s.tls(), DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.m.Addr().String()+":443")
		},
	}}
}

// page wants shop's page to be there over HTTPS.
func (s *story) page() {
	s.t.Helper()
	if err := s.isShop(get(s.client(), "https://"+s.host+"/")); err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) isShop(body string, err error) error {
	if err == nil && !strings.Contains(body, "version="+s.serves+"\n") {
		err = fmt.Errorf("the page says %q, want %s", body, s.serves)
	}
	return err
}

func get(c *http.Client, url string) (string, error) {
	res, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s", res.Status)
	}
	return string(body), err
}

// apt is a command line of apt-get's that asks nothing.
func (s *story) apt(words ...string) string {
	return "DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o Dpkg::Use-Pty=0 " + strings.Join(words, " ") + " 2>&1"
}
