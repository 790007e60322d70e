package addons

import (
	"context"
	"errors"
	"io"

	"towline/daemon"
	"towline/plugins"
)

// PauseApps has new requests of the apps attached to an add-on wait.
func (ss *Services) PauseApps(ctx context.Context, addon string) error {
	attached, err := ss.Attachments(ctx, addon)
	for _, at := range attached {
		if perr := ss.Routes.PauseApp(ctx, at.App); perr != nil && !daemon.IsKind(perr, daemon.NotFound) {
			err = errors.Join(err, perr)
		}
	}
	return err
}

func (ss *Services) ResumeApps(ctx context.Context, addon string) error {
	attached, err := ss.Attachments(ctx, addon)
	for _, at := range attached {
		if rerr := ss.Router.Resume(ctx, at.App); rerr != nil && !daemon.IsKind(rerr, daemon.NotFound) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

// StartContainer starts an add-on that has been provisioned, in the networks of
// the apps attached to it. Running already is no error.
func (ss *Services) StartContainer(ctx context.Context, a daemon.Addon, out io.Writer) error {
	apps, err := ss.AttachedApps(ctx, a.Name)
	if err != nil {
		return err
	}
	if _, err = ss.startService(ctx, a, apps, out); err != nil {
		return err
	}
	if err := ss.pages.syncPage(ctx, a); err != nil && ctx.Err() == nil {
		ss.Log.Error("route to the page of an add-on", "addon", a.Name, "err", err)
	}
	return nil
}

// StartAddon starts an add-on that should be running, and waits for its probe. One that
// is gone is no error.
func (ss *Services) StartAddon(ctx context.Context, name string) error {
	a, spec, err := ss.launchAddon(ctx, name)
	if err != nil || a.Status != daemon.AddonReady {
		return err
	}
	// Without the lock: what never answers can be restored or destroyed meanwhile.
	if err := ss.AwaitService(ctx, ss.ContainerName(a), spec); err != nil {
		return err
	}
	return ss.pages.syncPage(ctx, a)
}

// launchAddon starts the container of an add-on that should be running; the add-on that
// it returns tells whether it should.
func (ss *Services) launchAddon(ctx context.Context, name string) (daemon.Addon, plugins.Spec, error) {
	unlock, err := ss.Journal.LockAddon(ctx, name, nil)
	if err != nil {
		return daemon.Addon{}, plugins.Spec{}, err
	}
	defer unlock()
	a, err := ss.Addon(ctx, name)
	if daemon.IsKind(err, daemon.NotFound) || err == nil && a.Status != daemon.AddonReady {
		return daemon.Addon{}, plugins.Spec{}, nil
	}
	if err != nil {
		return daemon.Addon{}, plugins.Spec{}, err
	}
	apps, err := ss.AttachedApps(ctx, name)
	if err != nil {
		return daemon.Addon{}, plugins.Spec{}, err
	}
	spec, err := ss.launchService(ctx, a, apps, nil)
	return a, spec, err
}
