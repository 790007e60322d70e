package daemon

import (
	"context"
	"slices"
	"strings"
)

// maxKeys bounds the keys of one member.
const maxKeys = 20

// Name is the comment of a key, by which its owner knows it. It may be empty.
func (k MemberKey) Name() string {
	fields := strings.SplitN(k.Key, " ", 3)
	if len(fields) < 3 {
		return ""
	}
	return fields[2]
}

// MemberKeys lists a member's keys in the order in which they were added.
func (d *Daemon) MemberKeys(ctx context.Context, member string) ([]MemberKey, error) {
	return Read(ctx, d.Store, func(tx Tx) ([]MemberKey, error) {
		if _, err := findMember(tx, member); err != nil {
			return nil, err
		}
		return keysOf(tx, member)
	})
}

func keysOf(tx Tx, member string) ([]MemberKey, error) {
	keys, err := tx.Keys()
	return slices.DeleteFunc(keys, func(k MemberKey) bool { return k.Member != member }), err
}

// findMember looks a member up, and says more than that they are absent.
func findMember(tx Tx, name string) (Member, error) {
	m, err := tx.Member(name)
	if isKind(err, NotFound) {
		err = Errorf(NotFound, "there is no member %q", clip(name)).WithHint("towline members lists them; towline members:add NAME < key.pub makes one")
	}
	return m, err
}

// AddKey adds a key to a member who is there. by is who adds it.
func (d *Daemon) AddKey(ctx context.Context, member, keyLine, by string) (MemberKey, error) {
	key, err := d.parseKey(member, keyLine)
	if err != nil {
		return MemberKey{}, err
	}
	return key, d.changeKeys(ctx, func(tx Tx) error {
		if _, err := findMember(tx, member); err != nil {
			return err
		}
		return insertKey(tx, key, by)
	})
}

func (d *Daemon) parseKey(member, keyLine string) (MemberKey, error) {
	key, fingerprint, err := d.Keys.Parse(keyLine)
	return MemberKey{Member: member, Key: key, Fingerprint: fingerprint, Created: now()}, err
}

func insertKey(tx Tx, key MemberKey, by string) error {
	keys, err := tx.Keys()
	if err != nil {
		return err
	}
	count := 0
	for _, k := range keys {
		if k.Fingerprint == key.Fingerprint {
			return Errorf(Exists, "this key is %s's already", k.Member).WithHint("a key says who someone is: give each member their own")
		}
		if k.Member == key.Member {
			count++
		}
	}
	if count >= maxKeys {
		return Errorf(Conflict, "%s has %d keys, and more are not allowed", key.Member, count).WithHint("remove one first: towline keys:remove KEY")
	}
	if err := tx.RecordActivity(Activity{Time: now(), Member: by, Text: "added the key " + key.Fingerprint + " of " + key.Member}); err != nil {
		return err
	}
	return tx.InsertKey(key)
}

// RemoveKey removes the one key of a member that which tells: its fingerprint, the first
// characters of it, or its name. What was opened by that key ends. Members do not remove
// their own last key; with left, which counts the keys that are left, 0, others have shut
// the member out.
func (d *Daemon) RemoveKey(ctx context.Context, member, which, by string) (key MemberKey, left int, err error) {
	err = d.changeKeys(ctx, func(tx Tx) error {
		if _, err := findMember(tx, member); err != nil {
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
			return Errorf(Conflict, "this is your only key: without it you could not connect").
				WithHint("add another first: towline keys:add < new.pub")
		}
		if err := tx.RecordActivity(Activity{Time: now(), Member: by, Text: "removed the key " + key.Fingerprint + " of " + member}); err != nil {
			return err
		}
		return tx.DeleteKey(key.Fingerprint)
	})
	return key, left, err
}

// chooseKey finds the one key that is meant.
func chooseKey(keys []MemberKey, which string) (MemberKey, error) {
	prefix := strings.TrimPrefix(which, "SHA256:")
	var found []MemberKey
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
		return MemberKey{}, Errorf(NotFound, "there is no key %q", clip(which)).WithHint("towline keys lists fingerprints and names")
	case 1:
		return found[0], nil
	}
	return MemberKey{}, Errorf(Invalid, "%q means any of %d keys", clip(which), len(found)).WithHint("give more of its fingerprint; towline keys lists them")
}
