package appliance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Container is a Debian that runs under systemd-nspawn, on this machine's kernel.
type Container struct {
	network
	login
	root, share string
	log         *os.File
	cmd         *exec.Cmd
	done        chan struct{} // closed when the loop over reboots has ended
	ended       error         // why; to be read after that
}

func bootContainer(ctx context.Context, p Plan) (*Container, error) {
	m := &Container{network: newNetwork(p), root: filepath.Join(p.Dir, "root"), share: p.Share}
	m.login = login{m.Addr(), p.Key, bootLimit}
	if err := Root(ctx, p, m.root); err != nil {
		return nil, err
	}
	var err error
	if m.log, err = os.Create(m.root + ".log"); err != nil {
		return nil, err
	}
	if err := m.masquerade(ctx); err != nil {
		return nil, errors.Join(err, m.log.Close())
	}
	if err := m.boot(ctx); err != nil {
		return nil, errors.Join(err, m.clear())
	}
	if err := m.answers(ctx, m.gone); err != nil {
		return nil, errors.Join(err, m.Stop())
	}
	return m, nil
}

func (m *Container) Whole() bool             { return false }
func (m *Container) Slowness() time.Duration { return 1 }

// namespace makes a network namespace for one boot: bridges and rules of Podman's must not
// outlive it.
func (m *Container) namespace(ctx context.Context) error {
	_ = run(ctx, "ip", "netns", "del", m.name)
	_ = run(ctx, "ip", "link", "del", m.device())
	return m.ip(ctx,
		"netns add "+m.name,
		"link add "+m.device()+" type veth peer name host0 netns "+m.name,
		"addr add "+m.Gateway().String()+"/24 dev "+m.device(),
		"link set "+m.device()+" up",
		"-n "+m.name+" addr add "+m.Addr().String()+"/24 dev host0",
		"-n "+m.name+" link set host0 up",
		"-n "+m.name+" link set lo up",
		"-n "+m.name+" route add default via "+m.Gateway().String(),
	)
}

// cgroups are the container's own groups, in which nspawn makes a tree.
func (m *Container) cgroups() (dirs []string) {
	for _, h := range []string{"unified", "systemd"} {
		if _, err := os.Stat("/sys/fs/cgroup/" + h + "/cgroup.procs"); err == nil {
			dirs = append(dirs, "/sys/fs/cgroup/"+h+"/"+m.table())
		}
	}
	return dirs
}

// boot starts the container, and starts it again whenever it reboots.
func (m *Container) boot(ctx context.Context) error {
	if err := errors.Join(m.namespace(ctx), m.start()); err != nil {
		return err
	}
	m.done = make(chan struct{})
	go m.loop()
	return nil
}

func (m *Container) start() error {
	script := ""
	for _, dir := range m.cgroups() {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		script += "echo $$ >" + dir + "/cgroup.procs; "
	}
	m.cmd = exec.Command("sh",
		"-c", script+`exec "$@"`, "sh",
		"systemd-nspawn", "--quiet", "-D", m.root, "--boot", "--machine="+m.name, "--register=no", "--keep-unit",
		"--network-namespace-path=/run/netns/"+m.name, "--capability=all", "--drop-capability=CAP_SYS_MODULE",
		"--system-call-filter=add_key keyctl bpf", "--console=pipe", "--bind-ro="+m.share+":"+shared,
	)
	m.cmd.Env = append(os.Environ(), "SYSTEMD_NSPAWN_API_VFS_WRITABLE=1", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	m.cmd.Stdout, m.cmd.Stderr = m.log, m.log
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return m.cmd.Start()
}

// rebooted is nspawn's exit code for a machine that wants to be started again.
const rebooted = 133

func (m *Container) loop() {
	defer close(m.done)
	for {
		m.ended = m.cmd.Wait()
		if m.cmd.ProcessState.ExitCode() != rebooted {
			return
		}
		if m.ended = errors.Join(m.namespace(context.Background()), m.start()); m.ended != nil {
			return
		}
	}
}

func (m *Container) gone() error {
	select {
	case <-m.done:
		return fmt.Errorf("the container has gone: %w", errors.Join(m.ended, errors.New("see "+m.log.Name())))
	default:
		return nil
	}
}

func (m *Container) Reboot(ctx context.Context) error { return m.reboots(ctx, m.gone) }

// Cut is as hard on the container's processes as a power cut; what they have written stays.
func (m *Container) Cut(ctx context.Context) error {
	if err := m.kill(); err != nil {
		return err
	}
	m.clearGroups()
	if err := m.boot(ctx); err != nil {
		return err
	}
	return m.answers(ctx, m.gone)
}

// kill kills the container's first process, with which the kernel kills all others, and
// nspawn ends. Without nspawn they would live on.
func (m *Container) kill() error {
	nspawn := strconv.Itoa(m.cmd.Process.Pid)
	children, err := os.ReadFile("/proc/" + nspawn + "/task/" + nspawn + "/children")
	if err != nil {
		return err
	}
	for _, child := range strings.Fields(string(children)) {
		pid, err := strconv.Atoi(child)
		if err != nil {
			return err
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
	}
	select {
	case <-m.done:
		return nil
	case <-time.After(time.Minute):
		return errors.New("the container does not end")
	}
}

func (m *Container) Stop() error {
	_ = m.cmd.Process.Signal(syscall.SIGTERM)
	var err error
	select {
	case <-m.done:
	case <-time.After(time.Minute):
		err = errors.Join(errors.New("the container did not power off"), m.kill())
	}
	return errors.Join(err, m.clear())
}

func (m *Container) clearGroups() {
	for _, dir := range m.cgroups() {
		_ = run(context.Background(), "find", dir, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+")
	}
}

func (m *Container) clear() error {
	ctx := context.Background()
	_ = run(ctx, "ip", "netns", "del", m.name)
	m.clearGroups()
	return errors.Join(m.network.clear(ctx), m.log.Close())
}
