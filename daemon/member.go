package daemon

import (
	"context"
	"slices"
	"strings"
)

// Allowed tells whether the member may. An empty member is the operator on the
// host. An empty app asks for what only administrators may.
func (d *Daemon) Allowed(ctx context.Context, member, app string, p Permission) error {
	ok, err := read(ctx, d, func(tx Tx) (bool, error) {
		if app != "" {
			if _, err := findApp(tx, app); err != nil {
				return false, err
			}
		}
		return allowed(tx, member, app, p)
	})
	if err != nil || ok {
		return err
	}
	if app == "" {
		return Errorf(Forbidden, "only administrators may do this").WithHint("ask one: towline members")
	}
	// An app that one may not even view is, to them, not there.
	if view, err := read(ctx, d, func(tx Tx) (bool, error) { return allowed(tx, member, app, View) }); err != nil || !view {
		return Errorf(NotFound, "there is no app %q", clip(app)).
			WithHint("towline apps lists them; towline apps:create NAME makes one")
	}
	return Errorf(Forbidden, "you may not %s %s", p, app).WithHint("ask someone who may manage it: towline apps:info -a %s", app)
}

func allowed(tx Tx, member, app string, p Permission) (bool, error) {
	if member == "" {
		return true, nil
	}
	m, err := tx.Member(member)
	if isKind(err, NotFound) {
		return false, nil
	}
	if err != nil || m.Admin || app == "" {
		return m.Admin, err
	}
	access, err := tx.Access(app)
	i := slices.IndexFunc(access, func(a Access) bool { return a.Member == member })
	return i >= 0 && slices.Contains(access[i].Permissions, p), err
}

// Known tells whether the member exists; one who was removed may have a connection
// open still.
func (d *Daemon) Known(ctx context.Context, member string) error {
	if member == "" {
		return nil
	}
	_, err := read(ctx, d, func(tx Tx) (Member, error) { return tx.Member(member) })
	if isKind(err, NotFound) {
		return Errorf(Forbidden, "you are no member here any more")
	}
	return err
}

// Members lists everybody with their keys.
func (d *Daemon) Members(ctx context.Context) ([]Member, []MemberKey, error) {
	var keys []MemberKey
	members, err := read(ctx, d, func(tx Tx) (m []Member, err error) {
		if keys, err = tx.Keys(); err != nil {
			return nil, err
		}
		return tx.Members()
	})
	return members, keys, err
}

// AddMember adds a key to a member, who is made if absent. The first member of an
// installation is its administrator.
func (d *Daemon) AddMember(ctx context.Context, name, keyLine string, admin bool) (MemberKey, error) {
	if err := CheckMemberName(name); err != nil {
		return MemberKey{}, err
	}
	key, fingerprint, err := d.Keys.Parse(keyLine)
	if err != nil {
		return MemberKey{}, err
	}
	mk := MemberKey{Member: name, Key: key, Fingerprint: fingerprint, Created: now()}
	return mk, d.changeKeys(ctx, func(tx Tx) error {
		members, err := tx.Members()
		if err != nil {
			return err
		}
		keys, err := tx.Keys()
		if err != nil {
			return err
		}
		for _, k := range keys {
			if k.Fingerprint == fingerprint {
				return Errorf(Exists, "this key is %s's already", k.Member).WithHint("a key says who someone is: give each member their own")
			}
		}
		i := slices.IndexFunc(members, func(m Member) bool { return m.Name == name })
		switch {
		case i < 0:
			err = tx.InsertMember(Member{Name: name, Admin: admin || len(members) == 0, Created: now()})
		case admin && !members[i].Admin:
			members[i].Admin = true
			err = tx.UpdateMember(members[i])
		}
		if err != nil {
			return err
		}
		return tx.InsertKey(mk)
	})
}

// RemoveMember removes a member with all keys. Someone must stay who may manage
// the installation.
func (d *Daemon) RemoveMember(ctx context.Context, name string) error {
	return d.changeKeys(ctx, func(tx Tx) error {
		m, err := tx.Member(name)
		if isKind(err, NotFound) {
			return Errorf(NotFound, "there is no member %q", clip(name)).WithHint("towline members")
		}
		if err != nil {
			return err
		}
		members, err := tx.Members()
		if err != nil {
			return err
		}
		others := slices.ContainsFunc(members, func(o Member) bool { return o.Admin && o.Name != name })
		if m.Admin && !others {
			return Errorf(Conflict, "%s is the only administrator", name).WithHint("make another one first: towline members:add NAME --admin < key.pub")
		}
		return tx.DeleteMember(name)
	})
}

// changeKeys edits members and then has sshd accept what the store now says. A crash
// in between is mended at the next start.
func (d *Daemon) changeKeys(ctx context.Context, edit func(Tx) error) error {
	unlock, err := d.locks.lock(ctx, "keys", nil)
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.Store.Update(ctx, edit); err != nil {
		return err
	}
	return d.syncKeys(ctx)
}

func (d *Daemon) syncKeys(ctx context.Context) error {
	keys, err := read(ctx, d, Tx.Keys)
	if err != nil {
		return err
	}
	return d.Options.Keys.Replace(ctx, keys)
}

// Grant gives a member permissions on an app, in place of those they had; none
// takes all away.
func (d *Daemon) Grant(ctx context.Context, app, member string, permissions []Permission) error {
	for _, p := range permissions {
		if !slices.Contains([]Permission{View, Deploy, Operate, Manage}, p) {
			return Errorf(Invalid, "there is no permission %q", clip(string(p))).WithHint("use view, deploy, operate, manage")
		}
	}
	return d.Store.Update(ctx, func(tx Tx) error {
		if _, err := findApp(tx, app); err != nil {
			return err
		}
		if _, err := tx.Member(member); err != nil {
			if isKind(err, NotFound) {
				return Errorf(NotFound, "there is no member %q", clip(member)).WithHint("towline members:add %s < key.pub", clip(member))
			}
			return err
		}
		if len(permissions) == 0 {
			return tx.DeleteAccess(app, member)
		}
		if !slices.Contains(permissions, View) {
			permissions = append([]Permission{View}, permissions...)
		}
		return tx.PutAccess(Access{App: app, Member: member, Permissions: permissions})
	})
}

// AccessList tells who may do what with an app.
func (d *Daemon) AccessList(ctx context.Context, app string) ([]Access, error) {
	return read(ctx, d, func(tx Tx) ([]Access, error) {
		if _, err := findApp(tx, app); err != nil {
			return nil, err
		}
		return tx.Access(app)
	})
}

func joinPermissions(ps []Permission) string {
	words := make([]string, len(ps))
	for i, p := range ps {
		words[i] = string(p)
	}
	return strings.Join(words, ",")
}
