package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"towline/daemon/socket/wire"
)

// Result is what a command printed and how it ended.
type Result struct {
	Stdout, Stderr string
	Code           int
}

func (r Result) String() string {
	return fmt.Sprintf("exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
}

// startSSHD starts an sshd that lets in whom the daemon lists, and nobody else.
func (s *Stack) startSSHD() error {
	if err := s.keygen("sshd_host_key"); err != nil {
		return err
	}
	public, err := os.ReadFile(s.KeyFile("sshd_host_key") + ".pub")
	if err != nil {
		return err
	}
	known := fmt.Sprintf("[127.0.0.1]:* %s", public)
	if err := os.WriteFile(s.path("keys", "known_hosts"), []byte(known), 0o644); err != nil {
		return err
	}
	s.sshd, err = s.runSSHD("sshd", s.SSHPort, s.path("state", "ssh", "authorized_keys"))
	return err
}

// StartPlainSSHD starts another sshd, where the administrator's key has no forced
// command: what it costs to run nothing at all. It ends with the stack.
func (s *Stack) StartPlainSSHD() (port int, err error) {
	ports, err := FreePorts(0)
	if err != nil {
		return 0, err
	}
	s.plain, err = s.runSSHD("plain-sshd", ports[0], s.KeyFile(Admin)+".pub")
	return ports[0], err
}

// runSSHD starts an sshd that reads nothing of the system's configuration.
func (s *Stack) runSSHD(name string, port int, keys string) (*program, error) {
	config := fmt.Sprintf(`Port %d
ListenAddress 127.0.0.1
HostKey %s
PidFile none
AuthorizedKeysFile %s
# The directory may be below one that all may write to.
StrictModes no
AllowUsers towline
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
AcceptEnv GIT_PROTOCOL
PrintMotd no
PrintLastLog no
MaxStartups 100
`, port, s.KeyFile("sshd_host_key"), keys)
	if kex := s.options.KeyExchange; kex != "" {
		config += "KexAlgorithms " + kex + "\n"
	}
	path := s.path(name + "_config")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		return nil, err
	}
	p, err := s.start(name, nil, "/usr/sbin/sshd", "-D", "-e", "-f", path)
	if err != nil {
		return nil, err
	}
	return p, p.waitUntil(func() error { return dialOnce("tcp", loopback(port)) })
}

// KeyFile is the private key of a member; .pub next to it is the public one.
func (s *Stack) KeyFile(member string) string { return s.path("keys", member) }

func (s *Stack) keygen(name string) error {
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", s.KeyFile(name)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ssh-keygen: %w: %s", err, out)
	}
	return nil
}

// Key makes a key that belongs to no member yet.
func (s *Stack) Key(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.members[name] {
		return nil
	}
	s.members[name] = true
	return s.keygen(name)
}

// AddMember makes a key and has the operator on the host add it.
func (s *Stack) AddMember(ctx context.Context, name string, flags ...string) error {
	if err := s.Key(name); err != nil {
		return err
	}
	public, err := os.ReadFile(s.KeyFile(name) + ".pub")
	if err != nil {
		return err
	}
	if r := s.Host(ctx, bytes.NewReader(public), append([]string{"members:add", name}, flags...)...); r.Code != 0 {
		return fmt.Errorf("members:add %s: %s", name, r)
	}
	return nil
}

// Host runs a command as the operator on the host does, through the socket.
func (s *Stack) Host(ctx context.Context, stdin io.Reader, args ...string) Result {
	var out, errs bytes.Buffer
	code, err := wire.Run(ctx, s.path("run", "towlined.sock"), wire.Request{Args: args}, wire.Streams{Stdin: stdin, Stdout: &out, Stderr: &errs})
	if err != nil {
		return Result{out.String(), errs.String() + err.Error(), 7}
	}
	return Result{out.String(), errs.String(), code}
}

// SSHCommand is the ssh command line, up to where host and command follow, that
// logs in with a member's key.
func (s *Stack) SSHCommand(member string, more ...string) []string {
	return append(s.SSHCommandTo(s.SSHPort, member), more...)
}

// SSHCommandTo is that for another port.
func (s *Stack) SSHCommandTo(port int, member string) []string {
	return []string{
		"ssh", "-F", "/dev/null", "-i", s.KeyFile(member), "-p", strconv.Itoa(port), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
		"-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=" + s.path("keys", "known_hosts"), "-o", "LogLevel=ERROR",
	}
}

// Destination is where ssh connects to.
const Destination = "towline@127.0.0.1"

// Remote is the git address of an app.
func (s *Stack) Remote(app string) string {
	return fmt.Sprintf("ssh://%s:%d/%s", Destination, s.SSHPort, app)
}

// SSH runs a command line over SSH as a member. What ssh itself fails at is exit
// code 255.
func (s *Stack) SSH(ctx context.Context, member string, stdin io.Reader, line string) Result {
	argv := s.SSHCommand(member, Destination)
	if line != "" {
		argv = append(argv, line)
	}
	return Run(exec.CommandContext(ctx, argv[0], argv[1:]...), stdin)
}

// Run runs a command to its end.
func Run(cmd *exec.Cmd, stdin io.Reader) Result {
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	err := cmd.Run()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		return Result{out.String(), errs.String() + err.Error(), -1}
	}
	return Result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// GitEnv is the environment of a git that works as a member, whatever the
// configuration of whoever runs it.
func (s *Stack) GitEnv(member string) []string {
	return append(os.Environ(),
		"GIT_SSH_COMMAND="+strings.Join(s.SSHCommand(member), " "), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME="+member, "GIT_AUTHOR_EMAIL="+member+"@localhost", "GIT_COMMITTER_NAME="+member, "GIT_COMMITTER_EMAIL="+member+"@localhost")
}

// Git runs git in dir as a member.
func (s *Stack) Git(ctx context.Context, member, dir string, args ...string) Result {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = dir, s.GitEnv(member)
	return Run(cmd, nil)
}
