package addons

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

// ContainerName, addonVolume and addonNetwork are named after the add-on, and the
// first two after its generation.
func (ss *Services) ContainerName(a daemon.Addon) string {
	return fmt.Sprintf("%s-addon-%s.%d", ss.Name, a.Name, a.Generation)
}

func (ss *Services) VolumeName(a daemon.Addon, volume string) string {
	return fmt.Sprintf("%s-addon-%s.%d-%s", ss.Name, a.Name, a.Generation, volume)
}

func (ss *Services) NetworkName(addon string) string { return ss.Name + "-addon-" + addon }

// VolumeOf is the manifest's name of one of the add-on's volumes.
func (ss *Services) VolumeOf(a daemon.Addon, volume string) (string, bool) {
	return strings.CutPrefix(volume, ss.VolumeName(a, ""))
}

func AddonLabels(addon string) map[string]string {
	return map[string]string{daemon.LabelAddon: addon, daemon.LabelKind: daemon.KindAddon}
}

// FilesDir holds an add-on's rendered files, which may have secrets in them.
func (ss *Services) FilesDir(a daemon.Addon) string {
	return filepath.Join(ss.Dir, "addons", a.Name, fmt.Sprint(a.Generation))
}

func instance(a daemon.Addon) plugins.Instance {
	return plugins.Instance{Name: a.Name, Host: a.Name, Version: a.Version, Plan: a.Plan, Secrets: a.Secrets}
}

func (ss *Services) Render(a daemon.Addon) (plugins.Spec, error) {
	m, err := ss.Service(a.Service)
	if err != nil {
		return plugins.Spec{}, err
	}
	return m.Render(instance(a))
}

// Spec describes the container of an add-on, on its own network alone.
func (ss *Services) Spec(a daemon.Addon, spec plugins.Spec) daemon.ContainerSpec {
	c := daemon.ContainerSpec{
		Name:        ss.ContainerName(a),
		Image:       spec.Image,
		Hostname:    a.Name,
		Labels:      AddonLabels(a.Name),
		Entrypoint:  spec.Entrypoint,
		Command:     spec.Command,
		Env:         spec.Env,
		User:        spec.User,
		Networks:    []daemon.Attachment{{Network: ss.NetworkName(a.Name), Aliases: []string{a.Name}}},
		Limits:      daemon.Limits{Memory: spec.Memory, CPU: spec.CPU},
		Init:        true,
		CapDrop:     []string{"ALL"},
		CapAdd:      serviceCapabilities(spec),
		IDMapMounts: true,
		LogPath:     ss.Logs.ContainerPath("+"+a.Name, ss.ContainerName(a)),
		LogSize:     ss.Logs.ContainerSize(),
		StopGrace:   container.StopGrace,
	}
	for _, v := range spec.Volumes {
		c.Mounts = append(c.Mounts, daemon.Mount{Volume: ss.VolumeName(a, v.Name), Target: v.Path})
	}
	for i, f := range spec.Files {
		path := filepath.Join(ss.FilesDir(a), fileName(i, f))
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

// WriteFiles puts the rendered files where serviceSpec mounts them from: below a
// directory that only root may enter, so that their modes are the container's alone.
func (ss *Services) WriteFiles(a daemon.Addon, spec plugins.Spec) error {
	return WriteFiles(ss.FilesDir(a), spec)
}

func WriteFiles(dir string, spec plugins.Spec) error {
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
func (ss *Services) startService(ctx context.Context, a daemon.Addon, apps []string, out io.Writer) (plugins.Spec, error) {
	spec, err := ss.launchService(ctx, a, apps, out)
	if err != nil {
		return spec, err
	}
	work.Stage(out, "Waiting for %s to answer", a.Name)
	return spec, ss.AwaitService(ctx, ss.ContainerName(a), spec)
}

// launchService makes what is missing of an add-on, starts it, and does not wait.
func (ss *Services) launchService(ctx context.Context, a daemon.Addon, apps []string, out io.Writer) (plugins.Spec, error) {
	spec, err := ss.Render(a)
	if err != nil {
		return spec, err
	}
	if _, err := ss.Engine.EnsureImage(ctx, spec.Image, out); err != nil {
		return spec, err
	}
	if err := ss.Engine.EnsureNetwork(ctx, ss.NetworkName(a.Name), AddonLabels(a.Name)); err != nil {
		return spec, err
	}
	for _, v := range spec.Volumes {
		if err := ss.Engine.EnsureVolume(ctx, ss.VolumeName(a, v.Name), AddonLabels(a.Name)); err != nil {
			return spec, err
		}
	}
	return spec, ss.runService(ctx, a, spec, apps)
}

// runService creates the container, or takes the one that is there, joins it to the
// apps' networks and starts it.
func (ss *Services) runService(ctx context.Context, a daemon.Addon, spec plugins.Spec, apps []string) error {
	if err := ss.WriteFiles(a, spec); err != nil {
		return err
	}
	c := ss.Spec(a, spec)
	for _, app := range apps {
		if err := ss.Engine.EnsureNetwork(ctx, ss.Containers.NetworkName(app), map[string]string{daemon.LabelApp: app}); err != nil {
			return err
		}
		c.Networks = append(c.Networks, daemon.Attachment{Network: ss.Containers.NetworkName(app), Aliases: []string{a.Name}})
	}
	have, err := ss.Engine.Container(ctx, c.Name)
	switch {
	case daemon.IsKind(err, daemon.NotFound):
		if err := ss.Containers.Create(ctx, c); err != nil {
			return err
		}
	case err != nil:
		return err
	case have.Paused:
		if err := ss.Engine.UnpauseContainer(ctx, c.Name); err != nil {
			return err
		}
	}
	if have.Running {
		return nil
	}
	return ss.Engine.StartContainer(ctx, c.Name)
}

// AwaitService polls the probe until it succeeds, the container ends, or the
// manifest's deadline has passed.
func (ss *Services) AwaitService(ctx context.Context, container string, spec plugins.Spec) error {
	ctx, cancel := context.WithTimeout(ctx, spec.Probe.Deadline)
	defer cancel()
	wait, cause := spec.Probe.Interval, "its probe hangs"
	for {
		c, err := ss.Engine.Container(ctx, container)
		if err == nil && !c.Running {
			return daemon.Errorf(daemon.Failed, "the service ended with exit code %d before it answered", c.ExitCode).
				WithHint("%s", ss.lastWords(container, spec))
		}
		if err == nil {
			err = ss.probe(ctx, c, spec.Probe)
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
					WithHint("%s", ss.lastWords(container, spec))
			}
			return context.Cause(ctx)
		}
	}
}

// RemoveGeneration removes the container, the volumes and the files of one generation,
// which must not be the current one.
func (ss *Services) RemoveGeneration(ctx context.Context, a daemon.Addon) error {
	if err := ss.NotCurrent(ctx, a); err != nil {
		return err
	}
	return ss.ClearGeneration(ctx, a)
}

// ClearGeneration removes the same of any generation, the current one too: only for a machine
// that was restored, on which the add-on never ran.
func (ss *Services) ClearGeneration(ctx context.Context, a daemon.Addon) error {
	ss.Containers.Crashes.Forget(ss.ContainerName(a))
	if err := ss.Engine.RemoveContainer(ctx, ss.ContainerName(a)); err != nil {
		return err
	}
	volumes, err := ss.Engine.Volumes(ctx)
	if err != nil {
		return err
	}
	for _, v := range volumes {
		if _, ours := ss.VolumeOf(a, v.Name); ours {
			err = errors.Join(err, ss.Engine.RemoveVolume(ctx, v.Name))
		}
	}
	return errors.Join(err, os.RemoveAll(ss.FilesDir(a)))
}

// NotCurrent refuses the generation that has the add-on's data: whoever is about to remove
// that is mistaken.
func (ss *Services) NotCurrent(ctx context.Context, a daemon.Addon) error {
	now, err := ss.Addon(ctx, a.Name)
	if err == nil && now.Generation == a.Generation {
		return daemon.Errorf(daemon.Conflict, "%s runs on its generation %d, which stays", a.Name, a.Generation)
	}
	return err
}

// RemoveService removes all that an add-on is of, data included.
func (ss *Services) RemoveService(ctx context.Context, addon string) error {
	if err := ss.Containers.RemoveWhere(ctx, map[string]string{daemon.LabelAddon: addon}, nil); err != nil {
		return err
	}
	ss.Containers.ForgetAddonIDs(addon)
	volumes, err := ss.Engine.Volumes(ctx)
	if err != nil {
		return err
	}
	for _, v := range volumes {
		if v.Labels[daemon.LabelAddon] == addon {
			err = errors.Join(err, ss.Engine.RemoveVolume(ctx, v.Name))
		}
	}
	return errors.Join(err, ss.Engine.RemoveNetwork(ctx, ss.NetworkName(addon)),
		os.RemoveAll(filepath.Join(ss.Dir, "addons", addon)), ss.Logs.Remove("+"+addon), ss.Logs.Remove(PageName(addon)))
}

// addonAddress is where the host reaches the add-on's container.
func (ss *Services) addonAddress(ctx context.Context, a daemon.Addon) (ip string, err error) {
	c, err := ss.Engine.Container(ctx, ss.ContainerName(a))
	if err != nil && !daemon.IsKind(err, daemon.NotFound) {
		return "", err
	}
	ip = c.Addresses[ss.NetworkName(a.Name)]
	if !c.Running || ip == "" {
		return "", daemon.Errorf(daemon.Conflict, "%s is not running", a.Name).WithHint("towline addons:restart %s", a.Name)
	}
	return ip, nil
}
