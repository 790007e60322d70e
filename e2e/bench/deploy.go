package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const deployRounds = 20

// deploys measures, from the user's enter key until the first request that the new
// release answers, a push and a config change; beside what neither can do without.
func (b *bench) deploys() error {
	var whole, build, pushes, configs sample
	plain, err := b.newPlain()
	if err != nil {
		return err
	}
	for n := 1; n <= b.times(deployRounds); n++ {
		want := fmt.Sprintf("push-%d", n)
		if err := os.WriteFile(filepath.Join(b.dir, "VERSION"), []byte(want+"\n"), 0o644); err != nil {
			return err
		}
		if err := b.git("commit", "-qam", want); err != nil {
			return err
		}
		total, err := b.untilServed("/", "version="+want+"\n", func() error { return b.git("push", "-q", "towline", "main") })
		if err != nil {
			return err
		}
		built, err := b.lastBuild(app)
		if err != nil {
			return err
		}
		whole, build, pushes = append(whole, total), append(build, built), append(pushes, total-built)

		value := fmt.Sprintf("value-%d", n)
		total, err = b.untilServed("/env/BENCH", value+"\n", func() error { return b.ssh("config:set -a " + app + " BENCH=" + value) })
		if err != nil {
			return err
		}
		configs = append(configs, total)
		if err := plain.once(); err != nil {
			return err
		}
	}
	heading("goal | of the last two")
	whole.row("git push until the new release serves", " |")
	build.row("  of that the build", " |")
	pushes.row("  of that Towline and the app's boot", "500 ms | "+plain.of(pushes.median()))
	configs.row("config:set until the new config serves", "400 ms | "+plain.of(configs.median()))
	plain.ssh.row("ssh HOST true", " |")
	plain.run.row("podman run until it answers", " |")
	return nil
}

// untilServed runs change and returns when, after its start, the page first began
// with want.
func (b *bench) untilServed(path, want string, change func() error) (time.Duration, error) {
	client, err := b.Client(true)
	if err != nil {
		return 0, err
	}
	defer client.CloseIdleConnections()
	done := make(chan error, 1)
	start := time.Now()
	go func() { done <- change() }()
	served := time.Duration(0)
	for served == 0 {
		if body, err := page(client, b.URL(app, path)); err == nil && strings.HasPrefix(body, want) {
			served = time.Since(start)
		}
		if time.Since(start) > 5*time.Minute {
			return 0, fmt.Errorf("%s never said %q: %w", path, want, <-done)
		}
		time.Sleep(2 * time.Millisecond) // between polls: the app has work to do too
	}
	return served, <-done
}

func page(client *http.Client, url string) (string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text := make([]byte, 256)
	n, _ := resp.Body.Read(text)
	return string(text[:n]), nil
}
