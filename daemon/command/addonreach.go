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

// addonReachCommands lead from a person's own machine into an add-on.
func addonReachCommands() []*Command {
	return []*Command{
		{Name: "addons:open", Args: "ADDON", Summary: "serve an add-on's own web page for a while, like Neo4j Browser", Min: 1, Max: 1,
			On: on(theAddon(daemon.Operate)), Run: runAddonOpen,
			Help: "Prints the address and a password, which is not shown again. Opening it again gives another one.\n\n" +
				"  towline addons:open neo4j-shop --for 2h\n" +
				"  towline addons:open neo4j-shop --close",
			Flags: func(f *pflag.FlagSet) {
				f.Duration("for", addons.OpenFor, "how long, at most 24h")
				f.Bool("close", false, "close it now, with its connections")
				appToo(f)
			}},
		{Name: "addons:forward", Args: "ADDON", Summary: "lead a port of your machine to an add-on, over SSH", Min: 1, Max: 1,
			With: map[string]Stream{"stdio": Bytes}, On: on(theAddon(daemon.Operate)), Run: runAddonForward,
			Help: "The towline program listens on 127.0.0.1 until you press Ctrl-C. Without it, one connection is a\n" +
				"command's standard input and output.\n\n" +
				"  towline addons:forward redis-shop                     (the service's own port number, if it is free)\n" +
				"  towline addons:forward neo4j-shop --port-name bolt --port 17687\n" +
				"  ssh towline@HOST addons:forward redis-shop --stdio",
			Flags: func(f *pflag.FlagSet) {
				f.Uint16("port", 0, "port of your machine")
				f.String("port-name", "", "which port of the service, if it has several")
				f.Bool("stdio", false, "connect standard input and output")
				appToo(f)
			}},
	}
}

func runAddonOpen(ctx context.Context, call *Call) (Result, error) {
	req := addons.OpenRequest{Addon: call.Args[0], Member: call.Member}
	if end, _ := call.Flags.GetBool("close"); end {
		if err := call.Pages.Close(ctx, req.Addon, call.Member); err != nil {
			return Result{}, err
		}
		return did(object{"addon": req.Addon, "open": false}, "The web page of %s is closed", req.Addon)
	}
	req.For, _ = call.Flags.GetDuration("for")
	page, err := call.Pages.Open(ctx, req)
	if err != nil {
		return Result{}, err
	}
	info, err := call.Addons.Info(ctx, req.Addon, call.Member)
	if err != nil {
		return Result{}, err
	}
	return show(page, func(w io.Writer) {
		fmt.Fprintf(w, "%s\n\nIt asks for a user and a password, which is not shown again:\n", page.URL)
		table(w, func(row func(...any)) {
			row("  User:", page.User)
			row("  Password:", page.Password)
			row("  Open until:", page.Expires.Local().Format("2006-01-02 15:04 MST"))
		})
		fmt.Fprintf(w, "\nThe service itself asks for its own credentials, which are config vars:\n")
		for _, at := range info.Attachments {
			fmt.Fprintf(w, "  towline config -a %s     (%s)\n", at.App, strings.Join(at.Vars, ", "))
		}
		fmt.Fprintf(w, "Close it earlier by: towline addons:open %s --close\n", page.Addon)
	})
}

func runAddonForward(ctx context.Context, call *Call) (Result, error) {
	name := call.Args[0]
	port, _ := call.Flags.GetString("port-name")
	f, err := call.Tunnels.ForwardTo(ctx, name, port)
	if err != nil {
		return Result{}, err
	}
	if stdio, _ := call.Flags.GetBool("stdio"); stdio {
		return Result{}, call.Tunnels.Tunnel(ctx, f, call.Member, call.Stdin, call.Stdout)
	}
	return show(f, func(w io.Writer) {
		fmt.Fprintf(w, "%s listens on its port %d (%s). On your machine the towline program leads a port there:\n", f.Addon, f.Port, f.PortName)
		fmt.Fprintf(w, "  towline addons:forward %s --port-name %s\n", f.Addon, f.PortName)
		fmt.Fprintf(w, "Without it, this is one connection, on standard input and output:\n")
		fmt.Fprintf(w, "  ssh towline@HOST addons:forward %s --port-name %s --stdio\n", f.Addon, f.PortName)
	})
}
