package daemon

import (
	"context"
	"io"
	"slices"
)

// Addon returns one add-on.
func (d *Daemon) Addon(ctx context.Context, name string) (Addon, error) {
	return read(ctx, d, func(tx Tx) (Addon, error) {
		addon, err := tx.Addon(name)
		if isKind(err, NotFound) {
			err = noAddon(name)
		}
		return addon, err
	})
}

// AddonInfo is an add-on with who uses it.
type AddonInfo struct {
	Addon
	Attachments []AddonAttachment `json:"attachments"`          // to apps that the member may view
	OtherApps   int               `json:"other_apps,omitempty"` // so many more apps it is attached to
	Running     bool              `json:"running"`
	Image       string            `json:"image"`
	Memory      int64             `json:"memory"` // bytes that its plan allows
}

// Addons lists the add-ons attached to an app, or, with an empty app, to any that the
// member may view.
func (d *Daemon) Addons(ctx context.Context, member, app string) ([]AddonInfo, error) {
	return read(ctx, d, func(tx Tx) ([]AddonInfo, error) {
		if app != "" {
			if _, err := findApp(tx, app); err != nil {
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
			info := AddonInfo{Addon: a, Attachments: []AddonAttachment{}}
			visible := false
			for _, at := range attached {
				if at.Addon != a.Name {
					continue
				}
				ok, err := allowed(tx, member, at.App, View)
				if err != nil {
					return nil, err
				}
				visible = visible || ok && (app == "" || at.App == app)
				if ok {
					info.Attachments = append(info.Attachments, at)
				} else {
					info.OtherApps++
				}
			}
			if ok, err := isAdmin(tx, member); err != nil {
				return nil, err
			} else if ok && app == "" {
				visible = true
			}
			if visible {
				list = append(list, info)
			}
		}
		return list, nil
	})
}

// AddonInfo tells what there is to know of one add-on, but names no app that the member
// may not view.
func (d *Daemon) AddonInfo(ctx context.Context, name, member string) (AddonInfo, error) {
	addon, err := d.Addon(ctx, name)
	if err != nil {
		return AddonInfo{}, err
	}
	info := AddonInfo{Addon: addon, Attachments: []AddonAttachment{}}
	attached, err := d.attachments(ctx, name)
	if err != nil {
		return info, err
	}
	for _, at := range attached {
		ok, err := read(ctx, d, func(tx Tx) (bool, error) { return allowed(tx, member, at.App, View) })
		if err != nil {
			return info, err
		}
		if ok {
			info.Attachments = append(info.Attachments, at)
		} else {
			info.OtherApps++
		}
	}
	spec, err := d.renderAddon(addon)
	if err != nil {
		return info, err
	}
	info.Image, info.Memory = spec.Image, spec.Memory
	c, err := d.Engine.Container(ctx, d.addonContainer(addon))
	if err != nil && !isKind(err, NotFound) {
		return info, err
	}
	info.Running = c.Running
	return info, nil
}

func (d *Daemon) attachments(ctx context.Context, addon string) ([]AddonAttachment, error) {
	all, err := read(ctx, d, Tx.Attachments)
	return slices.DeleteFunc(all, func(at AddonAttachment) bool { return at.Addon != addon }), err
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
		unlock, err := d.lockAll(ctx, apps, name, out)
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

func (d *Daemon) lockAll(ctx context.Context, apps []string, addon string, out io.Writer) (unlock func(), err error) {
	var unlocks []func()
	unlock = func() {
		for _, u := range slices.Backward(unlocks) {
			u()
		}
	}
	for _, app := range apps {
		u, err := d.lockApp(ctx, app, out)
		if err != nil {
			unlock()
			return nil, err
		}
		unlocks = append(unlocks, u)
	}
	u, err := d.lockAddon(ctx, addon)
	if err != nil {
		unlock()
		return nil, err
	}
	unlocks = append(unlocks, u)
	return unlock, nil
}
