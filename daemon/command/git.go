package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"towline/daemon"
	"towline/daemon/apps"
	"towline/daemon/ci"
)

// gitCommands are what towline-shell and the pre-receive hook ask: the commit of a
// push is the one that git received, as nobody else can name it.
func gitCommands() []*Command {
	return []*Command{
		{Name: "git:receive", Args: "APP", Min: 1, Max: 1, Hidden: true, Internal: true, Summary: "may this member push?",
			On: on(appOfArgument(daemon.Deploy)), Run: runRepositoryPath},
		{Name: "git:upload", Args: "APP", Min: 1, Max: 1, Hidden: true, Internal: true, Summary: "may this member fetch?",
			On: on(appOfArgument(daemon.View)), Run: runRepositoryPath},
		{Name: "git:push", Min: 0, Max: 0, On: on(theApp(daemon.Deploy)), Hidden: true, Internal: true, Stream: Progress, Summary: "deploy a pushed commit",
			Flags: func(f *pflag.FlagSet) {
				f.String("ref", "", "ref that was pushed")
				f.String("old", "", "commit before")
				f.String("new", "", "commit to deploy")
				f.String("subject", "", "first line of its message")
			}, Run: runGitPush},
		{Name: "git:served", Min: 0, Max: 0, On: on(theApp(daemon.Deploy)), Hidden: true, Internal: true, Summary: "does a pushed commit serve?",
			Flags: func(f *pflag.FlagSet) { f.String("new", "", "the commit") }, Run: runGitServed},
		{Name: "deploy:archive", Summary: "deploy a tar of source from standard input", Stream: Progress, On: on(theApp(daemon.Deploy)),
			Help: "  git archive HEAD | towline deploy:archive -a shop",
			Run: func(ctx context.Context, call *Call) (Result, error) {
				return deploy(ctx, call, apps.DeployRequest{App: call.App, Member: call.Member, Source: call.input("a tar of the source")}, "archive")
			}},
	}
}

func runRepositoryPath(ctx context.Context, call *Call) (Result, error) {
	app, err := call.Apps.App(ctx, call.Args[0])
	if err != nil {
		return Result{}, err
	}
	path := call.Apps.Repositories.Path(app.Name)
	return show(object{"path": path, "deploy_branch": app.DeployBranch}, func(w io.Writer) { fmt.Fprintf(w, "%s\n%s\n", path, app.DeployBranch) })
}

func runGitPush(ctx context.Context, call *Call) (Result, error) {
	ref, _ := call.Flags.GetString("ref")
	commit, _ := call.Flags.GetString("new")
	subject, _ := call.Flags.GetString("subject")
	if branch, ok := strings.CutPrefix(ref, testRefs); ok {
		return runTests(ctx, call, ci.Request{App: call.App, Member: call.Member, Branch: branch, Commit: commit, Subject: subject, Source: call.Stdin})
	}
	if err := call.Releases.CheckPush(ctx, call.App, ref); err != nil {
		return Result{}, err
	}
	return deploy(ctx, call, apps.DeployRequest{App: call.App, Member: call.Member, Commit: commit, Subject: subject, Source: call.Stdin}, strings.TrimPrefix(ref, "refs/heads/"))
}

// runGitServed tells how the deploy of a commit has ended that a restart cut short.
func runGitServed(ctx context.Context, call *Call) (Result, error) {
	commit, _ := call.Flags.GetString("new")
	rel, err := call.Apps.Release(ctx, call.App, 0)
	if err != nil {
		return Result{}, err
	}
	if rel.Commit != commit || commit == "" || rel.Image == "" {
		return Result{}, daemon.Errorf(daemon.Failed, "the deploy was undone as Towline was restarted; v%d serves on", rel.Version).WithHint("push again")
	}
	return did(object{"release": rel.Version}, "-----> Released v%d, though Towline was restarted meanwhile", rel.Version)
}

func deploy(ctx context.Context, call *Call, req apps.DeployRequest, branch string) (Result, error) {
	rel, err := call.Tests.Deploy(ctx, req, branch, call.Stdout)
	if err != nil {
		var e *daemon.Error
		if errors.As(err, &e) && rel.Version > 0 {
			fmt.Fprintf(call.Stdout, " !     Release v%d was refused\n", rel.Version)
		}
		return Result{}, err
	}
	info, err := call.Apps.Info(ctx, req.App)
	if err != nil {
		return Result{}, err
	}
	return show(rel, func(w io.Writer) {
		address := info.WebURL
		if _, serves := rel.Processes["web"]; !serves {
			address = req.App // has none that serves
		}
		fmt.Fprintf(w, "-----> Released v%d\n       %s deployed to Towline\n", rel.Version, address)
	})
}
