package apps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/work"
)

// DeployRequest is a push: source to be built and served.
type DeployRequest struct {
	App     string
	Member  string
	Commit  string    // full id; empty for an archive
	Subject string    // first line of the commit's message; may be empty
	Source  io.Reader // tar or tar.gz
}

const opDeploy = "deploy"

func (rl *Releases) deployKind() journal.Kind {
	return journal.Kind{Name: opDeploy, Text: "a deploy", Of: journal.OfApp, Background: "current",
		Steps:   []string{"build", "release", "release-phase", "start", "swap", "current"}, // after the build those of a release
		Recover: rl.recoverRelease}
}

// deployData is what a recovery must know of a deploy that was cut short.
type deployData struct {
	Build   string `json:"build,omitempty"`
	Version int    `json:"version,omitempty"`
}

// CheckPush tells whether a push of ref to the app would be deployed.
func (rl *Releases) CheckPush(ctx context.Context, app, ref string) error {
	a, err := rl.App(ctx, app)
	if err != nil {
		return err
	}
	branch, isBranch := strings.CutPrefix(ref, "refs/heads/")
	if !isBranch {
		return daemon.Errorf(daemon.Invalid, "%s is not a branch, so it can't be deployed", daemon.Clip(ref)).
			WithHint("git push towline main")
	}
	if a.DeployBranch != "" && branch != a.DeployBranch {
		return daemon.Errorf(daemon.Invalid, "branch %s doesn't deploy; %s deploys %s", daemon.Clip(branch), app, a.DeployBranch).
			WithHint("git push towline %s:%s", daemon.Clip(branch), a.DeployBranch)
	}
	if a.DeployBranch == "" && branch != "main" && branch != "master" {
		return daemon.Errorf(daemon.Invalid, "branch %s doesn't deploy; %s deploys main or master", daemon.Clip(branch), app).
			WithHint("git push towline %s:main", daemon.Clip(branch))
	}
	return nil
}

// Deploy is journey 1 from the source on: take it in and unpack it, wait for the app's
// turn, check, build, then the steps of a release. It returns once the new release
// serves. On any error the release that served before serves on. Once it is the app's
// turn, ctx ending stops nothing.
func (rl *Releases) Deploy(ctx context.Context, req DeployRequest, out io.Writer) (daemon.Release, error) {
	if _, err := rl.App(ctx, req.App); err != nil {
		return daemon.Release{}, err
	}
	build := fmt.Sprintf("%s-%d", req.App, time.Now().UnixNano())
	defer rl.RemoveWork(build)
	src, err := rl.TakeSource(ctx, build, req, out)
	if err != nil {
		return daemon.Release{}, err
	}
	unlock, err := rl.Journal.LockApp(ctx, req.App, out)
	if err != nil {
		return daemon.Release{}, err
	}
	defer unlock()
	ctx, cancel := rl.Life.Detach(ctx)
	defer cancel()
	app, err := rl.App(ctx, req.App)
	if err != nil {
		return daemon.Release{}, err
	}
	event := daemon.Activity{Kind: daemon.Deployed, Member: req.Member, App: req.App, Text: "deployed an archive"}
	if req.Commit != "" {
		event.Text = "deployed " + strings.TrimPrefix(describeDeploy(req.Commit, req.Subject), "Deploy ")
	}
	record := daemon.Build{App: req.App, Status: daemon.BuildRunning, Member: req.Member, Commit: req.Commit, Created: daemon.Now()}
	op, err := rl.Journal.Begin(ctx, opDeploy, req.App, event, "build", deployData{Build: build}, func(tx daemon.Tx) error { return tx.InsertBuild(&record) })
	if err != nil {
		return daemon.Release{}, err
	}
	kept := rl.record(app, record.Number, out)
	rel, err := rl.deploy(ctx, op, record, src, req, kept)
	kept.end(rel, err)
	return rel, err
}

// deploy is Deploy from the source on, with the operation in the journal.
func (rl *Releases) deploy(ctx context.Context, op *journal.Operation, record daemon.Build, src string, req DeployRequest, out *Recording) (daemon.Release, error) {
	data, err := journal.Decode[deployData](op.Operation)
	if err != nil {
		return daemon.Release{}, err
	}
	buildCtx, built, recorded := rl.underWay.begin(ctx, req.App, record.Number)
	defer recorded()
	var b result
	err = daemon.Try("a build", func() (err error) {
		b, err = rl.buildRelease(buildCtx, data.Build, src, req, out)
		return err
	})
	rel, status := b.release, daemon.BuildFailed
	cancelled := built()
	if cancelled != nil {
		if err == nil {
			_ = rl.Engine.UntagImage(ctx, rel.Image) // else the next start does
		}
		err, status = cancelled.error(), daemon.BuildCancelled
	}
	if err == nil {
		if err = rl.beforeRelease(ctx, req.App, req.Member, out); err != nil && ctx.Err() == nil {
			err = errors.Join(err, rl.Engine.UntagImage(ctx, rel.Image))
		}
	}
	if err != nil {
		if ctx.Err() == nil { // else the journal keeps it for the next start
			rl.Logs.Write(req.App, "build", "build", out.Hidden("Build failed: "+err.Error()))
			err = errors.Join(err, op.Finish(ctx, ends(record, status, out.Hidden(err.Error())),
				func(tx daemon.Tx) error { return cancelled.record(tx, record) }))
		}
		return daemon.Release{}, err
	}
	rl.Logs.Write(req.App, "build", "build", "Build succeeded")
	err = op.Next(ctx, "release", nil, func(tx daemon.Tx) error {
		if err := errors.Join(tx.InsertRelease(&rel), setFormation(tx, req.App, b.formation)); err != nil {
			return err
		}
		record.Release = rel.Version
		return ends(record, daemon.BuildSucceeded, "")(tx)
	})
	if err != nil {
		return daemon.Release{}, err
	}
	if err := rl.release(ctx, op, &rel, &b.scripts, out); err != nil { // which changes rel
		return rel, err
	}
	if err := rl.runDue(ctx, b.scripts.op, out); err != nil {
		rl.Log.Error("postdeploy", "app", req.App, "err", err) // the journal has it
	}
	rl.lookHome(ctx, rel, out)
	return rel, nil
}

// result is what comes of source.
type result struct {
	release   daemon.Release   // to be, not yet recorded
	formation daemon.Formation // that a first deploy asks for; nil: none
	scripts   scripts
}

// TakeSource puts the source into the build's working directory.
func (rl *Releases) TakeSource(ctx context.Context, build string, req DeployRequest, out io.Writer) (dir string, err error) {
	unlock, err := rl.Journal.LockInput(ctx, req.App, out)
	if err != nil {
		return "", err
	}
	defer unlock()
	dir = filepath.Join(work.Dir(rl.Dir, build), "src")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	source := work.NewInput(req.Source, rl.InputIdle)
	err = rl.Unpacker.Unpack(ctx, source, dir)
	if broken := source.Broken(); broken != nil {
		return "", broken
	}
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) == 0 {
		err = daemon.Errorf(daemon.Invalid, "the source holds no files").WithHint("commit something first, then push again")
	}
	return dir, err
}

// buildRelease reads what the source says of itself, and builds it.
func (rl *Releases) buildRelease(ctx context.Context, build, src string, req DeployRequest, out *Recording) (b result, err error) {
	if err := checkSubmodules(src, req.App); err != nil {
		return b, err
	}
	said, err := readSource(src)
	if err != nil {
		return b, err
	}
	app, err := rl.App(ctx, req.App)
	if err != nil {
		return b, err
	}
	config, formation, first, err := rl.takeManifest(ctx, app, req.Member, said.manifest, out)
	if err != nil {
		return b, err
	}
	out.Hide(config)
	b.formation, b.scripts = formation, scriptsOf(said.manifest, first)
	for _, line := range said.notes {
		work.Warn(out, "%s", line)
	}
	rl.Logs.Write(req.App, "build", "build", "Build started by "+daemon.Who(req.Member))
	ref := rl.Containers.ImageName(req.App, build)
	image, err := rl.Builder.Build(ctx, daemon.BuildRequest{ID: build, App: req.App, Source: src, Image: ref, Env: config, Choice: app.Builder}, out)
	if err != nil {
		return b, err
	}
	rel := daemon.Release{
		App: req.App, Status: daemon.ReleasePending, Member: req.Member, Created: daemon.Now(),
		Description: "Deploy archive", Commit: req.Commit,
		Image: ref, Kind: image.Kind, Processes: processes(said.procfile, image), Health: said.manifest.Health, Config: config,
	}
	if req.Commit != "" {
		rel.Description = describeDeploy(req.Commit, req.Subject)
	}
	if (said.procfile != nil || len(image.Types) > 0) && image.Launcher == nil && isShellForm(image.Image.Entrypoint) {
		work.Warn(out, "the Dockerfile's ENTRYPOINT is a line for a shell, which takes no command: those of process types are started without it\n"+
			"write it as a list to have them handed to it: ENTRYPOINT [\"...\"]")
	}
	if program := oddProgram(rel.Processes, image.Image); program != "" {
		work.Warn(out, "the program of the Dockerfile's CMD or ENTRYPOINT is \"%s\", with the blank in it\n"+
			"in a list the program and each of its arguments is an item of its own; a line needs no brackets", daemon.Clip(program))
	}
	web, serves := rel.Processes["web"]
	if serves && strings.TrimSpace(web.Command) == "" {
		delete(rel.Processes, "web")
		serves = false
	}
	types := typeList(rel.Processes)
	switch {
	case types == "":
		_ = rl.Engine.UntagImage(ctx, ref)
		return b, nothingToRun(src, image.Kind)
	case serves:
		web.Protocol, web.Exposed = said.manifest.Protocol, image.Exposed
		rel.Processes["web"] = web
	default:
		work.Say(out, " !     There is no web process: the app's address will not serve. What there is: %s\n"+
			" !     A process type runs once it is scaled: towline ps:scale TYPE=1 -a %s", types, req.App)
	}
	dropUnknown(b.formation, rel.Processes, out)
	b.release = rel
	return b, nil
}

// oddProgram is the program of an image, if a process runs the image's own command and that
// begins with a whole command as one word: no program is called so.
func oddProgram(processes map[string]daemon.Process, image daemon.Image) string {
	words := slices.Concat(image.Entrypoint, image.Cmd)
	own := func(p daemon.Process) bool { return p.Entrypoint == nil && p.Args == nil }
	if len(words) == 0 || !strings.ContainsAny(words[0], " \t") || !slices.ContainsFunc(slices.Collect(maps.Values(processes)), own) {
		return ""
	}
	return words[0]
}

// maxDescribed bounds what a release's description tells of a commit's message, in
// characters.
const maxDescribed = 60

// describeDeploy names a commit for people. Its message is shown on terminals, and who
// wrote it is not always who looks.
func describeDeploy(commit, subject string) string {
	text := "Deploy " + commit[:min(8, len(commit))]
	subject = daemon.Printable(subject)
	if runes := []rune(subject); len(runes) > maxDescribed {
		subject = string(runes[:maxDescribed-3]) + "..."
	}
	if subject = strings.TrimSpace(subject); subject != "" {
		text += ": " + subject
	}
	return text
}

// RemoveWork clears the working directory of a build. What it can't remove now, the
// next start does.
func (rl *Releases) RemoveWork(build string) {
	if err := os.RemoveAll(work.Dir(rl.Dir, build)); err != nil {
		rl.Log.Error("remove working directory", "err", err)
	}
}
