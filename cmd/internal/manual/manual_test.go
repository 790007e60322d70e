package main

import (
	"compress/gzip"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"towline/cmd/internal/config"
	"towline/daemon/command"
)

var update = flag.Bool("update", false, "write cmd/internal/config/example.toml")

// TestExampleIsCurrent: the example has every key of the type, with its default.
func TestExampleIsCurrent(t *testing.T) {
	keys, err := readConfig("../config")
	if err != nil {
		t.Fatal(err)
	}
	want := exampleOf(keys)
	if *update {
		if err := os.WriteFile("../config/example.toml", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if config.Example != want {
		t.Error(`cmd/internal/config/example.toml is not what the type says: go test -tags "$TAGS" ./cmd/internal/manual -run Example -update`)
	}
}

// TestExampleUncommented: what the example shows is valid, and changes nothing.
func TestExampleUncommented(t *testing.T) {
	var text strings.Builder
	for line := range strings.Lines(config.Example) {
		if !strings.HasPrefix(line, "# ") {
			line = strings.TrimPrefix(line, "#")
		}
		text.WriteString(line)
	}
	for name, text := range map[string]string{"as it is": config.Example, "uncommented": text.String()} {
		path := filepath.Join(t.TempDir(), "towline.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := config.Load(path)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		if have, want := encode(t, f), encode(t, config.Default()); have != want {
			t.Errorf("%s, it means\n%s\nin place of\n%s", name, have, want)
		}
	}
}

func encode(t *testing.T, f config.File) string {
	for _, m := range []*map[string]string{&f.Images, &f.Build.Env, &f.Offsite.Env, &f.TLS.DNS} {
		if len(*m) == 0 {
			*m = nil
		}
	}
	if len(f.Offsite.Flags) == 0 {
		f.Offsite.Flags = nil
	}
	for _, list := range []*[]string{&f.Proxy.ProxyProtocol, &f.Proxy.TrustForwarded, &f.Backup.Recipients} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	var b strings.Builder
	if err := toml.NewEncoder(&b).Encode(f); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPages: every command and every key has its place, and the same sources give the
// same bytes.
func TestPages(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, two} {
		if err := write("../../..", dir, "1.2", "2026-01-01"); err != nil {
			t.Fatal(err)
		}
	}
	read := func(dir, name string) string {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		raw, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(two, name))
		if err != nil || string(raw) != string(other) {
			t.Errorf("%s differs from itself, %v", name, err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	client := read(one, "towline.1.gz")
	for _, topic := range command.Manual() {
		for _, e := range topic.Entries {
			if !strings.Contains(client, roff(e.Usage)) {
				t.Errorf("towline(1) does not tell of %s", e.Usage)
			}
		}
	}
	for _, name := range []string{"towlined.8.gz", "towline-proxy.8.gz", "towline-shell.8.gz", "towline.toml.5.gz"} {
		if text := read(one, name); !strings.HasPrefix(text, ".TH ") {
			t.Errorf("%s begins with %q", name, text[:20])
		}
	}
	if text := read(one, "towline.toml.5.gz"); !strings.Contains(text, "trust_forwarded") {
		t.Error("towline.toml(5) does not tell of proxy.trust_forwarded")
	}
}
