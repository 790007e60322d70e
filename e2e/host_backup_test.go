package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"towline/e2e/stack"
)

// TestHostBackup: a machine is backed up while it serves, and lost: its disk and its
// containers are gone. On an empty one everything comes back from the stream, under the
// same names, with the same secrets, for the same people.
func TestHostBackup(t *testing.T) {
	t.Parallel()
	lost, err := stack.Start(t.Context(), stack.Options{KeyExchange: keyExchange})
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	t.Cleanup(func() {
		if !closed {
			_ = lost.Close()
		}
	})
	db := newDatabase(t, lost, "shop", "redis")
	if err := db.Add(1); err != nil {
		t.Fatal(err)
	}
	admin(t, lost, "config:set SECRET=hunter2 -a shop")
	c := newCheckout(t, lost, "shop", stack.Admin)
	c.deploy(usual("one"))
	capture(t, lost, "redis-shop")
	if err := db.Add(2); err != nil { // after the backup: lost with the machine
		t.Fatal(err)
	}

	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	identity, file := filepath.Join(dir, "identity"), filepath.Join(dir, "towline.age")
	if err := os.WriteFile(identity, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := lost.SSH(t.Context(), stack.Admin, nil, "host:backup"); r.Code != 2 || !strings.Contains(r.Stderr, "whom to encrypt it to") {
		t.Errorf("to nobody: %s", r)
	}
	if r := lost.SSH(t.Context(), stack.Admin, nil, "host:backup --to /root/x"); r.Code != 4 {
		t.Errorf("to a file of the machine, over SSH: %s", r)
	}
	r := lost.SSH(t.Context(), stack.Admin, nil, "host:backup --recipient "+id.Recipient().String())
	if r.Code != 0 || !strings.Contains(r.Stderr, "1 app, 1 add-on, 1 image") {
		t.Fatalf("%d %s", r.Code, r.Stderr)
	}
	stream := r.Stdout
	if strings.Contains(stream, "hunter2") {
		t.Error("the stream is in clear")
	}
	if err := os.WriteFile(file, []byte(stream), 0o600); err != nil {
		t.Fatal(err)
	}
	r = lost.SSH(t.Context(), stack.Admin, strings.NewReader(stream), "host:backup --verify")
	if r.Code != 0 || !strings.Contains(r.Stdout, "is whole and was restored: 1 app, 1 add-on") {
		t.Fatalf("verify: %s", r)
	}
	if r := lost.SSH(t.Context(), stack.Admin, strings.NewReader(stream[:len(stream)-1000]), "host:backup --verify"); r.Code == 0 {
		t.Error("a stream that was cut short is whole")
	}
	if v, reason := version(t, lost, "shop"); v != "one" {
		t.Errorf("it serves %q: %s", v, reason)
	}
	if list, err := stack.Podman("volume", "ls", "-q", "--filter", "label=towline="+lost.Name+"-verify"); err != nil || strings.TrimSpace(list) != "" {
		t.Errorf("verifying has left %q, %v", list, err)
	}
	keys := map[string][]byte{}
	for _, end := range []string{"", ".pub"} {
		if keys[end], err = os.ReadFile(lost.KeyFile(stack.Admin) + end); err != nil {
			t.Fatal(err)
		}
	}
	closed = true
	if err := lost.Close(); err != nil {
		t.Fatal(err)
	}

	s := ownStack(t, stack.Options{Name: lost.Name})
	restore := func(more ...string) (string, error) {
		args := append([]string{"--config", s.Config(), "restore", "--identity", identity}, more...)
		out, err := exec.CommandContext(t.Context(), filepath.Join(s.Dir, "bin", "towlined"), append(args, file)...).CombinedOutput()
		return string(out), err
	}
	if out, err := restore(); err == nil || !strings.Contains(out, "stop it first") {
		t.Errorf("while the daemon runs: %v, %s", err, out)
	}
	if err := s.StopDaemon(); err != nil {
		t.Fatal(err)
	}
	out, err := restore()
	if err != nil || !strings.Contains(out, "data of redis-shop: as of ") || !strings.Contains(out, " old") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Log(out)
	if out, err := restore(); err == nil || !strings.Contains(out, "a restore is for an empty one") {
		t.Errorf("onto what is there: %v, %s", err, out)
	}
	if err := s.RestartProxy(); err != nil {
		t.Fatal(err)
	}
	if err := s.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	for end, text := range keys { // its administrator comes with the key of before
		if err := os.WriteFile(s.KeyFile(stack.Admin)+end, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() string {
		v, reason := version(t, s, "shop")
		if v != "one" && reason == "" {
			reason = "it serves " + v
		}
		return reason
	})
	if got := admin(t, s, "config:get SECRET -a shop"); got != "hunter2\n" {
		t.Errorf("SECRET is %q", got)
	}
	back := openDatabase(t, s, "shop", "redis", "redis-shop")
	if last, count, err := back.Last(); err != nil || last != 1 || count != 1 {
		t.Errorf("the last of %d records is %d, %v", count, last, err)
	}
	// The repository is there: what was pushed is up-to-date, and the next push deploys.
	c2 := &checkout{t, s, "shop", c.dir, stack.Admin}
	c2.git("remote", "set-url", "towline", s.Remote("shop"))
	if r := c2.push(); r.Code != 0 || !strings.Contains(r.Stderr+r.Stdout, "up-to-date") {
		t.Errorf("push of the same: %s", r)
	}
	c2.deploy(map[string]string{"VERSION": "two\n"})
	if v, reason := version(t, s, "shop"); v != "two" {
		t.Errorf("it serves %q: %s", v, reason)
	}
}
