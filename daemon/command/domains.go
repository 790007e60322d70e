package command

import (
	"context"
	"fmt"
	"io"

	"towline/daemon"
)

func domainCommands() []*Command {
	return []*Command{
		{Name: "domains", Summary: "list an app's host names", On: on(theApp(daemon.View)),
			Run: func(ctx context.Context, call *Call) error {
				info, err := call.Daemon.Info(ctx, call.App)
				if err != nil {
					return err
				}
				return call.result(info.Domains, func(w io.Writer) {
					fmt.Fprintf(w, "=== %s Domains\n", call.App)
					for _, h := range info.Domains {
						fmt.Fprintln(w, h)
					}
				})
			}},
		{Name: "domains:add", Args: "HOST", Summary: "lead a host name to an app", Min: 1, Max: 1, On: on(theApp(daemon.Operate)),
			Help: "Point the name's DNS at this machine; its certificate is obtained at once. *.example.com takes any one label.",
			Run: func(ctx context.Context, call *Call) error {
				if err := call.Daemon.AddDomain(ctx, call.App, call.Member, call.Args[0]); err != nil {
					return err
				}
				return call.did(object{"app": call.App, "domain": call.Args[0], "added": true}, "%s leads to %s", call.Args[0], call.App)
			}},
		{Name: "domains:remove", Args: "HOST", Summary: "stop leading a host name to an app", Min: 1, Max: 1, On: on(theApp(daemon.Operate)),
			Run: func(ctx context.Context, call *Call) error {
				if err := call.Daemon.RemoveDomain(ctx, call.App, call.Member, call.Args[0]); err != nil {
					return err
				}
				return call.did(object{"app": call.App, "domain": call.Args[0], "removed": true}, "%s no longer leads to %s", call.Args[0], call.App)
			}},
		{Name: "certs", Summary: "show the certificates of an app's host names", On: on(theApp(daemon.View)),
			Run: func(ctx context.Context, call *Call) error {
				list, err := call.Daemon.Certificates(ctx, call.App)
				if err != nil {
					return err
				}
				return call.result(list, func(w io.Writer) {
					table(w, func(row func(...any)) {
						row("HOST", "KIND", "STATE", "UNTIL", "ERROR")
						for _, c := range list {
							until := ""
							if !c.NotAfter.IsZero() {
								until = c.NotAfter.Format("2006-01-02")
							}
							row(c.Host, c.Kind, c.State, until, c.Error)
						}
					})
				})
			}},
	}
}
