package memory

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"towline/daemon"
)

// volumeEngine is a daemon.Volumes.
type volumeEngine struct{ *state }

// EnsureVolume implements daemon.Volumes.
func (e *volumeEngine) EnsureVolume(ctx context.Context, name string, labels map[string]string) error {
	if err := over(ctx, "create volume "+name); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ensureVolume(name, labels)
}

func (s *state) ensureVolume(name string, labels map[string]string) error {
	if s.volumes[name] != nil {
		return nil
	}
	s.volumes[name] = s.labelled(labels)
	return os.MkdirAll(s.volumePath(name), 0o700)
}

func (s *state) volumePath(name string) string { return filepath.Join(s.dir, name, "_data") }

// RemoveVolume implements daemon.Volumes. One that a container uses is a conflict.
func (e *volumeEngine) RemoveVolume(ctx context.Context, name string) error {
	if err := over(ctx, "remove volume "+name); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		if slices.ContainsFunc(c.spec.Mounts, func(m daemon.Mount) bool { return m.Volume == name }) {
			return daemon.Errorf(daemon.Conflict, "remove volume %s: %s uses it", name, c.info.Name)
		}
	}
	delete(e.volumes, name)
	return os.RemoveAll(filepath.Dir(e.volumePath(name)))
}

// Volumes implements daemon.Volumes.
func (e *volumeEngine) Volumes(ctx context.Context) ([]daemon.Labelled, error) {
	return e.list(ctx, "list volumes", e.volumes)
}

// VolumePath implements daemon.Volumes.
func (e *volumeEngine) VolumePath(ctx context.Context, name string) (string, error) {
	if err := over(ctx, "volume "+name); err != nil {
		return "", err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.volumes[name] == nil || strings.Contains(name, "/") {
		return "", notFound("volume", name)
	}
	return e.volumePath(name), nil
}
