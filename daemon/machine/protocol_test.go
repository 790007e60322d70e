package machine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/apps"
	"towline/daemon/git"
	"towline/daemon/machine"
	"towline/daemon/router"
	"towline/proxy/control"
)

// served is the proxy as far as the real router needs it: it remembers services.
type served struct {
	control.Proxy
	mu       sync.Mutex
	services map[string]control.Service
	deploys  int
}

func (p *served) Deploy(_ context.Context, s control.Service) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.services[s.Name] = s
	p.deploys++
	return nil
}

func (p *served) Drain(context.Context, string, time.Duration) error { return nil }

func (p *served) Services(context.Context) (all []control.Status, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.services {
		all = append(all, control.Status{Service: s})
	}
	return all, nil
}

// targets of the service, and how often any was deployed.
func (p *served) targets(service string) ([]control.Target, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.services[service].Targets, p.deploys
}

// tarOf is an archive of these files.
func tarOf(t *testing.T, files map[string]string) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// What an app.json says of the protocol reaches the proxy with each target, and follows
// the release: through scaling, a restart of the process, a deploy and a rollback.
func TestProtocolReachesTheProxy(t *testing.T) {
	n, p := newNeighbours(), &served{services: map[string]control.Service{}}
	d := newDaemon(t, n, func(o *machine.Options) {
		o.Unpacker, o.Router = git.NewUnpacker(git.Limits{}), router.New(p)
	})
	if _, err := d.Apps.Create(t.Context(), "calls", ""); err != nil {
		t.Fatal(err)
	}
	want := func(when string, h2c bool, count int) {
		t.Helper()
		targets, _ := p.targets("calls")
		if len(targets) != count {
			t.Fatalf("%s: targets %+v, want %d", when, targets, count)
		}
		for _, target := range targets {
			if target.H2C != h2c {
				t.Errorf("%s: target %+v, want H2C %t", when, target, h2c)
			}
		}
	}
	files := map[string]string{"Procfile": "web: serve\n", "app.json": `{"protocol": {"web": "h2c"}}`}
	rel, err := d.Releases.Deploy(t.Context(), apps.DeployRequest{App: "calls", Source: tarOf(t, files)}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want("deployed", true, 1)
	if _, err := d.Processes.Scale(t.Context(), "calls", "", []apps.Change{{Type: "web", Count: 2}}, io.Discard); err != nil {
		t.Fatal(err)
	}
	want("scaled", true, 2)

	// A process that is restarted has another address, and speaks what it spoke.
	go d.Supervisor.Run(t.Context())
	targets, before := p.targets("calls")
	died, err := n.Container(t.Context(), targets[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	n.change(died.Name, func(c *daemon.Container) {
		moved := map[string]string{}
		for network := range c.Addresses {
			moved[network] = "192.0.2.77"
		}
		c.Running, c.Addresses = false, moved
	})
	n.events <- daemon.Event{Container: died.Name, Labels: died.Labels, Died: true, ExitCode: 1}
	until(t, "the route follows the restarted process", func() bool { _, n := p.targets("calls"); return n > before })
	want("restarted", true, 2)
	if targets, _ := p.targets("calls"); !strings.HasPrefix(targets[0].Address, "192.0.2.77:") {
		t.Errorf("restarted: target %+v", targets[0])
	}

	delete(files, "app.json")
	if _, err := d.Releases.Deploy(t.Context(), apps.DeployRequest{App: "calls", Source: tarOf(t, files)}, io.Discard); err != nil {
		t.Fatal(err)
	}
	want("without app.json", false, 2)
	if _, err := d.Releases.Rollback(t.Context(), "calls", "", rel.Version, nil); err != nil {
		t.Fatal(err)
	}
	want("rolled back", true, 2)
}
