package command

import (
	"strings"
	"testing"

	"towline/daemon"
)

func TestConfirmationsSayWhatHappens(t *testing.T) {
	b := filledBench(t)
	for line, effect := range map[string]string{
		"apps:destroy -a shop":                     "this destroys shop for good: its repository, releases, config vars, domains and logs",
		"addons:destroy redis-shop":                "this destroys redis-shop and its data for good, for every app it is attached to; its backups stay",
		"backups:delete redis-shop.1":              "this removes redis-shop.1 for good",
		"backups:restore redis-shop.1":             "this replaces the data of redis-shop by that of redis-shop.1; the data of before is kept as a backup",
		"backups:restore --dump --to redis-shop":   "this replaces the data of redis-shop by that of a dump; the data of before is kept as a backup",
		"releases:rollback v2 -a shop --with-data": "this takes shop back with the data of its add-ons; the data of now is kept as backups",
	} {
		r := b.run(2, strings.Fields(line)...)
		want(t, r.errors, " !     "+effect+"\n", " !     to go on, add: --confirm ")
		want(t, b.run(2, append(strings.Fields(line), "--confirm", "other")...).errors, "--confirm other does not match", "nothing was changed")
	}
	// What is not there is not confirmed.
	for line, code := range map[string]int{
		"apps:destroy -a nope": 3, "addons:destroy nope": 3, "backups:delete nope": 3, "backups:restore nope": 3, "backups:restore --dump --to nope": 3,
		"releases:rollback v99 -a shop --with-data": 3, "backups:restore": 2, "backups:restore --dump": 2,
	} {
		wantNone(t, b.run(code, strings.Fields(line)...).errors, "--confirm nope", "to go on", "can't be undone")
	}
	b.run(0, "backups:delete", "redis-shop.1", "-c", "redis-shop.1")
}

func TestATerminalIsAskedForTheName(t *testing.T) {
	b := filledBench(t)
	ask := func(typed string) result {
		return b.ask(Request{Args: []string{"backups:delete", "redis-shop.1"}, Stdin: strings.NewReader(typed), Terminal: true})
	}
	for _, typed := range []string{"", "\n", "redis-shop\n", "y\n"} {
		r := ask(typed)
		want(t, r.errors, "this removes redis-shop.1 for good", "To go on, type redis-shop.1: ", "does not match redis-shop.1", "nothing was changed")
		if r.code != 2 {
			t.Errorf("%q ended with %d", typed, r.code)
		}
	}
	if r := ask("redis-shop.1\nrest"); r.code != 0 {
		t.Error(r.errors)
	}
	b.run(3, "backups:info", "redis-shop.1")
}

func TestBackupsByLatestAndPrefix(t *testing.T) {
	b := filledBench(t)
	add := func(id, addon string, status daemon.BackupStatus, at int) {
		b.write(func(tx daemon.Tx) error {
			return tx.InsertBackup(daemon.Backup{ID: id, Addon: addon, App: "shop", Service: "redis", Status: status, Created: day(at)})
		})
	}
	b.write(func(tx daemon.Tx) error { return tx.DeleteBackup("redis-shop.1") })
	add("redis-shop.20260101T030000000Z", "redis-shop", daemon.BackupGood, 1)
	add("redis-shop.20260102T030000000Z", "redis-shop", daemon.BackupGood, 2)
	add("redis-shop.20260103T030000000Z", "redis-shop", daemon.BackupFailed, 3)
	for name, id := range map[string]string{
		"latest": "20260102", "redis-shop.latest": "20260102", "redis-shop.20260101": "20260101", "redis-shop.20260103T030000000Z": "20260103",
	} {
		want(t, b.run(0, "backups:info", name).out, "=== redis-shop."+id)
	}
	want(t, b.run(2, "backups:info", "redis-shop.2026").errors, "is the beginning of 3 backups", "redis-shop.20260103T030000000Z")
	b.run(3, "backups:info", "other.latest")
	b.run(3, "backups:info", "redis-shop.2027")

	add("cache.20260104T030000000Z", "cache", daemon.BackupGood, 4)
	want(t, b.run(2, "backups:info", "latest").errors, "each of 2 add-ons", "cache.latest")
	want(t, b.run(0, "backups:info", "redis-shop.latest").out, "=== redis-shop.20260102")

	// What one may not view does not count.
	b.member("mallory")
	if r := b.ask(Request{Member: "mallory", Args: []string{"backups:info", "redis-shop.2026"}}); r.code != 3 {
		t.Errorf("%d: %s", r.code, r.errors)
	}
}
