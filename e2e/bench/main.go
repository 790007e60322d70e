// Bench measures what Towline itself takes: of a push and of a config change until they
// serve (deploy), of builds (build), of a command over SSH, and of memory (cli), and what
// a hundred apps cost (hundred). Run it on a quiet machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"towline/e2e/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	benches := map[string]func(*bench) error{"deploy": (*bench).deploys, "build": (*bench).builds, "cli": (*bench).commands, "hundred": (*bench).hundred}
	b := &bench{ctx: ctx}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&b.rounds, "rounds", 0, "how often each thing is measured; 0: as often as its bench thinks good")
	flags.IntVar(&b.apps, "apps", 100, "how many apps run in the bench hundred")
	flags.DurationVar(&b.quiet, "quiet", time.Minute, "over how long the idle daemon's processor time is counted")
	socket := flags.String("podman", "", "path of the socket of Podman's service, if it is not the usual one")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 || benches[flags.Arg(0)] == nil {
		return errors.New("usage: bench [-rounds N] [-apps N] [-quiet TIME] [-podman SOCKET] deploy|build|cli|hundred")
	}
	if err := stack.Build(ctx); err != nil {
		return err
	}
	s, err := stack.Start(ctx, stack.Options{Podman: *socket})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	b.Stack, b.dir = s, filepath.Join(s.Dir, "bench")
	if err := b.firstDeploy(); err != nil {
		return err
	}
	return benches[flags.Arg(0)](b)
}

// app is what is deployed: it listens some milliseconds after its start, which are
// counted as Towline's.
const app = "bench"

type bench struct {
	*stack.Stack
	ctx context.Context
	dir string // checkout of the app

	rounds, apps int
	quiet        time.Duration
}

// times is how often a thing is measured, which is usually n times.
func (b *bench) times(n int) int {
	if b.rounds > 0 {
		return b.rounds
	}
	return n
}

func (b *bench) firstDeploy() error {
	if err := os.Mkdir(b.dir, 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"Dockerfile": "FROM localhost/towline/testapp:1\nCOPY VERSION .\n", "Procfile": "web: testapp\n", "VERSION": "first\n",
	} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := b.ssh("apps:create " + app); err != nil {
		return err
	}
	for _, words := range [][]string{
		{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-qm", "first"},
		{"remote", "add", "towline", b.Remote(app)}, {"push", "-q", "towline", "main"},
	} {
		if err := b.git(words...); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) ssh(line string) error {
	if r := b.SSH(b.ctx, stack.Admin, nil, line); r.Code != 0 {
		return fmt.Errorf("%s: %s", line, r)
	}
	return nil
}

func (b *bench) git(words ...string) error { return b.gitIn(b.dir, words...) }

func (b *bench) gitIn(dir string, words ...string) error {
	if r := b.Git(b.ctx, stack.Admin, dir, words...); r.Code != 0 {
		return fmt.Errorf("git %s: %s", strings.Join(words, " "), r)
	}
	return nil
}

// nothing is `ssh HOST true`, to an sshd that does as it is told.
func (b *bench) nothing() (argv []string, err error) {
	port, err := b.StartPlainSSHD()
	return append(b.SSHCommandTo(port, stack.Admin), stack.Destination, "true"), err
}

// took is how long a command takes that must succeed.
func took(ctx context.Context, argv []string) (time.Duration, error) {
	start := time.Now()
	r := stack.Run(exec.CommandContext(ctx, argv[0], argv[1:]...), nil)
	d := time.Since(start)
	if r.Code != 0 {
		return 0, fmt.Errorf("%s: %s", strings.Join(argv, " "), r)
	}
	return d, nil
}

// sample is a series of measurements.
type sample []time.Duration

func (s sample) quantile(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func (s sample) median() time.Duration { return s.quantile(0.5) }

func (s sample) row(name, more string) {
	fmt.Printf("| %-50s | %8s | %8s | %8s | %s |\n", name, ms(s.median()), ms(s.quantile(0.9)), ms(slices.Max(s)), more)
}

// heading is that of the rows. last names their last column, or several by " | ".
func heading(last string) {
	fmt.Printf("| %-50s | %8s | %8s | %8s | %s |\n|---|---|---|---|---|%s\n", "", "median", "p90", "most", last, strings.Repeat("---|", strings.Count(last, "|")))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d.Microseconds())/1000) }
