package apps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

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
	defer rl.removeWork(build)
	src, err := rl.takeSource(ctx, build, req, out)
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
	op, err := rl.Journal.Begin(ctx, opDeploy, req.App, req.Member, "build", deployData{Build: build})
	if err != nil {
		return daemon.Release{}, err
	}
	var rel daemon.Release
	var formation daemon.Formation
	err = daemon.Try("a build", func() (err error) {
		rel, formation, err = rl.buildRelease(ctx, build, src, req, out)
		return err
	})
	if err != nil {
		if ctx.Err() == nil { // else the journal keeps it for the next start
			err = errors.Join(err, op.Finish(ctx))
		}
		return daemon.Release{}, err
	}
	if err := rl.beforeRelease(ctx, req.App, req.Member, out); err != nil {
		if ctx.Err() == nil {
			err = errors.Join(err, rl.Engine.UntagImage(ctx, rel.Image), op.Finish(ctx))
		}
		return daemon.Release{}, err
	}
	err = op.Next(ctx, "release", nil, func(tx daemon.Tx) error {
		return errors.Join(tx.InsertRelease(&rel), setFormation(tx, req.App, formation))
	})
	if err != nil {
		return daemon.Release{}, err
	}
	err = rl.release(ctx, op, &rel, out) // which changes rel
	return rel, err
}

// takeSource puts the source into the build's working directory.
func (rl *Releases) takeSource(ctx context.Context, build string, req DeployRequest, out io.Writer) (dir string, err error) {
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

// buildRelease reads what the source says of itself, builds it, and returns the
// release to be, not yet recorded. Of a first deploy it returns the formation that
// the source asks for, if it does.
func (rl *Releases) buildRelease(ctx context.Context, build, src string, req DeployRequest, out io.Writer) (daemon.Release, daemon.Formation, error) {
	said, err := readSource(src)
	if err != nil {
		return daemon.Release{}, nil, err
	}
	app, err := rl.App(ctx, req.App)
	if err != nil {
		return daemon.Release{}, nil, err
	}
	config, formation, err := rl.firstDeploy(ctx, app, said.manifest, out)
	if err != nil {
		return daemon.Release{}, nil, err
	}
	for _, line := range said.notes {
		work.Warn(out, "%s", line)
	}
	rl.Logs.Write(req.App, "build", "build", "Build started by "+daemon.Who(req.Member))
	ref := rl.Containers.ImageName(req.App, build)
	result, err := rl.Builder.Build(ctx, daemon.BuildRequest{ID: build, App: req.App, Source: src, Image: ref, Env: config}, out)
	if err != nil {
		rl.Logs.Write(req.App, "build", "build", "Build failed: "+err.Error())
		return daemon.Release{}, nil, err
	}
	rl.Logs.Write(req.App, "build", "build", "Build succeeded")
	rel := daemon.Release{
		App: req.App, Status: daemon.ReleasePending, Member: req.Member, Created: daemon.Now(),
		Description: "Deploy archive", Commit: req.Commit,
		Image: ref, Kind: result.Kind, Processes: processes(said.procfile, result), Health: said.health, Config: config,
	}
	if req.Commit != "" {
		rel.Description = describeDeploy(req.Commit, req.Subject)
	}
	if said.procfile != nil && result.Launcher == nil && isShellForm(result.Image.Entrypoint) {
		work.Warn(out, "the Dockerfile's ENTRYPOINT is a line for a shell, which takes no command: the Procfile's are started without it\n"+
			"write it as a list to have them handed to it: ENTRYPOINT [\"...\"]")
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
		return daemon.Release{}, nil, daemon.Errorf(daemon.Invalid, "nothing says what to run").
			WithHint("add a Procfile with a line like \"web: bundle exec puma -p $PORT\"")
	case serves:
		web.Protocol = said.protocol
		rel.Processes["web"] = web
	default:
		work.Say(out, " !     There is no web process: the app's address will not serve. What there is: %s\n"+
			" !     A process type runs once it is scaled: towline ps:scale TYPE=1 -a %s", types, req.App)
	}
	return rel, formation, nil
}

// maxDescribed bounds what a release's description tells of a commit's message, in
// characters.
const maxDescribed = 60

// describeDeploy names a commit for people. Its message is shown on terminals, and who
// wrote it is not always who looks.
func describeDeploy(commit, subject string) string {
	text := "Deploy " + commit[:min(8, len(commit))]
	subject = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, subject)
	if runes := []rune(subject); len(runes) > maxDescribed {
		subject = string(runes[:maxDescribed-3]) + "..."
	}
	if subject = strings.TrimSpace(subject); subject != "" {
		text += ": " + subject
	}
	return text
}

// removeWork clears the working directory of a build. What it can't remove now, the
// next start does.
func (rl *Releases) removeWork(build string) {
	if err := os.RemoveAll(work.Dir(rl.Dir, build)); err != nil {
		rl.Log.Error("remove working directory", "err", err)
	}
}
