package command

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"towline/daemon"
)

func releaseCommands() []*Command {
	return []*Command{
		{Name: "releases", Summary: "list releases", On: on(theApp(daemon.View)), Run: runReleases},
		{Name: "releases:info", Args: "[vN]", Summary: "show one release", Max: 1, On: on(theApp(daemon.View)), Run: runReleasesInfo},
		{Name: "releases:output", Args: "[vN]", Summary: "show what a release phase wrote", Max: 1, On: on(theApp(daemon.View)),
			Run: func(ctx context.Context, call *Call) (Result, error) {
				r, err := call.release(ctx)
				if err != nil {
					return Result{}, err
				}
				return show(r.Output, func(w io.Writer) { fmt.Fprint(w, r.Output) })
			}},
		{Name: "releases:rollback", Args: "[vN]", Summary: "go back to an earlier release", Max: 1, Run: runRollback,
			On: on(theApp(daemon.Deploy), theApp(daemon.Manage).when("with-data"), addonsOfApp(daemon.Manage).when("with-data")),
			Help: "Makes a new release from the image and the config of vN, or of the one before the current.\n" +
				"Config vars of add-ons keep their present values.\n\n" +
				"With --with-data the data of the app's add-ons goes back too, to what vN left: see\n" +
				"backups:on-release. It needs the permission manage. What is replaced is kept as backups.",
			Confirm: func(call *Call) string {
				if data, _ := call.Flags.GetBool("with-data"); data {
					return call.App
				}
				return ""
			},
			Effect: func(call *Call) string {
				return "this takes " + call.App + " back with the data of its add-ons; the data of now is kept as backups"
			},
			Exists: func(ctx context.Context, call *Call) (err error) {
				if data, _ := call.Flags.GetBool("with-data"); data {
					_, err = call.release(ctx)
				}
				return err
			},
			Flags: func(f *pflag.FlagSet) { f.Bool("with-data", false, "the data of the app's add-ons goes back too") }},
		{Name: "releases:retry", Args: "[vN]", Summary: "deploy what was pushed once more", Max: 1, On: on(theApp(daemon.Deploy)), Run: runRetry,
			Help: "Makes a new release from the source of vN, or of the newest push, with the present config: after a\n" +
				"rollback git has nothing to push. Of a config change that failed, the config is tried again."},
	}
}

// version reads "v12" or "12"; 0 when none was given.
func (call *Call) version() (int, error) {
	if len(call.Args) == 0 {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(call.Args[0], "v"))
	if err != nil || n < 1 {
		return 0, daemon.Errorf(daemon.Invalid, "%q is not a release", clip(call.Args[0])).WithHint("write it like v12; towline releases -a %s lists them", call.App)
	}
	return n, nil
}

func (call *Call) release(ctx context.Context) (daemon.Release, error) {
	version, err := call.version()
	if err != nil {
		return daemon.Release{}, err
	}
	return call.Apps.Release(ctx, call.App, version)
}

func runReleases(ctx context.Context, call *Call) (Result, error) {
	list, err := call.Apps.Releases(ctx, call.App)
	if err != nil {
		return Result{}, err
	}
	app, err := call.Apps.App(ctx, call.App)
	if err != nil {
		return Result{}, err
	}
	return show(list, func(w io.Writer) {
		fmt.Fprintf(w, "=== %s Releases - Current: v%d\n", call.App, app.Current)
		table(w, func(row func(...any)) {
			row("VERSION", "CHANGE", "STATUS", "BY", "WHEN")
			for _, r := range list {
				status := ""
				switch {
				case r.Version == app.Current:
					status = "current"
				case r.Status != daemon.ReleaseGood:
					status = string(r.Status)
				}
				row(fmt.Sprintf("v%d", r.Version), r.Description, status, by(r.Member), ago(r.Created))
			}
		})
	})
}

func runReleasesInfo(ctx context.Context, call *Call) (Result, error) {
	r, err := call.release(ctx)
	if err != nil {
		return Result{}, err
	}
	return show(r, func(w io.Writer) {
		table(w, func(row func(...any)) {
			row(fmt.Sprintf("=== v%d", r.Version))
			row("Change:", r.Description)
			row("By:", by(r.Member))
			row("When:", r.Created.Local().Format("2006-01-02 15:04:05 MST"))
			row("Status:", r.Status)
			if r.Error != "" {
				row("Error:", r.Error)
			}
			if r.Commit != "" {
				row("Commit:", r.Commit)
			}
			for name, p := range r.Processes {
				row("Process "+name+":", p.Command)
			}
		})
	})
}

func runRollback(ctx context.Context, call *Call) (Result, error) {
	version, err := call.version()
	if err != nil {
		return Result{}, err
	}
	rollback := call.Releases.Rollback
	if data, _ := call.Flags.GetBool("with-data"); data {
		rollback = call.Restores.RollbackWithData
	}
	rel, err := rollback(ctx, call.App, call.Member, version, call.Stderr)
	if err != nil {
		return Result{}, err
	}
	newest, err := call.Releases.LeftBehind(ctx, call.App)
	if err != nil {
		return Result{}, err
	}
	return show(rel, func(w io.Writer) {
		fmt.Fprintf(w, "%s; %s is at v%d\n", rel.Description, call.App, rel.Version)
		if newest.Version > 0 {
			fmt.Fprintf(w, "git has nothing to push now; to deploy v%d again: towline releases:retry -a %s\n", newest.Version, call.App)
		}
	})
}

func runRetry(ctx context.Context, call *Call) (Result, error) {
	version, err := call.version()
	if err != nil {
		return Result{}, err
	}
	rel, err := call.Releases.Retry(ctx, call.App, call.Member, version, call.Stderr)
	if err != nil {
		return Result{}, err
	}
	return show(rel, func(w io.Writer) { fmt.Fprintf(w, "%s; %s is at v%d\n", rel.Description, call.App, rel.Version) })
}
