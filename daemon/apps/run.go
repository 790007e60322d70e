package apps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/shell"
	"towline/daemon/work"
)

// RunRequest is a one-off command in an app's current image and config.
type RunRequest struct {
	App, Member string
	// Command of one word is a process type, or else a line for the image's shell; of several,
	// words, each kept whole.
	Command []string
	Env     map[string]string
	Streams daemon.Streams
}

const opRun = "run"

func (ps *Processes) runKind() journal.Kind {
	return journal.Kind{Name: opRun, Text: "a one-off", Of: journal.OfApp, Shared: true, Steps: []string{"run"}, Recover: ps.recoverRun}
}

// Run starts a one-off, connects it to the user and returns its exit code. It ends
// with the user's connection. The app's log says who began it and how it ended, and nothing
// of what it shows.
func (ps *Processes) Run(ctx context.Context, req RunRequest) (int, error) {
	if err := checkCommand(strings.Join(req.Command, " ")); err != nil {
		return 0, daemon.Errorf(daemon.Invalid, "%w", err).WithHint("towline run rake db:migrate -a %s", req.App)
	}
	for key := range req.Env {
		if err := daemon.CheckConfigKey(key); err != nil {
			return 0, err
		}
	}
	rel, err := ps.Release(ctx, req.App, 0)
	if err != nil {
		return 0, err
	}
	if rel.Image == "" {
		return 0, daemon.Errorf(daemon.Conflict, "%s has nothing deployed yet", req.App).WithHint("git push towline main")
	}
	image, err := ps.Engine.Image(ctx, rel.Image)
	if err != nil {
		return 0, err
	}
	app, err := ps.App(ctx, req.App)
	if err != nil {
		return 0, err
	}
	command := commandLine(req.Command)
	room := func(tx daemon.Tx) error { return ps.roomForOneOff(tx, req.Member) }
	// What it is given may be secrets.
	event := daemon.Activity{Time: daemon.Now(), Kind: daemon.RunBegan, Member: req.Member, App: req.App, Release: rel.Version, Text: "started a one-off: " + program(command)}
	end := event
	end.Kind, end.Text = daemon.RunEnded, "a one-off ended: "+program(command)
	began := func(tx daemon.Tx) error { return tx.RecordActivity(event) }
	op, err := ps.Journal.Begin(ctx, opRun, req.App, end, "run", nil, room, began)
	if err != nil {
		return 0, err
	}
	spec := ps.Spec(rel, app.Capabilities, oneOff(rel, image.Entrypoint, req.Command), "run", int(op.ID), "run")
	spec.Labels[daemon.LabelKind] = daemon.KindRun
	for k, v := range req.Env {
		spec.Env[k] = v
	}
	spec.Terminal, spec.Stdin = req.Streams.Terminal, req.Streams.Stdin != nil
	// What it shows may be secrets, as the config vars are, and what its user types too; the
	// app's log is for everyone who may view the app.
	spec.NoLog, spec.LogPath = true, ""
	ended := false
	defer func() { ps.removeRun(context.WithoutCancel(ctx), op, spec.Name, ended) }()
	if err := ps.Containers.Create(ctx, spec); err != nil {
		return 0, err
	}
	log := func(format string, args ...any) {
		ps.Logs.Write(req.App, "system", spec.Labels[daemon.LabelProcess]+"."+spec.Labels[daemon.LabelIndex], fmt.Sprintf(format, args...))
	}
	log("Starting one-off for %s: %s", daemon.Who(req.Member), command)
	code, err := ps.Engine.RunAttached(ctx, spec.Name, req.Streams)
	if daemon.IsKind(err, daemon.NotFound) { // removed before its exit code was known
		code, err = codeKilled, nil
	}
	switch {
	case err == nil:
		ended, op.Event.Code = true, code
		log("One-off ended with exit code %d", code)
	case ctx.Err() != nil:
		log("One-off was ended: %s", strings.TrimPrefix(context.Cause(ctx).Error(), "this was ended: "))
	default:
		log("One-off was ended: %v", err)
	}
	if err == nil && ctx.Err() == nil {
		end := ""
		if req.Streams.Terminal { // whose keys and lines are raw
			end = "\r"
		}
		if why := ps.LimitMet(ctx, spec.Name, code); why != "" {
			work.Say(req.Streams.Stderr, " !     %s%s", why, end)
			work.Say(req.Streams.Stderr, "       %s%s", LimitHint, end)
		} else if why := ps.killedFrom(ctx, req.App, spec.Name, code); why != "" {
			work.Say(req.Streams.Stderr, " !     %s%s", why, end)
		}
	}
	return code, err
}

// killedFrom says what has killed a one-off that met no limit. It is empty for one that
// ended by itself.
func (ps *Processes) killedFrom(ctx context.Context, app, container string, code int) string {
	if code != codeKilled && code != codeTerminated {
		return ""
	}
	name := ps.Containers.ShortName(container)
	ops, err := daemon.Read(ctx, ps.Store, daemon.Tx.Operations)
	destroying := err == nil && slices.ContainsFunc(ops, func(o daemon.Operation) bool { return o.Kind == opDestroy && o.Subject == app })
	if _, err := ps.App(ctx, app); destroying || daemon.IsKind(err, daemon.NotFound) {
		return name + " was ended: " + app + " was destroyed"
	}
	if _, err := ps.Engine.Container(ctx, container); daemon.IsKind(err, daemon.NotFound) {
		return name + " was ended: its container was removed"
	}
	return name + " was ended by " + map[int]string{codeKilled: "SIGKILL", codeTerminated: "SIGTERM"}[code]
}

// removeRun removes a one-off. What fails is tried again, with longer and longer waits, but
// not with the user waiting; the journal has it for the next start.
func (ps *Processes) removeRun(ctx context.Context, op *journal.Operation, container string, ended bool) {
	remove := func(ctx context.Context) error {
		if err := ps.Engine.RemoveContainer(ctx, container); err != nil {
			return err
		}
		if ended {
			return op.Finish(ctx, op.Done)
		}
		return op.Finish(ctx)
	}
	first, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := remove(first)
	if err == nil {
		return
	}
	ps.Log.Error("remove one-off", "container", container, "err", err)
	ps.Life.Go(func(ctx context.Context) {
		work.UntilDone(ctx, "the removal of a one-off",
			func() error { return ps.Life.Outlast(ctx, nil, remove) },
			func(err error, again time.Duration) {
				ps.Log.Error("remove one-off", "container", container, "err", err, "again in", again)
			})
	})
}

// program is the first word of a command line, without what it is given.
func program(line string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	if word == "" || strings.ContainsAny(word, "='\"$;|&<>()`\n\t") {
		return "a line for the shell"
	}
	return daemon.Clip(word)
}

// oneOff is what a command of one-offs comes to: the process of that type, or one of no type
// that is started as a Procfile command is.
func oneOff(rel daemon.Release, entrypoint, words []string) daemon.Process {
	p := daemon.Process{Command: commandLine(words)}
	if typed, ok := rel.Processes[p.Command]; ok && len(words) == 1 {
		return typed
	}
	return lineProcess(rel, entrypoint, p.Command)
}

// lineProcess is how a line for the image's shell is started, as a Procfile command is.
func lineProcess(rel daemon.Release, entrypoint []string, line string) daemon.Process {
	p := daemon.Process{Command: line}
	p.Entrypoint, p.Args = startedBy(entrypoint, line)
	for _, process := range rel.Processes {
		if rel.Kind == "buildpack" && len(process.Entrypoint) > 0 { // the launcher, the same for all
			p.Entrypoint, p.Args = process.Entrypoint, []string{line}
		}
	}
	return p
}

// commandLine makes one line for the image's shell, as Heroku's run does: a single
// word is a line already, of several each stays one word.
func commandLine(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return shell.Join(words)
}

// recoverRun removes a one-off, whose user is gone.
func (ps *Processes) recoverRun(ctx context.Context, op *journal.Operation) error {
	err := ps.Containers.RemoveWhere(ctx, map[string]string{daemon.LabelApp: op.Subject, daemon.LabelKind: daemon.KindRun}, func(c daemon.Container) bool {
		return c.Labels[daemon.LabelIndex] == strconv.FormatInt(op.ID, 10)
	})
	return errors.Join(err, op.Finish(ctx))
}
