// Package config reads towline.toml, the one file that configures both
// long-lived programs. It holds plain values: each program turns the tables it
// needs into options of its own, so that neither links the other's code.
package config

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// DefaultPath is where the package installs the file.
const DefaultPath = "/etc/towline/towline.toml"

// Example has every key with its default, commented out. It is written from the types
// below by the manual's generator.
//
//go:embed example.toml
var Example string

// File is the whole of towline.toml. Every key has a default.
type File struct {
	// Name tells apart the installations that share one Podman: it begins the
	// name of every container, network and volume, and is a label on each.
	Name string `toml:"name"`
	// State is the daemon's directory: database, key, repositories, backups, logs.
	State string `toml:"state"`
	// Run holds the daemon's socket.
	Run string `toml:"run"`
	// User is the account that sshd logs in and that owns the repositories.
	User string `toml:"user"`
	// Podman is the address of Podman's API socket.
	Podman string `toml:"podman"`
	// Domain: an app called shop is served at shop.DOMAIN.
	Domain string `toml:"domain"`
	// Addons are the folders searched for add-on manifests, later ones first.
	Addons []string `toml:"addons"`
	// Images replaces an image reference by another wherever one is pulled or
	// run, for machines that keep mirrors or build their own.
	Images map[string]string `toml:"images"`

	SSH    SSH    `toml:"ssh"`
	Limits Limits `toml:"limits"`
	Build  Build  `toml:"build"`
	Logs   Logs   `toml:"logs"`
	Proxy  Proxy  `toml:"proxy"`
	TLS    TLS    `toml:"tls"`

	Offsite Offsite `toml:"offsite"`
	Backup  Backup  `toml:"backup"`
}

// Backup says whom backups of the whole machine are encrypted to, and when the machine takes
// one by itself. See docs/disaster.md.
type Backup struct {
	Recipients     []string `toml:"recipients"`      // public keys of age: age1...
	PassphraseFile string   `toml:"passphrase_file"` // in place of recipients
	Schedule       string   `toml:"schedule"`        // as crontab(5) has it, e.g. "30 4 * * *"; empty: never
	Zone           string   `toml:"zone"`            // of the schedule, e.g. Europe/Berlin; empty: UTC
	To             string   `toml:"to"`              // directory for scheduled ones, best of another disk or a share; or "offsite"
	Keep           int      `toml:"keep"`            // how many stay there
}

// Offsite says where encrypted second copies of backups go. See docs/backups.md.
type Offsite struct {
	// Repository is as restic has it: s3:https://host/bucket, sftp:user@host:/path.
	// Empty: none.
	Repository   string            `toml:"repository"`
	PasswordFile string            `toml:"password_file"` // file with the repository's password, readable by root alone
	Env          map[string]string `toml:"env"`           // for restic, like AWS_ACCESS_KEY_ID
	Flags        []string          `toml:"flags"`         // for restic, like "-o", "sftp.args=..."
}

// SSH says how users reach this machine, for the addresses that Towline prints.
type SSH struct {
	Host string `toml:"host"` // name of this machine, as users reach it
	Port int    `toml:"port"` // where sshd listens
}

// Build configures how pushed source becomes an image.
type Build struct {
	Builder    string `toml:"builder"`    // Cloud Native Buildpacks builder image
	Lifecycle  string `toml:"lifecycle"`  // image that holds the lifecycle alone
	Dockerfile string `toml:"dockerfile"` // image that holds buildah
	// Memory is the limit of a build, e.g. "2g". Empty: half of the machine's, of at
	// least 1g and at most 4g.
	Memory  string   `toml:"memory"`
	Timeout Duration `toml:"timeout"` // how long a build may take
	// Cache is how much disk the caches of all apps may take, e.g. "10g"; beyond that those
	// of the apps that were not built for longest go. Empty: a tenth of the disk, of at least
	// 2g and at most 20g.
	Cache string `toml:"cache"`
	// AtOnce is how many builds run at once; others wait for their turn. 0: as many as the
	// machine has processors, and memory for.
	AtOnce int `toml:"at_once"`
	// Disk is the size of any one file that a build writes, and what its container may hold
	// where Podman's storage can tell. Empty: 10g.
	Disk string `toml:"disk"`
	// Bases are the images on this machine that a Dockerfile may build upon or copy
	// from, besides the app's own: REGISTRY/PATH/*, REPOSITORY or REPOSITORY:TAG.
	Bases []string `toml:"bases"`
	// Env is handed to every build, e.g. a package mirror.
	Env map[string]string `toml:"env"`
	// CABundle is mounted into builds where the machine's outgoing TLS is
	// signed by a CA of its own. Empty: none.
	CABundle string `toml:"ca_bundle"`
}

// Logs bounds what is kept of each app's output.
type Logs struct {
	MaxSize string   `toml:"max_size"` // how much is kept of one app, e.g. "100m"
	MaxAge  Duration `toml:"max_age"`  // how long a line is kept
}

// Proxy configures towline-proxy's listeners, control socket and state.
type Proxy struct {
	HTTP      string `toml:"http"`       // address, e.g. ":80"
	HTTPS     string `toml:"https"`      // address, e.g. ":443"
	Control   string `toml:"control"`    // unix socket
	State     string `toml:"state"`      // directory: routes, certificates
	AccessLog string `toml:"access_log"` // directory, one file for each app; empty: none
	Metrics   string `toml:"metrics"`    // address of the Prometheus endpoint; empty: none
	// Connections is how many clients may be connected at a time; the oldest idle ones make
	// room. 0: as many as a quarter of the machine's memory holds.
	Connections int `toml:"connections"`
	// Drain is how long WebSockets and requests may go on in the process that an upgrade
	// has replaced.
	Drain Duration `toml:"drain"`
	// ProxyProtocol lists the load balancers (CIDR) whose connections begin with
	// a PROXY protocol header.
	ProxyProtocol []string `toml:"proxy_protocol"`
	// TrustForwarded lists the proxies in front (CIDR) whose X-Forwarded headers
	// are believed.
	TrustForwarded []string `toml:"trust_forwarded"`
}

// TLS configures certificates.
type TLS struct {
	ACME  string `toml:"acme"`  // directory URL; empty: the local CA signs every name
	Email string `toml:"email"` // contact of the account
	// EABKeyID and EABKey bind the account to one at the CA, where it asks for that.
	EABKeyID string `toml:"eab_key_id"`
	EABKey   string `toml:"eab_key"`  // base64url
	CARoots  string `toml:"ca_roots"` // PEM file of roots to trust the ACME server by; empty: the system's
	// DNSProvider answers DNS-01 challenges, which wildcards need; DNS holds its settings.
	DNSProvider string            `toml:"dns_provider"`
	DNS         map[string]string `toml:"dns"` // settings of the provider; see docs/proxy.md
}

// Default is what an absent key means.
func Default() File {
	return File{
		Name:   "towline",
		State:  "/var/lib/towline",
		Run:    "/run/towline",
		User:   "towline",
		Podman: "unix:///run/podman/podman.sock",
		Domain: "localhost",
		Addons: []string{"/usr/share/towline/addons", "/etc/towline/addons"},
		SSH:    SSH{Host: "localhost", Port: 22},
		Limits: defaultLimits(),
		Build: Build{
			Builder:    "docker.io/heroku/builder:24",
			Lifecycle:  "docker.io/buildpacksio/lifecycle:0.20.11",
			Dockerfile: "quay.io/buildah/stable:latest",
			Timeout:    Duration(15 * time.Minute),
			Bases: []string{
				"docker.io/*", "ghcr.io/*", "quay.io/*", "gcr.io/*", "registry.k8s.io/*", "public.ecr.aws/*",
				"mcr.microsoft.com/*", "registry.access.redhat.com/*", "registry.gitlab.com/*",
			},
		},
		Backup: Backup{Keep: 7},
		Logs:   Logs{MaxSize: "100m", MaxAge: Duration(30 * 24 * time.Hour)},
		Proxy: Proxy{
			HTTP:      ":80",
			HTTPS:     ":443",
			Control:   "/run/towline-proxy/control.sock",
			State:     "/var/lib/towline-proxy",
			AccessLog: "/var/log/towline-proxy",
			Metrics:   "127.0.0.1:9180",
			Drain:     Duration(5 * time.Minute),
		},
		TLS: TLS{ACME: "https://acme-v02.api.letsencrypt.org/directory"},
	}
}

// Load reads the file at path over the defaults. An unknown key, a wrong type
// or a value out of range is an error that names the file and, where the parser
// knows it, the line.
func Load(path string) (File, error) {
	f := Default()
	text, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	md, err := toml.Decode(string(text), &f)
	if err != nil {
		var pe toml.ParseError
		if errors.As(err, &pe) {
			return f, fmt.Errorf("%s:%d: %s", path, pe.Position.Line, pe.Message)
		}
		return f, fmt.Errorf("%s: %w", path, err)
	}
	if unknown := md.Undecoded(); len(unknown) > 0 {
		return f, fmt.Errorf("%s:%d: unknown key %q", path, lineOf(string(text), unknown[0]), unknown[0].String())
	}
	if err := f.check(); err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func (f *File) check() error {
	for key, path := range map[string]string{"state": f.State, "run": f.Run, "proxy.state": f.Proxy.State, "proxy.control": f.Proxy.Control} {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("%s: %q is not an absolute path", key, path)
		}
	}
	if f.Name == "" || strings.Trim(f.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fmt.Errorf("name: %q: use lower-case letters, digits and dashes", f.Name)
	}
	if f.SSH.Port < 1 || f.SSH.Port > 65535 {
		return fmt.Errorf("ssh.port: %d is not a port", f.SSH.Port)
	}
	if f.Build.AtOnce < 0 {
		return fmt.Errorf("build.at_once: %d: use 1 or more, or 0 for as many as the machine is fit for", f.Build.AtOnce)
	}
	return f.Limits.check()
}

// lineOf finds the line that sets key. The decoder reports unknown keys without
// positions, so the text is searched for the last word of the key.
func lineOf(text string, key toml.Key) int {
	last := key[len(key)-1]
	for i, line := range strings.Split(text, "\n") {
		name, _, _ := strings.Cut(strings.Trim(strings.TrimSpace(line), "[]"), "=")
		name = strings.Trim(strings.TrimSpace(name), `"'`)
		if name == last || strings.HasSuffix(name, "."+last) || strings.Contains(line, key.String()) {
			return i + 1
		}
	}
	return 1
}

// Duration is a time.Duration written as "15m" or "720h".
type Duration time.Duration

// UnmarshalText reads the forms of time.ParseDuration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err == nil && v <= 0 {
		err = fmt.Errorf("%q is not a positive duration", text)
	}
	*d = Duration(v)
	return err
}

// MarshalText writes the form of time.Duration.String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }
