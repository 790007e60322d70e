package command

import (
	"encoding/json"
	"strings"
	"testing"

	"towline/daemon"
)

// importConfig feeds a .env file to an app.
func (b *bench) importConfig(app, text string, words ...string) result {
	b.t.Helper()
	return b.ask(Request{Args: append([]string{"config:import", "-a", app}, words...), Stdin: strings.NewReader(text)})
}

// config is an app's config vars.
func (b *bench) config(app string) map[string]string {
	b.t.Helper()
	var vars map[string]string
	if err := json.Unmarshal([]byte(b.run(0, "config", "--json", "-a", app).out), &vars); err != nil {
		b.t.Fatal(err)
	}
	return vars
}

func TestExportComesBackByImport(t *testing.T) {
	b := newBench(t)
	b.run(0, "apps:create", "staging")
	b.run(0, "apps:create", "production")
	values := map[string]string{
		"PEM": "-----BEGIN KEY-----\nMIIE+/=\n-----END KEY-----\n", "CRLF": "a\r\nb\r\n", "QUOTES": `it's "so" ` + "`here`", "HASH": "a # b",
		"DOLLAR": "$HOME ${HOME} $(id)", "BACKSLASH": `\n \\ \`, "BLANKS": "  x  ", "EMPTY": "", "UNICODE": "bücher 日本 🚀", "LINES": "B=c\nexport D=e\n# f",
	}
	words := []string{"config:set", "-a", "staging"}
	for key, value := range values {
		words = append(words, key+"="+value)
	}
	b.run(0, words...)
	for _, export := range [][]string{{"config:export", "-a", "staging"}, {"config", "--shell", "-a", "staging"}} {
		b.run(0, "config:set", "-a", "production", "KEPT=yes")
		if r := b.importConfig("production", b.run(0, export...).out); r.code != 0 {
			t.Fatal(r.errors)
		}
		got := b.config("production")
		for key, value := range values {
			if got[key] != value {
				t.Errorf("%s: %q came to be %q", key, value, got[key])
			}
		}
		if len(got) != len(values)+1 {
			t.Errorf("there are %d config vars", len(got))
		}
		for key := range values {
			b.run(0, "config:unset", "-a", "production", key)
		}
	}
}

func TestImportIsRefusedWithTheLine(t *testing.T) {
	b := newBench(t)
	b.run(0, "apps:create", "shop")
	for text, message := range map[string]string{
		"A=b\nC":                          "line 2 has no =",
		"A=b\nURL=http://$HOST":           "line 2 has a variable",
		"A=b\n\nB='c":                     "line 3 begins a value in single quotes that is not closed",
		"A=b\nDYNO=80":                    "line 2: config var DYNO is set by Towline itself",
		"A=b\nA.B=c":                      `line 2: config var name "A.B" is not allowed`,
		"A=b\nA=c":                        "line 2 sets A again",
		"":                                "no KEY=value lines",
		"A=" + strings.Repeat("b", 4<<20): "longer than 4.0 MiB",
	} {
		r := b.importConfig("shop", text)
		if r.code != 2 {
			t.Errorf("%.20q ended with %d: %s", text, r.code, r.out)
		}
		want(t, r.errors, message)
	}
	if vars := b.config("shop"); len(vars) != 0 {
		t.Errorf("%v was set", vars)
	}
}

// attachRedis gives an app an add-on, with the one config var REDISCLOUD_URL.
func (b *bench) attachRedis(app string) {
	b.t.Helper()
	name := "redis-" + app
	b.write(
		func(tx daemon.Tx) error {
			return tx.InsertAddon(daemon.Addon{Name: name, Service: "redis", App: app, Plan: "small", Version: "7", Status: daemon.AddonReady,
				Secrets: map[string]string{"password": "secret", "admin": "other"}})
		},
		func(tx daemon.Tx) error {
			return tx.InsertAttachment(daemon.AddonAttachment{Addon: name, App: app, Vars: []string{"REDISCLOUD_URL"}})
		},
		func(tx daemon.Tx) error {
			a, err := tx.App(app)
			if err != nil {
				return err
			}
			a.Config = map[string]string{"REDISCLOUD_URL": "redis://" + name}
			return tx.UpdateApp(a)
		})
}

func TestAddonVarsStayWhereTheyAre(t *testing.T) {
	b := newBench(t)
	b.run(0, "apps:create", "staging")
	b.run(0, "apps:create", "production")
	b.attachRedis("staging")
	b.attachRedis("production")
	b.run(0, "config:set", "A=b", "-a", "staging")

	export := b.run(0, "config:export", "-a", "staging").out
	want(t, export, "A='b'\n", "# REDISCLOUD_URL is left out: it belongs to the add-on redis-staging\n")
	wantNone(t, export, "redis://")
	want(t, b.run(0, "config", "--shell", "-a", "staging").out, "REDISCLOUD_URL='redis://redis-staging'")

	r := b.importConfig("production", "A=b\nREDISCLOUD_URL=redis://elsewhere\n")
	if r.code != 0 {
		t.Fatal(r.errors)
	}
	want(t, r.errors, "REDISCLOUD_URL belongs to the add-on redis-production and is left as it is")
	want(t, r.out, "Set A; production is at v")
	if vars := b.config("production"); vars["REDISCLOUD_URL"] != "redis://redis-production" || vars["A"] != "b" {
		t.Errorf("%v", vars)
	}

	// What takes the config var away is detaching; destroying takes the data too.
	r = b.run(6, "config:unset", "REDISCLOUD_URL", "-a", "staging")
	want(t, r.errors, "towline addons:detach redis-staging -a staging")
	wantNone(t, r.errors, "addons:destroy")
}
