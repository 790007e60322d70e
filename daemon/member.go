package daemon

import (
	"context"
	"slices"
)

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
