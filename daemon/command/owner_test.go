package command

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"towline/daemon"
)

// TestSharedAddon: whoever manages an app that an add-on is attached to may look at it and
// detach it from that app; everything else is the business of the app that owns it, and its
// name is not theirs to know.
func TestSharedAddon(t *testing.T) {
	table, reached := newTable(t)
	now := time.Now().UTC()
	all := []daemon.Permission{daemon.View, daemon.Deploy, daemon.Operate, daemon.Manage}
	err := table.People.Store.Update(t.Context(), func(tx daemon.Tx) error {
		return errors.Join(
			tx.InsertMember(daemon.Member{Name: "guest", Created: now}),
			tx.InsertKey(daemon.MemberKey{Member: "guest", Key: newKey(t), Fingerprint: "SHA256:guest", Created: now}),
			tx.InsertApp(daemon.App{Name: "reports", Created: now, Owner: "guest"}),
			tx.PutAccess(daemon.Access{App: "reports", Member: "guest", Permissions: all}),
			tx.InsertAttachment(daemon.AddonAttachment{Addon: "redis-shop", App: "reports", Vars: []string{"CACHE_URL"}}),
			tx.InsertApp(daemon.App{Name: "blog", Created: now, Owner: "guest"}),
			tx.PutAccess(daemon.Access{App: "blog", Member: "guest", Permissions: all}))
	})
	if err != nil {
		t.Fatal(err)
	}
	code := map[string]int{"": 0, "forbidden": 4, "not found": 3}
	for _, c := range []struct{ line, refused string }{
		{"addons:info redis-shop", ""},
		{"addons:detach redis-shop -a reports", ""},
		{"addons -a reports", ""},
		{"releases:rollback -a reports", ""},
		{"releases:rollback --with-data -a reports --confirm reports", "forbidden"},
		{"addons:attach redis-shop -a blog", "forbidden"},
		{"addons:transfer redis-shop -a reports", "forbidden"},
		{"addons:destroy redis-shop --confirm redis-shop", "forbidden"},
		{"addons:rotate redis-shop", "forbidden"},
		{"addons:restart redis-shop", "forbidden"},
		{"addons:upgrade redis-shop --plan large", "forbidden"},
		{"addons:console redis-shop", "forbidden"},
		{"addons:open redis-shop", "forbidden"},
		{"addons:forward redis-shop", "forbidden"},
		{"addons:logs redis-shop", "forbidden"},
		{"backups:capture redis-shop", "forbidden"},
		{"backups:schedule redis-shop 0 3 * * *", "forbidden"},
		{"backups redis-shop", "forbidden"},
		{"backups:restore redis-shop.1 --confirm redis-shop", "not found"},
		{"backups:restore --dump --to redis-shop --confirm redis-shop", "forbidden"},
		{"backups:download redis-shop.1", "not found"},
		{"backups:info redis-shop.1", "not found"},
	} {
		var said bytes.Buffer
		*reached = ""
		got := table.Run(t.Context(), request("guest", strings.Fields(c.line), &said))
		if got != code[c.refused] || (*reached != "") != (c.refused == "") {
			t.Errorf("%q: exit code %d, reached %q: %s", c.line, got, *reached, &said)
		}
		if names := strings.ReplaceAll(said.String(), "redis-shop", ""); strings.Contains(names, "shop") {
			t.Errorf("%q names the owner: %s", c.line, &said)
		}
	}

	list, err := table.Addons.List(t.Context(), "guest", "")
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].App != "" || list[0].OtherApps != 1 || len(list[0].Attachments) != 1 || list[0].Attachments[0].App != "reports" {
		t.Errorf("the guest sees %+v", list)
	}
	if list, err := table.Backups.List(t.Context(), "guest", "", ""); err != nil || len(list) != 0 {
		t.Errorf("the guest sees the backups %+v, %v", list, err)
	}
	if list, err := table.Backups.List(t.Context(), "view", "", ""); err != nil || len(list) != 1 {
		t.Errorf("who may view the owner sees the backups %+v, %v", list, err)
	}

	// The owner's manager sees that it is used elsewhere, and may hand it over.
	if addon, err := table.Addons.Transfer(t.Context(), "redis-shop", "reports", "admin"); err != nil || addon.App != "reports" {
		t.Fatal(addon, err)
	}
	for member, want := range map[string]int{"guest": 0, "manage": 4} {
		if got := table.Run(t.Context(), request(member, strings.Fields("addons:rotate redis-shop"), io.Discard)); got != want {
			t.Errorf("after the transfer, %s has exit code %d", member, got)
		}
	}
	if b, err := table.Backups.AllowedBackup(t.Context(), "guest", "redis-shop.1", daemon.Manage); err != nil || b.App != "reports" {
		t.Errorf("its backups: %+v, %v", b, err)
	}
	if err := table.Apps.Destroy(t.Context(), "reports", "guest", &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "still has the add-on redis-shop") {
		t.Errorf("an app that owns an add-on is destroyed: %v", err)
	}
}
