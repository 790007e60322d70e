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
	if err := h.write(ctx, a, tmp, &r, req.Progress); err != nil {
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

func (h *Host) write(ctx context.Context, a *archive, tmp string, r *Result, out io.Writer) error {
	text, err := json.MarshalIndent(r.Manifest, "", "  ")
	if err != nil {
		return err
	}
	if err := errors.Join(a.addText("README", []byte(readme)), a.addText(manifestName, append(text, '\n'))); err != nil {
		return err
	}
	if err := h.writeRepositories(ctx, a, tmp, out); err != nil {
		return err
	}
	work.Stage(out, "State, secrets and their key")
	r.DataAsOf = time.Now().UTC().Truncate(time.Second)
	snapshot := filepath.Join(tmp, "towline.db")
	then, err := h.Snapshot(ctx, snapshot)
	if err != nil {
		return fmt.Errorf("copy of the database: %w", err)
	}
	defer func() { _ = then.Close() }() // a copy, to be removed
	if err := errors.Join(a.addPath(databaseName, snapshot), a.addPath("state/key", filepath.Join(h.State, "key"))); err != nil {
		return err
	}
	if err := addTree(ctx, a, "state/plugins", h.Plugins, nil); err != nil {
		return err
	}
	work.Stage(out, "Certificates and configuration")
	// Routes are of processes that will not be there; the daemon makes them anew.
	if err := addTree(ctx, a, "proxy", h.Proxy, []string{"routes"}); err != nil {
		return err
	}
	for _, name := range daemon.SortedKeys(h.Files) {
		if err := a.addPath("etc/"+name, h.Files[name]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := h.writeBackups(ctx, a, then, r, out); err != nil {
		return err
	}
	return h.writeImages(ctx, a, then, r, out)
}

func (h *Host) writeRepositories(ctx context.Context, a *archive, tmp string, out io.Writer) error {
	apps, err := daemon.Read(ctx, h.Store, daemon.Tx.Apps)
	if err != nil {
		return err
	}
	work.Stage(out, "Repositories of %d apps", len(apps))
	for _, app := range apps {
		if err := h.writeRepository(ctx, a, tmp, app.Handle); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) writeRepository(ctx context.Context, a *archive, tmp, app string) error {
	f, err := os.Create(filepath.Join(tmp, "bundle"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := h.Repositories.Bundle(ctx, app, f); err != nil {
		return fmt.Errorf("repository of %s: %w", app, err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return err // nothing was pushed yet
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return a.add(bundlesDir+app+bundleEnd, size, f)
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

// writeBackups writes the newest proven backup of each add-on.
func (h *Host) writeBackups(ctx context.Context, a *archive, then daemon.Store, r *Result, out io.Writer) error {
	addons, err := daemon.Read(ctx, then, daemon.Tx.Addons)
	if err != nil {
		return err
	}
	r.Addons = []AddonData{}
	for _, addon := range addons {
		if addon.Status != daemon.AddonReady {
			continue
		}
		data, err := h.writeNewest(ctx, a, then, addon.Name)
		if err != nil {
			return err
		}
		if data.Backup == "" {
			missing := fmt.Sprintf("%s has no proven backup on this machine: its data is NOT in here", addon.Name)
			r.Missing = append(r.Missing, missing)
			work.Warn(out, "%s\ntake one first: towline backups:capture %s", missing, addon.Name)
		} else {
			work.Stage(out, "%s, as of %s", addon.Name, data.AsOf.Format(time.DateTime))
		}
		r.Addons = append(r.Addons, data)
	}
	return nil
}

// writeNewest goes back to an older backup where a newer one is deleted meanwhile.
func (h *Host) writeNewest(ctx context.Context, a *archive, then daemon.Store, addon string) (AddonData, error) {
	data := AddonData{Addon: addon}
	list, err := daemon.Read(ctx, then, func(tx daemon.Tx) ([]daemon.Backup, error) { return tx.Backups(addon) })
	if err != nil {
		return data, err
	}
	for _, b := range list {
		if b.Status != daemon.BackupGood || b.Proven.IsZero() {
			continue
		}
		files, err := openAll(filepath.Join(h.State, "backups", b.ID))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return data, err
		}
		for _, f := range files {
			err = errors.Join(err, a.addFile(backupsDir+b.ID+"/"+filepath.Base(f.Name()), f), f.Close())
		}
		data.Backup, data.AsOf = b.ID, h.AsOf(b)
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

// writeImages writes those of the releases that serve.
func (h *Host) writeImages(ctx context.Context, a *archive, then daemon.Store, r *Result, out io.Writer) error {
	r.Apps, r.Images = []string{}, []string{}
	refs, err := currentImages(ctx, then)
	if err != nil {
		return err
	}
	for _, app := range daemon.SortedKeys(refs) {
		r.Apps = append(r.Apps, app)
		ref := refs[app]
		if ref == "" || slices.Contains(r.Images, ref) {
			continue
		}
		if _, err := h.Images.Image(ctx, ref); errors.Is(err, daemon.ErrNotFound) {
			r.Missing = append(r.Missing, "the image of "+app+" is gone: push it again after a restore")
			continue
		} else if err != nil {
			return err
		}
		r.Images = append(r.Images, ref)
	}
	if len(r.Images) == 0 {
		return nil
	}
	work.Stage(out, "Images of %d apps", len(r.Images))
	p := &parts{a: a, dir: imagesDir}
	if err := h.Images.SaveImages(ctx, r.Images, p); err != nil {
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
