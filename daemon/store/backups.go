package store

import (
	"encoding/json"

	"towline/daemon"
)

const backupColumns = "id, addon, app, service, version, status, reason, created, finished, size, stall, proven, facts, error, detail, sealed_secrets"

func backupSecrets(id string) []byte { return place("backups.secrets", id) }

func (t backupTx) sealBackup(b daemon.Backup) []byte {
	if b.Secrets == nil {
		return []byte{}
	}
	return t.seal.sealMap(b.Secrets, backupSecrets(b.ID))
}

func readBackup(t *tx, scan scanner) (b daemon.Backup, err error) {
	var detail string
	var secrets []byte
	err = scan(&b.ID, &b.Addon, maybe(&b.App), &b.Service, &b.Version, &b.Status, &b.Reason, at(&b.Created), at(&b.Finished),
		&b.Size, &b.Stall, at(&b.Proven), &b.Facts, &b.Error, &detail, &secrets)
	if detail != "" {
		b.Detail = json.RawMessage(detail)
	}
	if err == nil && len(secrets) > 0 {
		b.Secrets, err = t.seal.openMap(secrets, backupSecrets(b.ID))
	}
	return b, err
}

func noBackup(id string) *daemon.Error {
	return daemon.Errorf(daemon.NotFound, "backup %q does not exist", id).WithHint("towline backups lists them")
}

func (t backupTx) Backups(addon string) ([]daemon.Backup, error) {
	return list(t.tx, readBackup, "SELECT "+backupColumns+" FROM backups WHERE ?1 = '' OR addon = ?1 ORDER BY created DESC, rowid DESC", addon)
}

func (t backupTx) Backup(id string) (daemon.Backup, error) {
	return one(t.tx, noBackup(id), readBackup, "SELECT "+backupColumns+" FROM backups WHERE id = ?", id)
}

func (t backupTx) InsertBackup(b daemon.Backup) error {
	return t.insert(daemon.Errorf(daemon.Exists, "backup %q exists already", b.ID),
		"INSERT INTO backups ("+backupColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		b.ID, b.Addon, maybe(&b.App), b.Service, b.Version, b.Status, b.Reason, at(&b.Created), at(&b.Finished),
		b.Size, int64(b.Stall), at(&b.Proven), b.Facts, b.Error, string(b.Detail), t.sealBackup(b))
}

func (t backupTx) UpdateBackup(b daemon.Backup) error {
	return t.change(noBackup(b.ID),
		"UPDATE backups SET addon = ?, app = ?, service = ?, version = ?, status = ?, reason = ?, created = ?, finished = ?, "+
			"size = ?, stall = ?, proven = ?, facts = ?, error = ?, detail = ?, sealed_secrets = ? WHERE id = ?",
		b.Addon, maybe(&b.App), b.Service, b.Version, b.Status, b.Reason, at(&b.Created), at(&b.Finished),
		b.Size, int64(b.Stall), at(&b.Proven), b.Facts, b.Error, string(b.Detail), t.sealBackup(b), b.ID)
}

func (t backupTx) DeleteBackup(id string) error {
	return t.change(noBackup(id), "DELETE FROM backups WHERE id = ?", id)
}
