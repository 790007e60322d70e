package command

import (
	"slices"
	"strings"
	"testing"
)

func TestCompletion(t *testing.T) {
	b := filledBench(t)
	complete := func(member, line string) []string {
		words := append([]string{"complete", "--"}, strings.Split(line, " ")...)
		return strings.Fields(b.ask(Request{Member: member, App: "shop", Args: words}).out)
	}
	for line, names := range map[string]string{
		"":                           "addons:create config:set logs",
		"config ":                    "set get unset",
		"ps -a ":                     "shop",
		"ps --app ":                  "shop",
		"-a ":                        "shop",
		"-a shop ":                   "ps logs",
		"addons:info ":               "redis-shop",
		"addons info ":               "redis-shop",
		"addons:create ":             "redis redis:large neo4j postgres:small",
		"addons:create -":            "--app -a --version --as --alias --name --json",
		"addons:attach redis-shop -": "--app -a --as --alias --json",
		"backups:restore ":           "redis-shop.1 latest",
		"backups:restore latest --":  "--to --dump --confirm",
		"backups:restore --to ":      "redis-shop",
		"backups:capture ":           "redis-shop",
		"backups:on-release ":        "on off",
		"builder:set ":               "auto buildpacks dockerfile",
		"builder:set dockerfile --":  "--path --target",
		"ps:capabilities:set CHOWN ": "SETUID NET_BIND_SERVICE none",
		"members:remove ":            "alice",
		"access:add ":                "alice",
		"access:add bob --pipeline ": "safetow",
		"access:add bob --stage ":    "review staging production",
		"access:remove bob -":        "--app -a --pipeline --stage -s --json",
		"pipelines:add safetow -s ":  "development staging",
		"releases:rollback ":         "v1 v2",
		"config:get ":                "REDISCLOUD_URL",
		"config:set ":                "REDISCLOUD_URL=",
		"domains:remove ":            "www.example.org",
		"logs --source ":             "app router build",
		"plugins:remove ":            "redis neo4j",
		"help ":                      "addons apps:create",
	} {
		got := complete("", line)
		for _, name := range strings.Fields(names) {
			if !slices.Contains(got, name) {
				t.Errorf("%q does not become %s: %v", line, name, got)
			}
		}
	}
	for _, line := range []string{"run ls ", "nope ", "apps:create ", "run -a shop ls -", "ps -a nope web "} {
		if got := complete("", line); len(got) > 0 {
			t.Errorf("%q becomes %v", line, got)
		}
	}
	// Who may not see a thing is not told of it.
	b.member("mallory")
	for _, line := range []string{"ps -a ", "addons:info ", "config:get ", "releases:rollback ", "domains:remove ", "access --pipeline "} {
		if got := complete("mallory", line); len(got) > 0 {
			t.Errorf("mallory sees %v by %q", got, line)
		}
	}
	if got := complete("mallory", "backups:info "); len(got) != 1 {
		t.Errorf("mallory sees %v", got)
	}
}
