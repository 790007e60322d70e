package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"towline/daemon"
)

// bundleLimit bounds what git does with all of a repository.
const bundleLimit = time.Hour

// Bundle writes all branches and tags of an app's repository to w, as git itself keeps
// them: a push meanwhile is in it as a whole or not at all. Where nothing was pushed yet,
// nothing is written.
func (r *Repositories) Bundle(ctx context.Context, app string, w io.Writer) error {
	if err := daemon.CheckAppName(app); err != nil {
		return err
	}
	if _, err := os.Stat(r.Path(app)); errors.Is(err, os.ErrNotExist) {
		return nil // made and destroyed meanwhile, or not made yet
	}
	long := *r
	long.limit = bundleLimit
	var any bytes.Buffer
	if err := long.gitTo(ctx, &any, r.Path(app), "for-each-ref", "--count=1"); err != nil || any.Len() == 0 {
		return err
	}
	return long.gitTo(ctx, w, r.Path(app), "bundle", "create", "--quiet", "-", "--all")
}

// Unbundle makes the branches and tags of an app's repository, which is there, those of a
// bundle, and has git check every object.
func (r *Repositories) Unbundle(ctx context.Context, app, bundle string) error {
	if err := daemon.CheckAppName(app); err != nil {
		return err
	}
	long := *r
	long.limit = bundleLimit
	// Git runs as an account that cannot read the daemon's files.
	copied, err := r.lend(app, bundle)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(copied) }() // the next one replaces it
	if err := long.git(ctx, r.Path(app), "bundle", "verify", "--quiet", copied); err != nil {
		return err
	}
	if err := long.git(ctx, r.Path(app), "fetch", "--quiet", "--prune", "--no-auto-maintenance", copied, "+refs/*:refs/*"); err != nil {
		return err
	}
	return long.git(ctx, r.Path(app), "fsck", "--connectivity-only", "--no-dangling")
}

// lend copies a file to where git's account can read it.
func (r *Repositories) lend(app, path string) (copied string, err error) {
	from, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer from.Close()
	copied = r.hidden(app, "bundle")
	if err := os.RemoveAll(copied); err != nil {
		return "", err
	}
	to, err := os.OpenFile(copied, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	err = errors.Join(err, to.Chown(r.uid, r.gid), to.Close())
	if err != nil {
		return "", errors.Join(fmt.Errorf("bundle of %s: %w", app, err), os.Remove(copied))
	}
	return copied, nil
}
