package plugins_test

import (
	"crypto/tls"
	"encoding/base64"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"towline/plugins"
)

func load(t *testing.T, text string) *plugins.Manifest {
	t.Helper()
	m, err := plugins.LoadFile(write(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRender(t *testing.T) {
	m := load(t, good)
	secrets := m.NewSecrets()
	spec, err := m.Render(plugins.Instance{Name: "demo-shop", Host: "demo-shop", Version: "1", Plan: "small", Secrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
	if spec.Image != "example.org/demo:1.0" || spec.Memory != 64<<20 {
		t.Errorf("image %q, memory %d", spec.Image, spec.Memory)
	}
	if !slices.Equal(spec.Command, []string{"demo", "--user=demo"}) {
		t.Errorf("command %q", spec.Command)
	}
	if spec.Env["DEMO_HEAP"] != "32m" || spec.Env["DEMO_MB"] != "64" {
		t.Errorf("env %v", spec.Env)
	}
	if want := "port = 4000\npassword = " + secrets["password"] + "\n"; spec.Files[0].Content != want || spec.Files[0].Mode != 0o440 {
		t.Errorf("file %+v", spec.Files[0])
	}
	if spec.Probe.Interval != 20*time.Millisecond || spec.Probe.Deadline != 5*time.Second {
		t.Errorf("probe %v", spec.Probe)
	}
	// Without a rotation under way, old and new are the same.
	if spec.Rotate.Env["OLD"] != secrets["password"] || spec.Rotate.Env["NEW"] != secrets["password"] {
		t.Error("rotate without a rotation")
	}
	next := m.Rotated(secrets)
	spec, err = m.Render(plugins.Instance{Name: "a", Host: "a", Version: "1", Plan: "small", Secrets: secrets, Next: next})
	if err != nil {
		t.Fatal(err)
	}
	if spec.Rotate.Env["OLD"] != secrets["password"] || spec.Rotate.Env["NEW"] != next["password"] {
		t.Error("rotate has not the old and the new password")
	}
	for _, i := range []plugins.Instance{{Version: "2", Plan: "small"}, {Version: "1", Plan: "big"}} {
		if _, err := m.Render(i); err == nil {
			t.Errorf("%+v was rendered", i)
		}
	}
}

func TestVars(t *testing.T) {
	m := load(t, good)
	secrets := m.NewSecrets()
	spec, err := m.Render(plugins.Instance{Name: "d", Host: "demo-shop", Version: "1", Plan: "small", Secrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
	want := "demo://demo:" + secrets["password"] + "@demo-shop:4000"
	if got := spec.Vars(""); len(got) != 1 || got[0] != (plugins.Var{Name: "DEMO_URL", Value: want}) {
		t.Error(got)
	}
	if got := spec.Vars("CACHE"); got[0].Name != "CACHE_URL" || got[0].Value != want {
		t.Error(got)
	}
}

func TestSecrets(t *testing.T) {
	m := load(t, good)
	a, b := m.NewSecrets(), m.NewSecrets()
	if a["password"] == b["password"] {
		t.Error("two add-ons have one password")
	}
	if a["user"] != "demo" {
		t.Errorf("user %q is not the manifest's first", a["user"])
	}
	raw, err := base64.RawURLEncoding.DecodeString(a["password"][1:])
	if err != nil || len(raw)*8 < 128 {
		t.Errorf("%d bits, %v", len(raw)*8, err)
	}
	if url.QueryEscape(a["password"]) != a["password"] {
		t.Error("a URL needs the password escaped")
	}
	if _, err := tls.X509KeyPair([]byte(a["tls_cert"]), []byte(a["tls_key"])); err != nil {
		t.Error(err)
	}
	r := m.Rotated(a)
	if r["password"] == a["password"] || r["user"] == "demo" || r["tls_cert"] != a["tls_cert"] {
		t.Error("a rotation replaces what is random, and user names, and no certificate")
	}
}

// TestOurs loads what Towline brings along.
func TestOurs(t *testing.T) {
	catalog, err := plugins.Load("../addons")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(catalog.Names(), " "); got != "neo4j postgres redis" {
		t.Error(got)
	}
	for service, vars := range map[string]string{
		"neo4j":    "GRAPHENEDB_URL GRAPHENEDB_BOLT_URL GRAPHENEDB_BOLT_USER GRAPHENEDB_BOLT_PASSWORD",
		"redis":    "REDISCLOUD_URL",
		"postgres": "DATABASE_URL",
	} {
		m, _ := catalog.Service(service)
		for _, version := range m.VersionNames() {
			spec, err := m.Render(plugins.Instance{Name: "x", Host: "x", Version: version, Plan: m.DefaultPlan, Secrets: m.NewSecrets()})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, v := range spec.Vars("") {
				names = append(names, v.Name)
				if strings.HasPrefix(v.Value, "http://") && !strings.HasSuffix(v.Value, ":7474") {
					t.Errorf("%s has a path: %s", v.Name, v.Value)
				}
			}
			if got := strings.Join(names, " "); got != vars {
				t.Errorf("%s %s: %s", service, version, got)
			}
		}
	}
}

// TestLoadOverrides: the later directory's manifest counts, and a broken one does not
// take the others with it.
func TestLoadOverrides(t *testing.T) {
	first, second := write(t, good), write(t, strings.Replace(good, "A demo", "Mine", 1))
	broken := write(t, "name = 3")
	dirs := func(paths ...string) (out []string) {
		for _, p := range paths {
			out = append(out, filepath.Dir(filepath.Dir(p)))
		}
		return out
	}
	c, err := plugins.Load(dirs(first, second)...)
	if m, ok := c.Service("demo"); err != nil || !ok || m.Title != "Mine" {
		t.Errorf("%v %v", m, err)
	}
	// Two of one name in one directory: the later does not take the first one's place.
	twin := filepath.Join(filepath.Dir(filepath.Dir(first)), "demo-two", plugins.FileName)
	if err := os.MkdirAll(filepath.Dir(twin), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(twin, []byte(strings.Replace(good, "A demo", "Twin", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err = plugins.Load(dirs(first)...)
	if m, _ := c.Service("demo"); m.Title != "A demo" || err == nil || !strings.Contains(err.Error(), twin+`:1: name "demo" is taken by `+first) {
		t.Errorf("%v %v", m, err)
	}
	c, err = plugins.Load(dirs(first, broken)...)
	if _, ok := c.Service("demo"); err == nil || !ok {
		t.Errorf("a broken manifest took a good one with it, or was not told: %v", err)
	}
}

func TestRenderProbes(t *testing.T) {
	for probe, want := range map[string]plugins.Probe{
		`tcp = "main"`:             {Port: 4000},
		`http = { port = "main" }`: {Port: 4000, Path: "/", Status: 200},
		`http = { port = "main", path = "/up?x=1", status = 401 }`: {Port: 4000, Path: "/up?x=1", Status: 401},
	} {
		m := load(t, strings.Replace(good, "command = [\"demo\", \"ping\"]\ninterval = \"20ms\"", probe, 1))
		spec, err := m.Render(plugins.Instance{Name: "a", Host: "a", Version: "1", Plan: "small", Secrets: m.NewSecrets()})
		got := spec.Probe
		if err != nil || len(got.Command) > 0 || got.Port != want.Port || got.Path != want.Path || got.Status != want.Status {
			t.Errorf("%s: %+v, %v", probe, got, err)
		}
		if got.Interval != 50*time.Millisecond || got.Deadline != 5*time.Second {
			t.Errorf("%s: every %s for %s", probe, got.Interval, got.Deadline)
		}
	}
}

func TestHints(t *testing.T) {
	h := plugins.NewHints(load(t, good+"[[log_hints]]\nmatch = '(?i)no space left'\nsay = 'the disk is full'\n").LogHints)
	for _, tt := range [][2]string{{"ready", ""}, {"write: No space left on device", "the disk is full"}, {"no space left", ""}} {
		if got := h.Of(tt[0]); got != tt[1] {
			t.Errorf("%q means %q, want %q", tt[0], got, tt[1])
		}
	}
}
