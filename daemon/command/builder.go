package command

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"towline/daemon"
)

func builderCommands() []*Command {
	return []*Command{
		{Name: "builder", Summary: "show how an app's pushes are built", On: on(theApp(daemon.View)), Run: runBuilder},
		{Name: "builder:set", Args: "auto|buildpacks|dockerfile", Summary: "choose how an app's pushes are built", Min: 1, Max: 1, On: on(theApp(daemon.Operate)), Run: runBuilderSet,
			Flags: func(f *pflag.FlagSet) {
				f.String("path", "", "the Dockerfile in the source, if not at its top")
				f.String("target", "", "the stage of the Dockerfile that is the image")
				_ = f.SetAnnotation("target", valueKind, []string{"STAGE"})
			},
			Help: "It counts from the next push on.\n\n" +
				"  auto         what heroku.yml names, else a Dockerfile at the top of the source, else buildpacks\n" +
				"  buildpacks   buildpacks, whatever else there is\n" +
				"  dockerfile   a Dockerfile and nothing else; it copies from the top of the source, wherever it is itself\n\n" +
				"  towline builder:set buildpacks -a shop\n  towline builder:set dockerfile --path deploy/Dockerfile --target production -a shop"},
	}
}

// builderWords say what each choice means.
var builderWords = map[string]string{
	daemon.BuildAuto:       "what heroku.yml names, else a Dockerfile at the top of the source, else buildpacks",
	daemon.BuildBuildpacks: "buildpacks, whatever else the source has",
	daemon.BuildDockerfile: "a Dockerfile",
}

func runBuilder(ctx context.Context, call *Call) (Result, error) {
	info, err := call.Apps.Info(ctx, call.App)
	if err != nil {
		return Result{}, err
	}
	return call.showBuilder(info.Builder, "=== %s Builder\n")
}

func (call *Call) showBuilder(c daemon.BuilderChoice, heading string) (Result, error) {
	return show(object{"app": call.App, "builder": c.Name(), "path": c.Path, "target": c.Target}, func(w io.Writer) {
		fmt.Fprintf(w, heading, call.App)
		table(w, func(row func(...any)) {
			row("builder:", c.Name()+": "+builderWords[c.Name()])
			if c.Kind == daemon.BuildDockerfile {
				row("path:", orElse(c.Path != "", func() string { return c.Path }, "at the top"))
				row("target:", orElse(c.Target != "", func() string { return c.Target }, "the last stage"))
			}
		})
	})
}

func runBuilderSet(ctx context.Context, call *Call) (Result, error) {
	path, _ := call.Flags.GetString("path")
	target, _ := call.Flags.GetString("target")
	c, err := call.Apps.SetBuilder(ctx, call.App, call.Member, daemon.BuilderChoice{Kind: call.Args[0], Path: path, Target: target})
	if err != nil {
		return Result{}, err
	}
	return call.showBuilder(c, "The next push of %s is built so:\n")
}
