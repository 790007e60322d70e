package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"towline/e2e/stack"
)

// wire is a TCP way to a server, which can break while bytes are on it.
type wire struct {
	net.Listener
	to   string
	left atomic.Int64 // bytes until it breaks; 0 and less: broken
	mu   sync.Mutex
	open []net.Conn
}

const unbroken = 1 << 62

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, to: to}
	w.left.Store(unbroken)
	t.Cleanup(func() { l.Close(); w.breakOff() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(c)
		}
	}()
	return w
}

func (w *wire) carry(c net.Conn) {
	defer c.Close()
	server, err := net.Dial("tcp", w.to)
	if err != nil || w.left.Load() <= 0 {
		return
	}
	defer server.Close()
	w.mu.Lock()
	w.open = append(w.open, c, server)
	w.mu.Unlock()
	go func() { _, _ = io.Copy(c, server); c.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := c.Read(buf)
		if w.left.Add(int64(-n)) <= 0 {
			w.breakOff()
			return
		}
		if n > 0 {
			_, err = server.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

func (w *wire) breakOff() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		c.Close()
	}
	w.open = nil
}

// sftp starts an sshd with an SFTP server, at the far end of a wire, and returns what
// restic needs to get there.
func sftp(t *testing.T, s *stack.Stack) (w *wire, repository string, flags []string) {
	t.Helper()
	dir := filepath.Join(s.Dir, "elsewhere")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"elsewhere-host", "elsewhere-user"} {
		if err := s.Key(key); err != nil {
			t.Fatal(err)
		}
	}
	free, err := stack.FreePorts(0)
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(free[0])
	address := net.JoinHostPort("127.0.0.1", port)
	config := fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s\nPidFile none\nAuthorizedKeysFile %s.pub\nStrictModes no\n"+
		"PermitRootLogin yes\nPasswordAuthentication no\nUsePAM no\nUseDNS no\nSubsystem sftp internal-sftp\n",
		port, s.KeyFile("elsewhere-host"), s.KeyFile("elsewhere-user"))
	path := filepath.Join(dir, "sshd_config")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", path)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	eventually(t, func() string {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err.Error()
		}
		c.Close()
		return ""
	})
	w = newWire(t, address)
	_, port, _ = net.SplitHostPort(w.Addr().String())
	command := fmt.Sprintf("ssh -F /dev/null -p %s -i %s -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "+
		"-o LogLevel=ERROR root@127.0.0.1 -s sftp", port, s.KeyFile("elsewhere-user"))
	return w, "sftp:root@127.0.0.1:" + filepath.Join(dir, "repository"), []string{"-o", "sftp.command=" + command}
}

// setOffsite has the stack copy its backups elsewhere; more is TOML.
func setOffsite(t *testing.T, s *stack.Stack, repository, more string) (password string) {
	t.Helper()
	password = filepath.Join(s.Dir, "offsite-password")
	if err := os.WriteFile(password, []byte("correct horse"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := os.OpenFile(s.Config(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer config.Close()
	if _, err := fmt.Fprintf(config, "\n[offsite]\nrepository = %q\npassword_file = %q\n%s\n", repository, password, more); err != nil {
		t.Fatal(err)
	}
	restartDaemon(t, s)
	return password
}

// offsite is what the listing knows of a copy.
type offsite struct {
	ID     string
	Detail struct {
		Offsite time.Time
		Error   string `json:"offsite_error"`
	}
}

func offsiteOf(t *testing.T, s *stack.Stack, id string) offsite {
	t.Helper()
	list := decode[[]offsite](t, s, "backups")
	i := slices.IndexFunc(list, func(o offsite) bool { return o.ID == id })
	if i < 0 {
		t.Fatalf("%s is not listed", id)
	}
	return list[i]
}

// arrives returns once a backup is offsite.
func arrives(t *testing.T, s *stack.Stack, b backup) {
	t.Helper()
	eventually(t, func() string {
		if o := offsiteOf(t, s, b.ID); o.Detail.Offsite.IsZero() || o.Detail.Error != "" {
			return fmt.Sprintf("%s is not offsite: %s", b.ID, o.Detail.Error)
		}
		return ""
	})
}

// TestOffsiteS3: copies go to S3-compatible storage, encrypted, and a restore fetches
// one that is gone here.
func TestOffsiteS3(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{})
	objects := s3mem.New()
	server := httptest.NewServer(gofakes3.New(objects).Server())
	t.Cleanup(server.Close)
	setOffsite(t, s, "s3:"+server.URL+"/towline", `env = { AWS_ACCESS_KEY_ID = "key", AWS_SECRET_ACCESS_KEY = "s3cr3t-of-the-store" }`)
	db := newDatabase(t, s, "bucket", "redis")
	if err := db.Add(1); err != nil {
		t.Fatal(err)
	}
	b := capture(t, s, "redis-bucket")
	arrives(t, s, b)
	assertEncrypted(t, objects, b)
	if err := db.Add(2); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(s.Dir, "state", "backups", b.ID)); err != nil {
		t.Fatal(err)
	}
	admin(t, s, "backups:restore "+b.ID+" --confirm redis-bucket")
	if last, count, err := db.Last(); err != nil || last != 1 || count != 1 {
		t.Errorf("restored are %d records up to %d, %v", count, last, err)
	}
	if strings.Contains(s.DaemonLog(), "s3cr3t-of-the-store") {
		t.Error("the key of the store is in the log")
	}
}

// assertEncrypted: what the store holds names nothing of the backup.
func assertEncrypted(t *testing.T, objects gofakes3.Backend, b backup) {
	t.Helper()
	list, err := objects.ListBucket("towline", &gofakes3.Prefix{}, gofakes3.ListBucketPage{})
	if err != nil || len(list.Contents) == 0 {
		t.Fatalf("the bucket holds %d objects, %v", len(list.Contents), err)
	}
	for _, c := range list.Contents {
		object, err := objects.GetObject("towline", c.Key, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(object.Contents)
		object.Contents.Close()
		if err != nil || strings.Contains(string(text), b.Addon) || strings.Contains(string(text), "data.tar") {
			t.Errorf("%s can be read: %v", c.Key, err)
		}
	}
}

// TestOffsite: a backup is copied offsite; a server that goes half-way through is
// tried again, then loudly, and gets the backup once it is back; a restore fetches what
// is gone here; what is deleted here is deleted there.
func TestOffsite(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("restic"); err != nil {
		t.Skip("restic is missing")
	}
	s := ownStack(t, stack.Options{})
	way, repository, flags := sftp(t, s)
	password := setOffsite(t, s, repository, fmt.Sprintf("flags = [%q, %q]", flags[0], flags[1]))
	db := newDatabase(t, s, "away", "redis")
	if err := db.Add(1); err != nil {
		t.Fatal(err)
	}
	arrives(t, s, capture(t, s, "redis-away"))

	if err := db.Fill(12); err != nil {
		t.Fatal(err)
	}
	way.left.Store(4 << 20)
	b := capture(t, s, "redis-away")
	if b.Status != "good" {
		t.Fatalf("%+v", b)
	}
	within(t, 3*time.Minute, func() string {
		if list := admin(t, s, "backups redis-away"); !strings.Contains(list, "FAILED") || !strings.Contains(list, "OFFSITE") {
			return "no failure is listed:\n" + list
		}
		return ""
	})
	if way.left.Load() > 0 {
		t.Error("the server did not go half-way")
	}
	if n := strings.Count(s.DaemonLog(), "copy a backup offsite"); n < 4 {
		t.Errorf("it was tried %d times before that was said", n)
	}
	for _, said := range []string{s.DaemonLog(), admin(t, s, "logs -a away"), admin(t, s, "backups:info "+b.ID)} {
		if !strings.Contains(said, "restic") || !strings.Contains(said, b.ID) {
			t.Errorf("it is not said:\n%s", lastLines(said, 20))
		}
	}
	if r := s.SSH(t.Context(), stack.Admin, nil, "backups:check redis-away"); r.Code != 1 {
		t.Errorf("backups:check: %s", r)
	}
	way.left.Store(unbroken)
	arrives(t, s, b)
	admin(t, s, "backups:check redis-away")

	if err := db.Add(9); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(s.Dir, "state", "backups", b.ID)); err != nil {
		t.Fatal(err)
	}
	admin(t, s, "backups:restore "+b.ID+" --confirm redis-away")
	if _, count, err := db.Last(); err != nil || count != 25 {
		t.Errorf("restored are %d records, %v", count, err)
	}
	admin(t, s, "backups:delete "+b.ID+" --confirm "+b.ID)
	restic := exec.Command("restic", append(flags, "snapshots", "--json", "--no-lock", "--tag", b.ID)...)
	restic.Env = append(os.Environ(), "RESTIC_REPOSITORY="+repository, "RESTIC_PASSWORD_FILE="+password)
	if out, err := restic.Output(); err != nil || strings.Contains(string(out), b.ID) {
		t.Errorf("deleted here, there is still: %s %v", out, err)
	}
}
