package addons

import (
	"context"
	"slices"

	"towline/daemon"
	"towline/daemon/people"
)

// Info is an add-on with who uses it. It names no app that its reader may not view.
type Info struct {
	daemon.Addon
	Attachments []daemon.AddonAttachment `json:"attachments"`          // to apps that the member may view
	OtherApps   int                      `json:"other_apps,omitempty"` // so many more apps it is attached to
	Running     *bool                    `json:"running,omitempty"`    // absent: Podman is away
	Image       string                   `json:"image,omitempty"`      // absent: its plugin is broken or gone
	Memory      int64                    `json:"memory,omitempty"`     // bytes that its plan allows; absent like Image
}

// List lists the add-ons that an app owns or is attached to, or, with an empty app, those
// of all apps that the member may view.
func (ad *Addons) List(ctx context.Context, member, app string) ([]Info, error) {
	list, err := ad.VisibleAddons(ctx, member, app)
	if err != nil {
		return nil, err
	}
	running := map[string]bool{}
	containers, err := ad.Engine.ContainerList(ctx, map[string]string{daemon.LabelKind: daemon.KindAddon})
	if err != nil && !daemon.IsAway(err) {
		return nil, err
	}
	for _, c := range containers {
		running[c.Name] = c.Running
	}
	for i, a := range list {
		if err == nil {
			r := running[ad.services.ContainerName(a.Addon)]
			list[i].Running = &r
		}
		if spec, err := ad.services.Render(a.Addon); err == nil {
			list[i].Image, list[i].Memory = spec.Image, spec.Memory
		}
	}
	return list, nil
}

// VisibleAddons is Addons as the state has them, without what runs.
func (ad *Addons) VisibleAddons(ctx context.Context, member, app string) ([]Info, error) {
	return daemon.Read(ctx, ad.Store, func(tx daemon.Tx) ([]Info, error) {
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
		list := []Info{}
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
func infoFor(tx daemon.Tx, member string, a daemon.Addon, attached []daemon.AddonAttachment) (info Info, visible bool, err error) {
	info = Info{Addon: a, Attachments: []daemon.AddonAttachment{}}
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

// Info tells what there is to know of one add-on.
func (ad *Addons) Info(ctx context.Context, name, member string) (Info, error) {
	addon, err := ad.Addon(ctx, name)
	if err != nil {
		return Info{}, err
	}
	info, err := daemon.Read(ctx, ad.Store, func(tx daemon.Tx) (Info, error) {
		attached, err := tx.Attachments()
		if err != nil {
			return Info{}, err
		}
		info, _, err := infoFor(tx, member, addon, attached)
		return info, err
	})
	if err != nil {
		return info, err
	}
	spec, err := ad.services.Render(addon)
	if err != nil {
		return info, err
	}
	info.Image, info.Memory = spec.Image, spec.Memory
	c, err := ad.Engine.Container(ctx, ad.services.ContainerName(addon))
	if err != nil && !daemon.IsKind(err, daemon.NotFound) {
		return info, err
	}
	info.Running = &c.Running
	return info, nil
}
