package command

import (
	"strings"
	"testing"
	"time"
)

func day(n int) time.Time { return time.Date(2026, 1, n, 3, 0, 0, 0, time.UTC) }

func TestSuggestions(t *testing.T) {
	b := newBench(t)
	for line, hint := range map[string]string{
		"confg:set A=1":      "did you mean config:set?",
		"config:sett A=1":    "did you mean config:set?",
		"config sett A=1":    "did you mean config:set?",
		"apps:creat shop":    "did you mean apps:create?",
		"apps:nope":          "there are: apps, apps:create, apps:deploy-branch, apps:destroy, apps:info, apps:open, apps:rename",
		"addons:psql":        "there are: addons, addons:attach",
		"relases":            "did you mean releases?",
		"pg:psql":            "pg:psql is towline addons:console ADDON here",
		"pg psql":            "pg:psql is towline addons:console ADDON here",
		"pg:backups:capture": "backups:capture ADDON here",
		"redis:create":       "addons:create redis here",
		"ps:type":            "towline ps:scale here",
		"domains:report":     "towline domains here",
		"run:detached ls":    "towline run here",
		"xyzzy":              "towline help lists them all",
		"git:remote -a shop": "the towline program's own",
	} {
		r := b.run(2, strings.Fields(line)...)
		want(t, r.errors, "there is no command", hint)
	}
}

func TestAliasesAndForeignWordsLeadSomewhere(t *testing.T) {
	b := newBench(t)
	for alias, name := range aliases {
		if b.commands[name] == nil || b.commands[alias] != nil {
			t.Errorf("%s stands for %s", alias, name)
		}
	}
	for word := range otherWays {
		if b.commands[word] != nil || aliases[word] != "" || foreignWords[word] != "" {
			t.Errorf("%s is known twice", word)
		}
	}
	for word, here := range foreignWords {
		if b.commands[word] != nil || aliases[word] != "" {
			t.Errorf("%s is a command of ours", word)
		}
		if name, _, _ := strings.Cut(here, " "); name != "git" && b.commands[name] == nil && name != "whoami" {
			t.Errorf("%s leads to %s, which is no command", word, here)
		}
	}
	b.run(0, "create", "shop")
	want(t, b.run(0, "info", "-a", "shop").out, "=== shop")
	want(t, b.run(6, "rollback", "-a", "shop").errors, "no earlier release")
	b.run(0, "scale", "-a", "shop")
	want(t, b.run(0, "open", "/cart", "-a", "shop").out, "https://shop.example.test/cart\n")
}

func TestHintsLeadSomewhere(t *testing.T) {
	b := newBench(t)
	b.run(0, "apps:create", "shop")
	b.attachRedis("shop")
	// A second add-on of a kind can't take the config var of the first.
	r := b.run(6, "addons:create", "redis", "-a", "shop")
	want(t, r.errors, "shop has the config var REDISCLOUD_URL of redis-shop already", "--as CACHE")
	wantNone(t, r.errors, "config:unset")
	r = b.run(6, "domains:remove", "shop.example.test", "-a", "shop")
	want(t, r.errors, "the app's own name", "maintenance:on")
	b.run(3, "domains:remove", "other.example.org", "-a", "shop")
}

// TestNamedWithoutFlag: an app named as an argument, as in other programs, and a flag before
// the command get the hint that leads on.
func TestNamedWithoutFlag(t *testing.T) {
	b := newBench(t)
	for line, says := range map[string]string{
		"apps:info shop":                   "an app is named by -a: write -a shop",
		"domains:add www.example.com shop": "an app is named by -a: write -a shop",
		"apps:info":                        "add -a NAME; towline apps lists them",
		"apps:info $(id)":                  "add -a NAME; towline apps lists them",
		"config:set A=1 shop":              "add -a NAME; towline apps lists them",
		"--json ps":                        "flags follow the command",
		"-a shop ps":                       "flags follow the command",
	} {
		want(t, b.run(2, strings.Fields(line)...).errors, says)
	}
}
