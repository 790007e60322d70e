package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKeys: members look after their own keys, one by one; administrators after all. The
// list that sshd reads follows.
func TestKeys(t *testing.T) {
	table, _ := newTable(t)
	table.commands = New(table.Rooms, HostParts{}).commands // as they are
	run := func(member, line, stdin string, want int, say string) string {
		t.Helper()
		var out bytes.Buffer
		r := request(member, strings.Fields(line), &out)
		r.Stdin = strings.NewReader(stdin)
		if code := table.Run(t.Context(), r); code != want || !strings.Contains(out.String(), say) {
			t.Errorf("%s: %q: exit code %d: %s", member, line, code, &out)
		}
		return out.String()
	}
	add := func(member, line, name string) (fingerprint string) {
		t.Helper()
		out := run(member, line, newKey(t)+" "+name+"\n", 0, "Added SHA256:")
		return strings.Fields(out)[1]
	}
	run("view", "whoami", "", 0, "view\n")
	run("", "whoami", "", 0, "operator\n")
	run("view", "whoami --json", "", 0, `"key": "SHA256:view"`)
	run("admin", "whoami --json", "", 0, `"admin": true`)

	run("view", "keys:remove SHA256:view", "", 6, "this is your only key")
	laptop, phone := add("view", "keys:add", "view@laptop"), add("view", "keys:add", "view@phone")
	list := run("view", "keys", "", 0, "view@laptop")
	for _, line := range strings.Split(strings.TrimSpace(list), "\n") {
		if strings.HasSuffix(line, "in use") != strings.HasPrefix(line, "SHA256:view ") {
			t.Errorf("keys: %s", list)
		}
	}
	if sshd, err := os.ReadFile(filepath.Join(table.Apps.Dir, "authorized_keys")); err != nil || !strings.Contains(string(sshd), "--member view --key "+laptop) {
		t.Errorf("sshd reads %s, %v", sshd, err)
	}
	run("view", "keys:add", newKey(t)+"\n"+newKey(t), 2, "several lines")
	run("none", "keys view", "", 4, "only administrators")
	run("none", "keys:add view", newKey(t), 4, "only administrators")
	run("none", "keys:remove view@laptop view", "", 4, "only administrators")
	run("none", "keys:remove view@laptop", "", 3, "no key")
	run("view", "keys:remove nosuch", "", 3, "no key")
	run("view", "keys:remove SHA256:", "", 3, "no key")
	run("view", "keys:remove view@laptop", "", 0, "Removed "+laptop+" from view")
	run("view", "keys:remove "+strings.TrimPrefix(phone, "SHA256:")[:12], "", 0, "Removed "+phone)
	first := add("view", "keys:add", "same")
	add("view", "keys:add", "same")
	run("view", "keys:remove same", "", 2, "any of 2 keys")
	run("view", "keys:remove "+first, "", 0, "Removed "+first)
	for i := 2; i < 20; i++ {
		add("view", "keys:add", "more")
	}
	run("view", "keys:add", newKey(t), 6, "20 keys")

	// The only administrator who lost their key: root on the host replaces it.
	fresh := add("", "keys:add admin", "new")
	run("", "keys:remove SHA256:admin admin", "", 0, "Removed SHA256:admin")
	run("admin", "apps", "", 4, "not admin's any more")
	run("", "keys admin", "", 0, fresh)
	run("", "keys", "", 2, "on the host you are root")
	run("", "keys:add nosuch", newKey(t), 3, `no member "nosuch"`)
	run("", "keys:remove "+fresh+" admin", "", 0, "admin has no key now and cannot connect")
	run("", "members:remove admin --confirm admin", "", 6, "only administrator")
	run("", "members:remove admin", "", 6, "only administrator") // before it asks
}

// TestRemoveMember asks for the name again, and says which apps are left with nobody.
func TestRemoveMember(t *testing.T) {
	table, _ := newTable(t)
	table.commands = New(table.Rooms, HostParts{}).commands
	run := func(line string, want int) string {
		t.Helper()
		var out bytes.Buffer
		if code := table.Run(t.Context(), request("admin", strings.Fields(line), &out)); code != want {
			t.Errorf("%q: exit code %d: %s", line, code, &out)
		}
		return out.String()
	}
	if out := run("members:remove owner", 2); !strings.Contains(out, "--confirm owner") {
		t.Error(out)
	}
	run("members:remove nosuch", 3)
	if out := run("members:remove owner --confirm owner", 0); strings.Contains(out, "shop") {
		t.Errorf("shop has another manager: %s", out)
	}
	if out := run("members:remove manage", 2); !strings.Contains(out, "this removes manage with all keys and access; nobody but administrators may manage live, shop then") {
		t.Error(out)
	}
	if out := run("members:remove manage --confirm manage", 0); !strings.Contains(out, "nobody but administrators may manage live now") {
		t.Error(out)
	}
	if list, err := table.People.AccessList(t.Context(), "shop"); err != nil || len(list) != 3 {
		t.Errorf("%v, %v", list, err)
	}
}
