package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// install gets what is missing: nginx, HAProxy and h2load from Debian, Caddy by
// the Go toolchain into bin/.
func (b *bench) install() error {
	packages := map[string]string{"nginx": "nginx-light", "haproxy": "haproxy", "h2load": "nghttp2-client"}
	var missing []string
	for program, name := range packages {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		if err := show("apt-get", append([]string{"install", "-y", "--no-install-recommends"}, missing...), "DEBIAN_FRONTEND=noninteractive"); err != nil {
			return fmt.Errorf("apt-get install %v: %w; try apt-get update", missing, err)
		}
	}
	if b.programs["caddy"] != "" {
		return nil
	}
	dir, err := filepath.Abs("bin")
	if err != nil {
		return err
	}
	b.programs["caddy"] = filepath.Join(dir, "caddy")
	if _, err := os.Stat(b.programs["caddy"]); err == nil {
		return nil
	}
	return show("go", []string{"install", "github.com/caddyserver/caddy/v2/cmd/caddy@latest"}, "GOBIN="+dir, "CGO_ENABLED=0", "GOFLAGS=")
}

func show(name string, args []string, env ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}
