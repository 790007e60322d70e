package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/container"
	"towline/daemon/work"
	"towline/plugins"
)

// This file runs add-on services: a manifest's spec in a container of its own.

// addonContainer, addonVolume and addonNetwork are named after the add-on, and the
// first two after its generation.
func (d *Daemon) addonContainer(a daemon.Addon) string {
	return fmt.Sprintf("%s-addon-%s.%d", d.Name, a.Name, a.Generation)
}

func (d *Daemon) addonVolume(a daemon.Addon, volume string) string {
	return fmt.Sprintf("%s-addon-%s.%d-%s", d.Name, a.Name, a.Generation, volume)
}

func (d *Daemon) addonNetwork(addon string) string { return d.Name + "-addon-" + addon }

// volumeOf is the manifest's name of one of the add-on's volumes.
func (d *Daemon) volumeOf(a daemon.Addon, volume string) (string, bool) {
	return strings.CutPrefix(volume, d.addonVolume(a, ""))
}

func addonLabels(addon string) map[string]string {
	return map[string]string{daemon.LabelAddon: addon, daemon.LabelKind: daemon.KindAddon}
}

// filesDir holds an add-on's rendered files, which may have secrets in them.
func (d *Daemon) filesDir(a daemon.Addon) string {
	return filepath.Join(d.Dir, "addons", a.Name, fmt.Sprint(a.Generation))
}

func instance(a daemon.Addon) plugins.Instance {
	return plugins.Instance{Name: a.Name, Host: a.Name, Version: a.Version, Plan: a.Plan, Secrets: a.Secrets}
}

func (d *Daemon) renderAddon(a daemon.Addon) (plugins.Spec, error) {
	m, err := d.service(a.Service)
	if err != nil {
		return plugins.Spec{}, err
	}
	return m.Render(instance(a))
}

// serviceSpec describes the container of an add-on, on its own network alone.
func (d *Daemon) serviceSpec(a daemon.Addon, spec plugins.Spec) daemon.ContainerSpec {
	c := daemon.ContainerSpec{
		Name:       d.addonContainer(a),
		Image:      spec.Image,
		Hostname:   a.Name,
		Labels:     addonLabels(a.Name),
		Entrypoint: spec.Entrypoint,
		Command:    spec.Command,
		Env:        spec.Env,
		User:       spec.User,
		Networks:   []daemon.Attachment{{Network: d.addonNetwork(a.Name), Aliases: []string{a.Name}}},
		Limits:     daemon.Limits{Memory: spec.Memory, CPU: spec.CPU},
		Init:       true,
		CapDrop:    []string{"ALL"},
		CapAdd:     serviceCapabilities(spec),
		LogPath:    d.Logs.ContainerPath("+"+a.Name, d.addonContainer(a)),
		LogSize:    d.Logs.ContainerSize(),
		StopGrace:  container.StopGrace,
	}
	for _, v := range spec.Volumes {
		c.Mounts = append(c.Mounts, daemon.Mount{Volume: d.addonVolume(a, v.Name), Target: v.Path})
	}
	for i, f := range spec.Files {
		path := filepath.Join(d.filesDir(a), fileName(i, f))
		c.Mounts = append(c.Mounts, daemon.Mount{Source: path, Target: f.Path, ReadOnly: true})
	}
	return c
}

// serviceCapabilities are what an image needs that begins as root, takes over its volumes
// and goes on as a user of its own: root's over files and ids, and over the processes of
// that user, which the container's first process ends. One that has its user from the
// manifest needs none.
func serviceCapabilities(spec plugins.Spec) []string {
	if spec.User != "" && spec.User != "root" && spec.User != "0" && !strings.HasPrefix(spec.User, "0:") && !strings.HasPrefix(spec.User, "root:") {
		return nil
	}
	capabilities := []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"}
	for _, port := range spec.Ports {
		if port < 1024 {
			return append(capabilities, "NET_BIND_SERVICE")
		}
	}
	return capabilities
}

func fileName(i int, f plugins.File) string { return fmt.Sprintf("%d-%s", i, filepath.Base(f.Path)) }

// writeFiles puts the rendered files where serviceSpec mounts them from: below a
// directory that only root may enter, so that their modes are the container's alone.
func (d *Daemon) writeFiles(a daemon.Addon, spec plugins.Spec) error {
	return writeFiles(d.filesDir(a), spec)
}

func writeFiles(dir string, spec plugins.Spec) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for i, f := range spec.Files {
		path := filepath.Join(dir, fileName(i, f))
		if err := os.WriteFile(path, []byte(f.Content), 0o600); err != nil {
			return err
		}
		if err := os.Chmod(path, f.Mode); err != nil {
			return err
		}
		if f.UID != 0 || f.GID != 0 {
			if err := os.Chown(path, f.UID, f.GID); err != nil {
				return err
			}
		}
	}
	return nil
}

// startService makes everything that an add-on is of, and waits for its probe.
func (d *Daemon) startService(ctx context.Context, a daemon.Addon, apps []string, out io.Writer) (plugins.Spec, error) {
	spec, err := d.launchService(ctx, a, apps, out)
	if err != nil {
		return spec, err
	}
	work.Stage(out, "Waiting for %s to answer", a.Name)
	return spec, d.awaitService(ctx, d.addonContainer(a), spec)
}

// launchService makes what is missing of an add-on, starts it, and does not wait.
func (d *Daemon) launchService(ctx context.Context, a daemon.Addon, apps []string, out io.Writer) (plugins.Spec, error) {
	spec, err := d.renderAddon(a)
	if err != nil {
		return spec, err
	}
	if _, err := d.Engine.EnsureImage(ctx, spec.Image, out); err != nil {
		return spec, err
	}
	if err := d.Engine.EnsureNetwork(ctx, d.addonNetwork(a.Name), addonLabels(a.Name)); err != nil {
		return spec, err
	}
	for _, v := range spec.Volumes {
		if err := d.Engine.EnsureVolume(ctx, d.addonVolume(a, v.Name), addonLabels(a.Name)); err != nil {
			return spec, err
		}
	}
	return spec, d.runService(ctx, a, spec, apps)
}

// runService creates the container, or takes the one that is there, joins it to the
// apps' networks and starts it.
func (d *Daemon) runService(ctx context.Context, a daemon.Addon, spec plugins.Spec, apps []string) error {
	if err := d.writeFiles(a, spec); err != nil {
		return err
	}
	c := d.serviceSpec(a, spec)
	for _, app := range apps {
		if err := d.Engine.EnsureNetwork(ctx, d.Containers.NetworkName(app), map[string]string{daemon.LabelApp: app}); err != nil {
			return err
		}
		c.Networks = append(c.Networks, daemon.Attachment{Network: d.Containers.NetworkName(app), Aliases: []string{a.Name}})
	}
	have, err := d.Engine.Container(ctx, c.Name)
	switch {
	case daemon.IsKind(err, daemon.NotFound):
		if err := d.Engine.CreateContainer(ctx, c); err != nil {
			return err
		}
	case err != nil:
		return err
	case have.Paused:
		if err := d.Engine.UnpauseContainer(ctx, c.Name); err != nil {
			return err
		}
	}
	if have.Running {
		return nil
	}
	return d.Engine.StartContainer(ctx, c.Name)
}

// awaitService polls the probe until it succeeds, the container ends, or the
// manifest's deadline has passed.
func (d *Daemon) awaitService(ctx context.Context, container string, spec plugins.Spec) error {
	ctx, cancel := context.WithTimeout(ctx, spec.Probe.Deadline)
	defer cancel()
	wait, cause := spec.Probe.Interval, "its probe hangs"
	for {
		c, err := d.Engine.Container(ctx, container)
		if err == nil && !c.Running {
			return daemon.Errorf(daemon.Failed, "the service ended with exit code %d before it answered", c.ExitCode).
				WithHint("%s", d.lastWords(container, spec))
		}
		if err == nil {
			err = d.probe(ctx, c, spec.Probe)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() == nil { // else that is all that it says
			cause = err.Error()
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return daemon.Errorf(daemon.Failed, "the service did not answer within %s: %s", spec.Probe.Deadline, cause).
					WithHint("%s", d.lastWords(container, spec))
			}
			return context.Cause(ctx)
		}
	}
}

// startAddonContainer starts an add-on that has been provisioned, in the networks of
// the apps attached to it. Running already is no error.
func (d *Daemon) startAddonContainer(ctx context.Context, a daemon.Addon, out io.Writer) error {
	apps, err := d.attachedApps(ctx, a.Name)
	if err != nil {
		return err
	}
	if _, err = d.startService(ctx, a, apps, out); err != nil {
		return err
	}
	if err := d.syncPage(ctx, a); err != nil && ctx.Err() == nil {
		d.Log.Error("route to the page of an add-on", "addon", a.Name, "err", err)
	}
	return nil
}

func (d *Daemon) attachedApps(ctx context.Context, addon string) (apps []string, err error) {
	attached, err := d.attachments(ctx, addon)
	for _, at := range attached {
		apps = append(apps, at.App)
	}
	return apps, err
}

// removeGeneration removes the container, the volumes and the files of one generation,
// which must not be the current one.
func (d *Daemon) removeGeneration(ctx context.Context, a daemon.Addon) error {
	if err := d.notCurrent(ctx, a); err != nil {
		return err
	}
	d.Containers.Crashes.Forget(d.addonContainer(a))
	if err := d.Engine.RemoveContainer(ctx, d.addonContainer(a)); err != nil {
		return err
	}
	volumes, err := d.Engine.Volumes(ctx)
	if err != nil {
		return err
	}
	for _, v := range volumes {
		if _, ours := d.volumeOf(a, v.Name); ours {
			err = errors.Join(err, d.Engine.RemoveVolume(ctx, v.Name))
		}
	}
	return errors.Join(err, os.RemoveAll(d.filesDir(a)))
}

// notCurrent refuses the generation that has the add-on's data: whoever is about to remove
// that is mistaken.
func (d *Daemon) notCurrent(ctx context.Context, a daemon.Addon) error {
	now, err := d.Addon(ctx, a.Name)
	if err == nil && now.Generation == a.Generation {
		return daemon.Errorf(daemon.Conflict, "%s runs on its generation %d, which stays", a.Name, a.Generation)
	}
	return err
}

// removeService removes all that an add-on is of, data included.
func (d *Daemon) removeService(ctx context.Context, addon string) error {
	if err := d.Containers.RemoveWhere(ctx, map[string]string{daemon.LabelAddon: addon}, nil); err != nil {
		return err
	}
	volumes, err := d.Engine.Volumes(ctx)
	if err != nil {
		return err
	}
	for _, v := range volumes {
		if v.Labels[daemon.LabelAddon] == addon {
			err = errors.Join(err, d.Engine.RemoveVolume(ctx, v.Name))
		}
	}
	return errors.Join(err, d.Engine.RemoveNetwork(ctx, d.addonNetwork(addon)),
		os.RemoveAll(filepath.Join(d.Dir, "addons", addon)), d.Logs.Remove("+"+addon), d.Logs.Remove(pageName(addon)))
}
