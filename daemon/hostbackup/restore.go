package hostbackup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"towline/daemon"
	"towline/daemon/work"
)

// A restore unpacks into STATE/restoring, which an unfinished one leaves and the next one
// removes. The file ready in it says that everything is there and on disk: from then on
// Finish, which the daemon calls at its start too, puts it in its place, entry by entry. What
// add-ons are still to be filled is in STATE/restored.json until they are.
const (
	stagingName = "restoring"
	readyName   = "ready"
	pendingName = "restored.json"
)

// Pending is what a restore has still to do once the daemon can: the add-ons to be filled.
type Pending struct {
	Result
	Left   []AddonData       `json:"left"`
	Failed map[string]string `json:"failed,omitempty"` // by add-on, why: these start empty
}

// Stage unpacks a stream beside the state, and loads its images. The machine is as it was
// until Finish.
func (h *Host) Stage(ctx context.Context, r io.Reader, u Unlock, out io.Writer) (Result, error) {
	dir := filepath.Join(h.State, stagingName)
	if _, err := os.Stat(filepath.Join(dir, readyName)); err == nil {
		return Result{}, daemon.Errorf(daemon.Conflict, "a restore was begun before, and is not finished").WithHint("start towlined: it goes on")
	}
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
		return Result{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Result{}, err
	}
	defer root.Close()
	work.Stage(out, "Unpacking")
	var loaded []string
	res, err := h.unpack(ctx, r, u, root, h.namesake, func(ctx context.Context, r io.Reader) (err error) {
		work.Stage(out, "Loading images")
		loaded, err = h.Images.LoadImages(ctx, r)
		return err
	})
	if err != nil {
		return res, errors.Join(err, os.RemoveAll(dir))
	}
	for _, ref := range res.Images {
		if _, err := h.Images.Image(ctx, ref); err != nil {
			return res, errors.Join(daemon.Errorf(daemon.Failed, "the image %s was not loaded; there are %v: %w", ref, loaded, err), os.RemoveAll(dir))
		}
	}
	p := Pending{Result: res}
	for _, a := range res.Addons {
		if a.Backup != "" {
			p.Left = append(p.Left, a)
		}
	}
	p.Sums = nil
	text, err := json.MarshalIndent(p, "", "  ")
	if err == nil {
		err = syncTree(dir)
	}
	if err == nil {
		err = writeWhole(filepath.Join(dir, readyName), text)
	}
	return res, err
}

// namesake refuses a backup of an installation with another name: the name begins those of
// images, volumes and networks, and the state speaks of these.
func (h *Host) namesake(m Manifest) error {
	if m.Name == h.Name {
		return nil
	}
	return daemon.Errorf(daemon.Invalid, "this backup is of the installation %q, and this one is %q", m.Name, h.Name).
		WithHint("set name = %q in towline.toml, and restore again", m.Name)
}

// Finish puts what Stage has unpacked in its place; without that it does nothing. What was
// there is kept in STATE/replaced-TIME. It may be cut short and called again.
func (h *Host) Finish(out io.Writer) error {
	dir := filepath.Join(h.State, stagingName)
	text, err := os.ReadFile(filepath.Join(dir, readyName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(dir, readyName))
	if err != nil {
		return err
	}
	kept := filepath.Join(h.State, "replaced-"+info.ModTime().UTC().Format("20060102T150405"))
	if err := os.MkdirAll(kept, 0o700); err != nil {
		return err
	}
	work.Stage(out, "Putting it in its place")
	// The database's log must never meet another database.
	for _, name := range []string{"towline.db-wal", "towline.db-shm", "starting.json", "git"} {
		if err := setAside(filepath.Join(h.State, name), filepath.Join(kept, name)); err != nil {
			return err
		}
	}
	if err := h.place(filepath.Join(dir, "state"), h.State, kept); err != nil {
		return err
	}
	if err := h.placeProxy(filepath.Join(dir, "proxy")); err != nil {
		return err
	}
	if err := replace(filepath.Join(dir, "repositories"), filepath.Join(h.State, "restored-repositories")); err != nil {
		return err
	}
	if err := replace(filepath.Join(dir, "etc"), filepath.Join(h.State, "restored-etc")); err != nil {
		return err
	}
	if err := writeWhole(filepath.Join(h.State, pendingName), text); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, readyName)); err != nil {
		return err
	}
	_ = os.Remove(kept) // if nothing was replaced
	return os.RemoveAll(dir)
}

// place moves each entry of from into to, where one of that name is set aside first.
func (h *Host) place(from, to, kept string) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		err = errors.Join(err, setAside(filepath.Join(to, e.Name()), filepath.Join(kept, e.Name())),
			os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())))
	}
	return errors.Join(err, syncDir(to))
}

// setAside moves what is at path, if anything, to a name that is free.
func setAside(path, to string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	free := to
	for n := 2; ; n++ {
		if _, err := os.Lstat(free); errors.Is(err, fs.ErrNotExist) {
			return os.Rename(path, free)
		}
		free = fmt.Sprintf("%s-%d", to, n)
	}
}

// replace moves what is at path, if anything, onto what an earlier restore left.
func replace(path, to string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.Rename(path, to)
}

// placeProxy copies the files over those of the proxy, whose account owns them: its
// directory may be on another disk.
func (h *Host) placeProxy(from string) error {
	info, err := os.Stat(h.Proxy)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(h.Proxy, 0o700); err == nil {
			info, err = os.Stat(h.Proxy)
		}
	}
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: whose it is cannot be told", h.Proxy)
	}
	err = filepath.WalkDir(from, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, file)
		if err != nil || rel == "." {
			return err
		}
		to := filepath.Join(h.Proxy, rel)
		if e.IsDir() {
			if err := os.MkdirAll(to, 0o700); err != nil {
				return err
			}
		} else {
			text, err := os.ReadFile(file)
			if err == nil {
				err = writeWhole(to, text)
			}
			if err != nil {
				return err
			}
		}
		return os.Lchown(to, int(owner.Uid), int(owner.Gid))
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Settings is the towline.toml that came with the last restore; empty: none.
func (h *Host) Settings() string {
	path := filepath.Join(h.State, "restored-etc", "towline.toml")
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// Resume does what a restore has left to do, before the daemon reconciles: repositories,
// then the data of add-ons. One that fails is said and does not keep the others.
func (h *Host) Resume(ctx context.Context, m Machine, out io.Writer) (Pending, error) {
	var p Pending
	path := filepath.Join(h.State, pendingName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return p, err
	}
	bundles := filepath.Join(h.State, "restored-repositories")
	if err := h.resumeRepositories(ctx, m, bundles, out); err != nil {
		return p, err
	}
	if p.Failed == nil {
		p.Failed = map[string]string{}
	}
	for _, a := range slices.Clone(p.Left) {
		work.Stage(out, "Restoring %s, as of %s", a.Addon, a.AsOf.Format(time.DateTime))
		err := m.Refill(ctx, a.Addon, a.Backup, out)
		var e *daemon.Error
		if ctx.Err() != nil || errors.As(err, &e) && e.Kind == daemon.Unavailable {
			return p, errors.Join(err, ctx.Err())
		}
		// One that failed is not tried at the next start: by then it may have new data.
		if err != nil {
			p.Failed[a.Addon] = fmt.Sprintf("%v; try: towline backups:restore %s --confirm %s", err, a.Backup, a.Addon)
		}
		p.Left = slices.DeleteFunc(p.Left, func(l AddonData) bool { return l.Addon == a.Addon })
		if err := h.savePending(path, p); err != nil {
			return p, err
		}
	}
	return p, errors.Join(os.Remove(path), syncDir(h.State))
}

func (h *Host) savePending(path string, p Pending) error {
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return writeWhole(path, text)
}

func (h *Host) resumeRepositories(ctx context.Context, m Machine, bundles string, out io.Writer) error {
	if _, err := os.Stat(bundles); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := restoreRepositories(ctx, m, bundles, out); err != nil {
		return err
	}
	return os.RemoveAll(bundles)
}

func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return syncDir(path)
	})
}
