package machine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"towline/daemon"
	"towline/daemon/apps"
	"towline/daemon/backups"
	"towline/daemon/git"
	"towline/daemon/journal"
	"towline/daemon/machine"
)

// screen is what a user sees.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func hurried(o *machine.Options) { o.InputIdle = 50 * time.Millisecond }

func sourceTar(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	text := []byte("web: serve\n")
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "Procfile", Mode: 0o644, Size: int64(len(text))})); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// inputs that never come whole, after what came before.
func inputs(t *testing.T) map[string]func(before []byte) io.Reader {
	return map[string]func(before []byte) io.Reader{
		"idle from the start": func([]byte) io.Reader { r, w := io.Pipe(); t.Cleanup(func() { w.Close() }); return r },
		"idle half-way": func(before []byte) io.Reader {
			r, w := io.Pipe()
			t.Cleanup(func() { w.Close() })
			go func() { _, _ = w.Write(before) }()
			return r
		},
		"broken": func(before []byte) io.Reader {
			return io.MultiReader(bytes.NewReader(before), iotest.ErrReader(errors.New("the client hung up")))
		},
	}
}

// An archive that breaks off, or does not go on, ends the deploy, and holds no lock
// meanwhile.
func TestSourceThatDoesNotCome(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n, hurried, func(o *machine.Options) { o.Unpacker = git.NewUnpacker(git.Limits{}) })
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	for name, input := range inputs(t) {
		_, err := d.Releases.Deploy(t.Context(), apps.DeployRequest{App: "shop", Source: input(sourceTar(t)[:600])}, nil)
		if kindOf(err) != daemon.Failed || !strings.Contains(err.Error(), "the input broke off") {
			t.Errorf("%s: %v", name, err)
		}
		if ops := operations(t, d); len(ops) > 0 {
			t.Errorf("%s: left in the journal: %+v", name, ops)
		}
	}
	entries, err := os.ReadDir(filepath.Join(d.Dir, "work"))
	if err == nil && len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestLocksAreFreeWhileInputComes(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n, func(o *machine.Options) { o.Unpacker = git.NewUnpacker(git.Limits{}) })
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	ready(t, d, n, "cache", "shop")
	r, w := io.Pipe()
	ended := make(chan error, 2)
	go func() {
		_, err := d.Releases.Deploy(t.Context(), apps.DeployRequest{App: "shop", Source: r}, nil)
		ended <- err
	}()
	r2, w2 := io.Pipe()
	go func() {
		_, err := d.Restores.Restore(t.Context(), backups.RestoreRequest{To: "cache", Dump: r2}, nil)
		ended <- err
	}()
	for _, w := range []*io.PipeWriter{w, w2} { // both are reading
		if _, err := w.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	free := make(chan error, 2)
	go func() { free <- d.Processes.Restart(t.Context(), "shop", "", "", nil) }()
	go func() { free <- d.Addons.Restart(t.Context(), "cache", "", nil) }()
	for range 2 {
		if err := within(t, free, "a change while an input comes"); err != nil {
			t.Error(err)
		}
	}
	w.CloseWithError(errors.New("gone"))
	w2.CloseWithError(errors.New("gone"))
	for range 2 {
		if err := within(t, ended, "the end of a broken input"); err == nil || !strings.Contains(err.Error(), "gone") {
			t.Errorf("got %v", err)
		}
	}
}

// A dump that breaks off changes nothing: it never comes to the add-on.
func TestDumpThatDoesNotCome(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n, hurried)
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	ready(t, d, n, "cache", "shop")
	for name, input := range inputs(t) {
		_, err := d.Restores.Restore(t.Context(), backups.RestoreRequest{To: "cache", Dump: input([]byte("REDIS0011"))}, nil)
		var e *daemon.Error
		if !errors.As(err, &e) || e.Kind != daemon.Failed || !strings.Contains(e.Hint, "nothing was changed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(d.Dir, "work")); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if n.called("exec towline-addon-cache.1") || n.called("stop towline-addon-cache.1") || len(n.volumes) > 0 {
		t.Error("the add-on was touched")
	}
	if err := d.Addons.Restart(t.Context(), "cache", "", nil); err != nil {
		t.Errorf("the add-on is wedged: %v", err)
	}
}

// Who waits for a lock is told for what, begun by whom and when.
func TestWaitingIsTold(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	reached, goOn := make(chan bool), make(chan bool)
	var once sync.Once
	n.setHook(func(_ context.Context, call, _ string) error {
		if call == "deploy" {
			once.Do(func() { reached <- true; <-goOn })
		}
		return nil
	})
	ended := make(chan error, 2)
	go func() { ended <- d.Processes.Restart(t.Context(), "shop", "alice", "", nil) }()
	within(t, reached, "the first restart")
	var told, quiet screen
	go func() { ended <- d.Processes.Restart(t.Context(), "shop", "bob", "", &told) }()
	until(t, "the second is told", func() bool {
		text := told.String()
		return strings.Contains(text, "Waiting for a change of the processes of shop, begun by alice ") && strings.Contains(text, " ago, at ")
	})
	// So is a call that says nothing else.
	ctx, cancel := context.WithCancel(journal.TellWaits(t.Context(), &quiet))
	maintenance := make(chan error, 1)
	go func() { maintenance <- d.Routes.SetMaintenance(ctx, "shop", "", true) }()
	until(t, "the third is told", func() bool { return strings.Contains(quiet.String(), "by alice") })
	cancel()
	if err := within(t, maintenance, "the end of who waits"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(goOn)
	for range 2 {
		if err := within(t, ended, "a restart"); err != nil {
			t.Error(err)
		}
	}
}
