package plugins_test

import (
	"crypto/rand"
	"encoding/pem"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"towline/plugins"
)

// serveRepositories serves the repositories below a folder over HTTPS, by git's own
// server, and has git trust it. It returns the folder and its address.
func serveRepositories(t *testing.T) (dir, url string) {
	t.Helper()
	backend, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Skip("no git here")
	}
	dir = t.TempDir()
	server := httptest.NewTLSServer(&cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(backend)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1"},
	})
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_SSL_CAINFO", ca)
	t.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
	return dir, server.URL
}

// commit makes a repository with files; a value that begins with -> is a link's target.
func commit(t *testing.T, repo string, files map[string]string) {
	t.Helper()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.org"}, args...)...)
		cmd.Dir = repo
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	if err := os.MkdirAll(repo, 0o755); err != nil {
		t.Fatal(err)
	}
	git("init", "--quiet", "--initial-branch=main")
	for name, text := range files {
		path := filepath.Join(repo, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if target, link := strings.CutPrefix(text, "->"); link {
			err = os.Symlink(target, path)
		} else if err == nil {
			err = os.WriteFile(path, []byte(text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	git("add", "--all")
	git("commit", "--quiet", "--message", "a plugin")
}

// TestFetch installs from a repository whose author would like to run and read things.
func TestFetch(t *testing.T) {
	repos, url := serveRepositories(t)
	owned := filepath.Join(t.TempDir(), "owned")
	script := "#!/bin/sh\ntouch " + owned + "\n"
	commit(t, filepath.Join(repos, "demo.git"), map[string]string{
		"plugin.toml": good, "README": "about it", "passwd": "->/etc/passwd",
		".gitmodules":    "[submodule \"x\"]\npath = x\nurl = " + url + "/other.git\nupdate = !touch " + owned + "\n",
		".gitattributes": "* filter=own\n", "hooks/post-checkout": script, ".githooks/post-checkout": script,
	})
	dir := filepath.Join(t.TempDir(), "clone")
	if err := plugins.Fetch(t.Context(), url+"/demo.git", dir); err != nil {
		t.Fatal(err)
	}
	m, err := plugins.LoadFile(filepath.Join(dir, plugins.FileName))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := plugins.Install(m, root); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(root, "demo", "passwd")); err != nil || string(text) != "/etc/passwd" {
		t.Errorf("the link became %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(root, "demo", ".git")); err == nil {
		t.Error(".git was installed")
	}
	if _, err := os.Stat(owned); err == nil {
		t.Error("something of the repository was run")
	}
}

func TestFetchTooMuch(t *testing.T) {
	repos, url := serveRepositories(t)
	noise := make([]byte, 34<<20)
	_, _ = rand.Read(noise)
	commit(t, filepath.Join(repos, "big.git"), map[string]string{"plugin.toml": good, "noise": string(noise)})
	err := plugins.Fetch(t.Context(), url+"/big.git", filepath.Join(t.TempDir(), "clone"))
	if err == nil || !strings.Contains(err.Error(), "more than 32 MB") {
		t.Errorf("%v", err)
	}
	if err := plugins.Fetch(t.Context(), url+"/nosuch.git", filepath.Join(t.TempDir(), "clone")); err == nil || !strings.Contains(err.Error(), "git clone") {
		t.Errorf("%v", err)
	}
}
