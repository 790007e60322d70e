package people

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
func (ps *People) Allowed(ctx context.Context, member, app string, p daemon.Permission) error {
	ok, err := daemon.Read(ctx, ps.Store, func(tx daemon.Tx) (bool, error) {
		if _, err := daemon.FindApp(tx, app); err != nil {
			return false, err
		}
		return May(tx, member, app, p)
	})
	if err != nil || ok {
		return err
	}
	// An app that one may not even view is, to them, not there.
	if view, err := daemon.Read(ctx, ps.Store, func(tx daemon.Tx) (bool, error) { return May(tx, member, app, daemon.View) }); err != nil || !view {
		return daemon.Errorf(daemon.NotFound, "there is no app %q", daemon.Clip(app)).
			WithHint("towline apps lists them; towline apps:create NAME makes one")
	}
	return daemon.Errorf(daemon.Forbidden, "you may not %s %s", p, app).WithHint("ask someone who may manage it: towline apps:info -a %s", app)
}

// AllowedHost fails unless the member is an administrator.
func (ps *People) AllowedHost(ctx context.Context, member string) error {
	ok, err := daemon.Read(ctx, ps.Store, func(tx daemon.Tx) (bool, error) { return IsAdministrator(tx, member) })
	if err == nil && !ok {
		err = daemon.Errorf(daemon.Forbidden, "only administrators may do this").WithHint("ask one: towline members")
	}
	return err
}

// IsAdmin tells whether the member is an administrator, as the operator on the host is.
func (ps *People) IsAdmin(ctx context.Context, member string) bool {
	return ps.AllowedHost(ctx, member) == nil
}

// AllowedMember fails unless the member is the other, or an administrator and the other is
// there.
func (ps *People) AllowedMember(ctx context.Context, member, other string) error {
	if member == other {
		return nil
	}
	if ps.IsAdmin(ctx, member) {
		_, err := daemon.Read(ctx, ps.Store, func(tx daemon.Tx) (daemon.Member, error) { return findMember(tx, other) })
		return err
	}
	return daemon.Errorf(daemon.Forbidden, "only administrators may do this for others").WithHint("ask one: towline members")
}

func IsAdministrator(tx daemon.MemberTx, member string) (bool, error) {
	if member == "" {
		return true, nil
	}
	m, err := tx.Member(member)
	if daemon.IsKind(err, daemon.NotFound) {
		return false, nil
	}
	return m.Admin, err
}

// May tells whether the member may do p with the app; with none, whether they are an
// administrator.
func May(tx daemon.Tx, member, app string, p daemon.Permission) (bool, error) {
	if admin, err := IsAdministrator(tx, member); err != nil || admin || app == "" {
		return admin, err
	}
	access, err := tx.Access(app)
	i := slices.IndexFunc(access, func(a daemon.Access) bool { return a.Member == member })
	return i >= 0 && slices.Contains(access[i].Permissions, p), err
}

// Grant gives a member permissions on an app, in place of those they had; none
// takes all away, and ends what they may not have open any more. by is who gives them.
func (ps *People) Grant(ctx context.Context, app, member string, permissions []daemon.Permission, by string) error {
	for _, p := range permissions {
		if !slices.Contains([]daemon.Permission{daemon.View, daemon.Deploy, daemon.Operate, daemon.Manage}, p) {
			return daemon.Errorf(daemon.Invalid, "there is no permission %q", daemon.Clip(string(p))).WithHint("use view, deploy, operate, manage")
		}
	}
	defer ps.RightsChanged(ctx)
	return ps.Store.Update(ctx, func(tx daemon.Tx) error {
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
			tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: by, App: app, Text: "gave " + member + " the permissions " + JoinPermissions(permissions)}))
	})
}

// AccessList tells who may do what with an app.
func (ps *People) AccessList(ctx context.Context, app string) ([]daemon.Access, error) {
	return daemon.Read(ctx, ps.Store, func(tx daemon.Tx) ([]daemon.Access, error) {
		if _, err := daemon.FindApp(tx, app); err != nil {
			return nil, err
		}
		return tx.Access(app)
	})
}

func JoinPermissions(ps []daemon.Permission) string {
	words := make([]string, len(ps))
	for i, p := range ps {
		words[i] = string(p)
	}
	return strings.Join(words, ",")
}
