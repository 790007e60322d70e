package apps

import "testing"

func TestHiding(t *testing.T) {
	const text = "production and hunter2hunter2, postgres://u:s3cr3tpw@db/x, swordfish, yes"
	got := Hiding(map[string]string{
		"RAILS_ENV": "production", "NODE_ENV": "Production", "TOKEN": "hunter2hunter2", "DB": "postgres://u:s3cr3tpw@db/x", "FISH": "swordfish", "ON": "yes",
	}).Replace(text)
	if want := "production and [TOKEN], [DB], [FISH], yes"; got != want {
		t.Errorf("%q", got)
	}
	if got := Hiding(map[string]string{"ADMIN_PASSWORD": "production"}).Replace(text[:10]); got != "[ADMIN_PASSWORD]" {
		t.Errorf("a password that is a usual word: %q", got)
	}
}
