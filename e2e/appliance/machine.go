package appliance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Machine is a Debian that runs under systemd-nspawn, with a network of its own. It may
// reboot itself.
type Machine struct {
	Name string // of the network namespace, at most 10 letters
	Root string
	Key  string // private key that root's SSH takes
	Addr netip.Addr

	host  netip.Addr // this machine's end of the network
	binds []string
	log   *os.File
	cmd   *exec.Cmd
	done  chan struct{} // closed when the loop over reboots has ended
	ended error         // why; to be read after that
}

// bootLimit is how long systemd may take until sshd answers.
const bootLimit = 3 * time.Minute

// Boot starts the machine in network 10.78.n.0/24, and returns once sshd answers. Each of
// binds is a directory of this machine that it sees at /mnt/BASE, and can't change.
func Boot(ctx context.Context, name string, n byte, root, key string, binds ...string) (*Machine, error) {
	m := &Machine{
		Name: name, Root: root, Key: key, binds: binds, done: make(chan struct{}),
		Addr: netip.AddrFrom4([4]byte{10, 78, n, 2}), host: netip.AddrFrom4([4]byte{10, 78, n, 1}),
	}
	var err error
	if m.log, err = os.Create(root + ".log"); err != nil {
		return nil, err
	}
	if err := m.masquerade(ctx); err != nil {
		return nil, err
	}
	if err := m.network(ctx); err != nil {
		return nil, errors.Join(err, m.clear())
	}
	if err := m.start(); err != nil {
		return nil, errors.Join(err, m.clear())
	}
	go m.loop()
	if err := m.WaitSSH(ctx, bootLimit); err != nil {
		return nil, errors.Join(err, m.Stop())
	}
	return m, nil
}

func (m *Machine) veth() string  { return "v" + m.Name }
func (m *Machine) table() string { return "towline-appliance-" + m.Name }

// masquerade lets the machine reach what this one reaches, for apt.
func (m *Machine) masquerade(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`table ip %[1]s
delete table ip %[1]s
table ip %[1]s { chain post { type nat hook postrouting priority 100; ip saddr %[2]s oifname != %[3]q masquerade; }; }
`, m.table(), m.Addr, m.veth()))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
}

// network makes a namespace for one boot: bridges and rules of Podman's must not outlive it.
func (m *Machine) network(ctx context.Context) error {
	_ = run(ctx, "ip", "netns", "del", m.Name)
	_ = run(ctx, "ip", "link", "del", m.veth())
	for _, words := range []string{
		"netns add " + m.Name,
		"link add " + m.veth() + " type veth peer name host0 netns " + m.Name,
		"addr add " + m.host.String() + "/24 dev " + m.veth(),
		"link set " + m.veth() + " up",
		"-n " + m.Name + " addr add " + m.Addr.String() + "/24 dev host0",
		"-n " + m.Name + " link set host0 up",
		"-n " + m.Name + " link set lo up",
		"-n " + m.Name + " route add default via " + m.host.String(),
	} {
		if err := run(ctx, "ip", strings.Fields(words)...); err != nil {
			return err
		}
	}
	return nil
}

// cgroups are the machine's own groups, in which nspawn makes a tree.
func (m *Machine) cgroups() (dirs []string) {
	for _, h := range []string{"unified", "systemd"} {
		if _, err := os.Stat("/sys/fs/cgroup/" + h + "/cgroup.procs"); err == nil {
			dirs = append(dirs, "/sys/fs/cgroup/"+h+"/"+m.table())
		}
	}
	return dirs
}

func (m *Machine) start() error {
	script := ""
	for _, dir := range m.cgroups() {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		script += "echo $$ >" + dir + "/cgroup.procs; "
	}
	args := []string{
		"-c", script + `exec "$@"`, "sh",
		"systemd-nspawn", "--quiet", "-D", m.Root, "--boot", "--machine=" + m.Name, "--register=no", "--keep-unit",
		"--network-namespace-path=/run/netns/" + m.Name, "--capability=all", "--drop-capability=CAP_SYS_MODULE",
		"--system-call-filter=add_key keyctl bpf", "--console=pipe",
	}
	for _, dir := range m.binds {
		args = append(args, "--bind-ro="+dir+":/mnt/"+filepath.Base(dir))
	}
	m.cmd = exec.Command("sh", args...)
	m.cmd.Env = append(os.Environ(), "SYSTEMD_NSPAWN_API_VFS_WRITABLE=1", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	m.cmd.Stdout, m.cmd.Stderr = m.log, m.log
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return m.cmd.Start()
}

// rebooted is nspawn's exit code for a machine that wants to be started again.
const rebooted = 133

func (m *Machine) loop() {
	defer close(m.done)
	for {
		m.ended = m.cmd.Wait()
		if m.cmd.ProcessState.ExitCode() != rebooted {
			return
		}
		if m.ended = errors.Join(m.network(context.Background()), m.start()); m.ended != nil {
			return
		}
	}
}

// Stop powers the machine off, and clears up what it had here, but for its root.
func (m *Machine) Stop() error {
	_ = m.cmd.Process.Signal(syscall.SIGTERM)
	var err error
	select {
	case <-m.done:
	case <-time.After(time.Minute):
		err = errors.Join(errors.New("the machine did not power off"), m.cmd.Process.Kill())
		<-m.done
	}
	return errors.Join(err, m.clear())
}

func (m *Machine) clear() error {
	ctx := context.Background()
	_ = run(ctx, "ip", "netns", "del", m.Name)
	_ = run(ctx, "ip", "link", "del", m.veth())
	for _, dir := range m.cgroups() {
		_ = run(ctx, "find", dir, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+")
	}
	return errors.Join(run(ctx, "nft", "delete", "table", "ip", m.table()), m.log.Close())
}

// sshArgs log in with a key, into whatever the machine is at the moment.
func (m *Machine) sshArgs(key string) []string {
	return []string{
		"-F", "/dev/null", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=5",
	}
}

// SSH runs a command line as a user, with a key of theirs, and returns all that it says.
func (m *Machine) SSH(ctx context.Context, user, key, stdin, line string) (string, error) {
	var out bytes.Buffer
	err := m.Pipe(ctx, user, key, strings.NewReader(stdin), &out, &out, line)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, tail(out.String()))
	}
	return out.String(), err
}

// Pipe runs a command line as a user, with a key of theirs.
func (m *Machine) Pipe(ctx context.Context, user, key string, stdin io.Reader, stdout, stderr io.Writer, line string) error {
	cmd := exec.CommandContext(ctx, "ssh", append(m.sshArgs(key), user+"@"+m.Addr.String(), line)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ssh %s: %s: %w", user, line, err)
	}
	return nil
}

// Run runs a command line in root's shell.
func (m *Machine) Run(ctx context.Context, line string) (string, error) {
	return m.SSH(ctx, "root", m.Key, "", line)
}

// WaitSSH waits until root can log in.
func (m *Machine) WaitSSH(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		_, err := m.Run(ctx, "true")
		if err == nil {
			return nil
		}
		select {
		case <-m.done:
			return fmt.Errorf("the machine has gone: %w", m.ended)
		case <-ctx.Done():
			return fmt.Errorf("sshd does not answer: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Reboot returns once root can log in to the machine's next boot.
func (m *Machine) Reboot(ctx context.Context) error {
	before, err := m.Run(ctx, "cat /proc/sys/kernel/random/uuid >/run/this-boot; cat /run/this-boot")
	if err != nil {
		return err
	}
	_, _ = m.Run(ctx, "systemctl reboot") // the connection may end before the answer
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	for {
		now, err := m.Run(ctx, "cat /run/this-boot 2>/dev/null || true")
		if err == nil && strings.TrimSpace(now) != strings.TrimSpace(before) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no next boot: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
