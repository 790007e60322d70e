package command

import (
	"context"
	"fmt"
	"io"

	"towline/daemon"
	"towline/daemon/addons"
)

func runAddonAttach(ctx context.Context, call *Call) (Result, error) {
	name := call.Args[0]
	req := addons.AttachRequest{Addon: name, App: call.App, Member: call.Member}
	req.Prefix, _ = call.Flags.GetString("as")
	var err error
	if req.Aliases, err = aliasesOf(call); err != nil {
		return Result{}, err
	}
	at, err := call.Attachments.Attach(ctx, req, call.Stderr)
	if err != nil {
		return Result{}, err
	}
	return show(at, func(w io.Writer) {
		fmt.Fprintf(w, "%s has %s\n", at.App, attachedVars(at))
	})
}

func runAddonDetach(ctx context.Context, call *Call) (Result, error) {
	name := call.Args[0]
	if err := call.Attachments.Detach(ctx, name, call.App, call.Member, call.Stderr); err != nil {
		return Result{}, err
	}
	return did(object{"addon": name, "app": call.App, "attached": false}, "%s is detached from %s; its data stays", name, call.App)
}

func runAddonTransfer(ctx context.Context, call *Call) (Result, error) {
	addon, err := call.Addons.Transfer(ctx, call.Args[0], call.App, call.Member)
	if err != nil {
		return Result{}, err
	}
	return show(addon, func(w io.Writer) { fmt.Fprintf(w, "%s belongs to %s\n", addon.Name, addon.App) })
}

func runAddonRestart(ctx context.Context, call *Call) (Result, error) {
	name := call.Args[0]
	if err := call.Addons.Restart(ctx, name, call.Member, call.Stderr); err != nil {
		return Result{}, err
	}
	return did(object{"addon": name, "restarted": true}, "%s is restarted", name)
}

func runAddonLogs(ctx context.Context, call *Call) (Result, error) {
	q := daemon.LogQuery{App: call.Args[0]}
	if err := call.logRange(&q); err != nil {
		return Result{}, err
	}
	hints, err := call.Services.LogHints(ctx, q.App)
	if err != nil {
		return Result{}, err
	}
	return Result{}, call.printLogs(ctx, q, func(ctx context.Context, q daemon.LogQuery, line func(daemon.LogLine) error) error {
		return call.Addons.ReadLogs(ctx, q, func(l daemon.LogLine) error {
			if err := line(l); err != nil {
				return err
			}
			if meaning := hints.Of(l.Text); meaning != "" {
				warn(call.Stderr, meaning)
			}
			return nil
		})
	})
}

func runAddonConsole(ctx context.Context, call *Call) (Result, error) {
	name := call.Args[0]
	if call.Terminal {
		call.Raw()
	}
	code, err := call.Addons.Console(ctx, name, call.Member, call.Term, daemon.Streams{
		Stdin: call.Stdin, Stdout: call.Stdout, Stderr: call.Stderr,
		Terminal: call.Terminal, Size: call.Size, Resize: call.Resize,
	})
	if err != nil {
		return Result{}, err
	}
	return Result{Code: code}, nil
}

func runAddonRotate(ctx context.Context, call *Call) (Result, error) {
	name := call.Args[0]
	if err := call.Attachments.Rotate(ctx, name, call.Member, call.Stderr); err != nil {
		return Result{}, err
	}
	return did(object{"addon": name, "rotated": true}, "%s has new credentials", name)
}

func runAddonUpgrade(ctx context.Context, call *Call) (Result, error) {
	req := addons.UpgradeRequest{Addon: call.Args[0], Member: call.Member}
	req.Plan, _ = call.Flags.GetString("plan")
	req.Version, _ = call.Flags.GetString("version")
	addon, err := call.Addons.Upgrade(ctx, req, call.Stderr)
	if err != nil {
		return Result{}, err
	}
	return show(addon, func(w io.Writer) {
		fmt.Fprintf(w, "%s is %s %s, plan %s\n", addon.Name, addon.Service, addon.Version, addon.Plan)
	})
}
