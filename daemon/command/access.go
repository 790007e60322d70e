package command

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"towline/daemon"
	"towline/daemon/people"
	"towline/daemon/pipelines"
)

func accessCommands() []*Command {
	giving := on(theApp(daemon.Manage).unless(pipelineFlag), accessByPipeline())
	return []*Command{
		{Name: "access", Summary: "list who may do what with an app, or by a pipeline", On: on(theApp(daemon.View).unless(pipelineFlag), pipelineOfFlag(daemon.View)),
			Flags: byPipeline, Run: runAccess,
			Help: "For an app it tells where each permission comes from: it was given for the app, or the app's pipeline gives it."},
		{Name: "access:add", Args: "MEMBER", Summary: "let a member work on an app, or on those of a pipeline", Min: 1, Max: 1, On: giving,
			Flags: func(f *pflag.FlagSet) {
				f.StringP("permissions", "p", "view,deploy,operate", "view, deploy, operate, manage, with commas")
				byPipelineStage(f)
			},
			Run: runAccessAdd,
			Help: "They take the place of those that the member was given before in the same way. By a pipeline the member has them on\n" +
				"the apps that are in it now and on those that come later, as long as they are in it.\n\n" +
				"  towline access:add bob -a shop -p view,deploy\n  towline access:add bob --pipeline safetow -p view\n  towline access:add bob --pipeline safetow --stage staging -p view,deploy"},
		{Name: "access:update", Args: "MEMBER", Summary: "change what a member may do who has access", Min: 1, Max: 1, On: giving,
			Flags: func(f *pflag.FlagSet) {
				f.StringP("permissions", "p", "", "view, deploy, operate, manage, with commas")
				byPipelineStage(f)
			},
			Run: runAccessUpdate},
		{Name: "access:remove", Args: "MEMBER", Summary: "take a member's access to an app away, or that by a pipeline", Min: 1, Max: 1, On: giving,
			Flags: byPipelineStage, Run: runAccessRemove},
	}
}

// pipelineFlag names a pipeline in place of an app.
const pipelineFlag = "pipeline"

func byPipeline(f *pflag.FlagSet) {
	f.String(pipelineFlag, "", "the apps of this pipeline, in place of one app")
}

func byPipelineStage(f *pflag.FlagSet) {
	byPipeline(f)
	f.StringP("stage", "s", "", "of the pipeline, those in this stage alone: review, development, staging or production")
}

// reach is the stage of --stage; empty: all.
func (call *Call) reach() daemon.Stage {
	text, _ := call.Flags.GetString("stage")
	return daemon.Stage(text)
}

// pipelineAccess is the access that the flags are about; none: it is about an app.
func (call *Call) pipelineAccess(given []daemon.Permission) (a daemon.PipelineAccess, err error) {
	stage := call.Flags.Changed("stage")
	if !call.Flags.Changed(pipelineFlag) {
		if stage {
			err = daemon.Errorf(daemon.Invalid, "--stage is of a pipeline, and none is named").WithHint("name it: --pipeline PIPELINE --stage %s", clip(string(call.reach())))
		}
		return a, err
	}
	if stage { // an empty one is not all of them
		err = daemon.CheckPipelineStage(call.reach())
	}
	a.Pipeline, _ = call.Flags.GetString(pipelineFlag)
	if err == nil && a.Pipeline == "" {
		err = daemon.NoPipeline("")
	}
	a.Stage, a.Member, a.Permissions = call.reach(), call.Args[0], given
	return a, err
}

// permissions are those of -p.
func (call *Call) permissions() (ps []daemon.Permission) {
	text, _ := call.Flags.GetString("permissions")
	for word := range strings.SplitSeq(text, ",") {
		ps = append(ps, daemon.Permission(strings.TrimSpace(word)))
	}
	return ps
}

func runAccess(ctx context.Context, call *Call) (Result, error) {
	if call.Flags.Changed(pipelineFlag) {
		name, _ := call.Flags.GetString(pipelineFlag)
		list, err := call.Pipelines.Access(ctx, name, call.Member)
		if err != nil {
			return Result{}, err
		}
		return show(list, func(w io.Writer) { showPipelineAccess(w, list) })
	}
	list, err := call.People.AccessList(ctx, call.App)
	if err != nil {
		return Result{}, err
	}
	return show(list, func(w io.Writer) {
		table(w, func(row func(...any)) {
			row("MEMBER", "PERMISSIONS", "FROM")
			for _, r := range list {
				for _, from := range r.From {
					row(r.Member, people.JoinPermissions(from.Permissions), from)
				}
			}
		})
	})
}

func showPipelineAccess(w io.Writer, list []daemon.PipelineAccess) {
	table(w, func(row func(...any)) {
		row("MEMBER", "PERMISSIONS", "STAGE")
		for _, a := range list {
			row(a.Member, people.JoinPermissions(a.Permissions), orElse(a.Stage == "", func() string { return "all" }, string(a.Stage)))
		}
	})
}

func runAccessAdd(ctx context.Context, call *Call) (Result, error) {
	return call.giveAccess(ctx, call.permissions(), call.People.Grant, call.Pipelines.Grant)
}

func runAccessUpdate(ctx context.Context, call *Call) (Result, error) {
	if !call.Flags.Changed("permissions") {
		return Result{}, daemon.Errorf(daemon.Invalid, "what may %s do?", clip(call.Args[0])).WithHint("-p view,deploy")
	}
	return call.giveAccess(ctx, call.permissions(), call.People.Regrant, call.Pipelines.Regrant)
}

func runAccessRemove(ctx context.Context, call *Call) (Result, error) {
	return call.giveAccess(ctx, nil, call.People.Grant, call.Pipelines.Grant)
}

// giveAccess gives permissions for an app or by a pipeline; none: it takes what was given.
func (call *Call) giveAccess(ctx context.Context, ps []daemon.Permission,
	forApp func(context.Context, string, string, []daemon.Permission, string) error,
	byPipeline func(context.Context, daemon.PipelineAccess, string) (pipelines.Given, error)) (Result, error) {
	a, err := call.pipelineAccess(ps)
	if err != nil {
		return Result{}, err
	}
	if a.Pipeline != "" {
		given, err := byPipeline(ctx, a, call.Member)
		if err != nil {
			return Result{}, err
		}
		return didGive(given)
	}
	member := call.Args[0]
	if err := forApp(ctx, call.App, member, ps, call.Member); err != nil {
		return Result{}, err
	}
	rights, err := call.People.RightsOf(ctx, call.App, member)
	if err != nil {
		return Result{}, err
	}
	v := object{"member": member, "app": call.App, "permissions": append([]daemon.Permission{}, rights.Permissions...)}
	res, err := did(v, "%s has no access to %s any more", member, call.App)
	if len(rights.From) > 0 {
		res, err = did(v, "%s may now %s %s", member, people.JoinPermissions(rights.Permissions), call.App)
	}
	for _, from := range rights.From {
		if from.Pipeline != "" {
			res.Warnings = append(res.Warnings, fmt.Sprintf("%s may %s %s by the %s: towline access -a %s", member, people.JoinPermissions(from.Permissions), call.App, from, call.App))
		}
	}
	return res, err
}

// didGive says what was given by a pipeline, or taken, and what it came to.
func didGive(given pipelines.Given) (Result, error) {
	a := given.Access
	in := orElse(a.Stage != "", func() string { return " in " + string(a.Stage) }, "")
	v := object{"member": a.Member, "pipeline": a.Pipeline, "permissions": append([]daemon.Permission{}, a.Permissions...)}
	if a.Stage != "" {
		v["stage"] = a.Stage
	}
	if len(a.Permissions) > 0 {
		return didChange(v, given.Changes, "%s may %s the apps of the pipeline %s%s, and those that come later", a.Member, people.JoinPermissions(a.Permissions), a.Pipeline, in)
	}
	res, err := didChange(v, given.Changes, "%s has no access to the apps of the pipeline %s%s any more by this", a.Member, a.Pipeline, in)
	for _, r := range given.Kept {
		for _, from := range r.From {
			res.Warnings = append(res.Warnings, fmt.Sprintf("%s may still %s %s: it comes from the %s", a.Member, people.JoinPermissions(from.Permissions), r.App, strings.TrimPrefix(from.String(), "the ")))
		}
	}
	return res, err
}

// didChange is did for what may change the rights of members on apps: it says whose.
func didChange(v object, changes people.Changes, format string, args ...any) (Result, error) {
	v["access"], v["unmanaged_apps"] = changes.Members, changes.Unmanaged
	res, err := show(v, func(w io.Writer) {
		fmt.Fprintf(w, format+"\n", args...)
		for _, c := range changes.Members {
			if len(c.Gained) > 0 {
				fmt.Fprintf(w, "%s may now %s %s\n", c.Member, people.JoinPermissions(c.Gained), c.App)
			}
			if len(c.Lost) > 0 {
				fmt.Fprintf(w, "%s may no longer %s %s\n", c.Member, people.JoinPermissions(c.Lost), c.App)
			}
		}
	})
	res.Warnings = unmanaged(changes.Unmanaged)
	return res, err
}

// unmanaged warns of apps that nobody but administrators may manage any more.
func unmanaged(apps []string) (warnings []string) {
	for _, app := range apps {
		warnings = append(warnings, fmt.Sprintf("nobody but administrators may manage %s now: towline access:add MEMBER -a %s -p deploy,operate,manage", app, app))
	}
	return warnings
}
