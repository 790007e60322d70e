package store

import "towline/daemon"

func readMember(_ *tx, scan scanner) (m daemon.Member, err error) {
	err = scan(&m.Name, &m.Admin, at(&m.Created))
	return m, err
}

func noMember(name string) *daemon.Error {
	return daemon.Errorf(daemon.NotFound, "member %q does not exist", name).WithHint("towline members lists them")
}

func (t *tx) memberExists(name string) error {
	return t.exists(noMember(name), "SELECT 1 FROM members WHERE name = ?", name)
}

// Members come by name.
func (t memberTx) Members() ([]daemon.Member, error) {
	return list(t.tx, readMember, "SELECT name, admin, created FROM members ORDER BY name")
}

func (t memberTx) Member(name string) (daemon.Member, error) {
	return one(t.tx, noMember(name), readMember, "SELECT name, admin, created FROM members WHERE name = ?", name)
}

func (t memberTx) InsertMember(m daemon.Member) error {
	return t.insert(daemon.Errorf(daemon.Exists, "member %q exists already", m.Name).WithHint("choose another name"),
		"INSERT INTO members (name, admin, created) VALUES (?, ?, ?)", m.Name, m.Admin, at(&m.Created))
}

func (t memberTx) UpdateMember(m daemon.Member) error {
	return t.change(noMember(m.Name), "UPDATE members SET admin = ?, created = ? WHERE name = ?", m.Admin, at(&m.Created), m.Name)
}

func (t memberTx) DeleteMember(name string) error {
	if _, err := t.conn.ExecContext(t.ctx, "UPDATE pipelines SET owner = '' WHERE owner = ?", name); err != nil {
		return failed(err)
	}
	return t.change(noMember(name), "DELETE FROM members WHERE name = ?", name)
}

func readKeyRow(_ *tx, scan scanner) (k daemon.MemberKey, err error) {
	err = scan(&k.Member, &k.Key, &k.Fingerprint, at(&k.Created))
	return k, err
}

// Keys come by member, each member's in the order they were added.
func (t memberTx) Keys() ([]daemon.MemberKey, error) {
	return list(t.tx, readKeyRow, "SELECT member, key, fingerprint, created FROM keys ORDER BY member, rowid")
}

func (t memberTx) Key(fingerprint string) (daemon.MemberKey, error) {
	return one(t.tx, noKey(fingerprint), readKeyRow, "SELECT member, key, fingerprint, created FROM keys WHERE fingerprint = ?", fingerprint)
}

func noKey(fingerprint string) *daemon.Error {
	return daemon.Errorf(daemon.NotFound, "key %q does not exist", fingerprint).WithHint("towline members lists them")
}

// InsertKey fails for a key that any member has: it would not tell who is calling.
func (t memberTx) InsertKey(k daemon.MemberKey) error {
	if err := t.memberExists(k.Member); err != nil {
		return err
	}
	return t.insert(daemon.Errorf(daemon.Exists, "key %s already belongs to a member", k.Fingerprint).
		WithHint("give each member a key of their own"),
		"INSERT INTO keys (member, key, fingerprint, created) VALUES (?, ?, ?, ?)", k.Member, k.Key, k.Fingerprint, at(&k.Created))
}

func (t memberTx) DeleteKey(fingerprint string) error {
	return t.change(noKey(fingerprint), "DELETE FROM keys WHERE fingerprint = ?", fingerprint)
}
