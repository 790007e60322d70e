package backups

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/addons"
	"towline/daemon/container"
	"towline/daemon/journal"
	"towline/plugins"
)

// proveBackup finds out whether the copy of an add-on's volumes is good, counts what is
// in it, and takes the portable dump from it. What it finds is in b.
func (pf *Proofs) proveBackup(ctx context.Context, addon daemon.Addon, dirs map[string]string, b *daemon.Backup) error {
	spec, err := pf.Services.Render(addon)
	if err != nil {
		return err
	}
	c := pf.proofSpec(addon, spec, b.ID, dirs, pf.Services.FilesDir(addon))
	c.Limits.Background = true // the service itself is in use
	facts, err := pf.prove(ctx, c, spec, func(running bool) error { return pf.export(ctx, c, spec, b, running) })
	if err != nil {
		return daemon.Errorf(daemon.Failed, "the copy of %s could not be proven: %w", addon.Name, err).
			WithHint("it is kept as %s for inspection", b.ID)
	}
	b.Facts, b.Proven = facts, daemon.Now()
	return nil
}

// proofSpec is a throwaway container of the same version and limits on other volumes,
// without a network. files is where the rendered files are.
func (pf *Proofs) proofSpec(addon daemon.Addon, spec plugins.Spec, id string, dirs map[string]string, files string) daemon.ContainerSpec {
	c := pf.Services.Spec(addon, spec)
	c.Name = pf.Name + "-proof-" + id
	c.Labels = map[string]string{daemon.LabelKind: daemon.KindProof, daemon.LabelAddon: addon.Name}
	c.Networks, c.NoNetwork = nil, true
	c.LogPath = pf.Logs.ContainerPath("+"+addon.Name, c.Name)
	for i, m := range c.Mounts {
		if m.Volume != "" {
			name, _ := pf.Services.VolumeOf(addon, m.Volume)
			c.Mounts[i] = daemon.Mount{Source: dirs[name], Target: m.Target}
		} else {
			c.Mounts[i].Source = filepath.Join(files, filepath.Base(m.Source))
		}
	}
	return c
}

// prove starts the container, waits for its probe, runs the manifest's verification,
// and stops it cleanly. then is called while it runs, and once more after that.
func (pf *Proofs) prove(ctx context.Context, c daemon.ContainerSpec, spec plugins.Spec, then func(running bool) error) (facts string, err error) {
	defer func() {
		err = errors.Join(err, pf.removeThrowaway(ctx, c, spec))
	}()
	if err := pf.startThrowaway(ctx, c, spec); err != nil {
		return "", err
	}
	if facts, err = pf.facts(ctx, c.Name, spec); err != nil {
		err = daemon.Errorf(daemon.Failed, "verification: %w", err)
	}
	if err == nil && then != nil {
		err = then(true)
	}
	// A command in it ends a moment before the container that it dies with.
	died := pf.died(ctx, c.Name)
	for wait := 0; err != nil && died == nil && wait < 10; wait++ {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
		died = pf.died(ctx, c.Name)
	}
	if died != nil {
		return "", died
	}
	if err != nil {
		return "", err
	}
	if err := pf.Engine.StopContainer(ctx, c.Name, container.StopGrace); err != nil {
		return "", err
	}
	if then != nil {
		err = then(false)
	}
	return facts, err
}

// startThrowaway gives the container a network, with nothing else in it, only if its
// probe comes from outside.
func (pf *Proofs) startThrowaway(ctx context.Context, c daemon.ContainerSpec, spec plugins.Spec) error {
	if spec.Probe.Port != 0 {
		if err := pf.Engine.EnsureNetwork(ctx, c.Name, c.Labels); err != nil {
			return err
		}
		c.Networks, c.NoNetwork = []daemon.Attachment{{Network: c.Name}}, false
	}
	if err := pf.Containers.Create(ctx, c); err != nil {
		return err
	}
	if err := pf.Engine.StartContainer(ctx, c.Name); err != nil {
		return err
	}
	err := pf.Services.AwaitService(ctx, c.Name, spec)
	if died := pf.died(ctx, c.Name); died != nil {
		return died
	}
	return err
}

func (pf *Proofs) removeThrowaway(ctx context.Context, c daemon.ContainerSpec, spec plugins.Spec) error {
	return pf.Life.Outlast(ctx, nil, func(ctx context.Context) error {
		err := pf.Engine.RemoveContainer(ctx, c.Name)
		if spec.Probe.Port != 0 {
			err = errors.Join(err, pf.Engine.RemoveNetwork(ctx, c.Name))
		}
		return err
	})
}

// died tells that a container has ended by itself, and how.
func (pf *Proofs) died(ctx context.Context, container string) error {
	c, err := pf.Engine.Container(ctx, container)
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
	return daemon.Errorf(daemon.Failed, "the throwaway container died with exit code %d%s; its last output:\n%s", c.ExitCode, like, pf.Containers.Tail(container))
}

// facts are what the manifest's verification counts.
func (pf *Proofs) facts(ctx context.Context, container string, spec plugins.Spec) (string, error) {
	if len(spec.Verify.Command) == 0 {
		return "", nil
	}
	text, err := pf.Services.Exec(ctx, container, spec.Verify)
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) > 12 {
		lines = append(lines[:12], fmt.Sprintf("and %d more", len(lines)-12))
	}
	return strings.Join(lines, ", "), err
}

// export stores the portable dump, from the running throwaway container or after it has
// stopped, as the manifest says.
func (pf *Proofs) export(ctx context.Context, c daemon.ContainerSpec, spec plugins.Spec, b *daemon.Backup, running bool) error {
	e := spec.Export
	if len(e.Command) == 0 || e.Stopped == running {
		return nil
	}
	part, err := pf.Vault.Add(ctx, b.ID, e.File, func(w io.Writer) error {
		return pf.transfer(ctx, c, e, daemon.Streams{Stdout: w})
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
func (pf *Proofs) transfer(ctx context.Context, c daemon.ContainerSpec, t plugins.Transfer, s daemon.Streams) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, addons.TransferLimit, daemon.Errorf(daemon.Failed, "it took more than %s", addons.TransferLimit))
	defer cancel()
	var stderr bytes.Buffer
	s.Stderr = &addons.Limited{W: &stderr, Left: 64 << 10}
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
			err = errors.Join(err, pf.Life.Outlast(ctx, nil, func(ctx context.Context) error { return pf.Engine.RemoveContainer(ctx, c.Name) }))
		}()
		if err := pf.Containers.Create(ctx, c); err != nil {
			return err
		}
		code, err = pf.Engine.RunAttached(ctx, c.Name, s)
	} else {
		code, err = pf.Engine.Exec(ctx, c.Name, daemon.ExecSpec{Command: t.Command, Env: t.Env}, s)
	}
	if err == nil && code != 0 {
		err = fmt.Errorf("%s exited with code %d: %s", t.Command[0], code, lastLine(stderr.String()))
	}
	return err
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

// secretsThen are the secrets that the data of a backup knows, as far as they were
// kept, and the add-on's present ones where they were not.
func secretsThen(b daemon.Backup, addon daemon.Addon) map[string]string {
	then := addons.WithMarked(addon.Secrets, "", nil)
	maps.Copy(then, b.Secrets)
	return then
}

// credentials tells apart, and reveals nothing of, the secrets of an add-on. Backups
// from before those were kept have it.
func credentials(secrets map[string]string) string {
	sum := sha256.Sum256(journal.Encode(secrets)) // maps are encoded in order
	return hex.EncodeToString(sum[:8])
}
