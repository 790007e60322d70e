package offsite

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

const id = "redis-shop.20260101T030000000Z"

func needRestic(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("restic"); err != nil {
		if os.Getenv("TOWLINE_REQUIRE_PODMAN") != "" {
			t.Fatal("restic is missing")
		}
		t.Skip("restic is missing")
	}
}

// newVault is a vault's directory with one backup in it.
func newVault(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "backups")
	if err := os.MkdirAll(filepath.Join(dir, id), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, id, "data.tar.zst"), []byte(strings.Repeat("data", 100_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t *testing.T, o Options) *Offsite {
	t.Helper()
	o.PasswordFile = filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(o.PasswordFile, []byte("correct horse"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// suite is what every kind of server must pass.
func suite(t *testing.T, o Options) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s := open(t, o)
	for range 2 { // the second finds the first
		if err := s.Upload(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(o.Dir, id, "data.tar.zst")
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(o.Dir, id)); err != nil {
		t.Fatal(err)
	}
	if err := s.Fetch(ctx, id); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != string(want) {
		t.Errorf("fetched %d bytes, %v", len(got), err)
	}
	if left, _ := filepath.Glob(filepath.Join(o.Dir, "*.partial")); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
	for range 2 {
		if err := s.Forget(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Fetch(ctx, id); err == nil {
		t.Error("a forgotten backup is fetched")
	}
}

// TestMachine: backups of the machine come and go by themselves, and restic alone finds the
// newest.
func TestMachine(t *testing.T) {
	needRestic(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	repository := filepath.Join(t.TempDir(), "repository")
	s := open(t, Options{Repository: repository, Dir: newVault(t)})
	var got strings.Builder
	if err := s.FetchMachine(ctx, &got); err == nil {
		t.Error("what was never sent is fetched")
	}
	if err := s.Upload(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := s.FetchMachine(ctx, &got); err == nil || !strings.Contains(err.Error(), "no backup of a machine") {
		t.Errorf("what was never sent: %v", err)
	}
	path := filepath.Join(t.TempDir(), "machine.towline.age")
	for _, text := range []string{"first", "second", "third"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.SendMachine(ctx, path, 2); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := s.FetchMachine(ctx, &got); err != nil || got.String() != "third" {
		t.Errorf("fetched %q, %v", &got, err)
	}
	if list, err := s.list(ctx, machineTag); err != nil || len(list) != 2 {
		t.Errorf("%v are kept, %v", list, err)
	}
	if found, err := s.find(ctx, id); err != nil || len(found) != 1 {
		t.Errorf("the add-on's backup: %v, %v", found, err)
	}
	cmd := exec.CommandContext(ctx, "restic", "-r", repository, "-p", s.o.PasswordFile, "--no-cache", "dump", "--tag", "machine", "latest", path)
	if out, err := cmd.Output(); err != nil || string(out) != "third" {
		t.Errorf("by restic alone: %q, %v", out, err)
	}
}

func TestS3(t *testing.T) {
	needRestic(t)
	server := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
	defer server.Close()
	suite(t, Options{
		Repository: "s3:" + server.URL + "/towline", Dir: newVault(t),
		Env: map[string]string{"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"},
	})
}

// A restore waits neither for an upload that takes hours nor for a lock that a
// killed removal left behind.
func TestFetchIsNotHeldUp(t *testing.T) {
	needRestic(t)
	dir := newVault(t)
	o := Options{Repository: filepath.Join(t.TempDir(), "repository"), Dir: dir}
	s := open(t, o)
	if err := s.Upload(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, id), filepath.Join(dir, "slow")); err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 4<<20)
	_, _ = rand.Read(noise)
	if err := os.WriteFile(filepath.Join(dir, "slow", "data.tar.zst"), noise, 0o600); err != nil {
		t.Fatal(err)
	}
	// A pack of data is on its way for a minute; restic's lock is there from the start.
	s.o.Flags = []string{"--limit-upload", "64"}
	ctx, cancel := context.WithCancel(t.Context())
	uploaded := make(chan error, 1)
	go func() { uploaded <- s.Upload(ctx, "slow") }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if locks, _ := filepath.Glob(o.Repository + "/locks/*"); len(locks) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the upload does not begin")
		}
	}
	if err := s.Fetch(t.Context(), id); err != nil {
		t.Error(err)
	}
	select {
	case err := <-uploaded:
		t.Errorf("the upload ended before: %v", err)
	default:
	}
	cancel()
	<-uploaded

	// What a removal leaves when it is killed.
	cmd := exec.Command("restic", "-r", o.Repository, "--password-file", s.o.PasswordFile, "--limit-download", "1", "--no-cache", "prune")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if locks, _ := filepath.Glob(o.Repository + "/locks/*"); len(locks) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no lock")
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err := os.RemoveAll(filepath.Join(dir, id)); err != nil {
		t.Fatal(err)
	}
	if err := s.Fetch(t.Context(), id); err != nil {
		t.Error(err)
	}
}

// TestSFTP runs against an sshd of its own.
func TestSFTP(t *testing.T) {
	needRestic(t)
	const sshd = "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil || os.Geteuid() != 0 {
		t.Skip("this needs sshd, and root")
	}
	dir := t.TempDir()
	for _, name := range []string{"host", "user"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	// Below those that the kernel gives to whoever wants any: it stays free meanwhile.
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+mathrand.IntN(12000)))
	for try := 0; err != nil && try < 100; try++ {
		l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+mathrand.IntN(12000)))
	}
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	config := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nPidFile none\nAuthorizedKeysFile %s/user.pub\nStrictModes no\n"+
		"PermitRootLogin yes\nPasswordAuthentication no\nUsePAM no\nUseDNS no\nSubsystem sftp internal-sftp\n", port, dir, dir)
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(sshd, "-D", "-e", "-f", filepath.Join(dir, "config"))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("sshd does not answer")
		}
	}
	suite(t, Options{
		Repository: "sftp:root@127.0.0.1:" + filepath.Join(dir, "repository"), Dir: newVault(t),
		Flags: []string{"-o", fmt.Sprintf("sftp.command=ssh -F /dev/null -p %d -i %s/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR root@127.0.0.1 -s sftp", port, dir)},
	})
}

// TestServerGoes: an upload that the server leaves half-way is an error, and works once
// the server is back.
func TestServerGoes(t *testing.T) {
	needRestic(t)
	dir := t.TempDir()
	vault := newVault(t)
	s := open(t, Options{Repository: filepath.Join(dir, "repository"), Dir: vault})
	if err := s.Upload(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "repository"), filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	const next = "redis-shop.20260102T030000000Z"
	if err := os.CopyFS(filepath.Join(vault, next), os.DirFS(filepath.Join(vault, id))); err != nil {
		t.Fatal(err)
	}
	for try := range 2 {
		if err := s.Upload(t.Context(), next); err == nil {
			t.Fatalf("the server is gone, and upload %d succeeds", try)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "repository")); err == nil {
		t.Fatal("another repository was made in its place")
	}
	// Nor is another one taken for it, by this daemon or the next.
	other := open(t, Options{Repository: filepath.Join(dir, "repository"), Dir: newVault(t)})
	if err := other.Upload(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	next2, err := New(s.o)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Offsite{s, next2} {
		if err := s.Upload(t.Context(), next); err == nil || !strings.Contains(err.Error(), "before") {
			t.Errorf("another repository is there: %v", err)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "repository")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, "repository")); err != nil {
		t.Fatal(err)
	}
	if err := s.Upload(t.Context(), next); err != nil {
		t.Error(err)
	}
}

// TestServerHangs: nobody waits for hours to learn that a server does not answer, and nothing
// of the attempt is left.
func TestServerHangs(t *testing.T) {
	needRestic(t)
	dir := t.TempDir()
	s := open(t, Options{Repository: "sftp:nobody@nowhere:/towline", Dir: newVault(t), AskTimeout: time.Second,
		Flags: []string{"-o", "sftp.command=sh -c 'echo $$ >" + dir + "/pid; exec sleep 600'"}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for what, do := range map[string]func() error{
		"upload": func() error { return s.Upload(ctx, id) },
		"forget": func() error { return s.Forget(ctx, id) },
		"fetch":  func() error { return s.Fetch(ctx, id) },
	} {
		if err := do(); err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("%s: %v", what, err)
		}
		pid, err := os.ReadFile(dir + "/pid")
		if err != nil {
			t.Fatal(err)
		}
		hangs := func() bool {
			line, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/cmdline")
			return err == nil && strings.Contains(string(line), "sleep")
		}
		for deadline := time.Now().Add(10 * time.Second); hangs(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s leaves what it has started", what)
			}
		}
	}
}

func TestNewChecks(t *testing.T) {
	needRestic(t)
	if _, err := New(Options{PasswordFile: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("a password file that is not there is taken")
	}
	open1 := filepath.Join(t.TempDir(), "open")
	if err := os.WriteFile(open1, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{PasswordFile: open1}); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("a password that others can read is taken: %v", err)
	}
}
