package stack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// images replaces the public images by those of the same interface that
// packaging/images builds.
const images = `
[images]
"docker.io/heroku/builder:24" = "localhost/towline/builder:12"
"docker.io/buildpacksio/lifecycle:0.20.11" = "localhost/towline/lifecycle:0.20.11"
"quay.io/buildah/stable:latest" = "localhost/towline/buildah:12"
"docker.io/library/redis:7" = "localhost/towline/redis:7"
"docker.io/library/neo4j:5-community" = "localhost/towline/neo4j:5.26-community"
"docker.io/library/neo4j:5.26-community" = "localhost/towline/neo4j:5.26-community"
"docker.io/library/neo4j:4.4-community" = "localhost/towline/neo4j:4.4-community"
"docker.io/library/postgres:15" = "localhost/towline/postgres:15"
`

// caBundle is where Debian keeps the authorities that this machine trusts, its own
// among them. Builds trust the same.
const caBundle = "/etc/ssl/certs/ca-certificates.crt"

// controlSocket is where the proxy listens to towlined.
func (s *Stack) controlSocket() string {
	if s.options.Control != "" {
		return s.options.Control
	}
	return s.path("run", "control.sock")
}

// writeConfig writes the one file that configures the stack.
func (s *Stack) writeConfig() error {
	root, err := Root()
	if err != nil {
		return err
	}
	text := fmt.Sprintf(`name = %q
state = %q
run = %q
domain = "localhost"
addons = [%q]

[ssh]
host = "127.0.0.1"
port = %d

[proxy]
http = %q
https = %q
control = %q
state = %q
access_log = %q
metrics = ""

[tls]
acme = "" # the local CA signs every name

[limits]
memory = "512m"

[build]
bases = ["docker.io/*", "localhost/towline/testapp:1"]
ca_bundle = %q
`, s.Name, s.path("state"), s.path("run"), filepath.Join(root, "addons"), s.SSHPort,
		loopback(s.HTTPPort), loopback(s.HTTPSPort), s.controlSocket(), s.path("proxy"), s.path("log", "access"), caBundle)
	if registry := npmRegistry(); registry != "" {
		text += fmt.Sprintf("\n[build.env]\nNPM_REGISTRY = %q\n", registry)
	}
	if s.options.Podman != "" {
		text = fmt.Sprintf("podman = %q\n", "unix://"+s.options.Podman) + text
	}
	if s.options.Control != "" {
		own := strings.Replace(text, s.options.Control, s.options.Control+".relay", 1)
		if err := os.WriteFile(s.path("towlined.toml"), []byte(own+images), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(s.Config(), []byte(text+images), 0o644)
}

// npmRegistry is the one that this machine is set up for. Without npm there is none.
func npmRegistry() string {
	out, err := exec.Command("npm", "config", "get", "registry").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
