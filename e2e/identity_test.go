package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towline/e2e/stack"
)

// TestIdentity: a key says who someone is, and nothing that they send changes that or
// reaches a shell.
func TestIdentity(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	for _, name := range []string{"ida", "ivan"} {
		if err := s.AddMember(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	ida := func(line string) stack.Result { return s.SSH(t.Context(), "ida", nil, line) }
	ivan := func(line string) stack.Result { return s.SSH(t.Context(), "ivan", nil, line) }
	if r := ida("apps:create idas"); r.Code != 0 {
		t.Fatal(r)
	}
	source := newCheckout(t, s, "idas", "ida")
	source.deploy(usual("one"))

	t.Run("others' apps are not there", func(t *testing.T) {
		for _, line := range []string{
			"apps:info -a idas", "config -a idas", "config:set -a idas A=1", "ps -a idas", "ps:scale -a idas web=2", "run -a idas id",
			"logs -a idas", "releases -a idas", "releases:rollback -a idas", "domains -a idas", "domains:add -a idas x.example.com",
			"addons:create redis -a idas", "deploy:archive -a idas", "access -a idas", "access:add ivan -a idas",
			"apps:destroy -a idas --confirm idas", "TOWLINE_APP=idas ps",
			"git-upload-pack idas", "git-receive-pack /idas.git",
		} {
			if r := ivan(line); r.Code != notFound || !strings.Contains(r.Stderr, `no app "idas"`) || r.Stdout != "" {
				t.Errorf("%s: %s", line, r)
			}
		}
		if r := ivan("apps --json"); r.Code != 0 || strings.Contains(r.Stdout, "idas") {
			t.Errorf("apps: %s", r)
		}
		theirs := newCheckout(t, s, "idas", "ivan")
		theirs.commit(usual("ivan's"))
		if r := theirs.push(); r.Code == 0 || !strings.Contains(r.Stderr, `no app "idas"`) {
			t.Errorf("push: %s", r)
		}
		if r := s.Git(t.Context(), "ivan", t.TempDir(), "clone", s.Remote("idas"), "stolen"); r.Code == 0 {
			t.Errorf("clone: %s", r)
		}
	})
	t.Run("only administrators manage members", func(t *testing.T) {
		for _, line := range []string{"members:add ivan --admin", "members:remove ida"} {
			if r := ivan(line); r.Code != forbidden {
				t.Errorf("%s: %s", line, r)
			}
		}
	})
	t.Run("permissions", func(t *testing.T) { permissions(t, ida, ivan) })
	t.Run("no shell", func(t *testing.T) { noShell(t, s, ivan) })
	t.Run("nothing but commands", func(t *testing.T) { noForwarding(t, s) })

	if v, reason := version(t, s, "idas"); v != "one" {
		t.Errorf("version %q serves: %s", v, reason)
	}
	t.Run("removed", func(t *testing.T) {
		if r := ivan("apps"); r.Code != 0 {
			t.Fatal(r)
		}
		sessionsEnd(t, s, ida, ivan)
		if r := ivan("apps"); r.Code != 255 || !strings.Contains(r.Stderr, "Permission denied") {
			t.Errorf("a removed member: %s", r)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		if err := s.Key("mallory"); err != nil {
			t.Fatal(err)
		}
		if r := s.SSH(t.Context(), "mallory", nil, "apps"); r.Code != 255 || !strings.Contains(r.Stderr, "Permission denied") {
			t.Errorf("a stranger: %s", r)
		}
	})
}

// permissions: each lets through what it names, and no more.
func permissions(t *testing.T, ida, ivan func(string) stack.Result) {
	for _, c := range []struct{ grant, may, mayNot string }{
		{"view", "releases -a idas", "config -a idas"},
		{"view", "logs -a idas", "releases:rollback -a idas v2"},
		{"view", "git-upload-pack idas < /dev/null", "git-receive-pack idas"},
		{"operate", "config -a idas", "apps:destroy -a idas --confirm idas"},
		{"deploy", "git-receive-pack idas", "run -a idas id"},
	} {
		if r := ida("access:add ivan -a idas -p " + c.grant); r.Code != 0 {
			t.Fatal(r)
		}
		if r := ivan(c.mayNot); r.Code != forbidden || !strings.Contains(r.Stderr, "you may not") {
			t.Errorf("with %s, %s: %s", c.grant, c.mayNot, r)
		}
		if r := ivan(strings.TrimSuffix(c.may, " < /dev/null")); r.Code == forbidden || r.Code == notFound {
			t.Errorf("with %s, %s: %s", c.grant, c.may, r)
		}
	}
	if r := ida("access:remove ivan -a idas"); r.Code != 0 {
		t.Fatal(r)
	}
	if r := ivan("releases -a idas"); r.Code != notFound {
		t.Errorf("after access:remove: %s", r)
	}
}

// sessionsEnd removes ivan while he has sessions open, and gives a new key his name: what he
// has open ends, and his old connection is nobody's.
func sessionsEnd(t *testing.T, s *stack.Stack, ida, ivan func(string) stack.Result) {
	dir := t.TempDir()
	old := func(words ...string) stack.Result {
		argv := s.SSHCommand("ivan", append([]string{"-o", "ControlMaster=auto", "-o", "ControlPersist=600", "-o", "ControlPath=" + filepath.Join(dir, "s"), stack.Destination}, words...)...)
		return stack.Run(exec.CommandContext(t.Context(), argv[0], argv[1:]...), nil)
	}
	defer func() {
		argv := s.SSHCommand("ivan", "-o", "ControlPath="+filepath.Join(dir, "s"), "-O", "exit", stack.Destination)
		stack.Run(exec.Command(argv[0], argv[1:]...), nil)
	}()
	if r := old("whoami"); r.Code != 0 || r.Stdout != "ivan\n" {
		t.Fatal(r)
	}
	if r := ida("access:add ivan -a idas -p operate"); r.Code != 0 {
		t.Fatal(r)
	}
	open := []string{"logs -t -a idas", "run -a idas sleep 100000"}
	ends := make(chan stack.Result, len(open))
	for _, line := range open {
		go func() { ends <- ivan(line) }()
	}
	eventually(t, func() string {
		if r := ida("ps -a idas"); !strings.Contains(r.Stdout, "run.") {
			return r.String()
		}
		return ""
	})
	admin(t, s, "members:remove ivan --confirm ivan")
	for range open {
		select {
		case r := <-ends:
			if r.Code != forbidden || !strings.Contains(r.Stderr, "no member here any more") {
				t.Errorf("an open session: %s", r)
			}
		case <-time.After(time.Minute):
			t.Fatal("a session goes on without its member")
		}
	}
	eventually(t, func() string {
		if r := ida("ps -a idas"); strings.Contains(r.Stdout, "run.") {
			return r.String()
		}
		return ""
	})
	if r := ida("logs -a idas -n 1000"); !strings.Contains(r.Stdout, "Starting one-off for ivan: sleep 100000") || !strings.Contains(r.Stdout, "One-off was ended") {
		t.Errorf("the log: %s", r)
	}

	if err := s.Key("ivans-namesake"); err != nil {
		t.Fatal(err)
	}
	public, err := os.Open(s.KeyFile("ivans-namesake") + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	defer public.Close()
	if r := s.Host(t.Context(), public, "members:add", "ivan"); r.Code != 0 {
		t.Fatal(r)
	}
	if r := old("whoami"); r.Code != forbidden || !strings.Contains(r.Stderr, "not ivan's any more") {
		t.Errorf("an old connection: %s", r)
	}
	if r := s.SSH(t.Context(), "ivans-namesake", nil, "whoami"); r.Code != 0 || r.Stdout != "ivan\n" {
		t.Errorf("the new member: %s", r)
	}
}

// noShell: whatever a shell would do with the line is not done. Each line would make
// the file.
func noShell(t *testing.T, s *stack.Stack, ivan func(string) stack.Result) {
	dir, err := os.MkdirTemp("/var/tmp", "towline-proof-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	proof := filepath.Join(dir, "proof")
	for _, line := range []string{
		"; touch " + proof, "apps; touch " + proof, "apps && touch " + proof, "nonsense || touch " + proof, "apps | tee " + proof,
		"apps > " + proof, "$(touch " + proof + ")", "`touch " + proof + "`", "apps $(touch " + proof + ")", "apps `touch " + proof + "`",
		"apps\ntouch " + proof, "\ntouch " + proof, "sh -c 'touch " + proof + "'", "/bin/sh -c 'touch " + proof + "'", "bash",
		"-c 'touch " + proof + "'", "exec touch " + proof, "PATH=/ touch " + proof, "apps & touch " + proof,
		"--member admin members:remove ida", "--member=admin members:remove ida", "apps --member admin",
		"--socket /tmp/x apps", "--hooks /tmp apps", "TOWLINE_APP=$(touch " + proof + ") ps", "TOWLINE_APP=../x ps",
		"git-receive-pack '; touch " + proof + "'", "git-upload-pack '$(touch " + proof + ")'", "git-receive-pack --member=admin",
		"git-upload-pack --upload-pack=touch idas", "git-upload-archive idas", "git-shell", "scp -t /tmp", "internal-sftp", "rsync --server . /tmp",
	} {
		r := ivan(line)
		if _, err := os.Stat(proof); err == nil {
			t.Fatalf("%q reached a shell", line)
		}
		if strings.Contains(r.Stdout+r.Stderr, "uid=") || strings.Contains(r.Stdout, "idas") || r.Code == 0 && !strings.Contains(r.Stdout, "No apps") {
			t.Errorf("%q: %s", line, r)
		}
	}
	if r := ivan(""); r.Code != 0 || !strings.Contains(r.Stdout, "usage: towline COMMAND") {
		t.Errorf("without a command: %s", r)
	}
	for _, path := range []string{"SSH_ORIGINAL_COMMAND=apps", "TOWLINE_MEMBER=admin", "LD_PRELOAD=/tmp/x.so", "BASH_ENV=/tmp/x"} {
		argv := s.SSHCommand("ivan", "-o", "SetEnv="+path, stack.Destination, "members:remove", "ida")
		if r := stack.Run(exec.CommandContext(t.Context(), argv[0], argv[1:]...), nil); r.Code != forbidden {
			t.Errorf("with %s: %s", path, r)
		}
	}
}

// noForwarding: a key opens no tunnel, no other program and no file transfer.
func noForwarding(t *testing.T, s *stack.Stack) {
	for _, more := range [][]string{
		{"-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:0:127.0.0.1:22", stack.Destination, "apps"},
		{"-W", "127.0.0.1:22", stack.Destination},
		{"-s", stack.Destination, "sftp"},
	} {
		argv := s.SSHCommand("ivan", more...)
		r := stack.Run(exec.CommandContext(t.Context(), argv[0], argv[1:]...), strings.NewReader(""))
		if r.Code == 0 || strings.Contains(r.Stdout, "SSH-2.0") {
			t.Errorf("ssh %s: %s", strings.Join(more, " "), r)
		}
	}
}
