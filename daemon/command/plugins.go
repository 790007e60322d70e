package command

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"towline/daemon/conform"
)

func pluginCommands() []*Command {
	return []*Command{
		{Name: "plugins", Summary: "list the plugins, which services come from", On: on(theHost()), Run: runPlugins},
		{Name: "plugins:list", Summary: "list the plugins, which services come from", On: on(theHost()), Run: runPlugins},
		{Name: "plugins:install", Args: "DIR|GIT-URL", Summary: "add a service, or replace one", Min: 1, Max: 1, On: on(theHost()), Run: runPluginInstall,
			Help: "A plugin is a folder with a plugin.toml in it: see docs/plugins.md. Give the full path of one on the host, or\n" +
				"the address of a Git repository over https or ssh.\n\n" +
				"  towline plugins:install /root/plugins/memcached"},
		{Name: "plugins:remove", Args: "NAME", Summary: "remove a plugin that was installed", Min: 1, Max: 1, On: on(theHost()), Run: runPluginRemove,
			Help: "Refused while there are add-ons of it."},
		{Name: "plugins:check", Args: "DIR|GIT-URL", Summary: "tell what is wrong with a plugin", Min: 1, Max: 1, On: on(theHost()), Run: runPluginCheck,
			Help: "Reads the manifest. With --run, takes an add-on of it through its whole life on real containers: create, write,\n" +
				"restart, attach, rotate, back up, restore, upgrade, destroy.",
			Flags: func(f *pflag.FlagSet) {
				f.Bool("run", false, "try it on real containers")
				f.String("version", "", "which version to try")
			}},
	}
}

func runPlugins(ctx context.Context, call *Call) (Result, error) {
	list, err := call.Plugins.List(ctx)
	if err != nil {
		return Result{}, err
	}
	return show(list, func(w io.Writer) {
		table(w, func(row func(...any)) {
			row("PLUGIN", "VERSIONS", "FROM", "ADD-ONS", "TITLE")
			for _, p := range list {
				row(p.Name, strings.Join(p.Versions, " "), map[bool]string{true: "installed", false: "built in"}[p.Installed],
					count(len(p.Addons), "add-on"), p.Title)
			}
		})
	})
}

func runPluginInstall(ctx context.Context, call *Call) (Result, error) {
	p, err := call.Plugins.Install(ctx, call.Args[0], call.Member, call.Stderr)
	if err != nil {
		return Result{}, err
	}
	return show(p, func(w io.Writer) {
		fmt.Fprintf(w, "%s is installed: towline addons:create %s -a APP\n", p.Name, p.Name)
	})
}

func runPluginRemove(ctx context.Context, call *Call) (Result, error) {
	if err := call.Plugins.Remove(ctx, call.Args[0], call.Member); err != nil {
		return Result{}, err
	}
	return did(object{"plugin": call.Args[0], "removed": true}, "%s is removed", call.Args[0])
}

func runPluginCheck(ctx context.Context, call *Call) (Result, error) {
	req := conform.PluginCheck{Source: call.Args[0], Member: call.Member}
	req.Run, _ = call.Flags.GetBool("run")
	req.Version, _ = call.Flags.GetString("version")
	p, err := call.Suite.Check(ctx, req, call.Stderr)
	if err != nil {
		return Result{}, err
	}
	return show(p, func(w io.Writer) {
		if req.Run {
			fmt.Fprintf(w, "%s conforms\n", p.Name)
			return
		}
		fmt.Fprintf(w, "the manifest of %s is good; --run tries it on real containers\n", p.Name)
	})
}
