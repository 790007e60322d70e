package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"towline/cmd/internal/config"
)

// chore is what the package's scripts have done around the daemon.
func chore(path string, words []string) error {
	if len(words) > 1 {
		return fmt.Errorf("%q is one argument too many", words[1])
	}
	run := map[string]func(context.Context, *installer) error{
		"setup": setup, "welcome": welcome, "check-state": checkState, "halt": halt,
	}[words[0]]
	if run == nil {
		return fmt.Errorf("there is no %q: towlined takes setup, welcome, check-state or halt, or nothing to run the daemon", words[0])
	}
	m := newInstaller(path, os.Stdout)
	return run(context.Background(), m)
}

// installer is what the chores share: it works on this machine, or on a test's.
type installer struct {
	config   string // path of towline.toml
	sshdConf string // the drop-in that is ours
	out      io.Writer
	run      func(ctx context.Context, name string, args ...string) (output string, err error)
	env      func(string) string
	wait     time.Duration // for the daemon to answer
}

func newInstaller(path string, out io.Writer) *installer {
	return &installer{
		config: path, sshdConf: "/etc/ssh/sshd_config.d/towline.conf", out: out, run: runProgram, env: os.Getenv, wait: 15 * time.Second,
	}
}

// runLimit is far beyond what sshd -t or a reload take.
const runLimit = time.Minute

func runProgram(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil && text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return text, err
}

func (m *installer) say(format string, args ...any) {
	fmt.Fprintf(m.out, "towline: "+format+"\n", args...)
}

// warn tells of what is left to the administrator. The installation goes on: it must not
// fail because of what the machine is like today.
func (m *installer) warn(format string, args ...any) {
	fmt.Fprintf(m.out, "towline: warning: "+format+"\n", args...)
}

// load reads the configuration, or the defaults where it is wrong, and says so.
func (m *installer) load() config.File {
	file, err := config.Load(m.config)
	if err != nil {
		m.warn("%v", err)
		return config.Default()
	}
	return file
}
