package command

import (
	"context"
	"fmt"
	"io"

	"towline/daemon"
)

// maxCertificate bounds what certs:add reads, in bytes.
const maxCertificate = 256 << 10

func domainCommands() []*Command {
	return []*Command{
		{Name: "domains", Summary: "list an app's host names", On: on(theApp(daemon.View)),
			Run: func(ctx context.Context, call *Call) (Result, error) {
				info, err := call.Apps.Info(ctx, call.App)
				if err != nil {
					return Result{}, err
				}
				route, err := call.Routes.RouteInfo(ctx, call.App)
				if err != nil {
					return Result{}, err
				}
				return show(info.Domains, func(w io.Writer) {
					fmt.Fprintf(w, "=== %s Domains\n", call.App)
					table(w, func(row func(...any)) {
						for _, h := range info.Domains {
							if to := route.Redirects[h]; to != "" {
								row(h, "leads to "+to)
							} else {
								row(h)
							}
						}
					})
				})
			}},
		{Name: "domains:add", Args: "HOST", Summary: "lead a host name to an app", Min: 1, Max: 1, On: on(theApp(daemon.Operate)),
			Help: "Point the name's DNS at this machine; its certificate is obtained at once. *.example.com takes any one label.\n" +
				"A name within or over another app's domain needs the permission operate on that app too.",
			Run: func(ctx context.Context, call *Call) (Result, error) {
				host, err := call.Routes.AddDomain(ctx, call.App, call.Member, call.Args[0])
				if err != nil {
					return Result{}, err
				}
				return did(object{"app": call.App, "domain": host, "added": true}, "%s leads to %s", host, call.App)
			}},
		{Name: "domains:remove", Args: "HOST", Summary: "stop leading a host name to an app", Min: 1, Max: 1, On: on(theApp(daemon.Operate)),
			Run: func(ctx context.Context, call *Call) (Result, error) {
				host, err := call.Routes.RemoveDomain(ctx, call.App, call.Member, call.Args[0])
				if err != nil {
					return Result{}, err
				}
				return did(object{"app": call.App, "domain": host, "removed": true}, "%s no longer leads to %s", host, call.App)
			}},
		{Name: "domains:redirect", Args: "HOST [TO]", Summary: "send a host's visitors to another host of the app", Min: 1, Max: 2, On: on(theApp(daemon.Operate)),
			Help: "The host is added if the app has it not. Without TO it serves the app again.\n\n  towline domains:redirect www.example.com example.com -a shop",
			Run: func(ctx context.Context, call *Call) (Result, error) {
				to := ""
				if len(call.Args) == 2 {
					if to = call.Args[1]; to == "" {
						return Result{}, daemon.Errorf(daemon.Invalid, "TO is empty").WithHint("leave it out to serve the app at %s again", clip(call.Args[0]))
					}
				}
				if err := call.Routes.RedirectDomain(ctx, call.App, call.Member, call.Args[0], to); err != nil {
					return Result{}, err
				}
				v := object{"app": call.App, "domain": call.Args[0], "redirect": to}
				if to == "" {
					return did(v, "%s serves %s again", call.Args[0], call.App)
				}
				return did(v, "%s leads to %s", call.Args[0], to)
			}},
		{Name: "certs:add", Args: "HOST", Summary: "serve a certificate of your own, from standard input", Min: 1, Max: 1, On: on(theApp(daemon.Operate)),
			Help: "Standard input holds the private key and the certificates, PEM, the host's own before those that signed it. They are\n" +
				"checked against each other, the host and the date before they are taken. You renew it yourself: the app's log\n" +
				"and certs say when, 30 days ahead.\n\n  cat chain.pem key.pem | towline certs:add www.example.com -a shop",
			Run: func(ctx context.Context, call *Call) (Result, error) {
				text, err := io.ReadAll(io.LimitReader(call.input("a private key and certificates, PEM"), maxCertificate+1))
				if err != nil {
					return Result{}, daemon.Errorf(daemon.Invalid, "can't read the certificate: %w", err).WithHint("nothing was changed")
				}
				if len(text) > maxCertificate {
					return Result{}, daemon.Errorf(daemon.Invalid, "standard input is longer than %s", size(maxCertificate)).WithHint("nothing was changed")
				}
				if err := call.Routes.AddCertificate(ctx, call.App, call.Member, call.Args[0], text); err != nil {
					return Result{}, err
				}
				return did(object{"app": call.App, "domain": call.Args[0], "added": true}, "%s has a certificate of your own", call.Args[0])
			}},
		{Name: "certs:remove", Args: "HOST", Summary: "go back to an automatic certificate", Min: 1, Max: 1, On: on(theApp(daemon.Operate)),
			Run: func(ctx context.Context, call *Call) (Result, error) {
				if err := call.Routes.RemoveCertificate(ctx, call.App, call.Member, call.Args[0]); err != nil {
					return Result{}, err
				}
				return did(object{"app": call.App, "domain": call.Args[0], "removed": true}, "%s has an automatic certificate again", call.Args[0])
			}},
		{Name: "certs", Summary: "show the certificates of an app's host names", On: on(theApp(daemon.View)),
			Run: func(ctx context.Context, call *Call) (Result, error) {
				list, err := call.Routes.Certificates(ctx, call.App)
				if err != nil {
					return Result{}, err
				}
				return show(list, func(w io.Writer) {
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
