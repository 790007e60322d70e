package machine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/container"
	"towline/daemon/journal"
	"towline/daemon/work"
	"towline/plugins"
)

// proveBackup finds out whether the copy of an add-on's volumes is good, counts what is
// in it, and takes the portable dump from it. What it finds is in b.
func (d *Daemon) proveBackup(ctx context.Context, addon daemon.Addon, dirs map[string]string, b *daemon.Backup) error {
	spec, err := d.renderAddon(addon)
	if err != nil {
		return err
	}
	c := d.proofSpec(addon, spec, b.ID, dirs, d.filesDir(addon))
	c.Limits.Background = true // the service itself is in use
	facts, err := d.prove(ctx, c, spec, func(running bool) error { return d.export(ctx, c, spec, b, running) })
	if err != nil {
		return daemon.Errorf(daemon.Failed, "the copy of %s could not be proven: %w", addon.Name, err).
			WithHint("it is kept as %s for inspection", b.ID)
	}
	b.Facts, b.Proven = facts, daemon.Now()
	return nil
}

// proofSpec is a throwaway container of the same version and limits on other volumes,
// without a network. files is where the rendered files are.
func (d *Daemon) proofSpec(addon daemon.Addon, spec plugins.Spec, id string, dirs map[string]string, files string) daemon.ContainerSpec {
	c := d.serviceSpec(addon, spec)
	c.Name = d.Name + "-proof-" + id
	c.Labels = map[string]string{daemon.LabelKind: daemon.KindProof, daemon.LabelAddon: addon.Name}
	c.Networks, c.NoNetwork = nil, true
	c.LogPath = d.Logs.ContainerPath("+"+addon.Name, c.Name)
	for i, m := range c.Mounts {
		if m.Volume != "" {
			name, _ := d.volumeOf(addon, m.Volume)
			c.Mounts[i] = daemon.Mount{Source: dirs[name], Target: m.Target}
		} else {
			c.Mounts[i].Source = filepath.Join(files, filepath.Base(m.Source))
		}
	}
	return c
}

// prove starts the container, waits for its probe, runs the manifest's verification,
// and stops it cleanly. then is called while it runs, and once more after that.
func (d *Daemon) prove(ctx context.Context, c daemon.ContainerSpec, spec plugins.Spec, then func(running bool) error) (facts string, err error) {
	defer func() {
		err = errors.Join(err, d.removeThrowaway(ctx, c, spec))
	}()
	if err := d.startThrowaway(ctx, c, spec); err != nil {
		return "", err
	}
	if facts, err = d.facts(ctx, c.Name, spec); err != nil {
		err = daemon.Errorf(daemon.Failed, "verification: %w", err)
	}
	if err == nil && then != nil {
		err = then(true)
	}
	// A command in it ends a moment before the container that it dies with.
	died := d.died(ctx, c.Name)
	for wait := 0; err != nil && died == nil && wait < 10; wait++ {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
		died = d.died(ctx, c.Name)
	}
	if died != nil {
		return "", died
	}
	if err != nil {
		return "", err
	}
	if err := d.Engine.StopContainer(ctx, c.Name, container.StopGrace); err != nil {
		return "", err
	}
	if then != nil {
		err = then(false)
	}
	return facts, err
}

// startThrowaway gives the container a network, with nothing else in it, only if its
// probe comes from outside.
func (d *Daemon) startThrowaway(ctx context.Context, c daemon.ContainerSpec, spec plugins.Spec) error {
	if spec.Probe.Port != 0 {
		if err := d.Engine.EnsureNetwork(ctx, c.Name, c.Labels); err != nil {
			return err
		}
		c.Networks, c.NoNetwork = []daemon.Attachment{{Network: c.Name}}, false
	}
	if err := d.Containers.Create(ctx, c); err != nil {
		return err
	}
	if err := d.Engine.StartContainer(ctx, c.Name); err != nil {
		return err
	}
	err := d.awaitService(ctx, c.Name, spec)
	if died := d.died(ctx, c.Name); died != nil {
		return died
	}
	return err
}

func (d *Daemon) removeThrowaway(ctx context.Context, c daemon.ContainerSpec, spec plugins.Spec) error {
	return d.Life.Outlast(ctx, nil, func(ctx context.Context) error {
		err := d.Engine.RemoveContainer(ctx, c.Name)
		if spec.Probe.Port != 0 {
			err = errors.Join(err, d.Engine.RemoveNetwork(ctx, c.Name))
		}
		return err
	})
}

// died tells that a container has ended by itself, and how.
func (d *Daemon) died(ctx context.Context, container string) error {
	c, err := d.Engine.Container(ctx, container)
	switch {
	case err != nil || c.Running:
		return nil
	case c.OOMKilled:
		return daemon.Errorf(daemon.Failed, "the throwaway container ran out of memory").WithHint("a plan with more memory may help")
	}
	like := ""
	if c.ExitCode == 137 { // not every engine tells when it was the memory
		like = ", as one out of memory does"
	}
	return daemon.Errorf(daemon.Failed, "the throwaway container died with exit code %d%s; its last output:\n%s", c.ExitCode, like, d.Containers.Tail(container))
}

// facts are what the manifest's verification counts.
func (d *Daemon) facts(ctx context.Context, container string, spec plugins.Spec) (string, error) {
	if len(spec.Verify.Command) == 0 {
		return "", nil
	}
	text, err := d.execIn(ctx, container, spec.Verify)
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) > 12 {
		lines = append(lines[:12], fmt.Sprintf("and %d more", len(lines)-12))
	}
	return strings.Join(lines, ", "), err
}

// export stores the portable dump, from the running throwaway container or after it has
// stopped, as the manifest says.
func (d *Daemon) export(ctx context.Context, c daemon.ContainerSpec, spec plugins.Spec, b *daemon.Backup, running bool) error {
	e := spec.Export
	if len(e.Command) == 0 || e.Stopped == running {
		return nil
	}
	part, err := d.Vault.Add(ctx, b.ID, e.File, func(w io.Writer) error {
		return d.transfer(ctx, c, e, daemon.Streams{Stdout: w})
	})
	if err != nil {
		return fmt.Errorf("portable dump: %w", err)
	}
	addPart(b, part)
	changeDetail(b, func(v *backupDetail) { v.Dump = e.File })
	return nil
}

// transfer runs an export or an import: in the running container, or in one of its own
// in its place.
func (d *Daemon) transfer(ctx context.Context, c daemon.ContainerSpec, t plugins.Transfer, s daemon.Streams) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, transferLimit, daemon.Errorf(daemon.Failed, "it took more than %s", transferLimit))
	defer cancel()
	var stderr bytes.Buffer
	s.Stderr = &limited{w: &stderr, left: 64 << 10}
	if s.Stdout == nil {
		s.Stdout = io.Discard
	}
	var code int
	if t.Stopped {
		c.Name += "-transfer"
		c.Entrypoint, c.Command = t.Command[:1], t.Command[1:]
		c.Env = maps.Clone(c.Env)
		if c.Env == nil {
			c.Env = map[string]string{}
		}
		maps.Copy(c.Env, t.Env)
		c.Stdin = s.Stdin != nil
		// What it writes is data, not a log.
		c.LogPath, c.LogSize = "", 0
		defer func() {
			err = errors.Join(err, d.Life.Outlast(ctx, nil, func(ctx context.Context) error { return d.Engine.RemoveContainer(ctx, c.Name) }))
		}()
		if err := d.Containers.Create(ctx, c); err != nil {
			return err
		}
		code, err = d.Engine.RunAttached(ctx, c.Name, s)
	} else {
		code, err = d.Engine.Exec(ctx, c.Name, daemon.ExecSpec{Command: t.Command, Env: t.Env}, s)
	}
	if err == nil && code != 0 {
		err = fmt.Errorf("%s exited with code %d: %s", t.Command[0], code, lastLine(stderr.String()))
	}
	return err
}

// limited drops what is beyond a number of bytes.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	keep := p[:min(len(p), l.left)]
	l.left -= len(keep)
	if _, err := l.w.Write(keep); err != nil {
		return 0, err
	}
	return len(p), nil
}

// lastLine is where programs say what went wrong, but for the advice to ask for more.
func lastLine(text string) string {
	last := ""
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.Contains(line, "--verbose") {
			last = line
		}
	}
	return daemon.Clip(last)
}

const (
	// actionLimit bounds what a manifest has run in a container: a verification may count
	// much.
	actionLimit = time.Hour
	// transferLimit bounds an export or an import.
	transferLimit = 12 * time.Hour
	// maxActionOutput bounds what is read of an action, in bytes. Its program is the
	// image's, which those who reach the container may have changed.
	maxActionOutput = 64 << 10
)

// execIn runs a manifest's action in a container and returns the first maxActionOutput
// bytes of what it wrote.
func (d *Daemon) execIn(ctx context.Context, container string, a plugins.Action) (string, error) {
	inTime, cancel := context.WithTimeout(ctx, d.actionLimit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	exec := daemon.ExecSpec{Command: a.Command, Env: a.Env}
	streams := daemon.Streams{Stdout: &limited{w: &stdout, left: maxActionOutput}, Stderr: &limited{w: &stderr, left: maxActionOutput}}
	code, err := d.Engine.Exec(inTime, container, exec, streams)
	if err != nil && inTime.Err() != nil && ctx.Err() == nil {
		return "", daemon.Errorf(daemon.Failed, "%s did not end within %s", a.Command[0], d.actionLimit)
	}
	if err == nil && code != 0 {
		err = fmt.Errorf("%s exited with code %d: %s", a.Command[0], code, daemon.Clip(strings.TrimSpace(stderr.String())))
	}
	return stdout.String(), err
}

// VerifyBackup proves a backup again, from the stored bytes. One that fails is not good
// any more; a failed one that passes stays as it is, but its proof is told.
func (d *Daemon) VerifyBackup(ctx context.Context, id, member string, out io.Writer) (daemon.Backup, error) {
	unlock, err := d.Journal.LockAddon(ctx, BackupAddon(id), out)
	if err != nil {
		return daemon.Backup{}, err
	}
	defer unlock()
	b, err := d.Backup(ctx, id)
	if err != nil {
		return b, err
	}
	addon, err := d.Addon(ctx, b.Addon)
	if err != nil {
		return b, err
	}
	part, err := dataPart(b)
	if err != nil {
		return b, err
	}
	ctx, cancel := d.Life.Detach(ctx)
	defer cancel()
	if err := d.room(ctx, "unpacking "+b.ID, d.Dir, 4*part.Size); err != nil {
		return b, err
	}
	addon.Version, addon.Secrets = b.Version, secretsThen(b, addon)
	facts, err := d.proveStored(ctx, addon, b, part, out)
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
	return b, errors.Join(err, d.Store.Update(ctx, func(tx daemon.Tx) error {
		return errors.Join(tx.UpdateBackup(b), tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Text: "verified the backup " + b.ID}))
	}))
}

func (d *Daemon) proveStored(ctx context.Context, addon daemon.Addon, b daemon.Backup, part daemon.Part, out io.Writer) (string, error) {
	spec, err := d.renderAddon(addon)
	if err != nil {
		return "", err
	}
	work.Stage(out, "Checking %s", b.ID)
	tree := d.backupTree("verify-" + b.ID)
	defer func() { _ = os.RemoveAll(tree) }() // the next start removes what is left
	dirs := map[string]string{}
	for _, v := range spec.Volumes {
		dirs[v.Name] = filepath.Join(tree, v.Name)
		if err := os.MkdirAll(dirs[v.Name], 0o700); err != nil {
			return "", err
		}
	}
	if err := d.load(ctx, b, part, dirs); err != nil {
		return "", err
	}
	for _, p := range detailOf(b).Parts[1:] {
		r, err := d.Vault.Open(ctx, b.ID, p)
		if err != nil {
			return "", err
		}
		if err := r.Close(); err != nil {
			return "", err
		}
	}
	files := filepath.Join(tree, ".files") // no volume's name
	if err := writeFiles(files, spec); err != nil {
		return "", err
	}
	work.Stage(out, "Proving it in a throwaway container")
	c := d.proofSpec(addon, spec, b.ID, dirs, files)
	c.Limits.Background = true
	return d.prove(ctx, c, spec, nil)
}

// secretsThen are the secrets that the data of a backup knows, as far as they were
// kept, and the add-on's present ones where they were not.
func secretsThen(b daemon.Backup, addon daemon.Addon) map[string]string {
	then := withMarked(addon.Secrets, "", nil)
	maps.Copy(then, b.Secrets)
	return then
}

// credentials tells apart, and reveals nothing of, the secrets of an add-on. Backups
// from before those were kept have it.
func credentials(secrets map[string]string) string {
	sum := sha256.Sum256(journal.Encode(secrets)) // maps are encoded in order
	return hex.EncodeToString(sum[:8])
}
