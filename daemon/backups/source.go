package backups

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"

	"towline/daemon"
	"towline/daemon/addons"
	"towline/daemon/container"
	"towline/daemon/work"
)

// takeDump takes a dump in, if the add-on can take one at all.
func (re *Restores) takeDump(ctx context.Context, req RestoreRequest, out io.Writer) (*os.File, error) {
	addon, err := re.Addons.Addon(ctx, req.To)
	if err != nil {
		return nil, err
	}
	if _, err := re.source(ctx, req, daemon.Backup{}, addon); err != nil {
		return nil, err
	}
	work.Stage(out, "Taking in the dump")
	return re.spool(ctx, req.To, req.Dump, out)
}

// source is where restored data comes from.
type source struct {
	// fill puts the data into the volumes of a generation that nothing uses yet.
	fill func(ctx context.Context, next daemon.Addon, out io.Writer) error
	// secrets are those that the data knows; nil: the present ones.
	secrets map[string]string
}

// source checks a request, and settles whether the volumes or the dump are restored.
func (re *Restores) source(ctx context.Context, req RestoreRequest, b daemon.Backup, addon daemon.Addon) (from source, err error) {
	spec, err := re.Services.Render(addon)
	if err != nil {
		return from, err
	}
	importable := len(spec.Import.Command) > 0
	switch {
	case addon.Status != daemon.AddonReady:
		return from, daemon.Errorf(daemon.Conflict, "%s is %s", addon.Name, addon.Status)
	case req.Dump != nil && !importable:
		return from, daemon.Errorf(daemon.Conflict, "%s can't take a dump", addon.Service).WithHint("restore one of its backups: towline backups %s", addon.Name)
	case req.Dump != nil:
		from.fill = func(ctx context.Context, next daemon.Addon, out io.Writer) error {
			work.Stage(out, "Reading the dump into a fresh %s", next.Service)
			return re.importDump(ctx, next, req.Dump)
		}
		return from, nil
	case b.Status != daemon.BackupGood:
		return from, daemon.Errorf(daemon.Conflict, "backup %s is %s, not good: %s", b.ID, b.Status, b.Error).WithHint("towline backups %s", b.Addon)
	case addon.Service != b.Service:
		return from, daemon.Errorf(daemon.Conflict, "backup %s is of %s, but %s is %s", b.ID, b.Service, addon.Name, addon.Service)
	}
	part, err := dataPart(b)
	if err != nil {
		return from, err
	}
	if addon.Name == b.Addon && addon.Version == b.Version {
		// Stored data is packed, about three to one; and the old data is kept too.
		if err := re.backups.fits(ctx, "restoring "+b.ID, re.Dir, 4*part.Size); err != nil {
			return from, err
		}
		then := secretsThen(b, addon)
		if len(spec.Rotate.Command) > 0 && !maps.Equal(then, addons.WithMarked(addon.Secrets, "", nil)) {
			from.secrets = then
		}
		from.fill = func(ctx context.Context, next daemon.Addon, out io.Writer) error {
			work.Stage(out, "Checking %s", b.ID)
			return re.unpackBackup(ctx, next, b, part)
		}
		return from, nil
	}
	dump, _, err := dumpPart(b)
	if err != nil || !importable {
		return from, daemon.Errorf(daemon.Conflict, "backup %s is of %s %s, and without a portable dump only that can take it", b.ID, b.Addon, b.Version)
	}
	from.fill = func(ctx context.Context, next daemon.Addon, out io.Writer) error {
		work.Stage(out, "Checking %s", b.ID)
		r, err := re.copies.open(ctx, b, dump)
		if err != nil {
			return err
		}
		defer r.Close()
		work.Stage(out, "Reading its dump into a fresh %s %s", next.Service, next.Version)
		return re.importDump(ctx, next, r)
	}
	return from, nil
}

func (re *Restores) unpackBackup(ctx context.Context, next daemon.Addon, b daemon.Backup, part daemon.Part) error {
	dirs, err := re.backups.volumeDirs(ctx, next)
	if err != nil {
		return err
	}
	return re.copies.load(ctx, b, part, dirs)
}

// importDump runs the manifest's import on fresh volumes, in a throwaway container. A
// dump that the service does not take is the user's to mend.
func (re *Restores) importDump(ctx context.Context, next daemon.Addon, dump io.Reader) (err error) {
	spec, err := re.Services.Render(next)
	if err != nil {
		return err
	}
	dirs, err := re.backups.volumeDirs(ctx, next)
	if err != nil {
		return err
	}
	if err := re.Services.WriteFiles(next, spec); err != nil {
		return err
	}
	c := re.proofs.proofSpec(next, spec, backupID(next.Name, daemon.Now()), dirs, re.Services.FilesDir(next))
	if !spec.Import.Stopped {
		defer func() {
			err = errors.Join(err, re.proofs.removeThrowaway(ctx, c, spec))
		}()
		if err := re.proofs.startThrowaway(ctx, c, spec); err != nil {
			return err
		}
	}
	if err := re.proofs.transfer(ctx, c, spec.Import, daemon.Streams{Stdin: dump}); err != nil {
		return daemon.Errorf(daemon.Failed, "%s does not take the dump: %w", next.Service, err).WithHint("nothing was changed")
	}
	if spec.Import.Stopped {
		return nil
	}
	return re.Engine.StopContainer(ctx, c.Name, container.StopGrace)
}
