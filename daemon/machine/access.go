package machine

import (
	"context"
	"errors"
	"slices"
	"strings"

	"towline/daemon"
)

// This file tells who may do what. Package command asks it before each command, so that
// the methods that do things need not ask again.

// Allowed fails unless the member may do p with the app. An empty member is the operator
// on the host, who may do everything, as administrators may.
func (d *Daemon) Allowed(ctx context.Context, member, app string, p daemon.Permission) error {
	ok, err := daemon.Read(ctx, d.Store, func(tx daemon.Tx) (bool, error) {
		if _, err := daemon.FindApp(tx, app); err != nil {
			return false, err
		}
		return allowed(tx, member, app, p)
	})
	if err != nil || ok {
		return err
	}
	// An app that one may not even view is, to them, not there.
	if view, err := daemon.Read(ctx, d.Store, func(tx daemon.Tx) (bool, error) { return allowed(tx, member, app, daemon.View) }); err != nil || !view {
		return daemon.Errorf(daemon.NotFound, "there is no app %q", daemon.Clip(app)).
			WithHint("towline apps lists them; towline apps:create NAME makes one")
	}
	return daemon.Errorf(daemon.Forbidden, "you may not %s %s", p, app).WithHint("ask someone who may manage it: towline apps:info -a %s", app)
}

// AllowedHost fails unless the member is an administrator.
func (d *Daemon) AllowedHost(ctx context.Context, member string) error {
	ok, err := daemon.Read(ctx, d.Store, func(tx daemon.Tx) (bool, error) { return isAdmin(tx, member) })
	if err == nil && !ok {
		err = daemon.Errorf(daemon.Forbidden, "only administrators may do this").WithHint("ask one: towline members")
	}
	return err
}

// IsAdmin tells whether the member is an administrator, as the operator on the host is.
func (d *Daemon) IsAdmin(ctx context.Context, member string) bool {
	return d.AllowedHost(ctx, member) == nil
}

// AllowedMember fails unless the member is the other, or an administrator and the other is
// there.
func (d *Daemon) AllowedMember(ctx context.Context, member, other string) error {
	if member == other {
		return nil
	}
	if d.IsAdmin(ctx, member) {
		_, err := daemon.Read(ctx, d.Store, func(tx daemon.Tx) (daemon.Member, error) { return findMember(tx, other) })
		return err
	}
	return daemon.Errorf(daemon.Forbidden, "only administrators may do this for others").WithHint("ask one: towline members")
}

// AllowedAddon fails unless the member may do p with the app that owns the add-on.
func (d *Daemon) AllowedAddon(ctx context.Context, member, name string, p daemon.Permission) error {
	addon, err := d.Addon(ctx, name)
	if err != nil {
		return err
	}
	ok, err := daemon.Read(ctx, d.Store, func(tx daemon.Tx) (bool, error) { return allowed(tx, member, addon.App, p) })
	if err != nil || ok {
		return err
	}
	if err := d.SeesAddon(ctx, member, name); err != nil {
		return err
	}
	err = d.Allowed(ctx, member, addon.App, daemon.View)
	if daemon.IsKind(err, daemon.NotFound) {
		return daemon.Errorf(daemon.Forbidden, "%s belongs to another app, which you may not %s", name, p).WithHint("ask an administrator: towline members")
	}
	return daemon.Errorf(daemon.Forbidden, "you may not %s %s, which owns %s", p, addon.App, name).
		WithHint("ask someone who may manage it: towline apps:info -a %s", addon.App)
}

// SeesAddon fails unless the member may view the app that owns the add-on, or one that it is
// attached to.
func (d *Daemon) SeesAddon(ctx context.Context, member, name string) error {
	addon, err := d.Addon(ctx, name)
	if err != nil {
		return err
	}
	visible, err := daemon.Read(ctx, d.Store, func(tx daemon.Tx) (bool, error) {
		attached, err := tx.Attachments()
		if err != nil {
			return false, err
		}
		_, visible, err := infoFor(tx, member, addon, attached)
		return visible, err
	})
	if err == nil && !visible {
		err = noAddon(name)
	}
	return err
}

func noAddon(name string) *daemon.Error {
	return daemon.Errorf(daemon.NotFound, "there is no add-on %q", daemon.Clip(name)).WithHint("towline addons lists them")
}

// AllowedBackup returns the backup, and fails unless the member may do p with the app that
// owned its add-on. A later add-on of the same name, of another app, gives no right to it.
func (d *Daemon) AllowedBackup(ctx context.Context, member, id string, p daemon.Permission) (daemon.Backup, error) {
	b, err := d.Backup(ctx, id)
	if err != nil {
		return b, err
	}
	view, may := false, false
	err = d.Store.View(ctx, func(tx daemon.Tx) (err error) {
		if view, err = allowed(tx, member, b.App, daemon.View); err != nil {
			return err
		}
		if may, err = allowed(tx, member, b.App, p); err != nil {
			return err
		}
		return hideFrom(&b, tx, member)
	})
	switch {
	case err != nil || may:
		return b, err
	case view:
		return b, daemon.Errorf(daemon.Forbidden, "you may not %s %s, which owns the backups of %s", p, b.App, b.Addon).
			WithHint("ask someone who may manage it: towline apps:info -a %s", b.App)
	}
	return b, daemon.Errorf(daemon.NotFound, "there is no backup %q", daemon.Clip(id)).WithHint("towline backups lists them")
}

func isAdmin(tx daemon.Tx, member string) (bool, error) {
	if member == "" {
		return true, nil
	}
	m, err := tx.Member(member)
	if daemon.IsKind(err, daemon.NotFound) {
		return false, nil
	}
	return m.Admin, err
}

// allowed tells whether the member may do p with the app; with none, whether they are an
// administrator.
func allowed(tx daemon.Tx, member, app string, p daemon.Permission) (bool, error) {
	if admin, err := isAdmin(tx, member); err != nil || admin || app == "" {
		return admin, err
	}
	access, err := tx.Access(app)
	i := slices.IndexFunc(access, func(a daemon.Access) bool { return a.Member == member })
	return i >= 0 && slices.Contains(access[i].Permissions, p), err
}

// Grant gives a member permissions on an app, in place of those they had; none
// takes all away, and ends what they may not have open any more. by is who gives them.
func (d *Daemon) Grant(ctx context.Context, app, member string, permissions []daemon.Permission, by string) error {
	for _, p := range permissions {
		if !slices.Contains([]daemon.Permission{daemon.View, daemon.Deploy, daemon.Operate, daemon.Manage}, p) {
			return daemon.Errorf(daemon.Invalid, "there is no permission %q", daemon.Clip(string(p))).WithHint("use view, deploy, operate, manage")
		}
	}
	defer d.rightsChanged(ctx)
	return d.Store.Update(ctx, func(tx daemon.Tx) error {
		if _, err := daemon.FindApp(tx, app); err != nil {
			return err
		}
		if _, err := findMember(tx, member); err != nil {
			return err
		}
		if len(permissions) == 0 {
			return errors.Join(tx.DeleteAccess(app, member),
				tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: by, App: app, Text: "took the access of " + member + " away"}))
		}
		if !slices.Contains(permissions, daemon.View) {
			permissions = append([]daemon.Permission{daemon.View}, permissions...)
		}
		return errors.Join(tx.PutAccess(daemon.Access{App: app, Member: member, Permissions: permissions}),
			tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: by, App: app, Text: "gave " + member + " the permissions " + joinPermissions(permissions)}))
	})
}

// AccessList tells who may do what with an app.
func (d *Daemon) AccessList(ctx context.Context, app string) ([]daemon.Access, error) {
	return daemon.Read(ctx, d.Store, func(tx daemon.Tx) ([]daemon.Access, error) {
		if _, err := daemon.FindApp(tx, app); err != nil {
			return nil, err
		}
		return tx.Access(app)
	})
}

func joinPermissions(ps []daemon.Permission) string {
	words := make([]string, len(ps))
	for i, p := range ps {
		words[i] = string(p)
	}
	return strings.Join(words, ",")
}
