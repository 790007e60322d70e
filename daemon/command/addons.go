package command

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"towline/daemon"
)

func addonCommands() []*Command {
	return []*Command{
		{Name: "addons", Summary: "list add-ons", Max: 0, Run: runAddons,
			Flags: func(f *pflag.FlagSet) { f.StringP("app", "a", "", "only those attached to this app") }},
		{Name: "addons:services", Summary: "list the services that can be added", Run: runAddonServices},
		{Name: "addons:plans", Args: "SERVICE", Summary: "list a service's plans and versions", Min: 1, Max: 1, Run: runAddonPlans},
		{Name: "addons:create", Args: "SERVICE[:PLAN]", Summary: "create an add-on and attach it to an app", Min: 1, Max: 1,
			App: true, Needs: daemon.Operate, Run: runAddonCreate,
			Help: "Starts the service, sets its config vars and restarts the app with them.\n\n" +
				"  towline addons:create neo4j -a shop\n" +
				"  towline addons:create redis:large --as CACHE -a shop     (sets CACHE_URL)",
			Flags: func(f *pflag.FlagSet) {
				f.String("version", "", "version of the service")
				f.String("as", "", "prefix of the config vars, for a second add-on of a kind")
				f.String("name", "", "name of the add-on, which is its host name too")
			}},
		{Name: "addons:info", Args: "ADDON", Summary: "show an add-on", Min: 1, Max: 1, Run: runAddonInfo},
		{Name: "addons:destroy", Args: "ADDON", Summary: "destroy an add-on and its data", Min: 1, Max: 1,
			Confirm: func(call *Call) string { return call.Args[0] }, Run: runAddonDestroy,
			Flags: func(f *pflag.FlagSet) { f.StringP("app", "a", "", "an app it is attached to (not needed)") }},
	}
}

func runAddons(ctx context.Context, call *Call) error {
	app, _ := call.Flags.GetString("app")
	if app != "" {
		if err := call.Daemon.Allowed(ctx, call.Member, app, daemon.View); err != nil {
			return err
		}
	}
	list, err := call.Daemon.Addons(ctx, call.Member, app)
	if err != nil {
		return err
	}
	return call.result(list, func(w io.Writer) {
		if len(list) == 0 {
			fmt.Fprintln(w, "No add-ons. See what there is: towline addons:services")
			return
		}
		table(w, func(row func(...any)) {
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

func runAddonServices(_ context.Context, call *Call) error {
	type entry struct {
		Name     string   `json:"name"`
		Title    string   `json:"title"`
		Versions []string `json:"versions"`
	}
	list := []entry{}
	for _, name := range call.Daemon.Catalog.Names() {
		if m, ok := call.Daemon.Catalog.Service(name); ok {
			list = append(list, entry{name, m.Title, m.VersionNames()})
		}
	}
	return call.result(list, func(w io.Writer) {
		table(w, func(row func(...any)) {
			for _, e := range list {
				row(e.Name, e.Title, strings.Join(e.Versions, " "))
			}
		})
	})
}

func runAddonPlans(_ context.Context, call *Call) error {
	m, ok := call.Daemon.Catalog.Service(call.Args[0])
	if !ok {
		return daemon.Errorf(daemon.NotFound, "there is no add-on service %q", clip(call.Args[0])).
			WithHint("there are: %s", strings.Join(call.Daemon.Catalog.Names(), ", "))
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
	return call.result(list, func(w io.Writer) {
		table(w, func(row func(...any)) {
			for _, e := range list {
				row(m.Name+":"+e.Plan, e.Memory, map[bool]string{true: "default"}[e.Default])
			}
		})
	})
}

func runAddonCreate(ctx context.Context, call *Call) error {
	req := daemon.ProvisionRequest{App: call.App, Member: call.Member}
	req.Service, req.Plan, _ = strings.Cut(call.Args[0], ":")
	req.Version, _ = call.Flags.GetString("version")
	req.Prefix, _ = call.Flags.GetString("as")
	req.Name, _ = call.Flags.GetString("name")
	addon, err := call.Daemon.Provision(ctx, req, call.Stderr)
	if err != nil {
		return err
	}
	info, err := call.Daemon.AddonInfo(ctx, addon.Name)
	if err != nil {
		return err
	}
	return call.result(info, func(w io.Writer) {
		fmt.Fprintf(w, "Created %s; %s has %s\n", addon.Name, call.App, strings.Join(info.Attachments[0].Vars, ", "))
	})
}

func runAddonInfo(ctx context.Context, call *Call) error {
	if err := call.Daemon.AllowedAddon(ctx, call.Member, call.Args[0], daemon.View); err != nil {
		return err
	}
	a, err := call.Daemon.AddonInfo(ctx, call.Args[0])
	if err != nil {
		return err
	}
	return call.result(a, func(w io.Writer) {
		table(w, func(row func(...any)) {
			row("=== " + a.Name)
			row("Service:", a.Service+" "+a.Version)
			row("Plan:", a.Plan+", "+size(a.Memory))
			row("Status:", string(a.Status)+map[bool]string{true: ", running", false: ", not running"}[a.Running])
			row("Host:", a.Name)
			for _, at := range a.Attachments {
				row("Attached:", at.App+" as "+strings.Join(at.Vars, ", "))
			}
			row("Created:", a.Created.Local().Format("2006-01-02 15:04:05 MST"))
		})
	})
}

func runAddonDestroy(ctx context.Context, call *Call) error {
	name := call.Args[0]
	if err := call.Daemon.AllowedAddon(ctx, call.Member, name, daemon.Manage); err != nil {
		return err
	}
	if err := call.Daemon.Deprovision(ctx, name, call.Member, call.Stderr); err != nil {
		return err
	}
	fmt.Fprintf(call.Stdout, "%s is destroyed\n", name)
	return nil
}
