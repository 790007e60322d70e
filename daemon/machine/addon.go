package machine

import (
	"context"
	"io"
	"slices"

	"towline/daemon"
	"towline/daemon/people"
)

// Addon returns one add-on.
func (d *Daemon) Addon(ctx context.Context, name string) (daemon.Addon, error) {
	return daemon.Read(ctx, d.Store, func(tx daemon.Tx) (daemon.Addon, error) {
		addon, err := tx.Addon(name)
		if daemon.IsKind(err, daemon.NotFound) {
			err = noAddon(name)
		}
		return addon, err
	})
}

// AddonInfo is an add-on with who uses it. It names no app that its reader may not view.
type AddonInfo struct {
	daemon.Addon
	Attachments []daemon.AddonAttachment `json:"attachments"`          // to apps that the member may view
	OtherApps   int                      `json:"other_apps,omitempty"` // so many more apps it is attached to
	Running     *bool                    `json:"running,omitempty"`    // absent: Podman is away
	Image       string                   `json:"image,omitempty"`      // absent: its plugin is broken or gone
	Memory      int64                    `json:"memory,omitempty"`     // bytes that its plan allows; absent like Image
}

// Addons lists the add-ons that an app owns or is attached to, or, with an empty app, those
// of all apps that the member may view.
func (d *Daemon) Addons(ctx context.Context, member, app string) ([]AddonInfo, error) {
	list, err := d.visibleAddons(ctx, member, app)
	if err != nil {
		return nil, err
	}
	running := map[string]bool{}
	containers, err := d.Engine.ContainerList(ctx, map[string]string{daemon.LabelKind: daemon.KindAddon})
	if err != nil && !daemon.IsAway(err) {
		return nil, err
	}
	for _, c := range containers {
		running[c.Name] = c.Running
	}
	for i, a := range list {
		if err == nil {
			r := running[d.addonContainer(a.Addon)]
			list[i].Running = &r
		}
		if spec, err := d.renderAddon(a.Addon); err == nil {
			list[i].Image, list[i].Memory = spec.Image, spec.Memory
		}
	}
	return list, nil
}

// visibleAddons is Addons as the state has them, without what runs.
func (d *Daemon) visibleAddons(ctx context.Context, member, app string) ([]AddonInfo, error) {
	return daemon.Read(ctx, d.Store, func(tx daemon.Tx) ([]AddonInfo, error) {
		if app != "" {
			if _, err := daemon.FindApp(tx, app); err != nil {
				return nil, err
			}
		}
		addons, err := tx.Addons()
		if err != nil {
			return nil, err
		}
		attached, err := tx.Attachments()
		if err != nil {
			return nil, err
		}
		list := []AddonInfo{}
		for _, a := range addons {
			info, visible, err := infoFor(tx, member, a, attached)
			if err != nil {
				return nil, err
			}
			if app != "" {
				visible = a.App == app || slices.ContainsFunc(info.Attachments, func(at daemon.AddonAttachment) bool { return at.App == app })
			}
			if visible {
				list = append(list, info)
			}
		}
		return list, nil
	})
}

// infoFor is an add-on as a member sees it. visible: by the app that owns it, or by one that
// it is attached to.
func infoFor(tx daemon.Tx, member string, a daemon.Addon, attached []daemon.AddonAttachment) (info AddonInfo, visible bool, err error) {
	info = AddonInfo{Addon: a, Attachments: []daemon.AddonAttachment{}}
	if visible, err = people.May(tx, member, a.App, daemon.View); err != nil {
		return info, false, err
	}
	if !visible {
		info.App = ""
	}
	for _, at := range attached {
		if at.Addon != a.Name {
			continue
		}
		ok, err := people.May(tx, member, at.App, daemon.View)
		if err != nil {
			return info, false, err
		}
		if ok {
			info.Attachments = append(info.Attachments, at)
		} else {
			info.OtherApps++
		}
		visible = visible || ok
	}
	return info, visible, nil
}

// AddonInfo tells what there is to know of one add-on.
func (d *Daemon) AddonInfo(ctx context.Context, name, member string) (AddonInfo, error) {
	addon, err := d.Addon(ctx, name)
	if err != nil {
		return AddonInfo{}, err
	}
	info, err := daemon.Read(ctx, d.Store, func(tx daemon.Tx) (AddonInfo, error) {
		attached, err := tx.Attachments()
		if err != nil {
			return AddonInfo{}, err
		}
		info, _, err := infoFor(tx, member, addon, attached)
		return info, err
	})
	if err != nil {
		return info, err
	}
	spec, err := d.renderAddon(addon)
	if err != nil {
		return info, err
	}
	info.Image, info.Memory = spec.Image, spec.Memory
	c, err := d.Engine.Container(ctx, d.addonContainer(addon))
	if err != nil && !daemon.IsKind(err, daemon.NotFound) {
		return info, err
	}
	info.Running = &c.Running
	return info, nil
}

func (d *Daemon) attachments(ctx context.Context, addon string) ([]daemon.AddonAttachment, error) {
	all, err := daemon.Read(ctx, d.Store, daemon.Tx.Attachments)
	return slices.DeleteFunc(all, func(at daemon.AddonAttachment) bool { return at.Addon != addon }), err
}

// lockAttached locks the apps that an add-on is attached to, in order of their names, then
// the add-on: with that, no other app can be attached to it.
func (d *Daemon) lockAttached(ctx context.Context, name string, out io.Writer) (unlock func(), _ error) {
	for {
		apps, err := d.attachedApps(ctx, name)
		if err != nil {
			return nil, err
		}
		slices.Sort(apps)
		unlock, err := d.Journal.LockAll(ctx, apps, name, out)
		if err != nil {
			return nil, err
		}
		now, err := d.attachedApps(ctx, name)
		slices.Sort(now)
		if err == nil && slices.Equal(apps, now) {
			return unlock, nil
		}
		unlock()
		if err != nil {
			return nil, err
		}
	}
}
