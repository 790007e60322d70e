package command

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"towline/daemon"
)

func appCommands() []*Command {
	return []*Command{
		{Name: "apps", Summary: "list apps", Max: 0, On: on(nothing()), Run: runApps},
		{Name: "apps:create", Args: "NAME", Summary: "create an app", Min: 1, Max: 1, On: on(nothing()), Run: runAppsCreate,
			Help: "The name becomes part of the app's address: lower-case letters, digits and dashes, at most 30."},
		{Name: "apps:info", Summary: "show an app's addresses, processes and add-ons", On: on(theApp(daemon.View)), Run: runAppsInfo},
		{Name: "apps:destroy", Summary: "destroy an app", On: on(theApp(daemon.Manage)),
			Help:    "Add-ons hold data and must be destroyed first.",
			Confirm: func(call *Call) string { return call.App },
			Effect: func(call *Call) string {
				return "this destroys " + call.App + " for good: its repository, releases, config vars, domains and logs"
			},
			Run: func(ctx context.Context, call *Call) (Result, error) {
				if err := call.Apps.Destroy(ctx, call.App, call.Member, call.Stderr); err != nil {
					return Result{}, err
				}
				return did(object{"app": call.App, "destroyed": true}, "%s is destroyed", call.App)
			}},
		{Name: "apps:rename", Args: "NEW", Summary: "give an app another name", Min: 1, Max: 1, On: on(theApp(daemon.Manage)), Run: runAppsRename,
			Help: "The app's address and git remote change with its name; its processes go on, and domains of its own lead to it as before.\n" +
				"TOWLINE_APP has the new name in the next release.\n\n  towline apps:rename store -a shop"},
		{Name: "apps:open", Args: "[PATH]", Summary: "open an app in the browser of your machine", Max: 1, On: on(theApp(daemon.View)), Run: runAppsOpen,
			Help: "Without the towline program, or where there is no browser, it prints the address."},
		{Name: "apps:deploy-branch", Args: "[BRANCH]", Summary: "choose the branch whose pushes deploy", Max: 1, On: on(theApp(daemon.Manage)),
			Help: "Without BRANCH, main and master deploy.",
			Run: func(ctx context.Context, call *Call) (Result, error) {
				branch := ""
				if len(call.Args) == 1 {
					branch = call.Args[0]
				}
				if err := call.Apps.SetDeployBranch(ctx, call.App, call.Member, branch); err != nil {
					return Result{}, err
				}
				which := branch
				if branch == "" {
					which = "main and master"
				}
				return did(object{"app": call.App, "deploy_branch": branch}, "Pushes to %s deploy %s", which, call.App)
			}},
		maintenance("maintenance:on", "answer every request with the maintenance page", true),
		maintenance("maintenance:off", "serve the app again", false),
	}
}

func maintenance(name, summary string, enable bool) *Command {
	return &Command{Name: name, Summary: summary, On: on(theApp(daemon.Operate)),
		Run: func(ctx context.Context, call *Call) (Result, error) {
			if err := call.Routes.SetMaintenance(ctx, call.App, call.Member, enable); err != nil {
				return Result{}, err
			}
			return did(object{"app": call.App, "maintenance": enable}, "maintenance mode of %s is %s", call.App, map[bool]string{true: "on", false: "off"}[enable])
		}}
}

func runApps(ctx context.Context, call *Call) (Result, error) {
	apps, err := call.Apps.List(ctx, call.Member)
	if err != nil {
		return Result{}, err
	}
	if apps == nil {
		apps = []daemon.App{}
	}
	return show(apps, func(w io.Writer) {
		if len(apps) == 0 {
			fmt.Fprintln(w, "No apps yet. Make one: towline apps:create NAME")
			return
		}
		table(w, func(row func(...any)) {
			row("APP", "RELEASE", "PROCESSES")
			for _, a := range apps {
				row(a.Name, fmt.Sprintf("v%d", a.Current), formation(a.Formation))
			}
		})
	})
}

func runAppsOpen(ctx context.Context, call *Call) (Result, error) {
	info, err := call.Apps.Info(ctx, call.App)
	if err != nil {
		return Result{}, err
	}
	address := info.WebURL
	if len(call.Args) == 1 {
		address += strings.TrimLeft(call.Args[0], "/")
	}
	return did(object{"app": call.App, "url": address}, "%s", address)
}

func formation(f daemon.Formation) string {
	var parts []string
	for _, t := range slices.Sorted(maps.Keys(f)) {
		parts = append(parts, fmt.Sprintf("%s=%d", t, f[t]))
	}
	return strings.Join(parts, " ")
}

func runAppsCreate(ctx context.Context, call *Call) (Result, error) {
	app, err := call.Apps.Create(ctx, call.Args[0], call.Member)
	if err != nil {
		return Result{}, err
	}
	info, err := call.Apps.Info(ctx, app.Name)
	if err != nil {
		return Result{}, err
	}
	return show(info, func(w io.Writer) {
		fmt.Fprintf(w, "Created %s\n%s | %s\n", app.Name, info.WebURL, info.GitURL)
		fmt.Fprintf(call.Stderr, "Next: git remote add towline %s && git push towline main\n", info.GitURL)
	})
}

func runAppsRename(ctx context.Context, call *Call) (Result, error) {
	if err := call.Apps.Rename(ctx, call.App, call.Args[0], call.Member, call.Stderr); err != nil {
		return Result{}, err
	}
	info, err := call.Apps.Info(ctx, call.Args[0])
	if err != nil {
		return Result{}, err
	}
	return show(info, func(w io.Writer) {
		fmt.Fprintf(w, "Renamed %s to %s\n%s | %s\n", call.App, info.Name, info.WebURL, info.GitURL)
		fmt.Fprintf(call.Stderr, "Next, in each checkout: git remote set-url towline %s\n", info.GitURL)
	})
}

func runAppsInfo(ctx context.Context, call *Call) (Result, error) {
	info, err := call.Apps.Info(ctx, call.App)
	if err != nil {
		return Result{}, err
	}
	return show(info, func(w io.Writer) {
		table(w, func(row func(...any)) {
			row("=== " + info.Name)
			row("Web URL:", info.WebURL)
			row("Git URL:", info.GitURL)
			row("Domains:", strings.Join(info.Domains, " "))
			row("Processes:", formation(info.Formation))
			row("Add-ons:", strings.Join(info.Addons, " "))
			if info.Release != nil {
				row("Release:", fmt.Sprintf("v%d, %s, %s", info.Release.Version, info.Release.Description, ago(info.Release.Created)))
			}
			if info.Builder != (daemon.BuilderChoice{}) {
				row("Builder:", info.Builder.String())
			}
			if len(info.Capabilities) > 0 {
				row("Capabilities:", strings.Join(info.Capabilities, " "))
			}
			row("Owner:", by(info.Owner))
			for _, m := range slices.Sorted(maps.Keys(info.Members)) {
				row("Access:", m+" "+info.Members[m])
			}
			row("Maintenance:", map[bool]string{true: "on", false: "off"}[info.Maintenance])
			row("Created:", info.Created.Local().Format("2006-01-02 15:04:05 MST"))
		})
	})
}
