package command

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"towline/daemon"
	"towline/daemon/pipelines"
	"towline/daemon/work"
)

func pipelineCommands() []*Command {
	return []*Command{
		{Name: "pipelines", Summary: "list pipelines", On: on(nothing()), Run: runPipelines},
		{Name: "pipelines:create", Args: "NAME", Summary: "create a pipeline", Min: 1, Max: 1, On: on(appOfFlag(daemon.Manage)), Run: runPipelinesCreate,
			Flags: func(f *pflag.FlagSet) {
				f.StringP("app", "a", "", "a first app of it")
				stageFlag(f)
			},
			Help: "  towline pipelines:create safetow -a shop-staging --stage staging\n  towline pipelines:add safetow -a shop --stage production"},
		{Name: "pipelines:add", Args: "PIPELINE", Summary: "put an app into a stage of a pipeline", Min: 1, Max: 1,
			On: on(theApp(daemon.Manage), thePipeline(daemon.Manage)), Flags: stageFlag, Run: runPipelinesAdd,
			Help: "Without --stage the end of the app's name tells: shop-staging is in staging, shop-production in production."},
		{Name: "pipelines:update", Summary: "move an app to another stage of its pipeline", On: on(theApp(daemon.Manage), pipelineOfApp(daemon.Manage)), Flags: stageFlag,
			Run: runPipelinesUpdate},
		{Name: "pipelines:remove", Summary: "take an app out of its pipeline", On: on(theApp(daemon.Manage)),
			Run: func(ctx context.Context, call *Call) (Result, error) {
				c, changes, err := call.Pipelines.Uncouple(ctx, call.App, call.Member)
				if err != nil {
					return Result{}, err
				}
				return didChange(object{"app": c.App, "pipeline": c.Pipeline, "removed": true}, changes, "%s is out of the pipeline %s", c.App, c.Pipeline)
			}},
		{Name: "pipelines:info", Args: "PIPELINE", Summary: "show the stages of a pipeline", Min: 1, Max: 1, On: on(thePipeline(daemon.View)), Run: runPipelinesInfo},
		{Name: "pipelines:rename", Args: "PIPELINE NEW", Summary: "give a pipeline another name", Min: 2, Max: 2, On: on(thePipeline(daemon.Manage)),
			Run: func(ctx context.Context, call *Call) (Result, error) {
				if err := call.Pipelines.Rename(ctx, call.Args[0], call.Args[1], call.Member); err != nil {
					return Result{}, err
				}
				return did(object{"pipeline": call.Args[1], "was": call.Args[0]}, "The pipeline %s is called %s now", call.Args[0], call.Args[1])
			}},
		{Name: "pipelines:destroy", Args: "PIPELINE", Summary: "destroy a pipeline; its apps stay", Min: 1, Max: 1, On: on(thePipelineWithAccess()), Flags: appToo,
			Confirm: func(call *Call) string { return call.Args[0] },
			Effect: func(call *Call) string {
				effect := "this destroys the pipeline " + call.Args[0] + "; its apps stay as they are"
				if given, err := call.Pipelines.Access(context.Background(), call.Args[0], call.Member); err == nil && len(given) > 0 {
					effect += ", and what it lets members do with them ends: towline access --pipeline " + call.Args[0]
				}
				return effect
			},
			Run: func(ctx context.Context, call *Call) (Result, error) {
				changes, err := call.Pipelines.Destroy(ctx, call.Args[0], call.Member)
				if err != nil {
					return Result{}, err
				}
				return didChange(object{"pipeline": call.Args[0], "destroyed": true}, changes, "The pipeline %s is destroyed; its apps stay", call.Args[0])
			}},
		{Name: "pipelines:promote", Summary: "release an app's build in the next stage", On: on(theApp(daemon.Deploy), promotionTargets(daemon.Deploy)), Run: runPromote,
			Stream: Progress,
			Flags: func(f *pflag.FlagSet) {
				toFlag(f)
				f.Bool("dry-run", false, "show what would be done")
			},
			Help: "The image is the same, and nothing is built. Config vars, add-ons, domains and counts of processes of the apps that it\n" +
				"is promoted to stay as they are; their release phase runs with their config. One in which it fails serves what it\n" +
				"served before, and the others have the new release.\n\n" +
				"  towline pipelines:diff -a shop-staging       what would go along\n" +
				"  towline pipelines:promote -a shop-staging\n  towline pipelines:promote -a shop-staging --to shop,shop-eu"},
		{Name: "pipelines:diff", Summary: "compare an app with those that it would be promoted to", On: on(theApp(daemon.Operate), promotionTargets(daemon.Operate)), Run: runPipelinesDiff,
			Flags: toFlag,
			Help: "Shows the commits that would go along, and the config vars, add-ons and process types that one of the two lacks. Of\n" +
				"config vars it shows the names alone."},
	}
}

func toFlag(f *pflag.FlagSet) {
	f.StringArray("to", nil, "apps of the pipeline, in place of those of the next stage")
	_ = f.SetAnnotation("to", valueKind, []string{"APP"})
}

// to are the apps that --to names, with commas or by several of it; none where it is not given.
// One that names nothing, as of a variable that is empty, is no promotion to all.
func (call *Call) to() (names []string, err error) {
	for _, value := range call.given("to") {
		for name := range strings.SplitSeq(value, ",") {
			if name = strings.TrimSpace(name); name == "" {
				return nil, daemon.Errorf(daemon.Invalid, "--to %q names no app", clip(value)).WithHint("write --to shop,shop-eu; without --to it is the next stage")
			}
			names = append(names, name)
		}
	}
	return names, nil
}

func stageFlag(f *pflag.FlagSet) {
	f.StringP("stage", "s", "", "review, development, staging or production")
}

// stage is that of --stage, or the one that the app's name tells.
func (call *Call) stage(app string) (daemon.Stage, error) {
	text, _ := call.Flags.GetString("stage")
	if stage := cmp.Or(daemon.Stage(text), pipelines.GuessStage(app)); stage != "" {
		return stage, daemon.CheckPipelineStage(stage)
	}
	return "", daemon.Errorf(daemon.Invalid, "which stage is %s in?", app).WithHint("--stage review, development, staging or production")
}

func runPipelines(ctx context.Context, call *Call) (Result, error) {
	list, err := call.Pipelines.List(ctx, call.Member)
	if err != nil {
		return Result{}, err
	}
	return show(list, func(w io.Writer) {
		if len(list) == 0 {
			fmt.Fprintln(w, "No pipelines yet. Make one: towline pipelines:create NAME -a shop-staging --stage staging")
		}
		for _, p := range list {
			fmt.Fprintln(w, p.Name)
		}
	})
}

func runPipelinesCreate(ctx context.Context, call *Call) (Result, error) {
	app, _ := call.Flags.GetString("app")
	var stage daemon.Stage
	var err error
	switch {
	case app != "":
		stage, err = call.stage(app)
	case call.Flags.Changed("stage"):
		err = daemon.Errorf(daemon.Invalid, "--stage tells where an app is, and none is named").WithHint("name it: -a shop-staging")
	}
	if err != nil {
		return Result{}, err
	}
	p, err := call.Pipelines.Create(ctx, call.Args[0], call.Member, app, stage)
	if err != nil {
		return Result{}, err
	}
	if app == "" {
		return did(object{"pipeline": p.Name}, "Created the pipeline %s; put apps into it: towline pipelines:add %s -a APP --stage STAGE", p.Name, p.Name)
	}
	return did(object{"pipeline": p.Name, "app": app, "stage": stage}, "Created the pipeline %s, with %s in %s", p.Name, app, stage)
}

func runPipelinesAdd(ctx context.Context, call *Call) (Result, error) {
	stage, err := call.stage(call.App)
	if err != nil {
		return Result{}, err
	}
	changes, err := call.Pipelines.Couple(ctx, daemon.Coupling{App: call.App, Pipeline: call.Args[0], Stage: stage}, call.Member, false)
	if err != nil {
		return Result{}, err
	}
	return didChange(object{"pipeline": call.Args[0], "app": call.App, "stage": stage}, changes, "%s is in %s of the pipeline %s", call.App, stage, call.Args[0])
}

func runPipelinesUpdate(ctx context.Context, call *Call) (Result, error) {
	text, _ := call.Flags.GetString("stage")
	if text == "" {
		return Result{}, daemon.Errorf(daemon.Invalid, "which stage is %s to move to?", call.App).WithHint("--stage review, development, staging or production")
	}
	c, err := call.Pipelines.Coupling(ctx, call.App)
	if err != nil {
		return Result{}, err
	}
	c.Stage = daemon.Stage(text)
	changes, err := call.Pipelines.Couple(ctx, c, call.Member, true)
	if err != nil {
		return Result{}, err
	}
	return didChange(object{"pipeline": c.Pipeline, "app": c.App, "stage": c.Stage}, changes, "%s is in %s of the pipeline %s", c.App, c.Stage, c.Pipeline)
}

func runPipelinesInfo(ctx context.Context, call *Call) (Result, error) {
	info, err := call.Pipelines.Info(ctx, call.Args[0], call.Member)
	if err != nil {
		return Result{}, err
	}
	return show(info, func(w io.Writer) {
		fmt.Fprintf(w, "=== %s\n", info.Name)
		if info.Owner != "" {
			fmt.Fprintf(w, "owner: %s\n", info.Owner)
		}
		if len(info.Apps) == 0 && info.Hidden == 0 {
			fmt.Fprintf(w, "It has no apps yet: towline pipelines:add %s -a APP --stage STAGE\n", info.Name)
		} else {
			table(w, func(row func(...any)) {
				row("STAGE", "APP", "RELEASE", "COMMIT")
				for _, p := range info.Apps {
					row(p.Stage, p.App, orElse(p.Release > 0, func() string { return fmt.Sprintf("v%d", p.Release) }, "none"), p.Commit[:min(8, len(p.Commit))])
				}
			})
		}
		if info.Hidden > 0 {
			fmt.Fprintf(w, "and %d that you may not view\n", info.Hidden)
		}
		if len(info.Access) > 0 {
			fmt.Fprintln(w)
			showPipelineAccess(w, info.Access)
		}
	})
}

func runPromote(ctx context.Context, call *Call) (Result, error) {
	plan, err := call.Pipelines.Plan(ctx, call.App, call.Targets)
	if err != nil {
		return Result{}, err
	}
	if dry, _ := call.Flags.GetBool("dry-run"); dry {
		return show(plan, func(w io.Writer) {
			fmt.Fprintf(w, "v%d of %s (%s) would be promoted:\n", plan.Source.Version, call.App, plan.Source.Description)
			table(w, func(row func(...any)) {
				row("APP", "STAGE", "SERVES")
				for _, t := range plan.Targets {
					row(t.App, t.Stage, strings.TrimSpace(orElse(t.Release > 0, func() string { return fmt.Sprintf("v%d %s", t.Release, t.Commit[:min(8, len(t.Commit))]) }, "nothing")))
				}
			})
			fmt.Fprintln(w, "Nothing was changed.")
		})
	}
	work.Stage(call.Stderr, "Promoting v%d of %s to %s", plan.Source.Version, call.App, strings.Join(call.Targets, ", "))
	ended := call.Pipelines.Promote(ctx, plan, call.Member, call.Stderr)
	result := Result{Value: ended, Text: func(w io.Writer) {
		for _, p := range ended {
			if p.Status == pipelines.Succeeded {
				fmt.Fprintf(w, "%s serves the image of %s, as v%d\n", p.App, call.App, p.Release.Version)
			}
		}
	}}
	for _, p := range ended {
		if p.Status == pipelines.Failed {
			result.Code = 1
			result.Warnings = append(result.Warnings, fmt.Sprintf("%s serves what it served before: %s", p.App, p.Message))
		}
	}
	return result, nil
}

func runPipelinesDiff(ctx context.Context, call *Call) (Result, error) {
	var list []pipelines.Diff
	for _, target := range call.Targets {
		d, err := call.Pipelines.Diff(ctx, call.Member, call.App, target)
		if err != nil {
			return Result{}, err
		}
		list = append(list, d)
	}
	return show(list, func(w io.Writer) {
		for i, d := range list {
			if i > 0 {
				fmt.Fprintln(w)
			}
			showDiff(w, d)
		}
	})
}

func showDiff(w io.Writer, d pipelines.Diff) {
	fmt.Fprintf(w, "=== %s v%d, %s v%d\n", d.From, d.Release, d.To, d.Serves)
	switch {
	case d.Unknown != "":
		fmt.Fprintf(w, "Commits are not compared: %s\n", d.Unknown)
	case d.Ahead == 0 && d.Behind == 0:
		fmt.Fprintln(w, "Both serve the same commit")
	default:
		fmt.Fprintf(w, "%s is ahead by %s%s\n", d.From, count(d.Ahead, "commit"), orElse(d.Behind > 0, func() string { return fmt.Sprintf(", and behind by %d", d.Behind) }, ""))
		for _, c := range d.Commits {
			fmt.Fprintf(w, "  %s %s\n", c.ID[:8], c.Subject)
		}
		if more := d.Ahead - len(d.Commits); more > 0 {
			fmt.Fprintf(w, "  and %d more\n", more)
		}
	}
	for _, part := range []struct {
		what  string
		sides pipelines.Sides
	}{{"Config vars", d.Config}, {"Add-ons", d.Addons}, {"Process types", d.Processes}} {
		if names := part.sides.From; len(names) > 0 {
			fmt.Fprintf(w, "%s of %s alone: %s\n", part.what, d.From, strings.Join(names, ", "))
		}
		if names := part.sides.To; len(names) > 0 {
			fmt.Fprintf(w, "%s of %s alone: %s\n", part.what, d.To, strings.Join(names, ", "))
		}
	}
}
