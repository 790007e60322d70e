package command

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"towline/daemon"
	"towline/daemon/addons"
)

func addonCommands() []*Command {
	return []*Command{
		{Name: "addons", Summary: "list add-ons", Max: 0, On: on(appOfFlag(daemon.View)), Run: runAddons,
			Flags: func(f *pflag.FlagSet) { f.StringP("app", "a", "", "only those attached to this app") }},
		{Name: "addons:services", Summary: "list the services that can be added", On: on(nothing()), Run: runAddonServices},
		{Name: "addons:plans", Args: "SERVICE", Summary: "list a service's plans and versions", Min: 1, Max: 1, On: on(nothing()), Run: runAddonPlans},
		{Name: "addons:create", Args: "SERVICE[:PLAN]", Summary: "create an add-on and attach it to an app", Min: 1, Max: 1,
			On: on(theApp(daemon.Operate)), Run: runAddonCreate,
			Help: "Starts the service, sets its config vars and restarts the app with them.\n\n" +
				"  towline addons:create neo4j -a shop\n" +
				"  towline addons:create redis:large --as CACHE -a shop     (sets CACHE_URL)\n" +
				"  towline addons:create neo4j --alias NEO4J_URI=GRAPHENEDB_BOLT_URL -a shop",
			Flags: func(f *pflag.FlagSet) {
				aliasFlag(f)
				f.String("version", "", "version of the service")
				f.String("as", "", "prefix of the config vars, for a second add-on of a kind")
				f.String("name", "", "name of the add-on, which is its host name too")
			}},
		{Name: "addons:info", Args: "ADDON", Summary: "show an add-on", Min: 1, Max: 1, On: on(theAddonSeen()), Run: runAddonInfo},
		{Name: "addons:destroy", Args: "ADDON", Summary: "destroy an add-on and its data", Min: 1, Max: 1, On: on(theAddon(daemon.Manage)),
			Confirm: func(call *Call) string { return call.Args[0] }, Run: runAddonDestroy,
			Effect: func(call *Call) string {
				return "this destroys " + call.Args[0] + " and its data for good, for every app it is attached to; its backups stay"
			},
			Help: "The apps that use it are restarted without its config vars first. If one does not start without them, all stays\n" +
				"as it was; with --force the add-on goes all the same.",
			Flags: func(f *pflag.FlagSet) {
				f.Bool("force", false, "even if an app does not start without it")
				appToo(f)
			}},
		{Name: "addons:attach", Args: "ADDON", Summary: "let another app use an add-on", Min: 1, Max: 1,
			On: on(theApp(daemon.Operate), theAddon(daemon.Operate)), Run: runAddonAttach,
			Help: "Joins the add-on to the app's network, sets its config vars and restarts the app with them. One that is\n" +
				"attached already can be given aliases.\n\n" +
				"  towline addons:attach redis-shop -a reports\n" +
				"  towline addons:attach redis-shop --as CACHE -a reports     (sets CACHE_URL)\n" +
				"  towline addons:attach neo4j-shop --alias NEO4J_URI=GRAPHENEDB_BOLT_URL -a shop",
			Flags: func(f *pflag.FlagSet) {
				f.String("as", "", "prefix of the config vars")
				aliasFlag(f)
			}},
		{Name: "addons:detach", Args: "ADDON", Summary: "take an add-on from an app; its data stays", Min: 1, Max: 1,
			On: on(theApp(daemon.Operate), theAddonSeen()), Run: runAddonDetach,
			Help: "Restarts the app without the config vars; once nothing of it has them, the way to the add-on is closed.\n" +
				"The add-on keeps its data, and stays with the app that owns it, whether that uses it or not.\n\n" +
				"  towline addons:detach redis-shop -a reports"},
		{Name: "addons:transfer", Args: "ADDON", Summary: "hand an add-on over to another app, which owns it then", Min: 1, Max: 1,
			On: on(theAddon(daemon.Manage), theApp(daemon.Manage)), Run: runAddonTransfer,
			Help: "Who may manage, operate or view the app that owns an add-on may do so with the add-on and its backups.\n" +
				"What it is attached to stays as it is.\n\n" +
				"  towline addons:transfer redis-shop -a reports"},
		{Name: "addons:restart", Args: "ADDON", Summary: "restart an add-on; requests of its apps wait", Min: 1, Max: 1,
			On: on(theAddon(daemon.Operate)), Run: runAddonRestart, Flags: appToo},
		{Name: "addons:logs", Args: "ADDON", Summary: "show what an add-on has written", Min: 1, Max: 1, Stream: Lines, On: on(theAddon(daemon.View)), Run: runAddonLogs,
			Flags: func(f *pflag.FlagSet) {
				f.IntP("num", "n", 100, "how many lines")
				f.BoolP("tail", "t", false, "go on with new lines")
				appToo(f)
			}},
		{Name: "addons:console", Args: "ADDON", Summary: "open the service's own console, like redis-cli", Min: 1, Max: 1,
			On: on(theAddon(daemon.Manage)), Stream: Bytes, Run: runAddonConsole,
			Help:  "What comes on standard input is fed to it:\n\n  echo DBSIZE | towline addons:console redis-shop",
			Flags: appToo},
		{Name: "addons:rotate", Args: "ADDON", Summary: "replace an add-on's credentials", Min: 1, Max: 1,
			On: on(theAddon(daemon.Manage)), Run: runAddonRotate,
			Help: "The service takes the old and the new credentials while its apps are restarted with the new ones; then it\n" +
				"forgets the old ones. PostgreSQL has one password for a role: see docs/addons.md.",
			Flags: appToo},
		{Name: "addons:upgrade", Args: "ADDON", Summary: "move an add-on to another plan or version", Min: 1, Max: 1,
			On: on(theAddon(daemon.Manage)), Run: runAddonUpgrade,
			Help: "Takes a backup first, then starts the new form on a copy of the data while requests of its apps wait.\n" +
				"If it does not answer, the old form comes back.\n\n  towline addons:upgrade redis-shop --plan large",
			Flags: func(f *pflag.FlagSet) {
				f.String("plan", "", "the plan to move to")
				f.String("version", "", "the version to move to")
				appToo(f)
			}},
	}
}

func aliasFlag(f *pflag.FlagSet) {
	f.StringArray("alias", nil, "another name for one of the config vars; may be given several times")
}

// aliasesOf are those that the call asks for.
func aliasesOf(call *Call) (map[string]string, error) {
	list := map[string]string{}
	for _, word := range call.given("alias") {
		name, of, _ := strings.Cut(word, "=")
		if name == "" || of == "" {
			return nil, daemon.Errorf(daemon.Invalid, "%q is no alias", clip(word)).WithHint("write NEW=VAR, like --alias NEO4J_URI=GRAPHENEDB_BOLT_URL")
		}
		if _, twice := list[name]; twice {
			return nil, daemon.Errorf(daemon.Invalid, "the alias %s is given twice", clip(name))
		}
		list[name] = of
	}
	return list, nil
}

// attachedVars are the config vars of an attachment, its aliases with what they stand for.
func attachedVars(at daemon.AddonAttachment) string {
	var vars []string
	for _, v := range at.Vars {
		if of := at.Aliases[v]; of != "" {
			v += "=" + of
		}
		vars = append(vars, v)
	}
	return strings.Join(vars, ", ")
}

// appToo takes -a where the add-on's name says enough.
func appToo(f *pflag.FlagSet) { f.StringP("app", "a", "", "an app that it goes with (not needed)") }

func runAddons(ctx context.Context, call *Call) (Result, error) {
	app, _ := call.Flags.GetString("app")
	list, err := call.Addons.List(ctx, call.Member, app)
	if err != nil {
		return Result{}, err
	}
	return show(list, func(w io.Writer) {
		if len(list) == 0 {
			fmt.Fprintln(w, "No add-ons. See what there is: towline addons:services")
			return
		}
		table(w, func(row func(...any)) {
			row("ADD-ON", "SERVICE", "PLAN", "STATUS", "APPS")
			for _, a := range list {
				var apps []string
				for _, at := range a.Attachments {
					apps = append(apps, at.App)
				}
				row(a.Name, a.Service+" "+a.Version, a.Plan, a.Status, strings.Join(apps, " "))
			}
		})
	})
}

func runAddonServices(_ context.Context, call *Call) (Result, error) {
	type entry struct {
		Name     string   `json:"name"`
		Title    string   `json:"title"`
		Versions []string `json:"versions"`
	}
	list := []entry{}
	for _, name := range call.Plugins.Catalog.Names() {
		if m, ok := call.Plugins.Catalog.Service(name); ok {
			list = append(list, entry{name, m.Title, m.VersionNames()})
		}
	}
	return show(list, func(w io.Writer) {
		table(w, func(row func(...any)) {
			row("SERVICE", "TITLE", "VERSIONS")
			for _, e := range list {
				row(e.Name, e.Title, strings.Join(e.Versions, " "))
			}
		})
	})
}

func runAddonPlans(_ context.Context, call *Call) (Result, error) {
	m, ok := call.Plugins.Catalog.Service(call.Args[0])
	if !ok {
		return Result{}, daemon.Errorf(daemon.NotFound, "there is no add-on service %q", clip(call.Args[0])).
			WithHint("there are: %s", strings.Join(call.Plugins.Catalog.Names(), ", "))
	}
	type entry struct {
		Plan    string `json:"plan"`
		Memory  string `json:"memory"`
		Default bool   `json:"default"`
	}
	list := []entry{}
	for _, p := range m.Plans {
		list = append(list, entry{p.Name, p.Memory, p.Name == m.DefaultPlan})
	}
	return show(list, func(w io.Writer) {
		table(w, func(row func(...any)) {
			row("PLAN", "MEMORY", "")
			for _, e := range list {
				row(m.Name+":"+e.Plan, e.Memory, map[bool]string{true: "default"}[e.Default])
			}
		})
	})
}

func runAddonCreate(ctx context.Context, call *Call) (Result, error) {
	req := addons.ProvisionRequest{App: call.App, Member: call.Member}
	req.Service, req.Plan, _ = strings.Cut(call.Args[0], ":")
	req.Version, _ = call.Flags.GetString("version")
	req.Prefix, _ = call.Flags.GetString("as")
	req.Name, _ = call.Flags.GetString("name")
	var err error
	if req.Aliases, err = aliasesOf(call); err != nil {
		return Result{}, err
	}
	addon, err := call.Addons.Provision(ctx, req, call.Stderr)
	if err != nil {
		return Result{}, err
	}
	info, err := call.Addons.Info(ctx, addon.Name, call.Member)
	if err != nil {
		return Result{}, err
	}
	return show(info, func(w io.Writer) {
		fmt.Fprintf(w, "Created %s; %s has %s\n", addon.Name, call.App, attachedVars(info.Attachments[0]))
	})
}

func runAddonInfo(ctx context.Context, call *Call) (Result, error) {
	a, err := call.Addons.Info(ctx, call.Args[0], call.Member)
	if err != nil {
		return Result{}, err
	}
	return show(a, func(w io.Writer) {
		table(w, func(row func(...any)) {
			row("=== " + a.Name)
			row("Service:", a.Service+" "+a.Version)
			row("Plan:", a.Plan+", "+size(a.Memory))
			row("Status:", string(a.Status)+running(a))
			row("Host:", a.Name)
			if a.App != "" {
				row("Owner:", a.App)
			}
			for _, at := range a.Attachments {
				row("Attached:", at.App+" as "+attachedVars(at))
			}
			if a.OtherApps > 0 {
				row("Attached:", fmt.Sprintf("%d more, which you may not view", a.OtherApps))
			}
			row("Created:", a.Created.Local().Format("2006-01-02 15:04:05 MST"))
		})
	})
}

// running is what is known of the add-on's service.
func running(a addons.Info) string {
	switch {
	case a.Running == nil:
		return ""
	case *a.Running:
		return ", running"
	}
	return ", not running"
}

func runAddonDestroy(ctx context.Context, call *Call) (Result, error) {
	name := call.Args[0]
	force, _ := call.Flags.GetBool("force")
	if err := call.Addons.Deprovision(ctx, addons.DeprovisionRequest{Addon: name, Member: call.Member, Force: force}, call.Stderr); err != nil {
		return Result{}, err
	}
	return did(object{"addon": name, "destroyed": true}, "%s is destroyed", name)
}
