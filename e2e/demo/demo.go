package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"towline/e2e/stack"
)

// demo is one run.
type demo struct {
	*stack.Stack
	ctx     context.Context
	began   time.Time
	timings []timing
}

type timing struct {
	step string
	took time.Duration
	err  error
}

// step does one thing, and keeps what it took.
func (d *demo) step(name string, f func() error) error {
	fmt.Printf("\n=== %s\n", name)
	start := time.Now()
	err := f()
	took := time.Since(start)
	d.timings = append(d.timings, timing{name, took, err})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Printf("    %s\n", seconds(took))
	return nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// table says what each step took.
func (d *demo) table() {
	fmt.Printf("\n%-60s %8s\n", "step", "took")
	for _, t := range d.timings {
		mark := ""
		if t.err != nil {
			mark = "  failed"
		}
		fmt.Printf("%-60s %8s%s\n", t.step, seconds(t.took), mark)
	}
	fmt.Printf("%-60s %8s\n", "together", seconds(time.Since(d.began)))
}

// sshConfig spares the commands that are shown their options.
func (d *demo) sshConfig() string { return filepath.Join(d.Dir, "ssh_config") }

// prepare sets up what a user's laptop has: an ssh configuration and a checkout.
func (d *demo) prepare() error {
	config := fmt.Sprintf(`Host demo 127.0.0.1
	HostName 127.0.0.1
	Port %d
	User towline
	IdentityFile %s
	IdentitiesOnly yes
	IdentityAgent none
	UserKnownHostsFile %s
	LogLevel ERROR
`, d.SSHPort, d.KeyFile(stack.Admin), filepath.Join(d.Dir, "keys", "known_hosts"))
	if err := os.WriteFile(d.sshConfig(), []byte(config), 0o644); err != nil {
		return err
	}
	root, err := stack.Root()
	if err != nil {
		return err
	}
	return os.CopyFS(d.source(), os.DirFS(filepath.Join(root, "examples", "rails")))
}

// source is the user's checkout of the example.
func (d *demo) source() string { return filepath.Join(d.Dir, "shop") }

// ssh runs a command as a user would, and shows it.
func (d *demo) ssh(words ...string) (string, error) {
	return d.command("", append([]string{"ssh", "-F", d.sshConfig(), "demo"}, words...)...)
}

// git works in the user's checkout.
func (d *demo) git(words ...string) error {
	_, err := d.command(d.source(), append([]string{"git"}, words...)...)
	return err
}

// command runs a program, shows the command and what it prints, and returns that.
func (d *demo) command(dir string, argv ...string) (string, error) {
	fmt.Printf("    $ %s\n", strings.Join(argv, " "))
	cmd := exec.CommandContext(d.ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(d.GitEnv(stack.Admin), "GIT_SSH_COMMAND=ssh -F "+d.sshConfig())
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	var all strings.Builder
	var shown sync.WaitGroup
	shown.Go(func() {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			line := strings.TrimRight(lines.Text(), " \r")
			fmt.Fprintln(&all, line)
			fmt.Printf("      %s\n", line)
		}
		_, _ = io.Copy(io.Discard, r) // a line too long to show must not stop the command
	})
	err := cmd.Run()
	w.Close()
	shown.Wait()
	if err != nil {
		err = fmt.Errorf("%s: %w", argv[0], err)
	}
	return all.String(), err
}

// cleanUp removes everything; under check it makes sure of that.
func (d *demo) cleanUp(check bool) error {
	if check && d.ctx.Err() == nil {
		if err := d.destroy(); err != nil {
			return err
		}
	}
	return d.Close()
}

// destroy takes down what was made as a user would, and sees that nothing is left.
func (d *demo) destroy() error {
	for _, words := range [][]string{
		{"addons:destroy", "neo4j-shop", "--confirm", "neo4j-shop"},
		{"addons:destroy", "redis-shop", "--confirm", "redis-shop"},
		{"apps:destroy", "-a", "shop", "--confirm", "shop"},
	} {
		if _, err := d.ssh(words...); err != nil {
			fmt.Printf("      %v\n", err) // a step that failed earlier may not have made it
		}
	}
	left, err := d.Objects()
	if err != nil {
		return err
	}
	if n := len(left.Containers) + len(left.Networks) + len(left.Volumes) + len(left.Images); n > 0 {
		return fmt.Errorf("left in Podman after all was destroyed: %s", left)
	}
	return nil
}

// explain tells how to reach what runs.
func (d *demo) explain() {
	fmt.Printf(`
The shop is at %s
Its certificate is signed by the local CA, %s:

  curl --cacert %s %s

Everything else goes over SSH:

  ssh -F %s demo help
  ssh -F %s demo logs -t -a shop
  cd %s && GIT_SSH_COMMAND='ssh -F %s' git push towline main
`, d.URL("shop", "/"), d.RootFile(), d.RootFile(), d.URL("shop", "/"), d.sshConfig(), d.sshConfig(), d.source(), d.sshConfig())
}
