package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"towline/daemon"
	"towline/daemon/store"
)

// TestOwnersOfOldAddons: what was there before add-ons had owners belongs to the app that it
// was made for, and never to one that got its name later.
func TestOwnersOfOldAddons(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "towline.db")
	files, err := filepath.Glob("migrations/000[1-4]_*.sql")
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		raw(t, path, string(text))
	}
	raw(t, path, `
		INSERT INTO apps (name, created, owner, sealed_config, formation, current, maintenance, deploy_branch)
			VALUES ('shop', 1, '', x'', '{}', 0, 0, ''), ('reports', 1, '', x'', '{}', 0, 0, '');
		INSERT INTO addons (name, service, plan, version, generation, status, created, sealed_secrets)
			VALUES ('made', 'redis', '', '', 1, 'ready', 100, x''), ('attached', 'redis', '', '', 1, 'ready', 100, x''), ('alone', 'redis', '', '', 1, 'ready', 100, x'');
		INSERT INTO attachments (addon, app, prefix, vars)
			VALUES ('made', 'reports', '', '[]'), ('made', 'shop', '', '[]'), ('attached', 'reports', '', '[]'), ('attached', 'shop', '', '[]');
		INSERT INTO activities (time, member, app, text)
			VALUES (1, '', 'shop', 'created the add-on made'), (1, '', 'gone', 'created the add-on attached'), (1, '', 'gone', 'created the add-on alone');
		INSERT INTO backups (id, addon, service, version, status, reason, created, finished, size, stall, proven, facts, error, detail)
			VALUES ('made.1', 'made', '', '', 'good', '', 99, 0, 0, 0, 0, '', '', ''), ('made.2', 'made', '', '', 'good', '', 101, 0, 0, 0, 0, '', '', ''),
			('gone.1', 'gone', '', '', 'good', '', 101, 0, 0, 0, 0, '', '', '');
		PRAGMA user_version = 4`)
	open(t, dir).Close()
	rows, err := rawOpen(t, path).Query("SELECT name, COALESCE(app, '') FROM addons UNION SELECT id, COALESCE(app, '') FROM backups")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	owners := map[string]string{}
	for rows.Next() {
		var name, app string
		if err := rows.Scan(&name, &app); err != nil {
			t.Fatal(err)
		}
		owners[name] = app
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	equal(t, "owners", owners, map[string]string{
		"made": "shop", "attached": "reports", "alone": "", "made.1": "", "made.2": "shop", "gone.1": "",
	})
}

// TestOldActivities: what was recorded before events had kinds keeps its text, and is done.
func TestOldActivities(t *testing.T) {
	path := old(t, 11, "INSERT INTO activities (time, member, app, text) VALUES (9000000000000000000, 'ada', 'shop', 'created the app');")
	s, err := store.Open(t.Context(), path, fixtureKey)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	list := view(t, s, func(tx daemon.Tx) ([]daemon.Activity, error) { return tx.Activities(daemon.ActivityQuery{Limit: 1}) })
	if len(list) != 1 || list[0].Text != "created the app" || list[0].Kind != "" || list[0].Outcome != daemon.Done || list[0].Member != "ada" || list[0].App != "shop" {
		t.Errorf("%+v", list)
	}
}
