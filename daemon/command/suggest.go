package command

import (
	"maps"
	"slices"
	"strings"
)

// aliases are short for the commands that are typed most.
var aliases = map[string]string{
	"create": "apps:create", "info": "apps:info", "open": "apps:open", "rename": "apps:rename", "destroy": "apps:destroy", "delete": "apps:destroy",
	"scale": "ps:scale", "restart": "ps:restart", "rollback": "releases:rollback", "apps:delete": "apps:destroy",
	"apps:list": "apps", "config:list": "config", "config:show": "config", "config:add": "config:set", "config:remove": "config:unset",
	"domains:list": "domains", "addons:list": "addons", "releases:list": "releases", "ps:list": "ps", "members:list": "members", "access:list": "access",
}

// foreignWords are what Heroku's and Dokku's users type, with what does the same here.
var foreignWords = map[string]string{
	"pg:psql": "addons:console ADDON", "redis:cli": "addons:console ADDON", "psql": "addons:console ADDON",
	"postgres:connect": "addons:console ADDON", "redis:connect": "addons:console ADDON",
	"pg": "addons", "pg:info": "addons:info ADDON", "redis": "addons", "redis:info": "addons:info ADDON", "pg:upgrade": "addons:upgrade ADDON",
	"pg:credentials:rotate": "addons:rotate ADDON", "redis:credentials": "config", "pg:credentials": "config",
	"pg:backups": "backups", "pg:backups:capture": "backups:capture ADDON", "pg:backups:restore": "backups:restore BACKUP",
	"pg:backups:schedule": "backups:schedule ADDON", "pg:backups:schedules": "backups:schedules", "pg:backups:download": "backups:download BACKUP",
	"pg:backups:delete": "backups:delete BACKUP", "pg:backups:info": "backups:info BACKUP",
	"postgres:create": "addons:create postgres", "redis:create": "addons:create redis", "postgres:link": "addons:attach ADDON", "redis:link": "addons:attach ADDON",
	"postgres:unlink": "addons:detach ADDON", "redis:unlink": "addons:detach ADDON", "postgres:destroy": "addons:destroy ADDON", "redis:destroy": "addons:destroy ADDON",
	"postgres:backup": "backups:capture ADDON", "redis:backup": "backups:capture ADDON", "postgres:logs": "addons:logs ADDON", "redis:logs": "addons:logs ADDON",
	"ps:type": "ps:scale", "ps:resize": "ps:scale",
	"dyno:scale": "ps:scale", "dyno:restart": "ps:restart", "ps:report": "ps", "ps:stop": "ps:scale TYPE=0", "ps:start": "ps:scale TYPE=1", "ps:rebuild": "git push",
	"builder:report": "builder", "builder-dockerfile:set": "builder:set dockerfile --path PATH", "stack:set": "builder:set", "stack": "builder",
	"builds:info": "builds", "builds:list": "builds", "logs:failed": "builds:output",
	"builds:cache": "builds:purge", "builds:cache:purge": "builds:purge", "repo:purge_cache": "builds:purge", "repo:purge-cache": "builds:purge",
	"domains:report": "domains", "domains:clear": "domains:remove HOST", "domains:set": "domains:add HOST",
	"certs:auto": "certs", "certs:auto:enable": "certs", "letsencrypt:enable": "certs", "letsencrypt": "certs", "ssl": "certs",
	"maintenance": "apps:info", "maintenance:enable": "maintenance:on", "maintenance:disable": "maintenance:off",
	"access:grant": "access:add MEMBER", "access:revoke": "access:remove MEMBER", "sharing:add": "access:add MEMBER", "sharing:remove": "access:remove MEMBER",
	"ssh-keys:add": "members:add NAME", "ssh-keys:list": "members", "sharing": "access",
	"enter": "run", "run:inside": "run", "run:detached": "run", "console": "run", "bash": "run bash",
	"git:from-archive": "deploy:archive", "config:keys": "config", "config:edit": "config:import", "apps:report": "apps:info", "apps:exists": "apps:info",
	"plugin:list": "plugins", "plugin:install": "plugins:install", "status": "ps", "update": "version", "login": "whoami", "auth:whoami": "whoami", "auth:login": "whoami",
}

// otherWays are for words whose work is done here in another way.
var otherWays = map[string]string{
	"buildpacks":     "a Dockerfile is used if there is one, else the buildpacks that fit the source; towline builder:set chooses",
	"buildpacks:set": "a Dockerfile is used if there is one, else the buildpacks that fit the source; towline builder:set chooses",
	"git:remote":     "it is the towline program's own: install it, or git remote add towline ssh://towline@HOST/APP",
	"completion":     "it is the towline program's own: install it on your machine",
}

// mistyped tells whether the second word was to be the end of the command's name: the
// command takes no argument, and others begin as it does.
func (t *Table) mistyped(c *Command, words []string) bool {
	return c.Max == 0 && len(words) > 1 && strings.Trim(words[1], "abcdefghijklmnopqrstuvwxyz-:") == "" && words[1] != "" && !strings.HasPrefix(words[1], "-") && len(t.family(c.Name)) > 1
}

// meant is the name of the command that there is not, as its user may have meant it.
func (t *Table) meant(words []string) string {
	if t.commands[words[0]] != nil {
		return words[0] + ":" + words[1]
	}
	return words[0]
}

// suggest says what someone may have meant whose first words are no command.
func (t *Table) suggest(words []string) string {
	word := words[0]
	if len(words) > 1 && !strings.HasPrefix(words[1], "-") {
		if s := t.foreign(word + ":" + words[1]); s != "" {
			return s
		}
	}
	if s := t.foreign(word); s != "" {
		return s
	}
	family, action, ok := strings.Cut(word, ":")
	if !ok && len(words) > 1 && !strings.HasPrefix(words[1], "-") {
		action = words[1]
	}
	if members := t.family(family); action != "" && len(members) > 0 {
		if near := nearest(family+":"+action, members, max(1, len(action)/3)); near != "" {
			return "did you mean " + near + "? towline help " + family + " lists what begins so"
		}
		return "there are: " + strings.Join(members, ", ")
	}
	names := append(t.names(), slices.Sorted(maps.Keys(aliases))...)
	if near := nearest(word, names, 1+len(word)/3); near != "" {
		return "did you mean " + near + "? towline help lists all commands"
	}
	return "towline help lists them all"
}

// foreign says what another program's word is here.
func (t *Table) foreign(word string) string {
	if way := otherWays[word]; way != "" {
		return way
	}
	here := foreignWords[word]
	if name, _, _ := strings.Cut(here, " "); here == "" || name != "git" && t.commands[name] == nil {
		return ""
	}
	if strings.HasPrefix(here, "git ") {
		return word + " is " + here + " here"
	}
	return word + " is towline " + here + " here"
}

// family lists the commands that begin with a topic.
func (t *Table) family(topic string) (names []string) {
	for _, name := range t.names() {
		if head, _, _ := strings.Cut(name, ":"); head == topic {
			names = append(names, name)
		}
	}
	return names
}

// nearest is the name that is most like the word, if one is within the distance.
func nearest(word string, names []string, within int) string {
	best := ""
	for _, name := range names {
		if d := distance(word, name); d <= within {
			best, within = name, d-1
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	if len(a) > 40 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		last := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			last, row[j] = row[j], min(row[j]+1, row[j-1]+1, last+cost)
		}
	}
	return row[len(b)]
}
