package machine_test

import (
	"testing"

	"towline/daemon"
)

// TestSecretsOfLaterManifest: an add-on that was made when its manifest wanted fewer secrets
// has all of them from the daemon's next start on, and keeps those it had; so does one whose
// rotation was cut short by that.
func TestSecretsOfLaterManifest(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	ready(t, d, n, "cache", "shop")
	set := func(secrets map[string]string) {
		t.Helper()
		err := d.Store.Update(t.Context(), func(tx daemon.Tx) error {
			a, err := tx.Addon("cache")
			a.Secrets = secrets
			if err == nil {
				err = tx.UpdateAddon(a)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	secrets := func() map[string]string {
		t.Helper()
		if err := d.CompleteSecrets(t.Context()); err != nil {
			t.Fatal(err)
		}
		a, err := d.Addons.Addon(t.Context(), "cache")
		if err != nil {
			t.Fatal(err)
		}
		return a.Secrets
	}
	set(map[string]string{"password": "kept", "old.password": "before"})
	first := secrets()
	if first["password"] != "kept" || first["old.password"] != "before" || first["admin"] == "" || first["old.admin"] == "" || first["next.admin"] != "" {
		t.Errorf("%v", first)
	}
	if again := secrets(); again["admin"] != first["admin"] {
		t.Error("another start makes other secrets")
	}
}
