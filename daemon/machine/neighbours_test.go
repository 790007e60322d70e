package machine_test

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/machine"
	"towline/daemon/store"
	"towline/plugins"
)

// patience bounds a wait for what must happen.
const patience = 60 * time.Second

// neighbours are Podman and the proxy as far as the tests of their failures need them:
// they remember what there is, and hook, called before each call with its name and
// subject, has it fail, wait or panic. The store is the real one.
type neighbours struct {
	daemon.Engine
	daemon.Router
	daemon.Logs
	daemon.Builder
	daemon.Repositories
	daemon.Keys

	events chan daemon.Event

	mu         sync.Mutex
	hook       func(ctx context.Context, call, subject string) error
	containers map[string]daemon.Container
	volumes    map[string]daemon.Labelled
	images     map[string]bool
	routes     map[string]daemon.Route
	paused     map[string]bool
	lines      []string // of the apps' logs
	calls      []string
}

func (n *neighbours) call(ctx context.Context, name, subject string) error {
	n.mu.Lock()
	hook := n.hook
	n.calls = append(n.calls, name+" "+subject)
	n.mu.Unlock()
	if hook != nil {
		return hook(ctx, name, subject)
	}
	return nil
}

func (n *neighbours) setHook(hook func(ctx context.Context, call, subject string) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hook = hook
}

func (n *neighbours) called(call string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.calls, call)
}

// said tells whether a line of an app's log holds text.
func (n *neighbours) said(text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.lines, func(line string) bool { return strings.Contains(line, text) })
}

func (n *neighbours) Ping(ctx context.Context) (string, error) {
	return "test", n.call(ctx, "ping", "")
}

func (n *neighbours) Events(context.Context) (<-chan daemon.Event, error) { return n.events, nil }

func (n *neighbours) EnsureNetwork(ctx context.Context, name string, _ map[string]string) error {
	return n.call(ctx, "network", name)
}
func (n *neighbours) RemoveNetwork(ctx context.Context, name string) error {
	return n.call(ctx, "remove network", name)
}
func (n *neighbours) Networks(context.Context) ([]daemon.Labelled, error) { return nil, nil }
func (n *neighbours) Connect(ctx context.Context, network, container string, _ []string) error {
	return n.call(ctx, "connect", container+" to "+network)
}
func (n *neighbours) Disconnect(ctx context.Context, network, container string) error {
	return n.call(ctx, "disconnect", container+" from "+network)
}

func (n *neighbours) EnsureVolume(ctx context.Context, name string, labels map[string]string) error {
	n.mu.Lock()
	n.volumes[name] = daemon.Labelled{Name: name, Labels: labels}
	n.mu.Unlock()
	return n.call(ctx, "volume", name)
}
func (n *neighbours) RemoveVolume(ctx context.Context, name string) error {
	if err := n.call(ctx, "remove volume", name); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.volumes, name)
	return nil
}
func (n *neighbours) Volumes(context.Context) ([]daemon.Labelled, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.volumes)), nil
}

func (n *neighbours) Image(ctx context.Context, ref string) (daemon.Image, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.images[ref] {
		return daemon.Image{}, daemon.Errorf(daemon.NotFound, "image %s", ref)
	}
	return daemon.Image{ID: ref}, nil
}
func (n *neighbours) EnsureImage(ctx context.Context, ref string, _ io.Writer) (daemon.Image, error) {
	return daemon.Image{ID: ref}, n.call(ctx, "image", ref)
}
func (n *neighbours) UntagImage(ctx context.Context, ref string) error {
	if err := n.call(ctx, "untag", ref); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.images, ref)
	return nil
}

func (n *neighbours) CreateContainer(ctx context.Context, spec daemon.ContainerSpec) error {
	if err := n.call(ctx, "create", spec.Name); err != nil {
		return err
	}
	addresses := map[string]string{}
	for _, at := range spec.Networks {
		addresses[at.Network] = "192.0.2.1"
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.containers[spec.Name] = daemon.Container{Name: spec.Name, ID: spec.Name, Labels: spec.Labels, Created: time.Now(), Addresses: addresses}
	return nil
}
func (n *neighbours) change(name string, f func(*daemon.Container)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c, ok := n.containers[name]; ok {
		f(&c)
		n.containers[name] = c
	}
}
func (n *neighbours) StartContainer(ctx context.Context, name string) error {
	if err := n.call(ctx, "start", name); err != nil {
		return err
	}
	n.change(name, func(c *daemon.Container) { c.Running, c.Started = true, time.Now() })
	return nil
}
func (n *neighbours) StopContainer(ctx context.Context, name string, _ time.Duration) error {
	if err := n.call(ctx, "stop", name); err != nil {
		return err
	}
	n.change(name, func(c *daemon.Container) { c.Running = false })
	return nil
}
func (n *neighbours) RemoveContainer(ctx context.Context, name string) error {
	if err := n.call(ctx, "remove", name); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.containers, name)
	return nil
}
func (n *neighbours) Container(ctx context.Context, name string) (daemon.Container, error) {
	if err := n.call(ctx, "container", name); err != nil {
		return daemon.Container{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c, ok := n.containers[name]
	if !ok {
		return c, daemon.Errorf(daemon.NotFound, "container %s", name)
	}
	return c, nil
}
func (n *neighbours) ContainerList(ctx context.Context, labels map[string]string) ([]daemon.Container, error) {
	if err := n.call(ctx, "list", ""); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []daemon.Container
	for _, c := range n.containers {
		has := func(k string) bool { return c.Labels[k] == labels[k] }
		if len(labels) == 0 || !slices.ContainsFunc(slices.Collect(maps.Keys(labels)), func(k string) bool { return !has(k) }) {
			list = append(list, c)
		}
	}
	return list, nil
}
func (n *neighbours) WaitContainer(ctx context.Context, name string) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}
func (n *neighbours) ContainerLog(context.Context, string, bool, io.Writer, io.Writer) error {
	return nil
}
func (n *neighbours) Listeners(context.Context, string) ([]netip.AddrPort, error) { return nil, nil }
func (n *neighbours) RunAttached(ctx context.Context, name string, s daemon.Streams) (int, error) {
	return 0, n.call(ctx, "run", name)
}
func (n *neighbours) Exec(ctx context.Context, name string, cmd daemon.ExecSpec, s daemon.Streams) (int, error) {
	if err := n.call(ctx, "exec", name); err != nil {
		return 0, err
	}
	if s.Stdin != nil {
		if _, err := io.Copy(io.Discard, s.Stdin); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

func (n *neighbours) Deploy(ctx context.Context, r daemon.Route) error {
	if err := n.call(ctx, "deploy", r.App); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.routes[r.App] = r
	return nil
}
func (n *neighbours) Drain(ctx context.Context, app string, _ time.Duration) error {
	return n.call(ctx, "drain", app)
}
func (n *neighbours) Pause(ctx context.Context, app string, _ time.Duration) error {
	if err := n.call(ctx, "pause", app); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.routes[app]; !ok {
		return daemon.Errorf(daemon.NotFound, "no route")
	}
	n.paused[app] = true
	return nil
}
func (n *neighbours) Resume(ctx context.Context, app string) error {
	if err := n.call(ctx, "resume", app); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.paused, app)
	return nil
}
func (n *neighbours) Routes(ctx context.Context) ([]daemon.Route, error) {
	if err := n.call(ctx, "routes", ""); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.routes)), nil
}

func (n *neighbours) ContainerPath(app, process string) string { return "/" + app + "/" + process }
func (n *neighbours) ContainerSize() int64                     { return 1 << 20 }
func (n *neighbours) Write(app, source, process, line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, app+" "+source+" "+line)
}

func (n *neighbours) Build(ctx context.Context, req daemon.BuildRequest, _ io.Writer) (daemon.BuildResult, error) {
	if err := n.call(ctx, "build", req.App); err != nil {
		return daemon.BuildResult{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.images[req.Image] = true
	return daemon.BuildResult{Image: daemon.Image{ID: req.Image}, Kind: "dockerfile", Processes: map[string]string{"web": "serve"}}, nil
}

func (n *neighbours) Create(ctx context.Context, app string) error { return nil }
func (n *neighbours) Clean(ctx context.Context, id string) error   { return n.call(ctx, "clean", id) }

func (n *neighbours) Replace(context.Context, []daemon.MemberKey) error { return nil }

// engineOf and the others part what one type cannot be: two ports have a Remove.
type routerOf struct{ *neighbours }

func (r routerOf) Remove(ctx context.Context, app string) error {
	if err := r.call(ctx, "remove route", app); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.routes, app)
	return nil
}

type logsOf struct{ *neighbours }

func (logsOf) KeepOutput(string, string, int, int) (io.WriteCloser, error)             { return nowhere{}, nil }
func (logsOf) Remove(string) error                                                     { return nil }
func (logsOf) Prune([]string) error                                                    { return nil }
func (logsOf) Read(context.Context, daemon.LogQuery, func(daemon.LogLine) error) error { return nil }

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Close() error                { return nil }

type repositoriesOf struct{ *neighbours }

func (repositoriesOf) Remove(context.Context, string) error { return nil }
func (repositoriesOf) Path(app string) string               { return app }

type quietLog struct{ t *testing.T }

func (q quietLog) Write(b []byte) (int, error) {
	q.t.Logf("%s", strings.TrimSpace(string(b)))
	return len(b), nil
}

// newNeighbours returns what a daemon has around it, with nothing in it.
func newNeighbours() *neighbours {
	return &neighbours{
		events: make(chan daemon.Event, 16), containers: map[string]daemon.Container{}, volumes: map[string]daemon.Labelled{},
		images: map[string]bool{}, routes: map[string]daemon.Route{}, paused: map[string]bool{},
	}
}

// daemonIn returns a daemon whose state is in dir, and its store.
func daemonIn(t *testing.T, dir string, n *neighbours, change ...func(*machine.Options)) *machine.Machine {
	t.Helper()
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), filepath.Join(dir, "towline.db"), key)
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := plugins.Load("../../addons")
	if err != nil {
		t.Fatal(err)
	}
	o := machine.Options{
		Name: "towline", Dir: dir, Domain: "example.test", Store: db, Engine: n, Builder: n, Router: routerOf{n},
		Repositories: repositoriesOf{n}, Keys: n, Logs: logsOf{n}, Catalog: catalog,
		Log: slog.New(slog.NewTextHandler(quietLog{t}, nil)),
	}
	for _, f := range change {
		f(&o)
	}
	d := machine.New(o)
	t.Cleanup(func() {
		ended := make(chan struct{})
		go func() { d.Close(); close(ended) }()
		within(t, ended, "the end of the daemon")
		db.Close()
	})
	return d
}

func newDaemon(t *testing.T, n *neighbours, change ...func(*machine.Options)) *machine.Machine {
	t.Helper()
	return daemonIn(t, t.TempDir(), n, change...)
}

// deployed makes an app whose release v2 runs nothing yet.
func deployed(t *testing.T, d *machine.Machine, n *neighbours, name string, formation daemon.Formation, processes ...string) {
	t.Helper()
	if _, err := d.Apps.Create(t.Context(), name, ""); err != nil {
		t.Fatal(err)
	}
	types := map[string]daemon.Process{}
	for _, p := range processes {
		types[p] = daemon.Process{Command: "run-" + p}
	}
	image := "localhost/towline/" + name + ":1"
	n.mu.Lock()
	n.images[image] = true
	n.mu.Unlock()
	err := d.Store.Update(t.Context(), func(tx daemon.Tx) error {
		rel := daemon.Release{App: name, Status: daemon.ReleaseGood, Description: "Deploy", Image: image, Kind: "dockerfile",
			Processes: types, Config: map[string]string{}, Created: time.Now()}
		if err := tx.InsertRelease(&rel); err != nil {
			return err
		}
		app, err := tx.App(name)
		if err != nil {
			return err
		}
		app.Current, app.Formation = rel.Version, formation
		return tx.UpdateApp(app)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ready makes a Redis add-on that is attached to an app and runs.
func ready(t *testing.T, d *machine.Machine, n *neighbours, addon, app string) {
	t.Helper()
	m, ok := d.Catalog.Service("redis")
	if !ok {
		t.Fatal("there is no redis")
	}
	err := d.Store.Update(t.Context(), func(tx daemon.Tx) error {
		a := daemon.Addon{Name: addon, Service: "redis", Plan: m.DefaultPlan, Version: m.DefaultVersion, Status: daemon.AddonReady,
			Created: time.Now(), Generation: 1, Secrets: m.NewSecrets()}
		if err := tx.InsertAddon(a); err != nil {
			return err
		}
		return tx.InsertAttachment(daemon.AddonAttachment{Addon: addon, App: app})
	})
	if err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	name := "towline-addon-" + addon + ".1"
	n.containers[name] = daemon.Container{Name: name, Running: true, Labels: map[string]string{"towline.addon": addon, "towline.kind": "addon"}}
}

func operations(t *testing.T, d *machine.Machine) (list []daemon.Operation) {
	t.Helper()
	err := d.Store.View(t.Context(), func(tx daemon.Tx) (err error) {
		list, err = tx.Operations()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// within fails the test unless ch delivers or is closed.
func within[T any](t *testing.T, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("%s: nothing", what)
	}
	return v
}

// until polls for what must become true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
