package stack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// program is a process of the stack's, its output in log/NAME.
type program struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed once the process has ended
}

func (s *Stack) start(name string, env []string, argv ...string) (*program, error) {
	p := &program{name: name, log: s.path("log", name), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(os.Environ(), env...)
	// Ctrl-C is for the program that runs the stack, which then ends these in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.done)
	}()
	return p, os.WriteFile(s.path("log", name+".pid"), []byte(strconv.Itoa(p.cmd.Process.Pid)), 0o644)
}

// waitUntil polls ready until it succeeds, the program ends or patience does.
func (p *program) waitUntil(ready func() error) error {
	deadline := time.Now().Add(readyTimeout)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready:\n%s", p.name, p.tail())
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %s: %w\n%s", p.name, readyTimeout, err, p.tail())
		}
	}
}

// stop ends the program with SIGTERM, and waits.
func (p *program) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(readyTimeout):
		return errors.Join(fmt.Errorf("%s did not stop within %s:\n%s", p.name, readyTimeout, p.tail()), p.kill())
	}
}

func (p *program) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}

// tail is the end of what the program has logged.
func (p *program) tail() string {
	text, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// resident is the program's memory in bytes, as the kernel counts it.
func (p *program) resident() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(text), "\n") {
		if kib, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.Fields(kib)[0], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("the kernel says nothing of the memory of %s", p.name)
}

// cpu is the processor time that the program has taken, in user and system mode.
func (p *program) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), ") ") // the name may have blanks in it
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0, fmt.Errorf("the kernel says nothing of the time of %s", p.name)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	system, serr := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / 100, errors.Join(err, serr) // in USER_HZ
}

func dialOnce(network, address string) error {
	c, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	return c.Close()
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// FreePorts are the wanted ports, or others that nobody has. They are all held until the
// last is found, or it could be the first, and lie below those that the kernel gives to
// whoever wants any: they stay free until they are listened on.
func FreePorts(wants ...int) (ports []int, err error) {
	other := func() int { return 20000 + rand.IntN(12000) }
	for _, port := range wants {
		if port == 0 {
			port = other()
		}
		l, err := net.Listen("tcp", loopback(port))
		for try := 0; err != nil && try < 100; try++ {
			l, err = net.Listen("tcp", loopback(other()))
		}
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// Root is the directory of the sources.
func Root() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, serr := os.Stat(filepath.Join(dir, "go.mod")); serr == nil {
			return dir, nil
		}
		if dir == "/" {
			return "", errors.New("run this inside a checkout of Towline")
		}
	}
	return "", err
}

// Build builds the programs that stacks run, into bin/. What is up to date costs a
// second.
func Build(ctx context.Context) error {
	return build(ctx, "make", "-s", "build")
}

// BuildFaults builds the towlined of Options.Faults.
func BuildFaults(ctx context.Context) error {
	return build(ctx, "go", "build", "-trimpath", "-tags", "faults remote exclude_graphdriver_btrfs containers_image_openpgp",
		"-o", "bin/faults/towlined", "./cmd/towlined")
}

// Compile builds a program that needs nothing of the machine it runs on into file.
func Compile(ctx context.Context, pkg, file string) error {
	return build(ctx, "go", "build", "-ldflags", "-s -w", "-o", file, pkg)
}

func build(ctx context.Context, name string, args ...string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// installPrograms puts the programs where every account may run them, as a package
// would. A checkout may be in a directory that others can't enter.
func (s *Stack) installPrograms() error {
	root, err := Root()
	if err != nil {
		return err
	}
	for _, name := range []string{"towlined", "towline-proxy", "towline-shell", "towline"} {
		from := filepath.Join(root, "bin", name)
		if name == "towlined" && s.options.Faults {
			from = filepath.Join(root, "bin", "faults", name)
		}
		program, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("%w: run make build", err)
		}
		if err := os.WriteFile(s.path("bin", name), program, 0o755); err != nil {
			return err
		}
	}
	return nil
}
