package journeys

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/faults"
	"towline/daemon/git"
	keeping "towline/daemon/logs"
	"towline/daemon/machine"
	"towline/daemon/memory"
	"towline/daemon/store"
	"towline/daemon/vault"
	"towline/plugins"
)

// world is all that outlives a daemon.
type world struct {
	t        *testing.T
	dir      string
	engine   *memory.Engine
	router   *memory.Router
	programs *programs
	git      *repositories
	offsite  *offsite
	lives    []*life
	// remembered is what a journey keeps to compare with.
	remembered string
	full       atomic.Bool // the disk
}

// life is a daemon from its start to its end.
type life struct {
	towline
	t     *testing.T
	line  *faults.Line
	state daemon.Store // behind the line's back
	end   func()

	mu     sync.Mutex
	points []string // of the journal
	die    string   // the point at which it dies
}

// newWorld returns one with nothing in it. It is for use in a bubble of synctest.
func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp(fast(), "journey")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for _, d := range []string{"volumes", "vault", "state"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, dir: dir, programs: &programs{prepared: map[string]bool{}}, git: &repositories{made: map[string]bool{}}, offsite: &offsite{has: map[string]bool{}}}
	w.engine = memory.NewEngine("towline", filepath.Join(dir, "volumes"), w.programs.run)
	w.router = memory.NewRouter(w.answers)
	t.Cleanup(w.over)
	return w
}

// fast is where a write need not outlive the machine, as here only daemons die.
func fast() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// answers tells whether a web process is where the proxy is to look for it.
func (w *world) answers(t daemon.Target) error {
	c, err := w.engine.Container(context.Background(), t.ID)
	if err != nil {
		return err
	}
	for _, ip := range c.Addresses {
		if t.Address == ip+":5000" {
			return nil
		}
	}
	return fmt.Errorf("nothing listens at %s", t.Address)
}

// over ends all daemons, and all that runs.
func (w *world) over() {
	for _, l := range slices.Backward(w.lives) {
		l.end()
	}
	time.Sleep(time.Hour) // what a dead daemon had begun unwinds
	w.engine.Close()
}

// start starts a daemon on what the one before left.
func (w *world) start() *life {
	w.t.Helper()
	l := w.prepare()
	if err := l.begin(w.t.Context()); err != nil {
		w.t.Fatalf("the start of the daemon: %v", err)
	}
	l.superviseUntil(w.t.Context())
	return l
}

// prepare makes a daemon that was not started yet.
func (w *world) prepare() *life {
	w.t.Helper()
	state := filepath.Join(w.dir, "state")
	key, err := store.LoadKey(filepath.Join(state, "key"))
	w.must(err)
	db, err := store.Open(w.t.Context(), filepath.Join(state, "towline.db"), key)
	w.must(err)
	keep, err := vault.New(filepath.Join(w.dir, "vault"))
	w.must(err)
	catalog, err := plugins.Load("testdata/addons")
	w.must(err)
	l := &life{t: w.t, line: faults.NewLine(), state: db}
	o := machine.Options{
		Name: "towline", Dir: state, Domain: "example.test", Catalog: catalog,
		Store: db, Engine: w.engine, Router: w.router, Vault: keep, Offsite: w.offsite, Builder: builder{w.engine}, Repositories: w.git,
		Unpacker: git.NewUnpacker(git.Limits{}), Keys: w.git, Logs: logs{w.dir}, Fault: l.fault,
		DiskShort: func(context.Context) (string, error) {
			if w.full.Load() {
				return "/var", nil
			}
			return "", nil
		},
		Log: slog.New(slog.NewTextHandler(quiet{l}, nil)),
	}
	l.towline = newTowline(l.line, o)
	l.end = sync.OnceFunc(func() {
		l.line.Bury()
		l.Close()
		w.must(db.Close())
	})
	w.lives = append(w.lives, l)
	return l
}

func (l *life) fault(point string) {
	if !l.line.Alive() {
		return
	}
	time.Sleep(time.Millisecond) // as no work takes time here, and backups are called after theirs
	l.mu.Lock()
	l.points = append(l.points, point)
	dies := l.die == point
	l.mu.Unlock()
	if dies {
		l.line.Die()
	}
}

// dieAt has the daemon die at a point of the journal.
func (l *life) dieAt(point string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.die, l.points = point, nil
}

func (l *life) passed() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.points)
}

// settle waits until nothing is under way any more.
func (w *world) settle() { time.Sleep(3 * time.Hour) }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// source is a tar of an app of that version.
func source(version string) []byte {
	return archive(map[string]string{"Procfile": "web: serve\nworker: work\nrelease: migrate\n", "version": version})
}

func archive(files map[string]string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		_ = w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))})
		_, _ = io.WriteString(w, text)
	}
	_ = w.Close()
	return b.Bytes()
}

// builder makes images that say their version in a label.
type builder struct{ engine *memory.Engine }

func (b builder) Build(ctx context.Context, req daemon.BuildRequest, out io.Writer) (daemon.BuildResult, error) {
	fmt.Fprintln(out, "-----> Building with", strings.Join(slices.Collect(maps.Values(req.Env)), " "))
	if _, err := os.Stat(filepath.Join(req.Source, "hangs")); err == nil {
		fmt.Fprint(out, "the end of a line does not come")
		<-ctx.Done()
		return daemon.BuildResult{}, ctx.Err()
	}
	version, err := os.ReadFile(filepath.Join(req.Source, "version"))
	if err != nil {
		return daemon.BuildResult{}, err
	}
	image := b.engine.AddImage(daemon.Image{Refs: []string{req.Image}, Labels: map[string]string{"version": string(version)}, Entrypoint: []string{"/app"}})
	return daemon.BuildResult{Image: image, Kind: "dockerfile"}, nil
}

func (builder) Clean(context.Context, string) error        { return nil }
func (builder) RemoveCaches(context.Context, string) error { return nil }

// repositories are apps' repositories, and the keys.
type repositories struct {
	mu   sync.Mutex
	made map[string]bool
}

func (r *repositories) Create(_ context.Context, app string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made[app] = true
	return nil
}

func (r *repositories) Remove(_ context.Context, app string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.made, app)
	return nil
}

func (r *repositories) Commits(context.Context, string, string, string, int) ([]daemon.Commit, int, error) {
	return nil, 0, nil
}
func (r *repositories) Path(app string) string                            { return app }
func (r *repositories) Replace(context.Context, []daemon.MemberKey) error { return nil }
func (r *repositories) Parse(line string) (string, string, error)         { return line, line, nil }

// offsite knows which backups it has.
type offsite struct {
	mu    sync.Mutex
	has   map[string]bool
	hangs atomic.Bool // as it is to forget something
}

func (o *offsite) Upload(_ context.Context, id string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.has[id] = true
	return nil
}

func (o *offsite) Fetch(context.Context, string) error {
	return errors.New("nothing is missing here")
}

func (o *offsite) Forget(ctx context.Context, id string) error {
	if o.hangs.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.has, id)
	return nil
}

func (o *offsite) holds(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.has[id]
}

func (o *offsite) Place() string { return "elsewhere" }

// logs are where nobody looks.
type logs struct{ dir string }

func (l logs) ContainerPath(app, process string) string {
	return filepath.Join(l.dir, "logs", app, process)
}
func (logs) ContainerSize() int64                                                    { return 1 << 20 }
func (logs) Prune([]string) error                                                    { return nil }
func (logs) Write(app, source, process, line string)                                 {}
func (logs) Read(context.Context, daemon.LogQuery, func(daemon.LogLine) error) error { return nil }
func (l logs) KeepOutput(app, of string, number, keep int) (io.WriteCloser, error) {
	return keeping.New(keeping.Options{Dir: filepath.Join(l.dir, "logs")}).KeepOutput(app, of, number, keep)
}
func (logs) Remove(string) error { return nil }

// quiet is the daemon's log, shown where a test fails.
type quiet struct{ l *life }

func (q quiet) Write(b []byte) (int, error) {
	q.l.t.Logf("%s", strings.TrimSpace(string(b)))
	return len(b), nil
}
