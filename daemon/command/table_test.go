package command

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/git"
	"towline/daemon/logs"
	"towline/daemon/machine"
	"towline/daemon/store"
	"towline/daemon/vault"
	"towline/plugins"
)

// bench is a verb table on a daemon with the real state, catalog, keys, logs and vault,
// and with an engine and a proxy that have nothing to do: what starts containers is
// tested elsewhere.
type bench struct {
	*Table
	t *testing.T
	d *machine.Machine
}

func newBench(t *testing.T, change ...func(*machine.Options)) *bench {
	t.Helper()
	dir := t.TempDir()
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), filepath.Join(dir, "towline.db"), key)
	if err != nil {
		t.Fatal(err)
	}
	backups, err := vault.New(filepath.Join(dir, "backups"))
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := plugins.Load("../../addons")
	if err != nil {
		t.Fatal(err)
	}
	o := machine.Options{
		Name: "test", Dir: dir, Domain: "example.test", Remote: "ssh://towline@example.test/",
		Store: db, Engine: stillEngine{}, Router: stillRouter{}, Repositories: noRepositories{},
		Unpacker: git.NewUnpacker(git.Limits{}), Keys: git.NewKeys(filepath.Join(dir, "authorized_keys"), "towline-shell"),
		Logs: logs.New(logs.Options{Dir: filepath.Join(dir, "logs")}), Vault: backups, Catalog: catalog,
		Log: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&o)
	}
	d := machine.New(o)
	t.Cleanup(func() {
		d.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	rooms := Rooms{AppRoom: d.AppRoom, AddonRoom: d.AddonRoom, BackupRoom: d.BackupRoom, People: d.People, Activity: d.Activity, Suite: d.Suite, Pipelines: d.Pipelines, Tests: d.Tests, Metrics: d.Metrics}
	return &bench{New(rooms, stillHost), t, d}
}

// result is what a command came to.
type result struct {
	code        int
	out, errors string
}

// member makes a member with a key.
func (b *bench) member(name string) {
	b.t.Helper()
	b.write(func(tx daemon.Tx) error { return tx.InsertMember(daemon.Member{Name: name}) },
		func(tx daemon.Tx) error {
			return tx.InsertKey(daemon.MemberKey{Member: name, Key: newKey(b.t), Fingerprint: "SHA256:" + name})
		})
}

// ask runs a request of the operator's, or of a member that was made by member.
func (b *bench) ask(r Request) result {
	b.t.Helper()
	if r.Member != "" {
		r.Key = "SHA256:" + r.Member
	}
	var out, errors bytes.Buffer
	r.Stdout, r.Stderr = &out, &errors
	if r.Stdin == nil {
		r.Stdin = strings.NewReader("")
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	code := b.Run(ctx, r)
	return result{code, out.String(), errors.String()}
}

// run runs the words of a command line, and fails the test unless it ends with code.
func (b *bench) run(code int, words ...string) result {
	b.t.Helper()
	r := b.ask(Request{Args: words})
	if r.code != code {
		b.t.Fatalf("%q ended with %d, want %d: %s%s", words, r.code, code, r.out, r.errors)
	}
	return r
}

// want fails the test unless text has every part.
func want(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in:\n%s", part, text)
		}
	}
}

func wantNone(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%q is in:\n%s", part, text)
		}
	}
}

// write changes the state directly.
func (b *bench) write(steps ...func(daemon.Tx) error) {
	b.t.Helper()
	err := b.d.Store.Update(b.t.Context(), func(tx daemon.Tx) error {
		for _, step := range steps {
			if err := step(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// stillEngine has no containers.
type stillEngine struct{ daemon.Engine }

func (stillEngine) Container(_ context.Context, name string) (daemon.Container, error) {
	return daemon.Container{}, daemon.Errorf(daemon.NotFound, "there is no container %q", name)
}

func (stillEngine) ContainerList(context.Context, map[string]string) ([]daemon.Container, error) {
	return nil, nil
}

// stillRouter serves nothing.
type stillRouter struct{ daemon.Router }

func (stillRouter) Routes(context.Context) ([]daemon.Route, error) { return nil, nil }

func (stillRouter) Deploy(context.Context, daemon.Route) error { return nil }

func (stillRouter) Certificates(context.Context) ([]daemon.Certificate, error) {
	return []daemon.Certificate{{Host: "shop.example.test", Kind: "internal", State: "ready", Issuer: "Towline", NotAfter: time.Unix(1<<31, 0)}}, nil
}

// noRepositories keeps none.
type noRepositories struct{}

func (noRepositories) Create(context.Context, string) error { return nil }
func (noRepositories) Remove(context.Context, string) error { return nil }
func (noRepositories) Commits(context.Context, string, string, string, int) ([]daemon.Commit, int, error) {
	return nil, 0, nil
}
func (noRepositories) Path(app string) string { return "/nonexistent/" + app + ".git" }

// runningEngine runs one container, or is away.
type runningEngine struct {
	stillEngine
	running string
	away    bool
}

func (e runningEngine) ContainerList(context.Context, map[string]string) ([]daemon.Container, error) {
	if e.away {
		return nil, daemon.Errorf(daemon.Unavailable, "Podman does not answer")
	}
	return []daemon.Container{{Name: e.running, Running: true}}, nil
}
