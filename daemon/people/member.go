// Package people knows members, their keys, what they may do with which app, and the calls that
// they have open.
package people

import (
	"context"
	"errors"
	"slices"

	"towline/daemon"
	"towline/daemon/work"
)

// People are those who may do something here.
type People struct {
	Options
	sessions sessions
	onChange []func(context.Context)
}

// Options are what People are made of.
type Options struct {
	Store daemon.Store
	Keys  daemon.Keys // that sshd accepts
	Locks *work.Locks
}

// New returns the people in the store.
func New(o Options) *People { return &People{Options: o} }

// OnChange has f called whenever who may do what has changed, for what is open by a right that
// may be gone. It is for those who wire, before the first call.
func (ps *People) OnChange(f func(context.Context)) { ps.onChange = append(ps.onChange, f) }

// Members lists everybody with their keys.
func (ps *People) Members(ctx context.Context) ([]daemon.Member, []daemon.MemberKey, error) {
	var keys []daemon.MemberKey
	members, err := daemon.Read(ctx, ps.Store, func(tx daemon.Tx) (m []daemon.Member, err error) {
		if keys, err = tx.Keys(); err != nil {
			return nil, err
		}
		return tx.Members()
	})
	return members, keys, err
}

// AddMember adds a key to a member, who is made if absent. The first member of an
// installation is its administrator. by is who adds it.
func (ps *People) AddMember(ctx context.Context, name, keyLine string, admin bool, by string) (daemon.MemberKey, error) {
	if err := daemon.CheckMemberName(name); err != nil {
		return daemon.MemberKey{}, err
	}
	key, err := ps.parseKey(name, keyLine)
	if err != nil {
		return daemon.MemberKey{}, err
	}
	return key, ps.changeKeys(ctx, func(tx daemon.Tx) error {
		members, err := tx.Members()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(members, func(m daemon.Member) bool { return m.Name == name })
		kind := daemon.KeyAdded
		if i < 0 || admin && !members[i].Admin {
			kind = daemon.MemberAdded
		}
		switch {
		case i < 0:
			err = tx.InsertMember(daemon.Member{Name: name, Admin: admin || len(members) == 0, Created: daemon.Now()})
		case admin && !members[i].Admin:
			members[i].Admin = true
			err = tx.UpdateMember(members[i])
		}
		if err != nil {
			return err
		}
		return insertKey(tx, kind, key, by)
	})
}

// RemoveMember removes a member with all keys and access, and ends what they have open.
// Someone must stay who may manage the installation. It returns the apps that are left with
// nobody who may manage them but administrators.
func (ps *People) RemoveMember(ctx context.Context, name, by string) (left []string, err error) {
	err = ps.changeKeys(ctx, func(tx daemon.Tx) error {
		if err := canRemoveMember(tx, name); err != nil {
			return err
		}
		if left, err = soleManager(tx, name); err != nil {
			return err
		}
		if err := tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: by, Kind: daemon.MemberRemoved, Subject: name, Text: "removed the member " + name}); err != nil {
			return err
		}
		return tx.DeleteMember(name)
	})
	return left, err
}

// CanRemoveMember fails for who is not there, or is the only administrator.
func (ps *People) CanRemoveMember(ctx context.Context, name string) error {
	return ps.Store.View(ctx, func(tx daemon.Tx) error { return canRemoveMember(tx, name) })
}

func canRemoveMember(tx daemon.MemberTx, name string) error {
	m, err := FindMember(tx, name)
	if err != nil || !m.Admin {
		return err
	}
	members, err := tx.Members()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(members, func(o daemon.Member) bool { return o.Admin && o.Name != name }) {
		return nil
	}
	return daemon.Errorf(daemon.Conflict, "%s is the only administrator", name).
		WithHint("make another one first: towline members:add NAME --admin < key.pub; a lost key is replaced by towline keys:add and keys:remove")
}

// SoleManager lists the apps that nobody but the member and administrators may manage.
func (ps *People) SoleManager(ctx context.Context, member string) ([]string, error) {
	return daemon.Read(ctx, ps.Store, func(tx daemon.Tx) ([]string, error) { return soleManager(tx, member) })
}

func soleManager(tx daemon.Tx, member string) (names []string, err error) {
	apps, err := tx.Apps()
	for _, a := range apps {
		rights, rerr := RightsOn(tx, a.Name)
		err = errors.Join(err, rerr)
		mine, others := false, false
		for _, x := range rights {
			if slices.Contains(x.Permissions, daemon.Manage) {
				mine = mine || x.Member == member
				others = others || x.Member != member
			}
		}
		if mine && !others {
			names = append(names, a.Name)
		}
	}
	return names, err
}

// changeKeys edits members and then has sshd accept what the store now says. A crash
// in between is mended at the next start.
func (ps *People) changeKeys(ctx context.Context, edit func(daemon.Tx) error) error {
	unlock, err := ps.Locks.Lock(ctx, "keys", nil)
	if err != nil {
		return err
	}
	defer unlock()
	if err := ps.Store.Update(ctx, edit); err != nil {
		return err
	}
	err = ps.SyncKeys(ctx)
	ps.RightsChanged(ctx)
	return err
}

func (ps *People) SyncKeys(ctx context.Context) error {
	keys, err := daemon.Read(ctx, ps.Store, daemon.Tx.Keys)
	if err != nil {
		return err
	}
	return ps.Keys.Replace(ctx, keys)
}
