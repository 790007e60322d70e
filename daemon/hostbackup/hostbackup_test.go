package hostbackup

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"towline/daemon"
	"towline/daemon/store"
)

// repositories are files of the apps' names, in place of git: that is tested in daemon/git.
type repositories struct{ dir string }

func (r repositories) path(app string) string { return filepath.Join(r.dir, app+".git", "all") }

func (r repositories) Bundle(_ context.Context, app string, w io.Writer) error {
	text, err := os.ReadFile(r.path(app))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	_, werr := w.Write(text)
	return errors.Join(err, werr)
}

func (r repositories) Create(_ context.Context, app string) error {
	return os.MkdirAll(filepath.Dir(r.path(app)), 0o755)
}

func (r repositories) Unbundle(_ context.Context, app, bundle string) error {
	text, err := os.ReadFile(bundle)
	return errors.Join(err, os.WriteFile(r.path(app), text, 0o600))
}

// images are names, in a docker archive of the right form.
type images struct{ have map[string]bool }

func (i images) Image(_ context.Context, ref string) (daemon.Image, error) {
	if !i.have[ref] {
		return daemon.Image{}, daemon.ErrNotFound
	}
	return daemon.Image{ID: ref}, nil
}

func (i images) SaveImages(_ context.Context, refs []string, w io.Writer) error {
	t := tar.NewWriter(w)
	layer := bytes.Repeat([]byte("layer"), 4<<20) // more than one part
	index := `[{"Config":"c.json","RepoTags":["` + strings.Join(refs, `","`) + `"],"Layers":["l.tar"]}]`
	for name, text := range map[string][]byte{"c.json": []byte("{}"), "l.tar": layer, "manifest.json": []byte(index)} {
		if err := t.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o600}); err != nil {
			return err
		}
		if _, err := t.Write(text); err != nil {
			return err
		}
	}
	return t.Close()
}

func (i images) LoadImages(_ context.Context, r io.Reader) ([]string, error) {
	if c, ok := r.(io.Closer); ok {
		defer c.Close() // as an HTTP client does
	}
	refs, err := imagesOf(r)
	for _, ref := range refs {
		i.have[ref] = true
	}
	return refs, err
}

// second is the machine that is restored into.
type second struct {
	repositories
	store    daemon.Store
	refilled *[]string
	fails    *string
}

func (s second) Store() daemon.Store { return s.store }

func (s second) Refill(_ context.Context, addon, backup string, _ io.Writer) error {
	if *s.fails == addon {
		return errors.New("it does not start")
	}
	*s.refilled = append(*s.refilled, addon+" from "+backup)
	return nil
}

func (s second) Close(context.Context, bool) error { return s.store.Close() }

type bench struct {
	*Host
	t        *testing.T
	dir      string
	images   images
	identity string
	to       string
	refilled []string
	fails    string
}

const ref = "localhost/towline/shop:1"

// newBench is a machine with an app and an add-on, or an empty one.
func newBench(t *testing.T, empty bool) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), images: images{map[string]bool{}}}
	state := filepath.Join(b.dir, "state")
	open := func(path, keyFile string) daemon.Store {
		key, err := store.LoadKey(keyFile)
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context(), path, key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	b.write("state/plugins/memcached/plugin.toml", "name = \"memcached\"\n")
	b.write("proxy/routes/shop.json", "stale")
	b.write("proxy/ca/root.key", "the CA's key")
	b.write("towline.toml", "domain = \"example.com\"\n")
	db := open(filepath.Join(state, "towline.db"), filepath.Join(state, "key")).(*store.Store)
	t.Cleanup(func() { db.Close() })
	if !empty {
		b.write("state/git/shop.git/all", "commits")
		b.write("state/backups/db.20260102/data.tar.zst", "the data")
		b.write("state/backups/db.20260102/manifest.json", "{}")
		b.write("state/backups/fresh.20250102/data.tar.zst", "of an earlier add-on")
		b.write("state/backups/fresh.20250103/data.tar.zst", "of another owner's")
		b.images.have[ref] = true
		err := db.Update(t.Context(), func(tx daemon.Tx) error {
			now := time.Now().UTC()
			config := map[string]string{"SECRET": "hunter2"}
			rel := daemon.Release{App: "shop", Image: ref, Status: daemon.ReleaseGood, Config: config}
			return errors.Join(
				tx.InsertApp(daemon.App{Name: "shop", Config: config, Current: 1}), tx.InsertRelease(&rel),
				tx.InsertApp(daemon.App{Name: "new", Config: config}),
				tx.InsertAddon(daemon.Addon{Name: "db", Status: daemon.AddonReady}), tx.InsertAddon(daemon.Addon{Name: "fresh", Status: daemon.AddonReady, Created: now}),
				tx.InsertBackup(daemon.Backup{ID: "fresh.20250102", Addon: "fresh", Status: daemon.BackupGood, Proven: now, Created: now.Add(-time.Hour)}),            // of an earlier add-on
				tx.InsertBackup(daemon.Backup{ID: "fresh.20250103", Addon: "fresh", App: "new", Status: daemon.BackupGood, Proven: now, Created: now.Add(time.Hour)}), // of another owner's
				tx.InsertBackup(daemon.Backup{ID: "db.20260102", Addon: "db", Status: daemon.BackupGood, Proven: now, Created: now}),
				tx.InsertBackup(daemon.Backup{ID: "db.20260103", Addon: "db", Status: daemon.BackupFailed, Created: now.Add(time.Hour)}))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	b.identity, b.to = b.write("identity", id.String()+"\n"), id.Recipient().String()
	b.Host = New(Options{
		Name: "towline", Domain: "example.com", Version: "1", State: state, Proxy: filepath.Join(b.dir, "proxy"), Plugins: filepath.Join(state, "plugins"),
		Files: map[string]string{"towline.toml": filepath.Join(b.dir, "towline.toml")},
		Store: db, AsOf: func(b daemon.Backup) time.Time { return b.Created }, Repositories: repositories{filepath.Join(state, "git")}, Images: b.images,
		Snapshot: func(ctx context.Context, to string) (daemon.Store, error) {
			if err := db.Snapshot(ctx, to); err != nil {
				return nil, err
			}
			text, err := os.ReadFile(to)
			if err := errors.Join(err, os.WriteFile(to+".read", text, 0o600)); err != nil {
				return nil, err
			}
			return open(to+".read", filepath.Join(state, "key")), nil
		},
		Second: func(_ context.Context, root string) (Machine, error) {
			// Git works below it as another account.
			for dir := filepath.Dir(root); strings.HasPrefix(dir, state+"/"); dir = filepath.Dir(dir) {
				if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o711 {
					return nil, fmt.Errorf("%s cannot be passed through: %v, %v", dir, info.Mode(), err)
				}
			}
			return second{repositories{filepath.Join(root, "git")}, open(filepath.Join(root, "towline.db"), filepath.Join(root, "key")), &b.refilled, &b.fails}, nil
		},
	})
	return b
}

func (b *bench) write(name, text string) string {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func (b *bench) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(b.dir, name))
	return string(text)
}

func (b *bench) backup() []byte {
	b.t.Helper()
	var out bytes.Buffer
	res, err := b.Backup(b.t.Context(), Request{Recipients: []string{b.to}, Out: &out})
	if err != nil {
		b.t.Fatal(err)
	}
	if int64(out.Len()) != res.Size || len(res.Apps) != 2 || len(res.Images) != 1 || len(res.Missing) != 1 || !strings.HasPrefix(res.Missing[0], "fresh has no proven backup") {
		b.t.Errorf("%+v", res)
	}
	if bytes.Contains(out.Bytes(), []byte("the CA's key")) {
		b.t.Error("the stream is in clear")
	}
	return out.Bytes()
}

func TestVerify(t *testing.T) {
	b := newBench(t, false)
	stream := b.backup()
	// The machine opens it by its own key; another one by that of the recipient.
	res, err := b.Verify(t.Context(), bytes.NewReader(stream), Unlock{}, nil)
	if err != nil || len(b.refilled) != 1 || b.refilled[0] != "db from db.20260102" || res.Domain != "example.com" {
		t.Fatalf("%+v, %v, %v", res, b.refilled, err)
	}
	other := newBench(t, true)
	if _, err := other.Verify(t.Context(), bytes.NewReader(stream), Unlock{}, nil); !strings.Contains(fmt.Sprint(err), "neither this passphrase nor these keys") {
		t.Errorf("without its key: %v", err)
	}
	if _, err := other.Verify(t.Context(), bytes.NewReader(stream), Unlock{IdentityFile: b.identity}, nil); err != nil {
		t.Error(err)
	}
	b.fails = "db"
	if _, err := b.Verify(t.Context(), bytes.NewReader(stream), Unlock{}, nil); !strings.Contains(fmt.Sprint(err), "db from db.20260102: it does not start") {
		t.Errorf("an add-on that does not start: %v", err)
	}
	for _, dir := range []string{"work", triesName} {
		if left, _ := os.ReadDir(filepath.Join(b.State, dir)); len(left) > 0 {
			t.Errorf("left behind in %s: %v", dir, left)
		}
	}
}

// TestVerifyAtOnce: there is one second machine at a time, and who comes meanwhile waits: a
// scheduled backup does not fail because somebody verifies another.
func TestVerifyAtOnce(t *testing.T) {
	b := newBench(t, false)
	stream := b.backup()
	var there atomic.Int32
	make := b.Second
	b.Second = func(ctx context.Context, root string) (Machine, error) {
		if there.Add(1) > 1 {
			return nil, errors.New("the second machine is there already")
		}
		m, err := make(ctx, root)
		return onlyOne{m, &there}, err
	}
	ended := [3]error{}
	var wg sync.WaitGroup
	for i := range ended {
		wg.Go(func() { _, ended[i] = b.Verify(t.Context(), bytes.NewReader(stream), Unlock{}, nil) })
	}
	wg.Wait()
	if err := errors.Join(ended[:]...); err != nil {
		t.Error(err)
	}
}

type onlyOne struct {
	Machine
	there *atomic.Int32
}

func (c onlyOne) Close(ctx context.Context, remove bool) error {
	defer c.there.Add(-1)
	return c.Machine.Close(ctx, remove)
}

// TestDamaged: a stream that was cut anywhere, or changed anywhere, is refused, and changes
// nothing.
func TestDamaged(t *testing.T) {
	b := newBench(t, false)
	stream := b.backup()
	other := newBench(t, true)
	try := func(what string, stream []byte) {
		t.Helper()
		if _, err := other.Stage(t.Context(), bytes.NewReader(stream), Unlock{IdentityFile: b.identity}, nil); err == nil {
			t.Errorf("%s: taken", what)
		}
		if err := other.Finish(nil); err != nil {
			t.Error(err)
		}
		if left := other.read("state/" + pendingName); left != "" {
			t.Errorf("%s: something was restored", what)
		}
		if _, err := os.Stat(filepath.Join(other.State, stagingName)); err == nil {
			t.Errorf("%s: left behind", what)
		}
	}
	n := len(stream)
	for _, cut := range []int{0, 10, 200, n / 3, n / 2, n - 100, n - 1} {
		try(fmt.Sprint("cut at ", cut), stream[:cut])
	}
	for _, at := range []int{30, 250, n / 3, n / 2, n - 100, n - 1} {
		changed := bytes.Clone(stream)
		changed[at] ^= 1
		try(fmt.Sprint("changed at ", at), changed)
	}
}

// TestRestore: everything is there afterwards, and what was replaced is kept. It may be cut
// short anywhere.
func TestRestore(t *testing.T) {
	b := newBench(t, false)
	stream := b.backup()
	other := newBench(t, true)
	other.Store.Close() // the daemon is down
	if _, err := other.Stage(t.Context(), bytes.NewReader(stream), Unlock{IdentityFile: b.identity}, nil); err != nil {
		t.Fatal(err)
	}
	key := other.read("state/key")
	// A kill in the middle of Finish: some entries are in their place, some are not.
	if err := os.Rename(filepath.Join(other.State, "key"), filepath.Join(other.dir, "key-kept")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(other.State, stagingName, "state", "key"), filepath.Join(other.State, "key")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := other.Finish(nil); err != nil {
			t.Fatal(err)
		}
	}
	if other.read("state/key") == key || other.read("state/key") != b.read("state/key") {
		t.Error("the key is not that of the backup")
	}
	for name, want := range map[string]string{
		"proxy/ca/root.key": "the CA's key", "state/backups/db.20260102/data.tar.zst": "the data",
		"state/plugins/memcached/plugin.toml": "name = \"memcached\"\n", "state/restored-etc/towline.toml": "domain = \"example.com\"\n",
	} {
		if got := other.read(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if !other.images.have[ref] {
		t.Error("the image was not loaded")
	}
	kept, _ := filepath.Glob(filepath.Join(other.State, "replaced-*", "towline.db"))
	if len(kept) != 1 {
		t.Errorf("what was there is not kept: %v", kept)
	}
	m, err := other.Second(t.Context(), other.State)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(t.Context(), false)
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	p, err := other.Resume(cut, m, nil)
	if err == nil || len(p.Left) != 1 {
		t.Errorf("cut short: %+v, %v", p, err)
	}
	other.refilled = nil
	pending := other.read("state/" + pendingName)
	p, err = other.Resume(t.Context(), m, nil)
	if err != nil || len(p.Left)+len(p.Failed) != 0 || len(other.refilled) != 1 {
		t.Errorf("%+v, %v, %v", p, other.refilled, err)
	}
	if got := other.read("state/git/shop.git/all"); got != "commits" {
		t.Errorf("repository: %q", got)
	}
	if p, err := other.Resume(t.Context(), m, nil); err != nil || len(p.Apps) != 0 {
		t.Errorf("there is something left to do: %+v, %v", p, err)
	}
	// One that fails starts empty, and what it has then is never removed by another attempt.
	other.write("state/"+pendingName, pending)
	other.fails = "db"
	if p, err := other.Resume(t.Context(), m, nil); err != nil || !strings.Contains(p.Failed["db"], "backups:restore db.20260102") {
		t.Errorf("%+v, %v", p, err)
	}
	other.fails, other.refilled = "", nil
	if _, err := other.Resume(t.Context(), m, nil); err != nil || len(other.refilled) != 0 {
		t.Errorf("it was filled again: %v, %v", other.refilled, err)
	}
	apps, err := daemon.Read(t.Context(), m.Store(), daemon.Tx.Apps)
	if err != nil || len(apps) != 2 || apps[1].Config["SECRET"] != "hunter2" {
		t.Errorf("%+v, %v", apps, err)
	}
}

// TestFile: a backup is there whole or not at all, and replaces nothing.
func TestFile(t *testing.T) {
	b := newBench(t, false)
	path := filepath.Join(b.dir, "towline.age")
	if _, err := b.File(t.Context(), path, Request{}); err == nil || !strings.Contains(err.Error(), "whom to encrypt it to") {
		t.Errorf("to nobody: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.File(ctx, path, Request{Recipients: []string{b.to}}); err == nil {
		t.Error("it went on after its end")
	}
	if left, _ := filepath.Glob(path + "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if r, err := b.Record(); err != nil || r.Error == "" || !r.Taken.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := b.File(t.Context(), path, Request{Passphrase: "four random words here"}); err != nil {
		t.Fatal(err)
	}
	if r, err := b.Record(); err != nil || r.Error != "" || r.Taken.IsZero() || r.To != path {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := b.File(t.Context(), path, Request{Recipients: []string{b.to}}); !errors.Is(err, daemon.ErrExists) {
		t.Errorf("over another one: %v", err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := b.Try(t.Context(), f, Unlock{Passphrase: "four random words here"}, nil); err != nil {
		t.Error(err)
	}
	if r, err := b.Record(); err != nil || r.Verified.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := b.File(t.Context(), path+"2", Request{Passphrase: "short"}); err == nil || !strings.Contains(err.Error(), "shorter than") {
		t.Errorf("a short passphrase: %v", err)
	}
}
