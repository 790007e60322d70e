package hostbackup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/work"
)

// Request is a backup to be written.
type Request struct {
	Recipients []string // empty: those of towline.toml
	Passphrase string
	Out        io.Writer
	Progress   io.Writer
}

// Backup writes the machine to req.Out, while everything runs on. An error leaves a stream
// that does not decrypt to its end.
func (h *Host) Backup(ctx context.Context, req Request) (Result, error) {
	to, err := h.recipients(req.Recipients, req.Passphrase)
	if err != nil {
		return Result{}, err
	}
	tmp, err := h.workDir()
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = os.RemoveAll(tmp) }() // what is left goes when the daemon starts
	now := time.Now().UTC().Truncate(time.Second)
	a, err := newArchive(req.Out, to, now)
	if err != nil {
		return Result{}, err
	}
	r := Result{Manifest: Manifest{Format: format, Name: h.Name, Domain: h.Domain, Version: h.Version, Created: now}}
	if err := (&writing{h, a, tmp, &r, req.Progress}).all(ctx); err != nil {
		return r, err
	}
	text, err := json.MarshalIndent(withSums(r.Summary, a.sums), "", "  ")
	if err == nil {
		err = a.addText(summaryName, append(text, '\n'))
	}
	err = errors.Join(err, a.Close())
	r.Size = a.out.n
	return r, err
}

func withSums(s Summary, sums map[string]string) Summary {
	s.Sums = sums
	return s
}

// workDir is private, and goes when the daemon starts.
func (h *Host) workDir() (string, error) {
	dir := filepath.Join(h.State, "work")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return os.MkdirTemp(dir, "host-backup-")
}

// writing is a backup that is being written.
type writing struct {
	*Host
	a   *archive
	tmp string
	r   *Result
	out io.Writer
}

func (w *writing) all(ctx context.Context) error {
	text, err := json.MarshalIndent(w.r.Manifest, "", "  ")
	if err != nil {
		return err
	}
	if err := errors.Join(w.a.addText("README", []byte(readme)), w.a.addText(manifestName, append(text, '\n'))); err != nil {
		return err
	}
	if err := w.repositories(ctx); err != nil {
		return err
	}
	work.Stage(w.out, "State, secrets and their key")
	w.r.DataAsOf = time.Now().UTC().Truncate(time.Second)
	snapshot := filepath.Join(w.tmp, "towline.db")
	then, err := w.Snapshot(ctx, snapshot)
	if err != nil {
		return fmt.Errorf("copy of the database: %w", err)
	}
	defer func() { _ = then.Close() }() // a copy, to be removed
	if err := errors.Join(w.a.addPath(databaseName, snapshot), w.a.addPath("state/key", filepath.Join(w.State, "key"))); err != nil {
		return err
	}
	if err := addTree(ctx, w.a, "state/plugins", w.Plugins, nil); err != nil {
		return err
	}
	work.Stage(w.out, "Certificates and configuration")
	// Routes are of processes that will not be there; the daemon makes them anew.
	if err := addTree(ctx, w.a, "proxy", w.Proxy, []string{"routes"}); err != nil {
		return err
	}
	for _, name := range daemon.SortedKeys(w.Files) {
		if err := w.a.addPath("etc/"+name, w.Files[name]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := w.backups(ctx, then); err != nil {
		return err
	}
	return w.images(ctx, then)
}

func (w *writing) repositories(ctx context.Context) error {
	apps, err := daemon.Read(ctx, w.Store, daemon.Tx.Apps)
	if err != nil {
		return err
	}
	work.Stage(w.out, "Repositories of %d apps", len(apps))
	for _, app := range apps {
		if err := w.repository(ctx, app.Handle); err != nil {
			return err
		}
	}
	return nil
}

func (w *writing) repository(ctx context.Context, app string) error {
	f, err := os.Create(filepath.Join(w.tmp, "bundle"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := w.Repositories.Bundle(ctx, app, f); err != nil {
		return fmt.Errorf("repository of %s: %w", app, err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return err // nothing was pushed yet
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return w.a.add(bundlesDir+app+bundleEnd, size, f)
}

// addTree writes the files of a directory, but for some folders at its top. What goes
// meanwhile is left out.
func addTree(ctx context.Context, a *archive, name, dir string, without []string) error {
	return filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		if e.IsDir() && slices.Contains(without, rel) {
			return fs.SkipDir
		}
		if !e.Type().IsRegular() || strings.HasSuffix(rel, ".new") || strings.HasSuffix(rel, ".tmp") {
			return nil
		}
		err = a.addPath(path.Join(name, filepath.ToSlash(rel)), file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// backups writes the newest proven backup of each add-on.
func (w *writing) backups(ctx context.Context, then daemon.Store) error {
	addons, err := daemon.Read(ctx, then, daemon.Tx.Addons)
	if err != nil {
		return err
	}
	w.r.Addons = []AddonData{}
	for _, addon := range addons {
		if addon.Status != daemon.AddonReady {
			continue
		}
		data, err := w.newest(ctx, then, addon)
		if err != nil {
			return err
		}
		if data.Backup == "" {
			missing := fmt.Sprintf("%s has no proven backup on this machine: its data is NOT in here", addon.Name)
			w.r.Missing = append(w.r.Missing, missing)
			work.Warn(w.out, "%s\ntake one first: towline backups:capture %s", missing, addon.Name)
		} else {
			work.Stage(w.out, "%s, as of %s", addon.Name, data.AsOf.Format(time.DateTime))
		}
		w.r.Addons = append(w.r.Addons, data)
	}
	return nil
}

// newest goes back to an older backup where a newer one is deleted meanwhile; not to one
// of an earlier add-on of the same name.
func (w *writing) newest(ctx context.Context, then daemon.Store, addon daemon.Addon) (AddonData, error) {
	data := AddonData{Addon: addon.Name}
	list, err := daemon.Read(ctx, then, func(tx daemon.Tx) ([]daemon.Backup, error) { return daemon.BackupsOf(tx, addon.Name) })
	if err != nil {
		return data, err
	}
	for _, b := range list {
		if b.Status != daemon.BackupGood || b.Proven.IsZero() || b.Created.Before(addon.Created) {
			continue
		}
		files, err := openAll(filepath.Join(w.State, "backups", b.ID))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return data, err
		}
		for _, f := range files {
			err = errors.Join(err, w.a.addFile(backupsDir+b.ID+"/"+filepath.Base(f.Name()), f), f.Close())
		}
		data.Backup, data.AsOf = b.ID, w.AsOf(b)
		if data.AsOf.IsZero() {
			data.AsOf = b.Created
		}
		return data, err
	}
	return data, nil
}

// openAll opens the files of a folder: open ones can be read though they are deleted.
func openAll(dir string) (files []*os.File, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasSuffix(e.Name(), ".partial") {
			continue
		}
		f, oerr := os.Open(filepath.Join(dir, e.Name()))
		err = errors.Join(err, oerr)
		if oerr == nil {
			files = append(files, f)
		}
	}
	if err != nil {
		for _, f := range files {
			f.Close()
		}
		return nil, err
	}
	return files, nil
}

// images writes those of the releases that serve.
func (w *writing) images(ctx context.Context, then daemon.Store) error {
	w.r.Apps, w.r.Images = []string{}, []string{}
	refs, err := currentImages(ctx, then)
	if err != nil {
		return err
	}
	for _, app := range daemon.SortedKeys(refs) {
		w.r.Apps = append(w.r.Apps, app)
		ref := refs[app]
		if ref == "" || slices.Contains(w.r.Images, ref) {
			continue
		}
		if _, err := w.Images.Image(ctx, ref); errors.Is(err, daemon.ErrNotFound) {
			w.r.Missing = append(w.r.Missing, "the image of "+app+" is gone: push it again after a restore")
			continue
		} else if err != nil {
			return err
		}
		w.r.Images = append(w.r.Images, ref)
	}
	if len(w.r.Images) == 0 {
		return nil
	}
	work.Stage(w.out, "Images of %d apps", len(w.r.Images))
	p := &parts{a: w.a, dir: imagesDir}
	if err := w.Images.SaveImages(ctx, w.r.Images, p); err != nil {
		return err
	}
	return p.flush()
}

// currentImages are those of all apps' current releases; empty: nothing was deployed.
func currentImages(ctx context.Context, s daemon.Store) (map[string]string, error) {
	return daemon.Read(ctx, s, func(tx daemon.Tx) (map[string]string, error) {
		refs := map[string]string{}
		apps, err := tx.Apps()
		for _, app := range apps {
			refs[app.Name] = ""
			if app.Current == 0 {
				continue
			}
			rel, rerr := tx.Release(app.Name, app.Current)
			if rerr != nil {
				return nil, rerr
			}
			refs[app.Name] = rel.Image
		}
		return refs, err
	})
}
