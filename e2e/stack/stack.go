// Package stack starts the whole of Towline, without systemd, in a directory of its
// own: the proxy, the daemon and an sshd, configured by one towline.toml. Nothing of
// the system's is touched but Podman, in which every object carries the stack's name.
package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Options say how a stack differs from the usual. The zero value is a good one.
type Options struct {
	Name                         string // of the installation; empty: one that no other has
	Dir                          string // made, and removed by Close; empty: one of its own below /var/tmp
	HTTPPort, HTTPSPort, SSHPort int    // ports on loopback; 0 or taken: a free one
	Faults                       bool   // run the towlined that can be told where to die
	Podman                       string // path of the socket that towlined is to use; empty: Podman's own
	KeyExchange                  string // of SSH; empty: OpenSSH's own choice, of which the part against quantum computers takes 150 ms of a processor
	Control                      string // where the proxy listens to towlined, which calls at Control+".relay"; empty: both at one
	Log                          io.Writer
}

// Stack is a running Towline.
type Stack struct {
	Name                         string // of the installation: begins the names of all it makes
	Dir                          string
	HTTPPort, HTTPSPort, SSHPort int

	options Options
	lock    *os.File // held as long as this process lives: see sweep.go
	proxy   *program
	daemon  *program
	sshd    *program
	plain   *program // see StartPlainSSHD
	mu      sync.Mutex
	members map[string]bool // who have a key in Dir/keys
}

// Admin is the member that every stack has from the start.
const Admin = "admin"

// readyTimeout bounds every wait for a program to answer.
const readyTimeout = 2 * time.Minute

// Start starts a stack from the programs that Build has built. On error nothing is
// left of it.
func Start(ctx context.Context, o Options) (s *Stack, err error) {
	if err := Sweep(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	s = &Stack{options: o, members: map[string]bool{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	if err := s.makeDir(); err != nil {
		return s, err
	}
	ports, err := FreePorts(o.HTTPPort, o.HTTPSPort, o.SSHPort)
	if err != nil {
		return s, err
	}
	s.HTTPPort, s.HTTPSPort, s.SSHPort = ports[0], ports[1], ports[2]
	if err := s.installPrograms(); err != nil {
		return s, err
	}
	if err := s.writeConfig(); err != nil {
		return s, err
	}
	if err := s.StartProxy(); err != nil {
		return s, err
	}
	if err := s.StartDaemon(); err != nil {
		return s, err
	}
	if err := s.startSSHD(); err != nil {
		return s, err
	}
	// The first member is added on the host; from then on everything goes over SSH.
	return s, s.AddMember(ctx, Admin, "--admin")
}

// makeDir makes the stack's directory. The accounts that sshd, git and builds run as
// pass through it.
func (s *Stack) makeDir() (err error) {
	s.Dir = s.options.Dir
	if s.Dir == "" {
		s.Dir, err = os.MkdirTemp(parent, prefix)
	} else {
		err = os.Mkdir(s.Dir, 0o755)
		if errors.Is(err, os.ErrExist) {
			s.Dir, err = os.MkdirTemp(filepath.Dir(s.Dir), filepath.Base(s.Dir)+"-")
		}
	}
	if err != nil {
		s.Dir = ""
		return err
	}
	s.Name = cmp.Or(s.options.Name, "tl"+strconv.FormatInt(time.Now().UnixNano()%1e12, 36))
	if err := os.Chmod(s.Dir, 0o755); err != nil {
		return err
	}
	if err := s.own(); err != nil {
		return err
	}
	for _, sub := range []string{"bin", "keys", "log", "run"} {
		if err := os.Mkdir(s.path(sub), 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stack) path(elem ...string) string {
	return filepath.Join(append([]string{s.Dir}, elem...)...)
}

// Config is the path of the stack's towline.toml.
func (s *Stack) Config() string { return s.path("towline.toml") }

// StartProxy starts towline-proxy and returns once it answers.
func (s *Stack) StartProxy() (err error) {
	if s.proxy, err = s.start("towline-proxy", nil, s.path("bin", "towline-proxy"), "--config", s.Config()); err != nil {
		return err
	}
	return s.proxy.waitUntil(func() error {
		return errors.Join(dialOnce("unix", s.controlSocket()), dialOnce("tcp", loopback(s.HTTPSPort)))
	})
}

// RestartProxy stops the proxy as systemd would and starts it again.
func (s *Stack) RestartProxy() error {
	if err := s.proxy.stop(); err != nil {
		return err
	}
	return s.StartProxy()
}

// Kill9Proxy ends the proxy as a crash does.
func (s *Stack) Kill9Proxy() error { return s.proxy.kill() }

// StartDaemon starts towlined and returns once it has reconciled. env is added to its
// environment, for faults.
func (s *Stack) StartDaemon(env ...string) (err error) {
	config := s.Config()
	if s.options.Control != "" {
		config = s.path("towlined.toml")
	}
	if s.daemon, err = s.start("towlined", env, s.path("bin", "towlined"), "--config", config); err != nil {
		return err
	}
	return s.daemon.waitUntil(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
		defer cancel()
		if r := s.Host(ctx, nil, "version"); r.Code != 0 {
			return fmt.Errorf("towlined: %s", r.Stderr)
		}
		return nil
	})
}

// StopDaemon stops towlined as systemd would.
func (s *Stack) StopDaemon() error { return s.daemon.stop() }

// Kill9Daemon ends towlined in the middle of whatever it does.
func (s *Stack) Kill9Daemon() error { return s.daemon.kill() }

// WaitDaemonDied returns once towlined has ended by itself.
func (s *Stack) WaitDaemonDied(ctx context.Context) error {
	select {
	case <-s.daemon.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("towlined lives on: %w", context.Cause(ctx))
	}
}

// Memory is the resident set of towlined and towline-proxy, in bytes.
func (s *Stack) Memory() (daemon, proxy int64, err error) {
	daemon, err = s.daemon.resident()
	if err != nil {
		return 0, 0, err
	}
	proxy, err = s.proxy.resident()
	return daemon, proxy, err
}

// DaemonCPU is the processor time that towlined has taken so far.
func (s *Stack) DaemonCPU() (time.Duration, error) { return s.daemon.cpu() }

// DaemonLog is what towlined has logged so far.
func (s *Stack) DaemonLog() string {
	text, _ := os.ReadFile(s.path("log", "towlined"))
	return string(text)
}

// Close stops everything and removes all that the stack has made, in Podman and on
// disk. It may be called again.
func (s *Stack) Close() error {
	var errs []error
	for _, p := range []*program{s.plain, s.sshd, s.daemon, s.proxy} {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	if s.Name != "" {
		errs = append(errs, removeObjects(s.Name, s.Dir))
	}
	if s.Dir != "" {
		errs = append(errs, os.RemoveAll(s.Dir))
	}
	if s.lock != nil {
		s.lock.Close()
	}
	return errors.Join(errs...)
}
