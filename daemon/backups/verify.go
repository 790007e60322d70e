package backups

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"towline/daemon"
	"towline/daemon/addons"
	"towline/daemon/work"
)

// Verify proves a backup again, from the stored bytes. One that fails is not good
// any more; a failed one that passes stays as it is, but its proof is told.
func (pf *Proofs) Verify(ctx context.Context, id, member string, out io.Writer) (daemon.Backup, error) {
	unlock, err := pf.Journal.LockAddon(ctx, BackupAddon(id), out)
	if err != nil {
		return daemon.Backup{}, err
	}
	defer unlock()
	b, err := pf.backups.Backup(ctx, id)
	if err != nil {
		return b, err
	}
	addon, err := pf.Addons.Addon(ctx, b.Addon)
	if err != nil {
		return b, err
	}
	part, err := dataPart(b)
	if err != nil {
		return b, err
	}
	ctx, cancel := pf.Life.Detach(ctx)
	defer cancel()
	if err := pf.backups.fits(ctx, "unpacking "+b.ID, pf.Dir, 4*part.Size); err != nil {
		return b, err
	}
	addon.Version, addon.Secrets = b.Version, secretsThen(b, addon)
	facts, err := pf.proveStored(ctx, addon, b, part, out)
	if errors.Is(context.Cause(ctx), daemon.ErrClosing) {
		return b, daemon.ErrClosing
	}
	b.Proven, b.Facts = daemon.Now(), facts
	switch {
	case err != nil && b.Secrets == nil && detailOf(b).Credentials != credentials(addon.Secrets):
		return b, daemon.Errorf(daemon.Conflict, "backup %s is from before the credentials of %s were rotated, and can't be tried with today's: %w", b.ID, b.Addon, err)
	case daemon.IsKind(err, daemon.Failed) || daemon.IsKind(err, daemon.NotFound):
		b.Status, b.Proven, b.Error = daemon.BackupFailed, time.Time{}, "verify: "+err.Error()
	case err != nil:
		return b, err // of this machine's, and says nothing of the backup
	}
	outcome := daemon.Done
	if err != nil {
		outcome = daemon.Undone
	}
	return b, errors.Join(err, pf.Store.Update(ctx, func(tx daemon.Tx) error {
		return errors.Join(tx.UpdateBackup(b), tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.BackupVerified, App: b.App, Subject: b.ID, Outcome: outcome, Text: "verified the backup " + b.ID}))
	}))
}

func (pf *Proofs) proveStored(ctx context.Context, addon daemon.Addon, b daemon.Backup, part daemon.Part, out io.Writer) (string, error) {
	spec, err := pf.Services.Render(addon)
	if err != nil {
		return "", err
	}
	work.Stage(out, "Checking %s", b.ID)
	tree := pf.backups.backupTree("verify-" + b.ID)
	defer func() { _ = os.RemoveAll(tree) }() // the next start removes what is left
	dirs := map[string]string{}
	for _, v := range spec.Volumes {
		dirs[v.Name] = filepath.Join(tree, v.Name)
		if err := os.MkdirAll(dirs[v.Name], 0o700); err != nil {
			return "", err
		}
	}
	if err := pf.copies.load(ctx, b, part, dirs); err != nil {
		return "", err
	}
	for _, p := range detailOf(b).Parts[1:] {
		r, err := pf.Vault.Open(ctx, b.ID, p)
		if err != nil {
			return "", err
		}
		if err := r.Close(); err != nil {
			return "", err
		}
	}
	files := filepath.Join(tree, ".files") // no volume's name
	if err := addons.WriteFiles(files, spec); err != nil {
		return "", err
	}
	work.Stage(out, "Proving it in a throwaway container")
	c := pf.proofSpec(addon, spec, b.ID, dirs, files)
	c.Limits.Background = true
	return pf.prove(ctx, c, spec, nil)
}
