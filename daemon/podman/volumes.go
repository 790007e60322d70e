package podman

import (
	"context"

	"github.com/containers/podman/v5/pkg/bindings/volumes"
	"github.com/containers/podman/v5/pkg/domain/entities/types"

	"towline/daemon"
)

// volumeEngine is a daemon.Volumes.
type volumeEngine struct{ *client }

// EnsureVolume implements daemon.Volumes.
func (e *volumeEngine) EnsureVolume(ctx context.Context, name string, labels map[string]string) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	_, err = volumes.Create(c, types.VolumeCreateOptions{Name: name, Labels: e.labelled(labels)}, nil)
	if err != nil && contains(err, "already exists") {
		return nil
	}
	return wrap(err, "create volume "+name)
}

// RemoveVolume implements daemon.Volumes. One that a container uses is a conflict.
func (e *volumeEngine) RemoveVolume(ctx context.Context, name string) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	err = volumes.Remove(c, name, nil)
	if absent(err) {
		return nil
	}
	return wrap(err, "remove volume "+name)
}

// Volumes implements daemon.Volumes.
func (e *volumeEngine) Volumes(ctx context.Context) ([]daemon.Labelled, error) {
	c, err := e.call(ctx)
	if err != nil {
		return nil, err
	}
	list, err := volumes.List(c, new(volumes.ListOptions).WithFilters(e.filters(nil)))
	if err != nil {
		return nil, wrap(err, "list volumes")
	}
	found := make([]daemon.Labelled, 0, len(list))
	for _, v := range list {
		found = append(found, daemon.Labelled{Name: v.Name, Labels: v.Labels})
	}
	return found, nil
}

// VolumePath implements daemon.Volumes.
func (e *volumeEngine) VolumePath(ctx context.Context, name string) (string, error) {
	c, err := e.call(ctx)
	if err != nil {
		return "", err
	}
	volume, err := volumes.Inspect(c, name, nil)
	if err != nil {
		return "", wrap(err, "volume "+name)
	}
	return volume.Mountpoint, nil
}
