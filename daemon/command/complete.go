package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"towline/daemon"
)

// runComplete lists what the last word of a command line may become. Names come from the
// listings, asked for as who asks: nobody sees more by completion than by a command.
func runComplete(ctx context.Context, call *Call) (Result, error) {
	words, last := call.Args[:len(call.Args)-1], call.Args[len(call.Args)-1]
	names := call.candidates(ctx, words, strings.HasPrefix(last, "-"))
	return show(names, func(w io.Writer) {
		for _, name := range names {
			fmt.Fprintln(w, name)
		}
	})
}

// candidates are the words that may follow; flags tells that the next is one.
func (call *Call) candidates(ctx context.Context, words []string, flags bool) []string {
	t, app := call.table, call.App
	for len(words) > 0 && (words[0] == "-a" || words[0] == "--app") { // before the command, as the client takes it
		if len(words) == 1 {
			return call.values(ctx, "APP", "")
		}
		app, words = words[1], words[2:]
	}
	if len(words) == 0 {
		return t.names()
	}
	c, rest, err := t.find(words)
	if err != nil {
		return nil
	}
	var flag *pflag.Flag // that the next word is the value of
	positional := []string{}
	f := c.flagSet()
	for i := 0; i < len(rest); i++ {
		word := rest[i]
		name, value, given := strings.Cut(word, "=")
		known := f.Lookup(strings.TrimPrefix(name, "--"))
		if len(word) == 2 && word[0] == '-' {
			known = f.ShorthandLookup(word[1:])
		}
		switch {
		case !strings.HasPrefix(word, "-"), c.Rest && len(positional) > 0:
			positional = append(positional, word)
			continue
		case known == nil || known.Value.Type() == "bool":
			continue
		case !given && i+1 == len(rest):
			flag = known
			continue
		case !given:
			i++
			value = rest[i]
		}
		if known.Name == "app" {
			app = value
		}
	}
	switch {
	case c.Rest && len(positional) > 0:
		return nil // a command line of the app's
	case flag != nil:
		if kind := flag.Annotations[valueKind]; len(kind) > 0 && kind[0] != flagKinds[flag.Name] {
			return nil
		}
		return call.values(ctx, flagKinds[flag.Name], app)
	case flags:
		var names []string
		c.eachFlag(func(f *pflag.Flag) {
			names = append(names, "--"+f.Name)
			if f.Shorthand != "" {
				names = append(names, "-"+f.Shorthand)
			}
		})
		return names
	}
	names := call.values(ctx, argumentKind(c, len(positional)), app)
	if len(rest) == 0 && len(words) == 1 { // a space in place of the colon
		for _, name := range t.family(c.Name) {
			if _, action, ok := strings.Cut(name, ":"); ok {
				names = append(names, action)
			}
		}
	}
	return names
}

// flagKinds are the kinds of value of flags.
var flagKinds = map[string]string{"app": "APP", "to": "ADDON", "ps": "PROCESS", "source": "SOURCE", "permissions": "PERMISSIONS", "member": "MEMBER", "kind": "KIND",
	"pipeline": "PIPELINE", "stage": "STAGE"}

// argumentKind is what the usage calls the command's nth argument.
func argumentKind(c *Command, n int) string {
	kinds := strings.Fields(strings.NewReplacer("[", "", "]", "", "|", " ", "...", "").Replace(c.Args))
	switch {
	case c.Args == "on|off", c.Name == "builder:set" && n == 0:
		return c.Args
	case c.Args == "NAME" && strings.HasPrefix(c.Name, "members:"):
		return "MEMBER"
	case c.Args == "NAME" && c.Name == "plugins:remove":
		return "PLUGIN"
	case c.Name == "ps:scale":
		return "TYPE="
	case c.Name == "ps:capabilities:set":
		return "CAPABILITY"
	case c.Name == "ps:restart":
		return "PROCESS"
	case c.Name == "config:set":
		return "KEY="
	case c.Name == "config:unset":
		return "KEY"
	case n < len(kinds):
		return strings.TrimSuffix(kinds[n], ":PLAN")
	}
	return ""
}

// values lists the names of a kind of thing; nothing where they can't be listed.
func (call *Call) values(ctx context.Context, kind, app string) (names []string) {
	switch kind {
	case "APP":
		names = call.listed(ctx, "name", "apps")
	case "ADDON":
		names = call.listed(ctx, "name", "addons")
	case "SERVICE":
		for _, service := range call.listed(ctx, "name", "addons:services") {
			names = append(names, service)
			for _, plan := range call.listed(ctx, "plan", "addons:plans", service) {
				names = append(names, service+":"+plan)
			}
		}
	case "BACKUP":
		names = append(call.listed(ctx, "id", "backups"), "latest")
	case "MEMBER":
		names = call.listed(ctx, "name", "members")
	case "PIPELINE":
		names = call.listed(ctx, "name", "pipelines")
	case "STAGE":
		for _, s := range daemon.Stages {
			names = append(names, string(s))
		}
	case "PLUGIN":
		names = call.listed(ctx, "name", "plugins")
	case "HOST":
		names = call.listed(ctx, "", "domains", "-a", app)
	case "vN":
		for _, v := range call.listed(ctx, "version", "releases", "-a", app) {
			names = append(names, "v"+v)
		}
	case "N":
		names = call.listed(ctx, "number", "builds", "-a", app)
	case "KEY", "KEY=":
		names = call.listed(ctx, "", "config", "-a", app)
	case "TYPE=":
		names = call.listed(ctx, "", "ps:scale", "-a", app)
	case "PROCESS":
		names = append(call.listed(ctx, "", "ps:scale", "-a", app), call.listed(ctx, "name", "ps", "-a", app)...)
	case "CAPABILITY":
		for _, c := range daemon.Capabilities {
			names = append(names, c.Name)
		}
		return append(names, "none")
	case "SOURCE":
		return logSources
	case "PERMISSIONS":
		return []string{"view", "deploy", "operate", "manage"}
	case "KIND":
		return activityKinds()
	case "TOPIC":
		for _, t := range topics {
			names = append(names, t.name)
		}
		names = append(names, call.table.names()...)
	case "on|off", "auto|buildpacks|dockerfile":
		return strings.Split(kind, "|")
	}
	if strings.HasSuffix(kind, "=") {
		for i := range names {
			names[i] += "="
		}
	}
	return names
}

// listed runs a listing as who asks, and returns a field of each entry; or, without a
// field, the entries or the keys themselves.
func (call *Call) listed(ctx context.Context, field string, words ...string) (names []string) {
	if slices.Contains(words, "") {
		return nil // no app is known
	}
	var out bytes.Buffer
	r := call.request
	r.completing = true
	r.Args, r.Stdin, r.Stdout, r.Stderr = append(words, "--json"), strings.NewReader(""), &out, io.Discard
	if call.table.Run(ctx, r) != 0 {
		return nil
	}
	var v any
	if json.Unmarshal(out.Bytes(), &v) != nil {
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			names = append(names, key)
		}
		slices.Sort(names)
	case []any:
		for _, e := range v {
			if m, ok := e.(map[string]any); ok {
				e = m[field]
			}
			names = append(names, fmt.Sprint(e))
		}
	}
	return names
}
