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
		_, err := daemon.Read(ctx, ps.Store, func(tx daemon.Tx) (daemon.Member, error) { return FindMember(tx, other) })
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
	rights, err := RightsOf(tx, app, member)
	return slices.Contains(rights.Permissions, p), err
}

// Grant gives a member permissions on an app, in place of those that they were given for it; none
// takes these away, and ends what they may not have open any more. What the app's pipeline gives
// stays. by is who gives them.
func (ps *People) Grant(ctx context.Context, app, member string, permissions []daemon.Permission, by string) error {
	return ps.grant(ctx, app, member, permissions, false, by)
}

// Regrant is Grant for a member who was given permissions for the app before.
func (ps *People) Regrant(ctx context.Context, app, member string, permissions []daemon.Permission, by string) error {
	return ps.grant(ctx, app, member, permissions, true, by)
}

func (ps *People) grant(ctx context.Context, app, member string, permissions []daemon.Permission, again bool, by string) error {
	permissions, err := CheckPermissions(permissions)
	if err != nil {
		return err
	}
	defer ps.RightsChanged(ctx)
	return ps.Store.Update(ctx, func(tx daemon.Tx) error {
		if _, err := daemon.FindApp(tx, app); err != nil {
			return err
		}
		if _, err := FindMember(tx, member); err != nil {
			return err
		}
		if again || len(permissions) == 0 {
			if err := givenForApp(tx, app, member); err != nil {
				return err
			}
		}
		undo, err := accessAgain(tx, app, member)
		if err != nil {
			return err
		}
		if len(permissions) == 0 {
			return errors.Join(tx.DeleteAccess(app, member),
				tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: by, Kind: daemon.AccessRemoved, App: app, Subject: member, Text: "took the access of " + member + " away", Undo: undo}))
		}
		return errors.Join(tx.PutAccess(daemon.Access{App: app, Member: member, Permissions: permissions}),
			tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: by, Kind: daemon.AccessAdded, App: app, Subject: member, Names: names(permissions), Undo: undo, Text: "gave " + member + " the permissions " + JoinPermissions(permissions)}))
	})
}

// givenForApp fails for a member who was given nothing for the app itself, and says where else what
// they may do with it comes from.
func givenForApp(tx daemon.Tx, app, member string) error {
	rights, err := RightsOf(tx, app, member)
	switch {
	case err != nil:
		return err
	case len(rights.From) == 0:
		return daemon.Errorf(daemon.NotFound, "%s has no access to %s", member, app).WithHint("towline access -a %s lists who has", app)
	case rights.From[0].Pipeline != "":
		s := rights.From[0]
		return daemon.Errorf(daemon.Conflict, "what %s may do with %s comes from the %s", member, app, s).WithHint("towline access:remove %s %s takes it away, on each app that it reaches", member, PipelineFlags(s.Pipeline, s.Stage))
	}
	return nil
}

// accessAgain is what gives a member the access that they have now.
func accessAgain(tx daemon.MemberTx, app, member string) (string, error) {
	access, err := tx.Access(app)
	i := slices.IndexFunc(access, func(a daemon.Access) bool { return a.Member == member })
	if i < 0 {
		return "access:remove " + member, err
	}
	return "access:add " + member + " -p " + strings.Join(names(access[i].Permissions), ","), err
}

func names(permissions []daemon.Permission) (names []string) {
	for _, p := range permissions {
		names = append(names, string(p))
	}
	return names
}

// AccessList tells who may do what with an app, and where that comes from.
func (ps *People) AccessList(ctx context.Context, app string) ([]Rights, error) {
	return daemon.Read(ctx, ps.Store, func(tx daemon.Tx) ([]Rights, error) {
		if _, err := daemon.FindApp(tx, app); err != nil {
			return nil, err
		}
		return RightsOn(tx, app)
	})
}

// RightsOf tells what a member may do with an app, and where that comes from.
func (ps *People) RightsOf(ctx context.Context, app, member string) (Rights, error) {
	return daemon.Read(ctx, ps.Store, func(tx daemon.Tx) (Rights, error) { return RightsOf(tx, app, member) })
}

func JoinPermissions(ps []daemon.Permission) string {
	words := make([]string, len(ps))
	for i, p := range ps {
		words[i] = string(p)
	}
	return strings.Join(words, ",")
}
