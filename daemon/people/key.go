package people

import (
	"context"
	"slices"
	"strings"

	"towline/daemon"
)

// maxKeys bounds the keys of one member.
const maxKeys = 20

// MemberKeys lists a member's keys in the order in which they were added.
func (ps *People) MemberKeys(ctx context.Context, member string) ([]daemon.MemberKey, error) {
	return daemon.Read(ctx, ps.Store, func(tx daemon.Tx) ([]daemon.MemberKey, error) {
		if _, err := FindMember(tx, member); err != nil {
			return nil, err
		}
		return keysOf(tx, member)
	})
}

func keysOf(tx daemon.MemberTx, member string) ([]daemon.MemberKey, error) {
	keys, err := tx.Keys()
	return slices.DeleteFunc(keys, func(k daemon.MemberKey) bool { return k.Member != member }), err
}

// FindMember looks a member up, and says more than that they are absent.
func FindMember(tx daemon.MemberTx, name string) (daemon.Member, error) {
	m, err := tx.Member(name)
	if daemon.IsKind(err, daemon.NotFound) {
		err = daemon.Errorf(daemon.NotFound, "there is no member %q", daemon.Clip(name)).WithHint("towline members lists them; towline members:add NAME < key.pub makes one")
	}
	return m, err
}

// AddKey adds a key to a member who is there. by is who adds it.
func (ps *People) AddKey(ctx context.Context, member, keyLine, by string) (daemon.MemberKey, error) {
	key, err := ps.parseKey(member, keyLine)
	if err != nil {
		return daemon.MemberKey{}, err
	}
	return key, ps.changeKeys(ctx, func(tx daemon.Tx) error {
		if _, err := FindMember(tx, member); err != nil {
			return err
		}
		return insertKey(tx, daemon.KeyAdded, key, by)
	})
}

func (ps *People) parseKey(member, keyLine string) (daemon.MemberKey, error) {
	key, fingerprint, err := ps.Keys.Parse(keyLine)
	return daemon.MemberKey{Member: member, Key: key, Fingerprint: fingerprint, Created: daemon.Now()}, err
}

func insertKey(tx daemon.Tx, kind daemon.ActivityKind, key daemon.MemberKey, by string) error {
	keys, err := tx.Keys()
	if err != nil {
		return err
	}
	count := 0
	for _, k := range keys {
		if k.Fingerprint == key.Fingerprint {
			return daemon.Errorf(daemon.Exists, "this key is %s's already", k.Member).WithHint("a key says who someone is: give each member their own")
		}
		if k.Member == key.Member {
			count++
		}
	}
	if count >= maxKeys {
		return daemon.Errorf(daemon.Conflict, "%s has %d keys, and more are not allowed", key.Member, count).WithHint("remove one first: towline keys:remove KEY")
	}
	text, undo := "added the key "+key.Fingerprint+" of "+key.Member, "keys:remove "+key.Fingerprint+" "+key.Member
	if kind == daemon.MemberAdded {
		text, undo = "added the member "+key.Member+" with the key "+key.Fingerprint, "members:remove "+key.Member
	}
	if err := tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: by, Kind: kind, Subject: key.Member, Names: []string{key.Fingerprint}, Text: text, Undo: undo}); err != nil {
		return err
	}
	return tx.InsertKey(key)
}

// RemoveKey removes the one key of a member that which tells: its fingerprint, the first
// characters of it, or its name. What was opened by that key ends. Members do not remove
// their own last key; with left, which counts the keys that are left, 0, others have shut
// the member out.
func (ps *People) RemoveKey(ctx context.Context, member, which, by string) (key daemon.MemberKey, left int, err error) {
	err = ps.changeKeys(ctx, func(tx daemon.Tx) error {
		if _, err := FindMember(tx, member); err != nil {
			return err
		}
		keys, err := keysOf(tx, member)
		if err != nil {
			return err
		}
		if key, err = chooseKey(keys, which); err != nil {
			return err
		}
		left = len(keys) - 1
		if left == 0 && by == member {
			return daemon.Errorf(daemon.Conflict, "this is your only key: without it you could not connect").
				WithHint("add another first: towline keys:add < new.pub")
		}
		if err := tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: by, Kind: daemon.KeyRemoved, Subject: member, Names: []string{key.Fingerprint}, Text: "removed the key " + key.Fingerprint + " of " + member}); err != nil {
			return err
		}
		return tx.DeleteKey(key.Fingerprint)
	})
	return key, left, err
}

// chooseKey finds the one key that is meant.
func chooseKey(keys []daemon.MemberKey, which string) (daemon.MemberKey, error) {
	prefix := strings.TrimPrefix(which, "SHA256:")
	var found []daemon.MemberKey
	for _, k := range keys {
		print := strings.TrimPrefix(k.Fingerprint, "SHA256:")
		if print == prefix {
			return k, nil
		}
		if prefix != "" && strings.HasPrefix(print, prefix) || k.Name() != "" && k.Name() == which {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 0:
		return daemon.MemberKey{}, daemon.Errorf(daemon.NotFound, "there is no key %q", daemon.Clip(which)).WithHint("towline keys lists fingerprints and names")
	case 1:
		return found[0], nil
	}
	return daemon.MemberKey{}, daemon.Errorf(daemon.Invalid, "%q means any of %d keys", daemon.Clip(which), len(found)).WithHint("give more of its fingerprint; towline keys lists them")
}
