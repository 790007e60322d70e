package hostbackup

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"towline/daemon"
	"towline/daemon/work"
)

// Verify restores a stream into a second root, beside this machine: every byte is checked,
// the state opened with its key, each repository made from its bundle, each add-on's data
// put into volumes, started in a throwaway container and queried, and the images looked
// for. Nothing of it is left, and nothing of the machine is touched.
func (h *Host) Verify(ctx context.Context, r io.Reader, u Unlock, out io.Writer) (res Result, err error) {
	dir, err := h.tryDir()
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return res, err
	}
	defer root.Close()
	work.Stage(out, "Unpacking into %s", dir)
	var refs []string
	anyName := func(Manifest) error { return nil } // the second root has a name of its own
	res, err = h.unpack(ctx, r, u, root, anyName, func(_ context.Context, r io.Reader) (err error) {
		refs, err = imagesOf(r)
		return err
	})
	if err != nil {
		return res, err
	}
	// There is one second machine at a time.
	select {
	case h.second <- struct{}{}:
		defer func() { <-h.second }()
	case <-ctx.Done():
		return res, context.Cause(ctx)
	}
	m, err := h.Second(ctx, filepath.Join(dir, "state"))
	if err != nil {
		return res, fmt.Errorf("the state of the backup does not open: %w", err)
	}
	defer func() { err = errors.Join(err, m.Close(context.WithoutCancel(ctx), true)) }()
	if err := checkState(ctx, m.Store(), res, refs); err != nil {
		return res, err
	}
	if err := restoreRepositories(ctx, m, filepath.Join(dir, bundlesDir), out); err != nil {
		return res, err
	}
	for _, a := range res.Addons {
		if a.Backup == "" {
			continue
		}
		work.Stage(out, "Restoring %s", a.Addon)
		if err := m.Refill(ctx, a.Addon, a.Backup, out); err != nil {
			return res, fmt.Errorf("%s from %s: %w", a.Addon, a.Backup, err)
		}
	}
	return res, nil
}

// triesName is the directory, below the state, of second roots.
const triesName = "verifying"

// tryDir makes a directory that others may pass through: git, which runs as another account,
// works below it. What unpack writes is its owner's alone.
func (h *Host) tryDir() (string, error) {
	tries := filepath.Join(h.State, triesName)
	if err := os.MkdirAll(tries, 0o711); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(tries, "")
	if err != nil {
		return "", err
	}
	return dir, errors.Join(os.Chmod(tries, 0o711), os.Chmod(dir, 0o711))
}

// RemoveTries removes what a verification that was killed has left: at the daemon's start.
func (h *Host) RemoveTries() error { return os.RemoveAll(filepath.Join(h.State, triesName)) }

// checkState compares the state with what the stream says is in it. Reading all of it opens
// every secret.
func checkState(ctx context.Context, s daemon.Store, res Result, refs []string) error {
	images, err := currentImages(ctx, s)
	if err != nil {
		return err
	}
	if have := daemon.SortedKeys(images); !slices.Equal(have, res.Apps) {
		return daemon.Errorf(daemon.Failed, "the state has the apps %v, and the backup says %v", have, res.Apps)
	}
	for _, ref := range res.Images {
		if !slices.Contains(refs, ref) {
			return daemon.Errorf(daemon.Failed, "the image %s is not in the backup", ref)
		}
	}
	return s.View(ctx, func(tx daemon.Tx) error {
		for app := range images {
			if _, err := tx.Releases(app); err != nil {
				return err
			}
		}
		_, aerr := tx.Addons()
		_, berr := tx.Backups("")
		_, merr := tx.Keys()
		return errors.Join(aerr, berr, merr)
	})
}

// restoreRepositories makes each app's repository from its bundle.
func restoreRepositories(ctx context.Context, m Machine, bundles string, out io.Writer) error {
	apps, err := daemon.Read(ctx, m.Store(), daemon.Tx.Apps)
	if err != nil {
		return err
	}
	work.Stage(out, "Repositories of %d apps", len(apps))
	for _, app := range apps {
		if err := restoreRepository(ctx, m, bundles, app.Handle); err != nil {
			return err
		}
	}
	return nil
}

func restoreRepository(ctx context.Context, to Repositories, bundles, app string) error {
	if err := to.Create(ctx, app); err != nil {
		return err
	}
	bundle := filepath.Join(bundles, app+bundleEnd)
	if _, err := os.Stat(bundle); errors.Is(err, os.ErrNotExist) {
		return nil // nothing was pushed
	}
	if err := to.Unbundle(ctx, app, bundle); err != nil {
		return fmt.Errorf("repository of %s: %w", app, err)
	}
	return nil
}

// imagesOf reads a docker archive to its end, and tells the names of its images, whose
// layers are all there.
func imagesOf(r io.Reader) (refs []string, err error) {
	there := map[string]bool{}
	var index []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	for t := tar.NewReader(r); ; {
		header, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		there[strings.TrimPrefix(header.Name, "./")] = true
		if header.Name == "manifest.json" {
			if err := readJSON(t, &index); err != nil {
				return nil, err
			}
		}
	}
	for _, image := range index {
		for _, file := range append(image.Layers, image.Config) {
			if !there[file] {
				text, _ := json.Marshal(image.RepoTags)
				return nil, daemon.Errorf(daemon.Failed, "the image %s lacks %s", text, file)
			}
		}
		refs = append(refs, image.RepoTags...)
	}
	return refs, nil
}
