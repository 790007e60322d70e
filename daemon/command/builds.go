package command

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"towline/daemon"
	"towline/daemon/apps"
)

func buildCommands() []*Command {
	return []*Command{
		{Name: "builds", Summary: "list builds", On: on(theApp(daemon.View)), Run: runBuilds,
			Help: fmt.Sprintf("The newest %d are kept. One that succeeded has made an image; how its release went, releases tells.\n\n", daemon.KeptBuilds) +
				"  towline builds -a shop"},
		{Name: "builds:output", Args: "[N]", Summary: "show what a build wrote", Max: 1, On: on(theApp(daemon.View)), Run: runBuildsOutput,
			Help: "Shows what is kept of the newest build, or of build N, with the release that followed: of much output the\n" +
				"end. The values of config vars are shown by their names alone.\n\n" +
				"  towline builds:output 7 -a shop\n" +
				"  towline logs -t --source build -a shop     while it is running"},
		{Name: "builds:cancel", Args: "[N]", Summary: "end the build that is running", Max: 1, On: on(theApp(daemon.Deploy)), Run: runBuildsCancel,
			Help: "The push is refused, and what serves serves on. A build that is done, whose release is being started, can't be\n" +
				"cancelled.\n\n  towline builds:cancel -a shop"},
		{Name: "builds:purge", Summary: "have the next push built from nothing", On: on(theApp(daemon.Deploy)), Run: runBuildsPurge,
			Help: "Removes what earlier builds of the app left to make the next one quick: layers, downloads, and the memory of what\n" +
				"they built, by which a push that changes nothing takes the image of before. What serves serves on, and releases\n" +
				"keep their images.\n\n" +
				"  towline builds:purge -a shop\n" +
				"  git commit --allow-empty -m 'Build anew' && git push towline main"},
	}
}

// buildNumber reads "7"; 0 when none was given.
func (call *Call) buildNumber() (int, error) {
	if len(call.Args) == 0 {
		return 0, nil
	}
	n, err := strconv.Atoi(call.Args[0])
	if err != nil || n < 1 {
		return 0, daemon.Errorf(daemon.Invalid, "%q is not a build", clip(call.Args[0])).WithHint("write it like 12; towline builds -a %s lists them", call.App)
	}
	return n, nil
}

func runBuilds(ctx context.Context, call *Call) (Result, error) {
	list, err := call.Releases.Builds(ctx, call.App)
	if err != nil {
		return Result{}, err
	}
	return show(list, func(w io.Writer) {
		if len(list) == 0 {
			fmt.Fprintf(w, "%s was never built: git push towline main\n", call.App)
			return
		}
		table(w, func(row func(...any)) {
			row("BUILD", "STATUS", "COMMIT", "RELEASE", "TOOK", "BY", "WHEN")
			for _, b := range list {
				release := ""
				if b.Release > 0 {
					release = fmt.Sprintf("v%d", b.Release)
				}
				row(b.Number, b.Status, b.Commit[:min(8, len(b.Commit))], release, lasted(apps.Took(b)), by(b.Member), ago(b.Created))
			}
		})
	})
}

func runBuildsOutput(ctx context.Context, call *Call) (Result, error) {
	number, err := call.buildNumber()
	if err != nil {
		return Result{}, err
	}
	var text strings.Builder // of bounded size
	b, err := call.Releases.BuildOutput(ctx, call.App, number, func(l daemon.LogLine) error {
		text.WriteString(l.Text + "\n")
		return nil
	})
	if err != nil {
		return Result{}, err
	}
	if b.Status == daemon.BuildRunning {
		warn(call.Stderr, fmt.Sprintf("build %d is running; to see it go on: towline logs -t --source build -a %s", b.Number, call.App))
	}
	return show(text.String(), func(w io.Writer) { fmt.Fprint(w, text.String()) })
}

func runBuildsCancel(ctx context.Context, call *Call) (Result, error) {
	number, err := call.buildNumber()
	if err != nil {
		return Result{}, err
	}
	b, err := call.Releases.CancelBuild(ctx, call.App, call.Member, number)
	if err != nil {
		return Result{}, err
	}
	return show(b, func(w io.Writer) { fmt.Fprintf(w, "Build %d of %s is cancelled\n", b.Number, call.App) })
}

func runBuildsPurge(ctx context.Context, call *Call) (Result, error) {
	if err := call.Apps.PurgeBuilds(ctx, call.App, call.Member, call.Stderr); err != nil {
		return Result{}, err
	}
	return show(object{"app": call.App, "purged": true}, func(w io.Writer) {
		fmt.Fprintf(w, "The next push of %s is built from nothing\n", call.App)
	})
}
